"""Run directories: a training with everything that is needed to repeat it, and what came out.

==================  ===============================================================================================
``config.json``     scenario, parameters, algorithm, seed: the result is a function of it
``run.json``        versions, machine, when and how long
``models/``         one stable-baselines3 zip for each learner
``checkpoint/``     where an interrupted training can be resumed
``history.csv``     NashConv over training
``metrics.json``    the comparison with the equilibrium; the same bits whenever the run is repeated
``figures/``        learned against equilibrium, and the learning curve
``tensorboard/``    the learners' own logs
==================  ===============================================================================================
"""

from __future__ import annotations

import csv
import json
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..baselines import EquilibriumNotFound, solve
from ..baselines.exploitability import payoff_size
from ..envs.grid import Policy
from ..envs.scenarios import Scenario
from ..envs.scenarios.loader import build_scenario
from ..envs.vector_env import check_count
from . import algorithms, checkpoint
from .evaluate import Evaluation, evaluate, open_loop_nash_conv
from .independent import IndependentLearners
from .information import Information

_PACKAGES = ("makertaker", "torch", "stable-baselines3", "sb3-contrib", "numpy", "scipy", "gymnasium", "pettingzoo")
_EVALUATIONS = 40
_HISTORY = ("timesteps", "nash_conv", "relative_nash_conv")


@dataclass(frozen=True)
class RunConfig:
    """All that a training depends on.

    Args:
        scenario: name of the scenario.
        values: its TOML values, overrides included.
        algorithm: one name, or one for each agent; ``"equilibrium"`` for an agent that does not learn.
        timesteps: joint market steps.
        steps: of an episode.
        information: what actors see.
        markets: played at once; None: what the algorithms ask for.
        seed: of everything.
        checkpoints: number of checkpoints during the training.

    Raises:
        ValueError: a number is out of its range.
    """

    scenario: str
    values: Mapping[str, Any]
    algorithm: str | Mapping[str, str] = "ppo"
    timesteps: int = 160_000
    steps: int = 20
    information: Information = "open_loop"
    markets: int | None = None
    seed: int = 0
    checkpoints: int = 4

    def __post_init__(self) -> None:
        for name in ("timesteps", "steps", "checkpoints"):
            check_count(name, getattr(self, name))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed: expected a whole number >= 0, got {self.seed!r}")

    def load(self) -> Scenario:
        """The scenario. Raises ValueError as :func:`~makertaker.envs.read_scenario` does."""
        return build_scenario(self.scenario, self.values)

    def learners(self, tensorboard: Path | None = None) -> IndependentLearners:
        """Fresh learners. Raises ValueError for a bad configuration."""
        game = self.load().game
        algorithm, fixed = self.algorithm, {}
        if not isinstance(algorithm, str):
            unknown = set(algorithm) - set(game.agents)
            if unknown:
                raise ValueError(f"algorithm: expected agents of {list(game.agents)}, got {sorted(unknown)}")
            still = [agent for agent, name in algorithm.items() if name == "equilibrium"]
            if still:
                policies = solve(game, self.steps).open_loop()
                fixed = {agent: policies[agent] for agent in still}
            algorithm = {agent: name for agent, name in algorithm.items() if agent not in still}
        return IndependentLearners(
            game,
            steps=self.steps,
            algorithm=algorithm,
            information=self.information,
            markets=self.markets,
            seed=self.seed,
            fixed=fixed,
            tensorboard=tensorboard,
        )


@dataclass
class _History:
    """NashConv over training, from evaluations without exploration."""

    learners: IndependentLearners
    total: float
    every: int
    rows: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, done: int) -> None:
        """Evaluate if it is time."""
        if not self.rows or done >= self.rows[-1][0] + self.every:
            self._append(done)

    def finish(self, done: int) -> None:
        """Evaluate what the last gradient step left, in place of the row from before it."""
        if self.rows and self.rows[-1][0] == done:
            self.rows.pop()
        self._append(done)

    def _append(self, done: int) -> None:
        """A best response that is not found leaves a gap, marked by NaN."""
        learners = self.learners
        game, steps = learners.game, learners.market.steps
        try:
            value = open_loop_nash_conv(game, learners.policies(), steps)
        except EquilibriumNotFound:
            value = float("nan")
        self.rows.append((done, value, value / self.total))
        for model in learners.models.values():  # into each learner's own log, TensorBoard included
            model.logger.record("equilibrium/relative_nash_conv", value / self.total)

    def write(self, path: Path) -> None:
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_HISTORY)
            writer.writerows(self.rows)


def parse_algorithm(text: str, agents: tuple[str, ...]) -> str | dict[str, str]:
    """``"ppo"``, or ``"trader_0=sac,maker_0=ppo,maker_1=equilibrium"``; agents not named get ``"ppo"``.

    Raises:
        ValueError: an unknown agent or algorithm.
    """
    if "=" not in text:
        algorithms.find(text)
        return text
    result = dict.fromkeys(agents, "ppo")
    for part in text.split(","):
        agent, _, name = part.strip().partition("=")
        if agent not in agents:
            raise ValueError(f"algorithm: expected agents of {list(agents)}, got {agent!r}")
        if name != "equilibrium":
            algorithms.find(name)
        result[agent] = name
    return result


def train(config: RunConfig, out: Path, *, overwrite: bool = False, console: Console | None = None) -> Evaluation:
    """Train, evaluate, and write a run directory.

    Args:
        config: what to train.
        out: the run directory.
        overwrite: whether an existing one may be replaced.
        console: where the progress bar goes; None: nowhere.

    Raises:
        ValueError: a bad configuration, or the directory exists; nothing has been written or removed then.
        KeyboardInterrupt: after the models so far and the history were written.
    """
    if out.exists() and not overwrite:
        raise ValueError(f"out: {str(out)!r} exists; choose another directory, or --overwrite, or --resume")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        try:
            load_config(out)
        except ValueError as error:
            raise ValueError(f"out: {str(out)!r} is not a run directory, it will not be overwritten") from error
    # all that may fail comes before an older run is removed
    learners = config.learners(out / "tensorboard")
    total = payoff_size(solve(learners.game, config.steps).payoffs)
    text = json.dumps(asdict(config), indent=2, default=str) + "\n"
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / "config.json").write_text(text)
    start = {"history": [], "seconds": 0.0}
    checkpoint.save(learners, out / "checkpoint", start)
    return _train(config, learners, out, total, start, console)


def resume(out: Path, *, console: Console | None = None) -> Evaluation:
    """Go on with an interrupted training from its last checkpoint; the end is that of an uninterrupted one.

    Raises:
        ValueError: there is no run or no checkpoint, or it is corrupt.
    """
    config = load_config(out)
    learners = config.learners(out / "tensorboard")
    before = checkpoint.load(learners, out / "checkpoint")
    total = payoff_size(solve(learners.game, config.steps).payoffs)
    return _train(config, learners, out, total, before, console)


def _train(
    config: RunConfig,
    learners: IndependentLearners,
    out: Path,
    total: float,
    before: Mapping[str, Any],
    console: Console | None,
) -> Evaluation:
    started = time.perf_counter() - before["seconds"]
    (out / "report.html").unlink(missing_ok=True)  # it would speak of an earlier state
    history = _History(learners, total, max(1, config.timesteps // _EVALUATIONS), list(before["history"]))
    chunk = -(-config.timesteps // max(1, config.checkpoints))
    bar = _progress_bar(console)
    with bar:
        task = bar.add_task("training", total=config.timesteps, completed=learners.hub.steps_done, gain="")

        def follow(done: int) -> None:
            history.add(done)
            bar.update(task, completed=min(done, config.timesteps), gain=f"NashConv {100 * history.rows[-1][2]:.2f}%")

        try:
            while learners.hub.steps_done < config.timesteps:
                until = min(config.timesteps, (learners.hub.steps_done // chunk + 1) * chunk)
                learners.learn(config.timesteps, until=until, on_episode=follow)
                state = {"history": history.rows, "seconds": time.perf_counter() - started}
                checkpoint.save(learners, out / "checkpoint", state)
            history.finish(learners.hub.steps_done)
            bar.update(task, gain=f"NashConv {100 * history.rows[-1][2]:.3f}%")
        finally:  # an interrupt leaves what was computed
            _save_models(learners, out / "models")
            history.write(out / "history.csv")
            seconds = time.perf_counter() - started
            (out / "run.json").write_text(json.dumps(_circumstances(learners, seconds), indent=2) + "\n")
    return evaluate_run(out)


def _progress_bar(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[gain]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=console is None,
    )


def _save_models(learners: IndependentLearners, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for agent, model in learners.models.items():
        model.save(folder / f"{agent}.zip")


def _circumstances(learners: IndependentLearners, seconds: float) -> dict[str, Any]:
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "joint_market_steps": learners.hub.steps_done,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def load_config(out: Path) -> RunConfig:
    """The configuration of a run. Raises ValueError where there is none, or it cannot be read."""
    path = out / "config.json"
    if not path.is_file():
        raise ValueError(f"run: {str(out)!r} is not a run directory, it has no config.json")
    try:
        return RunConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"run: {str(path)!r} cannot be read: {error}") from error


def load_history(out: Path) -> np.ndarray:
    """Timesteps, NashConv and relative NashConv over training, (rows, 3). Raises ValueError where there is none."""
    path = out / "history.csv"
    try:
        with open(path, newline="") as file:
            rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    except (OSError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r} is missing or cannot be read: {error}") from error
    if not rows or any(len(row) != len(_HISTORY) for row in rows):
        raise ValueError(f"run: {str(path)!r} is empty: the training ended before its first episode; try --resume")
    return np.array(rows)


def load_learners(out: Path) -> IndependentLearners:
    """The learners of a run as training left them. Raises ValueError where a model is missing or corrupt."""
    learners = load_config(out).learners()
    checkpoint.load_policies(learners, out / "models")
    return learners


def load_policies(out: Path) -> dict[str, Policy]:
    """Everyone's policy of a run. Raises ValueError where a model is missing or corrupt."""
    return load_learners(out).policies()


def evaluate_run(out: Path) -> Evaluation:
    """Compare a run with the equilibrium; writes ``metrics.json`` and the figures.

    An interrupted run is evaluated as it stands: ``timesteps_done`` says how far it came.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    from . import plots

    config = load_config(out)
    learners, history = load_learners(out), load_history(out)
    result = evaluate(learners.game, learners.policies(), config.steps, config.information)
    document = {
        "scenario": config.scenario,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "timesteps_done": max(model.num_timesteps for model in learners.models.values()),
        **result.metrics,
    }
    (out / "metrics.json").write_text(json.dumps(document, indent=2) + "\n")
    plots.save(result, history, out / "figures")
    return Evaluation(result.learned, result.equilibrium, document)

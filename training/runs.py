"""Run directories: a training with everything that is needed to repeat it, and what came out.

==================  ===============================================================================================
``config.json``     scenario, parameters, algorithm, seed: the result is a function of it
``run.json``        versions, machine, when and how long
``models/``         one file for each learner: a zip of stable-baselines3, or, trained on Ray, an actor's network
``checkpoint/``     where an interrupted training can be resumed
``history.csv``     NashConv over training
``metrics.json``    the comparison with the equilibrium; the same bits whenever the run is repeated
``figures/``        learned against equilibrium, and the learning curve
``tensorboard/``    the learners' own logs; of stable-baselines3 only
==================  ===============================================================================================
"""

from __future__ import annotations

import csv
import json
import platform
import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..baselines import EquilibriumNotFound, solve
from ..baselines.gains import payoff_size
from ..envs.game import Game
from ..envs.grid import Policy
from ..envs.market import Market
from ..envs.scenarios import Scenario
from ..envs.scenarios.loader import build_scenario
from ..envs.vector_env import check_count
from .common import engines
from .common.engines import Engine, Learners
from .common.extras import needed
from .common.information import Information, check_information
from .evaluation.scoring import Evaluation, evaluate, open_loop_nash_conv

_PACKAGES = ("makertaker", "torch", "numpy", "scipy", "gymnasium", "pettingzoo")
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
        engine: the library that learns, ``"sb3"`` or ``"ray"``.
        runners: processes that play, with ``"ray"``; 0: the one that learns.

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
    engine: Engine = "sb3"
    runners: int = 0

    def __post_init__(self) -> None:
        engines.check_engine(self.engine)
        if isinstance(self.runners, bool) or not isinstance(self.runners, int) or self.runners < 0:
            raise ValueError(f"runners: expected a whole number >= 0, got {self.runners!r}")
        if self.runners and self.engine not in engines.ADDRESSED:
            raise ValueError(f"runners: expected 0 with engine {self.engine!r}, got {self.runners}")
        for name in ("timesteps", "steps", "checkpoints"):
            check_count(name, getattr(self, name))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed: expected a whole number >= 0, got {self.seed!r}")
        if self.markets is not None:
            check_count("markets", self.markets)
        check_information(self.information)
        if not isinstance(self.algorithm, str) and set(self.algorithm.values()) == {"equilibrium"}:
            raise ValueError("algorithm: expected at least one agent that learns, got 'equilibrium' for all")

    def load(self) -> Scenario:
        """The scenario. Raises ValueError as :func:`~makertaker.envs.read_scenario` does."""
        return build_scenario(self.scenario, self.values)

    def fixed(self, game: Game) -> dict[str, Policy]:
        """Policies of the agents that do not learn: those of the equilibrium. Raises ValueError for unknown agents."""
        if isinstance(self.algorithm, str):
            return {}
        unknown = set(self.algorithm) - set(game.agents)
        if unknown:
            raise ValueError(f"algorithm: expected agents of {list(game.agents)}, got {sorted(unknown)}")
        still = [agent for agent, name in self.algorithm.items() if name == "equilibrium"]
        if not still:
            return {}
        policies = solve(game, self.steps).open_loop()
        return {agent: policies[agent] for agent in still}

    def learners(self, tensorboard: Path | None = None, address: str | None = None) -> Learners:
        """Fresh learners, to be closed after use. Raises ValueError for a bad configuration."""
        if address is not None and self.engine not in engines.ADDRESSED:
            raise ValueError(f"address: expected none with engine {self.engine!r}, got {address!r}")
        game = self.load().game
        fixed, algorithm = self.fixed(game), self.algorithm
        if not isinstance(algorithm, str):
            algorithm = {agent: name for agent, name in algorithm.items() if agent not in fixed}
        return engines.build(
            self.engine,
            game,
            steps=self.steps,
            timesteps=self.timesteps,
            algorithm=algorithm,
            information=self.information,
            markets=self.markets,
            seed=self.seed,
            fixed=fixed,
            runners=self.runners,
            address=address,
            tensorboard=tensorboard,
        )


@dataclass
class _History:
    """NashConv over training, from evaluations without exploration."""

    learners: Learners
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
        learners.record("equilibrium/relative_nash_conv", value / self.total)

    def write(self, path: Path) -> None:
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_HISTORY)
            writer.writerows(self.rows)


def parse_algorithm(text: str, agents: tuple[str, ...], engine: Engine = "sb3") -> str | dict[str, str]:
    """``"ppo"``, or ``"trader_0=sac,maker_0=ppo,maker_1=equilibrium"``; agents not named get ``"ppo"``.

    Raises:
        ValueError: an unknown agent or algorithm.
    """
    engines.check_engine(engine)
    if "=" not in text:
        engines.check_algorithm(engine, text)
        return text
    result = dict.fromkeys(agents, "ppo")
    for part in text.split(","):
        agent, _, name = part.strip().partition("=")
        if agent not in agents:
            raise ValueError(f"algorithm: expected agents of {list(agents)}, got {agent!r}")
        if name != "equilibrium":
            engines.check_algorithm(engine, name)
        result[agent] = name
    return result


def train(
    config: RunConfig,
    out: Path,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    address: str | None = None,
) -> Evaluation:
    """Train, evaluate, and write a run directory.

    Args:
        config: what to train.
        out: the run directory.
        overwrite: whether an existing one may be replaced.
        console: where the progress bar goes; None: nowhere.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.

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
    total = _total(config)
    with closing(config.learners(out / "tensorboard", address)) as learners:
        text = json.dumps(asdict(config), indent=2, default=str) + "\n"
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        _write(out / "config.json", text)
        start = {"history": [], "seconds": 0.0}
        learners.save_checkpoint(out / "checkpoint", start)
        _train(config, learners, out, total, start, console)
    return evaluate_run(out)


def resume(out: Path, *, console: Console | None = None, address: str | None = None) -> Evaluation:
    """Go on with an interrupted training from its last checkpoint; the end is that of an uninterrupted one.

    Raises:
        ValueError: there is no run or no checkpoint, or it is corrupt.
    """
    config = load_config(out)
    total = _total(config)
    with closing(config.learners(out / "tensorboard", address)) as learners:
        before = learners.load_checkpoint(out / "checkpoint")
        _train(config, learners, out, total, before, console)
    return evaluate_run(out)


def _total(config: RunConfig) -> float:
    return payoff_size(solve(config.load().game, config.steps).payoffs)


def _train(
    config: RunConfig, learners: Learners, out: Path, total: float, before: Mapping[str, Any], console: Console | None
) -> None:
    started = time.perf_counter() - before["seconds"]
    (out / "report.html").unlink(missing_ok=True)  # it would speak of an earlier state
    history = _History(learners, total, max(1, config.timesteps // _EVALUATIONS), list(before["history"]))
    chunk = -(-config.timesteps // max(1, config.checkpoints))
    bar = progress_bar(console)
    with bar:
        task = bar.add_task("training", total=config.timesteps, completed=learners.steps_done, gain="")

        def follow(done: int) -> None:
            history.add(done)
            bar.update(task, completed=min(done, config.timesteps), gain=f"NashConv {100 * history.rows[-1][2]:.2f}%")

        try:
            while learners.steps_done < config.timesteps:
                until = min(config.timesteps, (learners.steps_done // chunk + 1) * chunk)
                learners.learn(config.timesteps, until=until, on_episode=follow)
                state = {"history": history.rows, "seconds": time.perf_counter() - started}
                learners.save_checkpoint(out / "checkpoint", state)
            history.finish(learners.steps_done)
            bar.update(task, gain=f"NashConv {100 * history.rows[-1][2]:.3f}%")
        finally:  # an interrupt leaves what was computed
            (out / "models").mkdir(exist_ok=True)
            learners.save_models(out / "models")
            history.write(out / "history.csv")
            seconds = time.perf_counter() - started
            _write(out / "run.json", json.dumps(_circumstances(config, learners, seconds), indent=2) + "\n")


def progress_bar(console: Console | None) -> Progress:
    """Shows a task's ``gain`` beside how far it is; nowhere without a console."""
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


def _circumstances(config: RunConfig, learners: Learners, seconds: float) -> dict[str, Any]:
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "joint_market_steps": learners.steps_done,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in (*_PACKAGES, *engines.PACKAGES[config.engine])},
    }


def _write(path: Path, text: str) -> None:
    """Write a file whole: whatever ends this process, the old one or the new one is there."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


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


def load_circumstances(out: Path) -> dict[str, Any]:
    """Versions, machine, and how far a training came. Raises ValueError where there is no record of it."""
    try:
        found: dict[str, Any] = json.loads((out / "run.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"run: {str(out / 'run.json')!r} is missing or cannot be read: {error}") from error
    return found


def load_policies(out: Path) -> dict[str, Policy]:
    """Everyone's policy of a run, as training left it. Raises ValueError where a model is missing or corrupt."""
    config, models = load_config(out), out / "models"
    if config.engine == "ray":  # read without Ray
        actor = needed("common.actor", "ray")
        game = config.load().game
        fixed = config.fixed(game)
        learned = {agent: actor.load(models / f"{agent}.pt") for agent in game.agents if agent not in fixed}
        found = {**fixed, **actor.policies(Market(game, config.steps), learned)}
        return {agent: found[agent] for agent in game.agents}
    learners = config.learners()
    needed("sb3.checkpoint", "train").load_policies(learners, models)
    return learners.policies()


def evaluate_run(out: Path) -> Evaluation:
    """Compare a run with the equilibrium; writes ``metrics.json`` and the figures.

    An interrupted run is evaluated as it stands: ``timesteps_done`` says how far it came.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    plots = needed("evaluation.plots", "train")
    config = load_config(out)
    policies, history = load_policies(out), load_history(out)
    result = evaluate(config.load().game, policies, config.steps, config.information)
    document = {
        "scenario": config.scenario,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "timesteps_done": load_circumstances(out)["joint_market_steps"],
        **result.metrics,
    }
    plots.save(result, history, out / "figures")
    _write(out / "metrics.json", json.dumps(document, indent=2) + "\n")  # last: where it stands, all is there
    return Evaluation(result.learned, result.equilibrium, document)

"""Run directories: a training with everything that is needed to repeat it, and its results.

==================  ===============================================================================================
``config.json``     scenario, parameters, algorithm, hyperparameters, seed: the result is a function of it
``run.json``        versions, commit of the source, machine, when and how long
``models/``         one file for each learner: a zip of stable-baselines3, or, trained on Ray, an actor's network
``checkpoint/``     the checkpoint to resume from
``history.csv``     NashConv over training
``metrics.json``    the comparison with the equilibrium; the same bits whenever the run is repeated
``figures/``        learned against equilibrium, and the learning curve
``tensorboard/``    the learners' own logs; of stable-baselines3 only
==================  ===============================================================================================
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from ..baselines import EquilibriumNotFound
from ..baselines.reach import warn_where_out_of_reach
from ..envs import Policy, text
from ..envs.market import Market
from .common import engines, files
from .common.extras import needed
from .common.joint_market import everyone
from .common.learners import Learners
from .common.provenance import Origin, origin
from .evaluation.metrics import RunMetrics
from .evaluation.scoring import Evaluation, evaluate, open_loop_nash_conv
from .run_config import RunConfig, load_config, parse_algorithm

__all__ = [
    "Circumstances",
    "RunConfig",
    "RunEvaluation",
    "evaluate_run",
    "load_circumstances",
    "load_config",
    "load_history",
    "load_policies",
    "parse_algorithm",
    "progress_bar",
    "resume",
    "train",
    "write_report",
]
_EVALUATIONS = 40
_HISTORY = ("timesteps", "nash_conv", "relative_nash_conv")


class Circumstances(Origin):
    """A training beside its result: when, how long, how far, with what."""

    finished: str
    seconds: float
    joint_market_steps: int


class _Past(TypedDict):
    """A training up to a checkpoint."""

    history: list[tuple[int, float, float]]
    seconds: float


@dataclass(frozen=True)
class RunEvaluation(Evaluation):
    """A run's comparison with the equilibrium."""

    metrics: RunMetrics


@dataclass
class _History:
    """NashConv over training, from evaluations without exploration."""

    learners: Learners
    size: float
    every: int
    rows: list[tuple[int, float, float]]

    def add(self, done: int, *, last: bool = False) -> None:
        """Evaluate if it is time; at last, in place of a row from before the last gradient step.

        A best response that is not found leaves a gap, marked by NaN.
        """
        if last and self.rows and self.rows[-1][0] == done:
            self.rows.pop()
        elif not last and self.rows and done < self.rows[-1][0] + self.every:
            return
        learners = self.learners
        try:
            value = open_loop_nash_conv(learners.game, learners.policies(), learners.market.steps)
        except EquilibriumNotFound:
            value = float("nan")
        self.rows.append((done, value, value / self.size))
        learners.record("equilibrium/relative_nash_conv", value / self.size)


def train(
    config: RunConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    address: str | None = None,
) -> RunEvaluation:
    """Train, evaluate, and write a run directory.

    Args:
        config: of the training.
        out: the run directory.
        overwrite: True if an existing one may be replaced.
        console: for the progress bar; None: there is none.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.

    Raises:
        ValueError: a bad configuration, or the directory exists; nothing has been written or removed then.
        KeyboardInterrupt: after the models so far and the history were written.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ValueError(f"out: {str(out)!r} exists; choose another directory, or --overwrite, or --resume")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        try:
            load_config(out)
        except ValueError as error:
            raise ValueError(f"out: {str(out)!r} is not a run directory, it will not be overwritten") from error
    # all that may fail comes before an older run is removed
    _ = config.task.payoff_size
    with config.learners(out / "tensorboard", address) as learners:
        warn_where_out_of_reach(learners.market, config.task.equilibrium)
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        files.write_json(out / "config.json", asdict(config))
        past: _Past = {"history": [], "seconds": 0.0}
        learners.save_checkpoint(out / "checkpoint", past)
        _train(config, learners, out, past, console)
    return _evaluate(config, out)


def resume(out: str | Path, *, console: Console | None = None, address: str | None = None) -> RunEvaluation:
    """Resume an interrupted training from its last checkpoint; the end is that of an uninterrupted one.

    Raises:
        ValueError: there is no run or no checkpoint, or it is corrupt.
    """
    out = Path(out)
    config = load_config(out)
    with config.learners(out / "tensorboard", address) as learners:
        past = cast(_Past, learners.load_checkpoint(out / "checkpoint"))
        _train(config, learners, out, past, console)
    return _evaluate(config, out)


def _train(config: RunConfig, learners: Learners, out: Path, past: _Past, console: Console | None) -> None:
    source = origin(engines.find(config.engine).packages)  # now: files may change while this trains
    started = time.perf_counter() - past["seconds"]
    (out / "report.html").unlink(missing_ok=True)  # it would speak of an earlier state
    every = max(1, config.timesteps // _EVALUATIONS)
    history = _History(learners, config.task.payoff_size, every, list(past["history"]))
    chunk = -(-config.timesteps // config.checkpoints)
    with progress_bar(console) as bar:
        task = bar.add_task("training", total=config.timesteps, completed=learners.steps_done, gain="")

        def follow(done: int) -> None:
            history.add(done)
            bar.update(task, completed=min(done, config.timesteps), gain=f"NashConv {100 * history.rows[-1][2]:.2f}%")

        try:
            while learners.steps_done < config.timesteps:
                until = min(config.timesteps, (learners.steps_done // chunk + 1) * chunk)
                learners.learn(config.timesteps, until=until, on_episode=follow)
                now: _Past = {"history": history.rows, "seconds": time.perf_counter() - started}
                learners.save_checkpoint(out / "checkpoint", now)
            history.add(learners.steps_done, last=True)
            bar.update(task, gain=f"NashConv {100 * history.rows[-1][2]:.3f}%")
        finally:  # an interrupt leaves what was computed
            (out / "models").mkdir(exist_ok=True)
            learners.save_models(out / "models")
            files.write_csv(out / "history.csv", [_HISTORY, *history.rows])
            circumstances: Circumstances = {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - started, 2),
                "joint_market_steps": learners.steps_done,
                **source,
            }
            files.write_json(out / "run.json", circumstances)


def progress_bar(console: Console | None) -> Progress:
    """A bar with a task's ``gain`` beside it; nothing is shown without a console."""
    columns = BarColumn(), MofNCompleteColumn(), "{task.fields[gain]}", TimeElapsedColumn(), TimeRemainingColumn()
    return Progress("{task.description}", *columns, console=console, disable=console is None)


def load_history(out: str | Path) -> np.ndarray:
    """Timesteps, NashConv and relative NashConv over training, (rows, 3). Raises ValueError where there is none."""
    path = Path(out) / "history.csv"
    try:
        rows = [[float(value) for value in row] for row in files.read_csv(path)[1:]]
    except (OSError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r} is missing or cannot be read: {error}") from error
    if not rows or any(len(row) != len(_HISTORY) for row in rows):
        raise ValueError(f"run: {str(path)!r} is empty: the training ended before its first episode; try --resume")
    return np.array(rows)


def load_circumstances(out: str | Path) -> Circumstances:
    """Versions, machine, and the steps of a training. Raises ValueError where there is no record of it."""
    return cast(Circumstances, files.read_json(Path(out) / "run.json"))


def load_policies(out: str | Path) -> dict[str, Policy]:
    """Every agent's policy of a run, as training left it. Raises ValueError where a model is missing or corrupt."""
    return _policies(load_config(out), Path(out))


def _policies(config: RunConfig, out: Path) -> dict[str, Policy]:
    market = Market(config.task.game, config.steps)
    acts = engines.find(config.engine).load(market, config.algorithms(), out / "models")
    return everyone(market, acts, config.fixed())


def evaluate_run(out: str | Path) -> RunEvaluation:
    """Compare a run with the equilibrium; writes ``metrics.json`` and the figures.

    An interrupted run is evaluated as it stands: ``timesteps_done`` says how far it came.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    needed("evaluation.plots", "train")  # said first where it is missing
    return _evaluate(load_config(out), Path(out))


def _evaluate(config: RunConfig, out: Path) -> RunEvaluation:
    plots = needed("evaluation.plots", "train")
    policies, history, task = _policies(config, out), load_history(out), config.task
    result = evaluate(task.game, policies, task.steps, config.information, task.equilibrium)
    metrics: RunMetrics = {
        "scenario": config.scenario,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "timesteps_done": load_circumstances(out)["joint_market_steps"],
        **result.metrics,
    }
    plots.save(result, history, out / "figures")
    files.write_json(out / "metrics.json", metrics)  # last: a run with metrics is complete
    return RunEvaluation(result.learned, result.equilibrium, metrics)


def write_report(out: str | Path) -> Path:
    """Evaluate a run and write ``report.html`` into its directory; returns the path.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    page = needed("evaluation.html_report", "train").page
    out = Path(out)
    config = load_config(out)
    result, description = _evaluate(config, out), str(config.values.get("description", ""))
    path = out / "report.html"
    name = text.shown(os.path.basename(os.path.abspath(out)))
    text.write(path, page(name, description, result, load_history(out), asdict(config), load_circumstances(out)))
    return path

"""Run directories: a training with everything that is needed to repeat it, and its results.

==================  ===============================================================================================
``config.json``     scenario, parameters, algorithm, hyperparameters, seed: the result is a function of it
``run.json``        versions, commit of the source, machine, when and how long
``models/``         one file for each learner: a zip of stable-baselines3, or, trained on Ray, an actor's network
``checkpoint/``     the checkpoint to resume from; what a killed training is evaluated from
``history.csv``     NashConv over training
``metrics.json``    the comparison with the equilibrium; the same bits whenever the run is repeated
``figures/``        learned against equilibrium, and the learning curve
``tensorboard/``    the learners' own logs; of stable-baselines3 only
==================  ===============================================================================================

One process at a time writes: ``.lock`` is locked meanwhile, ``.holder.json`` names it. A run that takes the place of
another is written into ``.partial``; see :mod:`.common.run_folder`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from ..baselines import EquilibriumNotFound
from ..baselines.reach import warn_where_out_of_reach
from ..envs import Policy, text
from ..envs.market import Market
from .common import checkpoint_folder, engines, files, run_folder
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
    circumstances: NotRequired[Circumstances]


class _Standing(NamedTuple):
    """A training as far as it came."""

    models: Path
    history: np.ndarray
    circumstances: Circumstances


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
        out: the run directory: a path that does not exist, an empty folder, or a link to one. It is claimed first.
        overwrite: True if a run may be replaced. The old one stays until the new one is complete; other files stay.
        console: for the progress bar; None: there is none.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.

    Raises:
        ValueError: a bad configuration, or the directory exists, or another process writes into it; nothing has been
            written or removed then.
        KeyboardInterrupt: after the models so far and the history were written.
    """
    with run_folder.claimed(Path(out), overwrite, load_config) as place:
        _ = config.task.payoff_size
        with config.learners(place / "tensorboard", address) as learners:
            warn_where_out_of_reach(learners.market, config.task.equilibrium)
            files.write_json(place / "config.json", asdict(config))
            _train(config, learners, place, _begin(learners, place), console)
        return _evaluate(config, place)


def resume(out: str | Path, *, console: Console | None = None, address: str | None = None) -> RunEvaluation:
    """Resume an interrupted training from its last checkpoint; the end is that of an uninterrupted one.

    A training that was to take the place of another goes on, and takes it. One that was ended before its first
    checkpoint begins.

    Raises:
        ValueError: there is no run or no checkpoint, or it is corrupt, or another process writes into the directory.
    """
    folder = run_folder.real(Path(out))
    unfinished_config(folder)  # said before anything is written
    with run_folder.locked(folder):
        run_folder.settle(folder)
        place = run_folder.unfinished(folder)
        config = load_config(place)
        with config.learners(place / "tensorboard", address) as learners:
            if (place / "run.json").exists() or checkpoint_folder.exists(place / "checkpoint"):
                past = cast(_Past, learners.load_checkpoint(place / "checkpoint"))
            else:
                past = _begin(learners, place)
            _train(config, learners, place, past, console)
        result = _evaluate(config, place)
        run_folder.finish(folder, place)
    return result


def unfinished_config(out: Path) -> RunConfig:
    """The configuration of the training that :func:`resume` would go on with. Raises ValueError as it does."""
    return load_config(run_folder.unfinished(out))


def _begin(learners: Learners, place: Path) -> _Past:
    """The past of a training that begins, with its checkpoint."""
    past: _Past = {"history": [], "seconds": 0.0}
    learners.save_checkpoint(place / "checkpoint", past)
    return past


def _train(config: RunConfig, learners: Learners, out: Path, past: _Past, console: Console | None) -> None:
    source = origin(engines.find(config.engine).packages)  # now: files may change while this trains
    started, before = time.perf_counter() - past["seconds"], learners.steps_done
    place = os.stat(out)
    (out / "report.html").unlink(missing_ok=True)  # it would speak of an earlier state
    every = max(1, config.timesteps // _EVALUATIONS)
    history = _History(learners, config.task.payoff_size, every, list(past["history"]))
    chunk = -(-config.timesteps // config.checkpoints)
    with progress_bar(console) as bar:
        task = bar.add_task("training", total=config.timesteps, completed=learners.steps_done, gain="")

        def follow(done: int) -> None:
            history.add(done)
            bar.update(task, completed=min(done, config.timesteps), gain=f"NashConv {100 * history.rows[-1][2]:.2f}%")

        def circumstances() -> Circumstances:
            return {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - started, 2),
                "joint_market_steps": learners.steps_done,
                **source,
            }

        try:
            while learners.steps_done < config.timesteps:
                until = min(config.timesteps, (learners.steps_done // chunk + 1) * chunk)
                learners.learn(config.timesteps, until=until, on_episode=follow)
                now: _Past = {
                    "history": history.rows,
                    "seconds": time.perf_counter() - started,
                    "circumstances": circumstances(),
                }
                _check_stays(out, place)
                learners.save_checkpoint(out / "checkpoint", now)
            history.add(learners.steps_done, last=True)
            bar.update(task, gain=f"NashConv {100 * history.rows[-1][2]:.3f}%")
        finally:  # an interrupt leaves what was computed
            _check_stays(out, place)
            (out / "run.json").unlink(missing_ok=True)  # written last: it stands for what comes before it
            if learners.steps_done > before:
                (out / "metrics.json").unlink(missing_ok=True)  # of the models so far
            (out / "models").mkdir(exist_ok=True)
            learners.save_models(out / "models")
            files.write_csv(out / "history.csv", [_HISTORY, *history.rows])
            files.write_json(out / "run.json", circumstances())


def _check_stays(out: Path, place: os.stat_result) -> None:
    """Raises ValueError where a folder is not the one that it was: what is written would be parted from the rest."""
    with suppress(OSError):
        if os.path.samestat(os.stat(out), place):
            return
    raise ValueError(f"run: {str(out)!r} was moved or removed meanwhile; where it is now, --resume goes on with it")


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
    return _as_history(rows, path)


def _as_history(rows: Sequence[Sequence[float]], path: Path) -> np.ndarray:
    if not rows or any(len(row) != len(_HISTORY) for row in rows):
        raise ValueError(f"run: {str(path)!r} is empty: the training ended before its first episode; try --resume")
    try:
        return np.array(rows, dtype=float)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r}: expected rows of numbers, got others: {error}") from error


def load_circumstances(out: str | Path) -> Circumstances:
    """Versions, machine, and the steps of a training. Raises ValueError where there is no record of it."""
    path = Path(out) / "run.json"
    return _as_circumstances(files.read_json(path), path)


def _as_circumstances(found: dict[str, Any], path: Path) -> Circumstances:
    for name in ("joint_market_steps", "seconds"):
        value = found.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"run: {str(path)!r}: {name}: expected a number, got {value!r}")
    return cast(Circumstances, found)


def load_policies(out: str | Path) -> dict[str, Policy]:
    """Every agent's policy of a run, as training left it. Raises ValueError where a model is missing or corrupt."""
    return _policies(load_config(out), _standing(Path(out)).models)


def _policies(config: RunConfig, models: Path) -> dict[str, Policy]:
    market = Market(config.task.game, config.steps)
    acts = engines.find(config.engine).load(market, config.algorithms(), models)
    return everyone(market, acts, config.fixed())


def _standing(out: Path) -> _Standing:
    """How far a training came: what its end or an interrupt left or, where it was killed later, its checkpoint."""
    ended = load_circumstances(out) if (out / "run.json").exists() else None
    saved = checkpoint_folder.record(out / "checkpoint")
    if saved is None or (ended is not None and saved["steps_done"] <= ended["joint_market_steps"]):
        return _Standing(out / "models", load_history(out), load_circumstances(out))
    folder, past = saved["folder"], cast(_Past, saved["extra"])
    try:
        history = _as_history(past["history"], folder)
        return _Standing(folder, history, _as_circumstances({**past["circumstances"]}, folder))
    except (KeyError, TypeError) as error:
        raise ValueError(f"run: the record of checkpoint {str(folder)!r} cannot be read: {error}") from error


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """A run that no other process writes meanwhile. On a read-only file system nothing can."""
    folder = run_folder.real(out)
    load_config(folder)  # said before anything is written
    with ExitStack() as stack:
        try:
            stack.enter_context(run_folder.locked(folder))
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
        yield


def evaluate_run(out: str | Path) -> RunEvaluation:
    """Compare a run with the equilibrium; writes ``metrics.json`` and the figures.

    An interrupted run is evaluated as it stands: ``timesteps_done`` says how far it came.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    needed("evaluation.plots", "train")  # said first where it is missing
    with _held(Path(out)):
        return _evaluate(load_config(out), Path(out))


def _evaluate(config: RunConfig, out: Path) -> RunEvaluation:
    plots = needed("evaluation.plots", "train")
    standing, task = _standing(out), config.task
    policies = _policies(config, standing.models)
    result = evaluate(task.game, policies, task.steps, config.information, task.equilibrium)
    metrics: RunMetrics = {
        "scenario": config.scenario,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "timesteps_done": standing.circumstances["joint_market_steps"],
        **result.metrics,
    }
    plots.save(result, standing.history, out / "figures")
    files.write_json(out / "metrics.json", metrics)  # last: a run with metrics is complete
    return RunEvaluation(result.learned, result.equilibrium, metrics)


def write_report(out: str | Path) -> Path:
    """Evaluate a run and write ``report.html`` into its directory; returns the path.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    page = needed("evaluation.html_report", "train").page
    out = Path(out)
    with _held(out):
        config, path = load_config(out), out / "report.html"
        result, description, standing = (
            _evaluate(config, out),
            str(config.values.get("description", "")),
            _standing(out),
        )
        name = text.shown(os.path.basename(os.path.abspath(out)))
        text.write(path, page(name, description, result, standing.history, asdict(config), standing.circumstances))
    return path

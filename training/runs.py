"""Run directories: a training with everything that is needed to repeat it, and its results.

==================  ===============================================================================================
``config.json``     scenario, parameters, algorithm, hyperparameters, seed: the result is a function of it
``run.json``        versions, commit of the source, machine, when and how long
``models/``         for each learner its actor as numbers alone, ``.safetensors``, from which it is evaluated (see
                    :mod:`.common.actor_file`), and, of stable-baselines3, the library's zip
``checkpoint/``     the checkpoint to resume from, with the same files: a killed training is evaluated from it
``history.csv``     NashConv over training, and every agent's gain by a best response
``metrics.json``    the comparison with the equilibrium; the same bits whenever the run is repeated
``figures/``        learned against equilibrium, and the learning curve
``tensorboard/``    evaluations over training; stable-baselines3's learners have logs of their own beside
``logs.json``       the runs of Weights & Biases and MLflow, where they log: ``wandb/``, ``mlflow.db``; see :mod:`.logs`
==================  ===============================================================================================

Evaluation and report run nothing that is in a directory: they read numbers and text. What is pickled (the zips and
``state.pkl``) is read by :func:`resume`, and where ``trust`` asks for it: it runs code that is in it.

One process at a time writes: ``.lock`` is locked meanwhile, ``.holder.json`` names it. A run that takes the place of
another is written into ``.partial``; see :mod:`.common.run_folder`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from ..baselines import EquilibriumNotFound
from ..baselines.kinds import kind_of
from ..baselines.profiles import replaced
from ..envs import Controls, Policy, text
from ..envs.market import Setting
from ..envs.palette import NAMED
from .common import checkpoint_folder, engines, files, run_folder
from .common.extras import check_installed, needed
from .common.information import check_information
from .common.joint_market import everyone
from .common.learners import Learners
from .evaluation.draws import over_draws
from .evaluation.metrics import RunMetrics
from .evaluation.scoring import Evaluation, evaluate
from .evaluation.standings import Standings
from .evaluation.tables import percent, remarks
from .record import Circumstances, Past, Reached, Record, as_past, load_circumstances, load_history, reached
from .run_config import RunConfig, load_config, parse_algorithm
from .task import MARKETS

if TYPE_CHECKING:  # PyTorch may be missing
    from .logs import Logs

__all__ = [
    "Circumstances",
    "RunConfig",
    "RunEvaluation",
    "algorithm_text",
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
Follow = Callable[[int, float], None]
"""called after every episode of a training with its joint market steps so far and its latest relative NashConv"""
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""numbers of the errors of a file system to which nothing can be written"""


@dataclass(frozen=True)
class RunEvaluation(Evaluation):
    """A run's comparison with the equilibrium."""

    metrics: RunMetrics
    written: bool = True
    """False where the run is on a read-only file system, so that neither metrics nor figures were written"""


def train(
    config: RunConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    address: str | None = None,
    logs: Sequence[str] = (),
) -> RunEvaluation:
    """Train, evaluate, and write a run directory.

    Args:
        config: of the training.
        out: the run directory: a path that does not exist, an empty folder, or a link to one. It is claimed first.
        overwrite: True if a run may be replaced. The old one stays until the new one is complete; other files stay.
        console: for the progress bar; None: there is none.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.
        logs: beside TensorBoard: ``"wandb"``, ``"mlflow"``; see :mod:`.logs`.

    Raises:
        ImportError: a library that logs is missing.
        ValueError: a bad configuration, or the directory exists, or another process writes into it; nothing has been
            written or removed then.
        KeyboardInterrupt: after the models so far and the history were written.

    Examples:
        >>> import tempfile
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.runs import train
        >>> config = RunConfig.of(read_scenario("execution-2"), "ppo", None, "sb3", timesteps=1280)  # few
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = train(config, f"{folder}/run")
        >>> sorted(done.metrics["agents"])
        ['trader_0', 'trader_1']
    """
    check_installed(*engines.find(config.engine).library)
    module = needed("logs", "train")
    module.check(logs)
    with run_folder.claimed(Path(out), overwrite, load_config) as place:
        return train_in(config, place, _shown_name(out), console=console, address=address, logs=logs)


def train_in(
    config: RunConfig,
    place: Path,
    name: str,
    *,
    console: Console | None = None,
    address: str | None = None,
    logs: Sequence[str] = (),
    follow: Follow | None = None,
) -> RunEvaluation:
    """:func:`train` in a folder that is claimed.

    Args:
        config: of the training.
        place: see :func:`.run_folder.claimed`.
        name: of the run, for logs.
        console: see :func:`train`.
        address: see :func:`train`.
        logs: see :func:`train`.
        follow: see :data:`Follow`.
    """
    solve_first(config, console)
    module = needed("logs", "train")
    with config.learners(place / "tensorboard", address) as learners:
        config.task.warn_where_out_of_reach(learners.market)
        with module.opened(module.Run(config, name, place, None), logs) as log:
            files.write_json(place / "config.json", config.document())
            _train(config, learners, place, begin(learners, place), console, log, follow)
    return evaluate_trained(config, place)


def resume(
    out: str | Path,
    *,
    console: Console | None = None,
    address: str | None = None,
    logs: Sequence[str] | None = None,
    follow: Follow | None = None,
) -> RunEvaluation:
    """Resume an interrupted training from its last checkpoint; the end is that of an uninterrupted one.

    A training that was to take the place of another goes on, and takes it. One that was ended before its first
    checkpoint begins. One that is complete stays as it is; of one of an earlier version, whose models are pickles
    alone, files of numbers are written.

    A checkpoint is a pickle, which runs code that is in it: resume only what you trust.

    Args:
        out: the run directory.
        console: for the progress bar; None: there is none.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.
        logs: beside TensorBoard, see :mod:`.logs`; None: those that the training began with, which go on.
        follow: see :data:`Follow`; None: nothing is called.

    Raises:
        ImportError: a library that logs is missing.
        ValueError: there is no run or no checkpoint, or it is corrupt, or another process writes into the directory.

    Examples:
        >>> import tempfile
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.runs import resume, train
        >>> config = RunConfig.of(read_scenario("execution-2"), "ppo", None, "sb3", timesteps=1280)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = train(config, f"{folder}/run")
        ...     again = resume(f"{folder}/run")  # it is complete, and stays as it is
        >>> again.metrics == done.metrics
        True
    """
    folder = run_folder.real(Path(out))
    unfinished_config(folder)  # said before anything is written
    module = needed("logs", "train")
    module.check(logs or ())
    with run_folder.resumed(folder) as place:
        config = load_config(place)
        if _is_complete(config, place):
            _say_complete(console)
        else:
            with config.learners(place / "tensorboard", address) as learners:
                if (place / "run.json").exists() or checkpoint_folder.exists(place / "checkpoint"):
                    past = as_past(learners.load_checkpoint(place / "checkpoint"))
                else:
                    past = begin(learners, place)
                about = module.Run(config, _shown_name(out), place, learners.steps_done)
                with module.opened(about, logs) as log:
                    _train(config, learners, place, past, console, log, follow)
        return evaluate_trained(config, place)


def _is_complete(config: RunConfig, place: Path) -> bool:
    """True for a run whose training came to its end, in this version."""
    suffix = needed("common.actor_file", "train").SUFFIX
    try:
        done = load_circumstances(place).get("complete", False)
        load_history(place)
    except ValueError:
        return False
    return done and all((place / "models" / f"{agent}.{suffix}").is_file() for agent in config.algorithms())


def _say_complete(console: Console | None) -> None:
    if console is not None:
        console.print("the training was complete: nothing was trained")


def unfinished_config(out: Path) -> RunConfig:
    """The configuration of the training that :func:`resume` would go on with. Raises ValueError as it does."""
    return load_config(run_folder.unfinished(out))


def _shown_name(out: str | Path) -> str:
    """The name of a run directory, whichever way a path leads to it."""
    return text.shown(os.path.basename(os.path.abspath(out)))


def begin(learners: Learners, place: Path) -> Past:
    """The past of a training that begins, with its checkpoint."""
    past: Past = {"history": [], "seconds": 0.0}
    learners.save_checkpoint(place / "checkpoint", past)
    return past


def _train(
    config: RunConfig,
    learners: Learners,
    out: Path,
    past: Past,
    console: Console | None,
    log: Logs,
    follow: Follow | None,
) -> None:
    record = Record(config, learners, out, past, Standings(config.task), log)
    if record.complete:
        _say_complete(console)
    show_remarks(config, console)
    with progress_bar(console, config.timesteps) as bar:
        task = bar.add_task("training", total=config.timesteps, completed=learners.steps_done, gain="")

        def played(done: int) -> None:
            record.history.add(done)
            bar.update(task, completed=min(done, config.timesteps), gain=f"NashConv {percent(record.gain)}")
            if follow is not None:
                follow(min(done, config.timesteps), record.gain)

        try:
            while not record.complete:
                learners.learn(config.timesteps, until=record.until, on_episode=played)
                record.checkpoint()
            record.history.add(learners.steps_done, last=True)
            played(learners.steps_done)
        except FloatingPointError:  # what has diverged is worth nothing: the last checkpoint stands
            raise
        except BaseException:  # an interrupt leaves what was computed
            record.save(complete=False)
            raise
        record.save(complete=True)


def solve_first(config: RunConfig, console: Console | None) -> None:
    """Solve what is learned, and say so meanwhile: with noise it takes seconds a market.

    Raises:
        ValueError: all equilibrium payoffs are zero.
        EquilibriumNotFound: a game was not solved.
    """
    said = "solving the equilibrium" if config.task.random is None else f"solving {MARKETS} drawn markets"
    with nullcontext() if console is None else console.status(said):
        _ = config.task.payoff_size


def show_remarks(config: RunConfig, console: Console | None) -> None:
    """Say what to know of the equilibrium when reading NashConv."""
    if console is not None:
        for line in remarks(config.task.notes):
            console.print(line, markup=False, soft_wrap=True)


def progress_bar(console: Console | None, total: int = 1) -> Progress:
    """A bar with a task's ``gain`` beside it, for ``total`` steps; nothing is shown without a console."""
    # where there is little room, the bar is shorter
    steps, first, last = (Column(no_wrap=True, min_width=each) for each in (2 * len(str(total)) + 1, 7, 7))
    numbers = MofNCompleteColumn(table_column=steps), "{task.fields[gain]}"
    columns = BarColumn(), *numbers, TimeElapsedColumn(table_column=first), TimeRemainingColumn(table_column=last)
    return Progress("{task.description}", *columns, console=console, disable=console is None)


def algorithm_text(config: RunConfig) -> str:
    """The algorithms of a run, as on the command line."""
    given = config.algorithm
    return given if isinstance(given, str) else ",".join(f"{agent}={name}" for agent, name in given.items())


def load_policies(out: str | Path, *, trust: bool = False) -> dict[str, Policy]:
    """Every agent's policy of a run, as training left it, from files of numbers: nothing in them is run.

    Those that remember do so for one batch of markets at a time; see :class:`.common.joint_market.RememberingPolicy`.
    Those of random markets are told what was drawn by ``showing(context)``, which :func:`~makertaker.training.score`
    does for every market.

    Args:
        out: the run directory.
        trust: True: models without such a file, of earlier versions or of policies of your own, are read as pickles,
            which run code that is in them.

    Raises:
        ValueError: a model is missing or corrupt, or needs trust.

    Examples:
        >>> import tempfile
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.runs import load_policies, train
        >>> config = RunConfig.of(read_scenario("execution-2"), "ppo", None, "sb3", timesteps=1280)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = train(config, f"{folder}/run")
        ...     policies = load_policies(f"{folder}/run")
        >>> sorted(policies)
        ['trader_0', 'trader_1']
    """
    return _policies(load_config(out), reached(Path(out)).models, trust)


def _policies(config: RunConfig, models: Path, trust: bool) -> dict[str, Policy]:
    task = config.task
    market = Setting(task.game, config.steps, task.random, context=task.random is not None)
    acts = engines.find(config.engine).load(market, config.algorithms(), models, trust=trust)
    return everyone(market, acts, config.fixed(), check_information(config.information))


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """A run that no other process writes meanwhile. On a read-only file system nothing can."""
    folder = run_folder.real(out)
    load_config(folder)  # said before anything is written
    run_folder.check_links(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(run_folder.locked(folder))
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
        yield


def evaluate_run(out: str | Path, *, trust: bool = False) -> RunEvaluation:
    """Compare a run with the equilibrium; writes ``metrics.json`` and the figures.

    An interrupted run is evaluated as it stands: ``timesteps_done`` says how far it came. On a read-only file system
    nothing is written, and ``written`` says so.

    Args:
        out: the run directory.
        trust: see :func:`load_policies`.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt, or a model needs trust.

    Examples:
        >>> import tempfile
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.runs import evaluate_run, train
        >>> config = RunConfig.of(read_scenario("execution-2"), "ppo", None, "sb3", timesteps=1280)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = train(config, f"{folder}/run")
        ...     again = evaluate_run(f"{folder}/run")
        >>> again.metrics == done.metrics
        True
    """
    needed("evaluation.plots", "train")  # said first where it is missing
    out = Path(out)
    with _held(out):
        so_far = reached(out)
        return _written(_compared(load_config(out), so_far, trust), so_far, out)


def evaluate_trained(config: RunConfig, out: Path, *, figures: bool = True) -> RunEvaluation:
    """The comparison of a training in this process with the equilibrium, which is written into its folder; without
    figures, which take longer than quick trainings do."""
    so_far = reached(out)
    result = _compared(config, so_far, True)
    _write(result, so_far, out, figures=figures)
    return result


def _compared(config: RunConfig, so_far: Reached, trust: bool) -> RunEvaluation:
    result = _in_all_markets(config, _policies(config, so_far.models, trust))
    metrics: RunMetrics = {
        "scenario": config.scenario,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "timesteps_done": so_far.circumstances["joint_market_steps"],
        **result.metrics,
    }
    return RunEvaluation(result.learned, result.equilibrium, metrics, parts=result.parts)


def _in_all_markets(config: RunConfig, policies: Mapping[str, Policy]) -> Evaluation:
    """The comparison with the equilibrium; in random markets its means over those that the task draws, beside the paths
    in the first of them."""
    task = config.task
    found = [
        evaluate(
            each.game,
            own,
            task.steps,
            config.information,
            each.equilibrium,
            inventory_spread=config.inventory_spread if task.random is None else 0.0,
            feedback=task.random is None,
        )
        for each, own in zip(task.markets, task.players(policies), strict=True)
    ]
    if task.random is None:
        return found[0]
    return replace(found[0], metrics=over_draws([each.metrics for each in found]))


def _write(result: RunEvaluation, so_far: Reached, out: Path, *, figures: bool = True) -> None:
    if figures:
        needed("evaluation.plots", "train").save(result, so_far.history, out / "figures")
    files.write_json(out / "metrics.json", result.metrics)  # last: a run with metrics is complete


def _written(result: RunEvaluation, so_far: Reached, out: Path) -> RunEvaluation:
    """The result, after it was written where it can be."""
    try:
        _write(result, so_far, out)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        return replace(result, written=False)
    return result


def _responses(config: RunConfig, policies: Mapping[str, Policy], result: Evaluation) -> Controls | None:
    """Everyone's best response to what the others have learned, one in each column; None where one was not found, and
    of agents too many to be drawn. In random markets in the first that the task draws."""
    task = config.task
    game, policies = task.markets[0].game, task.players(policies)[0]
    if len(game.agents) > NAMED:
        return None
    try:
        found = kind_of(game, config.steps).responses(policies, result.learned)
    except EquilibriumNotFound:
        return None
    joint = result.learned.controls
    for index, each in enumerate(found):
        joint = replaced(game, joint, each.controls, index)
    return joint


def write_report(out: str | Path, *, to: str | Path | None = None, trust: bool = False) -> Path:
    """Evaluate a run and write one HTML page; returns its path.

    Args:
        out: the run directory. Metrics and figures are written there too, but for a read-only file system.
        to: the page's file; None: ``report.html`` in the run directory.
        trust: see :func:`load_policies`.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt, or a model needs trust.
        OSError: the page cannot be written.
    """
    module = needed("evaluation.html_report", "train")
    out = Path(out)
    path = out / "report.html" if to is None else Path(to)
    with _held(out):
        config, so_far = load_config(out), reached(out)
        result = _written(_compared(config, so_far, trust), so_far, out)
        responses = _responses(config, _policies(config, so_far.models, trust), result)
        about = so_far.history, so_far.gains, config.document(), so_far.circumstances
        content = module.page(_shown_name(out), result, *about, responses)
        try:
            text.write(path, content)
        except OSError as error:
            if to is not None or error.errno not in READ_ONLY:
                raise
            hint = f"{error.strerror}; --to (to=) writes the page elsewhere"
            raise OSError(error.errno, hint, str(path)) from error
    return path

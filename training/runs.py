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

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from .common import checkpoint_folder, engines, files, run_folder
from .common.extras import check_installed, needed
from .common.learners import Learners
from .common.progress import columns
from .evaluation.standings import Standings
from .evaluation.tables import percent, remarks
from .record import Circumstances, Past, Record, as_past, load_circumstances, load_history
from .run_config import RunConfig, load_config, parse_algorithm
from .run_evaluation import RunEvaluation, evaluate_run, evaluate_trained, load_policies, write_report
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
        return train_in(config, place, run_folder.shown_name(out), console=console, address=address, logs=logs)


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
                about = module.Run(config, run_folder.shown_name(out), place, learners.steps_done)
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
    # a bar that is disabled still ends with an empty line on its console, until Rich 14.3
    shown = Console(quiet=True) if console is None else console
    return Progress(*columns(shown.width, total, "{task.fields[gain]}"), console=shown, disable=console is None)


def algorithm_text(config: RunConfig) -> str:
    """The algorithms of a run, as on the command line."""
    given = config.algorithm
    return given if isinstance(given, str) else ",".join(f"{agent}={name}" for agent, name in given.items())

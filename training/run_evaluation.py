"""A run compared with the equilibrium, from what stands in its directory, and the page about it.

Nothing that is in a directory is run: numbers and text are read. Models that are pickles alone are read where ``trust``
asks for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..baselines import EquilibriumNotFound
from ..baselines.kinds import kind_of
from ..baselines.profiles import replaced
from ..envs import Controls, Game, Policy, Trajectory, text
from ..envs.market import Setting
from ..envs.palette import NAMED
from .common import engines, files, run_folder
from .common.extras import needed
from .common.information import check_information
from .common.joint_market import everyone
from .evaluation.draws import over_draws
from .evaluation.metrics import RunMetrics
from .evaluation.scoring import Evaluation, evaluate
from .record import Reached, reached
from .run_config import RunConfig, load_config

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""numbers of the errors of a file system to which nothing can be written"""


@dataclass(frozen=True)
class RunEvaluation(Evaluation):
    """A run's comparison with the equilibrium."""

    metrics: RunMetrics
    written: bool = True
    """False where the run is on a read-only file system, so that neither metrics nor figures were written"""


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
            if error.errno not in _READ_ONLY:
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
        if error.errno not in _READ_ONLY:
            raise
        return replace(result, written=False)
    return result


def joint_responses(game: Game, steps: int, policies: Mapping[str, Policy], learned: Trajectory) -> Controls | None:
    """Everyone's best response to what the others have learned, one in each column; None where one was not found, and
    of agents too many to be drawn.

    Args:
        game: the game.
        steps: K.
        policies: everyone's.
        learned: their path, of means where anything is random.
    """
    if len(game.agents) > NAMED:
        return None
    try:
        found = kind_of(game, steps).responses(policies, learned)
    except EquilibriumNotFound:
        return None
    joint = learned.controls
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
        task, policies = config.task, _policies(config, so_far.models, trust)
        first = task.markets[0]  # of random markets the one whose paths are shown
        responses = joint_responses(first.game, task.steps, task.players(policies)[0], result.learned)
        about = so_far.history, so_far.gains, config.document(), so_far.circumstances
        content = module.page(run_folder.shown_name(out), result, *about, responses)
        try:
            text.write(path, content)
        except OSError as error:
            if to is not None or error.errno not in _READ_ONLY:
                raise
            hint = f"{error.strerror}; --to (to=) writes the page elsewhere"
            raise OSError(error.errno, hint, str(path)) from error
    return path

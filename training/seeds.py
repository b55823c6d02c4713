"""Trainings that differ in their seeds alone, in one folder and one process.

==================  ===============================================================================================
``seeds.json``      the seeds
``seed-K/``         a run directory for each, as one training writes it; see :mod:`.runs`
``seeds.csv``       NashConv by seed
``report.html``     all of them on one page, where it was asked for; see :mod:`.compare`
==================  ===============================================================================================

Each seed's run is that of a training alone, to the bits of its models and metrics; on a GPU, where seeds are an axis of
arrays, up to rounding. An engine that compiles its program
(:attr:`.Engine.together`) compiles it once, trains as many seeds at once as there are processors, and finds the best
responses of all of them together; it leaves figures, which take longer, to ``makertaker evaluate`` of a seed. Another
one trains one seed after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from . import runs, seed_folder
from .common import engines, files, run_folder
from .common.extras import check_installed, needed
from .common.learners import Learners
from .record import Past, as_past
from .run_config import RunConfig, load_config
from .runs import Follow, RunEvaluation
from .together import Group, one_by_one, together

BEGAN_AGAIN = "trained from the start, since it could not go on"


def _group(
    configs: Mapping[int, RunConfig],
    out: Path,
    console: Console | None,
    address: str | None,
    logs: Sequence[str] | None,
) -> Group:
    """Of one folder."""
    names = {seed: f"{out.name}-{seed}" for seed in configs}
    return Group(configs, {seed: seed_folder.folder(out, seed) for seed in configs}, names, console, address, logs)


def train_seeds(
    config: RunConfig,
    seeds: Sequence[int],
    out: str | Path,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    address: str | None = None,
    logs: Sequence[str] = (),
) -> dict[int, RunEvaluation]:
    """Train, evaluate, and write a run directory for each seed; their evaluations by seed.

    Args:
        config: of the training; its own seed does not matter.
        seeds: different ones.
        out: the folder of them all: a path that does not exist, an empty folder, or one of such trainings.
        overwrite: True if runs may be replaced.
        console: for the progress bar; None: there is none.
        address: of a Ray cluster, with the engine ``"ray"``; None: this machine.
        logs: of each run beside TensorBoard; see :mod:`.logs`.

    Raises:
        ImportError: a library is missing.
        ValueError: a bad argument, or a folder is in use or holds something else; nothing has been written then.
        FloatingPointError: trainings diverged; the others are complete.
        KeyboardInterrupt: after all models so far were written.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds: expected different ones, got {list(seeds)}")
    engine = engines.find(config.engine)
    check_installed(*engine.library)
    needed("logs", "train").check(logs)
    configs, out = {seed: config.with_seed(seed) for seed in seeds}, run_folder.real(Path(out))
    group = _group(configs, out, console, address, logs)
    with run_folder.made(out), ExitStack() as stack, seed_folder.table(out) as results:
        seed_folder.check_free(out)
        claims = {seed: stack.enter_context(ExitStack()) for seed in seeds}
        new = {seed: run_folder.claimed(group.folders[seed], overwrite, load_config) for seed in seeds}
        places = {seed: claims[seed].enter_context(new[seed]) for seed in seeds}
        if engine.together:
            with group.learners() as learners:
                _begin(group, learners[seeds[0]], places, out)
                together(group, learners, places, {}, claims, results)
            return results

        def train(seed: int, follow: Follow) -> RunEvaluation:
            with claims[seed]:  # it has its folder as soon as it is complete
                place, name = places[seed], group.names[seed]
                return runs.train_in(configs[seed], place, name, address=address, logs=logs, follow=follow)

        with config.learners(address=address) as first:  # a bad configuration is said before anything is written
            _begin(group, first, places, out)
        one_by_one(group, train, results)
    return results


def _begin(group: Group, learners: Learners, places: Mapping[int, Path], out: Path) -> None:
    """Write what the trainings are, so that each of them can be resumed."""
    runs.solve_first(group.config, group.console)
    group.config.task.warn_where_out_of_reach(learners.market)
    seed_folder.begin(out, list(group.configs))
    for seed, own in group.configs.items():
        files.write_json(places[seed] / "config.json", own.document())


def resume_seeds(
    out: str | Path,
    *,
    console: Console | None = None,
    address: str | None = None,
    logs: Sequence[str] | None = None,
) -> dict[int, RunEvaluation]:
    """Go on with the trainings of a folder from their last checkpoints; see :func:`.runs.resume`.

    Raises:
        ImportError: a library is missing.
        ValueError: there is no such folder, a run in it has no checkpoint, or another process writes into it.
        FloatingPointError: see :func:`train_seeds`.
    """
    out = run_folder.real(Path(out))
    seeds = seed_folder.seeds_of(out)
    needed("logs", "train").check(logs or ())
    with run_folder.made(out), ExitStack() as stack, seed_folder.table(out) as results:
        first = seed_folder.config_of(out)
        group = _group({seed: first.with_seed(seed) for seed in seeds}, out, console, address, logs)
        folders = group.folders
        for seed, own in group.configs.items():
            if runs.unfinished_config(folders[seed]) != own:  # said before anything is written
                raise ValueError(f"seeds: seed {seed} in {str(out)!r} is of another training than seed {seeds[0]}")
        if not engines.find(first.engine).together:
            one_by_one(group, partial(_resume, group), results)
            return results
        claims = {seed: stack.enter_context(ExitStack()) for seed in seeds}
        places = {seed: claims[seed].enter_context(run_folder.resumed(folders[seed])) for seed in seeds}
        with group.learners() as learners:
            pasts = {seed: as_past(learners[seed].load_checkpoint(places[seed] / "checkpoint")) for seed in seeds}
            together(group, learners, places, pasts, claims, results)
    return results


def _resume(group: Group, seed: int, follow: Follow) -> RunEvaluation:
    return runs.resume(group.folders[seed], address=group.address, logs=group.logs, follow=follow)


def train_or_go_on(
    configs: Mapping[int, RunConfig], folders: Mapping[int, Path], *, logs: Sequence[str] = (), threads: int = 1
) -> dict[int, str]:
    """Leave finished runs of trainings that an engine trains together, each in a folder of its own.

    Those that were interrupted go on from their checkpoints, the others begin, and replace what runs there are.

    Args:
        configs: by seed, equal but for it.
        folders: by seed.
        logs: of each run beside TensorBoard; see :mod:`.logs`.
        threads: that train at once.

    Returns:
        by seed the reason where one began again, since it could not go on.

    Raises:
        ValueError: as :func:`train_seeds` does.
        FloatingPointError: as :func:`train_seeds` does.
    """
    group = Group(configs, folders, {seed: each.name for seed, each in folders.items()}, None, None, logs, threads)
    notes, pasts, places = dict[int, str](), dict[int, Past](), dict[int, Path]()
    with ExitStack() as stack, group.learners() as learners:
        _ = group.config.task.payoff_size
        group.config.task.warn_where_out_of_reach(next(iter(learners.values())).market)
        claims = {seed: stack.enter_context(ExitStack()) for seed in configs}
        for seed, config in configs.items():
            if can_go_on(folders[seed], config):
                checkpoint = run_folder.unfinished(folders[seed]) / "checkpoint"
                try:
                    pasts[seed] = as_past(learners[seed].load_checkpoint(checkpoint))
                except ValueError as error:
                    notes[seed] = f"{BEGAN_AGAIN}: {error}"
                    learners[seed] = learners[seed].with_seed(seed)
            claim = (
                run_folder.resumed(folders[seed])
                if seed in pasts
                else run_folder.claimed(folders[seed], True, load_config)
            )
            places[seed] = claims[seed].enter_context(claim)
            if seed not in pasts:
                files.write_json(places[seed] / "config.json", config.document())
        together(group, learners, places, pasts, claims, {})
    return notes


def can_go_on(folder: Path, config: RunConfig) -> bool:
    """True for a folder with a checkpoint of a training."""
    place = run_folder.unfinished(folder)
    try:
        return bool(list(place.glob("checkpoint*"))) and load_config(place) == config
    except ValueError:
        return False

"""Trainings that differ in their seeds alone, in one folder and one process.

==================  ===============================================================================================
``seeds.json``      the seeds
``seed-K/``         a run directory for each, as one training writes it; see :mod:`.runs`
``seeds.csv``       NashConv by seed
``report.html``     all of them on one page, where it was asked for; see :mod:`.compare`
==================  ===============================================================================================

Each seed's run is that of a training alone, to the bits of its models and metrics. An engine that compiles its program
(:attr:`.Engine.together`) compiles it once, trains as many seeds at once as there are processors, and finds the best
responses of all of them together; it leaves figures, which take longer, to ``makertaker evaluate`` of a seed. Another
one trains one seed after the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from ..baselines.reach import warn_where_out_of_reach
from . import runs
from .common import engines, files, run_folder
from .common.extras import check_installed, needed
from .common.learners import Learners
from .evaluation.spread import progress
from .evaluation.standings import Standings
from .record import Past, Record, as_past, load_history
from .run_config import RunConfig, load_config
from .runs import Follow, RunEvaluation

_SEEDS, _TABLE = "seeds.json", "seeds.csv"
BEGAN_AGAIN = "trained from the start, since it could not go on"
_COLUMNS = ("seed", "relative_nash_conv", "nash_conv", "control_distance", "timesteps", "run")


class Evaluated(NamedTuple):
    """The trainings of a folder."""

    results: dict[int, RunEvaluation]
    """by seed"""
    left_out: dict[int, str]
    """seeds that cannot be evaluated, with reasons"""


@dataclass(frozen=True)
class _Group:
    """The trainings of a group while they go on; all mappings are by seed."""

    configs: Mapping[int, RunConfig]
    folders: Mapping[int, Path]
    names: Mapping[int, str]
    """for logs"""
    console: Console | None
    address: str | None
    logs: Sequence[str] | None
    threads: int | None = None
    """that train at once; None: as many as there are processors"""

    @property
    def config(self) -> RunConfig:
        """Of the first."""
        return next(iter(self.configs.values()))

    @contextmanager
    def learners(self) -> Iterator[dict[int, Learners]]:
        """Fresh learners, which share their program."""
        first, *_ = self.configs
        with self.config.learners(address=self.address) as learners:
            yield {seed: learners if seed == first else learners.with_seed(seed) for seed in self.configs}


def _group(
    configs: Mapping[int, RunConfig],
    out: Path,
    console: Console | None,
    address: str | None,
    logs: Sequence[str] | None,
) -> _Group:
    """Of one folder."""
    names = {seed: f"{out.name}-{seed}" for seed in configs}
    return _Group(configs, {seed: _folder(out, seed) for seed in configs}, names, console, address, logs)


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
    with run_folder.made(out), ExitStack() as stack, _table(out) as results:
        _check(out)
        claims = {seed: stack.enter_context(ExitStack()) for seed in seeds}
        new = {seed: run_folder.claimed(group.folders[seed], overwrite, load_config) for seed in seeds}
        places = {seed: claims[seed].enter_context(new[seed]) for seed in seeds}
        if engine.together:
            with group.learners() as learners:
                _begin(group, learners[seeds[0]], places, out)
                _train_together(group, learners, places, {}, claims, results)
            return results

        def train(seed: int, follow: Follow) -> RunEvaluation:
            with claims[seed]:  # it has its folder as soon as it is complete
                place, name = places[seed], group.names[seed]
                return runs.train_in(configs[seed], place, name, address=address, logs=logs, follow=follow)

        with config.learners(address=address) as first:  # a bad configuration is said before anything is written
            _begin(group, first, places, out)
        _train_one_by_one(group, train, results)
    return results


@contextmanager
def _table(out: Path) -> Iterator[dict[int, RunEvaluation]]:
    """Evaluations to be filled in; an interrupt leaves the table of what was computed."""
    results: dict[int, RunEvaluation] = {}
    try:
        yield results
    finally:
        if results:
            _write_table(out, results)


def _begin(group: _Group, learners: Learners, places: Mapping[int, Path], out: Path) -> None:
    """Write what the trainings are, so that each of them can be resumed."""
    warn_where_out_of_reach(learners.market, group.config.task.equilibrium)
    _ = group.config.task.payoff_size
    files.write_json(out / _SEEDS, {"seeds": list(group.configs)})
    (out / _TABLE).unlink(missing_ok=True)  # it would be of earlier trainings
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
    seeds = seeds_of(out)
    needed("logs", "train").check(logs or ())
    with run_folder.made(out), ExitStack() as stack, _table(out) as results:
        first = config_of(out)
        group = _group({seed: first.with_seed(seed) for seed in seeds}, out, console, address, logs)
        folders = group.folders
        for seed, own in group.configs.items():
            if runs.unfinished_config(folders[seed]) != own:  # said before anything is written
                raise ValueError(f"seeds: seed {seed} in {str(out)!r} is of another training than seed {seeds[0]}")
        if not engines.find(first.engine).together:
            _train_one_by_one(group, partial(_resume, group), results)
            return results
        claims = {seed: stack.enter_context(ExitStack()) for seed in seeds}
        places = {seed: claims[seed].enter_context(run_folder.resumed(folders[seed])) for seed in seeds}
        with group.learners() as learners:
            pasts = {seed: as_past(learners[seed].load_checkpoint(places[seed] / "checkpoint")) for seed in seeds}
            _train_together(group, learners, places, pasts, claims, results)
    return results


def _resume(group: _Group, seed: int, follow: Follow) -> RunEvaluation:
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
    group = _Group(configs, folders, {seed: each.name for seed, each in folders.items()}, None, None, logs, threads)
    notes, pasts, places = dict[int, str](), dict[int, Past](), dict[int, Path]()
    with ExitStack() as stack, group.learners() as learners:
        _ = group.config.task.payoff_size
        warn_where_out_of_reach(next(iter(learners.values())).market, group.config.task.equilibrium)
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
        _train_together(group, learners, places, pasts, claims, {})
    return notes


def can_go_on(folder: Path, config: RunConfig) -> bool:
    """True for a folder with a checkpoint of a training."""
    place = run_folder.unfinished(folder)
    try:
        return bool(list(place.glob("checkpoint*"))) and load_config(place) == config
    except ValueError:
        return False


def alike(config: RunConfig) -> str:
    """All of a configuration but its seed, as text: trainings of one text differ in their seeds alone."""
    return json.dumps({**config.document(), "seed": None}, sort_keys=True)


def evaluate_seeds(out: str | Path, *, trust: bool = False) -> Evaluated:
    """Compare the runs of a folder with the equilibrium, as far as they came; see :func:`.runs.evaluate_run`.

    Raises:
        ValueError: there is no such folder, or none of its runs can be evaluated.
    """
    out = run_folder.real(Path(out))
    results, left_out = dict[int, RunEvaluation](), dict[int, str]()
    for seed in seeds_of(out):
        try:
            results[seed] = runs.evaluate_run(_folder(out, seed), trust=trust)
        except ValueError as error:
            left_out[seed] = str(error)
    if not results:
        raise ValueError(next(iter(left_out.values())))
    if all(each.written for each in results.values()):
        _write_table(out, results)
    return Evaluated(results, left_out)


def is_group(out: str | Path) -> bool:
    """True for a folder of :func:`train_seeds`."""
    return (Path(out) / _SEEDS).is_file()


def seeds_of(out: str | Path) -> list[int]:
    """The seeds of a folder. Raises ValueError where there are none, or they cannot be read."""
    path = Path(out) / _SEEDS
    found = files.read_json(path).get("seeds")
    if not isinstance(found, list) or not found or not all(type(seed) is int and seed >= 0 for seed in found):
        raise ValueError(f"run: {str(path)!r} cannot be read: expected seeds, got {found!r:.100}")
    return found


def folders_of(out: str | Path) -> list[Path]:
    """The run directories of a folder, whether they are there or not. Raises ValueError as :func:`seeds_of` does."""
    return [_folder(Path(out), seed) for seed in seeds_of(out)]


def config_of(out: str | Path) -> RunConfig:
    """The configuration of the first of a folder's trainings. Raises ValueError where it cannot be read."""
    return runs.unfinished_config(_folder(Path(out), seeds_of(out)[0]))


def _folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _check(out: Path) -> None:
    """Raises ValueError where a folder has something else in it."""
    found = run_folder.others(out)
    if found and not is_group(out):
        listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise ValueError(f"out: {str(out)!r} holds something else, expected a new folder for seeds; it has {listed}")


def _train_one_by_one(
    group: _Group, train: Callable[[int, Follow], RunEvaluation], results: dict[int, RunEvaluation]
) -> None:
    """Fill in the results. Raises FloatingPointError in the end where trainings diverged."""
    diverged: dict[int, FloatingPointError] = {}
    runs.show_remarks(group.config, group.console)
    with _shown(group) as follow:
        for seed, config in group.configs.items():
            try:
                results[seed] = train(seed, partial(follow, seed))
            except FloatingPointError as error:
                diverged[seed] = error
            else:
                follow(seed, config.timesteps, load_history(group.folders[seed])[-1, 2])
    _say_diverged(diverged)


def _say_diverged(diverged: Mapping[int, FloatingPointError]) -> None:
    """Raises FloatingPointError where there are some."""
    if diverged:
        raise FloatingPointError("; ".join(f"seed {seed}: {error}" for seed, error in diverged.items()))


@contextmanager
def _shown(group: _Group) -> Iterator[Callable[[int, int, float], None]]:
    """A progress bar of all seeds: call it with a seed, its joint market steps and its relative NashConv."""
    timesteps, done, gains = group.config.timesteps, dict[int, int](), dict[int, float]()
    with runs.progress_bar(group.console) as bar:
        task = bar.add_task(f"{len(group.configs)} seeds", total=timesteps * len(group.configs), gain="")

        def follow(seed: int, steps: int, gain: float) -> None:
            done[seed], gains[seed] = min(steps, timesteps), gain
            bar.update(task, completed=sum(done.values()), gain=progress(gains.values()))

        yield follow


def _train_together(
    group: _Group,
    learners: Mapping[int, Learners],
    places: Mapping[int, Path],
    pasts: Mapping[int, Past],
    claims: Mapping[int, ExitStack],
    results: dict[int, RunEvaluation],
) -> None:
    """Train in one loop, and fill in the results.

    Args:
        group: the trainings.
        learners: of each.
        places: where each is written.
        pasts: of those that go on; the others begin.
        claims: to be closed where a training is complete.
        results: to be filled in.

    Raises:
        FloatingPointError: in the end, where trainings diverged.
    """
    module = needed("logs", "train")
    standings = Standings(group.config.task)
    with ExitStack() as stack:
        records = {}
        for seed, place in places.items():
            past = pasts.get(seed)
            if past is None:
                past = runs.begin(learners[seed], place)
            done = learners[seed].steps_done if seed in pasts else None
            about = module.Run(group.configs[seed], group.names[seed], place, done)
            asked = group.logs if done is None else group.logs or None  # None: as it began
            log = stack.enter_context(module.opened(about, asked))
            records[seed] = Record(group.configs[seed], learners[seed], place, past, standings, log)
        runs.show_remarks(group.config, group.console)
        try:
            with _shown(group) as follow:
                diverged = _learn(group, records, standings, follow)
        except BaseException:  # leave what was computed; what has diverged is worth nothing
            for record in records.values():
                if record.learners.finite:
                    record.save(complete=False)
            raise
        complete = {seed: record for seed, record in records.items() if seed not in diverged}
        for record in complete.values():
            record.save(complete=True)
    for seed in complete:
        results[seed] = runs.evaluate_trained(group.configs[seed], places[seed], figures=False)
        claims[seed].close()
    _say_diverged(diverged)


def _learn(
    group: _Group, records: Mapping[int, Record], standings: Standings, follow: Callable[[int, int, float], None]
) -> dict[int, FloatingPointError]:
    """Train until all are complete; the errors of those that diverged, which are left where they were."""
    timesteps, diverged = group.config.timesteps, dict[int, FloatingPointError]()

    def advance(record: Record) -> None:
        record.learners.learn(timesteps, until=_next(record))

    def score(scored: Sequence[Record], *, last: bool = False) -> None:
        for record, found in zip(
            scored, standings.together([each.learners.policies() for each in scored]), strict=True
        ):
            record.history.add(record.learners.steps_done, last=last, found=found)
        for seed, record in records.items():
            follow(seed, record.learners.steps_done, record.gain)

    with ThreadPoolExecutor(group.threads or os.cpu_count()) as pool:
        while going := {s: each for s, each in records.items() if s not in diverged and not each.complete}:
            stops = {seed: record.until for seed, record in going.items()}
            for seed, ended in [(seed, pool.submit(advance, record)) for seed, record in going.items()]:
                try:
                    ended.result()
                except FloatingPointError as error:
                    diverged[seed] = error
                    del going[seed]
            score([each for each in going.values() if each.history.due(each.learners.steps_done)])
            for seed, record in going.items():
                if record.learners.steps_done >= stops[seed]:
                    record.checkpoint()
        score([record for seed, record in records.items() if seed not in diverged], last=True)
    return diverged


def _next(record: Record) -> int:
    """Joint market steps of the next evaluation or checkpoint."""
    episode = record.learners.episode
    done = record.learners.steps_done + episode
    while done < record.until and not record.history.due(done):
        done += episode
    return done


def _write_table(out: Path, results: Mapping[int, RunEvaluation]) -> None:
    files.write_csv(out / _TABLE, [_COLUMNS, *(_row(seed, each) for seed, each in results.items())])


def _row(seed: int, result: RunEvaluation) -> list[object]:
    metrics = result.metrics
    numbers = [metrics["relative_nash_conv"], metrics["nash_conv"], metrics["control_distance"]]
    return [seed, *numbers, metrics["timesteps_done"], f"seed-{seed}"]

"""Trainings that differ in their seeds alone, in one process that compiles their program once.

==================  ===============================================================================================
``seeds.json``      the seeds
``seed-K/``         a run directory for each, as one training writes it; see :mod:`.runs`
``seeds.csv``       NashConv by seed
==================  ===============================================================================================

Each seed's run is that of a training alone: the same program, of which as many run at once as there are processors, so
that its models and metrics are the same bits. Best responses of all seeds are found together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from . import runs
from .common import engines, files, run_folder
from .common.extras import check_installed, needed
from .common.learners import Learners
from .evaluation.standings import Standings
from .record import Record, as_past
from .run_config import RunConfig, load_config
from .runs import RunEvaluation

_SEEDS, _TABLE = "seeds.json", "seeds.csv"
_COLUMNS = ("seed", "relative_nash_conv", "nash_conv", "control_distance", "timesteps", "run")


def train_seeds(
    config: RunConfig,
    seeds: Sequence[int],
    out: str | Path,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    logs: Sequence[str] = (),
) -> dict[int, RunEvaluation]:
    """Train, evaluate, and write a run directory for each seed; their evaluations by seed.

    Args:
        config: of the training; its own seed does not matter.
        seeds: different ones.
        out: the folder of them all: a path that does not exist, an empty folder, or one of such trainings.
        overwrite: True if runs may be replaced.
        console: for the progress bar; None: there is none.
        logs: of each run beside TensorBoard; see :mod:`.logs`.

    Raises:
        ImportError: a library is missing.
        ValueError: the engine does not train several seeds together, or a folder is in use or holds something else.
        FloatingPointError: a training diverged; the others are saved as far as they came.
        KeyboardInterrupt: after all models so far were written.
    """
    if not engines.find(config.engine).together:
        raise ValueError(
            f"seeds: engine {config.engine!r} trains one at a time, expected 1 seed; 'makertaker sweep' trains several"
        )
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds: expected different ones, got {list(seeds)}")
    check_installed(*engines.find(config.engine).library)
    module = needed("logs", "train")
    module.check(logs)
    configs, out = {seed: config.with_seed(seed) for seed in seeds}, run_folder.real(Path(out))
    with run_folder.made(out), ExitStack() as stack:
        _check(out)
        claims = {s: run_folder.claimed(_folder(out, s), overwrite, load_config) for s in seeds}
        places = {seed: stack.enter_context(claim) for seed, claim in claims.items()}
        files.write_json(out / _SEEDS, {"seeds": list(seeds)})
        with _learners(configs) as learners:
            for seed, own in configs.items():
                files.write_json(places[seed] / "config.json", own.document())
                learners[seed].save_checkpoint(places[seed] / "checkpoint", {"history": [], "seconds": 0.0})
            return _train(configs, learners, places, out, console, logs, begun=False)


def resume_seeds(
    out: str | Path, *, console: Console | None = None, logs: Sequence[str] | None = None
) -> dict[int, RunEvaluation]:
    """Go on with the trainings of a folder from their last checkpoints; see :func:`.runs.resume`.

    Raises:
        ImportError: a library is missing.
        ValueError: there is no such folder, a run in it has no checkpoint, or another process writes into it.
    """
    out = run_folder.real(Path(out))
    seeds = seeds_of(out)
    needed("logs", "train").check(logs or ())
    with run_folder.made(out), ExitStack() as stack:
        places = {}
        for seed in seeds:
            folder = _folder(out, seed)
            runs.unfinished_config(folder)  # said before anything is written
            stack.enter_context(run_folder.locked(folder))
            run_folder.settle(folder)
            places[seed] = run_folder.unfinished(folder)
        first = load_config(places[seeds[0]])
        configs = {seed: first.with_seed(seed) for seed in seeds}
        for seed, own in configs.items():
            if load_config(places[seed]) != own:
                raise ValueError(f"seeds: seed {seed} in {str(out)!r} is of another training than seed {seeds[0]}")
        with _learners(configs) as learners:
            found = _train(configs, learners, places, out, console, logs, begun=True)
        for seed, place in places.items():
            run_folder.finish(_folder(out, seed), place)
    return found


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


@contextmanager
def _learners(configs: Mapping[int, RunConfig]) -> Iterator[dict[int, Learners]]:
    """Fresh learners by seed, which share their program."""
    (first, config), *_ = configs.items()
    with config.learners() as learners:
        yield {seed: learners if seed == first else learners.with_seed(seed) for seed in configs}


def _train(
    configs: Mapping[int, RunConfig],
    learners: Mapping[int, Learners],
    places: Mapping[int, Path],
    out: Path,
    console: Console | None,
    logs: Sequence[str] | None,
    *,
    begun: bool,
) -> dict[int, RunEvaluation]:
    module, config = needed("logs", "train"), next(iter(configs.values()))
    standings = Standings(config.task)
    with ExitStack() as stack:
        records = {}
        for seed, place in places.items():
            past = learners[seed].load_checkpoint(place / "checkpoint") if begun else {"history": [], "seconds": 0.0}
            about = module.Run(configs[seed], f"{out.name}-{seed}", place, learners[seed].steps_done if begun else None)
            log = stack.enter_context(module.opened(about, logs))
            records[seed] = Record(configs[seed], learners[seed], place, as_past(past), standings, log)
        runs.show_remarks(config, console)
        try:
            _learn(records, config.timesteps, standings, console)
        except BaseException:  # leave what was computed; what has diverged is worth nothing
            for record in records.values():
                if record.learners.finite:
                    record.save(complete=False)
            raise
        for record in records.values():
            record.save(complete=True)
    results = {seed: runs.evaluate_trained(configs[seed], place) for seed, place in places.items()}
    files.write_csv(out / _TABLE, [_COLUMNS, *(_row(seed, each) for seed, each in results.items())])
    return results


def _learn(records: Mapping[int, Record], timesteps: int, standings: Standings, console: Console | None) -> None:
    def advance(record: Record) -> None:
        record.learners.learn(timesteps, until=_next(record))

    def score(scored: Sequence[Record], *, last: bool = False) -> None:
        for record, found in zip(
            scored, standings.together([each.learners.policies() for each in scored]), strict=True
        ):
            record.history.add(record.learners.steps_done, last=last, found=found)

    with runs.progress_bar(console) as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bar.add_task(f"{len(records)} seeds", total=timesteps, gain="")
        while going := {seed: record for seed, record in records.items() if not record.complete}:
            stops = {seed: record.until for seed, record in going.items()}
            for seed, ended in [(seed, pool.submit(advance, record)) for seed, record in going.items()]:
                try:
                    ended.result()
                except FloatingPointError as error:
                    raise FloatingPointError(f"seed {seed}: {error}") from error
            score([each for each in going.values() if each.history.due(each.learners.steps_done)])
            for seed, record in going.items():
                if record.learners.steps_done >= stops[seed]:
                    record.checkpoint()
            least = min(record.learners.steps_done for record in records.values())
            median = float(np.median([record.gain for record in records.values()]))
            bar.update(task, completed=min(least, timesteps), gain=f"NashConv {median:.3f}%, median")
        score(list(records.values()), last=True)


def _next(record: Record) -> int:
    """Joint market steps of the next evaluation or checkpoint."""
    episode = record.learners.episode
    done = record.learners.steps_done + episode
    while done < record.until and not record.history.due(done):
        done += episode
    return done


def _row(seed: int, result: RunEvaluation) -> list[object]:
    metrics = result.metrics
    numbers = [metrics["relative_nash_conv"], metrics["nash_conv"], metrics["control_distance"]]
    return [seed, *numbers, metrics["timesteps_done"], f"seed-{seed}"]

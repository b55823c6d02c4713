"""Trainings that differ in their seeds alone, in one process: all at once, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from . import runs
from .common.extras import needed
from .common.learners import Learners
from .evaluation.spread import progress
from .evaluation.standings import Standings
from .record import Past, Record, load_history, origin_of
from .run_config import RunConfig
from .run_evaluation import RunEvaluation, evaluate_trained
from .runs import Follow


@dataclass(frozen=True)
class Group:
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


def one_by_one(group: Group, train: Callable[[int, Follow], RunEvaluation], results: dict[int, RunEvaluation]) -> None:
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
def _shown(group: Group) -> Iterator[Callable[[int, int, float], None]]:
    """A progress bar of all seeds: call it with a seed, its joint market steps and its relative NashConv."""
    timesteps, done, gains = group.config.timesteps, dict[int, int](), dict[int, float]()
    with runs.progress_bar(group.console, timesteps * len(group.configs)) as bar:
        task = bar.add_task(f"{len(group.configs)} seeds", total=timesteps * len(group.configs), gain="")

        def follow(seed: int, steps: int, gain: float) -> None:
            done[seed], gains[seed] = min(steps, timesteps), gain
            bar.update(task, completed=sum(done.values()), gain=progress(gains.values()))

        yield follow


def together(
    group: Group,
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
    standings, source = Standings(group.config.task), origin_of(group.config)
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
            records[seed] = Record(group.configs[seed], learners[seed], place, past, standings, log, source)
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
        results[seed] = evaluate_trained(group.configs[seed], places[seed], figures=False)
        claims[seed].close()
    _say_diverged(diverged)


def _learn(
    group: Group, records: Mapping[int, Record], standings: Standings, follow: Callable[[int, int, float], None]
) -> dict[int, FloatingPointError]:
    """Train until all are complete; the errors of those that diverged, which are left where they were."""
    timesteps, diverged = group.config.timesteps, dict[int, FloatingPointError]()

    def advance(going: Mapping[int, Record]) -> None:
        learners, ends = [each.learners for each in going.values()], [_next(each) for each in going.values()]
        errors = learners[0].learn_together(learners, timesteps, ends, group.threads)
        diverged.update({seed: error for seed, error in zip(going, errors, strict=True) if error is not None})

    def score(scored: Sequence[Record], *, last: bool = False) -> None:
        profiles = [each.learners.policies(standings.context) for each in scored]
        for record, found in zip(scored, standings.together(profiles), strict=True):
            record.history.add(record.learners.steps_done, last=last, found=found)
        for seed, record in records.items():
            follow(seed, record.learners.steps_done, record.gain)

    while going := {seed: each for seed, each in records.items() if seed not in diverged and not each.complete}:
        stops = {seed: record.until for seed, record in going.items()}
        advance(going)
        sound = {seed: record for seed, record in going.items() if seed not in diverged}
        score([each for each in sound.values() if each.history.due(each.learners.steps_done)])
        for seed, record in sound.items():
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

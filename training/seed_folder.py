"""A folder of trainings that differ in their seeds alone: what stands where, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import runs
from .common import files, run_folder
from .run_config import RunConfig
from .runs import RunEvaluation

_SEEDS, _TABLE = "seeds.json", "seeds.csv"
_COLUMNS = ("seed", "relative_nash_conv", "nash_conv", "control_distance", "timesteps", "run")


class Evaluated(NamedTuple):
    """The trainings of a folder."""

    results: dict[int, RunEvaluation]
    """by seed"""
    left_out: dict[int, str]
    """seeds that cannot be evaluated, with reasons"""


def is_group(out: str | Path) -> bool:
    """True for a folder of :func:`.seeds.train_seeds`."""
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
    return [folder(Path(out), seed) for seed in seeds_of(out)]


def config_of(out: str | Path) -> RunConfig:
    """The configuration of the first of a folder's trainings. Raises ValueError where it cannot be read."""
    return runs.unfinished_config(folder(Path(out), seeds_of(out)[0]))


def folder(out: Path, seed: int) -> Path:
    """The run directory of a seed."""
    return out / f"seed-{seed}"


def check_free(out: Path) -> None:
    """Raises ValueError where a folder has something else in it."""
    found = run_folder.others(out)
    if found and not is_group(out):
        listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise ValueError(f"out: {str(out)!r} holds something else, expected a new folder for seeds; it has {listed}")


def begin(out: Path, seeds: Sequence[int]) -> None:
    """Write the seeds of trainings that begin."""
    files.write_json(out / _SEEDS, {"seeds": list(seeds)})
    (out / _TABLE).unlink(missing_ok=True)  # it would be of earlier trainings


@contextmanager
def table(out: Path) -> Iterator[dict[int, RunEvaluation]]:
    """Evaluations to be filled in; an interrupt leaves the table of what was computed."""
    results: dict[int, RunEvaluation] = {}
    try:
        yield results
    finally:
        if results:
            _write_table(out, results)


def evaluate_seeds(out: str | Path, *, trust: bool = False) -> Evaluated:
    """Compare the runs of a folder with the equilibrium, as far as they came; see :func:`.runs.evaluate_run`.

    Raises:
        ValueError: there is no such folder, or none of its runs can be evaluated.
    """
    out = run_folder.real(Path(out))
    results, left_out = dict[int, RunEvaluation](), dict[int, str]()
    for seed in seeds_of(out):
        try:
            results[seed] = runs.evaluate_run(folder(out, seed), trust=trust)
        except ValueError as error:
            left_out[seed] = str(error)
    if not results:
        raise ValueError(next(iter(left_out.values())))
    if all(each.written for each in results.values()):
        _write_table(out, results)
    return Evaluated(results, left_out)


def _write_table(out: Path, results: Mapping[int, RunEvaluation]) -> None:
    files.write_csv(out / _TABLE, [_COLUMNS, *(_row(seed, each) for seed, each in results.items())])


def _row(seed: int, result: RunEvaluation) -> list[object]:
    metrics = result.metrics
    numbers = [metrics["relative_nash_conv"], metrics["nash_conv"], metrics["control_distance"]]
    return [seed, *numbers, metrics["timesteps_done"], f"seed-{seed}"]

"""Tables and figures of a suite from its files alone: ``runs.csv``, ``curves.csv`` and ``suite.json``.

===================  ==============================================================================================
``markets.csv``      a row for each market and learner: median, interquartile mean, their intervals, worst seed
``learners.csv``     a row for each learner over the markets that all of them have done
``improvement.csv``  probability that a run of one learner is nearer to Nash than one of another
``*.png``            :mod:`.figures`
===================  ==============================================================================================
"""

from __future__ import annotations

from pathlib import Path

from ...envs import text
from ..common import files
from . import figures
from .summary import improvement_rows, learner_rows, market_rows, read_results


def write_report(folder: str | Path) -> list[Path]:
    """Write tables and figures beside the files that they are made of; their paths.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: a file is missing or cannot be read, or no run is finished.
    """
    folder, found = Path(folder), read_results(folder)
    if not found.cells:
        raise ValueError(f"results: no run in {text.shown(str(folder))!r} is finished")
    best = learner_rows(found)
    order = [str(row["learner"]) for row in best]
    tables = {"markets": market_rows(found), "learners": best, "improvement": improvement_rows(found, order)}
    written = []
    for name, rows in tables.items():
        path = folder / f"{name}.csv"
        header = list(rows[0]) if rows else []
        files.write_csv(path, [header, *([row[key] for key in header] for row in rows)])
        written.append(path)
    return [*written, *figures.save(found, tables, folder)]

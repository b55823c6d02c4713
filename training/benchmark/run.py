"""A benchmark: trainings of suites in one folder, and their results.

==================  ===============================================================================================
``runs/``           a run directory for each training; those that suites share are trained once
``sweep.json``      the trainings that were asked for last
``SUITE/``          the suite's files: see :mod:`.results` and :mod:`.report`
==================  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..many import Row, train_many
from .report import write_report
from .results import write_results
from .suites import Suite


@dataclass(frozen=True)
class Outcome:
    """What became of a suite."""

    suite: Suite
    rows: Sequence[Row]
    files: Sequence[Path]
    """tables and figures; none where no training is finished"""

    @property
    def failed(self) -> dict[str, str]:
        """Reasons by name of a training."""
        return {row.name: row.note for row in self.rows if row.metrics is None}


def run_suite(
    suite: Suite,
    out: str | Path,
    *,
    overwrite: bool = False,
    address: str | None = None,
    console: Console | None = None,
) -> Outcome:
    """Do the trainings of a suite that are missing, and write its results, tables and figures.

    Args:
        suite: of :func:`.suites.load_suite`.
        out: the folder.
        overwrite: True if trainings of the same names, but with other settings, may be replaced.
        address: of a Ray cluster; None: this machine, with Ray's tasks where Ray is installed, otherwise processes.
        console: for the progress bar; None: there is none.

    Raises:
        ImportError: a library is missing; see :func:`~.many.train_many`.
        ValueError: see :func:`~.many.train_many`; nothing has been written or removed then.
        KeyboardInterrupt: after the results of what is finished were written.
    """
    written: list[Path] = []

    def write(rows: list[Row], folder: Path) -> None:
        write_results(suite, rows, folder / "runs", folder / suite.name)
        if any(row.metrics is not None for row in rows):
            written.extend(write_report(folder / suite.name))

    configs = {name: each.config for name, each in suite.trainings.items()}
    rows = train_many(configs, out, write, overwrite=overwrite, address=address, console=console)
    return Outcome(suite, rows, written)

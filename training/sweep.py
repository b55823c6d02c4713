"""Sweeps: scenarios x algorithms x seeds side by side, on one machine or a cluster; one table at the end.

==================  ===============================================================================================
``sweep.json``      the trainings that were asked for last
``runs/``           a run directory for each training; see :mod:`.many`
``table.csv``       one row for each training that was asked for
``sweep.png``       relative NashConv by scenario and algorithm
==================  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from .common import files
from .common.extras import needed
from .evaluation.metrics import Group
from .many import Row, folder_name, train_many
from .runs import RunConfig, algorithm_text

_TABLE = "table.csv"
COLUMNS = (
    *("scenario", "algorithm", "seed", "status", "relative_nash_conv", "open_loop_relative_nash_conv"),
    *("control_distance", "timesteps", "seconds", "run", "note", "equilibrium"),
)


def cells(row: Row) -> dict[str, object]:
    """Values of :data:`COLUMNS`; None where there is none."""
    config = row.config
    metrics: Mapping[str, object] = {} if row.metrics is None else row.metrics
    told = (config.scenario, algorithm_text(config), config.seed, "done" if metrics else "failed")
    found = (metrics.get(name) for name in COLUMNS[4:7])
    rest = (config.timesteps, row.seconds, f"runs/{row.name}", row.note, "; ".join(row.notes))
    return dict(zip(COLUMNS, (*told, *found, *rest), strict=True))


def sweep(
    configs: Sequence[RunConfig],
    out: str | Path,
    *,
    overwrite: bool = False,
    address: str | None = None,
    console: Console | None = None,
    logs: Sequence[str] = (),
) -> list[Row]:
    """Do the trainings that are missing, and write one table of all that were asked for.

    Args:
        configs: the trainings.
        out: the folder of the sweep.
        overwrite: True if trainings of the same names, but with other configurations, may be replaced.
        address: of a Ray cluster; None: this machine, or the cluster that this process is connected to.
        console: for the progress bar; None: there is none.
        logs: of each training beside TensorBoard; see :mod:`.logs`.

    Returns:
        a row for each of ``configs``, in their order; a training that failed has no metrics and a ``note``.

    Raises:
        ImportError: a library that learns or logs is missing here, or Ray for an address.
        ValueError: nothing to train, two trainings of one name, an engine that has processes of its own, no cluster at
            the address, or the folder holds something else, or another sweep writes it; nothing has been written or
            removed then.
        KeyboardInterrupt: after the table of finished trainings was written.

    Examples:
        >>> import tempfile
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.sweep import sweep
        >>> config = RunConfig.of(read_scenario("execution-2"), "ppo", None, "sb3", timesteps=1280)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = sweep([config], folder)
        >>> [row.name for row in rows if row.metrics is not None]
        ['execution-2-ppo-0']
    """
    return train_many(_named(configs), out, _write, overwrite=overwrite, address=address, console=console, logs=logs)


def _named(configs: Sequence[RunConfig]) -> dict[str, RunConfig]:
    named: dict[str, RunConfig] = {}
    for config in configs:
        name = folder_name(f"{config.scenario}-{algorithm_text(config)}-{config.seed}")
        if name in named:
            raise ValueError(f"sweep: expected different trainings, got {name!r} twice")
        named[name] = config
    return named


def _write(rows: Sequence[Row], out: Path) -> None:
    files.write_csv(out / _TABLE, [COLUMNS, *(cells(row).values() for row in rows)])
    groups = summary(rows)
    if any(each["relative_nash_conv"] for each in groups):
        needed("evaluation.plots", "train").save_sweep(groups, out / "sweep.png")
    else:
        (out / "sweep.png").unlink(missing_ok=True)  # it would show an earlier table


def summary(rows: Sequence[Row]) -> list[Group]:
    """For each scenario and algorithm: relative NashConv by seed, its median, mean seconds, and failures.

    Examples:
        >>> from makertaker.envs import read_scenario
        >>> from makertaker.training.run_config import RunConfig
        >>> from makertaker.training.sweep import Row, summary
        >>> config = RunConfig.of(read_scenario("acas"), "ppo", None, "sb3", seed=3)
        >>> (group,) = summary([Row("acas-ppo-3", config, note="diverged")])
        >>> group["median"], group["failed"]
        (None, {'3': 'diverged'})
    """
    members: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        members.setdefault((row.config.scenario, algorithm_text(row.config)), []).append(row)
    groups: list[Group] = []
    for (scenario, algorithm), each in members.items():
        values = {str(row.config.seed): row.metrics["relative_nash_conv"] for row in each if row.metrics is not None}
        groups.append(
            {
                "scenario": scenario,
                "algorithm": algorithm,
                "relative_nash_conv": values,
                "median": float(np.median(list(values.values()))) if values else None,
                "seconds": float(np.mean([row.seconds or 0.0 for row in each if row.metrics])) if values else None,
                "failed": {str(row.config.seed): row.note for row in each if row.metrics is None},
                "equilibrium": list(dict.fromkeys(note for row in each for note in row.notes)),
            }
        )
    return groups

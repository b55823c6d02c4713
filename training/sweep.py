"""Sweeps: scenarios x algorithms x seeds as Ray tasks, on one machine or a cluster; one table at the end.

==================  ===============================================================================================
``sweep.json``      what was asked for last
``runs/``           a run directory for each training; see :mod:`.runs`
``table.csv``       one row for each training that was asked for
``sweep.png``       relative NashConv by scenario and algorithm
==================  ===============================================================================================

A sweep that is started again does what is missing: finished trainings stay, interrupted ones go on from their last
checkpoint, failed ones are tried again. Where a worker does not see the driver's folder it trains in a folder of its
own and sends the run directory back, so that no shared file system is needed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from rich.console import Console

from . import runs
from .cluster import connected
from .runs import RunConfig

_SWEEP, _TABLE = "sweep.json", "table.csv"
COLUMNS = (
    *("scenario", "algorithm", "seed", "status", "relative_nash_conv", "open_loop_relative_nash_conv"),
    *("control_distance", "timesteps", "seconds", "run", "error"),
)


@dataclass(frozen=True)
class Row:
    """One training of a sweep."""

    name: str
    config: RunConfig
    metrics: Mapping[str, Any] | None = None
    seconds: float | None = None
    error: str = ""

    def cells(self) -> dict[str, Any]:
        """Values of :data:`COLUMNS`; None where there is none."""
        config, metrics = self.config, self.metrics or {}
        return {
            "scenario": config.scenario,
            "algorithm": algorithm_text(config),
            "seed": config.seed,
            "status": "failed" if self.metrics is None else "done",
            **{key: metrics.get(key) for key in COLUMNS[4:7]},
            "timesteps": config.timesteps,
            "seconds": self.seconds,
            "run": f"runs/{self.name}",
            "error": self.error,
        }


def algorithm_text(config: RunConfig) -> str:
    """The algorithms of a run, as on the command line."""
    given = config.algorithm
    return given if isinstance(given, str) else ",".join(f"{agent}={name}" for agent, name in given.items())


def sweep(
    configs: Sequence[RunConfig],
    out: Path,
    *,
    overwrite: bool = False,
    address: str | None = None,
    console: Console | None = None,
) -> list[Row]:
    """Train what is missing, and write one table of everything that was asked for.

    Args:
        configs: what to train.
        out: the folder of the sweep.
        overwrite: whether trainings of the same names, but with other configurations, may be replaced.
        address: of a Ray cluster; None: this machine.
        console: where the progress bar goes; None: nowhere.

    Returns:
        a row for each of ``configs``, in their order; a training that failed has no metrics and an ``error``.

    Raises:
        ValueError: nothing to train, two trainings of one name, or the folder holds something else; nothing has been
            written then.
        KeyboardInterrupt: after the table of what was finished was written.
    """
    named = _named(configs)
    _check_folder(named, out, overwrite)
    rows = {name: found for name, config in named.items() if (found := _finished(name, config, out)) is not None}
    missing = {name: config for name, config in named.items() if name not in rows}
    out.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    document = {"token": token, "runs": {name: asdict(config) for name, config in named.items()}}
    (out / _SWEEP).write_text(json.dumps(document, indent=2, default=str) + "\n")
    bar = runs.progress_bar(console)
    try:
        with connected(address), bar:
            task = bar.add_task("sweep", total=len(named), completed=len(rows), gain="")
            for row in _train(missing, out.absolute(), token):
                rows[row.name] = row
                failed = sum(each.metrics is None for each in rows.values())
                bar.update(task, completed=len(rows), gain=f"{failed} failed" if failed else "")
    finally:  # an interrupt leaves what was computed
        listed = [rows[name] for name in named if name in rows]
        _write(listed, out)
    return listed


def _named(configs: Sequence[RunConfig]) -> dict[str, RunConfig]:
    if not configs:
        raise ValueError("sweep: expected at least one scenario, algorithm and seed, got none")
    named: dict[str, RunConfig] = {}
    for config in configs:
        name = re.sub(r"[^\w.+-]+", "_", f"{config.scenario}-{algorithm_text(config)}-{config.seed}")
        if name in named:
            raise ValueError(f"sweep: expected different trainings, got {name!r} twice")
        named[name] = config
    return named


def _check_folder(named: Mapping[str, RunConfig], out: Path, overwrite: bool) -> None:
    """Also removes, where it may, trainings with other configurations."""
    if out.exists() and not (out.is_dir() and ((out / _SWEEP).is_file() or not any(out.iterdir()))):
        raise ValueError(f"out: {str(out)!r} exists and is not a sweep's folder")
    other = [name for name, config in named.items() if _differs(out / "runs" / name, config)]
    if other and not overwrite:
        raise ValueError(
            f"out: {str(out)!r} holds trainings with other settings, {other}; choose another folder, or --overwrite"
        )
    for name in other:
        shutil.rmtree(out / "runs" / name)


def _differs(folder: Path, config: RunConfig) -> bool:
    return (folder / "config.json").is_file() and _plain(runs.load_config(folder)) != _plain(config)


def _plain(config: RunConfig) -> Any:
    return json.loads(json.dumps(asdict(config), default=str))


def _finished(name: str, config: RunConfig, out: Path) -> Row | None:
    """The row of a training that has been finished before."""
    folder = out / "runs" / name
    if not (folder / "metrics.json").is_file():
        return None
    metrics = json.loads((folder / "metrics.json").read_text())
    if metrics["timesteps_done"] < config.timesteps:
        return None
    return Row(name, config, metrics, runs.load_circumstances(folder)["seconds"])


def _train(missing: Mapping[str, RunConfig], out: Path, token: str) -> Iterator[Row]:
    """Rows as trainings end."""
    remote = ray.remote(num_cpus=1, max_retries=3)(_train_one)
    running = {remote.remote(config, name, str(out), token): name for name, config in missing.items()}
    while running:
        (ended, *_), _ = ray.wait(list(running))
        name = running.pop(ended)
        config, folder = missing[name], out / "runs" / name
        try:
            packed, error = ray.get(ended)
        except ray.exceptions.RayError as crash:  # the worker or its node died, again and again
            packed, error = None, f"{type(crash).__name__}: {crash}"
        if packed is not None:
            _unpack(packed, folder)
        row = None if error else _finished(name, config, out)
        yield Row(name, config, error=error or "no metrics came back") if row is None else row


def _train_one(config: RunConfig, name: str, out: str, token: str) -> tuple[bytes | None, str]:
    """On a worker: train, or go on; the run directory where the driver cannot see it, and what went wrong."""
    shared = _sees(Path(out), token)
    with tempfile.TemporaryDirectory(prefix="makertaker-") as own:
        folder = (Path(out) / "runs" if shared else Path(own)) / name
        try:
            if (folder / "checkpoint").is_dir():
                runs.resume(folder)
            else:
                runs.train(config, folder, overwrite=True)
        except Exception as error:
            # whatever goes wrong in one training is reported, and the others go on
            return None, f"{type(error).__name__}: {error}"
        return None if shared else _pack(folder), ""


def _sees(out: Path, token: str) -> bool:
    try:
        return bool(json.loads((out / _SWEEP).read_text())["token"] == token)
    except (OSError, ValueError, KeyError):
        return False


def _pack(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


def _unpack(packed: bytes, folder: Path) -> None:
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(fresh, filter="data")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _write(rows: Sequence[Row], out: Path) -> None:
    from . import plots

    with open(out / _TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row.cells() for row in rows)
    done = summary(rows)
    if any(each["relative_nash_conv"] for each in done):
        plots.save_sweep(done, out / "sweep.png")


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each scenario and algorithm: relative NashConv by seed, its median, seconds, and how many failed."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.config.scenario, algorithm_text(row.config)), []).append(row)
    result = []
    for (scenario, algorithm), members in groups.items():
        done = [row for row in members if row.metrics is not None]
        values = [float(row.metrics["relative_nash_conv"]) for row in done if row.metrics is not None]
        result.append(
            {
                "scenario": scenario,
                "algorithm": algorithm,
                "relative_nash_conv": {str(row.config.seed): value for row, value in zip(done, values, strict=True)},
                "median": float(np.median(values)) if values else None,
                "seconds": float(np.mean([row.seconds or 0.0 for row in done])) if done else None,
                "failed": {str(row.config.seed): row.error for row in members if row.metrics is None},
            }
        )
    return result

"""Trainings side by side, on one machine or a cluster, in one folder.

==================  ===============================================================================================
``sweep.json``      the trainings that were asked for last
``runs/``           a run directory for each training; see :mod:`.runs`
==================  ===============================================================================================

Trainings are Ray tasks or, without Ray, processes of this machine. Those that differ in their seeds alone are one task
where the engine trains seeds together: its program is compiled once for all of them.

Trainings that are started again complete themselves: finished ones stay, interrupted ones resume from their last
checkpoint, failed ones are tried again. A checkpoint is a pickle, which runs code that is in it: go on only in a folder
that you trust. Where a worker does not see the driver's folder it trains in a folder of its own and sends the run
directory back, so that no shared file system is needed. One process at a time writes a folder.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from ..envs.names import unknown
from . import runs, seeds
from .common import engines, files, run_folder, workers
from .common.extras import check_installed, needed
from .common.workers import Crashed, Workers
from .evaluation.metrics import RunMetrics
from .evaluation.spread import progress
from .run_config import alike
from .runs import RunConfig

Told = tuple[bytes | None, str]
"""what a worker says of a training: its run directory, packed, where the driver cannot see it, and what went wrong"""
_SWEEP = "sweep.json"


@dataclass(frozen=True)
class Row:
    """One training of a sweep."""

    name: str
    config: RunConfig
    metrics: RunMetrics | None = None
    seconds: float | None = None
    note: str = ""
    """the reason of a failure, or of a new start"""

    @property
    def notes(self) -> Sequence[str]:
        """What to know of the equilibrium when reading NashConv."""
        return () if self.metrics is None else self.metrics["equilibrium"].get("notes", ())


def is_sweep(out: str | Path) -> bool:
    """True for a folder of :func:`sweep`."""
    return (Path(out) / _SWEEP).is_file()


def folders_of(out: str | Path) -> list[Path]:
    """The run directories of the trainings that were asked for last, whether they are there or not.

    Raises:
        ValueError: there are none, or they cannot be read.
    """
    path = Path(out) / _SWEEP
    named = files.read_json(path).get("runs")
    if not isinstance(named, dict) or not all(name == folder_name(name) for name in named):
        raise ValueError(f"run: {str(path)!r} cannot be read: expected trainings by name, got {named!r:.100}")
    return [Path(out) / "runs" / name for name in named]


def train_many(
    named: Mapping[str, RunConfig],
    out: str | Path,
    write: Callable[[list[Row], Path], None],
    *,
    overwrite: bool = False,
    address: str | None = None,
    console: Console | None = None,
    logs: Sequence[str] = (),
) -> list[Row]:
    """Do the trainings that are missing, and write what is told of all that were asked for.

    Args:
        named: the trainings by the names of their folders, of :func:`folder_name`.
        out: the folder.
        write: gets a row for each training that was told of, in the order of ``named``, and the folder; also where an
            interrupt comes.
        overwrite: see :func:`.sweep.sweep`, as for the others.
        address: of a Ray cluster.
        console: for the progress bar.
        logs: of each training.

    Returns:
        a row for each of ``named``, in their order; a training that failed has no metrics and a ``note``.

    Raises:
        ImportError: a library that learns or logs is missing here, or Ray for an address.
        ValueError: nothing to train, an engine that has processes of its own, no cluster at the address, or the folder
            holds something else, or another process writes it; nothing has been written or removed then.
        KeyboardInterrupt: after what is finished was written.
    """
    if not named:
        raise ValueError("sweep: expected at least one scenario, algorithm and seed, got none")
    needed("logs", "train").check(logs)
    out = run_folder.real(Path(out))
    for name in dict.fromkeys(config.engine for config in named.values()):
        check_installed(*engines.find(name).library)
        if engines.find(name).distributed:
            others = [each for each, engine in engines.ENGINES.items() if not engine.distributed]
            raise unknown("engine", name, others, " in a sweep")
    _check_folder(named, out, overwrite)
    with workers.opened(address) as there, run_folder.made(out), runs.progress_bar(console) as bar:
        _check_folder(named, out, overwrite)  # again: it may have been another sweep's until now
        folder = out / "runs"
        rows = {n: row for n, config in named.items() if (row := _finished(n, config, folder / n)) is not None}
        missing = {name: config for name, config in named.items() if name not in rows}
        token = uuid.uuid4().hex
        document = {"token": token, "runs": {name: asdict(config) for name, config in named.items()}}
        files.write_json(out / _SWEEP, document)
        task = bar.add_task("sweep", total=len(named), completed=len(rows), gain="")
        try:
            with _trained(_cells(missing), there, out.absolute(), token, logs) as ended:
                for row in ended:
                    rows[row.name] = row
                    bar.update(task, completed=len(rows), gain=_standing(rows.values()))
        finally:  # an interrupt leaves what was computed
            for name in missing:  # saved, if not told
                if name not in rows and (row := _finished(name, named[name], folder / name)) is not None:
                    rows[name] = row
            listed = [rows[name] for name in named if name in rows]
            write(listed, out)
    return listed


def _standing(rows: Collection[Row]) -> str:
    failed = sum(each.metrics is None for each in rows)
    gains = progress(each.metrics["relative_nash_conv"] for each in rows if each.metrics is not None)
    return ", ".join(filter(None, [gains, f"{failed} failed" if failed else ""]))


def folder_name(text: str) -> str:
    """A text as the name of a folder; a long one, as with many agents' algorithms, is cut and told by a hash."""
    name = re.sub(r"[^\w.+-]+", "_", text)
    return name if len(name) <= 100 else f"{name[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _check_folder(named: Mapping[str, RunConfig], out: Path, overwrite: bool) -> None:
    if out.exists() and not ((out / _SWEEP).is_file() or not run_folder.others(out)):
        raise ValueError(f"out: {str(out)!r} exists and is not a sweep's folder")
    other = [name for name, config in named.items() if _differs(out / "runs" / name, config)]
    if other and not overwrite:
        raise ValueError(
            f"out: {str(out)!r} holds trainings with other settings, {other}; choose another folder, or --overwrite"
        )


def _differs(folder: Path, config: RunConfig) -> bool:
    """True for another training; False for one that cannot be read, which is dealt with when its turn comes."""
    try:
        return runs.load_config(folder) != config
    except ValueError:
        return False


def _finished(name: str, config: RunConfig, folder: Path) -> Row | None:
    """The row of a training that is finished; None where it is not, or where a file of it cannot be read."""
    try:
        same = runs.load_config(folder) == config  # first: it finishes a replacement that was cut off
        path = folder / "metrics.json"
        metrics = needed("common.schema", "train").checked(files.read_json(path), RunMetrics, path)
        seconds = runs.load_circumstances(folder)["seconds"]
        done = same and metrics["timesteps_done"] >= config.timesteps
    except ValueError:
        return None
    return Row(name, config, metrics, seconds) if done else None


def _cells(missing: Mapping[str, RunConfig]) -> list[dict[str, RunConfig]]:
    """Trainings by task: those of one program together."""
    cells: dict[str, dict[str, RunConfig]] = {}
    for name, config in missing.items():
        together = engines.find(config.engine).together
        cells.setdefault(alike(config) if together else name, {})[name] = config
    return list(cells.values())


@contextmanager
def _trained(
    cells: Sequence[Mapping[str, RunConfig]], there: Workers, out: Path, token: str, logs: Sequence[str]
) -> Iterator[Iterator[Row]]:
    """Rows as trainings end."""
    share = there.processors(len(cells))
    tasks = [(cell, str(out), token, logs, share) for cell in cells]
    processors = share if any(len(cell) > 1 for cell in cells) else 1
    with there.run(_train_cell, tasks, processors) as ended:
        yield (row for task, found in ended for row in _rows(cells[task], found, out))


def _rows(cell: Mapping[str, RunConfig], found: Mapping[str, Told] | Crashed, out: Path) -> Iterator[Row]:
    for name, config in cell.items():
        packed, note = (None, found.reason) if isinstance(found, Crashed) else found[name]
        folder = out / "runs" / name
        if packed is not None:
            try:
                _unpack(packed, folder)
            except ValueError as error:  # something else stands there, or another process writes it
                note = str(error)
        row = _finished(name, config, folder)
        yield Row(name, config, note=note or "no metrics came back") if row is None else replace(row, note=note)


def _train_cell(
    cell: Mapping[str, RunConfig], out: str, token: str, logs: Sequence[str] = (), threads: int = 1
) -> dict[str, Told]:
    """On a worker: train or go on; by name the run directory where the driver cannot see it, and the error."""
    shared = _sees(Path(out), token)
    with tempfile.TemporaryDirectory(prefix="makertaker-") as own:
        place = Path(out) / "runs" if shared else Path(own)
        folders = {name: place / name for name in cell}
        try:
            notes = _train_or_go_on(cell, folders, logs, threads)
        except Exception as error:
            # whatever goes wrong in one task is reported, and the others go on
            failed = f"{type(error).__name__}: {error}"
            notes = {name: "" if _finished(name, cell[name], folders[name]) else failed for name in cell}
        told: dict[str, Told] = {}
        for name, folder in folders.items():
            sent = not shared and _finished(name, cell[name], folder) is not None
            packed = Path(shutil.make_archive(f"{own}/packed", "gztar", folder)).read_bytes() if sent else None
            told[name] = (packed, notes[name])
    return told


def _train_or_go_on(
    cell: Mapping[str, RunConfig], folders: Mapping[str, Path], logs: Sequence[str], threads: int = 1
) -> dict[str, str]:
    """Leave finished runs in the folders; by name the reason where one had to begin again."""
    name, config = next(iter(cell.items()))
    if engines.find(config.engine).together:
        by_seed = {each.seed: each for each in cell.values()}
        named = {each.seed: folders[name] for name, each in cell.items()}
        notes = seeds.train_or_go_on(by_seed, named, logs=logs, threads=threads)
        return {name: notes.get(each.seed, "") for name, each in cell.items()}
    folder, note = folders[name], ""
    if seeds.can_go_on(folder, config):
        try:
            runs.resume(folder, logs=logs or None)
            return {name: ""}
        except ValueError as error:
            note = f"{seeds.BEGAN_AGAIN}: {error}"
    runs.train(config, folder, overwrite=True, logs=logs)
    return {name: note}


def _sees(out: Path, token: str) -> bool:
    try:
        return bool(files.read_json(out / _SWEEP)["token"] == token)
    except (ValueError, KeyError):
        return False


def _unpack(packed: bytes, folder: Path) -> None:
    with (
        run_folder.claimed(folder, True, runs.load_config) as fresh,
        tarfile.open(fileobj=io.BytesIO(packed)) as archive,
    ):
        archive.extractall(fresh, filter="data")

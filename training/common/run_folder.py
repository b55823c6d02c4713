"""A run's folder: claimed before any work, written by one process at a time, replaced when the new run is complete.

A first run is written into its folder. One that takes the place of another is written into ``.partial`` within, so
that links, mount points and what else is in the folder stay. When it is complete, ``.partial`` becomes ``.complete``;
the old run's files are removed; ``.complete`` becomes ``.moving``; the new run's files take their places. Each of these
steps can be repeated, and :func:`settle` finishes what a killed process has begun. What a run does not write is never
removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...envs import text
from .extras import needed

_FILES = ("config.json", "run.json", "history.csv", "metrics.json", "report.html", "logs.json", "mlflow.db")
_FOLDERS = {
    "models": ("trader_*", "maker_*"),  # .safetensors, numbers alone, and the library's own
    "figures": ("comparison.png", "learning.png"),
    "tensorboard": ("*/events.out.tfevents.*",),
}
"""and the files that a run writes into them"""
_TREES = {"wandb": ("offline-run-*", "run-*", "latest-run*", "debug*.log")}
"""and what a library writes into them, whole folders among it"""
_RESULTS = ("metrics.json", "report.html", "figures", *(f"figures/{name}" for name in _FOLDERS["figures"]))
"""of an evaluation"""
_CHECKPOINT = ("checkpoint", "checkpoint.new", "checkpoint.old")
_LOCKS = (".lock", ".holder.json")
_WRITTEN = (*_FILES, ".holder.json", "sweep.json", "table.csv", "sweep.png", "seeds.json", "seeds.csv")
"""files that a run, a sweep or a group of seeds writes whole"""
_PARTIAL, _COMPLETE, _MOVING = ".partial", ".complete", ".moving"


def shown_name(folder: str | Path) -> str:
    """Its name, whichever way a path leads to it."""
    return text.shown(os.path.basename(os.path.abspath(folder)))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """See :func:`~.lock.locked`; raises ImportError where the extra ``train`` is missing.

    Files that a killed process has begun are removed.

    Raises:
        ValueError: another process holds it, or something stands where a run has a file or a folder.
    """
    _check_places(folder)
    with needed("common.lock", "train").locked(folder):
        for place in (folder, *(folder / name for name in (_PARTIAL, _COMPLETE, _MOVING))):
            names = [*_WRITTEN, *(f"figures/{each}" for each in _FOLDERS["figures"])]
            begun = [path for name in names for path in text.begun(place / name)]
            begun += [path for each in _FOLDERS["models"] for path in (place / "models").glob(f".{each}.new")]
            for path in begun:
                with suppress(OSError):  # of a folder that is read-only
                    path.unlink()
        yield


def _check_places(folder: Path) -> None:
    """Raises ValueError for what is no file in the place of a file, and no folder in that of a folder."""
    files = [folder / name for name in (*_LOCKS, *_WRITTEN)]
    files += [path for name, patterns in _FOLDERS.items() for each in patterns for path in (folder / name).glob(each)]
    folders = [folder / name for name in (*_FOLDERS, *_CHECKPOINT, _PARTIAL, _COMPLETE, _MOVING)]
    for path, kind in (*((each, "file") for each in files), *((each, "folder") for each in folders)):
        if path.exists() and not (path.is_file() if kind == "file" else path.is_dir()):
            raise ValueError(f"run: {str(path)!r} is no {kind}, as a run has there: move it away")


def real(out: Path) -> Path:
    """The folder that a path or a link means. Raises ValueError for a file, and for a link that leads nowhere."""
    if out.is_symlink() and not out.exists():
        raise ValueError(f"out: {str(out)!r} is a link to {os.readlink(out)!r}, which does not exist")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {str(out)!r} exists and is not a folder")
    return out.resolve() if out.is_symlink() else out


def check_links(folder: Path) -> None:
    """Raises ValueError where a result would be written through a link to somewhere outside of the folder."""
    for path in (folder / each for each in _RESULTS):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"run: {str(path)!r} is a link to {os.readlink(path)!r}, where nothing is written")


def others(folder: Path) -> list[str]:
    """Names of what is in a folder, sorted, without locks and what is left of a first file that was begun."""
    first = (".holder.json", _FILES[0])
    begun = {path.name for name in first for path in text.begun(folder / name)} | {f"{name}.new" for name in first}
    return sorted(path.name for path in folder.iterdir() if path.name not in (*_LOCKS, *begun))


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder that exists, and is held by this process alone; made where it is missing, and removed if it stays empty.

    Raises:
        ValueError: another process holds it, or it cannot be made.
    """
    fresh = _make(folder)
    try:
        with locked(folder):
            yield
    finally:
        for each in fresh:
            with suppress(OSError):  # there is something in it
                each.rmdir()


def _make(folder: Path) -> list[Path]:
    """The folders that had to be made, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    fresh: list[Path] = []
    try:
        for each in reversed(missing):
            with suppress(FileExistsError):  # another process was faster
                each.mkdir()
                fresh.insert(0, each)
        if not folder.is_dir():
            raise NotADirectoryError(20, os.strerror(20))
    except OSError as error:
        raise ValueError(f"out: {str(folder)!r} cannot be made: {error.strerror}") from error
    return fresh


@contextmanager
def claimed(out: Path, overwrite: bool, check: Callable[[Path], object]) -> Iterator[Path]:
    """A place for a new run, from before the first work until the run has the folder.

    Args:
        out: a path that does not exist, an empty folder, or a folder with a run; or a link to one.
        overwrite: True if a run may be replaced.
        check: of a folder; raises ValueError where it holds no run.

    Raises:
        ValueError: the folder is in use, or holds something else; nothing has been written or removed then.
    """
    folder = real(out)
    if folder.exists() and not any((folder / name).exists() for name in _LOCKS):
        _vacant(folder, overwrite, check)  # said without a trace
    with made(folder):
        settle(folder)
        vacant = _vacant(folder, overwrite, check)
        place = folder if vacant else folder / _PARTIAL
        if not vacant:
            _remove(place)
            place.mkdir()
        try:
            yield place
        except BaseException:
            if not (place / _FILES[0]).exists():  # it has not begun
                clear(place)
                if not vacant:
                    _remove(place)
            raise
        finish(folder, place)


def _vacant(folder: Path, overwrite: bool, check: Callable[[Path], object]) -> bool:
    """True for a folder with nothing in it, False for one with a run that may be replaced."""
    found = others(folder)
    if not found:
        return True
    if not overwrite:
        raise ValueError(f"out: {str(folder)!r} exists; choose another directory, or --overwrite, or --resume")
    try:
        check(folder)
    except ValueError as error:
        listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"out: {str(folder)!r} is not a run directory, it will not be overwritten; it has {listed}: {error}"
        ) from error
    return False


def unfinished(out: Path) -> Path:
    """Where a resumed training goes on: a new run that has not yet taken the older one's place, else the folder."""
    partial = out / _PARTIAL
    return partial if (partial / _FILES[0]).is_file() else out


@contextmanager
def resumed(folder: Path) -> Iterator[Path]:
    """The place of a training that goes on, held by this process; when it has ended it has the folder.

    Raises:
        ValueError: another process holds the folder.
    """
    with locked(folder):
        settle(folder)
        place = unfinished(folder)
        yield place
        finish(folder, place)


def finish(folder: Path, place: Path) -> None:
    """A run that is complete takes the place of the older one, if it was not written there. The lock is held."""
    if place != folder:
        place.rename(folder / _COMPLETE)
        settle(folder)


def settle(folder: Path) -> None:
    """Finish a replacement that was begun. The lock is held."""
    complete, moving = folder / _COMPLETE, folder / _MOVING
    if _is_own(complete):
        clear(folder)
        complete.rename(moving)
    if _is_own(moving):
        _merge(moving, folder)


def begun(folder: Path) -> bool:
    """True where a replacement was begun and not finished."""
    return _is_own(folder / _COMPLETE) or _is_own(folder / _MOVING)


def clear(folder: Path) -> None:
    """Remove a run's files; whatever else is there stays."""
    for name in (*_FILES, *(f"{each}.new" for each in _FILES)):
        (folder / name).unlink(missing_ok=True)
    for name in _CHECKPOINT:
        _remove(folder / name)
    for name, patterns in (_FOLDERS | _TREES).items():
        inside = folder / name
        if inside.is_symlink():
            inside.unlink()  # not what it leads to
        for pattern in patterns:
            for path in list(inside.glob(pattern)):
                if path.parent.is_symlink():
                    continue  # not what it leads to
                if name in _TREES and path.is_dir():
                    _remove(path)
                else:
                    path.unlink()
        folders = (each for name in ("trader_*/", "maker_*/", "evaluation/") for each in inside.glob(name))
        for each in (*folders, inside):  # TensorBoard's have folders
            with suppress(OSError):  # it is not empty, or not there
                each.rmdir()


def _is_own(folder: Path) -> bool:
    """True for a folder that stands here, and is not a link to one: what a link leads to is not moved."""
    return folder.is_dir() and not folder.is_symlink()


def _remove(folder: Path) -> None:
    """Remove a folder that this program alone writes into."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        (folder / _FILES[0]).unlink(missing_ok=True)  # first: what is left of it is no run
        shutil.rmtree(folder)


def _merge(source: Path, target: Path) -> None:
    for path in list(source.iterdir()):
        place = target / path.name
        if _is_own(path) and _is_own(place):
            _merge(path, place)
        else:
            if _is_own(path) and place.is_symlink():
                place.unlink()  # not what it leads to
            path.replace(place)
    source.rmdir()

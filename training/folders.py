"""Folders that are replaced as a whole: an interrupt leaves the old one or the new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exchanged(folder: Path, last: str) -> Iterator[Path]:
    """A new folder to write into; it takes the place of an older one when all has been written.

    Args:
        folder: what is replaced.
        last: name of the file that the caller writes last, which says that the new folder is whole.
    """
    recover(folder, last)
    fresh = _beside(folder, "new")
    fresh.mkdir(parents=True)
    yield fresh
    if folder.exists():
        folder.rename(_beside(folder, "old"))
    fresh.rename(folder)
    shutil.rmtree(_beside(folder, "old"), ignore_errors=True)


def recover(folder: Path, last: str) -> None:
    """Finish, or undo, an exchange that was interrupted.

    Args:
        folder: what was to be replaced.
        last: name of the file that is written last.
    """
    if not folder.exists():
        for suffix in ("new", "old"):
            if (_beside(folder, suffix) / last).is_file():
                _beside(folder, suffix).rename(folder)
                break
    for suffix in ("new", "old"):
        shutil.rmtree(_beside(folder, suffix), ignore_errors=True)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")

"""Files and folders that are replaced as a whole: whatever ends this process, the old one or the new one is there."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError),
    *(KeyError, RuntimeError, TypeError, ValueError),
)
"""errors of reading a corrupt file, or one of other learners"""


def write_json(path: Path, document: object) -> None:
    """Write a JSON file."""
    fresh = beside(path, "new")
    fresh.write_text(json.dumps(document, indent=2, default=str) + "\n")
    fresh.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's entries. Raises ValueError where it is missing or corrupt."""
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r} is missing or cannot be read: {error}") from error
    return found


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of an older one at the end."""
    fresh, old = beside(folder, "new"), beside(folder, "old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def beside(path: Path, suffix: str) -> Path:
    """The place of a path's old or new version."""
    return path.with_name(f"{path.name}.{suffix}")

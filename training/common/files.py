"""Files and folders that are replaced as a whole: whatever ends this process, the old one or the new one is there."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...envs import text

DAMAGE = (
    *(pickle.PickleError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)
"""errors of reading a corrupt file, or one of other learners"""


def write_json(path: Path, document: object) -> None:
    """Write a JSON file, whole. Raises TypeError for what is not of plain numbers, texts, lists and mappings."""
    text.write(path, json.dumps(document, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's entries. Raises ValueError where it is missing or corrupt."""
    try:
        found = json.loads(text.read(path))
        if not isinstance(found, dict):
            raise TypeError(f"expected entries by name, got {type(found).__name__}")
    except (OSError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"run: {str(path)!r} is missing or cannot be read: {error}") from error
    return found


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """The contents of a CSV file; the first row is its header."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue()


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file, whole; the first row is its header."""
    text.write(path, csv_text(rows))


def read_csv(path: Path) -> list[list[str]]:
    """The rows of a CSV file. Raises ValueError where it is not one in UTF-8, and OSError where it cannot be read."""
    try:
        return list(csv.reader(io.StringIO(text.read(path), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The entries of a document, those of tables in it by names with dots; values as texts."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


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


def check_nameable(name: str, path: Path) -> None:
    """Raises ValueError for a path that other libraries could not write to, since the locale cannot name it."""
    given = str(path)
    if text.shown(given) != given:
        raise ValueError(
            f"{name}: expected a path that the locale, {sys.getfilesystemencoding()}, can name, got "
            f"{text.shown(given)!r}; PYTHONUTF8=1 is UTF-8 in any locale"
        )


def beside(path: Path, suffix: str) -> Path:
    """The place of a path's old or new version."""
    return path.with_name(f"{path.name}.{suffix}")

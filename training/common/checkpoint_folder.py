"""A checkpoint's folder: replaced as a whole, with the state of this process written last.

Like every pickle, load only what you trust.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from . import files
from .extras import needed
from .files import DAMAGE

_STATE, _RECORD, _DIGESTS = "state.pkl", "record.json", "sha256"


class Record(TypedDict):
    """What a checkpoint says of its training without a pickle; the models are beside it."""

    folder: Path
    extra: dict[str, object]
    steps_done: int


class State(TypedDict):
    """The part of a checkpoint's state that all learners have."""

    extra: dict[str, object]
    steps_done: int


@contextmanager
def replaced(folder: Path, state: Mapping[str, object]) -> Iterator[Path]:
    """A new folder to write into; with the state it takes the place of an older one when all has been written.

    An interrupt leaves the older one, or the new one, whole.
    """
    _recover(folder)
    with files.replaced(folder) as fresh:
        yield fresh
        (fresh / "writing").write_bytes(pickle.dumps(state))
        digests = {str(path.relative_to(fresh)): _digest(path) for path in sorted(fresh.rglob("*")) if path.is_file()}
        digests[_STATE] = digests.pop("writing")
        said = {name: state[name] for name in ("extra", "steps_done")}
        files.write_json(fresh / _RECORD, {**said, _DIGESTS: digests})
        (fresh / "writing").rename(fresh / _STATE)


def stored_state(folder: Path, names: Collection[str]) -> object:
    """The state in a checkpoint's folder.

    Raises:
        ValueError: there is none, it cannot be read, or it lacks one of ``names``.
    """
    _recover(folder)
    if not (folder / _STATE).is_file():
        raise ValueError(f"checkpoint: there is none in {str(folder)!r}; --overwrite trains from the start")
    try:
        _check_digests(folder)
        state = pickle.loads((folder / _STATE).read_bytes())
        if not isinstance(state, dict) or not set(names) <= set(state):
            given = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{_STATE}: expected {sorted(names)}, got {given}")
    except DAMAGE as error:
        raise corrupt(folder, error) from error
    return state


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digests(folder: Path) -> None:
    """Raises ValueError where a file is not what was written; checkpoints of earlier versions do not say what was."""
    if not (folder / _RECORD).is_file():
        return
    for name, digest in dict(files.read_json(folder / _RECORD).get(_DIGESTS, {})).items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            raise ValueError(f"{name} is not what was written")


def record(folder: Path) -> Record | None:
    """The record of a checkpoint; None where there is none, as in checkpoints of earlier versions.

    Raises:
        ValueError: it cannot be read.
    """
    for each in _versions(folder):
        if (each / _STATE).is_file() and (each / _RECORD).is_file():
            path = each / _RECORD
            found = needed("common.schema", "train").checked(files.read_json(path), State, path)
            return {"folder": each, "extra": found["extra"], "steps_done": found["steps_done"]}
    return None


def exists(folder: Path) -> bool:
    """True where there is a whole checkpoint, also while it takes the place of another."""
    return any((each / _STATE).is_file() for each in _versions(folder))


def corrupt(folder: Path, error: BaseException) -> ValueError:
    """The error to raise for one of :data:`.files.DAMAGE`."""
    return ValueError(f"checkpoint {str(folder)!r} is corrupt or belongs to other learners: {error}")


def _versions(folder: Path) -> list[Path]:
    return [folder, *(files.beside(folder, suffix) for suffix in ("new", "old"))]


def _recover(folder: Path) -> None:
    """Finish, or undo, a replacement that was interrupted; the state is written last."""
    versions = _versions(folder)[1:]
    if not folder.exists():
        whole = next((each for each in versions if (each / _STATE).is_file()), None)
        if whole is not None:
            whole.rename(folder)
    for each in versions:
        shutil.rmtree(each, ignore_errors=True)

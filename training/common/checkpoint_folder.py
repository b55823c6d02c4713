"""A checkpoint's folder: replaced as a whole, with the state of this process written last.

The state is a pickle, ``state.pkl``, of which only what is trusted may be loaded; or numbers alone,
``state.safetensors``, of engines whose state is arrays.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from . import files
from .extras import needed
from .files import DAMAGE

_STATE, _NUMBERS, _RECORD, _DIGESTS = "state.pkl", "state.safetensors", "record.json", "sha256"


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
def replaced(
    folder: Path, state: Mapping[str, object], arrays: Mapping[str, np.ndarray] | None = None
) -> Iterator[Path]:
    """A new folder to write into; with the state it takes the place of an older one when all has been written.

    An interrupt leaves the older one, or the new one, whole.

    Args:
        folder: of the checkpoint.
        state: to be pickled; with ``arrays`` nothing is, and it is a :class:`State` that JSON can hold.
        arrays: numbers in place of a pickle, by name; None: there are none.
    """
    _recover(folder)
    with files.replaced(folder) as fresh:
        yield fresh
        if arrays is None:
            written, name = pickle.dumps(state), _STATE
        else:
            save = needed("common.actor_file", "train").save
            written, name = save({each: np.asarray(value, order="C") for each, value in arrays.items()}), _NUMBERS
        (fresh / "writing").write_bytes(written)
        digests = {str(path.relative_to(fresh)): _digest(path) for path in sorted(fresh.rglob("*")) if path.is_file()}
        digests[name] = digests.pop("writing")
        said = {each: state[each] for each in ("extra", "steps_done")}
        files.write_json(fresh / _RECORD, {**said, _DIGESTS: digests})
        (fresh / "writing").rename(fresh / name)


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


def stored_numbers(folder: Path) -> tuple[State, dict[str, np.ndarray]]:
    """The record and the arrays in a checkpoint's folder, of which nothing is run.

    Raises:
        ValueError: there are none, or they cannot be read.
    """
    _recover(folder)
    if not (folder / _NUMBERS).is_file():
        raise ValueError(f"checkpoint: there is none in {str(folder)!r}; --overwrite trains from the start")
    found = record(folder)
    if found is None:
        raise corrupt(folder, FileNotFoundError(f"{_RECORD} is missing"))
    arrays: dict[str, np.ndarray] = {}
    numbers = needed("common.actor_file", "train")
    try:
        _check_digests(folder)
        with numbers.safe_open(folder / _NUMBERS, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (*DAMAGE, numbers.SafetensorError) as error:
        raise corrupt(folder, error) from error
    return cast(State, {"extra": found["extra"], "steps_done": found["steps_done"]}), arrays


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
        if _is_whole(each) and (each / _RECORD).is_file():
            path = each / _RECORD
            found = needed("common.schema", "train").checked(files.read_json(path), State, path)
            return {"folder": each, "extra": found["extra"], "steps_done": found["steps_done"]}
    return None


def exists(folder: Path) -> bool:
    """True where there is a whole checkpoint, also while it takes the place of another."""
    return any(map(_is_whole, _versions(folder)))


def corrupt(folder: Path, error: BaseException) -> ValueError:
    """The error to raise for one of :data:`.files.DAMAGE`."""
    return ValueError(f"checkpoint {str(folder)!r} is corrupt or belongs to other learners: {error}")


def _versions(folder: Path) -> list[Path]:
    return [folder, *(files.beside(folder, suffix) for suffix in ("new", "old"))]


def _is_whole(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (_STATE, _NUMBERS))


def _recover(folder: Path) -> None:
    """Finish, or undo, a replacement that was interrupted; the state is written last."""
    versions = _versions(folder)[1:]
    if not folder.exists():
        whole = next((each for each in versions if _is_whole(each)), None)
        if whole is not None:
            whole.rename(folder)
    for each in versions:
        shutil.rmtree(each, ignore_errors=True)

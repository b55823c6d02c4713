"""A checkpoint's folder: replaced as a whole, with the state of this process written last.

Like every pickle, load only what you trust.
"""

from __future__ import annotations

import pickle
import random
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

_STATE = "state.pkl"
DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError),
    *(KeyError, RuntimeError, TypeError, ValueError),
)
"""what reading a corrupt checkpoint, or one of other learners, raises"""


@contextmanager
def replaced(folder: Path, state: dict[str, Any]) -> Iterator[Path]:
    """A new folder to write into; with the state it takes the place of an older one when all has been written.

    An interrupt leaves the older one, or the new one, whole.
    """
    _recover(folder)
    fresh = _beside(folder, "new")
    fresh.mkdir(parents=True)
    yield fresh
    (fresh / "writing").write_bytes(pickle.dumps(state))
    (fresh / "writing").rename(fresh / _STATE)
    if folder.exists():
        folder.rename(_beside(folder, "old"))
    fresh.rename(folder)
    shutil.rmtree(_beside(folder, "old"), ignore_errors=True)


def stored_state(folder: Path) -> dict[str, Any]:
    """The state in a checkpoint's folder. Raises ValueError where there is none, or it cannot be read."""
    _recover(folder)
    if not (folder / _STATE).is_file():
        raise ValueError(f"checkpoint: there is none in {str(folder)!r}")
    try:
        state: dict[str, Any] = pickle.loads((folder / _STATE).read_bytes())
    except DAMAGE as error:
        raise corrupt(folder, error) from error
    return state


def corrupt(folder: Path, error: BaseException) -> ValueError:
    """What to raise for one of :data:`DAMAGE`."""
    return ValueError(f"checkpoint {str(folder)!r} is corrupt or belongs to other learners: {error}")


def generators() -> dict[str, Any]:
    """States of the global generators of Python, NumPy and torch: the libraries that learn draw from them."""
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}  # noqa: NPY002


def set_generators(states: dict[str, Any]) -> None:
    """Put the global generators where :func:`generators` found them."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])


def _recover(folder: Path) -> None:
    """Finish, or undo, a replacement that was interrupted; the state is written last."""
    if not folder.exists():
        for suffix in ("new", "old"):
            if (_beside(folder, suffix) / _STATE).is_file():
                _beside(folder, suffix).rename(folder)
                break
    for suffix in ("new", "old"):
        shutil.rmtree(_beside(folder, suffix), ignore_errors=True)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")

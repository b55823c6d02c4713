"""The global generators of Python, NumPy and torch, from which libraries that learn draw."""

from __future__ import annotations

import random
from typing import TypedDict

import numpy as np
import torch


class Generators(TypedDict):
    """States of the global generators."""

    python: tuple[object, ...]
    numpy: dict[str, object] | tuple[str, np.ndarray, int, int, float]
    torch: torch.Tensor


def generators() -> Generators:
    """States of the global generators of Python, NumPy and torch."""
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}  # noqa: NPY002


def set_generators(states: Generators) -> None:
    """Put the global generators where :func:`generators` found them."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])

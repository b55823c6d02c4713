"""Spaces of actions and observations as code for JAX uses them: with ``sample(key)``."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium

from .jax_env import Array, jax

jnp = jax.numpy


class Box:
    """Arrays between two bounds, with the attributes of the boxes of gymnax and JaxMARL.

    Args:
        low: lowest entries, of the shape.
        high: highest entries.
        shape: of the arrays.
        dtype: of the arrays.
    """

    def __init__(self, low: Array, high: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> None:
        self.low, self.high, self.shape, self.dtype = low, high, tuple(shape), dtype

    def __repr__(self) -> str:
        return f"Box(low={self.low}, high={self.high}, shape={self.shape}, dtype={jnp.dtype(self.dtype).name})"

    def sample(self, key: Array) -> Array:
        """An array of uniform draws between the bounds."""
        return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def contains(self, x: Array) -> Array:
        """True where all entries lie between the bounds."""
        return jnp.logical_and(jnp.all(x >= self.low), jnp.all(x <= self.high))


def jax_box(space: gymnasium.spaces.Box) -> Any:
    """A box of Gymnasium's as one for JAX: gymnax's own where that library is loaded, whose wrappers, and JaxMARL's,
    refuse any other class; else :class:`Box`, which has the same attributes."""
    library = sys.modules.get("gymnax.environments.spaces")
    kind = Box if library is None else library.Box
    with jax.ensure_compile_time_eval():  # constants, also if asked for in compiled code
        low, high = (jnp.asarray(each, jnp.float32) for each in (space.low, space.high))
    return kind(low, high, space.shape, jnp.float32)


__all__ = ["Box", "jax_box"]

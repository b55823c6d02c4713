"""Intensity functions (Definition 3.4): how the flow that a maker receives falls with the distance of its quote.

An intensity is positive, twice differentiable and strictly decreasing, vanishes at infinity, and has
``Lambda Lambda'' / Lambda'^2`` at most 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Array, is_number, namespace


@dataclass(frozen=True)
class Exponential:
    """``Lambda(x) = exp(-gamma x)``, the intensity of Avellaneda and Stoikov.

    Args:
        gamma: decay of the flow per unit of distance, 1 / currency; positive and finite.

    Raises:
        ValueError: ``gamma`` is not positive and finite.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.gamma) or not 0 < self.gamma < np.inf:
            raise ValueError(f"gamma: expected a positive finite number, got {self.gamma!r}")
        object.__setattr__(self, "gamma", float(self.gamma))  # a NumPy scalar would turn float32 into float64

    def __call__(self, x: Array) -> Array:
        return namespace(x).exp(-self.gamma * x)

    def derivative(self, x: Array) -> Array:
        """``Lambda'(x)``."""
        return -self.gamma * self(x)

    @property
    def markup(self) -> float:
        """``-Lambda / Lambda' = 1 / gamma``: the profit margin of an optimal quote (Theorem 4.1), in currency."""
        return 1.0 / self.gamma

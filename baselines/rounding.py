"""The rounding of payoffs, below which a number says nothing."""

from __future__ import annotations

import numpy as np

from ..envs.arrays import Array

_ROUNDINGS = 8
"""operations on numbers of the sum's size in each of its terms, at least: a step's income, prices, penalties"""


def without_rounding(values: Array, size: Array | float, steps: int) -> Array:
    """Values with zeros, without a sign, in place of those that are rounding of sums over steps.

    Args:
        values: differences of two such sums, of any shape.
        size: of the sums themselves, in the values' unit; one for all of them, or one for each.
        steps: number of their terms.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines.rounding import without_rounding
        >>> without_rounding(np.array([-1.8e-15, -1e-9, 0.3]), size=11.3, steps=20).tolist()
        [0.0, -1e-09, 0.3]
    """
    rounding = _ROUNDINGS * steps * np.finfo(float).eps * size
    return np.where(np.abs(values) <= rounding, 0.0, values)

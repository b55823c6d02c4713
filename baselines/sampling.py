"""Means over antithetic paths, with standard errors, and the score of a deviation on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..envs.arrays import Array
from ..envs.grid import Trajectory
from .profiles import BestResponse, mean_controls


class Mean(NamedTuple):
    """A mean over paths."""

    value: Array
    error: Array
    """standard error; 0 for a single pair of paths"""


def pair_mean(values: Array) -> Mean:
    """Mean over antithetic paths (B, ...), the second half mirroring the first; pairs are independent."""
    pairs = np.mean(np.split(values, 2), axis=0)
    mean = pairs.mean(axis=0)
    return Mean(mean, pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else 0 * mean)


def scored(before: Trajectory, after: Trajectory, index: int) -> BestResponse:
    """An agent's deviation, from the paths without it and with it on common random numbers."""
    gain = pair_mean(after.payoffs[:, index] - before.payoffs[:, index])
    payoff = float(after.payoffs[:, index].mean())
    return BestResponse(mean_controls(after), payoff, float(gain.value), float(gain.error))


def not_deviating(paths: Trajectory, index: int) -> BestResponse:
    """An agent's gain if no deviation that was found is worth it."""
    return BestResponse(mean_controls(paths), float(paths.payoffs[:, index].mean()), 0.0)

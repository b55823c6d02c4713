"""Newton's method for a grid forward-backward system, with line search.

Batch axes are solved together, each member with its own step lengths, penalties and end: what one member needs, or
that it fails, changes nothing for the others. Directions are those of :mod:`~makertaker.baselines.sweep`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..envs.arrays import Array
from .budget import Budget
from .fbsde import System, inventories, residual

_ROUNDING, TOLERANCE = 1e-14, 1e-11
_ATTEMPT = 60
_PATIENCE = 10
"""iterations in which the residual has to halve"""
_SHORTEST_STEP = 2.0**-30


class Result(NamedTuple):
    """Outcome of the iteration. ``residual``, ``converged``, ``reached``: one for each member of the batch."""

    adjoints: Array
    """(..., K, n)"""
    residual: Array
    """(...,) largest absolute residual"""
    converged: Array
    """(...,)"""
    iterations: int
    """Newton iterations, those of all attempts together"""
    history: tuple[float, ...]
    """largest residual over the batch, by iteration"""
    stages: int
    """penalty levels that a continuation went through; 0 without"""
    reached: Array | float = 1.0
    """(...,) part of the penalties with which a continuation was solved last; 1 without"""
    folded: bool = False
    """the curve of solutions turns back and leads away"""
    tried: tuple[str, ...] = ()
    """attempts, in words"""


def _norm(values: Array) -> Array:
    """Largest absolute value over steps and agents; infinite where something is not finite."""
    largest = np.abs(values).max(axis=(-2, -1))
    return np.where(np.isfinite(largest), largest, np.inf)


def newton(
    system: System,
    start: Array,
    *,
    tolerance: float = TOLERANCE,
    iterations: int = _ATTEMPT,
    longest: float | Array = np.inf,
    patience: int = _PATIENCE,
    budget: Budget | None = None,
) -> Result:
    """Newton's method with a backtracking line search on the largest residual.

    A member of the batch goes on until its residual, or its Newton step, is below ``tolerance`` (relative to the size
    of the adjoints, or to the system's unit where they are smaller; or below rounding), and then takes one more step
    unless the residual is at rounding already: it costs little and brings it there. It gives up where no step helps, or
    where the residual does not halve in several iterations.

    Args:
        system: the system.
        start: (..., K, n) adjoints.
        tolerance: on the residual.
        iterations: at most.
        longest: a step in which an adjoint moves by more is shortened to it, and taken even if the residual rises.
            Rates are exponential in adjoints: far from a solution the residual says little about the distance.
        patience: iterations in which the residual has to halve, where ``longest`` is infinite.
        budget: that several calls share.
    """
    budget, count = budget or Budget(), 0
    rounding = system.rounding * min(1.0, tolerance / TOLERANCE)  # who asks for more than rounding does not get it
    adjoints, impatient = np.array(start, dtype=float), not np.isfinite(longest).all()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = residual(system, adjoints)
        size = _norm(value)
        history = [float(size.max(initial=0.0))]
        still = np.zeros(size.shape, dtype=bool)
        over, mark, since = ~np.isfinite(size), size, np.zeros(size.shape, dtype=int)
        while count < iterations:
            scale = np.maximum(system.unit, _norm(adjoints))
            over = over | (size <= _ROUNDING * scale)
            if over.all() or not budget.spend():
                break
            last = still | (size <= np.maximum(tolerance * scale, rounding))
            try:
                move = -system.direction(adjoints, value)
            except np.linalg.LinAlgError:
                break
            count += 1
            # where rates are steep, rounding keeps the residual up although the solution is reached
            still = np.where(over, still, _norm(move) <= tolerance * scale)
            adjoints, value, size, moved = _search(system, adjoints, move, value, size, longest, over)
            history.append(float(size.max(initial=0.0)))
            over = over | last | ~moved
            halved = size <= mark / 2
            mark, since = np.where(halved, size, mark), np.where(halved, 0, since + 1)
            if impatient:
                over = over | (since >= patience)
        converged = still | (size <= np.maximum(tolerance * np.maximum(system.unit, _norm(adjoints)), rounding))
    return Result(adjoints, size, converged, count, tuple(history), 0)


def _search(
    system: System, adjoints: Array, move: Array, value: Array, size: Array, longest: float | Array, over: Array
) -> tuple[Array, Array, Array, Array]:
    """Halve each member's step until its residual falls; members that are over, or for which nothing helps, stay."""
    reach = _norm(move)
    usable = np.isfinite(reach) & ~over
    move = np.where(usable[..., None, None], move, 0.0)
    free = usable & (reach > longest)
    length = np.where(free, longest / np.where(free, reach, 1.0), 1.0)
    done, at_rounding = ~usable, reach <= 10 * _ROUNDING * np.maximum(system.unit, _norm(adjoints))
    moved = np.zeros(size.shape, dtype=bool)
    best, best_value, best_size = adjoints, value, size
    shortest = _SHORTEST_STEP * length.min()
    while not done.all() and length.min() > shortest:
        trial = adjoints + length[..., None, None] * move
        trial_value = residual(system, trial)
        trial_size = _norm(trial_value)
        better = trial_size < np.where(free, np.inf, (1 - 1e-4 * length) * size)
        better &= ~done
        if better.all():
            best, best_value, best_size = trial, trial_value, trial_size
        elif better.any():
            mask = better[..., None, None]
            best, best_value = np.where(mask, trial, best), np.where(mask, trial_value, best_value)
            best_size = np.where(better, trial_size, best_size)
        moved |= better
        done |= better | at_rounding  # a shorter step cannot help these
        length = np.where(done, length, length / 2)
    return best, best_value, best_size, moved


def paths(system: System, adjoints: Array) -> Array:
    """(..., K+1, n) inventories that adjoints lead to."""
    return inventories(system, system.rates(adjoints))

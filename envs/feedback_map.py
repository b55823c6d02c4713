"""Fixed points of the form ``u = clip(target + h(u), low, high)`` across agents: optimal quotes and rates.

Where the Jacobian of ``u - h(u)`` is strictly diagonally dominant, as the class conditions of the paper ensure, the
solution is unique and a Lipschitz function of the target; its Jacobian comes from the implicit function theorem.
Everything is vectorised over leading axes. NumPy only: environments do not need it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

_ROUNDING = 4e-15
_ITERATIONS = 1000
_SHORTEST = 2.0**-40


def fixed_point(
    function: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    target: Array,
    low: Array,
    high: Array,
    start: Array,
) -> Array:
    """``u`` with ``u = clip(target + h(u), low, high)``, (..., m), to rounding, by semismooth Newton with line search.

    Args:
        function: ``h``, (..., m) to (..., m).
        jacobian: its Jacobian, (..., m, m).
        target: (..., m).
        low: (m,) or a number.
        high: (m,) or a number.
        start: (..., m) a first guess.

    Returns:
        (..., m); NaN for members of the batch whose residual does not reach rounding, and where the target is NaN.
    """
    known = np.isfinite(target).all(axis=-1, keepdims=True)
    target = np.where(known, target, 0.0)
    value = np.clip(np.where(known, start, 0.0), low, high)
    scale = 1.0 + np.abs(target).max(axis=-1, keepdims=True)
    residual = value - np.clip(target + function(value), low, high)
    size = np.abs(residual).max(axis=-1)
    identity = np.eye(value.shape[-1])
    for _ in range(_ITERATIONS):
        if (size <= _ROUNDING * scale[..., 0]).all():
            break
        aim = target + function(value)
        free = (aim > low) & (aim < high)
        matrix = identity - free[..., None] * jacobian(value)
        move = -np.linalg.solve(matrix, residual[..., None])[..., 0]
        value, residual, better = _search(function, target, low, high, value, move, residual, size)
        smaller = np.abs(residual).max(axis=-1)
        if not (better & (smaller < size)).any():
            break
        size = smaller
    solved = known & (size[..., None] <= 1e3 * _ROUNDING * scale)
    return np.where(solved, value, np.nan)


def _search(
    function: Callable[[Array], Array],
    target: Array,
    low: Array,
    high: Array,
    value: Array,
    move: Array,
    residual: Array,
    size: Array,
) -> tuple[Array, Array, Array]:
    """The longest of halved steps that makes the residual smaller, for every member of the batch."""
    length = np.ones(size.shape)
    best, best_residual, done = value, residual, size == 0
    moved = np.zeros(size.shape, dtype=bool)
    while not done.all() and length.max() > _SHORTEST:
        trial = np.clip(value + length[..., None] * move, low, high)
        found = trial - np.clip(target + function(trial), low, high)
        better = (np.abs(found).max(axis=-1) < (1 - 1e-4 * length) * size) & ~done
        best = np.where(better[..., None], trial, best)
        best_residual = np.where(better[..., None], found, best_residual)
        moved |= better
        done |= better
        length = np.where(done, length, length / 2)
        if (length[~done] < _SHORTEST).all():
            break
    return best, best_residual, moved


def target_jacobian(jacobian: Array, free: Array) -> Array:
    """``du / d target``, (..., m, m), by the implicit function theorem.

    Args:
        jacobian: of ``h`` at the solution, (..., m, m).
        free: (..., m) where the solution is not truncated.
    """
    identity = np.eye(jacobian.shape[-1])
    return np.linalg.solve(identity - free[..., None] * jacobian, free[..., None] * identity)

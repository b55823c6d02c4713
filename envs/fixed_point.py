"""Fixed points of the form ``u = clip(target + h(u), low, high)`` across agents: optimal quotes and rates.

Where the Jacobian of ``u - h(u)`` is strictly diagonally dominant, as the class conditions of the paper ensure, the
solution is unique and a Lipschitz function of the target, with constant one over the gap (Theorem 2.9); its Jacobian
comes from the implicit function theorem.
Everything is vectorised over leading axes. NumPy only: environments do not need it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

_ROUNDING = 4e-15
_ITERATIONS = 1000
_SHORTEST = 2.0**-40
_FEW = 8


def fixed_point(
    function: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    target: Array,
    low: Array,
    high: Array,
    start: Array | None = None,
) -> Array:
    """``u`` with ``u = clip(target + h(u), low, high)``, (..., m), to rounding, by semismooth Newton with line search.

    Args:
        function: ``h``, (..., m) to (..., m).
        jacobian: its Jacobian, (..., m, m).
        target: (..., m).
        low: (m,) or a number.
        high: (m,) or a number.
        start: (..., m) a first guess; by default zero.

    Returns:
        (..., m); NaN for members of the batch whose residual does not reach rounding, and where the target is NaN.
    """
    known = np.isfinite(target).all(axis=-1, keepdims=True)
    target = np.where(known, target, 0.0)
    value = np.clip(np.where(known, np.zeros_like(target) if start is None else start, 0.0), low, high)
    shift = function(value)
    scale, aim = largest(target) + largest(shift) + largest(value), target + shift  # 0 where the solution is 0
    residual = value - np.clip(aim, low, high)
    size = largest(residual)
    identity = np.eye(value.shape[-1])
    for _ in range(_ITERATIONS):
        solved = size <= _ROUNDING * scale
        if solved.all():
            break
        free = (aim > low) & (aim < high)
        matrix = identity - free[..., None] * jacobian(value)
        if value.shape[-1] == 1:
            move = -residual / matrix[..., 0]
        else:
            move = -np.linalg.solve(matrix, residual[..., None])[..., 0]
        length, done = np.ones(size.shape), solved
        start, before = value, size
        # the largest halved step that reduces the residual, for every member that is not solved
        while not done.all() and length[~done].min() > _SHORTEST:
            trial = np.clip(start + length[..., None] * move, low, high)
            trial_aim = target + function(trial)
            found = trial - np.clip(trial_aim, low, high)
            trial_size = largest(found)
            better = (trial_size < (1 - 1e-4 * length) * before) & ~done
            mask = better[..., None]
            value, aim = np.where(mask, trial, value), np.where(mask, trial_aim, aim)
            residual, size = np.where(mask, found, residual), np.where(better, trial_size, size)
            done = done | better
            length = np.where(done, length, length / 2)
        if not (size < before).any():
            break
    solved = known[..., 0] & (size <= 1e3 * _ROUNDING * scale)
    return np.where(solved[..., None], value, np.nan)


def largest(values: Array) -> Array:
    """``max |values|`` over the last axis; NumPy's own reduction is slow over few entries."""
    size = np.abs(values)
    if size.shape[-1] > _FEW:
        return size.max(axis=-1)
    result = size[..., 0]
    for i in range(1, size.shape[-1]):
        result = np.maximum(result, size[..., i])
    return result


def target_jacobian(jacobian: Array, free: Array) -> Array:
    """``du / d target``, (..., m, m), by the implicit function theorem.

    Args:
        jacobian: of ``h`` at the solution, (..., m, m).
        free: (..., m) where the solution is not truncated.
    """
    identity = np.eye(jacobian.shape[-1])
    return np.linalg.solve(identity - free[..., None] * jacobian, free[..., None] * identity)

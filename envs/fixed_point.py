"""What optimal quotes and rates are made of: roots of rising functions, and fixed points across agents.

An agent's own problem has a first-order condition that rises in its own control: one root, which brackets close in on.
Together agents are at a fixed point ``u = clip(target + h(u), low, high)``. Where the Jacobian of ``u - h(u)`` is
strictly diagonally dominant, as the class conditions of the paper ensure, it is unique and a Lipschitz function of the
target, with constant one over the gap (Theorem 2.9); its Jacobian comes from the implicit function theorem.
Everything is vectorised over leading axes. NumPy only: environments do not need it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

_ROUNDING = 4e-15
_JUMP = 1e-9
"""a root that is bracketed to rounding and leaves more than this part of the terms lies at a jump"""
_HUGE = 1e250
"""beyond it sums overflow, and what does not converge there says nothing about a part"""
_HYBRID = 40
_BISECTIONS = 160
_NEWTON = 60
_PROGRESS = 0.9
_LENGTHS = (1.0, 0.5, 0.25)
_ROUNDS = 200
_FEW = 8

Bound = float | Array


def rising_root(
    equation: Callable[[Array], tuple[Array, Array, Array]],
    start: Array,
    low: Bound,
    high: Bound,
    asks: str,
    unit: float = 0.0,
) -> Array:
    """The ``x`` where a rising function is zero, every entry a problem of its own.

    Newton's method inside a bracket. A step that leaves the bracket, or is not at most half as long as the one before,
    is replaced by a bisection, or, towards a side that has no end yet, by twice the step before: an end is found after
    as many steps as the distance has doublings. After 40 steps only bisections are left, and each of them halves the
    bracket: the number of steps is finite whatever the function.

    Args:
        equation: ``x`` to the value of the function, its slope, and the sum of the sizes of its terms, to which
            rounding is relative; each in the shape of ``start``. What is no number lies beyond the root, seen from the
            start; at the start itself, below it.
        start: where to begin, between ``low`` and ``high``.
        low: where the function is negative or zero; ``-inf`` where no such place is known.
        high: where it is positive or zero; ``inf`` likewise.
        asks: which part has which property, for the error.
        unit: first step of the search for an end, where the slope says nothing.

    Returns:
        The roots; NaN where the function is no number near them.

    Raises:
        ValueError: the function does not pass through zero: it jumps, or does not rise.
    """
    x = np.array(start, dtype=float)
    low, high = np.full(x.shape, low, dtype=float), np.full(x.shape, high, dtype=float)
    moved, done, left = np.full(x.shape, np.inf), np.zeros(x.shape, dtype=bool), np.zeros(x.shape)
    begin = x
    with np.errstate(all="ignore"):
        for count in range(_HYBRID + _BISECTIONS):
            value, slope, terms = equation(x)
            below = np.where(np.isnan(value), x <= begin, value < 0)
            low, high = np.where(below & ~done, x, low), np.where(below | done, high, x)
            size = terms + np.abs(x * slope)
            left = np.where(done, left, np.where((size > 0) & (size < np.inf), value / size, value))
            newton = -value / slope
            trial = x + newton
            inside = (trial >= low) & (trial <= high)  # false for NaN
            near = inside & (np.abs(value) <= _ROUNDING * size) & (size < np.inf)
            x = np.where(near & ~done, trial, x)  # at rounding one more step costs nothing
            width = high - low
            done = done | near | ((width <= _ROUNDING / 8 * (np.abs(low) + np.abs(high))) & (width < np.inf))
            if done.all():
                break
            good = inside & (np.abs(newton) <= moved / 2) & (count < _HYBRID)
            after = np.where(good, trial, (low + high) / 2)
            if not np.isfinite(after).all():
                doubled = np.where(np.isfinite(moved), 2 * moved, 0.0)
                jump = np.maximum(np.where(np.isfinite(newton), np.abs(newton), unit), doubled)
                after = np.where(np.isfinite(after), after, np.where(below, x + jump, x - jump))
            moved = np.where(done, moved, np.abs(after - x))
            x = np.where(done, x, after)
    beyond = np.abs(x) > _HUGE
    failed = (np.abs(left) > _JUMP) & ~beyond  # false for NaN
    if failed.any():
        raise ValueError(f"{asks}; at {x[failed][0]:.6g} it leaves {left[failed][0]:.3g} of its terms")
    return np.where(np.isfinite(left) & ~beyond, x, np.nan)


def fixed_point(
    function: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    target: Array,
    low: Bound,
    high: Bound,
    answer: Callable[[Array], Array],
    asks: str,
    start: Array | None = None,
) -> Array:
    """``u`` with ``u = clip(target + h(u), low, high)``, (..., m), to rounding.

    Semismooth Newton, as long as a step, or its half or quarter, takes a tenth off the residual. Members for which none
    does go back, and all their agents answer the others once. Strict diagonal dominance makes that map a contraction:
    an answer moves by the sum of the others' derivatives over the own one, less than 1, times what the others moved. So
    answers come ever closer to the solution, and Newton is tried again from each until it converges.

    Args:
        function: ``h``, (..., m) to (..., m).
        jacobian: its Jacobian, (..., m, m).
        target: (..., m).
        low: (m,) or a number; may be infinite.
        high: (m,) or a number; may be infinite.
        answer: profiles (..., m) to each agent's own solution, the others being where the profile has them.
        asks: which part has which property, for the error.
        start: (..., m) a first guess; by default zero.

    Returns:
        (..., m); NaN for members of the batch whose residual is no number, and where the target is none.

    Raises:
        ValueError: after 200 rounds of answers a residual is not at rounding: the Jacobian is not dominant.
    """
    known = np.isfinite(target).all(axis=-1, keepdims=True)
    target = np.where(known, target, 0.0)
    played = np.clip(np.where(known, np.zeros_like(target) if start is None else start, 0.0), low, high)
    with np.errstate(all="ignore"):
        value, left = _newton(function, jacobian, target, low, high, played)
        for _ in range(_ROUNDS):
            missing = ~(left <= 1.0)
            if not missing.any():
                break
            played = answer(played)
            if np.isnan(played[missing]).any(axis=-1).all():  # no number to go on with
                break
            trial, found = _newton(function, jacobian, target, low, high, played)
            mask = missing & ~(found >= left)
            value, left = np.where(mask[..., None], trial, value), np.where(mask, found, left)
    failed = np.isfinite(left) & (left > 1.0) & ~np.isnan(played).any(axis=-1) & (largest(value) < _HUGE)
    if failed.any():
        at = np.array2string(value[failed][0], precision=4)
        raise ValueError(f"{asks}; at {at} a residual of {1e3 * _ROUNDING * left[failed][0]:.3g} of the terms is left")
    return np.where(known & (left <= 1.0)[..., None], value, np.nan)


def _newton(
    function: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    target: Array,
    low: Bound,
    high: Bound,
    value: Array,
) -> tuple[Array, Array]:
    """Where steps lead that reduce the residual, (..., m), and its size there (...,), in units that count as
    solved."""
    aim = target + function(value)
    residual = value - np.clip(aim, low, high)
    size, least = largest(residual), 2 * largest(target)
    identity, stuck, still = np.eye(value.shape[-1]), np.zeros(size.shape, dtype=bool), np.zeros(size.shape, dtype=bool)
    for _ in range(_NEWTON):
        stuck = stuck | ~(size > _ROUNDING * (least + largest(value)))
        if stuck.all():
            break
        free = (aim > low) & (aim < high)
        try:
            move = np.linalg.solve(identity - free[..., None] * jacobian(value), residual[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break
        step = value - np.clip(value - move, low, high)
        # where markups are steep, rounding keeps the residual up although the solution is reached
        still = still | (largest(step) <= _ROUNDING * largest(value))
        start, before, tried = value, size, stuck | still
        for length in _LENGTHS:
            trial = np.clip(start - length * move, low, high)
            trial_aim = target + function(trial)
            found = trial - np.clip(trial_aim, low, high)
            trial_size = largest(found)
            better = (trial_size <= _PROGRESS * before) & ~tried  # false for NaN
            mask = better[..., None]
            value, aim = np.where(mask, trial, value), np.where(mask, trial_aim, aim)
            residual, size = np.where(mask, found, residual), np.where(better, trial_size, size)
            tried = tried | better
            if tried.all():
                break
        stuck = stuck | still | ~(size < before)
    unit = 1e3 * _ROUNDING * (least + largest(value))  # 0 where the solution is 0
    return value, np.where(still | (size == 0), 0.0, size / np.where(unit > 0, unit, 1.0))


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

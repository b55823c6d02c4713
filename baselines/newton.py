"""Newton's method for a grid forward-backward system, with line search and continuation in the penalties.

The linearised system is the paper's variational FBSDE. It is solved either as one banded system (LAPACK, when there is
no batch), or by the backward sweep ``dp_k = R_k dQ_k + s_k``, whose ``R_k`` solves the grid's Riccati equation (23).
Both cost ``O(K n^3)``. Batch axes are solved together, each member with its own step length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_lapack_funcs

from ..envs.arrays import Array
from .fbsde import System, average_adjoints, inventories, residual

_BANDED_LIMIT = 24
_ROUNDING = 1e-14
_SHORT_STEPS = 400
_SHORTEST_STEP = 2.0**-30


class Result(NamedTuple):
    """Outcome of the iteration. ``residual``, ``converged``: one for each member of the batch."""

    adjoints: Array
    """(..., K, n)"""
    residual: Array
    """(...,) largest absolute residual"""
    converged: Array
    """(...,)"""
    iterations: int
    """Newton iterations, those of a continuation included"""
    history: tuple[float, ...]
    """largest residual over the batch, by iteration"""
    stages: int
    """penalty levels that a continuation went through; 0 without"""


def riccati_step(
    system: System, jacobian: Array, phi: Array, slope: Array, offset: Array, defect: Array
) -> tuple[Array, Array, Array, Array]:
    """One step back of the sweep: ``dp_{k+1} = R dQ_{k+1} + s`` gives ``dY_k = D dQ_k + d``, ``dp_k = R' dQ_k + s'``.

    Args:
        system: gives ``dt``.
        jacobian: (..., n, n) of the rates at this step.
        phi: (..., n) running penalty at this step.
        slope: ``R``, (..., n, n).
        offset: ``s``, (..., n).
        defect: (..., n) to be added to ``dY_k``.

    Returns:
        ``D``, ``d``, ``R'``, ``s'``.
    """
    dt, identity = system.dt, np.eye(jacobian.shape[-1])
    penalty = phi[..., None] * identity
    left = identity - dt * (slope - 2 / 3 * dt * penalty) @ jacobian
    right = np.concatenate([slope - dt * penalty, (offset + defect)[..., None]], axis=-1)
    solution = np.linalg.solve(left, right)
    gain, shift = solution[..., :-1], solution[..., -1]
    move = dt * jacobian @ gain
    drift = (dt * jacobian @ shift[..., None])[..., 0]
    new_slope = slope @ (identity + move) - dt * penalty @ (2 * identity + move)
    new_offset = offset + (slope @ drift[..., None])[..., 0] - dt * phi * drift
    return gain, shift, new_slope, new_offset


def slopes(system: System, adjoints: Array) -> Array:
    """``R_k = d p_k / d Q_k`` along a solution, (..., K+1, n, n): the Riccati matrix of (23), on the grid."""
    *_, found = _sweep(system, system.jacobian(adjoints), np.zeros(adjoints.shape))
    return np.stack(found, axis=-3)


def _sweep(system: System, jacobian: Array, defect: Array) -> tuple[list[Array], list[Array], list[Array]]:
    """``D`` and ``d`` of every step, and ``R`` at every node."""
    steps, n = defect.shape[-2:]
    running = np.broadcast_to(system.running, defect.shape)
    slope = np.broadcast_to(-2 * system.terminal[..., None] * np.eye(n), (*defect.shape[:-2], n, n))
    offset = np.zeros((*defect.shape[:-2], n))
    gains, shifts, slopes = [], [], [slope]
    for k in reversed(range(steps)):
        gain, shift, slope, offset = riccati_step(
            system, jacobian[..., k, :, :], running[..., k, :], slope, offset, defect[..., k, :]
        )
        gains.append(gain)
        shifts.append(shift)
        slopes.append(slope)
    return gains[::-1], shifts[::-1], slopes[::-1]


def solve_by_sweep(system: System, jacobian: Array, defect: Array) -> Array:
    """The Newton direction ``dY`` with ``F'(Y) dY = defect``, (..., K, n), by the Riccati sweep; any batch axes."""
    gains, shifts, _ = _sweep(system, jacobian, defect)
    moved = np.zeros((*defect.shape[:-2], defect.shape[-1]))
    result = np.empty(defect.shape)
    for k, (gain, shift) in enumerate(zip(gains, shifts, strict=True)):
        result[..., k, :] = (gain @ moved[..., None])[..., 0] + shift
        moved = moved + system.dt * (jacobian[..., k, :, :] @ result[..., k, :, None])[..., 0]
    return result


def solve_banded(system: System, jacobian: Array, defect: Array) -> Array:
    """The same direction, without batch axes, by banded LU in the unknowns ``(dY_k, dQ_{k+1})``, ``k = 0..K-1``.

    Differencing the equation for ``Y`` between neighbouring steps makes the system block tridiagonal.
    """
    steps, n = defect.shape
    size = 2 * n
    # a unit of shares in which effects of adjoints are of order one, so that pivots do not depend on units
    moves = system.dt * jacobian
    shares = float(np.abs(moves).max()) or 1.0
    moves, phi = moves / shares, np.broadcast_to(system.dt * shares * system.running, defect.shape)
    agents = np.arange(n)
    here = np.zeros((steps, size, size))
    before = np.zeros((steps, size, size))
    after = np.zeros((steps, size, size))
    # forward rows: dQ_{k+1} - dQ_k - dt J_k dY_k = 0
    here[:, n:, :n] = -moves
    here[:, n + agents, n + agents] = 1.0
    before[:, n + agents, n + agents] = -1.0
    # backward rows: dY_k - dY_{k+1} + dt phi_k (dQ_k + 2 dQ_{k+1}) / 3 + dt phi_{k+1} (2 dQ_{k+1} + dQ_{k+2}) / 3
    here[:, agents, agents] = 1.0
    before[:, agents, n + agents] = phi / 3
    here[:, agents, n + agents] = 2 * phi / 3
    here[:-1, agents, n + agents] += 2 * phi[1:] / 3
    after[:-1, agents, n + agents] = phi[1:] / 3
    after[:-1, agents, agents] = -1.0
    # last backward row: dY_{K-1} + 2 A dQ_K + 2 phi dt (dQ_{K-1} / 6 + dQ_K / 3)
    here[-1, agents, n + agents] += 2 * shares * system.terminal
    right = np.zeros((steps, size))
    right[:, :n] = defect
    right[:-1, :n] -= defect[1:]

    width = 2 * size - 1
    band = np.zeros((steps, size, 3 * width + 1))  # column by column, as LAPACK wants it
    row, column = np.indices((size, size)).reshape(2, -1)
    for block, shift in ((before, -1), (here, 0), (after, 1)):
        # LAPACK keeps entry (i, j) at [2 width + i - j, j]; j lies `shift` blocks to the right of i
        source = block.reshape(steps, -1)
        rows = source[max(0, -shift) : steps - max(0, shift)]
        target = slice(max(0, shift), steps - max(0, -shift))
        band[target, column, 2 * width + row - column - shift * size] = rows
    gbsv: Any = get_lapack_funcs("gbsv", (band, right))
    _, _, solution, info = gbsv(width, width, band.reshape(steps * size, -1).T, right.ravel(), overwrite_ab=True)
    if info:
        raise np.linalg.LinAlgError("the linearised system is singular")
    return np.asarray(solution).reshape(steps, size)[:, :n]


def _direction(system: System, jacobian: Array, defect: Array) -> Array:
    if defect.ndim == 2 and defect.shape[-1] <= _BANDED_LIMIT:
        return solve_banded(system, jacobian, defect)
    return solve_by_sweep(system, jacobian, defect)


def _norm(values: Array) -> Array:
    """Largest absolute value over steps and agents; infinite where something is not finite."""
    largest = np.abs(values).max(axis=(-2, -1))
    return np.where(np.isfinite(largest), largest, np.inf)


def newton(
    system: System, start: Array, *, tolerance: float = 1e-11, iterations: int = 60, longest: float = np.inf
) -> Result:
    """Newton's method with a backtracking line search on the largest residual.

    It goes on until the residual, or the Newton step, is below ``tolerance`` (relative to the size of the adjoints, or
    to the system's unit where they are smaller) in every member of the batch, or no step helps, and then takes one more
    step unless the residual is at rounding already: it costs little and brings it there.

    Args:
        system: the system.
        start: (..., K, n) adjoints.
        tolerance: on the residual.
        iterations: at most.
        longest: a step in which an adjoint moves by more is shortened to it, and taken even if the residual rises.
            Rates are exponential in adjoints: far from a solution the residual says little about the distance.
    """
    adjoints = np.array(start, dtype=float)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = residual(system, adjoints)
        size = _norm(value)
        history = [float(size.max(initial=0.0))]
        count, polished = 0, False
        still = np.zeros(size.shape, dtype=bool)
        while count < iterations and np.isfinite(size).any():
            scale = np.maximum(system.unit, _norm(adjoints))
            if polished or (size <= _ROUNDING * scale).all():
                break
            polished = bool((still | (size <= tolerance * scale)).all())
            try:
                move = -_direction(system, system.jacobian(adjoints), value)
            except np.linalg.LinAlgError:
                break
            count += 1
            # where rates are steep, rounding keeps the residual up although the solution is reached
            still = _norm(move) <= tolerance * scale
            adjoints, value, size, moved = _search(system, adjoints, move, value, size, longest)
            history.append(float(size.max(initial=0.0)))
            if not moved.any():
                break
        converged = still | (size <= tolerance * np.maximum(system.unit, _norm(adjoints)))
    return Result(adjoints, size, converged, count, tuple(history), 0)


def _search(
    system: System, adjoints: Array, move: Array, value: Array, size: Array, longest: float
) -> tuple[Array, Array, Array, Array]:
    """Halve each member's step until its residual falls; members for which nothing helps stay where they are."""
    reach = _norm(move)
    usable = np.isfinite(reach)
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
        mask = better[..., None, None]
        best, best_value = np.where(mask, trial, best), np.where(mask, trial_value, best_value)
        best_size = np.where(better, trial_size, best_size)
        moved |= better
        done |= better | at_rounding  # a shorter step cannot help these
        length = np.where(done, length, length / 2)
    return best, best_value, best_size, moved


class _Scaled(System):
    """A system with all its penalties multiplied by a factor; at zero its solution is ``Y = 0``."""

    def __init__(self, system: System, factor: float) -> None:
        super().__init__(system.dt, factor * system.running, factor * system.terminal, system.initial, unit=system.unit)
        self._system = system

    def rates(self, adjoints: Array) -> Array:
        return self._system.rates(adjoints)

    def jacobian(self, adjoints: Array) -> Array:
        return self._system.jacobian(adjoints)


def start(system: System, steps: int) -> Array:
    """A crude first guess: the adjoints if nobody's inventory ever moved, shrunk towards zero."""
    n = system.initial.shape[-1]
    still = np.broadcast_to(system.initial[..., None, :], (*system.initial.shape[:-1], steps + 1, n))
    return 0.2 * average_adjoints(system, still)


def solve_system(
    system: System, steps: int, guess: Array | None = None, *, tolerance: float = 1e-11, longest: float = 1.0
) -> Result:
    """Plain Newton; where that fails, Newton with short steps; then continuation: penalties grow from nothing.

    Args:
        system: the system.
        steps: K.
        guess: adjoints to start from; by default :func:`start`.
        tolerance: on the residual.
        longest: step of the second attempt, in adjoints; of the size that changes rates by a factor of e.
    """
    begin = start(system, steps) if guess is None else guess
    first = newton(system, begin, tolerance=tolerance)
    if first.converged.all():
        return first
    second = newton(system, begin, tolerance=tolerance, iterations=_SHORT_STEPS, longest=longest)
    second = second._replace(iterations=first.iterations + second.iterations, history=first.history + second.history)
    if second.converged.all():
        return second
    return _continuation(system, second, tolerance)


def _continuation(system: System, failed: Result, tolerance: float, limit: int = 200) -> Result:
    adjoints, reached, growth, stages = np.zeros(failed.adjoints.shape), 0.0, 0.25, 0
    count, history, latest = failed.iterations, failed.history, failed
    while reached < 1.0 and stages < limit and growth > 1e-6:
        target = min(1.0, reached + growth)
        # along the path adjoints grow about in proportion to the penalties
        guess = adjoints * (target / reached) if reached else adjoints
        latest = newton(_Scaled(system, target), guess, tolerance=tolerance)
        count, history, stages = count + latest.iterations, history + latest.history, stages + 1
        if latest.converged.all():
            adjoints, reached, growth = latest.adjoints, target, growth * 1.5
        else:
            growth /= 3
    found = failed if reached < 1.0 else latest
    return found._replace(iterations=count, history=history, stages=stages)


def paths(system: System, adjoints: Array) -> Array:
    """(..., K+1, n) inventories that adjoints lead to."""
    return inventories(system, system.rates(adjoints))

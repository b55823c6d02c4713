"""The linearised grid system, the paper's variational FBSDE, solved for Newton's direction.

Either as one banded system (LAPACK, where there is no batch), or by the backward sweep ``dp_k = R_k dQ_k + s_k``, whose
``R_k`` solves the grid's Riccati equation (23). Both cost ``O(K n^3)``. Batch axes are solved together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from ..envs.arrays import Array
from .penalties import Penalties

BANDED_LIMIT = 24


def riccati_step(
    system: Penalties, jacobian: Array, phi: Array, slope: Array, offset: Array, defect: Array
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
    # scalar systems come in great numbers
    solution = right / left if len(identity) == 1 else np.linalg.solve(left, right)
    gain, shift = solution[..., :-1], solution[..., -1]
    move = dt * jacobian @ gain
    drift = (dt * jacobian @ shift[..., None])[..., 0]
    new_slope = slope @ (identity + move) - dt * penalty @ (2 * identity + move)
    new_offset = offset + (slope @ drift[..., None])[..., 0] - dt * phi * drift
    return gain, shift, new_slope, new_offset


def slopes(system: Penalties, jacobian: Array, closing: Array | None = None) -> Array:
    """``R_k = d p_k / d Q_k``, (..., K+1, n, n), of rates' derivatives (..., K, n, n) along a solution: the Riccati
    matrix of (23), on the grid.

    Args:
        system: the penalties.
        jacobian: (..., K, n, n).
        closing: (n,) True for agents who must liquidate, with ``-inf`` in ``R_K``; None: nobody.

    Raises:
        numpy.linalg.LinAlgError: no rates of the last step close from inventories nearby.
    """
    if closing is None or not closing.any():
        *_, found = _sweep(system, jacobian, np.zeros(jacobian.shape[:-1]))
        return np.stack(found, axis=-3)
    dt, identity, last = system.dt, np.eye(jacobian.shape[-1]), jacobian[..., -1, :, :]
    running = np.broadcast_to(system.running, jacobian.shape[:-1])
    penalty, own = running[..., -1, :, None] * identity, closing[:, None]
    end = -2 * np.where(closing, 0.0, system.terminal)[..., None] * identity
    # dY = (...) dQ of a step as ever, but dQ + dt J dY = 0 of those who close
    left = np.where(own, dt * last, identity - dt * (end - 2 / 3 * dt * penalty) @ last)
    gain = np.linalg.solve(left, np.where(own, -identity, end - dt * penalty))
    # p_k = Y_k - phi dt (2 Q_k + Q_{k+1}) / 3, for everybody
    before = gain - dt / 3 * penalty @ (3 * identity + dt * last @ gain)
    rest = Penalties(dt, running[..., :-1, :], system.terminal)
    *_, found = _sweep(rest, jacobian[..., :-1, :, :], np.zeros(jacobian[..., :-1, :, 0].shape), before)
    return np.stack([*found, end - np.where(own * identity, np.inf, 0.0)], axis=-3)


def _sweep(
    system: Penalties, jacobian: Array, defect: Array, end: Array | None = None
) -> tuple[list[Array], list[Array], list[Array]]:
    """``D`` and ``d`` of every step, and ``R`` at every node; ``end`` is ``R`` at the last, ``-2 A`` by default."""
    steps, n = defect.shape[-2:]
    running = np.broadcast_to(system.running, defect.shape)
    first = -2 * system.terminal[..., None] * np.eye(n) if end is None else end
    slope = np.broadcast_to(first, (*defect.shape[:-2], n, n))
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


def solve_by_sweep(system: Penalties, jacobian: Array, defect: Array) -> Array:
    """The Newton direction ``dY`` with ``F'(Y) dY = defect``, (..., K, n), by the Riccati sweep; any batch axes."""
    gains, shifts, _ = _sweep(system, jacobian, defect)
    moved = np.zeros((*defect.shape[:-2], defect.shape[-1]))
    result = np.empty(defect.shape)
    for k, (gain, shift) in enumerate(zip(gains, shifts, strict=True)):
        result[..., k, :] = (gain @ moved[..., None])[..., 0] + shift
        moved = moved + system.dt * (jacobian[..., k, :, :] @ result[..., k, :, None])[..., 0]
    return result


def solve_banded(system: Penalties, jacobian: Array, defect: Array) -> Array:
    """The same direction, without batch axes, by banded LU in the unknowns ``(dY_k, dQ_{k+1})``, ``k = 0..K-1``.

    Differencing the equation for ``Y`` between neighbouring steps makes the system block tridiagonal.
    """
    steps, n = defect.shape
    size = 2 * n
    # a unit of shares in which effects of adjoints are of order one, so that pivots do not depend on units
    moves = system.dt * jacobian
    shares = float(np.abs(moves).max()) or 1.0
    moves, phi = moves / shares, np.broadcast_to(system.dt * shares * system.running, defect.shape)
    agents, width = np.arange(n), 2 * size - 1
    band = np.zeros((steps, size, 3 * width + 1))  # column by column, as LAPACK wants it

    def entries(row: Array, column: Array, shift: int = 0) -> tuple[slice, Array, Array]:
        """Where the entries (row, column) of blocks stand that lie ``shift`` blocks to the right of the diagonal."""
        here = slice(max(0, shift), steps - max(0, -shift))
        # LAPACK keeps entry (i, j) at [2 width + i - j, j]
        return here, column, 2 * width + row - column - shift * size

    held = n + agents
    # forward rows: dQ_{k+1} - dQ_k - dt J_k dY_k = 0
    band[entries(held[:, None], agents)] = -moves
    band[entries(held, held)] = 1.0
    band[entries(held, held, -1)] = -1.0
    # backward rows: dY_k - dY_{k+1} + dt phi_k (dQ_k + 2 dQ_{k+1}) / 3 + dt phi_{k+1} (2 dQ_{k+1} + dQ_{k+2}) / 3
    band[entries(agents, agents)] = 1.0
    band[entries(agents, held, -1)] = phi[1:] / 3
    both = 2 * phi / 3
    both[:-1] += both[1:]
    # last backward row: dY_{K-1} + 2 A dQ_K + 2 phi dt (dQ_{K-1} / 6 + dQ_K / 3)
    both[-1] += 2 * shares * system.terminal
    band[entries(agents, held)] = both
    band[entries(agents, held, 1)] = phi[1:] / 3
    band[entries(agents, agents, 1)] = -1.0
    right = np.zeros((steps, size))
    right[:, :n] = defect
    right[:-1, :n] -= defect[1:]
    gbsv: Any = get_lapack_funcs("gbsv", (band, right))
    _, _, solution, info = gbsv(width, width, band.reshape(steps * size, -1).T, right.ravel(), overwrite_ab=True)
    if info:
        raise np.linalg.LinAlgError("the linearised system is singular")
    return np.asarray(solution).reshape(steps, size)[:, :n]


def solve_linear(system: Penalties, jacobian: Array, defect: Array) -> Array:
    """The direction by the faster of the two."""
    if defect.ndim == 2 and defect.shape[-1] <= BANDED_LIMIT:
        return solve_banded(system, jacobian, defect)
    return solve_by_sweep(system, jacobian, defect)

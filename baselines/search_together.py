"""Many searches for a schedule at once: one for each start of a game, all of them stepped by one batched rollout.

Every search is a projected quasi-Newton method: coordinates at a bound that the payoff pushes against are held, the
others take a step of Newton's, whose curvature is one matrix for all to begin with and is corrected by each search's
own gradients (BFGS). Where payoffs are quadratic and the starts differ in nothing but inventories, the first matrix is
exact, and a search ends after one or two steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..envs.arrays import Array
from .progress import told

Values = Callable[[Array, Array], Array]
"""(schedules (D, P, S), places (P,) of the searches they are of) -> payoffs (D, P); per unit"""

Slopes = Callable[[Array, Array], Array]
"""points (P, S), places (P,) of the searches they are of -> their gradients (P, S); per unit"""

_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.01])
"""parts of a step that are tried"""
_SUFFICIENT = 1e-4
"""part of what a step promises to first order that it has to bring"""
_LEAST = 1e-3
"""least curvature, as a part of the largest"""


def curvature(values: Callable[[Array], Array], at: Array, width: float) -> Array:
    """``-d2 f`` of one payoff by second differences, (S, S), made positive definite.

    Args:
        values: payoffs (D,) of points (D, S).
        at: (S,) the point.
        width: of the differences.
    """
    size = len(at)
    i, j = np.triu_indices(size)
    moved = width * np.eye(size)
    corners = [at + a * moved[i] + b * moved[j] for a in (1, -1) for b in (1, -1)]
    both, first, second, neither = np.split(values(np.concatenate(corners)), 4)
    matrix = np.zeros((size, size))
    matrix[i, j] = matrix[j, i] = -(both - first - second + neither) / (4 * width**2)
    sizes, vectors = np.linalg.eigh(matrix)
    sizes = np.maximum(np.abs(sizes), _LEAST * np.abs(sizes).max() or 1.0)
    return np.asarray((vectors * sizes) @ vectors.T)


def climb_together(
    values: Values,
    start: Array,
    matrix: Array,
    limits: tuple[Array, Array],
    *,
    slopes: Slopes | None = None,
    width: float,
    iterations: int,
    tolerance: float,
) -> tuple[Array, Array]:
    """The best points found, (P, S), and their payoffs (P,).

    Args:
        values: payoffs of the points of searches.
        start: (P, S) first points, within the limits.
        matrix: (S, S) positive definite, ``-d2 f`` to begin with.
        limits: lowest and highest points (P, S).
        slopes: gradients; None: central differences.
        width: of these differences.
        iterations: at most.
        tolerance: a search ends where a step promises less than this.
    """
    x = np.clip(start, *limits)
    payoff = values(x[None], np.arange(len(x)))[0]
    matrices = np.broadcast_to(matrix, (len(x), *matrix.shape)).copy()
    members, before = np.arange(len(x)), None
    for _ in told("best responses by search", range(iterations)):
        low, high = (each[members] for each in limits)
        here = x[members]
        slope = _slope(values, here, members, low, high, width) if slopes is None else slopes(here, members)
        if before is not None:
            matrices[members] = _corrected(matrices[members], *before, slope)
        step, promised = _step(here, slope, matrices[members], low, high)
        going = promised > tolerance
        members, here, step, slope = (each[going] for each in (members, here, step, slope))
        if not len(members):
            break
        low, high = low[going], high[going]
        tried = np.clip(here + _LENGTHS[:, None, None] * step, low, high)
        reached = values(tried, members)
        enough = reached >= payoff[members] + _SUFFICIENT * ((tried - here) * slope).sum(axis=-1)
        best = np.where(enough, reached, -np.inf).argmax(axis=0)
        moved = enough.any(axis=0)
        place = best[moved], np.flatnonzero(moved)
        members = members[moved]
        if not len(members):
            break
        before = tried[place] - here[moved], slope[moved]
        x[members], payoff[members] = tried[place], reached[place]
    return x, payoff


def _slope(values: Values, x: Array, members: Array, low: Array, high: Array, width: float) -> Array:
    """(P, S) central differences, one-sided at a bound."""
    size = x.shape[-1]
    moves = width * np.concatenate([np.eye(size), -np.eye(size)])
    points = np.clip(x + moves[:, None], low, high)
    up, down = np.split(values(points, members), 2)
    ahead, behind = np.split(points, 2)
    between = np.einsum("sps->ps", ahead - behind)
    return np.asarray((up - down).T / np.maximum(between, 1e-7 * width))


def _step(x: Array, slope: Array, matrices: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Newton's step (P, S) of the coordinates that are not held at a bound, and what it promises, (P,)."""
    held = ((x <= low) & (slope < 0)) | ((x >= high) & (slope > 0))
    free = ~held
    kept = np.where(free[:, :, None] & free[:, None, :], matrices, np.eye(x.shape[-1]))
    step = np.linalg.solve(kept, np.where(free, slope, 0.0)[..., None])[..., 0]
    return step, 0.5 * (step * np.where(free, slope, 0.0)).sum(axis=-1)


def _corrected(matrices: Array, moved: Array, before: Array, slope: Array) -> Array:
    """The curvatures after a step, by BFGS; as they were where the payoff did not curve along it."""
    fallen = before - slope
    along = (matrices @ moved[..., None])[..., 0]
    own, expected = (moved * fallen).sum(axis=-1), (moved * along).sum(axis=-1)
    usable = own > 1e-8 * expected
    own, expected = (np.where(usable, each, 1.0)[:, None, None] for each in (own, expected))
    update = fallen[:, :, None] * fallen[:, None] / own - along[:, :, None] * along[:, None] / expected
    return np.asarray(matrices + np.where(usable[:, None, None], update, 0.0))

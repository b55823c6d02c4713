"""The curve of solutions of a grid system along the size of its penalties, followed where it turns back.

A continuation whose penalties only grow ends where the curve has a fold: there are two solutions before it and none
near behind it. Followed by its length (Keller's pseudo-arclength continuation), adjoints and penalties both being
unknown, the curve may come back and reach the full penalties. Or it leads to ever smaller penalties and ever larger
adjoints: then the two solutions may be all that there is before the fold, and there may be none behind it. That happens
where makers compete by best quote, their volumes need not add up to the traders', and nothing bounds quotes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..envs.arrays import Array
from .budget import Budget
from .fbsde import System, average_adjoints, inventories, residual

_CORRECTIONS = 8
_FIRST, _LONGEST, _SHORTEST = 0.1, 20.0, 1e-6
_ACCURATE = 1e-9
_LEAST = 1e-6
"""part of the penalties at which the curve is given up"""


class Point(NamedTuple):
    """A point of the curve."""

    adjoints: Array
    """(K, n)"""
    part: float
    """logarithm of the part of the penalties"""


def follow(system: System, first: Point, second: Point, budget: Budget) -> Point:
    """The curve from two of its points on, until it reaches the full penalties.

    Args:
        system: without batch axes.
        first: a point.
        second: the next one, which gives the direction.
        budget: of iterations and time.

    Returns:
        A point near the full penalties, or the last that was found.
    """
    unit = float(np.asarray(system.unit)) * np.sqrt(first.adjoints.size)
    last, tangent, step = second, _normalised(first, second, unit), _FIRST
    while np.log(_LEAST) < last.part < 0 and step > _SHORTEST and not budget.exhausted:
        found = _corrected(system, last, tangent, step, unit, budget)
        if found is None:
            step /= 3
            continue
        if found.part >= 0:  # between the two
            share = -last.part / (found.part - last.part)
            return Point(last.adjoints + share * (found.adjoints - last.adjoints), 0.0)
        tangent, last, step = _normalised(last, found, unit), found, min(1.5 * step, _LONGEST)
    return last


def _normalised(before: Point, after: Point, unit: float) -> Point:
    """The direction from one point to another, of length 1."""
    adjoints, part = after.adjoints - before.adjoints, after.part - before.part
    length = float(np.sqrt((adjoints**2).sum() / unit**2 + part**2))
    return Point(adjoints / length, part / length)


def _corrected(system: System, last: Point, tangent: Point, step: float, unit: float, budget: Budget) -> Point | None:
    """The point of the curve in the plane a step ahead; None where Newton's method does not find it."""
    ahead = Point(last.adjoints + step * tangent.adjoints, last.part + step * tangent.part)
    point, before = ahead, np.inf
    for _ in range(_CORRECTIONS):
        part = float(np.exp(point.part))
        if not budget.spend() or not np.isfinite(part):
            return None
        here = system.scaled(np.asarray(part))
        value = residual(here, point.adjoints)
        size = float(np.abs(value).max())
        if not size < 10 * before:
            return None
        if size <= _ACCURATE * max(float(np.abs(point.adjoints).max()), unit):
            return point
        before = size
        # bordered system: F_Y dY + F_s ds = -F, and dY, ds stay in the plane across the tangent
        held = -part * average_adjoints(system, inventories(system, system.rates(point.adjoints)))
        try:
            free, along = (here.direction(point.adjoints, each) for each in (value, held))
        except np.linalg.LinAlgError:
            return None
        off = ((point.adjoints - ahead.adjoints) * tangent.adjoints).sum() / unit**2
        off += (point.part - ahead.part) * tangent.part
        slope = tangent.part - (along * tangent.adjoints).sum() / unit**2
        change = ((free * tangent.adjoints).sum() / unit**2 - off) / slope
        if not np.isfinite(change) or abs(change) > 5:
            return None
        point = Point(point.adjoints - free - change * along, point.part + float(change))
    return None

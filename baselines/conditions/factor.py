"""Functions of time and of a factor, looked at at drawn points: extremes, growth far out, and slopes.

A function is asked for one time and many factors, as environments ask it. Where it has no value, NaN stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from ...envs import Affine, Factor, Game, Logistic
from ...envs.arrays import Array, is_number
from ...envs.factor import BoundedReversion, Constant, MeanReversion
from ...envs.flows import of_factor
from ...envs.parameters import Parameter, evaluate
from ...envs.probing import cells, near, settle
from .condition import Margin
from .in_time import least_margin

Function = Callable[[Array, Array], Array]
"""(time, factors (B, d)) to (B, ...)"""

_TIMES = 15
_DRAWS = 500
GROWS = 0.5
"""of proportional growth over the last factor of ten: above it a function counts as unbounded"""
NEAR, MIDDLE, FAR = 3.0, 1e2, 1e3
"""how far points are drawn, in scales of the factor"""
_WIDTHS = (3e-2, 5e-3, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""of the differences that slopes are read off, in scales of the factor; those before the last find where to look"""
_COMPARED = (1e-3, 1e-5, 1e-7)
_POLE = 1e6
"""of a function's usual size: above it the function has a pole"""
_ROUNDS = 60
_WORST_TIMES = 2
_STARTS = 8
_KNOWN = (Affine, BoundedReversion, Constant, Logistic, MeanReversion)
"""functions whose formula tells all that is asked"""


class Extreme(NamedTuple):
    """The least value that was found of a function, and where."""

    value: float
    time: float
    factor: Array
    """(d,)"""
    points: int

    @property
    def margin(self) -> Margin:
        """As a margin of a condition."""
        where = f"t = {self.time:.4g}, L = {np.array2string(self.factor, precision=4)}"
        return Margin(self.value, where, self.points)


class Steepness(NamedTuple):
    """Slopes of functions in a factor."""

    margin: Margin
    """the largest that was found, negated"""
    bounded: bool
    """False where they keep growing over ever shorter distances or ever further out, or where a function has no
    value"""


def times_of(horizon: float) -> Array:
    """Times at which functions of a factor are looked at."""
    return cells(0.0, horizon, _TIMES)


def points_of(factor: Factor, horizon: float, reach: float) -> Array:
    """(B, d) values of a factor: drawn ones out to a reach, in its scales, and ones ever closer to where it begins and
    to 0."""
    rng = np.random.default_rng(0)
    start, unit = np.array(factor.initial), factor.scale(horizon)
    drawn = start + reach * unit * rng.uniform(-1, 1, (_DRAWS, factor.size))
    steps = (near(1.0)[::4, None, None] * unit * np.eye(factor.size)).reshape(-1, factor.size)
    close = [centre + sign * steps for centre in (start, 0 * start) for sign in (1, -1)]
    return np.concatenate([start[None], 0 * start[None], drawn, *close])


def lowest(function: Function, times: Array, points: Array, radius: Array) -> Extreme:
    """The least value of a function of time and factor.

    Args:
        function: to (B,).
        times: (T,) times that it is asked for.
        points: (B, d) factors; from the worst of them at the worst times the search goes on.
        radius: (d,) of its first moves.
    """
    when, found, values = _search(function, times, points, radius)
    index = int(values.argmin())
    return Extreme(float(values[index]), float(when[index]), found[index], len(times) * len(points))


def _search(function: Function, times: Array, points: Array, radius: Array) -> tuple[Array, Array, Array]:
    """Times (m,), factors (m, d) and values (m,) at local minima."""
    values = np.stack([np.nan_to_num(known(function, t, points), nan=np.inf) for t in times])
    rows = np.argsort(values.min(axis=1), kind="stable")[:_WORST_TIMES]
    found = []
    for row in rows:
        starts = points[np.argsort(values[row], kind="stable")[:_STARTS]]
        found.append(settle(partial(known, function, times[row]), starts, radius[None], rounds=_ROUNDS))
    reached, least = (np.concatenate(each) for each in zip(*found, strict=True))
    return np.repeat(times[rows], len(reached) // len(rows)), reached, least


def known(function: Function, time: Array, at: Array) -> Array:
    """Values (B, ...) at factors (B, d); NaN where there is none."""
    with np.errstate(all="ignore"):
        try:
            values = np.asarray(function(time, at), dtype=float)
        except ValueError:  # of a batch in which one value is not finite; a market alone shows which
            return _one_by_one(function, time, at)
    return np.where(np.isfinite(values), values, np.nan)


def _one_by_one(function: Function, time: Array, at: Array) -> Array:
    values: list[Array | None] = []
    for one in at:
        try:
            values.append(np.asarray(function(time, one[None]), dtype=float))
        except ValueError:
            values.append(None)
    shape = next((each.shape for each in values if each is not None), (1,))
    return np.concatenate([np.full(shape, np.nan) if each is None else each for each in values])


def growth(function: Function, times: Array, factor: Factor, horizon: float) -> tuple[float, Margin]:
    """A function's growth over the last factor of ten, 1 if in proportion, infinite where it has a pole; and its
    largest size, negated."""

    def size(t: Array, at: Array) -> Array:
        return -_size(known(function, t, at))

    unit = factor.scale(horizon)
    found = [lowest(size, times, points_of(factor, horizon, reach), reach / 10 * unit) for reach in (NEAR, MIDDLE, FAR)]
    close, middle, far = (-each.value for each in found)
    usual = max(float(np.nanmedian(-size(t, points_of(factor, horizon, NEAR)))) for t in times)
    largest = min(found, key=lambda each: each.value).margin
    if usual > 0 and close > _POLE * usual:
        return np.inf, largest
    return (far / middle - 1) / 9 if middle > 0 else 0.0, largest


def _size(values: Array) -> Array:
    """(B,) largest of (B, ...)."""
    return np.asarray(np.abs(values).reshape(len(values), -1).max(axis=-1))


def steepness(functions: Sequence[Function], times: Array, factor: Factor, horizon: float) -> Steepness:
    """Slopes of functions, over distances of a thousandth of the factor's scale to ever shorter ones, and far out.

    Args:
        functions: to (B, ...).
        times: (T,)
        factor: that they are functions of.
        horizon: of the game.
    """
    unit = factor.scale(horizon)

    def slope(width: float) -> Function:
        """The steepest one over differences of a width, negated."""

        def steepest(t: Array, at: Array) -> Array:
            moves = width * unit * np.eye(factor.size)
            return -np.max(
                [
                    _size(known(function, t, at + move) - known(function, t, at - move)) / (2 * np.abs(move).max())
                    for function in functions
                    for move in moves
                ],
                axis=0,
            )

        return steepest

    base = points_of(factor, horizon, NEAR)
    points, radius, local = base, NEAR / 20 * unit, {}
    for width in _WIDTHS:
        when, found, values = _search(slope(width), times, points, radius)
        index = int(values.argmin())
        local[width] = Extreme(float(values[index]), float(when[index]), found[index], len(times) * len(base))
        points, radius = np.concatenate([found, base]), 3 * width * unit
    far = [
        lowest(slope(1e-5 * reach), times, points_of(factor, horizon, reach), reach / 20 * unit)
        for reach in (MIDDLE, FAR)
    ]
    middle, farthest = (-each.value for each in far)
    compared = [local[width] for width in _COMPARED]
    coarse, fine, finest = (-each.value for each in compared)
    size = max(float(np.nanmax(_size(known(function, times[0], base)))) for function in functions)
    settles = finest <= 1.5 * coarse + 1e-7 * size / float(unit.min()) or finest - fine <= (fine - coarse) / 2
    steady = farthest <= (1 + 9 * GROWS) * max(middle, coarse) + 1e-9
    holes = any(np.isnan(known(function, t, base)).any() for function in functions for t in times)
    margin = min((*compared, *far), key=lambda each: each.value).margin
    return Steepness(margin, bool(settles and steady and not holes))


def flows_grow(game: Game, factor: Factor) -> tuple[bool, Margin]:
    """True if flows are unbounded functions of the factor, as far as can be seen; and the largest one, negated."""

    def flows(time: Array, at: Array) -> Array:
        return np.stack(game.flows(time, at), axis=-1)

    increase, size = growth(flows, times_of(game.horizon), factor, game.horizon)
    return increase >= GROWS, size


def least_flows(game: Game, reach: float) -> tuple[Margin, Margin]:
    """The least ``buy_flow`` and ``sell_flow``, the factor being within a reach of its path, in its scales."""
    return _least_flow(game, 0, reach), _least_flow(game, 1, reach)


def _least_flow(game: Game, side: int, reach: float) -> Margin:
    flow, factor = (game.buy_flow, game.sell_flow)[side], game.factor
    if factor is None or not of_factor(flow):
        parameter = cast(Parameter, flow)
        return least_margin(lambda t: evaluate(parameter, t, "flow"), game.horizon, (parameter,))
    points, unit = points_of(factor, game.horizon, reach), factor.scale(game.horizon)
    bounds = points.min(axis=0), points.max(axis=0)
    times = times_of(game.horizon)
    found = lowest(lambda t, at: game.flows(t, np.clip(at, *bounds))[side], times, points, reach / 20 * unit)
    return unless_known(found.margin, flow)


def unless_known(margin: Margin, *functions: object) -> Margin:
    """A margin as one that is only looked at, unless the formulas of all functions are known."""
    return margin if probed(*functions) else margin._replace(points=0)


def probed(*functions: object) -> bool:
    """True if one of some functions is of the user's own, so that it is only known where it is looked at."""
    return not all(is_number(each) or isinstance(each, _KNOWN) or each is Factor.drift for each in functions)

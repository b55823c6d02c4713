"""Optimal quotes against the best of the others: one number for each side of the market, in a bracket that is known.

With ``g = -Lambda / Lambda'`` the markup, which does not rise (Definition 3.4), a maker of marginal value ``y`` whose
best rival quotes ``r`` answers ``r + x``, where ``x - g(x) = y - r``. The left side rises with slope at least 1: one
root. Every ``z`` bounds it, by itself on one side and by ``y - r + g(z)`` on the other, for beyond ``z`` markups are at
most ``g(z)``, before it at least. ``z = y - r`` and ``z = 0`` leave a bracket no longer than ``|y - r| + g(0)``,
however steep the markup is. The answer rises in ``y`` with slope ``1 / (1 - g'(x))``, in ``r`` with one minus that.

Quotes that are optimal against each other, (44), are in the order of marginal values. For let ``y_i <= y_j`` and
``delta_i > delta_j``: then ``i``'s best rival is not above ``j``'s, so ``i`` is farther from its rival, its markup is
not above ``j``'s, and ``delta_i <= delta_j`` after all, truncated or not. So the maker of the lowest value, 1, is the
best one, its rival is the maker of the next value, 2, and everybody else answers the best quote. The distance ``d =
delta_2 - delta_1`` solves ``d - g(d) + g(-d) = y_2 - y_1``: again a slope of at least 1, and a bracket, from 0 to ``y_2
- y_1``.

With truncation at plus and minus ``xi``: where the second quote is above ``xi``, it is ``xi``, and the best one answers
that; where the best quote is below ``-xi``, it is ``-xi``. For the answer to the answer is a rising map of slope below
1, which at ``xi`` is still above, at ``-xi`` still below, and truncating the other quote takes it no nearer.
"""

from __future__ import annotations

import numpy as np

from .arrays import Array
from .fixed_point import rising_root
from .intensity import Intensity

_ASKS = "intensity: expected a markup -Lambda / Lambda' that is not negative, does not rise and does not jump"


def answer(intensity: Intensity, adjoint: Array, rival: Array | float, limit: Array | float) -> Array:
    """The best quotes (..., m) at marginal values (..., m) to rivals' quotes (..., m), truncated at plus and minus
    ``limit``; all in currency. NaN where one is not finite.

    Raises:
        ValueError: the intensity is not of Definition 3.4.
    """
    ahead = adjoint - rival
    known = np.isfinite(ahead)
    ahead = np.where(known, ahead, 0.0)
    first, rest = intensity.markup(ahead), ahead + intensity.markup(np.zeros_like(ahead))
    low = np.maximum(ahead, np.minimum(0.0, rest))
    high = np.minimum(ahead + first, np.maximum(0.0, rest))
    start = np.clip(ahead + first / (1 - intensity.markup_slope(ahead)), low, high)

    def condition(x: Array) -> tuple[Array, Array, Array]:
        markup = intensity.markup(x)
        return x - markup - ahead, 1 - intensity.markup_slope(x), np.abs(x) + np.abs(markup) + np.abs(ahead)

    with np.errstate(all="ignore"):
        x = rising_root(condition, start, low, high, _ASKS)
        # value and markup add up to the quote, as rival and distance do; rounding of the distance moves the one by the
        # slope of the markup, of the rival's quote the other: weights by slopes keep both down
        direct, slope = adjoint + intensity.markup(x), -intensity.markup_slope(x)
        quotes = direct + slope / (1 + slope) * (rival + x - direct)
    return np.where(known, np.clip(quotes, -limit, limit), np.nan)


def optimal_quotes(intensity: Intensity, adjoint: Array, limit: Array | float) -> Array:
    """Quotes (..., M) that are optimal against each other at marginal values (..., M), truncated at plus and minus
    ``limit``; all in currency. NaN where a value is not finite.

    Raises:
        ValueError: the intensity is not of Definition 3.4.
    """
    known = np.isfinite(adjoint).all(axis=-1, keepdims=True)
    adjoint = np.where(known, adjoint, 0.0)
    index = np.arange(adjoint.shape[-1])
    first = np.argmin(adjoint, axis=-1)[..., None]
    lowest = adjoint.min(axis=-1, keepdims=True)
    second = np.where(index == first, np.inf, adjoint).min(axis=-1, keepdims=True)
    best, next_best = _best_two(intensity, lowest, second)
    beyond = next_best > limit
    if beyond.any():
        best = np.where(beyond, answer(intensity, lowest, np.minimum(next_best, limit), limit), best)
    bound = beyond | (best < -limit)
    best = np.clip(best, -limit, limit)
    pair = len(index) == 2 and not bound.any()
    others = next_best if pair else answer(intensity, adjoint, best, limit)
    return np.where(known, np.where(index == first, best, others), np.nan)


def _best_two(intensity: Intensity, lowest: Array, second: Array) -> tuple[Array, Array]:
    """The best quote and the next one, (..., 1) each, of the makers of the lowest values, before truncation."""
    gap = second - lowest

    def terms(distance: Array) -> tuple[Array, Array, Array, Array]:
        at = np.stack([-distance, distance])
        (ahead, behind), slopes = intensity.markup(at), intensity.markup_slope(at)
        return ahead, behind, -slopes[0], -slopes[1]

    def condition(distance: Array) -> tuple[Array, Array, Array]:
        ahead, behind, steep, steep_behind = terms(distance)
        size = distance + np.abs(behind) + np.abs(ahead) + gap
        return distance - behind + ahead - gap, 1 + steep + steep_behind, size

    rest = np.zeros_like(gap)
    start = gap / (1 - 2 * intensity.markup_slope(rest))
    with np.errstate(all="ignore"):
        distance = rising_root(condition, start, 0.0, gap, _ASKS)
        ahead, behind, steep, steep_behind = terms(distance)
        # what rounding of the distance leaves, times the slopes of the markups
        left = (distance - behind + ahead - gap) / (1 + steep + steep_behind)
        return lowest + ahead - steep * left, second + behind + steep_behind * left

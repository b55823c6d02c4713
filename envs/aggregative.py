"""Optimal quotes under softmax shares: one number for all makers, found by bracketing.

With ``s`` the rate, ``o_i`` the offsets, ``y_i`` the marginal values of inventory and ``h = log sum_j exp(o_j - s
delta_j)``, a maker's first-order condition (43), ``s delta_i = s y_i + m_i`` with the markup factor ``m_i = 1 / (1 -
z_i)`` of its share ``z_i = exp(o_i - s delta_i - h)``, is ``m_i + log(1 - 1 / m_i) = o_i - s y_i - h``. The left side
rises in ``m_i > 1``, so that shares fall in ``h``, and ``sum_i z_i(h) = 1`` has one root, the solution of (44),
however far apart marginal values are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arrays import Array

_NEWTON = 60
_ROUNDING = 4e-15
_NEAR = 1e-8
"""size of a Newton step after which there is nothing left to do: convergence is quadratic"""
_BRACKETING = 200


def optimal_quotes(rate: float, offsets: Array, adjoint: Array, limit: float) -> Array:
    """Quotes (..., M) that are optimal against each other at marginal values (..., M), truncated at plus and minus
    ``limit``.

    Args:
        rate: ``s``, 1 / currency.
        offsets: (M,) of the makers.
        adjoint: (..., M) marginal values of inventory; the quotes are NaN where one is not finite.
        limit: on the size of a quote, in currency.
    """
    known = np.isfinite(adjoint).all(axis=-1, keepdims=True)
    value = rate * np.where(known, adjoint, 0.0)
    quotes = _root(value, offsets, np.inf)
    outside = (np.abs(quotes) > rate * limit).any(axis=-1)
    if outside.any():
        quotes[outside] = _root(value[outside], offsets, rate * limit)
    return np.where(known, quotes / rate, np.nan)


class _At(NamedTuple):
    """Everybody's answers to a value of ``h``."""

    quotes: Array
    """(..., M) ``s delta``"""
    share: Array
    """(..., M)"""
    left: Array
    """(..., M) what a share leaves to the others, ``1 - z``"""
    slope: Array
    """(..., M) ``-dz / dh``"""


def _answers(value: Array, offsets: Array, limit: float, total: Array) -> _At:
    """The makers' quotes where ``h`` is ``total`` (...,), at marginal values (..., M) in units of ``1 / s``."""
    excess = _excess(offsets - value - total[..., None])
    wanted = value + 1 + excess
    share, left = excess / (1 + excess), 1 / (1 + excess)
    slope = share * left / (excess + left)
    if not np.isfinite(limit):
        return _At(wanted, share, left, slope)
    quotes = np.clip(wanted, -limit, limit)
    bound, log = quotes != wanted, offsets - quotes - total[..., None]
    held = np.exp(np.minimum(log, 700.0))
    return _At(quotes, np.where(bound, held, share), np.where(bound, 1 - held, left), np.where(bound, held, slope))


def _excess(aim: Array) -> Array:
    """``m - 1`` with ``m + log(1 - 1 / m) = aim``, by Newton's method in its logarithm ``u``, in which the left side,
    ``1 + exp(u) + u - log(1 + exp(u))``, increases and is convex."""
    aim = aim - 1
    log = np.where(aim > 1, np.log(np.maximum(aim, 1.0)), aim)
    for _ in range(_NEWTON):
        size = np.exp(log)
        move = (size + log - np.log1p(size) - aim) / (size + 1 / (1 + size))
        log = log - move
        if (np.abs(move) <= _NEAR).all():
            break
    return np.exp(log)


def _bracket(value: Array, offsets: Array, limit: float) -> tuple[Array, Array]:
    """Two values of ``h``, (...,) each, between which the shares sum to one."""
    weight = offsets - value
    makers = weight.shape[-1]
    ranked = np.partition(weight, makers - 2, axis=-1)
    # the largest share is at least 1 / M; and where the second largest is a half, the sum is at least 1
    high = ranked[..., -1] - makers / (makers - 1) + np.log(makers)
    low = np.minimum(ranked[..., -2] - 2 + np.log(2.0), high)
    if np.isfinite(limit):  # a quote that is held at a bound may be farther from what it should be
        low = np.minimum(low, offsets.max() - limit)
        high = np.maximum(high, np.log(np.exp(offsets - offsets.max()).sum()) + offsets.max() + limit)
    return low, high


def _root(value: Array, offsets: Array, limit: float) -> Array:
    """The quotes, in units of ``1 / s``, where the shares sum to one: what others take is what the largest share
    leaves. Newton's method on the ratio of the two, in logarithms, which is about linear in ``h``; bisection where it
    leaves the bracket, or does not halve its steps (at a bound the slope jumps)."""
    low, high = _bracket(value, offsets, limit)
    total, moved = (low + high) / 2, high - low
    found = _answers(value, offsets, limit, total)
    for _ in range(_BRACKETING):
        first = found.share.argmax(axis=-1)[..., None]
        lead = np.take_along_axis(found.left, first, axis=-1)[..., 0]
        own = np.take_along_axis(found.slope, first, axis=-1)[..., 0]
        taken = found.share.sum(axis=-1, where=np.arange(value.shape[-1]) != first)
        above = taken > lead
        low, high = np.where(above, total, low), np.where(above, high, total)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.log(taken / lead)
            trial = total + error / ((found.slope.sum(axis=-1) - own) / taken + own / lead)
        good = (trial >= low) & (trial <= high) & (np.abs(trial - total) <= moved / 2)  # false for NaN
        after = np.where(good, trial, (low + high) / 2)
        moved, total = np.abs(after - total), after
        found = _answers(value, offsets, limit, total)
        size = np.maximum(1.0, np.abs(total))
        if (np.where(good, moved <= _NEAR * size, high - low <= _ROUNDING * size)).all():
            break
    return found.quotes

"""Optimal quotes under softmax shares: one number for all makers, found by bracketing.

With ``s`` the rate, ``o_i`` the offsets, ``y_i`` the marginal values of inventory and ``h = log sum_j exp(o_j - s
delta_j)``, a maker's first-order condition (43), ``s delta_i = s y_i + m_i`` with the markup factor ``m_i = 1 / (1 -
z_i)`` of its share ``z_i = exp(o_i - s delta_i - h)``, is ``m_i + log(1 - 1 / m_i) = o_i - s y_i - h``. The left side
rises in ``m_i > 1``, so that shares fall in ``h``, and ``sum_i z_i(h) = 1`` has one root, the solution of (44),
however far apart marginal values are.

With an outside option ``o_0`` the sum in ``h`` has the term ``exp(o_0)`` as well. The makers' conditions are the same
functions of ``h``; the root is that of ``sum_i z_i(h) + exp(o_0 - h) = 1``, whose left side falls in ``h`` as before.
What stays outside is one more share, of a maker whose quote does not move.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arrays import Array

_NEWTON = 60
_ROUNDING = 4e-15
_SMALL = 0.01
"""imbalance near which the slope is that of the root"""
_NEAR = 1e-8
"""size of a Newton step after which there is nothing left to do: convergence is quadratic"""
_BRACKETING = 200


def optimal_quotes(
    rate: float | Array, offsets: Array, adjoint: Array, limit: float | Array, outside: float | Array | None = None
) -> Array:
    """Quotes (..., M) that are optimal against each other at marginal values (..., M), truncated at plus and minus
    ``limit``.

    Args:
        rate: ``s``, 1 / currency; a number, or (..., 1).
        offsets: (M,) of the makers, or (..., M).
        adjoint: (..., M) marginal values of inventory; the quotes are NaN where one is not finite.
        limit: on the size of a quote, in currency; a number, or (..., 1).
        outside: ``o_0``; a number, or (..., 1); None: no outside option, and at least two makers.
    """
    known = np.isfinite(adjoint).all(axis=-1, keepdims=True)
    value = rate * np.where(known, adjoint, 0.0)
    most, offsets = np.broadcast_to(rate * limit, value.shape), np.broadcast_to(offsets, value.shape)
    shape, makers = value.shape, value.shape[-1]
    fixed = np.broadcast_to(-np.inf if outside is None else outside, (*shape[:-1], 1)).reshape(-1)
    value, most, offsets = (each.reshape(-1, makers) for each in (value, most, offsets))
    quotes = _root(value, offsets, fixed, None)
    beyond = (np.abs(quotes) > most).any(axis=-1)
    if beyond.any():
        quotes[beyond] = _root(value[beyond], offsets[beyond], fixed[beyond], most[beyond])
    return np.where(known, quotes.reshape(shape) / rate, np.nan)


class _At(NamedTuple):
    """Everybody's answers to a value of ``h``; behind the makers' shares is that of the outside option."""

    quotes: Array
    """(B, M) ``s delta``"""
    share: Array
    """(B, M + 1)"""
    left: Array
    """(B, M + 1) what a share leaves to the others, ``1 - z``"""
    slope: Array
    """(B, M + 1) ``-dz / dh``"""
    log: Array
    """(B, M) logarithm of ``m - 1``, to start from at the next value"""


def _answers(value: Array, offsets: Array, outside: Array, limit: Array | None, total: Array, log: Array | None) -> _At:
    """The makers' quotes where ``h`` is ``total`` (B,), at marginal values (B, M) in units of ``1 / s``."""
    rest = np.minimum(outside - total, 0.0)[:, None]
    out = np.exp(rest)
    log = _log_excess(offsets - value - total[:, None], log)
    excess = np.exp(log)
    wanted = value + 1 + excess
    left = 1 / (1 + excess)
    share = excess * left
    slope = share * left / (excess + left)
    quotes = wanted
    if limit is not None:
        quotes = np.clip(wanted, -limit, limit)
        bound = quotes != wanted
        held = np.exp(np.minimum(offsets - quotes - total[:, None], 700.0))
        share, slope, left = (np.where(bound, *each) for each in ((held, share), (held, slope), (1 - held, left)))
    parts = (share, out), (left, -np.expm1(rest)), (slope, out)
    share, left, slope = (np.concatenate(each, axis=-1) for each in parts)
    return _At(quotes, share, left, slope, log)


def _log_excess(aim: Array, log: Array | None) -> Array:
    """``u = log(m - 1)`` with ``m + log(1 - 1 / m) = aim``, by Newton's method: the left side, ``1 + exp(u) + u - log(1
    + exp(u))``, increases and is convex in it."""
    aim = aim - 1
    near = np.where(aim > 1, np.log(np.maximum(aim, 1.0)), aim)
    log = near if log is None else np.where(np.abs(log - near) < 1, log, near)
    for _ in range(_NEWTON):
        size = np.exp(log)
        move = (size + log - np.log1p(size) - aim) / (size + 1 / (1 + size))
        log = log - move
        if np.abs(move).max(initial=0.0) <= _NEAR:
            break
    return log


def _bracket(value: Array, offsets: Array, outside: Array, limit: Array | None) -> tuple[Array, Array]:
    """Two values of ``h``, (B,) each, between which the shares sum to one."""
    weight = offsets - value
    options = weight.shape[-1] + np.isfinite(outside)  # that share the flow
    with np.errstate(divide="ignore"):
        half = np.concatenate([weight - 2, outside[:, None]], axis=-1) + np.log(2.0)
    # where every share is at most one part of as many, the sum is at most 1; where two are a half, it is at least 1
    high = np.maximum(weight.max(axis=-1) - options / (options - 1), outside) + np.log(options)
    low = np.minimum(np.partition(half, -2, axis=-1)[:, -2], high)
    if limit is not None:  # a quote that is held at a bound may be farther from what it should be
        top, most = offsets.max(axis=-1), limit[:, 0]
        low = np.minimum(low, top - most)
        taken = np.log(np.exp(offsets - top[:, None]).sum(axis=-1)) + top + most
        high = np.maximum(high, np.logaddexp(taken, outside))
    return np.maximum(low, outside), high


def _root(value: Array, offsets: Array, outside: Array, limit: Array | None) -> Array:
    """The quotes (B, M), in units of ``1 / s``, where the shares sum to one: what others take is what the largest share
    leaves. Newton's method on the ratio of the two, in logarithms, which is about linear in ``h``; bisection where it
    leaves the bracket, or does not halve its steps (at a bound the slope jumps)."""
    quotes, open_ = np.empty(value.shape), np.arange(len(value))
    low, high = _bracket(value, offsets, outside, limit)
    total, moved = (low + high) / 2, high - low
    found = _answers(value, offsets, outside, limit, total, None)
    for _ in range(_BRACKETING):
        error, slope, above = _imbalance(found)
        with np.errstate(invalid="ignore"):
            trial = total + error / slope
        low, high = np.where(above, total, low), np.where(above, high, total)
        good = (trial >= low) & (trial <= high) & (np.abs(trial - total) <= moved / 2)  # false for NaN
        after = np.where(good, trial, (low + high) / 2)
        moved, total = np.abs(after - total), after
        found = _answers(value, offsets, outside, limit, total, found.log)
        size = np.maximum(1.0, np.abs(total))
        close = good & (np.abs(error) < _SMALL)
        done = np.where(close, moved <= _NEAR * size, high - low <= _ROUNDING * size)
        if done.any():
            quotes[open_[done]] = found.quotes[done]
            if done.all():
                return quotes
            rest = ~done
            open_, value, offsets, outside = open_[rest], value[rest], offsets[rest], outside[rest]
            limit = None if limit is None else limit[rest]
            low, high, total, moved = low[rest], high[rest], total[rest], moved[rest]
            found = _At(*(each[rest] for each in found))
    quotes[open_] = found.quotes
    return quotes


def _imbalance(found: _At) -> tuple[Array, Array, Array]:
    """(B,) logarithm of what others take over what the largest share leaves, its slope in ``-h``, and where the shares
    sum to more than one."""
    first = found.share.argmax(axis=-1)
    rows = np.arange(len(first))
    lead, own = found.left[rows, first], found.slope[rows, first]
    others = found.share.copy()
    others[rows, first] = 0.0  # summed without it: a difference would lose what is small
    taken = others.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (found.slope.sum(axis=-1) - own) / taken + own / lead
        return np.log(taken / lead), slope, taken > lead

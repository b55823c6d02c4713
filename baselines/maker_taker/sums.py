"""Newton's direction where many traders meet makers: traders matter to makers through the two volumes alone.

Given changes of the best quotes, every trader's part of the linearised system is a scalar one of its own. Summed over
traders, their answers make the volumes' changes linear in the best quotes' changes, ``(K, K)`` matrices, and what is
left is one dense system in the makers' adjoints. The work grows with ``N K^2`` and ``(K M)^3`` in place of ``K n^3``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...envs.arrays import Array
from ..fbsde import average_adjoints
from ..penalties import Penalties
from ..sweep import solve_by_sweep

AT_ONCE = 2_000_000
"""numbers in one array of traders' answers, which bounds memory"""


class Slopes(NamedTuple):
    """What derivatives of the rates are made of, on every step."""

    rate: Array
    """(..., K, N) the traders' rates"""
    best_ask: Array
    """(..., K, M) derivatives of the best ask in the makers' adjoints"""
    best_bid: Array
    ask_share: Array
    """(..., K, M) parts of the volume at the asks that makers receive"""
    bid_share: Array
    makers: Array
    """(..., K, M, M) derivatives of the makers' rates in their adjoints, at given volumes"""


def solve_by_sums(system: Penalties, weights: tuple[Array, Array], own: Array, parts: Slopes, defect: Array) -> Array:
    """See :meth:`.System.direction`.

    Args:
        system: of ``N`` traders and ``M`` makers, without batch axes.
        weights: (N,) each, of the traders' rates in the volumes at the asks and at the bids.
        own: (K, N) derivatives of the traders' rates in their own adjoints.
        parts: of the derivatives.
        defect: (K, n).
    """
    traders = own.shape[-1]
    takers = Penalties(
        system.dt, system.running[:, :traders].T[..., None], system.terminal[:traders, None]
    )  # a batch of scalar systems
    makers = Penalties(system.dt, system.running[:, traders:], system.terminal[traders:])
    slopes, given = own.T[..., None], defect[:, :traders].T[..., None]
    alone = _rates(takers, slopes, given, np.zeros_like(given))[..., 0]
    flows = weights[0] @ alone, -weights[1] @ alone
    answers = _answers(takers, slopes, weights)

    def maker_rates(moved: Array, buys: Array, sells: Array) -> Array:
        """Changes of the makers' rates (..., K, M) with their adjoints and the volumes."""
        own = (parts.makers @ moved[..., None])[..., 0]
        return np.asarray(own - parts.ask_share * buys[..., None] + parts.bid_share * sells[..., None])

    def volumes(moved: Array) -> tuple[Array, Array]:
        """Changes of the volumes (..., K) with the makers' adjoints: a higher quote means less on either side."""
        ask, bid = ((best * moved).sum(axis=-1) for best in (parts.best_ask, parts.best_bid))
        return -ask @ answers[0].T, -bid @ answers[1].T

    steps, count = parts.best_ask.shape
    units = np.eye(steps * count).reshape(-1, steps, count)
    matrix = units - _averages(makers, maker_rates(units, *volumes(units)))
    right = defect[:, traders:] + _averages(makers, maker_rates(np.zeros((steps, count)), *flows))
    moved = np.linalg.solve(matrix.reshape(len(units), -1).T, right.ravel()).reshape(steps, count)

    ask, bid = ((best * moved).sum(axis=-1) for best in (parts.best_ask, parts.best_bid))
    prices = np.where((weights[0] > 0)[:, None], ask, -bid)[..., None]
    found = _moved(takers, slopes, given, prices)[..., 0].T
    return np.concatenate([found, moved], axis=-1)


def _averages(penalties: Penalties, rates: Array) -> Array:
    """Changes of adjoints (..., K, n) with rates (..., K, n)."""
    moved = penalties.dt * np.cumsum(rates, axis=-2)
    return average_adjoints(penalties, np.concatenate([0 * moved[..., :1, :], moved], axis=-2))


def _moved(takers: Penalties, slopes: Array, given: Array, prices: Array) -> Array:
    """Changes of traders' adjoints (..., N, K, 1) with defects and prices of that shape."""
    return solve_by_sweep(takers, slopes[..., None], given - _averages(takers, slopes * prices))


def _rates(takers: Penalties, slopes: Array, given: Array, prices: Array) -> Array:
    """The same of traders' rates."""
    return np.asarray(slopes * (_moved(takers, slopes, given, prices) - prices))


def _answers(takers: Penalties, slopes: Array, weights: tuple[Array, Array]) -> tuple[Array, Array]:
    """(K, K) each: what buyers, and sellers, trade less on every step when the price of one step is a unit higher."""
    traders, steps, _ = slopes.shape
    columns: list[tuple[Array, Array]] = []
    at_once = max(1, AT_ONCE // slopes.size)
    for first in range(0, steps, at_once):
        prices = np.eye(steps)[first : first + at_once, None, :, None] + np.zeros((traders, 1, 1))
        less = -_rates(takers, slopes, np.zeros_like(prices), prices)[..., 0]
        columns.append((weights[0] @ less, weights[1] @ less))
    buyers, sellers = (np.concatenate(each).T for each in zip(*columns, strict=True))
    return buyers, sellers

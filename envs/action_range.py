"""How far the makers' marginal values of inventory may go: a rough answer from parameters, without solving anything.

The range of a maker's quotes must hold what is worth trying, in equilibrium and away from it, must not be so wide that
quotes drawn from it are absurd, and must not know the solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Array
from .competition import Competition

_ORDERS_AT_ONCE = 0.1
"""part of the traders' orders that a maker may count on when it wants to be rid of shares"""
_FARTHEST = 60.0
"""margins, beyond which a share that depends on distances is 0 or grows without end"""
_MISSED = 10.0
"""times by which shares are smaller at quotes so high that they are not worth trying"""
_STEP = 0.25
"""of distances that are tried, in margins"""


@dataclass(frozen=True)
class Sizes:
    """Numbers that characterise a maker-taker game; shares, currency and time in the game's units."""

    margin: float
    horizon: float
    impact: Array
    """(N,) mean ``beta``"""
    running: Array
    """(n,) mean ``phi``"""
    terminal: Array
    """(n,) ``A``"""
    first_rate: Array
    """(N,) part of its order that a trader of Almgren and Chriss trades per unit of time at the start"""
    orders: tuple[float, float]
    """shares that traders want to buy, and to sell"""
    traded: tuple[float, float]
    """those of them that are worth a margin, impact left out"""
    worth: Array
    """(N,) most that a trader pays per share rather than keep its inventory"""
    noise: tuple[float, float]
    """shares that noise traders buy, and sell"""
    inventories: Array
    """(M,) of the makers at the start"""
    share: Array
    """(M,) of the flow if makers quote alike, at the margin"""

    @property
    def stocks(self) -> Array:
        """(5, M) inventories that makers may have if they quote alike, starting from their own: at the start; and at
        the end if no trader trades, if buyers do, if sellers do, if all do."""
        return self._stocks(self.inventories)

    @property
    def mean_stocks(self) -> Array:
        """The same from their mean."""
        return self._stocks(np.full_like(self.inventories, self.inventories.mean()))

    def _stocks(self, start: Array) -> Array:
        net = self.noise[0] - self.noise[1]
        taken = (net, net + self.traded[0], net - self.traded[1], net + self.traded[0] - self.traded[1])
        return np.stack([start, *(start - self.share * each for each in taken)])


def marginal_values(competition: Competition, sizes: Sizes, surprise: float) -> tuple[float, float]:
    """Least and greatest marginal value of inventory that a maker may have, in currency per share.

    The adjoint of (14), ``dY = 2 phi Q dt`` and ``Y_T = -2 A Q_T``: ``y = -(2 A + 2 phi T) S`` for an inventory ``S``
    that is held to the end, ``-2 A S`` at the end; optimal quotes are a margin from it (17). Inventories are
    those of makers who quote alike. A maker with another inventory than the others quotes away from them until flow
    takes the difference off its hands, and no farther, which bounds how far apart values are. Where the flow depends on
    the level of quotes, everybody's values are bounded in the same way.

    Args:
        competition: divides the flow.
        sizes: of the game.
        surprise: shares that noise may bring besides.
    """
    makers, margin = len(sizes.inventories), sizes.margin
    end, running = 2 * sizes.terminal[-makers:], 2 * sizes.running[-makers:] * sizes.horizon
    slope = end + running
    values = -np.stack([slope, end])[:, None] * sizes.mean_stocks  # (2, 5, M): held to the end, and at the end
    low, high = float(values.min()), float(values.max())

    volume = min(flow + _ORDERS_AT_ONCE * orders for flow, orders in zip(sizes.noise, sizes.orders, strict=True))
    apart = np.abs(sizes.inventories - sizes.inventories.mean())
    lower = np.arange(0.0, _FARTHEST, _STEP) * margin
    away = max(
        min(slope[i] * apart[i], _distance(lower, volume * _gained(competition, sizes, lower, i), apart[i]))
        for i in range(makers)
    )
    away += float((slope * surprise).max())
    if _depends_on_level(competition, sizes):
        most = float(np.abs(sizes.inventories).max()) + sizes.orders[1]
        fall = _distance(lower, volume * _gained(competition, sizes, lower, slice(None)), most)
        low, high = (
            max(low, -fall - margin),
            min(high, _distance(lower, _lost(competition, sizes, lower), _MISSED) + margin),
        )
    return float(low - away), float(high + away)


def _gained(competition: Competition, sizes: Sizes, lower: Array, who: int | slice) -> Array:
    """(D,) the share that a maker, or each of all, gains by quoting lower by distances (D,)."""
    quotes = np.full((len(lower), len(sizes.share)), sizes.margin)
    quotes[:, who] -= lower if isinstance(who, int) else lower[:, None]
    with np.errstate(over="ignore"):  # far away shares may grow without end
        gained = competition.fill(quotes).share - sizes.share
    return gained[:, who] if isinstance(who, int) else gained.min(axis=-1)


def _lost(competition: Competition, sizes: Sizes, higher: Array) -> Array:
    """(D,) how many times smaller shares are, at least, if all makers quote higher by distances (D,)."""
    quotes = np.full((len(higher), len(sizes.share)), sizes.margin) + higher[:, None]
    with np.errstate(divide="ignore"):
        return np.asarray((sizes.share / competition.fill(quotes).share).min(axis=-1))


def _depends_on_level(competition: Competition, sizes: Sizes) -> bool:
    """True if shares change when all makers change their quotes alike."""
    higher = competition.fill(np.full((1, len(sizes.share)), 2 * sizes.margin)).share[0]
    return not np.allclose(higher, sizes.share)


def _distance(lower: Array, taken: Array, shares: float) -> float:
    """The first distance at which the flow that is gained takes so many shares; infinite where it never does."""
    enough = taken >= shares
    return float(lower[enough.argmax()]) if enough.any() else float("inf")

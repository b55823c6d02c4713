"""Observations of the agents: nested prefixes of one vector.

=============  ==================================================================  ============
entries        meaning                                                             kind
=============  ==================================================================  ============
1              time ``t / T`` in [0, 1]                                            ``"time"``
d              the factor, in units of its scale; in a game that has one           ``"time"``
D              with ``context``: what was drawn of a random market, in [-1, 1]     ``"time"``
1              own inventory in units of the game's inventory scale                ``"own"``
2              last best ask and best bid, normalised to [-1, 1] by the quote      ``"market"``
               range; in a game that has makers
1              market price since the start, its martingale part included, in      ``"market"``
               units of its typical move over the horizon
2              buy and sell volume of the last step, in units of half the shares   ``"market"``
               that want to be traded in an average step
n - 1          the other agents' inventories, traders first, in the same units     ``"full"``
               as the own
2 M            the makers' last asks and bids, normalised like the best ones       ``"full"``
=============  ==================================================================  ============

An observation of kind ``"own"`` is the prefix of the full one that ends after the own inventory, and so on;
``"market"`` is what a participant of a real market sees. Quotes and volumes are 0 before the first step. Inventories,
factors, prices and volumes are clipped at +-10 units, so that every observation is bounded. With ``identity`` a one-hot
of the agent, n entries, stands behind all of it.
"""

from __future__ import annotations

from copy import copy
from typing import Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from .arrays import Array, as_like, namespace
from .competition import best_quote
from .game import Controls, Game
from .grid import State
from .names import unknown

Kind = Literal["time", "own", "market", "full"]
KindName = Literal["time", "own", "market", "full", "open_loop"]
"""a kind; ``"open_loop"`` is another name of ``"time"``"""
KINDS: tuple[Kind, ...] = ("time", "own", "market", "full")
LIMIT = 10.0


def inventory_scale(game: Game) -> float:
    """Unit of inventories in observations: the largest initial inventory, in shares; 1 where all are zero."""
    return float(np.abs(game.start).max()) or 1.0


def check_kind(kind: str, name: str = "observation") -> Kind:
    """A kind of observation by its own name. Raises ValueError for an unknown one."""
    for each in KINDS:
        if kind == each or (kind == "open_loop" and each == "time"):
            return each
    raise unknown(name, kind, KINDS)


def width(game: Game, kind: str, context: int = 0) -> int:
    """Number of entries of an observation, without a one-hot. Raises ValueError for an unknown kind.

    Args:
        game: the game.
        kind: of the observation.
        context: number of entries that show what was drawn of a random market.
    """
    known = check_kind(kind)
    own = 2 + factors(game) + context
    market = own + market_size(game)
    return {"time": own - 1, "own": own, "market": market, "full": market + len(game.agents) - 1 + 2 * game.makers}[
        known
    ]


def factors(game: Game) -> int:
    """Dimension of the game's factor; 0 without."""
    return 0 if game.factor is None else game.factor.size


def market_size(game: Game) -> int:
    """Number of entries that only ``"market"`` and ``"full"`` have of the market: best quotes, price, volumes."""
    return 5 if game.makers else 3


def space(game: Game, kind: str, *, identity: bool = False, context: int = 0) -> Box:
    """Bounds of an observation."""
    quotes = [1.0] * 2 if game.makers else []
    shared = [1.0] + [LIMIT] * factors(game) + [1.0] * context
    limits = [LIMIT] + quotes + [LIMIT] * (2 + len(game.agents)) + [1.0] * (2 * game.makers)
    size, others = width(game, kind, context), [1.0] * (len(game.agents) * identity)
    high = np.array([*shared, *limits][:size] + others, dtype=np.float32)
    low = -high
    low[0] = 0.0
    low[size:] = 0.0
    return Box(low, high)


def state_space(game: Game, context: int = 0) -> Box:
    """Bounds of the vector that all observations are made of; its inventories stand together."""
    quotes = [1.0] * (2 if game.makers else 0)
    before = [1.0] + [LIMIT] * (factors(game) + len(game.agents))
    after = [1.0] * (2 * game.makers + context)
    high = np.array([*before, *quotes, LIMIT, LIMIT, LIMIT, *after], dtype=np.float32)
    return Box(np.concatenate([np.zeros(1, dtype=np.float32), -high[1:]]), high)


class Shown(NamedTuple):
    """What a market shows after a step, in physical units."""

    best: tuple[Array, Array] | None
    """(...,) best ask and best bid; None where nobody quotes"""
    price: Array
    """(...,)"""
    volumes: tuple[Array, Array]
    """(...,) shares bought, and sold"""
    quotes: tuple[Array, Array]
    """(..., M) asks and bids"""


class Observer:
    """Turns states of a market into every agent's observation.

    Args:
        game: the game.
        action_range: lowest and highest controls; the quotes among them are mapped to -1 and 1.
        dt: length of a step.
        kind: of the observations.
        identity: True for a one-hot of the agent at their end.
        context: number of entries that show what was drawn of a random market.
    """

    context: Array
    """(..., number of entries) what was drawn, in [-1, 1]"""

    def __init__(
        self,
        game: Game,
        action_range: tuple[Controls, Controls],
        dt: float,
        kind: str = "full",
        *,
        identity: bool = False,
        context: int = 0,
    ) -> None:
        low, high = (np.stack([bound.ask, bound.bid]) for bound in action_range)
        n, d, m = len(game.agents), factors(game), game.makers
        self._common, self._start = 1 + d, 1 + d + n
        # every entry of the state's vector is (value - center) / unit, truncated
        quote = (low + high) / 2, (high - low) / 2
        # traders take the lowest of the quotes
        least, most = (each.min(axis=-1) for each in (low, high)) if m else (np.zeros(0), np.zeros(0))
        best = (least + most) / 2, (most - least) / 2
        scale: Array = [] if game.factor is None else game.factor.scale(game.horizon)
        ranges = [
            (0.0, game.horizon, 1.0),
            (np.zeros(d), scale, LIMIT),
            (np.zeros(n), inventory_scale(game), LIMIT),
            (*best, 1.0),
            (game.initial_price, game.price_unit, LIMIT),
            (np.zeros(2), game.volume_unit * dt / game.horizon, LIMIT),
            (*quote, 1.0),
            (np.zeros(context), 1.0, 1.0),
            (np.zeros(2 * identity), 1.0, 1.0),
        ]
        parts = [[np.ravel(each) for each in np.broadcast_arrays(*part)] for part in ranges]
        self._center, self._unit, self._limit = map(np.concatenate, zip(*parts, strict=True))
        self._least = -self._limit
        self.identity, self._price = identity, game.initial_price
        self.first = np.ones(len(self._center))
        """0 where an entry is hidden before the first step"""
        self.size = len(self._center) - 2 * identity
        """of the state's vector"""
        self._market = self.size - context
        self.first[self._start : self._market] = 0.0
        self.context = np.full(context, np.nan)  # until it is known
        market = market_size(game)
        agents, shared = np.arange(n), np.arange(1 + d)
        shown, quotes = n + np.arange(market), n + market + np.arange(2 * m)
        own_first = [np.concatenate([[i], shown, np.delete(agents, i), quotes]) for i in agents]
        drawn = self._market + np.arange(context)
        full = np.stack([np.concatenate([shared, drawn, 1 + d + each]) for each in own_first])
        self.columns: np.ndarray = full[:, : width(game, kind, context)]
        """(n, d) where each agent's observation stands in the state's vector, behind which one-hots have a 0 and a 1"""
        if identity:
            self.columns = np.concatenate([self.columns, self.size + np.eye(n, dtype=int)], axis=1)

    def like(self, array: Array) -> Observer:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result = copy(self)
        for name in ("_center", "_unit", "_limit", "first"):
            setattr(result, name, as_like(getattr(self, name), array))
        return result

    def showing(self, context: Array) -> Observer:
        """The same where ``context``, (..., number of entries), was drawn; where it is not shown, the same."""
        if not np.shape(self.context)[-1]:
            return self
        result = copy(self)
        result.context = context
        return result

    def state(self, seen: State) -> np.ndarray:
        """The vector that all observations are made of, (..., size): time, factor, inventories in the game's order,
        what the market shows, quotes."""
        return self.vector(seen.time, seen.factor, seen.inventories, self._shown(seen))[..., : self.size]

    def _shown(self, seen: State) -> Shown | None:
        if not seen.time > 0:
            return None
        price = self._price if seen.price is None else seen.price
        volumes = np.zeros(2) if seen.volumes is None else seen.volumes
        ask, bid = seen.quotes[..., 0, :], seen.quotes[..., 1, :]
        best = (best_quote(ask), best_quote(bid)) if ask.shape[-1] else None
        return Shown(best, price, (volumes[..., 0], volumes[..., 1]), (ask, bid))

    def vector(self, time: float, factor: Array | None, inventories: Array, shown: Shown | None) -> np.ndarray:
        """The vector of :meth:`state`, with a 0 and a 1 behind it where one-hots are shown.

        Args:
            time: of the market.
            factor: (..., d); None in a game without.
            inventories: (..., n).
            shown: what the last step showed; None before the first.
        """
        start, size = self._start, self._market
        values = np.empty((*inventories.shape[:-1], len(self._center)))
        values[..., 0] = time
        if factor is not None:
            values[..., 1 : self._common] = factor
        values[..., self._common : start] = inventories
        if shown is None:
            values[..., start:size] = self._center[start:size]  # becomes 0
        else:
            at, (ask, bid) = start, shown.quotes
            if shown.best is not None:
                values[..., at], values[..., at + 1] = shown.best
                values[..., at + 5 : at + 5 + ask.shape[-1]], values[..., at + 5 + ask.shape[-1] : size] = ask, bid
                at += 2
            values[..., at] = shown.price
            values[..., at + 1], values[..., at + 2] = shown.volumes
        if self.size > size:
            values[..., size : self.size] = self.context
        if self.identity:
            values[..., self.size :] = 0.0, 1.0
        values -= self._center
        values /= self._unit
        np.maximum(values, self._least, out=values)
        np.minimum(values, self._limit, out=values)
        return values.astype(np.float32)

    def scaled(self, values: Array) -> Array:
        """The state's vector, (..., size) or with a 0 and a 1 behind it, from values in their own units."""
        center, unit, limit = (as_like(each, values) for each in (self._center, self._unit, self._limit))
        return namespace(values).clip((values - center) / unit, -limit, limit)

    def all(self, seen: State) -> np.ndarray:
        """Every agent's observation, (..., n, d)."""
        return self.everyone(self.vector(seen.time, seen.factor, seen.inventories, self._shown(seen)))

    def everyone(self, vector: np.ndarray) -> np.ndarray:
        """The same from :meth:`vector`."""
        every: np.ndarray = vector.take(self.columns, axis=-1)
        return every

    def one(self, index: int, seen: State) -> np.ndarray:
        """One agent's observation, (..., d)."""
        vector = self.vector(seen.time, seen.factor, seen.inventories, self._shown(seen))
        own: np.ndarray = vector.take(self.columns[index], axis=-1)
        return own

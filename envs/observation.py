"""Observations of the agents: nested prefixes of one vector.

=============  ==================================================================  =========
entries        meaning                                                             kind
=============  ==================================================================  =========
1              time ``t / T`` in [0, 1]                                            ``"time"``
d              the factor, in units of its scale; in a game that has one           ``"time"``
1              own inventory in units of the game's inventory scale                ``"own"``
n - 1          the other agents' inventories, traders first, in the same units     ``"full"``
2 M            the makers' last asks and bids, normalised to [-1, 1] by the        ``"full"``
               quote range; 0 before the first step
=============  ==================================================================  =========

An observation of kind ``"own"`` is the prefix of the full one that ends after the own inventory, and so on. Inventories
and factors are clipped at +-10 units, so that every observation is bounded.
"""

from __future__ import annotations

from copy import copy
from typing import Literal

import numpy as np
from gymnasium.spaces import Box

from .arrays import Array, as_like, bounded
from .game import Controls, Game
from .grid import State

Kind = Literal["time", "own", "full"]
KINDS: tuple[Kind, ...] = ("time", "own", "full")
LIMIT = 10.0


def inventory_scale(game: Game) -> float:
    """Unit of inventories in observations: the largest initial inventory, in shares; 1 where all are zero."""
    return float(np.abs(game.start).max()) or 1.0


def check_kind(kind: str) -> None:
    """Raises ValueError for an unknown kind of observation."""
    if kind not in KINDS:
        raise ValueError(f"observation: expected one of {list(KINDS)}, got {kind!r}")


def width(game: Game, kind: Kind) -> int:
    """Number of entries of an observation."""
    check_kind(kind)
    common = 1 + factors(game)
    return {"time": common, "own": common + 1, "full": common + len(game.agents) + 2 * game.makers}[kind]


def factors(game: Game) -> int:
    """Dimension of the game's factor; 0 without."""
    return 0 if game.factor is None else game.factor.size


def space(game: Game, kind: Kind) -> Box:
    """Bounds of an observation."""
    limits = np.array([LIMIT] * (factors(game) + len(game.agents)) + [1.0] * (2 * game.makers), dtype=np.float32)
    low, high = np.concatenate([[0.0], -limits]), np.concatenate([[1.0], limits])
    size = width(game, kind)
    return Box(low[:size].astype(np.float32), high[:size].astype(np.float32))


class Observer:
    """Turns states of a market into every agent's observation.

    Args:
        game: the game.
        action_range: lowest and highest controls; the quotes among them are mapped to -1 and 1.
    """

    def __init__(self, game: Game, action_range: tuple[Controls, Controls]) -> None:
        low, high = (np.stack([bound.ask, bound.bid]) for bound in action_range)
        self._center, self._half = (low + high) / 2, (high - low) / 2
        self._horizon, self._scale = game.horizon, inventory_scale(game)
        self._factor_scale = None if game.factor is None else game.factor.scale(game.horizon)
        self._common = 1 + factors(game)
        agents, shared = np.arange(len(game.agents)), np.arange(self._common)
        quotes = len(agents) + np.arange(2 * game.makers)
        own_first = [np.concatenate([[i], np.delete(agents, i), quotes]) for i in agents]
        self.columns: np.ndarray = np.stack([np.concatenate([shared, self._common + each]) for each in own_first])
        """(n, 1 + d + n + 2M) where each agent's full observation stands in the state's vector"""

    def like(self, array: Array) -> Observer:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result = copy(self)
        for name in ("_center", "_half", "_factor_scale"):
            value = getattr(self, name)
            setattr(result, name, None if value is None else as_like(value, array))
        return result

    def state(self, seen: State) -> np.ndarray:
        """The vector that all observations are made of, (..., 1 + d + n + 2M), agents in the game's order."""
        inventories, common = seen.inventories, self._common
        batch, n = inventories.shape[:-1], inventories.shape[-1]
        result = np.zeros((*batch, common + n + self._center.size), dtype=np.float32)
        result[..., 0] = seen.time / self._horizon
        if seen.factor is not None:
            result[..., 1:common] = self.factor_entries(seen.factor)
        result[..., common : common + n] = self.inventory_entries(inventories)
        if seen.time > 0:
            result[..., common + n :] = self.quote_entries(seen.quotes)
        return result

    def factor_entries(self, factor: Array) -> Array:
        """The factor (..., d) in units of its scale."""
        return bounded(factor / as_like(self._factor_scale, factor), LIMIT)

    def inventory_entries(self, inventories: Array) -> Array:
        """Inventories (..., n) in units of the game's inventory scale."""
        return bounded(inventories / self._scale, LIMIT)

    def quote_entries(self, quotes: Array) -> Array:
        """Quotes (..., 2, M) in the action range's units, (..., 2M)."""
        center, half = as_like(self._center, quotes), as_like(self._half, quotes)
        return bounded((quotes - center) / half, 1.0).reshape(*quotes.shape[:-2], -1)

    def all(self, seen: State) -> np.ndarray:
        """Every agent's full observation, (..., n, 1 + d + n + 2M)."""
        return self.state(seen).take(self.columns, axis=-1)

    def one(self, index: int, seen: State) -> np.ndarray:
        """One agent's full observation, (..., 1 + d + n + 2M)."""
        own: np.ndarray = self.state(seen).take(self.columns[index], axis=-1)
        return own

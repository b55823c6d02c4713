"""What agents observe: nested prefixes of one vector.

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

from .arrays import Array, as_like, namespace
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
    n = factors(game) + len(game.agents)
    low = np.concatenate([[0.0], np.full(n, -LIMIT), np.full(2 * game.makers, -1.0)])
    high = np.concatenate([[1.0], np.full(n, LIMIT), np.full(2 * game.makers, 1.0)])
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
        self._horizon = game.horizon
        self._scale = inventory_scale(game)
        self._factor_scale = None if game.factor is None else game.factor.scale(game.horizon)
        self._common = 1 + factors(game)
        agents = np.arange(len(game.agents))
        own_first = [np.concatenate([[i], np.delete(agents, i)]) for i in agents]
        quotes = len(agents) + np.arange(2 * game.makers)
        self._order = np.stack([np.concatenate([first, quotes]) for first in own_first])
        shared = np.broadcast_to(np.arange(self._common), (len(agents), self._common))
        self.columns = np.concatenate([shared, self._common + self._order], axis=-1)
        """(n, 1 + d + n + 2M) where each agent's full observation stands in the state's vector"""

    def like(self, array: Array) -> Observer:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result = copy(self)
        for name in ("_center", "_half", "_factor_scale"):
            value = getattr(self, name)
            setattr(result, name, None if value is None else as_like(value, array))
        return result

    def state(self, seen: State) -> np.ndarray:
        """The vector all observations are made of, (..., 1 + d + n + 2M), agents in the game's order.

        Args:
            seen: time, factor, inventories in shares; quotes in currency, None before the first step.
        """
        inventories, common = seen.inventories, self._common
        batch, n = inventories.shape[:-1], inventories.shape[-1]
        result = np.zeros((*batch, common + n + self._center.size), dtype=np.float32)
        result[..., 0] = seen.time / self._horizon
        if seen.factor is not None:
            result[..., 1:common] = self.factor_entries(seen.factor)
        result[..., common : common + n] = self.inventory_entries(inventories)
        if seen.quotes is not None:
            result[..., common + n :] = self.quote_entries(seen.quotes)
        return result

    def factor_entries(self, factor: Array) -> Array:
        """The factor (..., d) in units of its scale."""
        return _bounded(factor / as_like(self._factor_scale, factor), LIMIT)

    def inventory_entries(self, inventories: Array) -> Array:
        """Inventories (..., n) in units of the game's inventory scale."""
        return _bounded(inventories / self._scale, LIMIT)

    def quote_entries(self, quotes: Array) -> Array:
        """Quotes (..., 2, M) in the action range's units, (..., 2M)."""
        center, half = as_like(self._center, quotes), as_like(self._half, quotes)
        return _bounded((quotes - center) / half, 1.0).reshape(*quotes.shape[:-2], -1)

    def arrange(self, state: np.ndarray) -> np.ndarray:
        """Every agent's full observation, (..., n, 1 + d + n + 2M), from the state's vector: the own inventory
        first."""
        common = self._common
        result = np.empty((*state.shape[:-1], len(self._order), state.shape[-1]), dtype=state.dtype)
        result[..., :common] = state[..., None, :common]
        result[..., common:] = state[..., common:][..., self._order]
        return result

    def all(self, seen: State) -> np.ndarray:
        """Every agent's full observation, (..., n, 1 + d + n + 2M)."""
        return self.arrange(self.state(seen))

    def one(self, index: int, seen: State) -> np.ndarray:
        """One agent's full observation, (..., 1 + d + n + 2M)."""
        state, common = self.state(seen), self._common
        return np.concatenate([state[..., :common], state[..., common:][..., self._order[index]]], axis=-1)


def _bounded(values: Array, limit: float) -> Array:
    if isinstance(values, np.ndarray):  # faster than clip on small arrays
        return np.minimum(np.maximum(values, -limit), limit)
    return namespace(values).clip(values, -limit, limit)

"""What agents observe: nested prefixes of one vector.

=============  ==================================================================  =========
entries        meaning                                                             kind
=============  ==================================================================  =========
1              time ``t / T`` in [0, 1]                                            ``"time"``
1              own inventory in units of the game's inventory scale                ``"own"``
n - 1          the other agents' inventories, traders first, in the same units     ``"full"``
2 M            the makers' last asks and bids, normalised to [-1, 1] by the        ``"full"``
               quote range; 0 before the first step
=============  ==================================================================  =========

An observation of kind ``"own"`` is the prefix of the full one that ends after the own inventory, and so on. Inventories
are clipped at +-10 units, so that every observation is bounded.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from gymnasium.spaces import Box

from .maker_taker_game import Controls, MakerTakerGame

Kind = Literal["time", "own", "full"]
KINDS: tuple[Kind, ...] = ("time", "own", "full")
INVENTORY_LIMIT = 10.0


def inventory_scale(game: MakerTakerGame) -> float:
    """Unit of inventories in observations: the largest initial inventory, in shares; at least 1."""
    return max(1.0, float(np.abs(game.initial_inventory).max()))


def check_kind(kind: str) -> None:
    """Raises ValueError for an unknown kind of observation."""
    if kind not in KINDS:
        raise ValueError(f"observation: expected one of {list(KINDS)}, got {kind!r}")


def width(game: MakerTakerGame, kind: Kind) -> int:
    """Number of entries of an observation."""
    check_kind(kind)
    return {"time": 1, "own": 2, "full": 1 + len(game.agents) + 2 * game.makers}[kind]


def space(game: MakerTakerGame, kind: Kind) -> Box:
    """Bounds of an observation."""
    n = len(game.agents)
    low = np.concatenate([[0.0], np.full(n, -INVENTORY_LIMIT), np.full(2 * game.makers, -1.0)])
    high = np.concatenate([[1.0], np.full(n, INVENTORY_LIMIT), np.full(2 * game.makers, 1.0)])
    size = width(game, kind)
    return Box(low[:size].astype(np.float32), high[:size].astype(np.float32))


class Observer:
    """Turns states of a market into every agent's observation.

    Args:
        game: the game.
        action_range: lowest and highest controls; the quotes among them are mapped to -1 and 1.
    """

    def __init__(self, game: MakerTakerGame, action_range: tuple[Controls, Controls]) -> None:
        low, high = (np.stack([bound.ask, bound.bid]) for bound in action_range)
        self._center, self._half = (low + high) / 2, (high - low) / 2
        self._horizon = game.horizon
        self._scale = inventory_scale(game)
        agents = np.arange(len(game.agents))
        own_first = [np.concatenate([[i], np.delete(agents, i)]) for i in agents]
        quotes = len(agents) + np.arange(2 * game.makers)
        self._order = np.stack([np.concatenate([first, quotes]) for first in own_first])

    def state(self, time: float, inventories: np.ndarray, quotes: np.ndarray | None) -> np.ndarray:
        """The vector all observations are made of, (..., 1 + n + 2M), agents in the game's order.

        Args:
            time: current time.
            inventories: (..., n) in shares.
            quotes: (..., 2, M) in currency; None before the first step.
        """
        batch, n = inventories.shape[:-1], inventories.shape[-1]
        result = np.zeros((*batch, 1 + n + self._center.size), dtype=np.float32)
        result[..., 0] = time / self._horizon
        result[..., 1 : 1 + n] = np.minimum(np.maximum(inventories / self._scale, -INVENTORY_LIMIT), INVENTORY_LIMIT)
        if quotes is not None:
            normal = (quotes - self._center) / self._half
            result[..., 1 + n :] = np.minimum(np.maximum(normal, -1.0), 1.0).reshape(*batch, -1)
        return result

    def all(self, time: float, inventories: np.ndarray, quotes: np.ndarray | None) -> np.ndarray:
        """Every agent's full observation, (..., n, 1 + n + 2M)."""
        state = self.state(time, inventories, quotes)
        result = np.empty((*state.shape[:-1], len(self._order), state.shape[-1]), dtype=np.float32)
        result[..., 0] = state[..., None, 0]
        result[..., 1:] = state[..., 1:][..., self._order]
        return result

    def one(self, index: int, time: float, inventories: np.ndarray, quotes: np.ndarray | None) -> np.ndarray:
        """One agent's full observation, (..., 1 + n + 2M)."""
        state = self.state(time, inventories, quotes)
        return np.concatenate([state[..., :1], state[..., 1:][..., self._order[index]]], axis=-1)

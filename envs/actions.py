"""The range of actions, and the map between normalised actions and physical controls."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from .arrays import Array, as_like, bounded
from .game import Controls, Game
from .packing import agent_columns, join_controls, split_controls

Range = tuple[float, float] | None
"""the user's range of rates or of quotes; None: the game's"""


def controls_range(game: Game, rate_range: Range, quote_range: Range) -> tuple[Controls, Controls]:
    """The game's action range, with the user's for rates or quotes in its place where given, see :class:`.Options`.

    Raises:
        ValueError: a range is not a pair of finite increasing numbers within the game's constraints.
    """
    low, high = game.action_range()
    if rate_range is not None:
        least, most = _pair("rate_range", rate_range, *game.rate_limits)
        slow, fast = game.directed(least, most)
        low, high = low._replace(rate=slow), high._replace(rate=fast)
    if quote_range is not None:
        if not game.makers:
            raise ValueError(f"quote_range: nobody quotes in this game, expected None, got {quote_range!r}")
        least, most = _pair("quote_range", quote_range, -game.max_quote, game.max_quote)
        low = low._replace(ask=np.full(game.makers, least), bid=np.full(game.makers, least))
        high = high._replace(ask=np.full(game.makers, most), bid=np.full(game.makers, most))
    return low, high


def _pair(name: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    pair = np.asarray(value, dtype=float)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not least <= pair[0] < pair[1] <= most:
        raise ValueError(f"{name}: expected two increasing numbers within [{least:g}, {most:g}], got {value!r}")
    return float(pair[0]), float(pair[1])


class ActionScale:
    """Affine map between actions in [-1, 1] and physical controls within the action range.

    Args:
        game: the game.
        rate_range: see :func:`controls_range`.
        quote_range: see :func:`controls_range`.
    """

    def __init__(self, game: Game, rate_range: Range = None, quote_range: Range = None) -> None:
        self.game = game
        self.low, self.high = controls_range(game, rate_range, quote_range)
        self._lowest, self._highest = join_controls(game, self.low), join_controls(game, self.high)
        self._center: Array = (self._lowest + self._highest) / 2
        self._half: Array = (self._highest - self._lowest) / 2
        self._cast: dict[np.dtype, tuple[np.ndarray, np.ndarray]] = {}  # by NumPy's dtype, converted once

    def like(self, array: Array) -> ActionScale:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result = copy(self)
        result._center, result._half = as_like(self._center, array), as_like(self._half, array)
        return result

    def physical(self, actions: Array) -> Array:
        """Physical controls side by side, (..., N + 2M), of normalised ones, which are truncated at [-1, 1]."""
        if not isinstance(actions, np.ndarray):
            return as_like(self._center, actions) + as_like(self._half, actions) * bounded(actions, 1.0)
        if actions.dtype not in self._cast:
            self._cast[actions.dtype] = as_like(self._center, actions), as_like(self._half, actions)
        center, half = self._cast[actions.dtype]
        return center + half * bounded(actions, 1.0)

    def normal(self, controls: Controls) -> Controls:
        """Normalised actions of physical controls; outside [-1, 1] where a control is outside the range."""
        return split_controls(self.game, (join_controls(self.game, controls) - self._center) / self._half)

    def bounds(self, agent: str) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest physical action of one agent, (1,) or (2,). Raises ValueError for an unknown agent."""
        columns = agent_columns(self.game, agent)
        return self._lowest[columns], self._highest[columns]

    def physical_action(self, agent: str, action: np.ndarray) -> np.ndarray:
        """One agent's physical action, (..., 1) or (..., 2), of a normalised one; truncated at [-1, 1]."""
        low, high = (bound.astype(action.dtype) for bound in self.bounds(agent))
        return np.asarray((low + high) / 2 + (high - low) / 2 * bounded(action, 1.0))

    def unit(self, agent: str) -> np.ndarray:
        """The game's control unit of an agent as a fraction of the half-width of its action range, (1,) or (2,).

        Raises:
            ValueError: an unknown agent.
        """
        low, high = self.bounds(agent)
        return np.asarray(self.game.control_unit(agent) / ((high - low) / 2))

"""The range of actions, and the map between actions and physical controls."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Literal

import numpy as np

from .arrays import Array, as_like, namespace
from .game import Controls, Game
from .packing import agent_columns, join_controls, split_controls

Range = tuple[float, float] | None
"""the user's range of rates or of quotes; None: the game's"""

ActionKind = Literal["controls", "normalized", "physical"]
"""from the middle of the action range in control units; in [-1, 1] over the range; rates and quotes"""


Ends = tuple[Controls, Controls]
"""lowest and highest controls"""


def controls_range(game: Game, rate_range: Range, quote_range: Range, ends: Ends | None = None) -> Ends:
    """An action range, with the user's for rates or quotes in its place where given, see :class:`.Options`.

    Args:
        game: the game.
        rate_range: the user's.
        quote_range: the user's.
        ends: None: the game's.

    Raises:
        ValueError: a range is not a pair of finite increasing numbers within the game's constraints.
    """
    low, high = game.action_range() if ends is None else ends
    if rate_range is not None:
        least, most = _pair("rate_range", rate_range, *game.rate_limits)
        slow, fast = game.directed(least, most)
        low, high = low._replace(rate=slow), high._replace(rate=fast)
    if quote_range is not None:
        if not game.makers:
            raise ValueError(f"quote_range: nobody quotes in this game, expected None, got {quote_range!r}")
        least, most = _pair("quote_range", quote_range, -game.quote_bound, game.quote_bound)
        low = low._replace(ask=np.full(game.makers, least), bid=np.full(game.makers, least))
        high = high._replace(ask=np.full(game.makers, most), bid=np.full(game.makers, most))
    return low, high


def _pair(name: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    try:
        pair = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        pair = np.full(2, np.nan)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not least <= pair[0] < pair[1] <= most:
        raise ValueError(f"{name}: expected two increasing numbers within [{least:g}, {most:g}], got {value!r}")
    return float(pair[0]), float(pair[1])


class ActionScale:
    """Map between actions and physical controls within the action range.

    Args:
        game: the game.
        rate_range: see :func:`controls_range`.
        quote_range: see :func:`controls_range`.
        kind: of the actions.
        ends: see :func:`controls_range`.
    """

    def __init__(
        self,
        game: Game,
        rate_range: Range = None,
        quote_range: Range = None,
        kind: ActionKind = "normalized",
        ends: Ends | None = None,
    ) -> None:
        self.game = game
        self.low, self.high = controls_range(game, rate_range, quote_range, ends)
        lowest, highest = join_controls(game, self.low), join_controls(game, self.high)
        self._half: Array = (highest - lowest) / 2
        self._set(kind, (lowest, highest))

    def _set(self, kind: ActionKind, ends: tuple[Array, Array]) -> None:
        game, (lowest, highest) = self.game, ends
        self._range = lowest, highest
        if kind == "physical":
            # the range is for exploring; what is outside of it is played as well where there are constraints
            slow, fast = game.rate_bounds
            quotes = np.full((2, game.makers), game.quote_bound)
            bounds = (join_controls(game, Controls(*each)) for each in ((slow, *-quotes), (fast, *quotes)))
            lowest, highest = (
                np.where(np.isfinite(bound), bound, end) for bound, end in zip(bounds, self._range, strict=True)
            )
            self._center, self._unit = np.zeros(len(lowest)), np.ones(len(lowest))
        else:
            self._center = (self._range[0] + self._range[1]) / 2
            self._unit = self._half if kind == "normalized" else self._control_units()
        self._lowest, self._highest = lowest, highest
        self._converted: tuple[Array, ...] = ()  # for another library

    def _control_units(self) -> np.ndarray:
        game = self.game
        units = np.array([game.control_unit(agent) for agent in game.agents])
        return np.concatenate([units[: game.traders], np.repeat(units[game.traders :], 2)])

    def of_kind(self, kind: ActionKind) -> ActionScale:
        """The same range with actions of another kind."""
        result = copy(self)
        result._set(kind, self._range)
        return result

    def _numbers(self) -> tuple[Array, ...]:
        return self._center, self._unit, self._lowest, self._highest

    def like(self, array: Array) -> ActionScale:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result = copy(self)
        result._converted = tuple(as_like(each, array) for each in self._numbers())
        return result

    def physical(self, actions: Array) -> Array:
        """Physical controls side by side, (..., N + 2M), of actions, which are truncated at the ends of their range."""
        if not isinstance(actions, np.ndarray):
            center, unit, low, high = self._converted or (as_like(each, actions) for each in self._numbers())
            return namespace(actions).clip(center + unit * actions, low, high)
        # in double precision, whatever the actions' own
        return np.minimum(np.maximum(self._center + self._unit * actions, self._lowest), self._highest)

    def actions(self, controls: Controls) -> Controls:
        """Actions that stand for physical controls; beyond the actions' bounds where a control is outside the range."""
        return split_controls(self.game, (join_controls(self.game, controls) - self._center) / self._unit)

    def bounds(self, agent: str) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest physical action of one agent, (1,) or (2,). Raises ValueError for an unknown agent."""
        columns = agent_columns(self.game, agent)
        return self._range[0][columns], self._range[1][columns]

    def reach(self, agent: str) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest physical controls that actions lead to, (1,) or (2,): the range, or with physical actions
        the constraints."""
        columns = agent_columns(self.game, agent)
        return self._lowest[columns], self._highest[columns]

    def action_bounds(self, agent: str) -> tuple[np.ndarray, np.ndarray]:
        """The same as actions."""
        columns = agent_columns(self.game, agent)
        low, high = ((each - self._center) / self._unit for each in self._range)
        return low[columns], high[columns]

    def physical_action(self, agent: str, action: Array) -> Array:
        """One agent's physical controls, (..., 1) or (..., 2), of an action; truncated as :meth:`physical` does."""
        columns, xp = agent_columns(self.game, agent), namespace(action)
        center, unit, low, high = (each[columns] for each in self._numbers())
        return xp.minimum(xp.maximum(center + unit * action, low), high)

    def unit(self, agent: str) -> np.ndarray:
        """The game's control unit of an agent as a fraction of the half-width of its action range, (1,) or (2,).

        Raises:
            ValueError: an unknown agent.
        """
        return np.asarray(self.game.control_unit(agent) / self._half[agent_columns(self.game, agent)])

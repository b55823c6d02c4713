"""A game seen by role: actions and observations grouped as ``{"trader": (..., N, .), "maker": (..., M, .)}``.

For environments on arrays other than NumPy's; the array library is that of the arguments.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Unpack

import numpy as np
from array_api_compat import device

from .actions import ActionScale, controls_range
from .arrays import Array, as_like, namespace
from .game import Controls, Game
from .grid import grid
from .observation import Observer, width
from .options import Fields, Options, merged

Roles = dict[str, Any]
"""arrays by role: ``"trader"`` (..., N, .), and ``"maker"`` (..., M, .) in a game that has makers"""


class RoleView:
    """Actions and observations of a game by role.

    Args:
        game: the game.
        options: of the environment, or the number of steps.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an option is out of its range, or initial inventories are to be random.
    """

    def __init__(self, game: Game, options: Options | int | None = None, **fields: Unpack[Fields]) -> None:
        options = merged(options, **fields)
        if options.inventory_spread:
            raise ValueError(
                "inventory_spread: this environment starts from the game's inventories, expected 0, "
                f"got {options.inventory_spread!r}"
            )
        self.game, self.options, self.steps, self.normalize = game, options, options.steps, options.normalize
        self.times = grid(game, self.steps)
        self.dt = game.horizon / self.steps
        self.size = width(game, options.observation)
        self.scale = ActionScale(game, *controls_range(game, options.rate_range, options.quote_range))
        self.names = ("trader", "maker") if game.makers else ("trader",)
        low, high = self.scale.low, self.scale.high
        self._observer = Observer(game, (low, high))
        self._columns: Array = self._observer.columns[:, : self.size].ravel()
        ends = self._by_role(low), self._by_role(high)
        self._center: Roles = {role: (ends[0][role] + ends[1][role]) / 2 for role in self.names}
        self._half: Roles = {role: (ends[1][role] - ends[0][role]) / 2 for role in self.names}

    def like(self, array: Array) -> RoleView:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once."""
        result, xp = copy(self), namespace(array)
        result._observer = self._observer.like(array)
        result._columns = xp.asarray(self._columns, device=device(array))
        result._center = {role: as_like(each, array) for role, each in self._center.items()}
        result._half = {role: as_like(each, array) for role, each in self._half.items()}
        return result

    def action_size(self, role: str) -> int:
        """Number of entries of an action: a trader's rate, a maker's ask and bid."""
        return {"trader": 1, "maker": 2}[role]

    def agents(self, role: str) -> tuple[str, ...]:
        """Names of a role's agents."""
        split = self.game.traders
        return self.game.agents[:split] if role == "trader" else self.game.agents[split:]

    def split(self, values: Array) -> Roles:
        """Values (..., n, .) by role."""
        split = self.game.traders
        parts = {"trader": values[..., :split, :], "maker": values[..., split:, :]}
        return {role: parts[role] for role in self.names}

    def controls(self, actions: Roles) -> Controls:
        """Physical controls (..., N), (..., M), (..., M) of actions (..., N, 1) and (..., M, 2)."""
        if self.normalize:
            actions = {role: self._physical(role, each) for role, each in actions.items()}
        rate = actions["trader"][..., 0]
        if self.game.makers:
            given = Controls(rate, actions["maker"][..., 0], actions["maker"][..., 1])
        else:
            given = Controls(rate, rate[..., :0], rate[..., :0])
        return given if self.normalize else self.game.clip(given)  # the range lies within the constraints

    def _physical(self, role: str, action: Array) -> Array:
        clipped = namespace(action).clip(action, -1.0, 1.0)
        return as_like(self._center[role], action) + as_like(self._half[role], action) * clipped

    def _by_role(self, controls: Controls) -> Roles:
        """Controls (N,), (M,), (M,) in the shape of actions, (N, 1) and (M, 2)."""
        parts = {"trader": controls.rate[:, None], "maker": np.stack([controls.ask, controls.bid], axis=-1)}
        return {role: parts[role] for role in self.names}

    def action_bounds(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest physical actions, (N, 1) or (M, 2) each."""
        low, high = (self._by_role(each)[role] for each in (self.scale.low, self.scale.high))
        return low, high

    def state(self, k: Array, inventories: Array, factor: Array | None, quotes: Array) -> Array:
        """The vector that observations are made of, (..., 1 + d + n + 2M); see :mod:`~makertaker.envs.observation`.

        Args:
            k: (...,) steps played, or one whole number for all markets.
            inventories: (..., n).
            factor: (..., d), or None.
            quotes: (..., 2, M) asks and bids of the last step; not shown before the first.
        """
        xp, observer = namespace(inventories), self._observer
        clock = as_like(k, inventories) / self.steps
        entries = [xp.broadcast_to(clock, inventories.shape[:-1])[..., None]]
        if factor is not None:
            entries.append(observer.factor_entries(factor))
        entries.append(observer.inventory_entries(inventories))
        shown = observer.quote_entries(quotes)
        if not isinstance(k, int):
            shown = xp.where((k > 0)[..., None], shown, 0 * shown)
        entries.append(0 * shown if isinstance(k, int) and k == 0 else shown)
        return xp.concat(entries, axis=-1)

    def observe(self, state: Array) -> Roles:
        """Every agent's observation, (..., N, size) and (..., M, size), from :meth:`state`'s vector."""
        xp, shape = namespace(state), (*state.shape[:-1], len(self.game.agents), self.size)
        columns = self._columns
        if isinstance(columns, np.ndarray):
            columns = xp.asarray(columns, device=device(state))
        return self.split(xp.take(state, columns, axis=-1).reshape(shape))

    def control_units(self, role: str) -> np.ndarray:
        """By agent of a role the game's control unit, as a fraction of the half-width of the action range; (N, 1) or
        (M, 2)."""
        return np.stack([self.scale.unit(agent) for agent in self.agents(role)])

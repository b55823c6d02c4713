"""A market being played: the grid game with a clock, for one market or a batch. Environments are adapters over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, Unpack

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from .actions import ActionScale
from .arrays import Array
from .game import Activity, Controls, Game
from .grid import Policy, Position, State, advance, grid
from .noise import Noise, draw_step, scaled
from .observation import Observer
from .options import Fields, Options, as_spread, merged
from .packing import check_names, join_actions, split_controls

Given: TypeAlias = Mapping[str, ArrayLike] | None
"""options of a reset: ``{"inventory": array}``; other entries are ignored, as PettingZoo's and Gymnasium's APIs ask"""


class Setting:
    """A game and the options that it is played with: the grid, the actions, the observer.

    Args:
        game: the game.
        options: of the environment, or the number of steps.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(self, game: Game, options: Options | int | None = None, **fields: Unpack[Fields]) -> None:
        self.game, self.options = game, merged(options, **fields)
        self.steps, self.normalize = self.options.steps, self.options.normalize
        self.times, self.dt = grid(game, self.steps), game.horizon / self.steps
        self.scale = ActionScale(game, self.options.rate_range, self.options.quote_range)
        self.observer = Observer(game, (self.scale.low, self.scale.high))

    def controls(self, actions: Array) -> Controls:
        """Physical controls, within the game's constraints, of everyone's actions side by side, (..., N + 2M)."""
        if self.normalize:  # the range lies within the constraints
            return split_controls(self.game, self.scale.physical(actions))
        return self.game.clip(split_controls(self.game, actions))


class Market(Setting):
    """The state of a market, or of a batch of them with a common clock, and its pure step.

    Arrays are kept with the batch contiguous in memory, which makes reductions over the few agents fast.

    Args:
        game: the game.
        options: of the environment, or the number of steps; what agents observe is left to the environment.
        batch: batch axes; () for a single market.
        fields: of :class:`.Options`.
    """

    def __init__(
        self, game: Game, options: Options | int | None = None, *, batch: tuple[int, ...] = (), **fields: Unpack[Fields]
    ) -> None:
        super().__init__(game, options, **fields)
        self.batch = batch
        coefficients = game.coefficients(self.times)  # a factor's flows are put in step by step
        self._coefficients = [coefficients.at(k) for k in range(self.steps)]
        self._initial = game.start
        self._names = set(game.agents)
        self.reset(np.random.default_rng(0))

    def action_space(self, agent: str) -> Box:
        """Space of one agent's actions, normalised or physical."""
        low, high = self.scale.bounds(agent)
        if self.normalize:
            low, high = -np.ones_like(low), np.ones_like(high)
        return Box(low.astype(np.float32), high.astype(np.float32))

    def reset(self, rng: np.random.Generator, inventory: ArrayLike | None = None, spread: float | None = None) -> None:
        """Start an episode.

        Args:
            rng: draws random initial inventories.
            inventory: (..., n) initial inventories in place of the game's.
            spread: in place of the option ``inventory_spread``.

        Raises:
            ValueError: inventories have a wrong shape, are not finite, or put a trader on the other side.
        """
        shape = (*self.batch, len(self.game.agents))
        start = self._initial if inventory is None else np.asarray(inventory, dtype=float)
        if start.shape not in (shape, shape[-1:]) or not np.isfinite(start).all():
            raise ValueError(f"inventory: expected finite numbers of shape {shape}, got {inventory!r}")
        spread = self.options.inventory_spread if spread is None else as_spread(spread)
        traders = self.game.traders
        side = np.sign(self._initial[:traders])
        if self.game.one_sided and (np.sign(start[..., :traders]) == -side).any():
            raise ValueError(f"inventory: a buyer starts at 0 or below, a seller at 0 or above; got {inventory!r}")
        if spread and inventory is None:
            start = start + spread * rng.standard_normal(shape)
            if self.game.one_sided:
                start[..., :traders] = side * np.maximum(side * start[..., :traders], 0.0)
        game, batch = self.game, self.batch
        self.k, self.price = 0, np.full(batch, game.initial_price)
        self.inventories = self.initial = np.array(np.broadcast_to(start, shape), order="F")
        self.factor = None if game.factor is None else np.broadcast_to(game.factor.initial, (*batch, game.factor.size))
        self.cash, self._quoted = np.zeros(shape), (np.zeros((*batch, game.makers)),) * 2
        self.activity: Activity | None = None
        self.shock: Array | None = None

    @property
    def done(self) -> bool:
        """True when the horizon is reached."""
        return self.k == self.steps

    def controls_from(self, actions: Mapping[str, ArrayLike]) -> Controls:
        """Physical controls of actions by agent. Raises ValueError for a missing agent, a wrong shape or NaN."""
        if actions.keys() != self._names:
            check_names(self.game, actions)
        return self.controls(join_actions(self.game, actions, self.batch))

    def controls_with(self, agent: str, action: np.ndarray, others: Mapping[str, Policy]) -> Controls:
        """Physical controls where one agent acts and the others follow policies. Raises ValueError for NaN."""
        self._check_open()
        state = self.state
        shape = (*self.batch, len(self.scale.bounds(agent)[0]))
        if action.shape != shape:
            raise ValueError(f"{agent}: expected an action of shape {shape}, got {action.shape}")
        if self.normalize:
            action = self.scale.physical_action(agent, action)
        actions = {name: action if name == agent else others[name](self.k, state) for name in self.game.agents}
        return self.game.clip(split_controls(self.game, join_actions(self.game, actions, self.batch)))

    def advance(self, controls: Controls, noise: Noise | None = None) -> Array:
        """Play physical controls for one step; returns rewards (..., n).

        Args:
            controls: (..., N), (..., M), (..., M).
            noise: increments of this step: of the price (...,) with ``reward="wealth"``; of the factor (..., d), which
                follows its drift alone without; of the inventories (..., n). Shares that noise brings are settled at
                the market price.
        """
        self._check_open()
        k, last = self.k, self.k + 1 == self.steps
        here = Position(self.inventories, self.factor, self.price)
        shocks = scaled(noise, self.dt, self.game.volatility, self.game.inventory_noise)
        end = advance(self.game, self._coefficients[k], self.times[k], self.dt, here, controls, shocks, last)
        self.inventories, self.factor, self.price = end.position
        activity, self._mean = end.activity, end.mean_price[..., None]
        # first the shares: float32 rates are rounded as they are in the inventories
        moved = self.dt * activity.inventory_rate
        self.cash = self.cash + self.dt * activity.income - self._mean * moved
        if end.shock is not None:
            self.cash = self.cash - end.settlement[..., None] * end.shock
        self.activity, self.shock, self._quoted, self.k = activity, end.shock, controls[1:], k + 1
        return end.gross

    def _check_open(self) -> None:
        if self.k == self.steps:
            raise ValueError(f"the episode ended after {self.steps} steps: reset before another step")

    def draw(self, rng: np.random.Generator) -> Noise | None:
        """The noise of one step; None where nothing is random."""
        return draw_step(self.game, rng, self.batch, price=self.options.reward == "wealth")

    @property
    def quotes(self) -> np.ndarray:
        """(..., 2, M) asks and bids of the last step; zero before the first."""
        ask, bid = self._quoted
        quotes = np.empty((*self.batch, 2, self.game.makers), dtype=ask.dtype)
        quotes[..., 0, :], quotes[..., 1, :] = ask, bid
        return quotes

    @property
    def state(self) -> State:
        """The state that policies see."""
        return State(float(self.times[self.k]), self.factor, self.inventories, self.quotes, self.shock)

    @property
    def paid(self) -> Array | None:
        """(..., N) price per share that the traders paid in the last step; None before the first."""
        return None if self.activity is None else self.activity.premium + self._mean

    @property
    def pnl(self) -> Array:
        """(..., n) cash plus inventory at the market price, less the initial inventory's value."""
        return self.cash + self.price[..., None] * self.inventories - self.game.initial_price * self.initial

    def observations(self) -> np.ndarray:
        """Every agent's full observation (..., n, d)."""
        return self.observer.all(self.state)

"""A market being played: the grid game with a clock, for one market or a batch. Environments are adapters over it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import TypeAlias, Unpack

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from .actions import ActionScale
from .arrays import Array, as_like, as_numpy, namespace
from .competition import best_quote
from .game import Activity, Coefficients, Controls, Game
from .grid import Advance, Policy, Position, State, advance, closing_rates, grid, terminal_reward
from .noise import Noise, draw_step, scaled
from .observation import Observer, Shown, space
from .options import STEPS, Fields, OptionsLike, as_spread, merged
from .packing import as_action, check_names, control_size, join_actions, split_controls
from .random_markets import Drawn, RandomMarkets

Given: TypeAlias = Mapping[str, ArrayLike] | None
"""options of a reset: ``{"inventory": array}``; other entries are ignored, as PettingZoo's and Gymnasium's APIs ask"""


class Setting:
    """A game and the options that it is played with: the grid, the actions, the observer.

    Args:
        game: the game.
        options: of the environment, or the number of steps.
        random: markets that are drawn, which depart from the game.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an option is out of its range, or nothing is drawn that ``context`` could show.
    """

    def __init__(
        self, game: Game, options: OptionsLike = None, random: RandomMarkets | None = None, **fields: Unpack[Fields]
    ) -> None:
        given = merged(options, **fields)
        if given.context and random is None:
            raise ValueError("context: nothing is drawn that it could show, expected False or random markets")
        self.random = random
        self.context = random.width if given.context and random is not None else 0
        """number of entries of an observation that show what was drawn"""
        self.steps = STEPS if given.steps is None else int(given.steps)
        self.game, self.options = game, replace(given, steps=self.steps)
        self.times, self.dt = grid(game, self.steps), game.horizon / self.steps
        ends = None if random is None else random.action_range
        self.scale = ActionScale(game, given.rate_range, given.quote_range, given.actions, ends)
        seen = (self.scale.low, self.scale.high), self.dt, given.kind
        self.observer = Observer(game, *seen, identity=given.identity, context=self.context)
        self.reward_units: Array | None = self.payoff_units if given.in_game_units else None
        """(n,) units of rewards, in currency; None where rewards are in currency"""

    @property
    def payoff_units(self) -> np.ndarray:
        """(n,) the game's payoff units, in currency."""
        return np.array([self.game.payoff_unit(agent) for agent in self.game.agents])

    @property
    def observation_space(self) -> Box:
        """Space of an agent's observations."""
        return space(self.game, self.options.kind, identity=self.options.identity, context=self.context)

    def of(self, drawn: Drawn) -> Setting:
        """The setting of one market that was drawn: its game, with the scales of all. Raises ValueError where nothing
        is drawn."""
        if self.random is None:
            raise ValueError("of: expected random markets, got a game")
        result = self.showing(drawn.context)
        result.game, result.random = self.random.game_of(drawn), None
        return result

    def showing(self, context: Array) -> Setting:
        """The same where ``context``, (..., D), was drawn."""
        result = copy(self)
        result.observer = self.observer.showing(context)
        return result

    def vector(
        self, k: int | Array, position: Position, quotes: Array, volumes: Array, context: Array | None = None
    ) -> Array:
        """The vector that observations are made of, in any array library; see :mod:`~makertaker.envs.observation`. With
        a 0 and a 1 behind it for one-hots, where these are shown.

        Args:
            k: (...,) steps played, or one whole number for all markets.
            position: inventories (..., n), factor (..., d), which is not looked at in a game without, price (...,).
            quotes: (..., 2, M) asks and bids of the last step; not shown before the first.
            volumes: (..., 2) shares bought and sold in the last step.
            context: (..., D) what was drawn; where it is shown.
        """
        inventories, factor, price = position
        xp, batch = namespace(inventories), inventories.shape[:-1]
        time = as_like(k, inventories) * self.dt
        entries = [xp.broadcast_to(time, batch)[..., None], inventories]
        if self.game.factor is not None:
            entries.insert(1, factor)
        if self.game.makers:
            entries.append(best_quote(quotes))
        entries += [price[..., None], volumes, quotes.reshape(*batch, -1)]
        if self.context and context is not None:
            entries.append(context)
        if self.options.identity:
            zero = 0 * inventories[..., :1]
            entries += [zero, zero + 1]
        vector = self.observer.scaled(xp.concat(entries, axis=-1))
        first = as_like(self.observer.first, vector)
        if isinstance(k, int):
            return vector if k else vector * first
        return vector * xp.where((k > 0)[..., None], 1.0 + 0 * first, first)

    def action_space(self, agent: str) -> Box:
        """Space of one agent's actions."""
        low, high = self.scale.action_bounds(agent)
        return Box(low.astype(np.float32), high.astype(np.float32))

    def controls(self, actions: Array) -> Controls:
        """Physical controls, within the game's constraints, of everyone's actions side by side, (..., N + 2M)."""
        return split_controls(self.game, self.scale.physical(actions))

    def rewards(self, end: Advance, change: Array) -> Array:
        """(..., n) rewards of a step, in the units of the options.

        Args:
            end: the step, with the terminal penalty in the last one's reward if rewards are in currency, without it
                otherwise.
            change: (..., n) of the terminal penalty; does not matter if rewards are in currency.
        """
        gross = end.gross if self.options.reward == "wealth" else end.reward
        if self.reward_units is None:
            return gross
        units = self.reward_units if isinstance(gross, np.ndarray) else as_like(self.reward_units, gross)
        return (gross + change) / units

    def marked(self, c: Coefficients, inventories: Array, k: int | Array) -> Array:
        """(..., n) the terminal penalty charged in the first ``k`` steps, as a reward; none before the first."""
        charged = terminal_reward(c, inventories)
        return charged if isinstance(k, int) and k else (k > 0) * charged

    def penalised(self, last: bool | Array) -> bool | Array:
        """True for a step whose reward has the terminal penalty: the last, unless it is charged as it changes."""
        return last if self.reward_units is None else False


class Market(Setting):
    """The state of a market, or of a batch of them with a common clock, and its pure step.

    Arrays are kept with the batch contiguous in memory, which makes reductions over the few agents fast.

    Args:
        game: the game.
        options: of the environment, or the number of steps.
        random: markets that are drawn, one for every episode of every market of the batch.
        batch: batch axes; () for a single market.
        fields: of :class:`.Options`.
    """

    rate: Array
    """(..., N) rates that were played in the last step, where a trader must liquidate; 0 before the first"""
    clipped: Array
    """(..., N) the same less the rates that actions stood for, within the constraints"""
    drawn: Drawn | None = None
    """what was drawn for this episode; None where nothing is"""

    def __init__(
        self,
        game: Game,
        options: OptionsLike = None,
        random: RandomMarkets | None = None,
        *,
        batch: tuple[int, ...] = (),
        **fields: Unpack[Fields],
    ) -> None:
        super().__init__(game, options, random, **fields)
        self.batch = batch
        self._usual = game.coefficients(self.times)  # a factor's flows are put in step by step
        self._played, self._initial = game, game.start
        self._coefficients = [self._usual.at(k) for k in range(self.steps)]
        self._names = set(game.agents)
        self.reset(np.random.default_rng(0))

    def reset(
        self,
        rng: np.random.Generator,
        inventory: ArrayLike | None = None,
        spread: float | None = None,
        uniform: np.ndarray | None = None,
    ) -> None:
        """Start an episode.

        Args:
            rng: draws markets, where they are random, and random initial inventories.
            inventory: (..., n) initial inventories in place of the game's.
            spread: in place of the option ``inventory_spread``.
            uniform: (..., D) what is drawn of random markets, in place of a draw.

        Raises:
            ValueError: inventories have a wrong shape, are not finite, put a trader on the other side, or are more or
                less than a trader who must liquidate can.
        """
        shape, traders = (*self.batch, len(self.game.agents)), self.game.traders
        given = self._given(inventory, shape)
        spread = self.options.inventory_spread if spread is None else as_spread(spread)
        if self.random is not None:
            drawn = rng.random((*self.batch, self.random.width)) if uniform is None else uniform
            self._draw_markets(self.random, self.random.drawn(drawn))
        start = self._initial if given is None else given
        if spread and inventory is None:
            start = self.game.admitted(start + spread * rng.standard_normal(shape))
        game, batch = self.game, self.batch
        self.k, self.price = 0, np.full(batch, game.initial_price)
        self.inventories = self.initial = np.array(np.broadcast_to(start, shape), order="F")
        self.factor = None if game.factor is None else np.broadcast_to(game.factor.initial, (*batch, game.factor.size))
        self.cash, self._quoted = np.zeros(shape), (np.zeros((*batch, game.makers)),) * 2
        self._volumes: np.ndarray | None = np.zeros((*batch, 2))
        self._marked: Array = np.zeros(())
        """the terminal penalty charged so far, as a reward"""
        self.activity: Activity | None = None
        self.rate, self.clipped = (np.zeros((*batch, traders)),) * 2
        self.shock: Array | None = None

    def _given(self, inventory: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray | None:
        """Initial inventories, checked; None where none are given."""
        if inventory is None:
            return None
        try:
            start = as_numpy(inventory)
        except ValueError as error:
            raise ValueError(f"inventory: {error}") from error
        if start.shape not in (shape, shape[-1:]) or not np.isfinite(start).all():
            raise ValueError(f"inventory: expected finite numbers of shape {shape}, got {inventory!r}")
        traders = self.game.traders
        side = np.sign(self.game.start[:traders])
        if self.game.one_sided and (np.sign(start[..., :traders]) == -side).any():
            raise ValueError(f"inventory: a buyer starts at 0 or below, a seller at 0 or above; got {inventory!r}")
        self.game.check_closable(start, "inventory")
        return start

    def _draw_markets(self, random: RandomMarkets, drawn: Drawn) -> None:
        """Other parameters for this episode."""
        self.drawn = drawn
        self._played, self._initial = random.batched(drawn), random.start(drawn)
        c = random.coefficients(self._usual, drawn, (self.steps,))
        self._coefficients = [c.at(k) for k in range(self.steps)]
        if self.context:
            self.observer = self.observer.showing(drawn.context)

    @property
    def drawn_values(self) -> dict[str, Array]:
        """What was drawn, by the parameter's name: (...,), or (..., size) where it is a list; nothing of a game."""
        if self.random is None or self.drawn is None:
            return {}
        sizes = {name: each.size for name, each in self.random.distributions.items()}
        return {name: each[..., 0] if sizes[name] is None else each for name, each in self.drawn.values.items()}

    def games(self) -> list[Game]:
        """The games of this episode, one for each market of the batch."""
        if self.random is None or self.drawn is None:
            return [self.game] * int(np.prod(self.batch))
        rows = self.drawn.uniform.reshape(-1, self.random.width)
        return [self.random.game_of(self.random.drawn(each)) for each in rows]

    @property
    def done(self) -> bool:
        """True when the horizon is reached."""
        return self.k == self.steps

    def controls_from(self, actions: Mapping[str, ArrayLike]) -> Controls:
        """Physical controls of actions by agent. Raises ValueError for a missing agent, a wrong shape or NaN."""
        if actions.keys() != self._names:
            check_names(self.game, actions)
        return self.controls(join_actions(self.game, actions, self.batch))

    def controls_with(self, agent: str, action: object, others: Mapping[str, Policy]) -> Controls:
        """Physical controls where one agent acts and the others follow policies.

        Raises:
            ValueError: no numbers, a wrong shape, or NaN.
        """
        self._check_open()
        state = self.state
        shape = (*self.batch, control_size(self.game, agent))
        action = self.scale.physical_action(agent, as_action(action, shape, agent))
        actions = {name: action if name == agent else others[name](self.k, state) for name in self.game.agents}
        return self.game.clip(split_controls(self.game, join_actions(self.game, actions, self.batch)))

    def advance(self, controls: Controls, noise: Noise | None = None) -> Array:
        """Play physical controls for one step; returns rewards (..., n).

        Args:
            controls: (..., N), (..., M), (..., M); rates of traders who must liquidate are truncated so that they do.
            noise: increments of this step: of the price (...,), which matter for rewards with ``reward="wealth"``; of
                the factor (..., d), which follows its drift alone without; of the inventories (..., n). Shares that
                noise brings are settled at the market price.
        """
        self._check_open()
        k, last = self.k, self.penalised(self.k + 1 == self.steps)
        here = Position(self.inventories, self.factor, self.price)
        shocks = scaled(noise, self.dt, self._played.volatility, self._played.inventory_noise)
        c = self._coefficients[k]
        if self.game.must_close:
            asked, controls = (
                controls.rate,
                closing_rates(self.game, controls, here.inventories, self.dt, self.steps - k - 1),
            )
            self.rate, self.clipped = controls.rate, controls.rate - asked
        end = advance(self._played, c, self.times[k], self.dt, here, controls, shocks, last)
        self.inventories, self.factor, self.price = end.position
        activity, self._mean = end.activity, end.mean_price[..., None]
        moved = self.dt * activity.inventory_rate
        self.cash = self.cash + self.dt * activity.income - self._mean * moved
        if end.shock is not None:
            self.cash = self.cash - end.settlement[..., None] * end.shock
        self.activity, self.shock, self._quoted, self.k = activity, end.shock, controls[1:], k + 1
        self._volumes = None
        if self.reward_units is None:
            return self.rewards(end, self._marked)
        before, self._marked = self._marked, terminal_reward(c, self.inventories)
        return self.rewards(end, self._marked - before)

    def _check_open(self) -> None:
        if self.k == self.steps:
            raise ValueError(f"the episode ended after {self.steps} steps: reset before another step")

    def draw(self, rng: np.random.Generator) -> Noise:
        """The noise of one step."""
        return draw_step(self.game, rng, self.batch)

    @property
    def quotes(self) -> np.ndarray:
        """(..., 2, M) asks and bids of the last step; zero before the first."""
        ask, bid = self._quoted
        quotes = np.empty((*self.batch, 2, self.game.makers), dtype=ask.dtype)
        quotes[..., 0, :], quotes[..., 1, :] = ask, bid
        return quotes

    @property
    def volumes(self) -> np.ndarray:
        """(..., 2) shares bought and sold in the last step; zero before the first."""
        if self._volumes is None:
            assert self.activity is not None
            self._volumes = np.empty((*self.batch, 2))
            self._volumes[..., 0] = self.dt * self.activity.buy_volume
            self._volumes[..., 1] = self.dt * self.activity.sell_volume
        return self._volumes

    @property
    def fills(self) -> Array:
        """(..., 2, M) shares that each maker sold at its ask and bought at its bid in the last step; zero before the
        first."""
        if self.activity is None:
            return np.zeros((*self.batch, 2, self.game.makers))
        return self.dt * self._played.fills(self.activity, Controls(self.rate, *self._quoted))

    @property
    def terminal(self) -> Array:
        """(..., n) the terminal penalty of the inventories as they are, as a reward."""
        return terminal_reward(self._coefficients[0], self.inventories)

    @property
    def state(self) -> State:
        """The state that policies see."""
        time, quotes = float(self.times[self.k]), self.quotes
        return State(time, self.factor, self.inventories, quotes, self.shock, self.price, self.volumes)

    @property
    def paid(self) -> Array | None:
        """(..., N) price per share that the traders paid in the last step; None before the first."""
        return None if self.activity is None else self.activity.premium + self._mean

    @property
    def pnl(self) -> Array:
        """(..., n) cash plus inventory at the market price, less the initial inventory's value."""
        return self.cash + self.price[..., None] * self.inventories - self.game.initial_price * self.initial

    def observations(self) -> np.ndarray:
        """Every agent's observation (..., n, d)."""
        return self.observer.everyone(self._vector())

    def observation(self, index: int) -> np.ndarray:
        """One agent's observation (..., d)."""
        own: np.ndarray = self._vector().take(self.observer.columns[index], axis=-1)
        return own

    def _vector(self) -> np.ndarray:
        """The vector of :meth:`.Observer.vector`, without the detour of a state for policies."""
        shown, activity = None, self.activity
        if activity is not None:
            ask, bid = activity.best_ask, activity.best_bid
            best = None if ask is None or bid is None else (ask, bid)
            volumes = self.dt * activity.buy_volume, self.dt * activity.sell_volume
            shown = Shown(best, self.price, volumes, self._quoted)
        return self.observer.vector(float(self.times[self.k]), self.factor, self.inventories, shown)

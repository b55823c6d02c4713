"""Games in JAX: ``reset(key, params)`` and ``step(key, state, actions, params)``, to be jitted, vmapped and scanned.

The shape that users of gymnax and JaxMARL expect, agents grouped by role: observations, actions, rewards and dones are
dictionaries ``{"trader": ..., "maker": ...}`` with a leading axis over the agents of the role; an action is ``(N, 1)``
and ``(M, 2)``. The dynamics are those of :func:`~makertaker.envs.grid.advance`, the same function that the NumPy
environments call. Needs JAX: ``pip install '.[jax]'``; double precision with ``jax_enable_x64``.

    env = JaxMarket("acas")
    observations, state = env.reset(key)
    observations, state, rewards, dones, info = env.step(key, state, actions)
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, TypedDict

import numpy as np

from .text import how_to_install

try:
    import jax as jax
    import jax.numpy as jnp
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(f"makertaker.envs.jax_env needs JAX: {how_to_install('jax')}") from error

from .described import Described, describe
from .game import Coefficients, Controls
from .grid import Position, advance, closing_rates
from .noise import Noise, scaled
from .options import OptionsLike
from .random_markets import Drawn, parts_of, with_parts
from .roles import Roles, RoleView, role_action

Array: TypeAlias = jax.Array


class JaxParams(NamedTuple):
    """The numbers that make a market, as arrays: to be changed or vmapped over.

    Examples:
        >>> from makertaker.envs.jax_env import JaxMarket
        >>> params = JaxMarket("acas").default_params
        >>> params.initial.tolist()
        [-5.0, 1.0, 0.0]
        >>> richer = params._replace(initial=params.initial.at[0].set(-8.0))  # the trader wants eight shares
    """

    coefficients: Coefficients
    """the game's, step means over the grid"""
    initial: Array
    """(n,) initial inventories in shares"""
    factor: Array
    """(d,) initial factor; (0,) without"""
    volatility: Array
    """of the reference price, currency per square root of time"""
    inventory_noise: Array
    """``epsilon``"""
    parts: dict[str, Array] = {}  # noqa: RUF012  # a tuple of arrays: nobody changes it
    """parameters of competition and impact, by name: (1,), or (size,) for a list; the game's own where there is none"""
    context: Array | None = None
    """(D,) what agents see of what was drawn, in random markets"""


class JaxState(NamedTuple):
    """The state of one market."""

    k: Array
    """steps played"""
    inventories: Array
    """(n,)"""
    factor: Array
    """(d,)"""
    price: Array
    """market price"""
    quotes: Array
    """(2, M) asks and bids of the last step"""
    volumes: Array
    """(2,) shares bought and sold in the last step"""
    uniform: Array | None = None
    """(D,) what makes this episode's market, where it was drawn; None in a game, or with parameters of the user's"""
    context: Array | None = None
    """(D,) what agents may see of it; None in a game"""


class JaxNoise(NamedTuple):
    """Standard normal increments of one step."""

    price: Array | None
    """(); None: the price follows its drift alone"""
    factor: Array | None
    """(d,); None: the factor follows its drift alone"""
    inventory: Array | None
    """(n,); None: inventories have no noise"""


class JaxPlayed(NamedTuple):
    """What a step leads to."""

    state: JaxState
    """after it, before a reset"""
    rewards: Array
    """(n,)"""
    done: Array
    """true at the horizon"""
    spread: Array
    """best ask plus best bid; NaN where nobody quotes"""
    noise: JaxNoise
    controls: Controls
    """that were played"""
    asked: Controls
    """that were asked for: traders who must liquidate may have to trade at other rates"""


class Info(TypedDict, total=False):
    """Information about a step."""

    inventories: Array
    """(n,) before a reset"""
    mid: Array
    """market price"""
    spread: Array
    """best ask plus best bid; NaN where nobody quotes"""
    noise: JaxNoise
    rate: Array
    """(N,) that traders traded at, where one must liquidate"""
    clipped: Array
    """(N,) the same less the rate that an action stood for, within the constraints"""
    drawn: dict[str, Array]
    """parameters of a market that was drawn, before a reset"""
    final_observation: Roles
    """before a reset"""


class JaxMarket:
    """A game as a functional environment.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents. With a factor, its
            functions must work on JAX arrays (the named ones do).
        options: of the environment.
        scenario: in place of a game.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an option is out of its range, or a factor's function does not work on JAX arrays.

    Examples:
        >>> import jax
        >>> from makertaker.envs.jax_env import JaxMarket
        >>> env = JaxMarket("acas")
        >>> observations, state = env.reset(jax.random.key(0), env.default_params)
        >>> {role: seen.shape for role, seen in observations.items()}
        {'trader': (1, 13), 'maker': (2, 13)}
    """

    def __init__(
        self,
        game: Described | None = None,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        **arguments: Any,
    ) -> None:
        found = describe(game, scenario, options, arguments)
        self.random = found.random
        self.view = RoleView(found.game, found.options, found.random)
        self.name = found.name
        self.game, self.options, self.steps = found.game, self.view.options, self.view.steps
        self.times, self.dt, self.roles = self.view.times, self.view.dt, self.view.names
        self.observation_size = self.view.size
        self._usual: tuple[Any, JaxParams] | None = None
        self.action_size = self.view.action_size
        factor = found.game.factor
        self._driven = factor is not None and factor.random(found.game.horizon)
        self._starts_differ = found.random is not None or bool(self.options.inventory_spread)
        try:
            jax.eval_shape(self._drive, self.default_params)
        except (TypeError, jax.errors.TracerArrayConversionError) as error:
            raise ValueError(f"game: its factor's functions must work on JAX arrays: {error}") from error

    @property
    def default_params(self) -> JaxParams:
        """The game's parameters as arrays; constants, in compiled code as well."""
        dtype = jnp.result_type(float)  # which users may change
        if self._usual is None or self._usual[0] != dtype:
            with jax.ensure_compile_time_eval():
                self._usual = dtype, self._own_params()
        return self._usual[1]

    def _own_params(self) -> JaxParams:
        game = self.game
        factor = [] if game.factor is None else game.factor.initial
        numbers = (game.start, factor, game.volatility, game.inventory_noise)
        coefficients = jax.tree.map(lambda each: jnp.asarray(each, dtype=float), game.coefficients(self.times))
        parts = {name: jnp.atleast_1d(jnp.asarray(each, dtype=float)) for name, each in parts_of(game).items()}
        context = jnp.zeros(0 if self.random is None else self.random.width)
        initial, first, volatility, noise = (jnp.asarray(each, dtype=float) for each in numbers)
        return JaxParams(coefficients, initial, first, volatility, noise, parts, context)

    def draw_params(self, key: Array) -> JaxParams:
        """Parameters of a market that is drawn; vmapped over keys, those of a batch of different markets.

        Raises:
            ValueError: the market is not random.
        """
        if self.random is None:
            raise ValueError("draw_params: expected random markets, got a game")
        drawn = self._draw(key)
        c = self.random.coefficients(self.default_params.coefficients, drawn, (self.steps,))
        return self._with(drawn, c)

    def _draw(self, key: Array) -> Drawn:
        assert self.random is not None
        return self.random.drawn(jax.random.uniform(key, (self.random.width,), self.default_params.initial.dtype))

    def _with(self, drawn: Drawn, c: Coefficients) -> JaxParams:
        """Parameters of a market that was drawn, with its coefficients."""
        assert self.random is not None
        usual, values = self.default_params, drawn.values
        return JaxParams(
            c,
            self.random.start(drawn),
            usual.factor,
            values["volatility"][0] if "volatility" in values else usual.volatility,
            values["inventory_noise"][0] if "inventory_noise" in values else usual.inventory_noise,
            {name: values.get(name, each) for name, each in usual.parts.items()},
            drawn.context,
        )

    def reset(self, key: Array, params: JaxParams | None = None) -> tuple[Roles, JaxState]:
        """Start an episode: observations and state.

        Args:
            key: draws a market, where they are random, and initial inventories, with an ``inventory_spread``;
                otherwise nothing is, and it is there for the API's sake.
            params: the market's; by default the game's, or drawn.
        """
        state = self.start(key, params)
        return self.observe(state), state

    def start(self, key: Array, params: JaxParams | None = None) -> JaxState:
        """The state at the start of an episode, as :meth:`reset` does."""
        drawn, spread = None, self.options.inventory_spread
        if self.random is not None and params is None:
            of_market, key = jax.random.split(key) if spread else (key, key)
            drawn = self._draw(of_market)
            params = self._with(drawn, self.default_params.coefficients)  # which are found step by step
        params = jax.tree.map(jnp.asarray, self.default_params if params is None else params)
        start, dtype = params.initial, params.initial.dtype
        if spread:
            start = self.game.admitted(start + spread * jax.random.normal(key, start.shape, dtype))
        return JaxState(
            jnp.zeros((), dtype=int),
            start,
            params.factor,
            jnp.asarray(self.game.initial_price, dtype=dtype),
            jnp.zeros((2, self.game.makers), dtype=dtype),
            jnp.zeros(2, dtype=dtype),
            None if drawn is None else drawn.uniform,
            None if self.random is None else params.context,
        )

    def step(
        self, key: Array, state: JaxState, actions: Roles, params: JaxParams | None = None
    ) -> tuple[Roles, JaxState, Roles, Roles, Info]:
        """Play one step, and start again where the episode ends.

        Args:
            key: of the step's noise, and of the next episode's start where that is drawn.
            state: of the market.
            actions: ``{"trader": (N, 1), "maker": (M, 2)}``; out of bounds is truncated.
            params: the market's; by default the game's, or what the episode has drawn. Where they are given every
                episode has them.

        Returns:
            Observations (after a reset, where the episode has ended), state, rewards, dones (``"__all__"`` included),
            and information: the last observation of the episode, its inventories, and the noise.
        """
        played, begun = self.play_on(key, state, self.controls(actions), params)
        rewards, dones, info = self._by_role(state, played)
        info["final_observation"] = self.observe(played.state)
        return self.observe(begun), begun, rewards, dones, info

    def step_env(
        self, key: Array, state: JaxState, actions: Roles, params: JaxParams
    ) -> tuple[Roles, JaxState, Roles, Roles, Info]:
        """The same without starting again. What an episode has drawn stands in place of ``params``."""
        played = self.play(key, state, self.controls(actions), params)
        return self.observe(played.state), played.state, *self._by_role(state, played)

    def _by_role(self, before: JaxState, played: JaxPlayed) -> tuple[Roles, Roles, Info]:
        """Rewards, dones and information of a step."""
        rewards = {role: each[..., 0] for role, each in self.view.split(played.rewards[..., None]).items()}
        dones = {role: jnp.broadcast_to(played.done, each.shape) for role, each in rewards.items()}
        after, rate = played.state, played.controls.rate
        info = Info(inventories=after.inventories, mid=after.price, spread=played.spread, noise=played.noise)
        if self.game.must_close:
            info |= Info(rate=rate, clipped=rate - played.asked.rate)
        if self.random is not None and before.uniform is not None:
            info["drawn"] = self.random.drawn(before.uniform).values
        return rewards, {**dones, "__all__": played.done}, info

    def play_on(
        self, key: Array, state: JaxState, controls: Controls, params: JaxParams | None = None
    ) -> tuple[JaxPlayed, JaxState]:
        """Play physical controls for one step, :meth:`play`, and the state after it: that of the next episode where
        this one has ended. Arguments are as in :meth:`step`."""
        if self.random is not None and (params is None) != (state.uniform is not None):
            raise ValueError("params: expected in all of an episode, reset included, or nowhere")
        of_noise, of_start = jax.random.split(key) if self._starts_differ else (key, key)
        played = self.play(of_noise, state, controls, self.default_params if params is None else params)
        return played, self.start_where(played.done, self.start(of_start, params), played.state)

    @staticmethod
    def start_where(done: Array, start: JaxState, state: JaxState) -> JaxState:
        """The state of a start where an episode has ended, elsewhere the state."""
        chosen: JaxState = jax.tree.map(lambda new, old: jnp.where(done, new, old), start, state)
        return chosen

    def play(self, key: Array, state: JaxState, controls: Controls, params: JaxParams) -> JaxPlayed:
        """Play physical controls (N,), (M,), (M,), within the game's constraints, for one step."""
        noise, closing = self.draw(key, params), self._closing(state, controls)
        after, rewards, spread = self.advance(state, closing, noise, params)
        return JaxPlayed(after, rewards, after.k == self.steps, spread, noise, closing, controls)

    def draw(self, key: Array, params: JaxParams) -> JaxNoise:
        """The noise of a step, all of it from one draw.

        Noise that a market does not have is None: a factor that moves by itself, and a volatility or an inventory noise
        that is known to be 0. Where JAX traces ``params`` these are not known, and are drawn.
        """
        price = self._drawn("volatility") or _may_be_positive(params.volatility)
        shaken = self._drawn("inventory_noise") or _may_be_positive(params.inventory_noise)
        d, n = params.factor.shape[-1] if self._driven else 0, params.initial.shape[-1] if shaken else 0
        size = int(price) + d + n
        if not size:
            return JaxNoise(None, None, None)
        drawn = jax.random.normal(key, (size,), params.initial.dtype)
        return JaxNoise(
            drawn[0] if price else None,
            drawn[size - n - d : size - n] if d else None,
            drawn[size - n :] if n else None,
        )

    def _drawn(self, name: str) -> bool:
        """True for a parameter that every market draws."""
        return self.random is not None and name in self.random.distributions

    def controls(self, actions: Roles) -> Controls:
        """Physical controls (N,), (M,), (M,) of actions by role; out of bounds is truncated.

        Raises:
            ValueError: a role is missing or unknown, a shape is wrong, or an action is NaN, where nothing is traced.
        """
        if set(actions) != set(self.roles):
            raise ValueError(f"actions: expected one entry for each of {list(self.roles)}, got {sorted(actions)}")
        return self.view.controls(jnp.concatenate([self._flat(role, actions[role]) for role in self.roles]))

    def _flat(self, role: str, action: Array) -> Array:
        value, shape = jnp.asarray(action), (len(self.view.agents(role)), self.action_size(role))
        known = not isinstance(value, jax.core.Tracer)
        flat: Array = role_action(value, shape, role, known=known).ravel()
        return flat

    def advance(
        self, state: JaxState, controls: Controls, noise: JaxNoise, params: JaxParams
    ) -> tuple[JaxState, Array, Array]:
        """One step with physical controls and given noise: state, rewards (n,), spread (NaN where nobody quotes)."""
        c, time, last = params.coefficients.at(state.k), jnp.asarray(self.times)[state.k], state.k + 1 == self.steps
        if self.random is not None and state.uniform is not None:
            drawn = self.random.drawn(state.uniform)
            c = self.random.coefficients(c, drawn)
            params = self._with(drawn, params.coefficients)
        shocks = scaled(Noise(*noise), self.dt, params.volatility, params.inventory_noise)
        here = Position(state.inventories, state.factor, state.price)
        game = with_parts(self.game, params.parts)
        controls = self._closing(state, controls)
        played = advance(game, c, time, self.dt, here, controls, shocks, self.view.penalised(last))
        after, before = (played.position.inventories, state.k + 1), (state.inventories, state.k)
        reward = self.view.rewards(played, self.view.marked(c, *after) - self.view.marked(c, *before))
        quotes, spread = jnp.stack([controls.ask, controls.bid]), played.activity.spread
        volumes = self.dt * jnp.stack([played.activity.buy_volume, played.activity.sell_volume])
        moved = JaxState(state.k + 1, *played.position, quotes, volumes, state.uniform, state.context)
        return moved, reward, jnp.asarray(jnp.nan) if spread is None else spread

    def _closing(self, state: JaxState, controls: Controls) -> Controls:
        """The controls, with the rates of traders who must liquidate truncated so that they do."""
        return closing_rates(self.game, controls, state.inventories, self.dt, self.steps - 1 - state.k)

    def observe(self, state: JaxState) -> Roles:
        """Every agent's observation, by role: (N, size) and (M, size), float32."""
        return self.view.split(self.observations(state))

    def observations(self, state: JaxState) -> Array:
        """The same of all agents: (n, size)."""
        position = Position(state.inventories, state.factor, state.price)
        seen = self.view.observe(self.view.vector(state.k, position, state.quotes, state.volumes, state.context))
        single: Array = seen.astype(jnp.float32)
        return single

    def _drive(self, params: JaxParams) -> Coefficients:
        """Coefficients of the first step at the factor after it: all that a factor's functions are needed for."""
        game, c, time = self.game, params.coefficients.at(0), jnp.zeros(())
        if game.factor is None:
            return c
        driven: Coefficients = game.with_factor(c, time, game.factor.move(time, params.factor, self.dt, params.factor))
        return driven


def _may_be_positive(value: Array | float) -> bool:
    """False for a number that is known to be 0; one that JAX traces is not known."""
    return isinstance(value, jax.core.Tracer) or bool(np.any(np.asarray(value) != 0))


__all__ = ["Info", "JaxMarket", "JaxNoise", "JaxParams", "JaxPlayed", "JaxState"]

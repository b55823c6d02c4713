"""Games in JAX: ``reset(key, params)`` and ``step(key, state, actions, params)``, to be jitted, vmapped and scanned.

The shape that users of gymnax and JaxMARL expect, agents grouped by role: observations, actions, rewards and dones are
dictionaries ``{"trader": ..., "maker": ...}`` with a leading axis over the agents of the role; an action is ``(N, 1)``
and ``(M, 2)``. The dynamics are those of :func:`~makertaker.envs.grid.step`, the same function that the NumPy
environments call. Needs JAX: ``pip install 'makertaker[jax]'``; double precision with ``jax_enable_x64``.

    env = JaxMarket(load_scenario("acas"), steps=20)
    observations, state = env.reset(key)
    observations, state, rewards, dones, info = env.step(key, state, actions)
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np

try:
    import jax
    import jax.numpy as jnp
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError("makertaker.envs.jax_env needs JAX: pip install 'makertaker[jax]'") from error

from .game import Controls, Game
from .grid import advance
from .noise import Noise, scaled
from .options import Fields, Options
from .roles import Roles, RoleView


class JaxParams(NamedTuple):
    """What a market is made of, as arrays: to be changed or vmapped over."""

    coefficients: Any
    """the game's, step means over the grid"""
    initial: Any
    """(n,) initial inventories in shares"""
    factor: Any
    """(d,) initial factor; (0,) without"""
    volatility: Any
    """of the reference price, currency per square root of time"""
    inventory_noise: Any
    """``epsilon``"""


class JaxState(NamedTuple):
    """The state of one market."""

    k: Any
    """steps played"""
    inventories: Any
    """(n,)"""
    factor: Any
    """(d,)"""
    price: Any
    """market price"""
    quotes: Any
    """(2, M) asks and bids of the last step"""


class JaxNoise(NamedTuple):
    """Standard normal increments of one step."""

    price: Any
    """()"""
    factor: Any
    """(d,)"""
    inventory: Any
    """(n,)"""


class JaxMarket:
    """A game as a functional environment.

    Args:
        game: the game; with a factor, its functions must work on JAX arrays (the named ones do).
        options: of the environment; initial inventories are not random.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an argument is out of its range, or a factor's function does not work on JAX arrays.
    """

    def __init__(self, game: Game, options: Options | None = None, **fields: Unpack[Fields]) -> None:
        self.view = RoleView(game, options, **fields)
        self.options = self.view.options
        self.game, self.steps, self.reward = game, self.options.steps, self.options.reward
        self.times, self.dt, self.roles = self.view.times, self.view.dt, self.view.names
        self.observation_size = self.view.size
        self.action_size = self.view.action_size
        try:
            jax.eval_shape(self._drive, jnp.zeros(()), self.default_params)
        except (TypeError, jax.errors.TracerArrayConversionError) as error:
            raise ValueError(f"game: its factor's functions must work on JAX arrays: {error}") from error

    @property
    def default_params(self) -> JaxParams:
        """The game's parameters as arrays."""
        game = self.game
        factor = np.zeros(0) if game.factor is None else np.array(game.factor.initial)
        coefficients = game.coefficients(self.times)
        arrays = type(coefficients)(*(jnp.asarray(each) for each in coefficients))
        numbers = (game.start, factor, game.volatility, game.inventory_noise)
        return JaxParams(arrays, *(jnp.asarray(each, dtype=float) for each in numbers))

    def reset(self, key: Any, params: JaxParams | None = None) -> tuple[Roles, JaxState]:
        """Start an episode: observations and state. The start is not random; ``key`` is there for the API's sake."""
        params = jax.tree.map(jnp.asarray, self.default_params if params is None else params)
        state = JaxState(
            jnp.zeros((), dtype=int),
            params.initial,
            params.factor,
            jnp.asarray(self.game.initial_price, dtype=params.initial.dtype),
            jnp.zeros((2, self.game.makers), dtype=params.initial.dtype),
        )
        return self.observe(state), state

    def step(
        self, key: Any, state: JaxState, actions: Roles, params: JaxParams | None = None
    ) -> tuple[Roles, JaxState, Roles, dict[str, Any], dict[str, Any]]:
        """Play one step, and start again where the episode ends.

        Args:
            key: of the step's noise.
            state: of the market.
            actions: ``{"trader": (N, 1), "maker": (M, 2)}``; out of bounds is truncated.
            params: the market's; by default the game's.

        Returns:
            Observations (after a reset, where the episode has ended), state, rewards, dones (``"__all__"`` included),
            and information: the last observation of the episode, its inventories, and the noise.
        """
        params = self.default_params if params is None else params
        observations, after, rewards, dones, info = self.step_env(key, state, actions, params)
        first, start = self.reset(key, params)

        def choose(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(dones["__all__"], a, b), new, old)

        info = {**info, "final_observation": observations}
        return choose(first, observations), choose(start, after), rewards, dones, info

    def step_env(
        self, key: Any, state: JaxState, actions: Roles, params: JaxParams
    ) -> tuple[Roles, JaxState, Roles, dict[str, Any], dict[str, Any]]:
        """The same without starting again."""
        noise = self.draw(key, params)
        after, reward, spread = self.advance(state, self.controls(actions), noise, params)
        done = after.k == self.steps
        rewards = {role: each[..., 0] for role, each in self.view.split(reward[..., None]).items()}
        dones = {role: jnp.broadcast_to(done, each.shape) for role, each in rewards.items()}
        info = {"inventories": after.inventories, "mid": after.price, "spread": spread, "noise": noise}
        return self.observe(after), after, rewards, {**dones, "__all__": done}, info

    def draw(self, key: Any, params: JaxParams) -> JaxNoise:
        """The noise of a step."""
        price, factor, inventory = jax.random.split(key, 3)
        dtype = params.initial.dtype
        return JaxNoise(
            jax.random.normal(price, (), dtype),
            jax.random.normal(factor, params.factor.shape, dtype),
            jax.random.normal(inventory, params.initial.shape, dtype),
        )

    def controls(self, actions: Roles) -> Controls:
        """Physical controls (N,), (M,), (M,) of actions by role; out of bounds is truncated."""
        return self.view.controls({role: jnp.asarray(each) for role, each in actions.items()})

    def advance(
        self, state: JaxState, controls: Controls, noise: JaxNoise, params: JaxParams
    ) -> tuple[JaxState, Any, Any]:
        """One step with physical controls and given noise: state, rewards (n,), spread (NaN where nobody quotes)."""
        game = self.game
        given = Noise(noise.price if self.reward == "wealth" else None, noise.factor, noise.inventory)
        played = advance(
            game,
            params.coefficients.at(state.k),
            jnp.asarray(self.times)[state.k],
            self.dt,
            state.inventories,
            state.factor,
            state.price,
            controls,
            scaled(given, self.dt, params.volatility, params.inventory_noise),
            last=state.k + 1 == self.steps,
        )
        quotes = jnp.stack([controls.ask, controls.bid])
        best: Any = (played.activity.best_ask, played.activity.best_bid)
        spread = best[0] + best[1] if game.makers else jnp.nan
        after = JaxState(state.k + 1, played.inventories, played.factor, played.price, quotes)
        return after, played.gross, spread

    def observe(self, state: JaxState) -> Roles:
        """Every agent's observation, by role: (N, size) and (M, size), float32."""
        factor = None if self.game.factor is None else state.factor
        seen = self.view.observe(self.view.state(state.k, state.inventories, factor, state.quotes))
        return {role: each.astype(jnp.float32) for role, each in seen.items()}

    def _drive(self, time: Any, params: JaxParams) -> Any:
        """Coefficients of the first step and the factor after it: what a factor's functions are needed for."""
        game = self.game
        if game.factor is None:
            return params.coefficients.at(0)
        moved = game.factor.move(time, params.factor, self.dt, params.factor)
        return game.with_factor(params.coefficients.at(0), time, moved)


__all__ = ["JaxMarket", "JaxNoise", "JaxParams", "JaxState"]

"""Batches of markets in JAX that learners play for whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ...baselines.policies import OpenLoop
from ...envs import Game, Options, Policy
from ...envs.game import Controls
from ...envs.grid import Position
from ...envs.jax_env import JaxMarket, JaxNoise, JaxState
from ...envs.packing import agent_columns, split_controls
from ...envs.random_markets import RandomMarkets
from .actors import Actors

Array: TypeAlias = jax.Array
Act = Callable[[Array, Array], tuple[Array, Array]]
"""memory, and mean actions (L, B, m) of the L learners, from memory and their observations (L, B, d)"""
Now = tuple[JaxState, Array | None]
"""a batch of markets, and what learners remember"""
_UNROLL = 1
"""steps of an episode in one turn of the compiled loop; more take longer to compile and are no faster"""


class Draws(NamedTuple):
    """Everything random of an episode of B markets: standard normal numbers; None for noise that a game lacks."""

    actions: Array
    """(K, B, L, m)"""
    price: Array
    """(K, B)"""
    factor: Array | None
    """(K, B, d)"""
    inventory: Array | None
    """(K, B, n)"""
    start: Array | None
    """(B, n) of random initial inventories"""
    uniform: Array | None
    """(B, D) uniform numbers in [0, 1), of random markets"""


class Episode(NamedTuple):
    """What learners remember of an episode."""

    observations: Array
    """(K, B, L, d)"""
    means: Array
    """(K, B, L, m) or (K, 1, L, m) mean actions"""
    rewards: Array
    """(K, B, L) in payoff units"""


class Markets:
    """A batch of markets of one game, or of random ones, each of which is drawn for an episode.

    Args:
        game: the game, or random markets.
        options: of learners; see :func:`~.learners.learned_market`.
        count: number B of markets.
        agents: names of the L agents that learn.
        fixed: schedules of the others, :class:`~makertaker.baselines.policies.OpenLoop`.

    Raises:
        ValueError: a policy is no schedule of the grid, or a factor's function does not work on JAX arrays.
    """

    def __init__(
        self,
        game: Game | RandomMarkets,
        options: Options,
        count: int,
        agents: Sequence[str],
        fixed: Mapping[str, Policy],
    ) -> None:
        self.spread = options.inventory_spread
        self.env = JaxMarket(game, replace(options, inventory_spread=0.0))
        self.game, self.random = self.env.game, self.env.random
        self.steps, self.count = self.env.steps, count
        game = self.game
        self.positions = np.array([game.positions[agent] for agent in agents])
        spans = [agent_columns(game, agent) for agent in agents]
        self.sizes = [span.stop - span.start for span in spans]
        """entries of each learner's action"""
        self.padded = max(self.sizes)
        """``m``"""
        self._columns = np.concatenate([np.arange(span.start, span.stop) for span in spans])
        self._entries = np.concatenate([i * self.padded + np.arange(size) for i, size in enumerate(self.sizes)])
        self._schedule = _schedules(game, self.steps, fixed)

    @property
    def names(self) -> np.ndarray:
        """(L, L) 1 at the index of each learner: who it is."""
        return np.eye(len(self.sizes))

    def names_of_roles(self) -> list[int]:
        """Index of the first learner of each learner's role."""
        traders = [bool(position < self.game.traders) for position in self.positions]
        return [traders.index(each) for each in traders]

    @property
    def own(self) -> Array:
        """(L, m) 1 where an entry of an action is the agent's own, 0 where it fills up."""
        return jnp.asarray(np.arange(self.padded) < np.array(self.sizes)[:, None], jnp.float32)

    def draw(self, key: Array) -> Draws:
        """The random numbers of an episode."""
        game, shape, agents = self.game, (self.steps, self.count), len(self.game.agents)
        own, price, factor, inventory, start = jax.random.split(key, 5)
        width = None if self.random is None else self.random.width
        return Draws(
            jax.random.normal(own, (*shape, len(self.sizes), self.padded), jnp.float32),
            jax.random.normal(price, shape),
            None if game.factor is None else jax.random.normal(factor, (*shape, game.factor.size)),
            jax.random.normal(inventory, (*shape, agents)) if game.inventory_noise else None,
            jax.random.normal(start, (self.count, agents)) if self.spread else None,
            None if width is None else jax.random.uniform(jax.random.fold_in(start, 1), (self.count, width)),
        )

    def scheduled(self, actors: Actors) -> bool:
        """True where actors see time alone, which nothing but the step moves."""
        return actors.visible == 1 and actors.history == 1 and actors.recurrent is None

    def schedule_inputs(self) -> Array:
        """(K, 1) what actors see that see time alone, in a game without factor."""
        return jnp.asarray(self.env.times[:-1, None] / self.game.horizon, jnp.float32)

    def play(self, draws: Draws, deviation: Array | float, means: Array | Act, memory: Array | None = None) -> Episode:
        """Play an episode.

        Args:
            draws: its random numbers.
            deviation: standard deviation of actions, in control units.
            means: (K, L, m) mean actions of actors that see time alone; or a function of what is remembered and
                observed.
            memory: what that function remembers before the first step.
        """
        params = self.env.default_params
        begin = self._begin(draws.start, draws.uniform)
        axes = jax.tree.map(lambda _: 0, begin)._replace(k=None)  # steps played are common to all markets

        def advance_one(state: JaxState, controls: Controls, noise: JaxNoise) -> tuple[JaxState, Array]:
            return self.env.advance(state, controls, noise, params)[:2]

        advance = jax.vmap(advance_one, in_axes=(axes, 0, 0), out_axes=(axes, 0))

        def step(now: Now, given: tuple[Draws, Array | None]) -> tuple[Now, tuple[JaxState, Array, Array]]:
            (state, remembered), (drawn, mean) = now, given
            if mean is None:
                assert callable(means)
                assert remembered is not None
                remembered, mean = means(remembered, jnp.moveaxis(self._observe(state), -2, 0))
                mean = jnp.moveaxis(mean, 0, -2)
            actions = mean + deviation * drawn.actions
            noise = JaxNoise(drawn.price, drawn.factor, drawn.inventory)
            after, reward = advance(state, self._controls(actions, state.k), noise)
            return (after, remembered), (state, reward, mean)

        scheduled = None if callable(means) else means[:, None]
        each = (draws._replace(start=None, uniform=None), scheduled)
        _, (states, rewards, played) = jax.lax.scan(step, (begin, memory), each, unroll=_UNROLL)
        return Episode(self._observe(states), played, rewards[..., self.positions].astype(jnp.float32))

    def _begin(self, normal: Array | None, uniform: Array | None) -> JaxState:
        """The state of the batch at the start; steps played are common to all markets."""
        _, state = self.env.reset(jax.random.key(0), self.env.default_params)
        batch: JaxState = jax.tree.map(lambda each: jnp.broadcast_to(each, (self.count, *each.shape)), state)
        if self.random is not None:
            drawn = self.random.drawn(uniform)
            batch = batch._replace(inventories=self.random.start(drawn), uniform=uniform, context=drawn.context)
        start = batch.inventories
        if normal is not None:
            start = self.game.admitted(start + self.spread * normal)
        return batch._replace(k=state.k, inventories=start)

    def _observe(self, state: JaxState) -> Array:
        """The learners' observations (..., B, L, d) of a batch's state, or of those of all steps (K,)."""
        view, position = self.env.view, Position(state.inventories, state.factor, state.price)
        k = jnp.broadcast_to(state.k[..., None], state.price.shape)
        seen = view.observe(view.vector(k, position, state.quotes, state.volumes, state.context))
        own: Array = seen[..., self.positions, :].astype(jnp.float32)
        return own

    def _controls(self, actions: Array, k: Array) -> Controls:
        """Physical controls of the learners' actions (B, L, m), and of those who follow schedules."""
        view = self.env.view
        flat = jnp.zeros((self.count, self.game.traders + 2 * self.game.makers), actions.dtype)
        given = actions.reshape(self.count, -1)[:, self._entries]
        if len(self._columns) == flat.shape[-1]:  # everyone learns, in the game's order
            return view.controls(given)
        flat = flat.at[:, self._columns].set(given)
        physical = view.scale.physical(flat)
        known = jnp.asarray(self._schedule, physical.dtype)[k]
        return view.game.clip(split_controls(self.game, jnp.where(jnp.isnan(known), physical, known)))


def _schedules(game: Game, steps: int, fixed: Mapping[str, Policy]) -> np.ndarray:
    """(K, N + 2M) physical controls of the agents that follow schedules, NaN for the others."""
    flat = np.full((steps, game.traders + 2 * game.makers), np.nan)
    for agent, policy in fixed.items():
        if not isinstance(policy, OpenLoop):
            raise ValueError(
                f"fixed: {agent} follows no schedule, and what reacts to the market is not compiled; expected an "
                f"OpenLoop with the engine 'jax', got {type(policy).__name__}"
            )
        flat[:, agent_columns(game, agent)] = policy.schedule
    return flat

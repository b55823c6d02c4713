"""Games in JAX with dictionaries by agent's name: the interface of JaxMARL's ``MultiAgentEnv``.

What JaxMARL's learners and wrappers call is here, so that they run with another environment in their first line. Needs
JAX alone: ``pip install '.[jax]'``.

    env = JaxMARLMarket("acas", homogenisation_method="max")
    observations, state = env.reset(key)
    observations, state, rewards, dones, info = env.step(key, state, actions)

:class:`.JaxMarket` is the same market grouped by role, with parameters that may be batched; ``market`` is the one that
is played.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np

from .described import Described
from .jax_env import Array, JaxMarket, JaxPlayed, JaxState, jax
from .jax_spaces import jax_box
from .names import unknown
from .options import OptionsLike
from .roles import role_action

jnp = jax.numpy

Agents: TypeAlias = dict[str, Array]
"""arrays by the agent's name"""


class JaxMARLMarket:
    """A game with dictionaries by agent, as JaxMARL has them.

    Args:
        game: as of :class:`.JaxMarket`: a game, a scenario or its name; random markets, of which every episode draws
            its own.
        options: of the environment.
        scenario: in place of a game.
        homogenisation_method: as of JaxMARL's MABrax environments. None: a trader's action has one entry, a maker's
            two. ``"max"``: everyone's has as many as the longest, of which those beyond an agent's own are ignored, and
            a one-hot of the agent stands at the end of its observation (the option ``identity``), for learners that
            share one network.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an option is out of its range.

    Examples:
        >>> import jax
        >>> from makertaker.envs.jaxmarl_env import JaxMARLMarket
        >>> env = JaxMARLMarket("acas", homogenisation_method="max")
        >>> observations, state = env.reset(jax.random.key(0))
        >>> {agent: env.action_space(agent).shape for agent in env.agents}
        {'trader_0': (2,), 'maker_0': (2,), 'maker_1': (2,)}
    """

    def __init__(
        self,
        game: Described | None = None,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        homogenisation_method: Literal["max"] | None = None,
        **arguments: Any,
    ) -> None:
        if homogenisation_method not in (None, "max"):
            raise ValueError(f"homogenisation_method: expected None or 'max', got {homogenisation_method!r}")
        if homogenisation_method == "max":
            arguments = {"identity": True} | arguments
        self.market = JaxMarket(game, options, scenario=scenario, **arguments)
        self.view = self.market.view
        self.homogenisation_method = homogenisation_method
        self.agents = list(self.market.game.agents)
        self.num_agents = len(self.agents)
        self.sizes = {name: self.market.action_size(role) for role in self.market.roles for name in self._of(role)}
        """entries of an agent's own action"""
        self.width = max(self.sizes.values())

    def _of(self, role: str) -> list[str]:
        return list(self.view.agents(role))

    @property
    def name(self) -> str:
        """Of the scenario, or of the game's environment."""
        return self.market.name

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """Agents by role: ``{"trader": [...], "maker": [...]}``."""
        return {role: self._of(role) for role in self.market.roles}

    @property
    def observation_spaces(self) -> dict[str, Any]:
        """Space of every agent's observations."""
        return {agent: self.observation_space(agent) for agent in self.agents}

    @property
    def action_spaces(self) -> dict[str, Any]:
        """Space of every agent's actions."""
        return {agent: self.action_space(agent) for agent in self.agents}

    def observation_space(self, agent: str) -> Any:
        """Space of one agent's observations, which is everyone's; see :func:`.jax_box`. Raises ValueError for an
        unknown name."""
        self._known(agent)
        return jax_box(self.view.observation_space)

    def action_space(self, agent: str) -> Any:
        """Space of one agent's actions: what is outside is truncated. Entries beyond an agent's own are in [-1, 1].
        Raises ValueError for an unknown name."""
        self._known(agent)
        own = self.view.action_space(agent)
        if self.homogenisation_method is None:
            return jax_box(own)
        rest = np.ones(self.width - len(own.low), dtype=np.float32)
        return jax_box(gymnasium.spaces.Box(np.concatenate([own.low, -rest]), np.concatenate([own.high, rest])))

    def _known(self, agent: str) -> None:
        if agent not in self.sizes:
            raise unknown("agent", agent, self.agents)

    def reset(self, key: Array) -> tuple[Agents, JaxState]:
        """Start an episode: observations by agent, (size,), and the state.

        Args:
            key: draws the market, where they are random, and initial inventories, with an ``inventory_spread``.
        """
        state = self.market.start(key)
        return self.get_obs(state), state

    def step(
        self, key: Array, state: JaxState, actions: Mapping[str, Array], reset_state: JaxState | None = None
    ) -> tuple[Agents, JaxState, Agents, Agents, dict[str, Array]]:
        """Play one step, and start again where the episode ends.

        Args:
            key: of the step's noise, and of the next episode's start where that is drawn.
            state: of the market.
            actions: by agent: (1,) of a trader, (2,) of a maker, or of one size; out of bounds is truncated.
            reset_state: state to start from again; None: another :meth:`reset`.

        Returns:
            Observations (after a reset, where the episode has ended), state, rewards, dones (``"__all__"`` included),
            each by agent, and information, all of it (n,) over the agents, which JaxMARL's learners expect:
            ``inventories`` before a reset.

        Raises:
            ValueError: an agent is missing or unknown, a shape is wrong, or an action is NaN, where nothing is traced.
        """
        played, begun = self.market.play_on(key, state, self.view.controls(self._flat(actions)))
        if reset_state is not None:
            begun = self.market.start_where(played.done, reset_state, played.state)
        return self.get_obs(begun), begun, *self._by_agent(played)

    def step_env(
        self, key: Array, state: JaxState, actions: Mapping[str, Array]
    ) -> tuple[Agents, JaxState, Agents, Agents, dict[str, Array]]:
        """The same without starting again."""
        controls = self.view.controls(self._flat(actions))
        played = self.market.play(key, state, controls, self.market.default_params)
        return self.get_obs(played.state), played.state, *self._by_agent(played)

    def _by_agent(self, played: JaxPlayed) -> tuple[Agents, Agents, dict[str, Array]]:
        """Rewards, dones and information of a step."""
        rewards = {agent: played.rewards[i] for i, agent in enumerate(self.agents)}
        dones = dict.fromkeys([*self.agents, "__all__"], played.done)
        return rewards, dones, {"inventories": played.state.inventories}

    def _flat(self, actions: Mapping[str, Array]) -> Array:
        """Everyone's actions side by side, (N + 2M,)."""
        if set(actions) != set(self.agents):
            raise ValueError(f"actions: expected one entry for each of {self.agents}, got {sorted(actions)}")
        return jnp.concatenate([self._own(agent, actions[agent]) for agent in self.agents])

    def _own(self, agent: str, action: Array) -> Array:
        value, size = jnp.asarray(action), self.sizes[agent]
        width = size if self.homogenisation_method is None else self.width
        own: Array = role_action(value, (width,), agent, known=not isinstance(value, jax.core.Tracer))[:size]
        return own

    def get_obs(self, state: JaxState) -> Agents:
        """Observations by agent, (size,), float32."""
        seen = self.market.observations(state)
        return {agent: seen[i] for i, agent in enumerate(self.agents)}

    def get_avail_actions(self, state: JaxState) -> Agents:
        """By agent: true for the entries of an action that are its own, (1,), (2,), or of one size."""
        del state  # in every state the same
        shared = 0 if self.homogenisation_method is None else self.width
        return {agent: jnp.arange(max(size, shared)) < size for agent, size in self.sizes.items()}


__all__ = ["Agents", "JaxMARLMarket"]

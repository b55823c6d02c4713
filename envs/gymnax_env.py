"""One agent learns in JAX, the others follow policies: the interface of gymnax, which PureJaxRL's learners call.

Needs JAX alone: ``pip install '.[jax]'``. With the equilibrium as everybody else's policy it is made by
:func:`makertaker.baselines.gymnax_envs.gymnax_market`.

    env = GymnaxMarket("acas", agent="maker_0", others={"trader_0": schedule, "maker_1": policy})
    observation, state = env.reset(key, env.default_params)
    observation, state, reward, done, info = env.step(key, state, action, env.default_params)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from .described import Described
from .game import Controls
from .grid import State
from .jax_env import Array, JaxMarket, JaxParams, JaxPlayed, JaxState, jax
from .jax_spaces import jax_box
from .options import OptionsLike
from .packing import agent_columns, control_size, learner, split_controls
from .roles import role_action
from .single_agent_env import check_others

jnp = jax.numpy

JaxPolicy: TypeAlias = Callable[[Array, State], Array] | Array
"""a function of the step and the state that returns physical controls of one agent, (1,) or (2,), and works on arrays
that JAX traces; or a schedule of them, (K, 1) or (K, 2), also as the ``schedule`` of an object"""


class GymnaxMarket:
    """A game for one learner, in the shape of gymnax.

    Args:
        game: as of :class:`.JaxMarket`: a game, a scenario or its name; random markets, of which every episode draws
            its own.
        options: of the environment.
        scenario: in place of a game.
        agent: name of the learner; None: the first of the game's agents.
        others: policy of every other agent. The state that policies see is that of one market; the last shock is not
            in it.
        truncated: True: ``step`` returns ``terminated, truncated`` in place of ``done``, as gymnax does since 1.0, and
            shows the last observation in ``info``. Everything ends at the horizon, so nothing is truncated.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an option is out of its range, the agent is unknown, or a policy is missing, unknown, made for
            another grid, or no function of arrays that JAX traces.

    Examples:
        >>> import jax
        >>> from makertaker.envs.gymnax_env import GymnaxMarket
        >>> still = {"trader_0": lambda k, state: jax.numpy.full(1, 5.0), "maker_1": lambda k, state: jax.numpy.ones(2)}
        >>> env = GymnaxMarket("acas", agent="maker_0", others=still)
        >>> observation, state = env.reset(jax.random.key(0), env.default_params)
        >>> observation.shape
        (13,)
    """

    def __init__(
        self,
        game: Described | None = None,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        agent: str | None = None,
        others: Mapping[str, JaxPolicy],
        truncated: bool = False,
        **arguments: Any,
    ) -> None:
        self.market = JaxMarket(game, options, scenario=scenario, **arguments)
        self.view, played = self.market.view, self.market.game
        self.agent, self.truncated = learner(played, agent), truncated
        self._index, self._columns = played.positions[self.agent], agent_columns(played, self.agent)
        self._width = played.traders + 2 * played.makers
        self.others = self._checked(others)

    @property
    def name(self) -> str:
        """Of the scenario, or of the game's environment."""
        return self.market.name

    @property
    def num_actions(self) -> int:
        """Entries of an action: 1 of a trader, 2 of a maker."""
        return int(self._columns.stop - self._columns.start)

    @property
    def default_params(self) -> JaxParams | None:
        """The game's parameters as arrays; None in random markets, whose episodes draw them."""
        return None if self.market.random is not None else self.market.default_params

    def observation_space(self, params: JaxParams | None = None) -> Any:
        """Space of observations; see :func:`.jax_box`. The parameters do not matter."""
        del params
        return jax_box(self.view.observation_space)

    def action_space(self, params: JaxParams | None = None) -> Any:
        """Space of actions: what is outside is truncated. The parameters do not matter."""
        del params
        return jax_box(self.view.action_space(self.agent))

    def reset(self, key: Array, params: JaxParams | None = None) -> tuple[Array, JaxState]:
        """Start an episode: observation (size,) and state.

        Args:
            key: draws the market, where they are random, and initial inventories, with an ``inventory_spread``.
            params: the market's; by default the game's, or drawn.
        """
        state = self.market.start(key, params)
        return self.get_obs(state), state

    def step(self, key: Array, state: JaxState, action: Array, params: JaxParams | None = None) -> tuple[Any, ...]:
        """Play one step, and start again where the episode ends.

        Args:
            key: of the step's noise, and of the next episode's start where that is drawn.
            state: of the market.
            action: (1,) of a trader, (2,) of a maker; out of bounds is truncated.
            params: the market's; by default the game's, or what the episode has drawn. Where they are given every
                episode has them.

        Returns:
            Observation (after a reset, where the episode has ended), state, reward (), done (), and information: the
            discount, 0 where the episode has ended. With ``truncated`` see there.

        Raises:
            ValueError: the shape is wrong, or the action is NaN, where nothing is traced.
        """
        played, begun = self.market.play_on(key, state, self.controls(state, action), params)
        observation, reward = self.get_obs(begun), played.rewards[self._index]
        if not self.truncated:
            return observation, begun, reward, played.done, self._info(played)
        ends = played.done, jnp.zeros_like(played.done)
        info = {"terminated": ends[0], "truncated": ends[1], "final_observation": self.get_obs(played.state)}
        return observation, begun, reward, *ends, info

    def step_env(
        self, key: Array, state: JaxState, action: Array, params: JaxParams | None = None
    ) -> tuple[Array, JaxState, Array, Array, dict[str, Array]]:
        """The same without starting again: observation, state, reward, done, information."""
        given = self.market.default_params if params is None else params
        played = self.market.play(key, state, self.controls(state, action), given)
        return self.get_obs(played.state), played.state, played.rewards[self._index], played.done, self._info(played)

    @staticmethod
    def _info(played: JaxPlayed) -> dict[str, Array]:
        return {"discount": jnp.where(played.done, 0.0, 1.0)}

    def get_obs(self, state: JaxState, params: JaxParams | None = None, key: Array | None = None) -> Array:
        """The learner's observation, (size,), float32. Parameters and key do not matter."""
        del params, key
        return self.market.observations(state)[self._index]

    def is_terminal(self, state: JaxState, params: JaxParams | None = None) -> Array:
        """True at the horizon. The parameters do not matter."""
        del params
        return state.k == self.market.steps

    def controls(self, state: JaxState, action: Array) -> Controls:
        """Everyone's physical controls, (N,), (M,), (M,), within the game's constraints.

        Args:
            state: of the market, which the others' policies see.
            action: of the learner.

        Raises:
            ValueError: the shape is wrong, or the action is NaN, where nothing is traced.
        """
        value = jnp.asarray(action)
        value = role_action(value, (self.num_actions,), self.agent, known=not isinstance(value, jax.core.Tracer))
        flat = jnp.zeros(self._width, state.inventories.dtype).at[self._columns].set(value)
        own, market, seen = self.view.scale.physical(flat)[self._columns], self.market, self._seen(state)
        parts = [own if name == self.agent else self._follow(name, state.k, seen) for name in market.game.agents]
        return market.game.clip(split_controls(market.game, jnp.concatenate(parts)))

    def _follow(self, name: str, k: Array, seen: State) -> Array:
        """Physical controls, (1,) or (2,), of an agent that follows its policy."""
        policy = self.others[name]
        if callable(policy):
            return jnp.asarray(policy(k, seen))
        return jnp.asarray(policy, seen.inventories.dtype)[k]

    def _seen(self, state: JaxState) -> State:
        """The state that policies see."""
        factor = None if self.market.game.factor is None else state.factor
        time: Any = jnp.asarray(self.market.times, state.inventories.dtype)[state.k]
        return State(time, factor, state.inventories, state.quotes, None, state.price, state.volumes)

    def _checked(self, others: Mapping[str, JaxPolicy]) -> dict[str, JaxPolicy]:
        """The others' policies: functions, and schedules as arrays."""
        market = self.market
        policies: Mapping[str, Any] = others  # the names and grids of which are checked
        given: dict[str, Any] = {**check_others(market.game.agents, self.agent, policies, market.steps)}
        found: dict[str, JaxPolicy] = {}
        for name, policy in given.items():
            size = control_size(market.game, name)
            schedule = getattr(policy, "schedule", policy)
            found[name] = (
                self._traceable(name, policy, size) if callable(schedule) else self._schedule(name, schedule, size)
            )
        return found

    def _schedule(self, name: str, schedule: object, size: int) -> Any:
        values: Any = np.asarray(schedule, dtype=float)  # NumPy's: constants of compiled code
        shape = (self.market.steps, size)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"others: {name}: expected a schedule of finite controls {shape}, got {schedule!r}")
        return values

    def _traceable(self, name: str, policy: Any, size: int) -> JaxPolicy:
        def ask(state: JaxState) -> Array:
            return jnp.asarray(policy(state.k, self._seen(state)))

        try:
            shape = jax.eval_shape(ask, self.market.start(jax.random.key(0))).shape
        except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
            raise ValueError(
                f"others: {name}: expected a schedule, or a function of a step and a state that JAX can trace, got "
                f"{policy!r}: {error}"
            ) from error
        if shape != (size,):
            raise ValueError(f"others: {name}: expected controls of shape ({size},), got {shape}")
        return policy  # type: ignore[no-any-return]


__all__ = ["GymnaxMarket", "JaxPolicy"]

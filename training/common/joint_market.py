"""A batch of markets in which all learners act at once, whatever library they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from gymnasium.spaces import Box

from ...envs import Policy, State
from ...envs.arrays import Array
from ...envs.grid import Position
from ...envs.market import Market, Setting
from ...envs.observation import Kind
from ...envs.packing import agent_columns, check_goes_on, check_steps, join_controls, split_controls
from .actor import Actor
from .memory import Remembering, empty, pushed

Act = Callable[[np.ndarray], np.ndarray]
"""An agent's actions (B, 1) or (B, 2), in the market's units, from its observations (B, d)."""
Acting: TypeAlias = Act | Remembering
"""The same, or what remembers earlier observations; see :mod:`.memory`."""


@dataclass(frozen=True)
class LearnedPolicy:
    """A learner's actions as a policy in physical units.

    Args:
        act: the actions, without exploration.
        market: gives observations their units and actions their range.
        agent: its name.
        information: that the actions really depend on; None: all that is observed.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import acas_v0
        >>> from makertaker.training import LearnedPolicy
        >>> setting = acas_v0.parallel_env(observation="time").market
        >>> still = LearnedPolicy(lambda seen: np.zeros((len(seen), 2)), setting, "maker_0")  # quotes in the middle
        >>> still.agent
        'maker_0'
    """

    act: Act
    market: Setting
    agent: str
    information: Kind | None = None

    @property
    def sees(self) -> Kind:
        """What its actions depend on, which decides how exploitability is found."""
        return self.information or self.market.options.kind

    def __call__(self, k: int, state: State) -> Array:
        """Controls (..., 1) or (..., 2) of the agent."""
        seen = _seen(self.market, self.agent, state)
        flat = seen.reshape(-1, seen.shape[-1])
        physical = self.market.scale.physical_action(self.agent, np.asarray(self.act(flat), dtype=float))
        return physical.reshape(*seen.shape[:-1], -1)

    @property
    def traced(self) -> Callable[[Array, State], Array] | None:
        """The same on arrays that JAX traces, to be differentiated; None where the actions are not an actor's of
        :mod:`.actor`."""
        actor, market = getattr(self.act, "__self__", None), self.market
        if not isinstance(actor, Actor):
            return None

        def controls(k: Array, state: State) -> Array:
            position = Position(state.inventories, state.factor, state.price)
            vector = market.vector(k, position, state.quotes, state.volumes, market.observer.context)
            seen = vector[..., market.observer.columns[market.game.positions[self.agent]]]
            return market.scale.physical_action(self.agent, actor.smooth(seen))

        return controls

    def showing(self, context: np.ndarray) -> LearnedPolicy:
        """The policy in a random market of which this, (..., D), was drawn."""
        return replace(self, market=self.market.showing(context))


class RememberingPolicy:
    """The same of a learner that remembers: it is asked once in every step, from the first on.

    What it remembers is of one market, or one batch of markets of any shape, and is forgotten at step 0.

    Args:
        acting: the actions, without exploration.
        market: gives observations their units and actions their range; the grid is its own.
        agent: its name.
        information: that the actions really depend on; None: all that is observed.
    """

    remembers = True

    def __init__(self, acting: Remembering, market: Setting, agent: str, information: Kind | None = None) -> None:
        self.steps, self.sees, self._information = market.steps, information or market.options.kind, information
        self._acting, self._market, self._agent = acting, market, agent
        self._next, self._memory = 0, np.zeros(0)

    def __call__(self, k: int, state: State) -> Array:
        """Controls (..., 1) or (..., 2) of the agent.

        Raises:
            ValueError: a step was left out or asked for again, or another batch of markets asks in the middle of an
                episode.
        """
        seen = _seen(self._market, self._agent, state)
        batch = seen.shape[:-1]
        if k == 0:
            self._memory = self._acting.start(*batch)
        else:
            check_goes_on(self._agent, (k, batch), (self._next, self._memory.shape[:-1]))
        actions, self._memory = self._acting.step(seen, self._memory)
        self._next = k + 1
        return self._market.scale.physical_action(self._agent, np.asarray(actions, dtype=float))

    def showing(self, context: np.ndarray) -> RememberingPolicy:
        """The policy in a random market of which this, (..., D), was drawn; it remembers nothing yet."""
        return RememberingPolicy(self._acting, self._market.showing(context), self._agent, self._information)


def _seen(market: Setting, agent: str, state: State) -> np.ndarray:
    """(..., d) an agent's observation. Raises ValueError where it would show what was drawn, and nobody said that."""
    if np.isnan(market.observer.context).any():
        raise ValueError(
            f"{agent}: its policy looks at what was drawn of random markets: expected an environment of them with "
            "context=True, or showing(context) to be called first"
        )
    index = market.game.positions[agent]
    return market.observer.one(index, state._replace(inventories=np.asarray(state.inventories)))


def policy_of(acting: Acting, market: Setting, agent: str, information: Kind | None = None) -> Policy:
    """A learner's policy in physical units; a fresh one, where it remembers."""
    if isinstance(acting, Remembering):
        return RememberingPolicy(acting, market, agent, information)
    return LearnedPolicy(acting, market, agent, information)


def everyone(
    market: Setting, acts: Mapping[str, Acting], fixed: Mapping[str, Policy], information: Kind | None = None
) -> dict[str, Policy]:
    """Every agent's policy, from the actions of those who learned and the policies of the others.

    Args:
        market: gives observations their units and actions their range.
        acts: of those who learned.
        fixed: policies of the others.
        information: of the actors; None: all that the market shows.
    """
    return {
        agent: policy_of(acts[agent], market, agent, information) if agent in acts else fixed[agent]
        for agent in market.game.agents
    }


def stacked_space(space: Box, history: int) -> Box:
    """Bounds of the last observations side by side; zeros stand for those that there are not."""
    if history == 1:
        return space
    low, high = (np.tile(each, history) for each in (np.minimum(space.low, 0.0), np.maximum(space.high, 0.0)))
    return Box(low, high)


class JointMarket:
    """Steps a batch of markets with the actions of all learners; the other agents follow policies.

    Args:
        market: a batch of markets.
        learners: names of the agents that learn.
        fixed: policies of the others.
        seed: of random initial inventories, of price noise and of factors.
        inventory_spread: standard deviation of noise on initial inventories, in place of the market's option.
        history: number of observations that learners are shown, the newest last; see :mod:`.memory`.

    Raises:
        ValueError: an agent neither learns nor has a policy, or does both.
    """

    def __init__(
        self,
        market: Market,
        learners: Sequence[str],
        fixed: Mapping[str, Policy],
        *,
        seed: int | Sequence[int],
        inventory_spread: float | None = None,
        history: int = 1,
    ) -> None:
        if sorted([*learners, *fixed]) != sorted(market.game.agents):
            raise ValueError(
                f"expected every agent of {list(market.game.agents)} either to learn or to follow a policy; "
                f"learners: {list(learners)}, policies: {sorted(fixed)}"
            )
        check_steps(fixed, market.steps)
        if not learners:
            raise ValueError("expected at least one learner, got none")
        self.market, self.learners, self.fixed = market, list(learners), dict(fixed)
        self._history = history
        self.observation_space = stacked_space(market.observation_space, history)
        self.rng = np.random.default_rng(seed)
        self._spread = inventory_spread
        self._columns = {agent: agent_columns(market.game, agent) for agent in market.game.agents}
        self._seen: np.ndarray | None = None
        self._earlier = np.zeros(0)
        self.reset()

    def reset(self, inventories: np.ndarray | None = None, uniform: np.ndarray | None = None) -> None:
        """Start an episode; from given inventories (B, n), and with what was drawn (B, D), if there are any."""
        market = self.market
        market.reset(self.rng, inventories, self._spread, uniform)
        self._seen = None
        (width,) = market.observation_space.shape
        self._earlier = empty((market.batch[0], len(market.game.agents)), self._history, width)

    def observations(self) -> np.ndarray:
        """Every agent's observations (B, n, d), the last ones side by side where there is a history."""
        if self._seen is None:
            self._seen = self.market.observations()
            if self._history > 1:
                self._seen, self._earlier = pushed(self._earlier, self._seen)
        return self._seen

    def play(self, actions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Play one step; returns rewards (B, n), in the market's units.

        Args:
            actions: of the learners, (B, 1) or (B, 2), in the market's units; outside of their range is truncated.

        Raises:
            FloatingPointError: actions are NaN.
        """
        market = self.market
        if self._history > 1:
            self.observations()  # they are remembered, looked at or not
        joint = np.zeros((market.batch[0], market.game.traders + 2 * market.game.makers), order="F")
        for agent in self.learners:
            joint[:, self._columns[agent]] = actions[agent]
        if np.isnan(joint).any():
            agent = next(name for name in self.learners if np.isnan(joint[:, self._columns[name]]).any())
            raise FloatingPointError(
                f"{agent}'s algorithm returned NaN actions: its learning has diverged; a lower learning_rate may help"
            )
        controls = market.controls(joint)
        if self.fixed:
            flat, state = join_controls(market.game, controls), market.state
            for agent, policy in self.fixed.items():
                flat[:, self._columns[agent]] = policy(market.k, state)
            controls = market.game.clip(split_controls(market.game, flat))
        self._seen = None
        return np.asarray(market.advance(controls, market.draw(self.rng)))

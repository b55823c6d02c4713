"""One shared batch of markets, many learners: every algorithm runs its own ``learn()`` in a greenlet.

A learner's environment hands its actions to the hub and yields. When all learners have acted, the hub steps the joint
markets once and resumes them in fixed order. There is one thread and no lock, and the result depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import greenlet
import numpy as np
from gymnasium.spaces import Box

from ..envs.grid import Policy, agent_index, check_steps, join_controls, split_controls
from ..envs.market import Market
from ..envs.observation import space
from .vec_env import BatchVecEnv, Transition, step_infos


class LearnerVecEnv(BatchVecEnv):
    """What one learner sees of the hub.

    Its actions are counted from the middle of the action range in units of :func:`action_unit`, so that one exploration
    and one learning rate suit makers with thin and with thick margins.
    """

    def __init__(self, hub: Hub, agent: str) -> None:
        self.hub, self.agent = hub, agent
        self.index = agent_index(hub.market.game, agent)
        self.unit = action_unit(hub.market, agent)
        limit = (1 / self.unit).astype(np.float32)
        super().__init__(hub.market.batch[0], hub.observation_space, Box(-limit, limit))

    def reset(self) -> np.ndarray:
        """The market's current observations; the hub decides when episodes start."""
        return self.hub.observations()[:, self.index]

    def step_wait(self) -> Transition:
        """Hand the actions to the hub, and come back with what they led to."""
        return self.hub.exchange(self._actions * self.unit)


def action_unit(market: Market, agent: str) -> np.ndarray:
    """The game's control unit of an agent, as a fraction of the half-width of its action range; (1,) or (2,)."""
    low, high = market.scale.bounds(agent)
    return np.asarray(market.game.control_unit(agent) / ((high - low) / 2))


class Hub:
    """Steps the joint markets when all learners have acted.

    Args:
        market: a batch of markets.
        learners: names of the agents that learn, in the order in which they are resumed.
        fixed: policies of the others.
        seed: of random initial inventories and price noise.
        inventory_spread: standard deviation of noise on initial inventories.
        reward_scale: by learner; rewards are multiplied by it before the learner sees them.
        on_episode: called at the end of every episode of the batch with the number of joint market steps so far.

    Raises:
        ValueError: an agent neither learns nor has a policy, or does both.
    """

    def __init__(
        self,
        market: Market,
        learners: Sequence[str],
        fixed: Mapping[str, Policy],
        *,
        seed: int,
        inventory_spread: float = 0.0,
        reward_scale: Mapping[str, float] | None = None,
        on_episode: Callable[[int], None] | None = None,
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
        self.observation_space = space(market.game, "full")
        self.rng = np.random.default_rng(seed)
        self.steps_done = 0
        self.on_episode = on_episode
        scale = np.ones(len(market.game.agents))
        for agent, value in (reward_scale or {}).items():
            scale[agent_index(market.game, agent)] = value
        self._scale = scale
        self._spread = inventory_spread
        self._columns = {agent: _columns(market, agent) for agent in market.game.agents}
        self._returns = np.zeros((market.batch[0], len(scale)))
        self._parent: Any = None
        self._seen: np.ndarray | None = None
        market.reset(self.rng, spread=inventory_spread)

    def observations(self) -> np.ndarray:
        """Every agent's full observations (B, n, d)."""
        if self._seen is None:
            self._seen = self.market.observations()
        return self._seen

    def restore(self, inventories: np.ndarray) -> None:
        """Start an episode from given inventories (B, n), those of a checkpoint."""
        self.market.reset(self.rng, inventories)
        self._returns = np.zeros_like(self._returns)
        self._seen = None

    def exchange(self, actions: np.ndarray) -> Transition:
        """Called in a learner's greenlet: pass actions up, wait for the transition."""
        transition: Transition = self._parent.switch(actions)
        return transition

    def run(
        self, tasks: Mapping[str, Callable[[], object]], act: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    ) -> None:
        """Run every learner's task until all have ended.

        Args:
            tasks: what runs in each learner's greenlet.
            act: actions in [-1, 1] of a learner that has ended before the others, from its observations.

        An exception in one task, or an interrupt, ends all of them and is raised here.
        """
        self._parent = greenlet.getcurrent()
        running = {agent: greenlet.greenlet(tasks[agent]) for agent in self.learners if agent in tasks}
        try:
            actions = {agent: task.switch() for agent, task in running.items()}
            while any(not task.dead for task in running.values()):
                for agent in self.learners:
                    if agent not in running or running[agent].dead:
                        actions[agent] = act[agent](self.observations()[:, agent_index(self.market.game, agent)])
                transitions = self.advance(actions)
                for agent, task in running.items():
                    if not task.dead:
                        actions[agent] = task.switch(transitions[agent])
        finally:
            for task in running.values():
                if not task.dead:
                    task.throw()

    def advance(self, actions: Mapping[str, np.ndarray]) -> dict[str, Transition]:
        market = self.market
        count = market.batch[0]
        normal = np.zeros((count, sum(len(columns) for columns in self._columns.values())), order="F")
        for agent in self.learners:
            normal[:, self._columns[agent]] = actions[agent]
        if np.isnan(normal).any():
            agent = next(name for name in self.learners if np.isnan(normal[:, self._columns[name]]).any())
            raise FloatingPointError(f"{agent}'s algorithm returned NaN actions: its learning has diverged")
        controls = market.controls(normal)
        if self.fixed:
            controls = self._with_fixed(controls)
        rewards = market.advance(controls, market.draw(self.rng)) * self._scale
        self._returns += rewards
        self.steps_done += count
        self._seen = None
        done = market.done
        final = self.observations() if done else None
        returns = self._returns
        if done:
            self._returns = np.zeros_like(returns)
            market.reset(self.rng, spread=self._spread)
            self._seen = None
        observations = self.observations()
        result = {}
        for agent in self.learners:
            i = agent_index(market.game, agent)
            infos = step_infos(count, None if final is None else final[:, i], returns[:, i], market.steps)
            result[agent] = observations[:, i], rewards[:, i].astype(np.float32), np.full(count, done), infos
        if done and self.on_episode is not None:
            self.on_episode(self.steps_done)
        return result

    def _with_fixed(self, controls: Any) -> Any:
        market, state = self.market, self.market.state
        flat = join_controls(market.game, controls)
        for agent, policy in self.fixed.items():
            flat[:, self._columns[agent]] = policy(market.k, state)
        return market.game.clip(split_controls(market.game, flat))


def _columns(market: Market, agent: str) -> list[int]:
    """Where an agent's actions stand among everyone's, side by side."""
    index, traders = agent_index(market.game, agent), market.game.traders
    return [index] if index < traders else [2 * index - traders, 2 * index - traders + 1]

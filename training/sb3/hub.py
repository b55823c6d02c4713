"""One shared batch of markets, many learners: every algorithm runs its own ``learn()`` in a greenlet.

A learner's environment hands its actions to the hub and yields. When all learners have acted, the hub steps the joint
markets once and resumes them in fixed order. There is one thread and no lock, and the result depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import greenlet
import numpy as np

from ...envs.grid import agent_index
from ..common.joint_market import JointMarket
from .vec_env import BatchVecEnv, Transition, step_infos


class LearnerVecEnv(BatchVecEnv):
    """One learner's view of the hub."""

    def __init__(self, hub: Hub, agent: str) -> None:
        self.hub, self.agent = hub, agent
        self.index = agent_index(hub.market.game, agent)
        self.unit = hub.market.scale.unit(agent)
        super().__init__(hub.market.batch[0], hub.observation_space, hub.market.action_space(agent))

    def reset(self) -> np.ndarray:
        """The market's current observations; the hub decides when episodes start."""
        return self.hub.observations()[:, self.index]

    def step_wait(self) -> Transition:
        """Hand the actions to the hub, and come back with the transition."""
        return self.hub.exchange(self._actions)


class Hub(JointMarket):
    """Steps the joint markets when all learners have acted, and resumes learners in the order of their names."""

    steps_done = 0
    on_episode: Callable[[int], None] | None = None
    """called at the end of every episode of the batch with the number of joint market steps so far"""
    _parent: greenlet.greenlet

    def reset(self, inventories: np.ndarray | None = None, uniform: np.ndarray | None = None) -> None:
        """Start an episode; as :meth:`.JointMarket.reset`, such as that of a checkpoint."""
        super().reset(inventories, uniform)
        self._returns = np.zeros((self.market.batch[0], len(self.market.game.agents)))

    def exchange(self, actions: np.ndarray) -> Transition:
        """Called in a learner's greenlet: pass actions up, wait for the transition."""
        transition: Transition = self._parent.switch(actions)
        return transition

    def run(
        self, tasks: Mapping[str, Callable[[], object]], act: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    ) -> None:
        """Run every learner's task until all have ended.

        Args:
            tasks: by learner, each for a greenlet of its own.
            act: actions of a learner that has ended before the others, from its observations.

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
        """Play one step of all learners' actions; every learner's transition. Episodes follow each other."""
        market, count = self.market, self.market.batch[0]
        rewards = self.play(actions)
        self._returns += rewards
        self.steps_done += count
        done, returns = market.done, self._returns
        final = self.observations() if done else None
        if done:
            self.reset()
        observations = self.observations()
        result = {}
        for agent in self.learners:
            i = agent_index(market.game, agent)
            infos = step_infos(count, None if final is None else final[:, i], returns[:, i], market.steps)
            result[agent] = observations[:, i], rewards[:, i].astype(np.float32), np.full(count, done), infos
        if done and self.on_episode is not None:
            self.on_episode(self.steps_done)
        return result

"""One agent learns, the others follow policies: the game as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np

from .arrays import floating
from .game import Game
from .grid import Policy
from .market import Given
from .packing import agent_index, check_steps
from .parallel_env import GameParallelEnv, Info


def check_others(agents: tuple[str, ...], agent: str, others: Mapping[str, Policy], steps: int) -> dict[str, Policy]:
    """Policies of all agents but one. Raises ValueError where one is missing, unknown or made for another grid."""
    expected = set(agents) - {agent}
    if not expected <= set(others) or not set(others) <= set(agents):
        raise ValueError(f"others: expected policies of {sorted(expected)}, got {sorted(others)}")
    chosen = {name: others[name] for name in expected}
    check_steps(chosen, steps)
    return chosen


class SingleAgentEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A Gymnasium view of a game for one learner.

    Args:
        parallel: the parallel environment to look at.
        agent: name of the learner.
        others: policy of every other agent; a policy sees the market's state and returns physical controls.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
    """

    def __init__(self, parallel: GameParallelEnv, agent: str, others: Mapping[str, Policy]) -> None:
        agent_index(parallel.game, agent)
        self.parallel = parallel
        self.agent = agent
        self.others = check_others(parallel.game.agents, agent, others, parallel.market.steps)
        self.metadata = parallel.metadata
        self.render_mode = parallel.render_mode
        self.observation_space = parallel.observation_space(agent)
        self.action_space = parallel.action_space(agent)

    @property
    def game(self) -> Game:
        """The game."""
        return self.parallel.game

    def reset(self, *, seed: int | None = None, options: Given = None) -> tuple[np.ndarray, Info]:
        """Start an episode; see :meth:`GameParallelEnv.reset`."""
        super().reset(seed=seed)
        observations, infos = self.parallel.reset(seed, options)
        return observations[self.agent], infos[self.agent]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Play one step. Raises ValueError for a wrong shape or NaN."""
        controls = self.parallel.market.controls_with(self.agent, floating(action), self.others)
        observations, rewards, terminations, truncations, infos = self.parallel.play(controls)
        agent = self.agent
        return observations[agent], rewards[agent], terminations[agent], truncations[agent], infos[agent]

    def render(self) -> np.ndarray | None:
        """See :meth:`GameParallelEnv.render`."""
        return self.parallel.render()

    def close(self) -> None:
        """Release the window, if there is one."""
        self.parallel.close()

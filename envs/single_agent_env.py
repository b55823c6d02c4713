"""One agent learns, the others follow policies: the game as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from .game import Game
from .grid import Policy
from .market import Given, Market
from .packing import agent_index, check_steps
from .parallel_env import GameParallelEnv, Info
from .specification import PlainSpec

Opponents: TypeAlias = Mapping[str, Policy] | Callable[[Market], Mapping[str, Policy]]
"""policies of the others; or, where markets are random, a function that makes them for what an episode has drawn"""


def check_others(agents: tuple[str, ...], agent: str, others: Mapping[str, Policy], steps: int) -> dict[str, Policy]:
    """Policies of all agents but one. Raises ValueError where one is missing, unknown or made for another grid."""
    expected = set(agents) - {agent}
    if not expected <= set(others) or not set(others) <= set(agents):
        raise ValueError(f"others: expected policies of {sorted(expected)}, got {sorted(others)}")
    chosen = {name: others[name] for name in expected}
    check_steps(chosen, steps)
    return chosen


class SingleAgentEnv(PlainSpec, gymnasium.Env[np.ndarray, np.ndarray]):
    """A Gymnasium view of a game for one learner.

    Args:
        parallel: the parallel environment to look at.
        agent: name of the learner.
        others: policy of every other agent; a policy sees the market's state and returns physical controls. In random
            markets also a function of the market that makes them for every episode.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
    """

    def __init__(self, parallel: GameParallelEnv, agent: str, others: Opponents) -> None:
        agent_index(parallel.game, agent)
        self.parallel = parallel
        self.agent = agent
        self.opponents = others
        self.others: dict[str, Policy] = {}
        if isinstance(others, Mapping):
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
        if not isinstance(self.opponents, Mapping):
            market = self.parallel.market
            self.others = check_others(self.game.agents, self.agent, self.opponents(market), market.steps)
        return observations[self.agent], infos[self.agent]

    def step(self, action: ArrayLike) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Play one step.

        Args:
            action: (1,) of a trader, (2,) of a maker: numbers, or an array of any library; axes of length 1 do not
                matter.

        Raises:
            ValueError: a wrong shape, or NaN.
        """
        controls = self.parallel.market.controls_with(self.agent, action, self.others)
        observations, rewards, terminations, truncations, infos = self.parallel.play(controls)
        agent = self.agent
        return observations[agent], rewards[agent], terminations[agent], truncations[agent], infos[agent]

    def set_ghost(self, played: object, label: str = "equilibrium") -> None:
        """See :meth:`GameParallelEnv.set_ghost`."""
        self.parallel.set_ghost(played, label)

    def render(self) -> np.ndarray | None:
        """See :meth:`GameParallelEnv.render`."""
        return self.parallel.render()

    def close(self) -> None:
        """Release the window, if there is one."""
        self.parallel.close()

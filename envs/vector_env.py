"""Many markets at once, stepped by array operations, with one learner: a ``gymnasium.vector.VectorEnv``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from .arrays import floating
from .described import Described, describe
from .grid import Policy
from .market import Given, Market
from .options import Options
from .packing import agent_index
from .parameters import check_count
from .single_agent_env import check_others

Info: TypeAlias = dict[str, Any]
"""as Gymnasium's vector environments have it: arrays over the markets, and dictionaries of them"""


class MarketVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch of markets with a common clock. All end together and are reset in the same step (``SAME_STEP``).

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        num_envs: number of markets.
        agent: name of the learner.
        others: policy of every other agent.
        options: of the environment.
        scenario: in place of a game.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        game: Described | None = None,
        num_envs: int = 1,
        agent: str = "trader_0",
        others: Mapping[str, Policy] | None = None,
        options: Options | None = None,
        *,
        scenario: Described | None = None,
        **arguments: Any,
    ) -> None:
        found = describe(game, scenario, options, arguments)
        check_count("num_envs", num_envs)
        self.index = agent_index(found.game, agent)
        self.game, self.agent, self.num_envs = found.game, agent, int(num_envs)
        self.market = Market(found.game, found.options, batch=(self.num_envs,))
        self.others = check_others(self.game.agents, agent, others or {}, self.market.steps)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = self.market.observation_space
        self.single_action_space = self.market.action_space(agent)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Given = None) -> tuple[np.ndarray, Info]:
        """Start an episode in every market.

        Args:
            seed: of the random initial inventories and of the price noise.
            options: ``{"inventory": array}`` of shape (n,) or (num_envs, n) starts from these inventories.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.market.reset(self._rng, (options or {}).get("inventory"))
        return self._observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Play one step in every market. Raises ValueError for a wrong shape or NaN."""
        market = self.market
        controls = market.controls_with(self.agent, floating(actions), self.others)
        rewards = market.advance(controls, market.draw(self._rng))[:, self.index]
        done = np.full(self.num_envs, market.done)
        infos: Info = {}
        if market.shock is not None:
            infos["inventory_noise"] = market.shock.copy()
        if market.done:
            infos |= {"final_obs": self._observe(), "final_info": self._final_info()}
            infos |= {"_final_obs": done.copy(), "_final_info": done.copy()}
            market.reset(self._rng)
        return self._observe(), rewards, done, np.zeros(self.num_envs, dtype=bool), infos

    def _observe(self) -> np.ndarray:
        return np.ascontiguousarray(self.market.observation(self.index))

    def _final_info(self) -> Info:
        market = self.market
        values = {"cash": market.cash, "pnl": market.pnl, "inventory": market.inventories}
        return {name: each[:, self.index].copy() for name, each in values.items()}

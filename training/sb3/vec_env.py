"""Batches of markets as stable-baselines3 vectorised environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ...baselines.gymnasium_envs import opponents
from ...envs import MarketVectorEnv, Options
from ...envs.described import Described, describe
from ...envs.packing import learner
from ...envs.single_agent_env import Opponents

Transition = tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, object]]]


class BatchVecEnv(VecEnv):
    """A VecEnv whose markets are rows of arrays, not objects: they have no attributes or methods of their own."""

    render_mode: str | None = None
    _actions: np.ndarray

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[object]:
        """One value for each market, the same for all."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        """Not supported."""
        raise AttributeError(f"markets of a batch share their attributes: cannot set {attr_name!r}")

    def env_method(
        self, method_name: str, *arguments: object, indices: VecEnvIndices = None, **keywords: object
    ) -> list[object]:
        """Not supported."""
        raise AttributeError(f"markets of a batch are not objects: cannot call {method_name!r}")

    def env_is_wrapped(self, wrapper_class: type[object], indices: VecEnvIndices = None) -> list[bool]:
        """No market is wrapped; episodes report their returns as a Monitor would."""
        return [False for _ in self._get_indices(indices)]


def step_infos(markets: int, final: np.ndarray | None, returns: np.ndarray, steps: int) -> list[dict[str, object]]:
    """The ``infos`` that stable-baselines3 expects; at the end with the last observations (B, d) and the returns."""
    if final is None:
        return [{} for _ in range(markets)]
    return [
        {"terminal_observation": last, "TimeLimit.truncated": False, "episode": {"r": total, "l": steps, "t": 0.0}}
        for last, total in zip(final, returns.tolist(), strict=True)
    ]


class MarketVecEnv(BatchVecEnv):
    """One learner in a batch of markets, the others following policies, for any stable-baselines3 algorithm.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        num_envs: number of markets.
        agent: name of the learner; None: the first of the game's agents.
        others: policy of every other agent; None: the equilibrium, open loop.
        options: of the environment.
        scenario: in place of a game.
        arguments: fields of :class:`~makertaker.envs.Options`, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> from stable_baselines3 import PPO
        >>> from makertaker.training import MarketVecEnv
        >>> markets = MarketVecEnv("acas", 8, "trader_0")  # the makers play the equilibrium
        >>> model = PPO("MlpPolicy", markets, n_steps=20, batch_size=160, device="cpu").learn(160)
        >>> model.num_timesteps
        160
    """

    def __init__(
        self,
        game: Described | None = None,
        num_envs: int = 1,
        agent: str | None = None,
        others: Opponents | None = None,
        options: Options | None = None,
        *,
        scenario: Described | None = None,
        **arguments: Any,
    ) -> None:
        found = describe(game, scenario, options, arguments)
        agent = learner(found.game, agent)
        if others is None:
            others = opponents(found)
        same = AutoresetMode.SAME_STEP
        played = found.game if found.random is None else found.random
        self.vector = MarketVectorEnv(played, num_envs, agent, others, found.options, autoreset_mode=same)
        super().__init__(num_envs, self.vector.single_observation_space, self.vector.single_action_space)
        self._returns = np.zeros(num_envs)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the markets' generator at the next reset; they share one."""
        self._seeds = [seed] * self.num_envs
        return self._seeds

    def reset(self) -> np.ndarray:
        """Start an episode in every market."""
        self._returns[:] = 0.0
        try:
            observations, _ = self.vector.reset(seed=self._seeds[0], options=self._given())
        finally:  # they are for one reset, refused or not
            self._reset_seeds()
            self._reset_options()
        return observations

    def _given(self) -> dict[str, np.ndarray]:
        """The options of ``set_options``, as one for all markets. Raises ValueError where only some have them."""
        found: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(name for each in self._options for name in each):
            if not all(name in each for each in self._options):
                raise ValueError(f"options: markets start together, expected {name!r} for all or none of them")
            found[name] = np.stack([np.asarray(each[name]) for each in self._options])
        return found

    def step_wait(self) -> Transition:
        """Play one step in every market."""
        observations, rewards, done, _, infos = self.vector.step(self._actions)
        self._returns += rewards
        listed = step_infos(self.num_envs, infos.get("final_obs"), self._returns, self.vector.market.steps)
        if done[0]:
            self._returns[:] = 0.0
        return observations, rewards.astype(np.float32), done, listed

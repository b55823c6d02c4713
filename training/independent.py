"""Independent learning: every agent has its own stable-baselines3 algorithm, and all learn at once in joint markets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from ..envs.game import Game
from ..envs.grid import Policy, State
from ..envs.market import Market, Range
from ..envs.vector_env import check_count
from . import algorithms
from .hub import Hub, LearnerVecEnv, action_unit
from .information import Information, visible


@dataclass(frozen=True)
class LearnedPolicy:
    """What a learner would do without exploration, as a policy in physical units."""

    model: BaseAlgorithm
    market: Market
    agent: str

    def __call__(self, k: int, state: State) -> np.ndarray:
        """Controls (..., 1) or (..., 2) of the agent."""
        market = self.market
        index = market.game.positions[self.agent]
        state = state._replace(inventories=np.asarray(state.inventories), quotes=None if k == 0 else state.quotes)
        seen = market.observer.one(index, state)
        flat = seen.reshape(-1, seen.shape[-1])
        action, _ = self.model.predict(flat, deterministic=True)
        normal = np.asarray(action, dtype=float) * action_unit(market, self.agent)
        physical = market.scale.physical_action(self.agent, normal)
        return physical.reshape(*seen.shape[:-1], -1)


class IndependentLearners:
    """A learner for every agent that does not follow a fixed policy.

    Args:
        game: the game.
        steps: number of steps of an episode.
        algorithm: name of an algorithm for all learners, or one for each; see :data:`.algorithms.ALGORITHMS`.
        information: what actors see; critics see everything.
        markets: number of markets played at once; by default what the algorithms ask for, the smallest if they differ.
        seed: the result is a function of it and of the other arguments.
        fixed: policies of the agents that do not learn.
        rate_range: overrides the game's range of rates.
        quote_range: overrides the game's range of quotes.
        inventory_spread: standard deviation of noise on initial inventories, in shares.
        tensorboard: folder for the learners' TensorBoard logs.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        game: Game,
        *,
        steps: int = 20,
        algorithm: str | Mapping[str, str] = "ppo",
        information: Information = "open_loop",
        markets: int | None = None,
        seed: int = 0,
        fixed: Mapping[str, Policy] | None = None,
        rate_range: Range = None,
        quote_range: Range = None,
        inventory_spread: float = 0.0,
        tensorboard: Path | None = None,
    ) -> None:
        fixed = dict(fixed or {})
        learners = [agent for agent in game.agents if agent not in fixed]
        names = dict.fromkeys(learners, algorithm) if isinstance(algorithm, str) else dict(algorithm)
        if sorted(names) != sorted(learners):
            raise ValueError(f"algorithm: expected one for each of {learners}, got {sorted(names)}")
        self.algorithms = {agent: algorithms.find(names[agent]) for agent in learners}
        if markets is None:
            markets = min((each.markets for each in self.algorithms.values()), default=1)
        check_count("markets", markets)
        seen = visible(game, information)
        torch.set_num_threads(1)
        self.game, self.information, self.seed = game, information, seed
        self.market = Market(game, steps, batch=(markets,), rate_range=rate_range, quote_range=quote_range)
        self.hub = Hub(
            self.market,
            learners,
            fixed,
            seed=seed,
            inventory_spread=inventory_spread,
            reward_scale={agent: 1.0 / game.payoff_unit(agent) for agent in learners},
        )
        self.progress = algorithms.Progress()
        seeds = np.random.SeedSequence(seed).generate_state(len(learners))
        self.models = {
            agent: algorithms.build(
                self.algorithms[agent],
                LearnerVecEnv(self.hub, agent),
                self.market,
                agent,
                seen,
                int(seeds[i] % 2**31),
                self.progress,
                None if tensorboard is None else str(tensorboard),
            )
            for i, agent in enumerate(learners)
        }

    def policies(self) -> dict[str, Policy]:
        """Everyone's policy: learners without exploration, and the fixed ones."""
        policies: dict[str, Policy] = dict(self.hub.fixed)
        for agent, model in self.models.items():
            policies[agent] = LearnedPolicy(model, self.market, agent)
        return {agent: policies[agent] for agent in self.game.agents}

    @property
    def episode(self) -> int:
        """Joint market steps of one episode of the batch."""
        return self.market.steps * self.market.batch[0]

    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """Learn for ``timesteps`` joint market steps in all, rounded up to whole episodes of the batch.

        Args:
            timesteps: length of the whole training, to which schedules refer.
            until: stop after as many instead; a later call goes on.
            on_episode: called after every episode of the batch with the number of joint market steps so far.

        Raises:
            ValueError: ``timesteps`` is not a positive whole number.
            FloatingPointError: a learner's actions became NaN.
        """
        check_count("timesteps", timesteps)
        stop = timesteps if until is None else until
        total, target = (-(-each // self.episode) * self.episode for each in (timesteps, stop))

        def follow(done: int) -> None:
            self.progress.fraction = done / total
            if on_episode is not None:
                on_episode(done)

        self.hub.on_episode = follow
        tasks = {
            agent: partial(self._learn, agent, target)
            for agent, model in self.models.items()
            if model.num_timesteps < target
        }
        self.hub.run(tasks, {agent: partial(self._act, agent) for agent in self.models})

    def _learn(self, agent: str, target: int) -> None:
        model = self.models[agent]
        explore = algorithms.ShrinkExploration(self.algorithms[agent], action_unit(self.market, agent), self.progress)
        model.learn(
            target - model.num_timesteps,
            callback=explore,
            log_interval=10 if self.algorithms[agent].kind == "on_policy" else 10 * self.market.batch[0],
            tb_log_name=agent,
            reset_num_timesteps=model.num_timesteps == 0,
        )

    def _act(self, agent: str, seen: np.ndarray) -> np.ndarray:
        action, _ = self.models[agent].predict(seen, deterministic=False)
        return np.asarray(action * action_unit(self.market, agent))

"""A batched environment runner: RLlib samples from many markets with one call for each step.

RLlib's own multi-agent runner steps one market after the other in Python. This one steps a whole batch in one array,
asks every agent's network once a step for all markets, and hands over ordinary multi-agent episodes at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypedDict

import numpy as np
import ray
import torch
from gymnasium.spaces import Box
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils import metrics as names
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.typing import ResultDict, StateDict

from ...envs import Game, Options, Policy
from ...envs.grid import agent_index
from ...envs.market import Market
from ...envs.random_markets import RandomMarkets
from ..common.joint_market import JointMarket

Names = str | Collection[str] | None
"""of a runner's components"""


class MarketSettings(TypedDict):
    """The algorithm's ``env_config``."""

    game: Game
    options: Options
    random: RandomMarkets | None
    """that are drawn, which depart from the game"""
    markets: int
    """of all runners together"""
    learners: list[str]
    """names of the agents that learn, which are also those of their modules"""
    fixed: Mapping[str, Policy]
    """policies of the others"""
    seed: int


class RunnerGenerators(TypedDict):
    """States of the generators of noise and, PyTorch's own, of exploration."""

    market: Mapping[str, object]
    actions: torch.Tensor


class MarketRunner(EnvRunner, Checkpointable):  # type: ignore[misc]  # RLlib is untyped
    """Plays whole episodes of a batch of markets; its algorithm's ``env_config`` is :class:`MarketSettings`.

    Examples:
        >>> from makertaker.training.rllib import MarketRunner, ppo_config
        >>> runner = MarketRunner(config=ppo_config("acas", markets=4))
        >>> len(runner.sample())  # whole episodes, one of each market
        4
    """

    def __init__(self, *, config: AlgorithmConfig, **keywords: object) -> None:
        super().__init__(config=config, **keywords)
        torch.set_num_threads(1)
        self.settings: MarketSettings = self.config.env_config
        self.make_env()
        self.make_module()
        self._weights_seq_no = 0

    def make_env(self) -> None:
        """This runner's share of the markets, with a generator of its own."""
        given = self.settings
        index = max((self.worker_index or 0) - 1, 0)  # from 0
        markets = share(given["markets"], index, self.num_workers)
        market = Market(given["game"], given["options"], given["random"], batch=(markets,))
        self.env = JointMarket(market, given["learners"], given["fixed"], seed=[given["seed"], index])

    def make_module(self) -> None:
        """The networks of all agents that learn."""
        self.module = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=True).build()

    def get_spaces(self) -> dict[str, tuple[Box, Box]]:
        """Observation and action space of each module."""
        return module_spaces(self.settings)

    def assert_healthy(self) -> None:
        """RLlib's check: a runner that was constructed has all that it needs."""

    def stop(self) -> None:
        """Nothing to release."""

    @torch.no_grad()
    def sample(self, *, explore: bool | None = None, **_: object) -> list[MultiAgentEpisode]:
        """One episode of every market; actions are drawn from the networks, or their means without exploration."""
        explore = self.config.explore if explore is None else explore
        joint, agents = self.env, self.settings["learners"]
        joint.reset()
        columns: dict[str, dict[str, list[np.ndarray]]] = {agent: {} for agent in agents}
        rewards = []
        for _step in range(joint.market.steps):
            seen, actions = joint.observations(), {}
            for agent in agents:
                own = seen[:, agent_index(joint.market.game, agent)]
                drawn = self._act(agent, own, explore)
                actions[agent] = drawn[Columns.ACTIONS]
                for name, value in {Columns.OBS: own, **drawn}.items():
                    columns[agent].setdefault(name, []).append(value)
            rewards.append(joint.play(actions))
        last = joint.observations()
        for agent in agents:
            columns[agent][Columns.OBS].append(last[:, agent_index(joint.market.game, agent)])
        earned = np.stack(rewards, axis=1)
        self._log(earned)
        stacked = {agent: {name: np.stack(each, axis=1) for name, each in columns[agent].items()} for agent in agents}
        return [self._episode(b, stacked, earned[b]) for b in range(len(last))]

    def _act(self, agent: str, seen: np.ndarray, explore: bool) -> dict[str, np.ndarray]:
        module = self.module[agent]
        logits = module.forward_exploration({Columns.OBS: torch.from_numpy(seen)})[Columns.ACTION_DIST_INPUTS]
        chances = module.get_exploration_action_dist_cls().from_logits(logits)
        actions = (chances if explore else chances.to_deterministic()).sample()
        return {
            Columns.ACTIONS: actions.numpy(),
            Columns.ACTION_DIST_INPUTS: logits.numpy(),
            Columns.ACTION_LOGP: chances.logp(actions).numpy(),
        }

    def _episode(self, b: int, columns: dict[str, dict[str, np.ndarray]], earned: np.ndarray) -> MultiAgentEpisode:
        steps = len(earned)
        joint = MultiAgentEpisode(agent_to_module_mapping_fn=self.config.policy_mapping_fn)
        joint.env_t, joint.is_terminated = steps, True
        for agent, each in columns.items():
            own = {name: value[b] for name, value in each.items()}
            episode = SingleAgentEpisode(
                agent_id=agent,
                module_id=agent,
                multi_agent_episode_id=joint.id_,
                observations=list(own.pop(Columns.OBS)),
                actions=list(own.pop(Columns.ACTIONS)),
                rewards=list(earned[:, agent_index(self.env.market.game, agent)]),
                extra_model_outputs={name: list(value) for name, value in own.items()},
                terminated=True,
                len_lookback_buffer=0,
            )
            joint.agent_episodes[agent] = episode.to_numpy()
            joint.env_t_to_agent_t[agent].extend(list(range(steps + 1)))
        return joint

    def _log(self, earned: np.ndarray) -> None:
        """Count steps, and report returns (B, K, n) in each agent's unit."""
        markets, steps = earned.shape[:2]
        count, learners = markets * steps, self.settings["learners"]
        self.num_env_steps_sampled_lifetime += count
        log = self.metrics.log_value
        log(names.NUM_ENV_STEPS_SAMPLED, count, reduce="sum")
        log(names.NUM_ENV_STEPS_SAMPLED_LIFETIME, count, reduce="lifetime_sum", with_throughput=True)
        log(names.NUM_EPISODES, markets, reduce="sum")
        log(names.NUM_EPISODES_LIFETIME, markets, reduce="lifetime_sum")
        log(names.EPISODE_LEN_MEAN, steps, window=1)
        returns = dict(zip(self.env.market.game.agents, earned.sum(axis=1).mean(axis=0).tolist(), strict=True))
        log(names.EPISODE_RETURN_MEAN, sum(returns[agent] for agent in learners), window=1)
        for agent in learners:
            log((names.NUM_AGENT_STEPS_SAMPLED, agent), count, reduce="sum")
            log((names.NUM_MODULE_STEPS_SAMPLED, agent), count, reduce="sum")
            log((names.EPISODE_AGENT_RETURN_MEAN, agent), returns[agent], window=1)

    def get_metrics(self) -> ResultDict:
        """Metrics since the last call."""
        return self.metrics.reduce()

    def get_state(self, components: Names = None, *, not_components: Names = None, **keywords: object) -> StateDict:
        """Networks and counters."""
        state: StateDict = {names.NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**keywords)
            state[names.WEIGHTS_SEQ_NO] = self._weights_seq_no
        return state

    def set_state(self, state: StateDict) -> None:
        """Take over networks that are newer, and counters."""
        if COMPONENT_RL_MODULE in state:
            number = state.get(names.WEIGHTS_SEQ_NO, 0)
            if number == 0 or self._weights_seq_no < number:
                weights = state[COMPONENT_RL_MODULE]
                self.module.set_state(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)
            if number > 0:
                self._weights_seq_no = number
        if names.NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = state[names.NUM_ENV_STEPS_SAMPLED_LIFETIME]

    def generators(self) -> RunnerGenerators:
        """States of the generators of noise and, PyTorch's own, of exploration."""
        return {"market": self.env.rng.bit_generator.state, "actions": torch.get_rng_state()}

    def set_generators(self, states: RunnerGenerators | None) -> None:
        """Put the generators where :meth:`generators` found them; None leaves them."""
        if states is not None:
            self.env.rng.bit_generator.state = states["market"]
            torch.set_rng_state(states["actions"])

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, AlgorithmConfig]]:
        """The arguments with which RLlib builds it again."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, MultiRLModule]]:
        """The networks."""
        return [(COMPONENT_RL_MODULE, self.module)]


def share(markets: int, index: int, runners: int) -> int:
    """Number of the markets that one of the runners plays."""
    return len(range(index, markets, max(runners, 1)))


def module_spaces(settings: MarketSettings) -> dict[str, tuple[Box, Box]]:
    """Observation and action space of each learner's module."""
    market = Market(settings["game"], settings["options"], settings["random"])
    return {agent: (market.observation_space, market.action_space(agent)) for agent in settings["learners"]}

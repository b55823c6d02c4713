"""Independent learning: every agent has its own stable-baselines3 algorithm, and all learn at once in joint markets.

A training that is resumed from a checkpoint ends bit for bit where an uninterrupted one would have. A checkpoint is a
folder with one stable-baselines3 zip for each learner, its replay buffer if it has one, and ``state.pkl``: the
generators of Python, NumPy and torch, the markets, and the generators of action spaces. They are taken between two
calls of ``learn``, when no learner is in the middle of a rollout. Like every pickle, load only what you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from ...envs import Options, Policy
from ...envs.described import Described
from ...envs.market import Market
from ...envs.parameters import check_count
from ..common import checkpoint_folder
from ..common.actor import Actor
from ..common.files import DAMAGE, check_nameable
from ..common.generators import Generators, generators, set_generators
from ..common.information import Information, check_information, visible
from ..common.joint_market import Acting
from ..common.learners import Learners, diverged, learned_market, learning
from ..common.memory import NONE, Stacked, check_memory, check_use
from . import algorithms, logs
from .actor import Predicting, mean, not_read, numbers
from .algorithm import Algorithm
from .hub import Hub, LearnerVecEnv
from .prefix_policies import PrefixRecurrentPolicy


class _State(checkpoint_folder.State, Generators):
    fraction: float
    market: Mapping[str, Any]
    hub: Mapping[str, object]
    spaces: dict[str, Mapping[str, object]]


class IndependentLearners(Learners):
    """A stable-baselines3 learner for every agent that does not follow a fixed policy.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        options: of the markets; by default 20 steps an episode. Critics see everything; actions and rewards are in
            units of the game.
        algorithm: of all learners, or one for each: names of :data:`.algorithms.ALGORITHMS`, or algorithms of your own.
        information: of the actors.
        history: number of observations that actors and critics see, the newest last; see :mod:`~.common.memory`.
        memory: ``"lstm"``: algorithms that are names are those with an LSTM, PPO alone.
        markets: number of markets played at once; by default the algorithms' own, the smallest if they differ.
        seed: the result is a function of it and of the other arguments.
        fixed: policies of the agents that do not learn.
        tensorboard: folder for the learners' TensorBoard logs.
        arguments: fields of :class:`~makertaker.envs.Options`, such as ``steps``, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> from makertaker.training import IndependentLearners
        >>> each = {"trader_0": "ppo", "maker_0": "ppo", "maker_1": "a2c"}
        >>> learners = IndependentLearners("acas", algorithm=each, markets=8)
        >>> learners.learn(160)  # joint market steps; 160,000 learn something
        >>> sorted(learners.policies())
        ['maker_0', 'maker_1', 'trader_0']
    """

    def __init__(
        self,
        game: Described,
        options: Options | None = None,
        *,
        algorithm: str | Algorithm | Mapping[str, str | Algorithm] = "ppo",
        information: Information = "time",
        history: int = 1,
        memory: str = NONE,
        markets: int | None = None,
        seed: int = 0,
        fixed: Mapping[str, Policy] | None = None,
        tensorboard: Path | None = None,
        **arguments: Any,
    ) -> None:
        fixed, memory = fixed or {}, check_memory(memory)
        game, options, _, random = learned_market(game, options, arguments, fixed)
        agents = learning(game, fixed)
        given = dict(algorithm) if isinstance(algorithm, Mapping) else dict.fromkeys(agents, algorithm)
        if sorted(given) != sorted(agents):
            raise ValueError(f"algorithm: expected one for each of {agents}, got {sorted(given)}")
        if tensorboard is not None:
            check_nameable("tensorboard", tensorboard)
        folder = None if tensorboard is None else str(tensorboard)
        self.algorithms = {agent: _algorithm(given[agent], memory) for agent in agents}
        if markets is None:
            markets = min((each.markets for each in self.algorithms.values()), default=1)
        check_count("markets", markets)
        torch.set_num_threads(1)
        super().__init__(Market(game, options, random, batch=(markets,)), fixed)
        seen, self.history = visible(game, information, self.market.context), check_count("history", history)
        self.information = check_information(information)
        check_use(game, self.market.steps, self.information, history, memory)
        self.hub = Hub(self.market, agents, self.fixed, seed=seed, history=history)
        self._states: dict[str, tuple[np.ndarray, ...] | None] = {}
        self.progress = algorithms.Progress()
        seeds = np.random.SeedSequence(seed).generate_state(len(agents))
        self.models = {
            agent: algorithms.build(
                self.algorithms[agent],
                LearnerVecEnv(self.hub, agent),
                seen,
                int(seeds[i] % 2**31),
                self.progress,
                folder,
                history,
            )
            for i, agent in enumerate(agents)
        }

    @property
    def steps_done(self) -> int:
        """Joint market steps so far."""
        return self.hub.steps_done

    def acts(self) -> dict[str, Acting]:
        """Each learner's current actions, without exploration."""
        found = self.numbers()
        return {
            agent: self._of_library(model) if (actor := found[agent]) is None else actor.acting
            for agent, model in self.models.items()
        }

    def _of_library(self, model: BaseAlgorithm) -> Acting:
        """Actions of a policy that is no network of :mod:`.prefix_policies`."""
        if isinstance(model.policy, PrefixRecurrentPolicy):
            return Predicting(model)
        act = partial(mean, model)
        (width,) = self.market.observation_space.shape
        return act if self.history == 1 else Stacked(act, self.history, width)

    def numbers(self) -> dict[str, Actor | None]:
        """See :meth:`.Learners.numbers`; None for a policy that is not one of :mod:`.prefix_policies`."""
        return {agent: numbers(model.policy) for agent, model in self.models.items()}

    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """See :meth:`.Learners.learn`."""
        check_count("timesteps", timesteps)
        stop = timesteps if until is None else until
        total, target = (-(-each // self.episode) * self.episode for each in (timesteps, stop))

        def follow(done: int) -> None:
            self.progress.fraction = done / total
            self._check_finite()
            if on_episode is not None:
                on_episode(done)

        self.hub.on_episode = follow
        tasks = {
            agent: partial(self._learn, agent, target)
            for agent, model in self.models.items()
            if model.num_timesteps < target
        }
        with logs.closed_after(self.models):
            self.hub.run(tasks, {agent: partial(self._act, agent) for agent in self.models})
        self._check_finite()  # the last gradient steps too

    def _check_finite(self, *agents: str) -> None:
        """Raises FloatingPointError where a network of one of the agents, by default of any, is not finite."""
        for agent in agents or self.models:
            if not all(bool(torch.isfinite(each).all()) for each in self.models[agent].policy.parameters()):
                raise diverged(agent)

    def save_models(self, folder: Path) -> None:
        """A file of numbers for each learner, and the stable-baselines3 zip to go on from, which is a pickle."""
        super().save_models(folder)
        for agent, model in self.models.items():
            model.save(folder / f"{agent}.zip")

    def save_checkpoint(self, folder: Path, extra: Mapping[str, object] | None = None) -> None:
        """See :meth:`.Learners.save_checkpoint`; to be called between two calls of :meth:`learn`."""
        state: _State = {
            "extra": dict(extra or {}),
            "fraction": self.progress.fraction,
            "steps_done": self.hub.steps_done,
            "market": {
                "k": self.market.k,
                "inventories": self.market.inventories,
                "uniform": None if self.market.drawn is None else self.market.drawn.uniform,
            },
            "hub": self.hub.rng.bit_generator.state,
            "spaces": {agent: each.action_space.np_random.bit_generator.state for agent, each in self.models.items()},
            **generators(),
        }
        with checkpoint_folder.replaced(folder, state) as fresh:
            self.save_models(fresh)
            for agent, model in self.models.items():
                if isinstance(model, OffPolicyAlgorithm):
                    model.save_replay_buffer(fresh / f"{agent}.replay.pkl")

    def load_checkpoint(self, folder: Path) -> dict[str, object]:
        """See :meth:`.Learners.load_checkpoint`."""
        state = cast(_State, checkpoint_folder.stored_state(folder, _State.__annotations__))
        try:
            for agent in self.models:
                self._load_model(agent, folder)
            self._set(state)
        except DAMAGE as error:
            raise checkpoint_folder.corrupt(folder, error) from error
        return state["extra"]

    def _set(self, state: _State) -> None:
        if state["market"]["k"] != 0:
            raise ValueError("it was taken within an episode")
        self.progress.fraction = state["fraction"]
        self.hub.steps_done = state["steps_done"]
        self.hub.rng.bit_generator.state = state["hub"]
        self.hub.reset(state["market"]["inventories"], state["market"].get("uniform"))  # older files have none
        for agent, model in self.models.items():
            model.action_space.np_random.bit_generator.state = state["spaces"][agent]
        # last: loading a model reseeds the global generators
        set_generators(state)

    def _load_model(self, agent: str, folder: Path) -> None:
        algorithm = self.algorithms[agent]
        self.models[agent] = model = algorithm.model.load(
            folder / f"{agent}.zip",
            env=self.models[agent].get_env(),
            device="cpu",
            custom_objects=not_read(algorithm, self.progress),
            force_reset=False,
        )
        if isinstance(model, OffPolicyAlgorithm):
            model.load_replay_buffer(folder / f"{agent}.replay.pkl")

    def _learn(self, agent: str, target: int) -> None:
        model = self.models[agent]
        unit = self.market.scale.unit(agent)
        explore = algorithms.ShrinkExploration(self.algorithms[agent], unit, self.progress)
        if model.tensorboard_log is None:  # its own logger makes a folder among the system's temporary ones
            model.set_logger(Logger(folder=None, output_formats=[]))
        try:
            model.learn(
                target - model.num_timesteps,
                callback=explore,
                log_interval=10 if self.algorithms[agent].kind == "on_policy" else 10 * self.market.batch[0],
                tb_log_name=agent,
                reset_num_timesteps=model.num_timesteps == 0,
            )
        except ValueError:  # torch says of NaN that it is no parameter of a distribution
            self._check_finite(agent)
            raise

    def _act(self, agent: str, seen: np.ndarray) -> np.ndarray:
        """Of a learner that has ended; what it remembers is forgotten where an episode begins."""
        begins = self.market.k == 0
        action, self._states[agent] = self.models[agent].predict(
            seen, None if begins else self._states.get(agent), np.full(len(seen), begins), deterministic=False
        )
        return np.asarray(action)


def _algorithm(given: str | Algorithm, memory: str) -> Algorithm:
    return given if isinstance(given, Algorithm) else algorithms.find(given, memory)

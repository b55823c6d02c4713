"""Independent learning with RLlib: the same runs, evaluation and report as with stable-baselines3."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Unpack, cast

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.learner.learner import Learner

from ...envs import Options
from ...envs.described import Described
from ...envs.market import Market
from ..common import checkpoint_folder
from ..common.actor import Actor
from ..common.cluster import check_processors, connected
from ..common.files import DAMAGE
from ..common.generators import Generators, generators, set_generators
from ..common.information import check_information
from ..common.joint_market import Act
from ..common.learners import Learners, diverged
from ..common.torch_layers import stacked
from .config import Arguments, ppo_config
from .module import ActorModule
from .runner import MarketSettings, RunnerGenerators

_PATIENCE = 180.0
"""seconds without any sample after which a training is given up"""


class _State(checkpoint_folder.State, Generators):
    runners: dict[int, RunnerGenerators]


class RLlibLearners(Learners):
    """An RLlib policy for every agent that does not follow a fixed policy.

    A context: leaving it stops the runners, and Ray where it was started here.

    Args:
        game: the game, or a description of it; see :func:`.config.ppo_config`.
        options: of the markets; by default 20 steps an episode.
        address: of a Ray cluster; see :func:`~.cluster.connected`.
        configure: changes RLlib's configuration before it is built, such as the number of learners or GPUs.
        arguments: of :func:`.config.ppo_config`. The result is a function of the seed as long as no runner dies.

    Raises:
        ValueError: an argument is out of its range, or there is no cluster at the address.

    Examples:
        >>> from makertaker.training.rllib import RLlibLearners
        >>> with RLlibLearners("acas", timesteps=160, markets=8) as learners:
        ...     learners.learn(160)  # joint market steps; 160,000 learn something
        ...     found = sorted(learners.policies())
        >>> found
        ['maker_0', 'maker_1', 'trader_0']
    """

    steps_done = 0

    def __init__(
        self,
        game: Described,
        options: Options | None = None,
        *,
        address: str | None = None,
        configure: Callable[[PPOConfig], PPOConfig] | None = None,
        **arguments: Unpack[Arguments],
    ) -> None:
        config = ppo_config(game, options, **arguments)
        given: MarketSettings = config.env_config
        market = Market(given["game"], given["options"], given["random"], batch=(given["markets"],))
        super().__init__(market, given["fixed"])
        self.information = check_information(arguments.get("information", "time"))
        self.timesteps: int = config.learner_config_dict["timesteps"]
        torch.set_num_threads(1)
        with ExitStack() as stack:
            stack.enter_context(connected(address))
            check_processors(config.num_env_runners)
            self.algorithm = (config if configure is None else configure(config)).build_algo()
            stack.callback(self._stop)
            self._opened = stack.pop_all()

    def _stop(self) -> None:
        folder = Path(self.algorithm.logdir)
        self.algorithm.stop()
        if folder.is_dir() and not any(folder.iterdir()):  # RLlib makes one, and nothing is written there
            folder.rmdir()

    @property
    def actors(self) -> dict[str, ActorModule]:
        """The learners' current networks."""
        return {agent: self.algorithm.get_module(agent).actor for agent in self.agents}

    def acts(self) -> dict[str, Act]:
        """Each learner's current actions, without exploration."""
        return {agent: each.act for agent, each in self.numbers().items()}

    def numbers(self) -> dict[str, Actor]:
        """See :meth:`.Learners.numbers`; actions are truncated by the markets."""
        return {agent: self._numbers(agent, each) for agent, each in self.actors.items()}

    def _numbers(self, agent: str, actor: ActorModule) -> Actor:
        found = stacked(actor.net)
        assert found is not None, "the module builds nothing else"
        (layers, activation), space = found, self.market.action_space(agent)
        (width,) = self.market.observation_space.shape
        return Actor(width, actor.visible, activation, False, space.low, space.high, layers)

    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """See :meth:`.Learners.learn`; an episode of the batch is an iteration of RLlib.

        Raises:
            ValueError: ``timesteps`` is not the constructor's.
            FloatingPointError: a learner's network became NaN.
            TimeoutError: no runner has played for minutes, although failed ones are started again.
        """
        if timesteps != self.timesteps:
            raise ValueError(f"timesteps: expected the {self.timesteps} of the constructor, got {timesteps}")
        target = self.timesteps if until is None else until
        last = time.monotonic()
        while self.steps_done < target:
            before = self.steps_done
            try:
                result = self.algorithm.train()
            except ValueError:  # torch says of NaN that it is no parameter of a distribution
                self._check_finite()
                raise
            self.steps_done = int(result.get("env_runners", {}).get("num_env_steps_sampled_lifetime", before))
            if self.steps_done == before:  # all runners are gone: RLlib starts them again where there is room
                if time.monotonic() - last > _PATIENCE:
                    raise TimeoutError(f"no runner has played for {_PATIENCE:.0f} s: {self._health()}")
                time.sleep(1.0)
                continue
            last = time.monotonic()
            self._check_finite()
            if on_episode is not None:
                on_episode(self.steps_done)

    def _health(self) -> str:
        alive = sum(node["Alive"] for node in ray.nodes())
        return f"{self.algorithm.env_runner_group.num_healthy_remote_workers()} runners healthy, {alive} nodes alive"

    def _check_finite(self) -> None:
        """Raises FloatingPointError where a network, an actor's or a critic's, is not finite."""
        for found in self.algorithm.learner_group.foreach_learner(_not_finite):
            for agent in found.get():
                raise diverged(agent)

    def save_checkpoint(self, folder: Path, extra: Mapping[str, object] | None = None) -> None:
        """Write the checkpoint to resume from; an interrupt leaves the older one, or the new one, whole."""
        group = self.algorithm.env_runner_group
        runners = group.foreach_env_runner(lambda each: (each.worker_index, each.generators()), local_env_runner=True)
        state: _State = {
            "extra": dict(extra or {}),
            "steps_done": self.steps_done,
            "runners": dict(runners),
            **generators(),
        }
        with checkpoint_folder.replaced(folder, state) as fresh:
            self.algorithm.save_to_path((fresh / "rllib").absolute())
            self.save_models(fresh)

    def load_checkpoint(self, folder: Path) -> dict[str, object]:
        """Resume from a checkpoint of learners with the same arguments; returns its ``extra``.

        Raises:
            ValueError: there is no checkpoint, it is corrupt, or it belongs to other learners.
        """
        state = cast(_State, checkpoint_folder.stored_state(folder, _State.__annotations__))
        try:
            self.algorithm.restore_from_path((folder / "rllib").absolute())
        except DAMAGE as error:
            raise checkpoint_folder.corrupt(folder, error) from error
        runners = state["runners"]
        self.steps_done = state["steps_done"]
        # RLlib leaves the networks of other processes as they were
        now = ray.put(self.algorithm.env_runner.get_state())
        self.algorithm.env_runner_group.foreach_env_runner(
            lambda runner: (runner.set_state(ray.get(now)), runner.set_generators(runners.get(runner.worker_index))),
            local_env_runner=True,
        )
        # last: what comes before may draw numbers
        set_generators(state)
        return state["extra"]


def _not_finite(learner: Learner) -> list[str]:
    """Names of the modules whose networks are not finite; RLlib's own learners are asked."""
    return [
        name
        for name in learner.module.keys()  # noqa: SIM118  # it is no mapping
        if not all(bool(torch.isfinite(each).all()) for each in learner.module[name].parameters())
    ]

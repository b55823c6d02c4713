"""The libraries that learn; each is imported when it is asked for.

Another library takes a folder with its :class:`~.learners.Learners` and an entry of :data:`ENGINES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...envs.grid import Policy
from ...envs.market import Market
from ..task import Task
from .extras import needed
from .information import Information
from .joint_market import Act
from .learners import Learners


@dataclass(frozen=True)
class Training:
    """All that learners are built from.

    Args:
        task: the game and its grid.
        algorithms: by agent that learns.
        fixed: policies of the agents that do not learn.
        timesteps: joint market steps of the whole training.
        information: what actors see.
        markets: played at once; None: what the algorithms ask for.
        seed: of everything.
        runners: processes that play; 0: the one that learns.
        address: of a cluster; None: this machine.
        tensorboard: folder for the learners' own logs.
    """

    task: Task
    algorithms: Mapping[str, str]
    fixed: Mapping[str, Policy]
    timesteps: int
    information: Information
    markets: int | None
    seed: int
    runners: int
    address: str | None = None
    tensorboard: Path | None = None


class Engine(Protocol):
    """A library that learns."""

    packages: tuple[str, ...]
    """whose versions a run records"""
    distributed: bool
    """True if it takes runners and a cluster's address"""

    def check_algorithm(self, name: str) -> None:
        """Raises ValueError for an algorithm that the engine does not have."""

    def build(self, training: Training) -> Learners:
        """Fresh learners, to be closed after use. Raises ValueError for a bad argument."""

    def load(self, market: Market, algorithms: Mapping[str, str], folder: Path) -> Mapping[str, Act]:
        """Actions without exploration of the models in a folder, by agent that learned.

        Raises:
            ValueError: a model is missing, corrupt or of another run.
        """


class StableBaselines3(Engine):
    """stable-baselines3, in this process."""

    packages = ("stable-baselines3", "sb3-contrib")
    distributed = False

    def check_algorithm(self, name: str) -> None:
        """Raises ValueError for a name that :data:`~.sb3.algorithms.ALGORITHMS` does not have."""
        needed("sb3.algorithms", "train").find(name)

    def build(self, training: Training) -> Learners:
        """See :class:`~.sb3.independent.IndependentLearners`."""
        learners: Learners = needed("sb3.independent", "train").IndependentLearners(
            training.task.game,
            steps=training.task.steps,
            algorithm=training.algorithms,
            information=training.information,
            markets=training.markets,
            seed=training.seed,
            fixed=training.fixed,
            tensorboard=training.tensorboard,
        )
        return learners

    def load(self, market: Market, algorithms: Mapping[str, str], folder: Path) -> Mapping[str, Act]:
        """The actors in zips of stable-baselines3."""
        actors: Mapping[str, Act] = needed("sb3.checkpoint", "train").load_actors(market, algorithms, folder)
        return actors


class RLlib(Engine):
    """RLlib's PPO on Ray: one machine or a cluster."""

    packages = ("ray",)
    distributed = True

    def check_algorithm(self, name: str) -> None:
        """Raises ValueError for anything but PPO."""
        if name != "ppo":
            raise ValueError(f"algorithm: with --engine ray expected 'ppo', got {name!r}")

    def build(self, training: Training) -> Learners:
        """See :class:`~.rllib.learners.RLlibLearners`."""
        for name in training.algorithms.values():
            self.check_algorithm(name)
        learners: Learners = needed("rllib.learners", "ray").RLlibLearners(
            training.task.game,
            steps=training.task.steps,
            timesteps=training.timesteps,
            information=training.information,
            markets=training.markets,
            seed=training.seed,
            fixed=training.fixed,
            runners=training.runners,
            address=training.address,
        )
        return learners

    def load(self, market: Market, algorithms: Mapping[str, str], folder: Path) -> Mapping[str, Act]:
        """The actors' networks, read without Ray."""
        actor = needed("common.actor", "train")
        return {agent: actor.load(folder / f"{agent}.pt").act for agent in algorithms}


ENGINES: dict[str, Engine] = {"sb3": StableBaselines3(), "ray": RLlib()}


def find(name: str) -> Engine:
    """The engine of a name. Raises ValueError for an unknown one."""
    if name not in ENGINES:
        raise ValueError(f"engine: expected one of {list(ENGINES)}, got {name!r}")
    return ENGINES[name]

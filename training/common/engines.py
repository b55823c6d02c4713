"""The libraries that learn; each is imported when it is asked for. What one has learned is read without it.

Another library takes a folder with its :class:`~.learners.Learners` and an entry of :data:`ENGINES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...envs.market import Market
from . import jax_algorithms
from .extras import needed
from .files import DAMAGE
from .hyperparameters import PPO, Settings
from .joint_market import Act
from .learners import Learners


@dataclass(frozen=True)
class Training:
    """All that learners are built from.

    Args:
        algorithms: with their hyperparameters, by agent that learns.
        timesteps: joint market steps of the whole training.
        runners: processes that play; 0: the one that learns.
        address: of a cluster; None: this machine.
        tensorboard: folder for the learners' own logs.
        shared: the arguments that all learners take: ``game``, ``steps``, ``information``, ``markets``, ``seed``,
            ``inventory_spread`` and ``fixed``.
    """

    algorithms: Mapping[str, Settings]
    timesteps: int
    runners: int
    address: str | None
    tensorboard: Path | None
    shared: Mapping[str, object]


class Engine(ABC):
    """A library that learns."""

    packages: tuple[str, ...]
    """their versions belong to a run"""
    library: tuple[str, str]
    """what learns, and the extra that it comes with"""
    pickled: str | None = None
    """the suffix of a model that needs the library: the only one in runs of earlier versions"""
    distributed = False
    """True if it takes runners and a cluster's address"""

    together = False
    """True if it trains several seeds in one process; see :meth:`.Learners.with_seed`"""
    individual = True
    """True if agents may learn with different hyperparameters of one algorithm"""

    @abstractmethod
    def algorithm(self, name: str) -> Settings:
        """An algorithm with its default hyperparameters. Raises ValueError for one that the engine does not have."""

    @abstractmethod
    def build(self, training: Training) -> Learners:
        """Fresh learners, to be closed after use. Raises ValueError for a bad argument."""

    def read_pickled(self, market: Market, agent: str, algorithm: str, path: Path) -> Act:
        """Actions without exploration of a model that needs the library. Raises one of :data:`~.files.DAMAGE`."""
        raise ValueError("models of this engine are files of numbers")

    def load(
        self, market: Market, algorithms: Mapping[str, str], folder: Path, *, trust: bool = False
    ) -> dict[str, Act]:
        """Actions without exploration of the models in a folder, by agent that learned.

        Args:
            market: one in which they learned.
            algorithms: their names, by agent that learned.
            folder: of the models.
            trust: True: a model that has no file of numbers is read by its library, which runs code that is in it.

        Raises:
            ValueError: a model is missing, corrupt or of another run, or has no file of numbers.
        """
        numbers = needed("common.actor_file", "train")
        acts: dict[str, Act] = {}
        for agent, name in algorithms.items():
            path = folder / f"{agent}.{numbers.SUFFIX}"
            pickled = path if self.pickled is None else folder / f"{agent}.{self.pickled}"
            use = path if path.is_file() or not pickled.is_file() else pickled
            if use != path and not trust:
                raise ValueError(
                    f"model {str(pickled)!r}: of an earlier version or of a policy of your own, and reading it can run "
                    "code that is in it; where you trust its origin: --trust (trust=True), or, of an earlier version, "
                    "--resume, which writes files of numbers"
                )
            try:
                if not use.is_file():  # libraries look for other names as well
                    raise FileNotFoundError("there is no such file")
                if use == path:
                    acts[agent] = numbers.load(market, agent, path).act
                else:
                    acts[agent] = self.read_pickled(market, agent, name, pickled)
            except DAMAGE as error:
                raise ValueError(f"model {str(use)!r}: missing, corrupt or of another run: {error}") from error
        return acts


class StableBaselines3(Engine):
    """stable-baselines3, in this process."""

    packages = ("stable-baselines3", "sb3-contrib", "greenlet")
    library = ("stable_baselines3", "train")
    pickled = "zip"

    def algorithm(self, name: str) -> Settings:
        """One of :data:`~.sb3.algorithms.ALGORITHMS`. Raises ValueError for another name."""
        found: Settings = needed("sb3.algorithms", "train").find(name)
        return found

    def build(self, training: Training) -> Learners:
        """See :class:`~.sb3.independent.IndependentLearners`."""
        learners: Learners = needed("sb3.independent", "train").IndependentLearners(
            algorithm=training.algorithms, tensorboard=training.tensorboard, **training.shared
        )
        return learners

    def read_pickled(self, market: Market, agent: str, algorithm: str, path: Path) -> Act:
        """See :func:`~.sb3.actor.load_pickled`."""
        act: Act = needed("sb3.actor", "train").load_pickled(market, agent, algorithm, path)
        return act


class RLlib(Engine):
    """RLlib's PPO on Ray: one machine or a cluster; all agents share its hyperparameters."""

    packages = ("ray",)
    library = ("ray", "ray")
    pickled = "pt"
    distributed = True
    individual = False

    def algorithm(self, name: str) -> Settings:
        """PPO. Raises ValueError for anything else."""
        if name != "ppo":
            raise ValueError(f"algorithm: with --engine ray expected 'ppo', got {name!r}")
        return PPO

    def build(self, training: Training) -> Learners:
        """See :class:`~.rllib.learners.RLlibLearners`."""
        (settings,) = set(training.algorithms.values())
        own = {"timesteps": training.timesteps, "runners": training.runners, "address": training.address}
        learners: Learners = needed("rllib.learners", "ray").RLlibLearners(algorithm=settings, **own, **training.shared)
        return learners

    def read_pickled(self, market: Market, agent: str, algorithm: str, path: Path) -> Act:
        """See :func:`~.torch_layers.load_pickled`: Ray is not needed."""
        act: Act = needed("common.torch_layers", "train").load_pickled(market, agent, path)
        return act


class Jax(Engine):
    """Policy gradients in JAX, compiled as one program, with one algorithm and its hyperparameters for all agents; its
    models are numbers alone."""

    packages = ("jax", "jaxlib", "optax")
    library = ("jax", "jax")
    together = True
    individual = False

    def algorithm(self, name: str) -> Settings:
        """One of :data:`~.jax_algorithms.ALGORITHMS`. Raises ValueError for another name."""
        return jax_algorithms.find(name)

    def build(self, training: Training) -> Learners:
        """See :class:`~.jax.learners.JaxLearners`."""
        (settings,) = set(training.algorithms.values())
        learners: Learners = needed("jax.learners", "jax").JaxLearners(algorithm=settings, **training.shared)
        return learners


ENGINES: dict[str, Engine] = {"sb3": StableBaselines3(), "ray": RLlib(), "jax": Jax()}


def find(name: str) -> Engine:
    """The engine of a name. Raises ValueError for an unknown one."""
    if name not in ENGINES:
        raise ValueError(f"engine: expected one of {list(ENGINES)}, got {name!r}")
    return ENGINES[name]

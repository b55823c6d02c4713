"""The libraries that learn; each is imported when it is asked for. What one has learned is read without it.

Another library takes a folder with its :class:`~.learners.Learners` and an entry of :data:`ENGINES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...envs.market import Setting
from ...envs.names import unknown
from . import jax_algorithms
from .extras import needed
from .files import DAMAGE
from .hyperparameters import PPO, Settings
from .joint_market import Act, Acting
from .learners import Learners
from .memory import NONE, check_memory


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
            ``inventory_spread`` and ``fixed``; and, where the engine has actors that remember, ``history`` and
            ``memory``.
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
    histories = False
    """True if its actors can see more than one observation"""
    memories: tuple[str, ...] = (NONE,)
    """recurrent units that its actors can have, of :data:`~.memory.MEMORIES`; its learners take ``history`` and
    ``memory`` where there is one, or a history"""

    @property
    def remembers(self) -> bool:
        """True if its learners take ``history`` and ``memory``."""
        return self.histories or self.memories != (NONE,)

    def check_memory(self, name: str, history: int, memory: str) -> None:
        """Raises ValueError for a memory that the actors of the engine, whose name this is, cannot have."""
        if history > 1 and not self.histories:
            raise ValueError(f"history: expected 1 with engine {name!r}, got {history}")
        if check_memory(memory) not in self.memories:
            raise unknown("memory", memory, self.memories, f" with engine {name!r}")
        if history > 1 and memory != NONE:
            raise ValueError(f"history: expected 1 with memory {memory!r}, which remembers all of them, got {history}")

    @abstractmethod
    def algorithm(self, name: str, memory: str = NONE) -> Settings:
        """An algorithm with its default hyperparameters.

        Args:
            name: of the algorithm.
            memory: of its actors, of :attr:`memories`.

        Raises:
            ValueError: the engine does not have it, or not with this memory.
        """

    @abstractmethod
    def build(self, training: Training) -> Learners:
        """Fresh learners, to be closed after use. Raises ValueError for a bad argument."""

    def read_pickled(self, market: Setting, agent: str, algorithm: str, path: Path) -> Act:
        """Actions without exploration of a model that needs the library. Raises one of :data:`~.files.DAMAGE`."""
        raise ValueError("models of this engine are files of numbers")

    def load(
        self, market: Setting, algorithms: Mapping[str, str], folder: Path, *, trust: bool = False
    ) -> dict[str, Acting]:
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
        acts: dict[str, Acting] = {}
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
                    acts[agent] = numbers.load(market, agent, path).acting
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
    histories = True
    memories = (NONE, "lstm")

    def algorithm(self, name: str, memory: str = NONE) -> Settings:
        """See :func:`~.sb3.algorithms.find`."""
        found: Settings = needed("sb3.algorithms", "train").find(name, memory)
        return found

    def build(self, training: Training) -> Learners:
        """See :class:`~.sb3.independent.IndependentLearners`."""
        learners: Learners = needed("sb3.independent", "train").IndependentLearners(
            algorithm=training.algorithms, tensorboard=training.tensorboard, **training.shared
        )
        return learners

    def read_pickled(self, market: Setting, agent: str, algorithm: str, path: Path) -> Act:
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

    def algorithm(self, name: str, memory: str = NONE) -> Settings:
        """PPO. Raises ValueError for anything else."""
        if name != "ppo":
            raise unknown("algorithm", name, ["ppo"], " with engine 'ray'")
        return PPO

    def build(self, training: Training) -> Learners:
        """See :class:`~.rllib.learners.RLlibLearners`."""
        (settings,) = set(training.algorithms.values())
        own = {"timesteps": training.timesteps, "runners": training.runners, "address": training.address}
        learners: Learners = needed("rllib.learners", "ray").RLlibLearners(algorithm=settings, **own, **training.shared)
        return learners

    def read_pickled(self, market: Setting, agent: str, algorithm: str, path: Path) -> Act:
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

    histories = True
    memories = (NONE, "gru")

    def algorithm(self, name: str, memory: str = NONE) -> Settings:
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
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]

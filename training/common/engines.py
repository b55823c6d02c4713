"""The libraries that learn: stable-baselines3 in this process, or RLlib on Ray; each is imported when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from ...envs.game import Game
from ...envs.grid import Policy
from ...envs.market import Market
from .extras import needed
from .information import Information

Engine = Literal["sb3", "ray"]
ENGINES: tuple[Engine, ...] = ("sb3", "ray")
PACKAGES: dict[Engine, tuple[str, ...]] = {"sb3": ("stable-baselines3", "sb3-contrib"), "ray": ("ray",)}
"""whose versions a run records"""
ADDRESSED: tuple[Engine, ...] = ("ray",)
"""engines that may run on a cluster"""


class Learners(Protocol):
    """What a run asks of learners, whichever library they come from."""

    game: Game
    market: Market

    @property
    def steps_done(self) -> int:
        """Joint market steps so far."""

    def policies(self) -> dict[str, Policy]:
        """Everyone's policy, learners without exploration."""

    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """Learn for ``timesteps`` joint market steps in all, or up to ``until`` of them."""

    def record(self, name: str, value: float) -> None:
        """Put a number into the learners' own logs."""

    def save_models(self, folder: Path) -> None:
        """What :func:`stored_policies` reads."""

    def save_checkpoint(self, folder: Path, extra: dict[str, Any] | None = None) -> None:
        """Where :meth:`load_checkpoint` goes on."""

    def load_checkpoint(self, folder: Path) -> dict[str, Any]:
        """Go on from a checkpoint; returns its ``extra``. Raises ValueError where there is none that fits."""

    def close(self) -> None:
        """Release processes."""


def check_engine(engine: str) -> None:
    """Raises ValueError for an unknown engine."""
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {list(ENGINES)}, got {engine!r}")


def check_algorithm(engine: Engine, name: str) -> None:
    """Raises ValueError for an algorithm that the engine does not have."""
    if engine == "sb3":
        needed("sb3.algorithms", "train").find(name)
    elif name != "ppo":
        raise ValueError(f"algorithm: with --engine ray expected 'ppo', got {name!r}")


def build(
    engine: Engine,
    game: Game,
    *,
    steps: int,
    timesteps: int,
    algorithm: str | Mapping[str, str],
    information: Information,
    markets: int | None,
    seed: int,
    fixed: Mapping[str, Policy],
    runners: int,
    address: str | None = None,
    tensorboard: Path | None = None,
) -> Learners:
    """Fresh learners. Raises ValueError for a bad argument."""
    names = [algorithm] if isinstance(algorithm, str) else algorithm.values()
    for name in names:
        check_algorithm(engine, name)
    common: dict[str, Any] = {
        "steps": steps,
        "information": information,
        "markets": markets,
        "seed": seed,
        "fixed": fixed,
    }
    learners: Learners
    if engine == "ray":
        learners = needed("rllib.learners", "ray").RLlibLearners(
            game, timesteps=timesteps, runners=runners, address=address, **common
        )
    else:
        learners = needed("sb3.independent", "train").IndependentLearners(
            game, algorithm=algorithm, tensorboard=tensorboard, **common
        )
    return learners

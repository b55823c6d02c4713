"""Words that a shell completes: names of known sets, by what is typed of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..envs import scenario_names
from ..envs.observation import KINDS
from .common.engines import ENGINES
from .common.jax_algorithms import ALGORITHMS
from .common.memory import MEMORIES

_SB3 = ("ppo", "a2c", "trpo", "sac", "tqc", "td3", "ddpg")
"""of :mod:`.sb3.algorithms`, which needs PyTorch: too slow for a key that is pressed"""


def _begun(incomplete: str, words: Iterable[str]) -> list[str]:
    return [each for each in words if each.startswith(incomplete)]


def scenarios(incomplete: str) -> list[str]:
    """Scenarios of the package, and files of scenarios here."""
    files = [str(each) for each in Path(incomplete).parent.glob("*.toml")]
    return _begun(incomplete, [*scenario_names(), *sorted(files)])


def algorithms(incomplete: str) -> list[str]:
    """Algorithms of all engines."""
    return _begun(incomplete, dict.fromkeys([*_SB3, *ALGORITHMS]))


def engines(incomplete: str) -> list[str]:
    """Libraries that learn."""
    return _begun(incomplete, ENGINES)


def information(incomplete: str) -> list[str]:
    """Kinds of observations."""
    return _begun(incomplete, KINDS)


def memories(incomplete: str) -> list[str]:
    """Recurrent units."""
    return _begun(incomplete, MEMORIES)

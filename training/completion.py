"""Words that a shell completes: names of known sets, by what is typed of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..envs import scenario_names
from ..envs.names import unknown
from ..envs.observation import KINDS
from .common.engines import ENGINES
from .common.jax_algorithms import ALGORITHMS
from .common.memory import MEMORIES

_SB3 = ("ppo", "a2c", "trpo", "sac", "tqc", "td3", "ddpg")
"""of :mod:`.sb3.algorithms`, which needs PyTorch: too slow for a key that is pressed"""


NO_DETECTION = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"
"""the variable of the environment with which typer takes a shell's name in place of the one that runs"""
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def names_a_shell(words: Sequence[str]) -> bool:
    """True where a command line names the shell that completion is for. Raises ValueError for an unknown one."""
    for word, after in itertools.pairwise([*words, ""]):
        option, given, shell = word.partition("=")
        shell = shell if given else after
        if option in ("--install-completion", "--show-completion") and shell and not shell.startswith("-"):
            if shell not in _SHELLS:
                raise unknown("shell", shell, _SHELLS)
            return True
    return False


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

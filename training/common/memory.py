"""Actors that remember: what they remember, once for all engines.

Without a memory an actor acts on one observation, of which it sees the entries that its information shows
(:mod:`.information`). There are two memories:

- ``history`` k > 1: it acts on the last k observations. They stand side by side, the oldest first and the newest last;
  before the k-th observation of an episode, zeros stand for those that there are not. This is the order of
  stable-baselines3's ``VecFrameStack``. An actor sees ``visible`` entries of each, (k x visible); a critic, which
  sees everything, sees everything of the last k observations, so that the state is Markov for it.
- ``memory``: a recurrent unit, ``"gru"`` or ``"lstm"``, stands before its layers, with the equations of PyTorch's cells
  (:mod:`.actor`). What it remembers is zero at the beginning of an episode. The critic has one of its own.

Observations are those of the market in its own units (:mod:`makertaker.envs.observation`), which are not normalised
again. Everything that is remembered is forgotten at step 0 of an episode.

These functions are pure, take any leading batch axes, and arrays of any library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from ...envs import Game
from ...envs.arrays import Array, namespace
from ...envs.names import unknown

T = TypeVar("T")
NONE = "none"
MEMORIES = (NONE, "gru", "lstm")
"""kinds of recurrent units by name"""


def check_memory(memory: object) -> str:
    """The name of a recurrent unit. Raises ValueError for an unknown one."""
    if memory not in MEMORIES:
        raise unknown("memory", memory, MEMORIES)
    return str(memory)


def check_use(game: Game, steps: int, information: str, history: int, memory: str) -> None:
    """Raises ValueError for actors who are to remember observations that there are not, or that show nothing but time.

    Args:
        game: with a factor, whose path is worth remembering, ``"time"`` shows it as well.
        steps: of an episode.
        information: of the actors, by its own name.
        history: number of observations.
        memory: name of the recurrent unit.
    """
    if history > steps:
        raise ValueError(f"history: expected at most the {steps} observations of an episode, got {history}")
    if information != "time" or game.factor is not None:
        return
    for name, value, plain in (("history", history, 1), ("memory", memory, NONE)):
        if value != plain:
            raise ValueError(
                f"{name}: expected {plain!r} with information 'time', which shows nothing to remember, got {value!r}"
            )


def empty(batch: tuple[int, ...], history: int, width: int) -> np.ndarray:
    """The earlier observations before the first of an episode, (*batch, (history - 1) width) zeros."""
    return np.zeros((*batch, (history - 1) * width), dtype=np.float32)


def pushed(earlier: Array, seen: Array) -> tuple[Array, Array]:
    """The last observations with a new one, and what is remembered of them in the next step.

    Args:
        earlier: (..., (history - 1) width), the oldest first.
        seen: (..., width).

    Returns:
        (..., history x width), the newest last; and (..., (history - 1) width).
    """
    stacked = namespace(earlier, seen).concat([earlier, seen], axis=-1)
    return stacked, stacked[..., seen.shape[-1] :]


def shown(stacked: T, history: int, visible: int) -> T:
    """The first ``visible`` entries of each of the last observations: (..., history x width) to
    (..., history x visible)."""
    given: Array = stacked
    if history == 1:
        return given[..., :visible]  # type: ignore[no-any-return]
    shape = tuple(given.shape[:-1])
    each = given.reshape(*shape, history, given.shape[-1] // history)[..., :visible]
    return each.reshape(*shape, history * visible)  # type: ignore[no-any-return]


@runtime_checkable
class Remembering(Protocol):
    """What acts on observations and on what it remembers, as one array."""

    def start(self, *batch: int) -> Array:
        """What is remembered at the beginning of an episode, (*batch, size)."""

    def step(self, seen: Array, memory: Array) -> tuple[Array, Array]:
        """Actions (..., m), and the next memory (..., size), from observations (..., d) and the memory."""


def remembering(policies: Mapping[str, object]) -> list[str]:
    """Names of the agents whose policies say that they remember earlier observations."""
    return [agent for agent, policy in policies.items() if getattr(policy, "remembers", False)]


class Stacked:
    """Acts on the last observations, the newest last, by a function of them.

    Args:
        act: actions (B, m) from stacked observations (B, history x d).
        history: number of observations.
        width: d.
    """

    def __init__(self, act: object, history: int, width: int) -> None:
        self._act: Array = act
        self._history, self._width = history, width

    def start(self, *batch: int) -> Array:
        """See :class:`Remembering`."""
        return empty(batch, self._history, self._width)

    def step(self, seen: Array, memory: Array) -> tuple[Array, Array]:
        """See :class:`Remembering`."""
        stacked, memory = pushed(memory, seen)
        actions = self._act(stacked.reshape(-1, stacked.shape[-1]))
        return actions.reshape(*stacked.shape[:-1], -1), memory

"""Policies made from controls and from equilibria. A policy is ``(k, state) -> physical controls of one agent``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..envs.arrays import Array
from ..envs.game import Controls, Game
from ..envs.grid import Policy, State, agent_controls, check_controls
from .private_copy import Rule


@dataclass(frozen=True)
class OpenLoop:
    """Plays a fixed schedule, whatever happens: the information of the paper's equilibria."""

    schedule: Array
    """(K, 1) or (K, 2), physical units"""

    @property
    def steps(self) -> int:
        """Number of steps of the grid that the schedule is made for."""
        return len(self.schedule)

    def __call__(self, k: int, state: State) -> Array:
        """The schedule's controls at step ``k``, broadcast over the state's batch axes."""
        row = self.schedule[k]
        return np.broadcast_to(row, (*np.shape(state.inventories)[:-1], row.shape[-1]))


def open_loop_policies(game: Game, controls: Controls) -> dict[str, Policy]:
    """The policies that play controls (K, N), (K, M), (K, M). Raises ValueError where shapes do not fit."""
    controls = check_controls(game, controls, np.shape(controls.rate)[0])
    return {agent: OpenLoop(agent_controls(game, controls, agent)) for agent in game.agents}


class FieldPolicy:
    """A rule, such as the decoupling field, as a policy of every agent. All agents' calls at one state share
    one solution."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.game = rule.game
        self._seen: tuple[int, tuple[int, ...], bytes] | None = None
        self._controls: Controls | None = None

    def controls(self, k: int, state: State) -> Controls:
        """Everyone's controls at step ``k`` and the state's inventories (..., n) and factor (..., d)."""
        inventories = np.ascontiguousarray(state.inventories, dtype=float)
        factor = b"" if state.factor is None else np.ascontiguousarray(state.factor).tobytes()
        seen = (k, inventories.shape, inventories.tobytes() + factor)
        if self._controls is None or self._seen != seen:
            self._controls = self._rule.controls_at(k, inventories, state.factor)
            self._seen = seen
        return self._controls

    def of(self, agent: str) -> Policy:
        """The policy of one agent."""
        return Feedback(self, agent, self._rule.steps)


@dataclass(frozen=True)
class Feedback:
    """One agent's part of a :class:`FieldPolicy`."""

    field: FieldPolicy
    agent: str
    steps: int

    def __call__(self, k: int, state: State) -> Array:
        """The field's controls at step ``k`` and the state's inventories."""
        controls = self.field.controls(k, state)
        return np.asarray(agent_controls(self.field.game, controls, self.agent))

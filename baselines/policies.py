"""Policies made from controls and from rules. A policy is ``(k, state) -> physical controls of one agent``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..envs.arrays import Array
from ..envs.game import Controls, Game
from ..envs.grid import Noise, Policy, State, Trajectory, agent_controls, check_controls, rollout
from .private_copy import private_copies


class Rule(ABC):
    """Everyone's controls as a function of the state: a decoupling field, an affine rule, an equilibrium."""

    game: Game

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number ``K`` of steps."""

    @abstractmethod
    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Controls of step ``k`` at inventories (..., n) and a factor (..., d)."""

    def feedback(self) -> dict[str, Policy]:
        """Policies that evaluate the rule at the market's state: they react to a deviation."""
        field = FieldPolicy(self)
        return {agent: Feedback(field, agent, self.steps) for agent in self.game.agents}

    def open_loop(self) -> dict[str, Policy]:
        """Policies that evaluate it along a private copy of the undisturbed state, which all agents' noise moves and
        nobody's deviation: the paper's notion of a strategy.

        They remember the noise's path, so they have to be asked step by step from the start.
        """
        return private_copies(self)

    def play(self, noise: Noise | None = None) -> Trajectory:
        """The paths if everyone follows, along those of the noise; controls truncated as in environments."""
        return rollout(self.game, self.feedback(), self.steps, noise)


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
    """A rule as a policy of every agent. All agents' calls at one state share one solution."""

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

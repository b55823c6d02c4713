"""Policies made from controls and from rules. A policy is ``(k, state) -> physical controls of one agent``.

Open-loop play in random games needs a private copy of the no-deviation state. An equilibrium control of the paper is a
process adapted to the noise: opponents do not react to a deviation. Where the control is known as a function of the
state, it is that process exactly if it is evaluated along a copy of the whole equilibrium state, moved by the factor
and by *all* agents' noise, whatever the market's inventories are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..envs.arrays import Array
from ..envs.game import Controls, Game
from ..envs.grid import Noise, Policy, State, Trajectory, check_controls, grid, move, rollout, shake
from ..envs.packing import agent_controls


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
        copy = _PrivateCopy(self)
        return {agent: _OpenLoop(copy, agent) for agent in self.game.agents}

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


class _PrivateCopy:
    """Inventories of everyone if nobody deviates, along the noise so far; shared by all agents of one market, or of one
    batch of markets."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._next = 0
        self._inventory: Array = rule.game.start
        self._controls: Controls | None = None
        self._seen: tuple[Array, Array] = (np.zeros(0), np.zeros(0))
        self._end: Array = rule.game.start  # of the step, before noise arrives

    @cached_property
    def _coefficients(self) -> tuple[Array, Any]:
        times = grid(self.rule.game, self.rule.steps)
        return times, self.rule.game.coefficients(times)

    def controls(self, k: int, state: State) -> Controls:
        """Everyone's controls in step ``k``.

        Raises:
            ValueError: a step was left out, or another market's noise is shown in the middle of an episode.
        """
        rule = self.rule
        if k == 0:
            self._inventory, self._next = rule.game.start, 0
        seen = tuple(np.zeros(0) if each is None else np.array(each) for each in (state.factor, state.shock))
        again = k == self._next - 1
        same = all(np.array_equal(a, b) for a, b in zip(seen, self._seen, strict=True))
        if k != self._next and not (again and same):
            what = "another factor or noise at the same step" if again else f"step {k}"
            raise ValueError(
                f"policy: expected step {self._next} of one market, got {what}: it follows the noise's path from the "
                "start, so markets cannot share it; take another open_loop() for each"
            )
        if not again or self._controls is None:
            if k:
                self._inventory = shake(self._end, state.shock)
            self._controls = rule.controls_at(k, self._inventory, state.factor)
            times, coefficients = self._coefficients
            c = rule.game.with_factor(coefficients.at(k), times[k], state.factor)
            rate = rule.game.activity(c, self._controls).inventory_rate
            self._end = move(self._inventory, rate, rule.game.horizon / rule.steps)
            self._seen, self._next = (seen[0], seen[1]), k + 1
        return self._controls


@dataclass(frozen=True)
class _OpenLoop:
    copy: _PrivateCopy
    agent: str

    @property
    def steps(self) -> int:
        return self.copy.rule.steps

    def __call__(self, k: int, state: State) -> Array:
        own = agent_controls(self.copy.rule.game, self.copy.controls(k, state), self.agent)
        return np.broadcast_to(own, (*np.shape(state.inventories)[:-1], own.shape[-1]))

"""Open-loop play in random games: a private copy of the state that there would be if nobody ever deviated.

An equilibrium control of the paper is a process adapted to the noise: opponents do not react to a deviation. Where the
control is known as a function of the state, it is that process exactly if it is evaluated along a copy of the whole
equilibrium state, moved by the factor and by *all* agents' noise, whatever the market's inventories are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..envs.arrays import Array
from ..envs.game import Controls, Game
from ..envs.grid import Policy, State, grid, move, shake
from ..envs.packing import agent_controls


class Rule(Protocol):
    """Everyone's controls as a function of the state."""

    @property
    def game(self) -> Game:
        """The game."""

    @property
    def steps(self) -> int:
        """Number K of steps."""

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """In step ``k`` at inventories (..., n) and a factor (..., d)."""


def private_copies(rule: Rule) -> dict[str, Policy]:
    """A policy for each agent; they share one copy of the state."""
    copy = _PrivateCopy(rule)
    return {agent: _OpenLoop(copy, agent) for agent in rule.game.agents}


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

"""Policies made from controls and from rules. A policy is ``(k, state) -> physical controls of one agent``.

Open-loop play in random games needs a private copy of the no-deviation state. An equilibrium control of the paper is a
process adapted to the noise: opponents do not react to a deviation. Where the control is known as a function of the
state, it is that process exactly if it is evaluated along a copy of the whole equilibrium state, moved by the factor
and by *all* agents' noise, whatever the market's inventories are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..envs.arrays import Array, as_like
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
        return _AtState(self).policies()

    def open_loop(self) -> dict[str, Policy]:
        """Policies that evaluate it along a private copy of the undisturbed state, which all agents' noise moves and
        nobody's deviation: the paper's notion of a strategy.

        They remember the noise's path, so they have to be asked step by step from the start.
        """
        return PrivateCopy(self).policies()

    def play(self, noise: Noise | None = None) -> Trajectory:
        """The paths if everyone follows, along those of the noise; controls truncated as in environments."""
        return rollout(self.game, self.feedback(), self.steps, noise)


@dataclass(frozen=True)
class OpenLoop:
    """Plays a fixed schedule, whatever happens: the information of the paper's equilibria.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines import OpenLoop
        >>> quotes = OpenLoop(np.ones((20, 2)))  # ask and bid of every step
        >>> quotes.schedule.shape
        (20, 2)
    """

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

    def traced(self, k: Array, state: State) -> Array:
        """The same of one market, on arrays that JAX traces."""
        return as_like(self.schedule, state.inventories)[k]


def open_loop_policies(game: Game, controls: Controls) -> dict[str, Policy]:
    """The policies that play controls (K, N), (K, M), (K, M). Raises ValueError where shapes do not fit.

    Examples:
        >>> from makertaker.baselines import open_loop_policies, solve
        >>> from makertaker.envs import load_scenario
        >>> sorted(open_loop_policies(load_scenario("acas"), solve("acas").controls))
        ['maker_0', 'maker_1', 'trader_0']
    """
    controls = check_controls(game, controls, np.shape(controls.rate)[0])
    return {agent: OpenLoop(agent_controls(game, controls, agent)) for agent in game.agents}


class _Shared(ABC):
    """Everyone's controls by a rule. All agents' policies ask for them at one state, and share one solution."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._seen: tuple[Array, ...] | None = None
        self._controls: Controls

    def policies(self) -> dict[str, Policy]:
        """A policy for every agent."""
        return {agent: _Part(self, agent) for agent in self.rule.game.agents}

    def controls(self, k: int, state: State) -> Controls:
        """Everyone's controls in step ``k``."""
        seen = tuple(np.array(each) for each in (k, *self.looks_at(state)))
        if self._seen is None or not all(map(np.array_equal, seen, self._seen)):
            self._controls, self._seen = self.find(k, state), seen
        return self._controls

    @abstractmethod
    def looks_at(self, state: State) -> tuple[Array | None, Array | None]:
        """The part of a state on which controls depend."""

    @abstractmethod
    def find(self, k: int, state: State) -> Controls:
        """Everyone's controls in step ``k``, at another state than the last time."""


@dataclass(frozen=True)
class _Part:
    """One agent's part of everyone's controls."""

    shared: _Shared
    agent: str

    @property
    def steps(self) -> int:
        return self.shared.rule.steps

    def __call__(self, k: int, state: State) -> Array:
        own = agent_controls(self.shared.rule.game, self.shared.controls(k, state), self.agent)
        return np.broadcast_to(own, (*np.shape(state.inventories)[:-1], own.shape[-1]))


class _AtState(_Shared):
    """The rule at the market's own state."""

    def looks_at(self, state: State) -> tuple[Array | None, Array | None]:
        return state.inventories, state.factor

    def find(self, k: int, state: State) -> Controls:
        return self.rule.controls_at(k, np.asarray(state.inventories, dtype=float), state.factor)


class PrivateCopy(_Shared):
    """The rule at the no-deviation state, which noise moves; for all agents of one market, or one batch of markets."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._times = grid(rule.game, rule.steps)
        self._c = rule.game.coefficients(self._times)
        self._next = 0
        self._end: Array = rule.game.start  # of the latest step, before noise arrives

    def looks_at(self, state: State) -> tuple[Array | None, Array | None]:
        return state.factor, state.shock

    def find(self, k: int, state: State) -> Controls:
        """Everyone's controls in step ``k``.

        Raises:
            ValueError: a step was left out, or another market's noise is shown in the middle of an episode.
        """
        game, expected = self.rule.game, self._next
        if k not in (0, expected):
            what = "another factor or noise at the same step" if k == expected - 1 else f"step {k}"
            raise ValueError(
                f"policy: expected step {expected} of one market, got {what}: it follows the noise's path from the "
                "start, so markets cannot share it; take another open_loop() for each"
            )
        inventory = shake(self._end, state.shock) if k else game.start
        controls = self.rule.controls_at(k, inventory, state.factor)
        c = game.with_factor(self._c.at(k), self._times[k], state.factor)
        rate = game.activity(c, controls).inventory_rate
        self._end, self._next = move(inventory, rate, game.horizon / self.rule.steps), k + 1
        return controls

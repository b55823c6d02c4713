"""The game of one step among players who see the state: everyone's first-order conditions, solved together.

At a state ``x = (L, Q)`` agent ``i`` maximises, over its own controls of the step,

    G_i(u; x) = reward_i(x, u) + E[V_i(L', Q + dt r(u) + noise)],

``r`` being the inventory rates that all controls lead to and ``V_i`` its value at the next node. Unlike an open-loop
player it minds the others' inventories as well: a quote moves everyone's share, a rate every maker's inventory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.grid import move, step
from ..noise.field import Expectation
from ..noise.step_system import StepSystem, some_markets

_ITERATIONS = 60
TOLERANCE = 1e-10
"""distance to the next Newton iterate, in control units, at which Newton's method ends"""
SOLVED = 1e3 * TOLERANCE
"""and at which a stage game counts as solved"""
_PROBE = 1e-7
"""of the differences that give Newton's matrix, in control units; the conditions themselves are exact"""
_SHORTEST = 2.0**-10


class Controlled(NamedTuple):
    """All agents' controls side by side, ``(rates, asks, bids)``."""

    owner: Array
    """(m,) index of the agent that chooses a control"""
    unit: Array
    """(m,) characteristic sizes"""
    low: Array
    """(m,)"""
    high: Array
    """(m,)"""

    @classmethod
    def of(cls, system: StepSystem) -> Controlled:
        """The controls of a game."""
        game = system.game
        n, makers = game.traders, game.makers
        units = np.array([game.control_unit(agent) for agent in game.agents])
        owner = np.concatenate([np.arange(n), n + np.arange(makers), n + np.arange(makers)])
        low, high = (
            np.concatenate([np.broadcast_to(rate, (n,)), np.full(2 * makers, quote)])
            for rate, quote in zip(game.rate_bounds, (-game.quote_bound, game.quote_bound), strict=True)
        )
        return cls(owner, units[owner], low, high)


def joined(controls: Controls) -> Array:
    """(..., m) controls side by side."""
    return np.concatenate(list(controls), axis=-1)


def separated(system: StepSystem, values: Array) -> Controls:
    """The reverse."""
    n, makers = system.game.traders, system.game.makers
    return Controls(values[..., :n], values[..., n : n + makers], values[..., n + makers :])


def combinations(low: Array, high: Array, count: int) -> Array:
    """(P, w) all combinations of ``count`` values of each control between bounds (w,)."""
    axes = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))


@dataclass(frozen=True)
class StageGames:
    """One step's stage games at B states.

    Args:
        system: the game's equations.
        k: the step.
        factor: (B, d).
        inventory: (B, n).
        ahead: expectation of the next node's values of those who choose, (B, p).
        agents: indices of those who choose, (p,); the others' controls stay as they are given.
    """

    system: StepSystem
    k: int
    factor: Array
    inventory: Array
    ahead: Expectation
    agents: Array

    @cached_property
    def controlled(self) -> Controlled:
        """The controls."""
        return Controlled.of(self.system)

    @cached_property
    def _place(self) -> Array:
        """(m,) place of a control's owner among those who choose, -1 where it is none of them."""
        found = self.controlled.owner[:, None] == self.agents
        return np.where(found.any(axis=1), found.argmax(axis=1), -1)

    @cached_property
    def given(self) -> Array:
        """(m,) True for controls that nobody chooses: the others', the last rate of who must liquidate, and quotes on a
        side of the market where no volume arrives, which matter to nobody."""
        game, owner = self.system.game, self.controlled.owner
        ends = self.k + 1 == self.system.steps and game.must_close
        closing = np.append(game.closing, np.zeros(game.makers, dtype=bool))[owner] if ends else False
        n, makers = game.traders, game.makers
        idle = np.concatenate([np.zeros(n, dtype=bool), *(np.full(makers, each) for each in self._idle)])
        return (self._place < 0) | closing | idle

    @property
    def _idle(self) -> tuple[bool, bool]:
        return self.system.idle(self._coefficients)

    def begin(self, guess: Array) -> Array:
        """(B, m) controls to start from, within the constraints; who must liquidate does in the last step."""
        game = self.system.game
        controls = np.where(self.given, guess, np.clip(guess, self.controlled.low, self.controlled.high))
        if self.k + 1 == self.system.steps and game.must_close:
            n = game.traders
            close = game.closing & (self._place[:n] >= 0)
            controls[:, :n] = np.where(close, -self.inventory[:, :n] / self.system.dt, controls[:, :n])
        return controls

    @cached_property
    def _coefficients(self) -> Any:
        return self.system.coefficients(self.k, self.factor if self.factor.shape[-1] else None)

    def values(self, members: Array, controls: Array) -> Array:
        """``G`` (b, p) of those who choose, at states ``members`` (b,) and controls (b, m)."""
        system, held = self.system, self.inventory[members]
        c = some_markets(self._coefficients, members)
        played = step(system.game, c, system.dt, held, separated(system, controls))
        return np.asarray(played.reward[:, self.agents] + self.ahead.at(members)(played.inventories))

    def leads_to(self, members: Array, controls: Array) -> Array:
        """(b, n) inventories at the end of the step, before noise arrives."""
        c = some_markets(self._coefficients, members)
        rate = self.system.game.activity(c, separated(self.system, controls)).inventory_rate
        return np.asarray(move(self.inventory[members], rate, self.system.dt))

    def gradient(self, members: Array, controls: Array) -> Array:
        """(b, m) derivative of every agent's ``G`` in its own controls; 0 for controls that nobody chooses."""
        system, held, owner = self.system, self.inventory[members], self.controlled.owner
        dt, c = system.dt, some_markets(self._coefficients, members)
        split = separated(system, controls)
        activity, slopes = system.game.activity(c, split), system.marginals(c, split)
        after = move(held, activity.inventory_rate, dt)
        own = slopes.rate[:, np.arange(len(owner)), owner]
        ahead = self.ahead.at(members).slope(after)[:, self._place]
        result = slopes.income + np.einsum("bcj,bcj->bc", ahead, slopes.rate)
        held, after = held[:, owner], after[:, owner]
        # of the squared integral of an inventory that moves linearly
        result -= system.running(self.k)[owner] * dt / 3 * (held + 2 * after) * own
        if slopes.drift is not None and activity.drift is not None:
            result += slopes.drift / 2 * (held + after) + activity.drift[..., None] * dt / 2 * own
        return np.where(self.given, 0.0, dt * result)

    def matrix(self, members: Array, controls: Array, gradient: Array) -> Array:
        """(b, m, m) derivative of :meth:`gradient` in all controls, by differences."""
        unit = _PROBE * self.controlled.unit
        count, m = controls.shape
        moved = (controls[:, None] + np.diag(unit)).reshape(-1, m)
        changed = self.gradient(np.repeat(members, m), moved).reshape(count, m, m)
        return np.swapaxes((changed - gradient[:, None]) / unit[:, None], 1, 2)

    def curved(self, members: Array, controls: Array) -> Array:
        """(b,) True where every agent's payoff curves downwards in its own controls that are not at a bound."""
        low, high, owner = self.controlled.low, self.controlled.high, self.controlled.owner
        matrix = self.matrix(members, controls, self.gradient(members, controls))
        free = (controls > low) & (controls < high) & ~self.given
        unit = self.controlled.unit
        matrix = (matrix + np.swapaxes(matrix, 1, 2)) / 2 * unit[:, None] * unit
        own = (owner[:, None] == owner) & free[..., None] & free[:, None, :]
        matrix = np.where(own, matrix, 0.0) - np.where(free, 0.0, 1.0)[..., None] * np.eye(len(owner))
        return np.asarray(np.linalg.eigvalsh(matrix)[..., -1] < 0)

    def solve(self, guess: Array) -> tuple[Array, Array]:
        """Everyone's controls (B, m) at every state, by Newton's method with a line search of its own for each state;
        at a bound the complementary condition holds.

        Args:
            guess: (B, m).

        Returns:
            controls (B, m), and (B,) by how much the last Newton step would still change them, in their units;
            infinite where it is none.
        """
        controls = self.begin(guess)
        left, members = np.full(len(controls), np.inf), np.arange(len(controls))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(_ITERATIONS):
                found = self._newton(members, controls[members])
                left[found.members] = found.length
                found = found.some(found.length > TOLERANCE)
                members, better = self._search(found)
                if not members.size:
                    break
                controls[members] = better
        return controls, left

    def _newton(self, members: Array, controls: Array) -> _Newton:
        """Newton's steps at states where there are some."""
        gradient = self.gradient(members, controls)
        matrix = self.matrix(members, controls, gradient)
        held = self._held(controls, gradient)
        usable = np.isfinite(gradient).all(axis=-1) & np.isfinite(matrix).all(axis=(-2, -1))
        members, controls, gradient, matrix, held = (
            each[usable] for each in (members, controls, gradient, matrix, held)
        )
        unit = self.controlled.unit
        scale = np.abs(np.diagonal(matrix, axis1=1, axis2=2)) * unit
        direction = _direction(matrix, gradient, held, unit)
        length = np.abs(direction / unit).max(axis=-1, initial=0.0)
        return _Newton(members, controls, direction, length, scale, _size(gradient, held, scale))

    def _search(self, found: _Newton) -> tuple[Array, Array]:
        """States (b,) at which a part of Newton's step is better, and the controls (b, m) that it leads to."""
        low, high = self.controlled.low, self.controlled.high
        result, done = np.array(found.controls), np.zeros(len(found.members), dtype=bool)
        part = 1.0
        while part >= _SHORTEST and not done.all():
            waiting = np.flatnonzero(~done)
            start, direction = found.controls[waiting], found.direction[waiting]
            trial = start + part * direction
            trial = np.where(self.given, start, np.clip(trial, low, high))
            gradient = self.gradient(found.members[waiting], trial)
            size = _size(gradient, self._held(trial, gradient), found.scale[waiting])
            # close to the solution rounding hides what is better
            near = found.length[waiting] < 1e3 * TOLERANCE
            better = (size < (1 - 1e-4 * part) * found.size[waiting]) | (near & np.isfinite(size))
            result[waiting[better]], done[waiting[better]] = trial[better], True
            part /= 2
        return found.members[done], result[done]

    def _held(self, controls: Array, gradient: Array) -> Array:
        """(b, m) True where a control is given, or at a bound and would go beyond it."""
        low, high = self.controlled.low, self.controlled.high
        return self.given | ((controls <= low) & (gradient < 0)) | ((controls >= high) & (gradient > 0))


class _Newton(NamedTuple):
    """Newton's steps at b states."""

    members: Array
    """(b,) the states"""
    controls: Array
    """(b, m)"""
    direction: Array
    """(b, m)"""
    length: Array
    """(b,) of the step, in control units"""
    scale: Array
    """(b, m) gradient that a control unit is worth"""
    size: Array
    """(b,) largest condition that does not hold, in control units"""

    def some(self, wanted: Array) -> _Newton:
        """At some of the states."""
        return _Newton(*(each[wanted] for each in self))


def _direction(matrix: Array, gradient: Array, held: Array, unit: Array) -> Array:
    """(b, m) Newton's step of the controls that are not held at a bound, in scaled variables."""
    m = gradient.shape[-1]
    scaled = matrix * unit[:, None] * unit
    right = np.where(held, 0.0, -gradient * unit)
    fixed = held[..., None] | held[:, None, :]
    scaled = np.where(fixed, 0.0, scaled) + np.where(held[..., None], np.eye(m), 0.0)
    size = np.abs(scaled).max(axis=-1, keepdims=True)
    size = np.where(size > 0, size, 1.0)
    try:
        found = np.linalg.solve(scaled / size, (right / size[..., 0])[..., None])[..., 0]
    except np.linalg.LinAlgError:
        found = np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(scaled, right, strict=True)])
    return np.asarray(found * unit)


def _size(gradient: Array, held: Array, scale: Array) -> Array:
    """(b,) largest condition that does not hold, in units of the controls."""
    scale = np.where(scale > 0, scale, 1.0)
    size = np.where(held, 0.0, np.abs(gradient) / scale).max(axis=-1, initial=0.0)
    return np.where(np.isfinite(size), size, np.inf)

"""The execution game one step at a time, for a factor that does not enter linearly: (3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.game import Controls
from ..noise.step_system import StepSystem, some_controls, some_markets


class ExecutionSteps(StepSystem):
    """(3), with the adjoints less ``w``, what noise traders have done to the price so far."""

    game: ExecutionGame

    def _matrix(self, c: ExecutionCoefficients) -> Array:
        """``(beta/N) [(2 - pi) I + pi 1 1'] - (alpha dt / 2N) (I + 1 1')``."""
        n, eye, ones = self.game.traders, np.eye(self.game.traders), np.ones((self.game.traders,) * 2)
        pi = self.game.crowding
        cost = c.temporary_impact / n * ((2 - pi) * eye + pi * ones)
        return np.asarray(cost - c.permanent_impact * self.dt / (2 * n) * (eye + ones))

    def controls(self, c: ExecutionCoefficients, inventory: Array, adjoint: Array) -> Controls:
        return self.game.complete(Controls(self.rates(c, inventory, adjoint)))

    def rates(self, c: ExecutionCoefficients, inventory: Array, adjoint: Array) -> Array:
        held = c.permanent_impact / self.game.traders * inventory
        push = np.asarray(self.dt / 2 * self.game.push(c))[..., None]
        return np.linalg.solve(self._matrix(c), (adjoint + push + held)[..., None])[..., 0]

    def jacobian(self, c: ExecutionCoefficients, inventory: Array, adjoint: Array) -> Array:
        return np.broadcast_to(np.linalg.inv(self._matrix(c)), (*adjoint.shape, adjoint.shape[-1]))

    def drift(self, c: ExecutionCoefficients, rates: Array) -> Array:
        return np.asarray(self.game.drift(c, rates.sum(axis=-1)))[..., None]

    def in_role(self, c: ExecutionCoefficients, controls: Controls, role: slice) -> _Traders:
        return _Traders(self, c, controls)


@dataclass(frozen=True)
class _Traders:
    system: ExecutionSteps
    c: ExecutionCoefficients
    controls: Controls

    @property
    def _cost(self) -> float:
        game, c = self.system.game, self.c
        return float(2 * c.temporary_impact - c.permanent_impact * self.system.dt) / game.traders

    def _others(self, members: Array | slice) -> tuple[ExecutionCoefficients, Array, Array]:
        """Coefficients, the others' total rates (b, N), and the noise flow's push of the price (b, 1)."""
        c, rate = some_markets(self.c, members), some_controls(self.controls, members).rate
        return c, rate.sum(axis=-1, keepdims=True) - rate, np.asarray(self.system.game.push(c))[..., None]

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        """The rate at which ``y + dt/2 drift + (alpha/N) Q = (beta/N) (2 v + pi others)``, all step-averaged."""
        game, dt = self.system.game, self.system.dt
        c, others, push = self._others(members)
        alpha = c.permanent_impact / game.traders
        gained = dt / 2 * (push + alpha * others) + alpha * held
        return np.asarray((adjoint + gained - c.temporary_impact / game.traders * game.crowding * others) / self._cost)

    def slopes(self, members: Array, adjoint: Array) -> Array:
        return np.full(adjoint.shape, 1 / self._cost)

    def own(self, adjoint: Array, held: Array) -> Controls:
        return self.controls._replace(rate=self.rates(slice(None), adjoint, held))

    def drift(self, rates: Array) -> Array:
        c, others, push = self._others(slice(None))
        return np.asarray(c.permanent_impact / self.system.game.traders * (others + rates) + push)

"""The execution game one step at a time, for a factor that does not enter linearly: (3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.game import EXPLORED, Controls
from ..noise.step_system import AgentsInStep, Marginals, StepSystem, some_controls, some_markets
from .signal import is_linear


class ExecutionSteps(StepSystem[ExecutionCoefficients]):
    """(3), with the adjoints less ``w``, the noise traders' effect on the price so far."""

    game: ExecutionGame

    @property
    def shares(self) -> Array:
        """What trades at a characteristic rate add up to."""
        game = self.game
        return game.horizon / EXPLORED * np.array([game.control_unit(agent) for agent in game.agents])

    @property
    def price(self) -> float:
        """Largest characteristic cost per share."""
        costs = np.array([self.game.payoff_unit(agent) for agent in self.game.agents])
        return float((costs / self.shares).max())

    @property
    def value_degree(self) -> int | None:
        """2 where the factor enters linearly: a linear-quadratic game."""
        return 2 if is_linear(self.game, self.times) else None

    def everyone(self, c: ExecutionCoefficients) -> _Everyone:
        return _Everyone(self, c)

    def in_role(self, c: ExecutionCoefficients, controls: Controls, role: slice) -> _Alone:
        return _Alone(self, c, controls)

    def marginals(self, c: ExecutionCoefficients, controls: Controls) -> Marginals:
        """Of the displays before Remark 2.1: an inventory moves at its owner's rate, the price at everyone's."""
        game, rate = self.game, controls.rate
        n = game.traders
        others = rate.sum(axis=-1, keepdims=True) - rate
        income = -game.premium(c, rate, others) - c.temporary_impact / n * rate
        drift = np.broadcast_to(c.permanent_impact / n, rate.shape)
        return Marginals(np.broadcast_to(np.eye(n), (*rate.shape, n)), income, drift)


@dataclass(frozen=True)
class _Everyone(AgentsInStep):
    system: ExecutionSteps
    c: ExecutionCoefficients

    @property
    def _matrix(self) -> Array:
        """``(beta/N) [(2 - pi) I + pi 1 1'] - (alpha dt / 2N) (I + 1 1')``."""
        n, pi, c = self.system.game.traders, self.system.game.crowding, self.c
        eye, ones = np.eye(n), np.ones((n, n))
        cost = c.temporary_impact / n * ((2 - pi) * eye + pi * ones)
        return cost - c.permanent_impact * self.system.dt / (2 * n) * (eye + ones)

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        game, c = self.system.game, some_markets(self.c, members)
        push = np.asarray(self.system.dt / 2 * game.push(c))[..., None]
        right = adjoint + push + c.permanent_impact / game.traders * held
        return np.linalg.solve(self._matrix, right[..., None])[..., 0]

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        return np.broadcast_to(np.linalg.inv(self._matrix), (*adjoint.shape, adjoint.shape[-1]))

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return self.system.game.complete(Controls(self.rates(slice(None), adjoint, held)))

    def drift(self, rates: Array) -> Array:
        return np.asarray(self.system.game.drift(self.c, rates.sum(axis=-1)))[..., None]


@dataclass(frozen=True)
class _Alone(AgentsInStep):
    system: ExecutionSteps
    c: ExecutionCoefficients
    played: Controls

    @property
    def _cost(self) -> float:
        return float(2 * self.c.temporary_impact - self.c.permanent_impact * self.system.dt) / self.system.game.traders

    def _others(self, members: Array | slice) -> tuple[Array, Array]:
        """The others' total rates (b, N), and the noise flow's push of the price (b, 1)."""
        rate = some_controls(self.played, members).rate
        push = self.system.game.push(some_markets(self.c, members))
        return rate.sum(axis=-1, keepdims=True) - rate, np.asarray(push)[..., None]

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        """The rate at which ``y + dt/2 drift + (alpha/N) Q = (beta/N) (2 v + pi others)``, all step-averaged."""
        game, (others, push) = self.system.game, self._others(members)
        alpha, beta = (each / game.traders for each in (self.c.permanent_impact, self.c.temporary_impact))
        gained = self.system.dt / 2 * (push + alpha * others) + alpha * held
        return (adjoint + gained - beta * game.crowding * others) / self._cost

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        return np.broadcast_to(np.eye(adjoint.shape[-1]) / self._cost, (*adjoint.shape, adjoint.shape[-1]))

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return self.played._replace(rate=self.rates(slice(None), adjoint, held))

    def drift(self, rates: Array) -> Array:
        others, push = self._others(slice(None))
        return self.c.permanent_impact / self.system.game.traders * (others + rates) + push

"""The games' first-order conditions as functions of a random state, one step at a time.

With noise the adjoints of a step solve, at every state ``(L_k, Q_k)``,

    y = E_k[p_{k+1}] - 2 phi (dt Q_k / 2 + r dt^2 / 3),    r = r(y),    p_k = E_k[p_{k+1}] - 2 phi dt (Q_k + r dt / 2),

``r`` being the inventory rates that everyone's optimal controls at ``y`` lead to; in the execution game, where what a
share held gains is added to both. The expectation is over the noise that lands at the end of the step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.game import Controls, Game
from ...envs.grid import grid
from ...envs.maker_taker_game import MakerTakerGame
from .. import fbsde


@dataclass(frozen=True)
class MarkovSystem(ABC):
    """One step of a game's forward-backward system at many states (B, d), (B, n)."""

    game: Game
    steps: int

    @cached_property
    def times(self) -> Array:
        """(K+1,)"""
        return grid(self.game, self.steps)

    @property
    def dt(self) -> float:
        """Length of a step."""
        return self.game.horizon / self.steps

    @cached_property
    def _coefficients(self) -> Any:
        return self.game.coefficients(self.times)

    def coefficients(self, k: int, factor: Array | None) -> Any:
        """Of step ``k`` with the flows of a factor (B, d)."""
        return self.game.with_factor(self._coefficients.at(k), self.times[k], factor)

    def running(self, k: int) -> Array:
        """(n,) ``phi``"""
        return self._coefficients.running_penalty[k]

    @property
    def terminal(self) -> Array:
        """(n,) ``A``"""
        return self._coefficients.terminal_penalty

    @abstractmethod
    def controls(self, c: Any, inventory: Array, adjoint: Array) -> Controls:
        """Everyone's optimal controls at ``y`` (B, n)."""

    @abstractmethod
    def rates(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        """(B, n) inventory rates at ``y`` (B, n)."""

    @abstractmethod
    def jacobian(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        """(B, n, n) their derivatives in ``y``."""

    @abstractmethod
    def drift(self, c: Any, rates: Array) -> Array | float:
        """(B, 1) what a share held gains per unit of time; 0 in a game without permanent impact."""


class MakerTakerSystem(MarkovSystem):
    """(13)-(14) and (40)-(41): the feedback maps of Theorems 3.9 and 5.4."""

    game: MakerTakerGame

    def _system(self, c: Any, inventory: Array) -> fbsde.GameSystem:
        return fbsde.GameSystem(self.game, c, self.dt, inventory)

    def controls(self, c: Any, inventory: Array, adjoint: Array) -> Controls:
        return fbsde.optimal_controls(self.game, c, adjoint)

    def rates(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        return self._system(c, inventory).rates(adjoint)

    def jacobian(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        return self._system(c, inventory).jacobian(adjoint)

    def drift(self, c: Any, rates: Array) -> float:
        return 0.0


class ExecutionSystem(MarkovSystem):
    """(3), with the adjoints less ``w``, what noise traders have done to the price so far."""

    game: ExecutionGame

    def _matrix(self, c: Any) -> Array:
        """``(beta/N) [(2 - pi) I + pi 1 1'] - (alpha dt / 2N) (I + 1 1')``."""
        n, eye, ones = self.game.traders, np.eye(self.game.traders), np.ones((self.game.traders,) * 2)
        pi = self.game.crowding
        cost = c.temporary_impact / n * ((2 - pi) * eye + pi * ones)
        return np.asarray(cost - c.permanent_impact * self.dt / (2 * n) * (eye + ones))

    def controls(self, c: Any, inventory: Array, adjoint: Array) -> Controls:
        rate = self.rates(c, inventory, adjoint)
        return Controls(rate, rate[..., :0], rate[..., :0])

    def rates(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        held = c.permanent_impact / self.game.traders * inventory
        push = np.asarray(self.dt / 2 * self.game.push(c))[..., None]
        return np.linalg.solve(self._matrix(c), (adjoint + push + held)[..., None])[..., 0]

    def jacobian(self, c: Any, inventory: Array, adjoint: Array) -> Array:
        return np.broadcast_to(np.linalg.inv(self._matrix(c)), (*adjoint.shape, adjoint.shape[-1]))

    def drift(self, c: Any, rates: Array) -> Array:
        return np.asarray(self.game.drift(c, rates.sum(axis=-1)))[..., None]


def held_gain(running: Array, dt: float, inventory: Array, rates: Array, drift: Array | float) -> Array:
    """``p_k - E_k[p_{k+1}]``, (..., m): what holding a share over the step gains, ``dt drift - 2 phi dt (Q_k +
    r dt / 2)``."""
    return np.asarray(dt * drift - 2 * running * dt * (inventory + rates * dt / 2))


def some_markets(c: Any, members: Array) -> Any:
    """The coefficients of some of the states: flows differ between them where a factor drives them."""
    flows = {name: getattr(c, name) for name in ("buy_flow", "sell_flow")}
    return c._replace(**{name: each[members] if np.ndim(each) else each for name, each in flows.items()})


def markov_system(game: Game, steps: int) -> MarkovSystem:
    """The system of a game. Raises ValueError for anything that is not a game of the paper."""
    if isinstance(game, ExecutionGame):
        return ExecutionSystem(game, steps)
    if isinstance(game, MakerTakerGame):
        return MakerTakerSystem(game, steps)
    raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got {game!r}")

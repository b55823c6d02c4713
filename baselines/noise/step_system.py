"""The first-order conditions as functions of a random state, one step at a time.

With noise the adjoints of a step solve, at every state ``(L_k, Q_k)``,

    y = E_k[p_{k+1}] - 2 phi (dt Q_k / 2 + r dt^2 / 3),    r = r(y),    p_k = E_k[p_{k+1}] - 2 phi dt (Q_k + r dt / 2),

``r`` being the inventory rates that everyone's optimal controls at ``y`` lead to; in the execution game, where a share
held gains by the price's drift, that gain is added to both. The expectation is over the noise that lands at the end of
the step. Each game has a :class:`StepSystem` of its own; the scheme that solves them asks for nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, NamedTuple, Self

import numpy as np

from ...envs.arrays import Array
from ...envs.game import C, Controls, Game
from ...envs.grid import grid


class AgentsInStep(ABC):
    """Agents in one step at B states: everyone together, or those of a role, each the only one that deviates."""

    @abstractmethod
    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        """(b, m) inventory rates of optimal controls at states ``members`` (b,), adjoints and inventories (b, m)."""

    @abstractmethod
    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        """(b, m, m) their derivatives in the adjoints."""

    @abstractmethod
    def controls(self, adjoint: Array, held: Array) -> Controls:
        """(B, N), (B, M), (B, M): the agents' optimal controls at adjoints and inventories (B, m); the others' as they
        are."""

    def drift(self, rates: Array) -> Array | float:
        """(B, 1) or (B, m) gain of a share held per unit of time; 0 in a game without permanent impact."""
        return 0.0


class Marginals(NamedTuple):
    """Derivatives of a step's activity in all controls side by side, ``(rates, asks, bids)``, m of them."""

    rate: Array
    """(..., m, n) of everyone's inventory rate"""
    income: Array
    """(..., m) of the income of the agent whose control it is"""
    drift: Array | None = None
    """(..., m) of the market price's drift; None in a game without permanent impact"""


@dataclass(frozen=True)
class StepSystem(ABC, Generic[C]):
    """One step of a game's forward-backward system at many states (B, d), (B, n)."""

    game: Game[C]
    steps: int

    def with_penalties(self) -> Self:
        """The same, for decoupling fields. Raises ValueError where a trader must liquidate."""
        if self.game.must_close:
            raise ValueError(
                f"{self.game.closing_parameter}: a decoupling field needs finite penalties, got a trader who must "
                "liquidate; solved are games without noise, and execution games whose factor enters linearly"
            )
        return self

    @cached_property
    def times(self) -> Array:
        """(K+1,)"""
        return grid(self.game, self.steps)

    @property
    def dt(self) -> float:
        """Length of a step."""
        return self.game.horizon / self.steps

    @cached_property
    def _coefficients(self) -> C:
        return self.game.coefficients(self.times)

    def coefficients(self, k: int, factor: Array | None) -> C:
        """Of step ``k`` with the flows of a factor (B, d)."""
        return self.game.with_factor(self._coefficients.at(k), self.times[k], factor)

    def running(self, k: int) -> Array:
        """(n,) ``phi``"""
        return self._coefficients.running_penalty[k]

    @property
    def terminal(self) -> Array:
        """(n,) ``A``"""
        return self._coefficients.terminal_penalty

    @cached_property
    def units(self) -> Array:
        """(D,) characteristic sizes of the state, by which all that is near or far in it is measured: the factor's
        scale, and shares of every agent, at least what noise adds by the end."""
        game = self.game
        shares = np.maximum(self.shares, game.inventory_noise * np.sqrt(game.horizon))
        return shares if game.factor is None else np.concatenate([game.factor.scale(game.horizon), shares])

    @property
    @abstractmethod
    def shares(self) -> Array:
        """(n,) shares that every agent has or trades, positive, from the parameters."""

    @property
    @abstractmethod
    def price(self) -> float:
        """Currency per share: size of adjoints that matter to controls; tolerances are measured by it where adjoints
        are smaller."""

    @cached_property
    def cash(self) -> float:
        """Largest characteristic payoff, in currency."""
        return max(self.game.payoff_unit(agent) for agent in self.game.agents)

    @abstractmethod
    def everyone(self, c: C) -> AgentsInStep:
        """All agents, in equilibrium, in a step with these coefficients."""

    @abstractmethod
    def in_role(self, c: C, controls: Controls, role: slice) -> AgentsInStep:
        """The agents of a role, at the controls (B, N), (B, M), (B, M) that are played if nobody deviates."""

    @abstractmethod
    def marginals(self, c: C, controls: Controls) -> Marginals:
        """Derivatives of :meth:`~.Game.activity` in a step with these coefficients, at controls (..., N), (..., M),
        (..., M)."""

    def idle(self, c: C) -> tuple[bool, bool]:
        """True where no volume can arrive in a step at the asks, and at the bids, whatever is played."""
        return False, False

    @property
    def places(self) -> tuple[int, int]:
        """How many of the lowest asks, and of the lowest bids, have places that matter to somebody's payoff, which has
        a kink where makers change places."""
        return 0, 0

    @property
    def value_degree(self) -> int | None:
        """Degree of the values of players who react, where they are polynomials of the state; otherwise None."""
        return None

    no_stage_game: ClassVar[str] = "more steps or smaller penalties may help"
    """reason and remedy where players who react to each other have no equilibrium in a step"""

    def better_control(self, c: C, controls: Controls, adjoint: Array) -> str:
        """An agent's control in a step that is worth more than the one which meets its first-order condition, at
        controls (B, N), (B, M), (B, M) and adjoints (B, n), in words; empty if none is known of."""
        return ""


def held_gain(running: Array, dt: float, inventory: Array, rates: Array, drift: Array | float) -> Array:
    """``p_k - E_k[p_{k+1}]``, (..., m): the gain of a share held over the step, ``dt drift - 2 phi dt (Q_k +
    r dt / 2)``."""
    return np.asarray(dt * drift - 2 * running * dt * (inventory + rates * dt / 2))


def some_markets(c: C, members: Array | slice) -> C:
    """The coefficients of some of the states: flows differ between them where a factor drives them."""
    buys, sells = (each[members] if np.ndim(each) else each for each in (c.buy_flow, c.sell_flow))
    return c._replace(buy_flow=buys, sell_flow=sells)


def some_controls(controls: Controls, members: Array | slice) -> Controls:
    """The controls of some of the states."""
    return Controls(*(each[members] for each in controls))

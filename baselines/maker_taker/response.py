"""Best responses in the maker-taker game against opponents that do not react: exact.

An agent faces a concave problem of its own. Its adjoint solves a scalar grid system whose rates rise with the adjoint,
so the solution is unique; Newton's method solves it for all agents of a role at once.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np

from ...envs.arrays import Array
from ...envs.competition import best_of_others
from ...envs.game import Controls
from ...envs.grid import grid
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from .. import newton
from ..errors import EquilibriumNotFound
from ..fbsde import System
from ..profiles import replaced
from .peaks import better_control


class Deviators(System):
    """The agents of one role as a batch of scalar systems (role, K, 1), everyone else's controls being fixed.

    The rows K may be the steps of a grid, or as many states of one step.
    """

    def __init__(
        self, game: MakerTakerGame, c: MakerTakerCoefficients, controls: Controls, dt: float, agents: slice
    ) -> None:
        running = c.running_penalty.T[agents, ..., None]
        super().__init__(dt, running, c.terminal_penalty[agents, None], game.start[agents, None], unit=game.margin)
        self.game, self.c, self.controls = game, c, controls

    @abstractmethod
    def start(self) -> Array:
        """(role, K, 1) adjoints to start from."""

    @abstractmethod
    def own(self, adjoints: Array) -> Controls:
        """The profile in which all agents of the role have their own optimal controls."""


class TraderDeviators(Deviators):
    """The rate whose marginal cost is ``y - s``, truncated, at given quotes and rates of the others."""

    def schedules(self, adjoints: Array) -> tuple[Array, Array]:
        """Rates (K, N), and True where they are free of truncation."""
        game, c = self.game, self.c
        spread = game.spread_paid(c, self.controls.ask.min(axis=-1), self.controls.bid.min(axis=-1))
        low, high = game.rate_bounds
        rate = game.impact.own_rate(c.impact, adjoints[..., 0].T - spread, self.controls.rate)
        return np.clip(rate, low, high), (rate > low) & (rate < high)

    def rates(self, adjoints: Array) -> Array:
        return self.schedules(adjoints)[0].T[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        rate, free = self.schedules(adjoints)
        return (free / self.game.impact.curvature(self.c.impact, rate, self.controls.rate)).T[..., None, None]

    def start(self) -> Array:
        """The crude guess of the equilibrium's solver will do: rates are piecewise linear in the adjoint."""
        return newton.start(self, len(self.c.buy_flow))

    def own(self, adjoints: Array) -> Controls:
        return self.controls._replace(rate=self.schedules(adjoints)[0])


class MakerDeviators(Deviators):
    """The quotes whose markup is the distance to ``+-y``, truncated, at given rates and quotes of the others."""

    def quotes(self, adjoints: Array) -> tuple[Array, Array]:
        """Asks and bids (K, M)."""
        own, quote, limit = adjoints[..., 0].T, self.game.competition.own_quote, self.game.max_quote
        return quote(own, self.controls.ask, limit), quote(-own, self.controls.bid, limit)

    def rates(self, adjoints: Array) -> Array:
        competition = self.game.competition
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        ask, bid = self.quotes(adjoints)
        sold = buys[:, None] * competition.own_share(ask, self.controls.ask)
        bought = sells[:, None] * competition.own_share(bid, self.controls.bid)
        return (bought - sold).T[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        sides = zip((buys, sells), self.quotes(adjoints), self.controls[1:], strict=True)
        slope = sum(-volume[:, None] * self._share_slope(own, quotes) for volume, own, quotes in sides)
        return np.asarray(slope).T[..., None, None]

    def _share_slope(self, own: Array, quotes: Array) -> Array:
        """Derivative of a maker's share in the marginal value that its optimal quote ``own`` answers; at most 0."""
        competition = self.game.competition
        free = np.abs(own) < self.game.max_quote
        moved = free / (1 - competition.own_markup_slope(own, quotes))
        return competition.own_share_slope(own, quotes) * moved

    def start(self) -> Array:
        """Quotes around the middle of the others' best: elsewhere exponential rates are astronomical."""
        middle = (best_of_others(self.controls.ask) - best_of_others(self.controls.bid)) / 2
        return np.array(middle.T[..., None])

    def own(self, adjoints: Array) -> Controls:
        ask, bid = self.quotes(adjoints)
        return self.controls._replace(ask=ask, bid=bid)


def respond_to_controls(
    game: MakerTakerGame, controls: Controls, steps: int, *, traders_only: bool = False
) -> list[Controls]:
    """For every agent (or every trader), the profile in which it plays its best response and the others stay.

    Args:
        game: the game.
        controls: one profile (K, N), (K, M), (K, M).
        steps: K.
        traders_only: True to leave out the makers.

    Raises:
        EquilibriumNotFound: an agent's own problem was not solved.
    """
    times = grid(game, steps)
    c, dt = game.coefficients(times), game.horizon / steps
    result: list[Controls] = []
    roles = ((TraderDeviators, slice(0, game.traders)), (MakerDeviators, slice(game.traders, None)))
    for kind, agents in roles[:1] if traders_only else roles:
        system = kind(game, c, controls, dt, agents)
        solution = newton.solve_system(system, steps, system.start(), longest=game.margin)
        if not solution.converged.all():
            stuck = np.array(game.agents)[agents][~solution.converged]
            raise EquilibriumNotFound(
                f"the best response of {', '.join(stuck)} was not found: residual {solution.residual.max():.3g} after "
                f"{solution.iterations} Newton iterations. The opponents' quotes may be extreme."
            )
        own = system.own(solution.adjoints)
        _require_peaks(system, own, solution.adjoints[..., 0].T, agents)
        result += [replaced(game, controls, own, i) for i in range(len(game.start))[agents]]
    return result


def _require_peaks(system: Deviators, own: Controls, adjoints: Array, agents: slice) -> None:
    """Raises EquilibriumNotFound where a control of a role's agents is no maximum; adjoints (K, role)."""
    game, every = system.game, np.zeros((len(adjoints), len(system.game.start)))
    every[:, agents] = adjoints
    controls: Literal["rates", "quotes"] = "rates" if agents.start == 0 else "quotes"
    better = better_control(game, system.c, system.controls, own, every, controls)
    if better:
        raise EquilibriumNotFound(f"a best response was not found: {better}")

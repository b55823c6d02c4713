"""Best responses in the maker-taker game against opponents that do not react: exact.

An agent faces a concave problem of its own. Its adjoint solves a scalar grid system whose rates rise with the adjoint,
so the solution is unique; Newton's method solves it for all agents of a role at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from ...envs.arrays import Array
from ...envs.competition import best_of_others
from ...envs.game import Activity, Controls
from ...envs.grid import accrue, grid
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from .. import attempts
from ..errors import EquilibriumNotFound
from ..fbsde import System
from ..profiles import replaced
from .messages import extreme
from .peaks import better_control
from .system import closing_sizes


class Deviators(System):
    """Agents of one role as a batch of scalar systems (..., role, K, 1), everyone else's controls being fixed.

    The rows K may be the steps of a grid, or as many states of one step.

    Args:
        game: the game; or many of one shape, see :mod:`~makertaker.baselines.maker_taker.many`.
        c: its coefficients.
        controls: everyone's, (..., K, N), (..., K, M), (..., K, M).
        dt: length of a step.
        start: (..., n) inventories.
        agents: (role,) positions of the deviators in the game's agents.
    """

    def __init__(
        self,
        game: MakerTakerGame,
        c: MakerTakerCoefficients,
        controls: Controls,
        dt: float,
        start: Array,
        agents: Array,
    ) -> None:
        running = np.swapaxes(np.atleast_2d(c.running_penalty), -1, -2)[..., agents, :, None]
        margin = np.asarray(game.margin)
        unit = margin[..., None] if margin.ndim else float(margin)
        super().__init__(dt, running, c.terminal_penalty[..., agents, None], start[..., agents, None], unit=unit)
        if game.must_close:
            self.close(closing_sizes(game, c)[..., agents, None])
        self.game, self.c, self.controls = game, c, controls
        self.columns = agents - (0 if agents[0] < game.traders else game.traders)

    def _rows(self, adjoints: Array, others: Array) -> Array:
        """Adjoints by step, (..., K, role'): those of the deviators in their columns, 0 elsewhere, where ``others`` is
        an array (..., K, role') of controls."""
        own = np.swapaxes(adjoints[..., 0], -1, -2)
        if len(self.columns) == others.shape[-1]:
            return own
        result = np.zeros((*own.shape[:-1], others.shape[-1]))
        result[..., self.columns] = own
        return result

    def _members(self, values: Array) -> Array:
        """(..., role, K) the deviators' columns of (..., K, role')."""
        return np.swapaxes(values[..., self.columns], -1, -2)

    @abstractmethod
    def guess(self) -> Array:
        """(..., role, K, 1) adjoints to start from."""

    @abstractmethod
    def implied(self) -> Array:
        """(..., role, K, 1) adjoints at which the deviators' controls as they are would be optimal: in an equilibrium
        the solution."""

    @abstractmethod
    def own(self, adjoints: Array) -> Controls:
        """The profile in which all deviators have their own optimal controls."""


class TraderDeviators(Deviators):
    """The rate whose marginal cost is ``y - s``, truncated, at given quotes and rates of the others."""

    def schedules(self, adjoints: Array) -> tuple[Array, Array]:
        """Rates (..., K, N), and True where they are free of truncation."""
        game, c, rate = self.game, self.c, self.controls.rate
        spread = game.spread_paid(c, self.controls.ask.min(axis=-1), self.controls.bid.min(axis=-1))
        low, high = game.rate_bounds
        own = game.impact.own_rate(c.impact, self._rows(adjoints, rate) - spread, rate)
        return np.clip(own, low, high), (own > low) & (own < high)

    def rates(self, adjoints: Array) -> Array:
        return self._members(self.schedules(adjoints)[0])[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        rate, free = self.schedules(adjoints)
        slope = free / self.game.impact.curvature(self.c.impact, rate, self.controls.rate)
        return self._members(slope)[..., None, None]

    def guess(self) -> Array:
        """The crude guess of the equilibrium's solver will do: rates are piecewise linear in the adjoint."""
        return attempts.start(self, self.controls.rate.shape[-2])

    def implied(self) -> Array:
        """The spread and the marginal cost."""
        game, c, rate = self.game, self.c, self.controls.rate
        spread = game.spread_paid(c, self.controls.ask.min(axis=-1), self.controls.bid.min(axis=-1))
        return self._members(spread + game.impact.marginal_cost(c.impact, rate, rate))[..., None]

    def own(self, adjoints: Array) -> Controls:
        return self.controls._replace(rate=self.schedules(adjoints)[0])


class MakerDeviators(Deviators):
    """The quotes whose markup is the distance to ``+-y``, truncated, at given rates and quotes of the others."""

    def quotes(self, adjoints: Array) -> tuple[Array, Array]:
        """Asks and bids (..., K, M)."""
        own, quote, limit = (
            self._rows(adjoints, self.controls.ask),
            self.game.competition.own_quote,
            self.game.quote_bound,
        )
        return quote(own, self.controls.ask, limit), quote(-own, self.controls.bid, limit)

    def rates(self, adjoints: Array) -> Array:
        competition = self.game.competition
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        ask, bid = self.quotes(adjoints)
        sold = buys[..., None] * competition.own_share(ask, self.controls.ask)
        bought = sells[..., None] * competition.own_share(bid, self.controls.bid)
        return self._members(bought - sold)[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        sides = zip((buys, sells), self.quotes(adjoints), self.controls[1:], strict=True)
        slope = sum(-volume[..., None] * self._share_slope(own, quotes) for volume, own, quotes in sides)
        return self._members(np.asarray(slope))[..., None, None]

    def _share_slope(self, own: Array, quotes: Array) -> Array:
        """Derivative of a maker's share in the marginal value that its optimal quote ``own`` answers; at most 0."""
        competition = self.game.competition
        free = np.abs(own) < self.game.quote_bound
        moved = free / (1 - competition.own_markup_slope(own, quotes))
        return competition.own_share_slope(own, quotes) * moved

    def guess(self) -> Array:
        """Quotes around the middle of the others' best: elsewhere exponential rates are astronomical. Around the
        reference price where there are no others."""
        if self.game.makers == 1:
            return np.array(0 * self._members(self.controls.ask)[..., None])
        middle = (best_of_others(self.controls.ask) - best_of_others(self.controls.bid)) / 2
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        both = (buys > 0) & (sells > 0)
        # where exponential shares of both volumes are the same: away from there one of them is astronomical
        ratio = np.log(np.where(both, buys, 1.0)) - np.log(np.where(both, sells, 1.0))
        margin = np.asarray(self.game.margin)
        lean = (margin[..., None] if margin.ndim else margin) / 2 * ratio
        return np.array(self._members(middle + lean[..., None])[..., None])

    def implied(self) -> Array:
        """The mean of what the ask says and what the bid says."""
        ask, bid = (quotes - self.game.competition.own_markup(quotes, quotes) for quotes in self.controls[1:])
        return self._members((ask - bid) / 2)[..., None]

    def own(self, adjoints: Array) -> Controls:
        ask, bid = self.quotes(adjoints)
        return self.controls._replace(ask=ask, bid=bid)


def best_controls(
    game: MakerTakerGame,
    c: MakerTakerCoefficients,
    controls: Controls,
    dt: float,
    start: Array,
    agents: Sequence[int],
) -> tuple[Controls, Array, Array]:
    """The best responses of agents, each alone.

    Args:
        game: see :class:`Deviators`, as for the other arguments.
        c: coefficients.
        controls: that the others stay at.
        dt: length of a step.
        start: (..., n) inventories.
        agents: positions of the deviators.

    Returns:
        The controls, with those of every deviator in their place; which of them were found, (..., agents); and the
        deviators' adjoints (..., K, n), 0 for others.
    """
    found, solved = controls, []
    wanted, adjoints = np.array(agents, dtype=int), np.zeros((*controls.rate.shape[:-1], start.shape[-1]))
    for kind, members in ((TraderDeviators, wanted < game.traders), (MakerDeviators, wanted >= game.traders)):
        if not members.any():
            continue
        system = kind(game, c, controls, dt, start, wanted[members])
        result = attempts.solve_system(system, controls.rate.shape[-2], system.guess(), system.implied())
        own = system.own(result.adjoints)
        found = found._replace(rate=own.rate) if kind is TraderDeviators else found._replace(ask=own.ask, bid=own.bid)
        solved.append(result.converged)
        adjoints[..., wanted[members]] = np.swapaxes(result.adjoints[..., 0], -1, -2)
    order = np.argsort(np.argsort(wanted >= game.traders, kind="stable"), kind="stable")
    return found, np.concatenate(solved, axis=-1)[..., order], adjoints


def respond_to_controls(
    game: MakerTakerGame, controls: Controls, steps: int, agents: Sequence[int] | None = None
) -> Iterator[Controls]:
    """For every agent the profile in which it plays its best response and the others stay.

    Args:
        game: the game.
        controls: one profile (K, N), (K, M), (K, M).
        steps: K.
        agents: positions of the deviators; None: all.

    Raises:
        EquilibriumNotFound: the problem of one of them was not solved.
    """
    c, dt = game.coefficients(grid(game, steps)), game.horizon / steps
    wanted = list(range(len(game.start)) if agents is None else agents)
    own = _found(game, c, controls, dt, wanted)
    return (replaced(game, controls, own, i) for i in wanted)


def played(
    game: MakerTakerGame, c: MakerTakerCoefficients, dt: float, start: Array, controls: Controls
) -> tuple[Activity, Array, Array]:
    """What happens (..., K, .), inventories (..., K+1, n) and payoffs (..., n) under controls (..., K, .).

    Arguments are those of :class:`Deviators`.
    """
    activity = game.activity(c, controls)
    inventories, rewards = accrue(c, dt, start, activity)
    return activity, inventories, rewards.sum(axis=-2)


def gains_of(
    game: MakerTakerGame, c: MakerTakerCoefficients, controls: Controls, dt: float, start: Array, own: Controls
) -> tuple[Array, Array]:
    """Everyone's payoffs (..., n) under controls, and gains (..., n) if it, alone, plays ``own`` instead."""
    before = played(game, c, dt, start, controls)[-1]
    after = [played(game, c, dt, start, replaced(game, controls, own, i))[-1][..., i] for i in range(start.shape[-1])]
    return before, np.stack(after, axis=-1) - before


def exact_gains(game: MakerTakerGame, controls: Controls, steps: int) -> tuple[Array, Array]:
    """Everyone's payoffs (n,) in one profile of schedules, and gains (n,) from best responses.

    Raises:
        EquilibriumNotFound: the problem of an agent was not solved.
    """
    c, dt = game.coefficients(grid(game, steps)), game.horizon / steps
    return gains_of(game, c, controls, dt, game.start, _found(game, c, controls, dt, range(len(game.start))))


def _found(
    game: MakerTakerGame, c: MakerTakerCoefficients, controls: Controls, dt: float, agents: Sequence[int]
) -> Controls:
    own, solved, adjoints = best_controls(game, c, controls, dt, game.start, agents)
    if not solved.all():
        failed = [i for i, found in zip(agents, solved, strict=True) if not found]
        stuck = ", ".join(game.agents[i] for i in failed)
        raise EquilibriumNotFound(
            f"the best response of {stuck} was not found by Newton's method and continuation in the penalties; "
            f"the opponents' quotes may be extreme. {extreme(game, failed)}"
        )
    better = better_control(game, c, controls, own, adjoints, agents)
    if better:
        raise EquilibriumNotFound(f"a best response was not found: {better}")
    return own

"""The maker-taker game one step at a time, for games with noise: (13)-(14) and (40)-(41)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ..noise.step_system import AgentsInStep, Marginals, StepSystem, some_controls, some_markets
from .peaks import better_control
from .response import Deviators, MakerDeviators, TraderDeviators
from .system import GameSystem, optimal_controls


class MakerTakerSteps(StepSystem[MakerTakerCoefficients]):
    """The feedback maps of Theorems 3.9 and 5.4."""

    game: MakerTakerGame

    @property
    def shares(self) -> Array:
        """Of a trader what it trades; of a maker its inventory, or its part of all volume where that is more."""
        game, c, own = self.game, self._coefficients, np.abs(self.game.start)
        traders, makers = own[: game.traders], own[game.traders :]
        flow = game.horizon * (c.buy_flow.mean() + c.sell_flow.mean())
        volume = traders @ (c.buy_weight + c.sell_weight) + flow
        return np.concatenate([traders, np.maximum(makers, volume / game.makers)])

    @property
    def price(self) -> float:
        """The margin: quotes and rates change at its scale."""
        return self.game.margin

    def everyone(self, c: MakerTakerCoefficients) -> _Everyone:
        return _Everyone(self, c)

    def in_role(self, c: MakerTakerCoefficients, controls: Controls, role: slice) -> _Role:
        return _Role(self, c, controls, role)

    def marginals(self, c: MakerTakerCoefficients, controls: Controls) -> Marginals:
        """Of (12): a rate moves the makers' inventories, and a quote everyone's share of its side."""
        game, (rate, ask, bid) = self.game, controls
        n, makers = game.traders, game.makers
        asks, bids = game.competition.fill(ask), game.competition.fill(bid)
        buys, sells = game.volumes(c, rate)
        sold, bought = (
            np.swapaxes(volume[..., None, None] * game.competition.share_jacobian(quotes), -1, -2)
            for volume, quotes in ((buys, ask), (sells, bid))
        )  # [quote, maker]
        result = np.zeros((*rate.shape[:-1], n + 2 * makers, n + makers))
        result[..., :n, :n] = np.eye(n)
        result[..., :n, n:] = (
            -c.sell_weight[:, None] * bids.share[..., None, :] - c.buy_weight[:, None] * asks.share[..., None, :]
        )
        result[..., n : n + makers, n:] = -sold
        result[..., n + makers :, n:] = bought
        spread = game.spread_paid(c, asks.best, bids.best)
        own = np.arange(makers)
        income = [
            -spread - game.impact.marginal_cost(c.impact, rate, rate),
            buys[..., None] * asks.share + ask * sold[..., own, own],
            sells[..., None] * bids.share + bid * bought[..., own, own],
        ]
        return Marginals(result, np.concatenate(income, axis=-1))

    no_stage_game: ClassVar[str] = (
        "where makers who mind each other's inventories tie, where they may send each other any flow by quoting far "
        "away, as under best-quote competition, or where a constraint binds at some states and not at others, a step "
        "need not have an equilibrium that Newton's method finds. What helps: shares that sum to one (SoftmaxShare), "
        "makers who start further apart, noise, wider constraints, smaller penalties, more steps"
    )

    def idle(self, c: MakerTakerCoefficients) -> tuple[bool, bool]:
        """No flow, and nobody who trades on that side."""
        buyers, sellers = c.buy_weight.any(), c.sell_weight.any()
        return not (buyers or np.any(c.buy_flow)), not (sellers or np.any(c.sell_flow))

    @property
    def places(self) -> tuple[int, int]:
        """A trader pays the best quote; under best-quote competition with three makers or more shares have kinks,
        too."""
        start = np.asarray(self.game.trader_inventory)
        shares = self.game.competition.places(self.game.makers)
        return max(shares, int((start < 0).any())), max(shares, int((start > 0).any()))

    def better_control(self, c: MakerTakerCoefficients, controls: Controls, adjoint: Array) -> str:
        return better_control(self.game, c, controls, controls, adjoint)


@dataclass(frozen=True)
class _Everyone(AgentsInStep):
    system: MakerTakerSteps
    c: MakerTakerCoefficients

    def _at(self, members: Array | slice) -> GameSystem:
        return GameSystem(self.system.game, some_markets(self.c, members), self.system.dt, self.system.game.start)

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        return self._at(members).rates(adjoint)

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        return self._at(members).jacobian(adjoint)

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return optimal_controls(self.system.game, self.c, adjoint)


@dataclass(frozen=True)
class _Role(AgentsInStep):
    system: MakerTakerSteps
    c: MakerTakerCoefficients
    played: Controls
    role: slice

    def _at(self, members: Array | slice) -> Deviators:
        """States take the place of steps."""
        kind = TraderDeviators if self.role.start < self.system.game.traders else MakerDeviators
        c, controls = some_markets(self.c, members), some_controls(self.played, members)
        game = self.system.game
        return kind(game, c, controls, self.system.dt, game.start, np.arange(self.role.start, self.role.stop))

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        return self._at(members).rates(adjoint.T[..., None])[..., 0].T

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        slopes = self._at(members).jacobian(adjoint.T[..., None])[..., 0, 0].T
        return slopes[..., None] * np.eye(adjoint.shape[-1])

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return self._at(slice(None)).own(adjoint.T[..., None])

"""The forward-backward system of the maker-taker game: Theorems 3.9 and 4.1, their adjoints averaged over each step.

:mod:`~makertaker.baselines.fbsde` has the grid's equations.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.competition import best_quote
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ..fbsde import System
from ..sweep import BANDED_LIMIT
from .sums import AT_ONCE, Slopes, solve_by_sums

_SWEEP = 0.5
"""``K^2 M^3`` beside ``n^3`` up to which sums are less work than a sweep with matrices, measured"""
MANY = 16
"""traders from which on the system is solved by their sums"""


def optimal_controls(game: MakerTakerGame, c: MakerTakerCoefficients, adjoints: Array) -> Controls:
    """The feedback maps ``psi^a, psi^b, phi`` of Theorem 3.9, (17) in the ACAS model: everyone's optimal control at
    adjoints (..., K, n), each given those of the others; NaN where a map is not solved to rounding."""
    traders, makers = adjoints[..., : game.traders], adjoints[..., game.traders :]
    ask, bid = game.competition.optimal_quotes(np.stack([makers, -makers]), game.quote_bound)
    spread = game.spread_paid(c, best_quote(ask), best_quote(bid))
    rate = game.impact.optimal_rates(c.impact, traders - spread, *game.rate_bounds) if game.traders else traders
    return Controls(rate, ask, bid)


def system_size(game: MakerTakerGame, steps: int) -> float:
    """Numbers that a Newton step takes on each of K steps: derivatives of rates, and the linear system."""
    n = len(game.start)
    if by_sums(game, steps):
        return 8 * n + 6 * steps * game.makers**2 + min(n * steps, AT_ONCE / steps)
    return 8 * n + (48 if n <= BANDED_LIMIT else 10) * n**2


def by_sums(game: MakerTakerGame, steps: int) -> bool:
    """True for many traders whose costs are their own, where their sums are less work than a sweep with matrices."""
    few = steps**2 * game.makers**3 < _SWEEP * len(game.start) ** 3
    return few and game.traders >= MANY and not game.impact.coupled


def closing_sizes(game: MakerTakerGame, c: MakerTakerCoefficients) -> Array:
    """(..., n) curvature of impact costs over the horizon, ``2 beta / T`` where they are quadratic; 0 for makers."""
    rate = np.broadcast_to(-game.start[: game.traders] / game.horizon, c.impact.shape)
    curvature = game.impact.curvature(c.impact, rate, rate).mean(axis=-2) / game.horizon
    return np.concatenate([curvature, np.zeros((*curvature.shape[:-1], game.makers))], axis=-1)


class GameSystem(System):
    """The equilibrium system of a game: (13)-(14) on the grid, (18)-(19) in the ACAS model, (20)-(21) with truncations.

    Args:
        game: the game.
        c: its coefficients on the steps that are left.
        dt: length of a step.
        initial: (..., n) inventories at the first of these steps.
    """

    def __init__(self, game: MakerTakerGame, c: MakerTakerCoefficients, dt: float, initial: Array) -> None:
        super().__init__(dt, c.running_penalty, c.terminal_penalty, initial, unit=game.margin)
        if game.must_close:
            self.close(closing_sizes(game, c))
        self.game, self.c = game, c
        self._last: tuple[Array, Controls] | None = None

    def _controls(self, adjoints: Array) -> Controls:
        """Optimal controls; those of the last adjoints are remembered: derivatives are wanted where rates were."""
        if self._last is None or self._last[0] is not adjoints:
            self._last = adjoints, optimal_controls(self.game, self.c, adjoints)
        return self._last[1]

    def rates(self, adjoints: Array) -> Array:
        return self.game.activity(self.c, self._controls(adjoints)).inventory_rate

    def slopes(self, adjoints: Array) -> Slopes:
        """Analytic; at ties and truncations one-sided (of tied makers the first counts as the best)."""
        game, c = self.game, self.c
        controls = self._controls(adjoints)
        quotes, competition = np.stack(controls[1:]), game.competition  # both sides at once
        ask_share, bid_share = competition.fill(quotes).share
        slope = competition.optimal_jacobian(quotes, game.quote_bound)
        best_ask, best_bid = (competition.best_jacobian(quotes)[..., None, :] @ slope)[..., 0, :]
        sold, bought = competition.share_jacobian(quotes) @ slope
        buy_volume, sell_volume = game.volumes(c, controls.rate)
        # the bid side is the ask side at the negative adjoint
        makers = -sell_volume[..., None, None] * bought - buy_volume[..., None, None] * sold
        return Slopes(controls.rate, best_ask, -best_bid, ask_share, bid_share, makers)

    def _free(self, rate: Array) -> Array:
        """(..., N) 1 where a rate is not truncated, otherwise 0."""
        low, high = self.game.rate_bounds
        return 1.0 * ((rate > low) & (rate < high))

    def jacobian(self, adjoints: Array) -> Array:
        """From :meth:`slopes`. In the ACAS model its part in the coordinates of (22) is (24), and (25) where the least
        rate binds."""
        game, c, split = self.game, self.c, self.game.traders
        parts = self.slopes(adjoints)
        spread = c.buyer[:, None] * parts.best_ask[..., None, :] - c.seller[:, None] * parts.best_bid[..., None, :]
        result = np.zeros((*adjoints.shape, adjoints.shape[-1]))
        slope = game.impact.optimal_jacobian(c.impact, parts.rate, self._free(parts.rate))
        result[..., :split, :split] = slope
        result[..., :split, split:] = -slope @ spread
        rate_rows = result[..., :split, :]
        buys = c.buy_weight @ rate_rows
        sells = -c.sell_weight @ rate_rows
        maker_rows = parts.bid_share[..., None] * sells[..., None, :] - parts.ask_share[..., None] * buys[..., None, :]
        maker_rows[..., split:] += parts.makers
        result[..., split:, :] = maker_rows
        return result

    def direction(self, adjoints: Array, defect: Array) -> Array:
        """See :meth:`.System.direction`; many traders whose costs are their own by their sums."""
        game, c = self.game, self.c
        if defect.ndim > 2 or not by_sums(game, len(defect)):
            return super().direction(adjoints, defect)
        parts = self.slopes(adjoints)
        own = self._free(parts.rate) / game.impact.curvature(c.impact, parts.rate, parts.rate)
        return solve_by_sums(self, (c.buy_weight, c.sell_weight), own, parts, defect)

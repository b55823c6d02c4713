"""The forward-backward system of the maker-taker game: Theorems 3.9 and 4.1, their adjoints averaged over each step.

:mod:`~makertaker.baselines.fbsde` has the grid's equations.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ..fbsde import System


def optimal_controls(game: MakerTakerGame, c: MakerTakerCoefficients, adjoints: Array) -> Controls:
    """The feedback maps ``psi^a, psi^b, phi`` of Theorem 3.9, (17) in the ACAS model: everyone's optimal control at
    adjoints (..., K, n), each given those of the others; NaN where a map is not solved to rounding."""
    traders, makers = np.split(adjoints, [game.traders], axis=-1)
    ask, bid = game.competition.optimal_quotes(np.stack([makers, -makers]), game.quote_bound)
    spread = game.spread_paid(c, ask.min(axis=-1), bid.min(axis=-1))
    return Controls(game.impact.optimal_rates(c.impact, traders - spread, *game.rate_bounds), ask, bid)


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
        self.game, self.c = game, c

    def rates(self, adjoints: Array) -> Array:
        return self.game.activity(self.c, optimal_controls(self.game, self.c, adjoints)).inventory_rate

    def jacobian(self, adjoints: Array) -> Array:
        """Analytic; at ties and truncations one-sided (of tied makers the first counts as the best).

        In the ACAS model its part in the coordinates of (22) is (24), and (25) where the least rate binds.
        """
        game, c = self.game, self.c
        split = game.traders
        controls = optimal_controls(game, c, adjoints)
        asks, bids = game.competition.fill(controls.ask), game.competition.fill(controls.bid)
        # the bid side is the ask side at the negative adjoint
        ask_slope = game.competition.optimal_jacobian(controls.ask, game.quote_bound)
        bid_slope = -game.competition.optimal_jacobian(controls.bid, game.quote_bound)
        best_ask, best_bid = (
            (game.competition.best_jacobian(quotes)[..., None, :] @ slope)[..., 0, :]
            for quotes, slope in ((controls.ask, ask_slope), (controls.bid, bid_slope))
        )
        spread = c.buyer[:, None] * best_ask[..., None, :] - c.seller[:, None] * best_bid[..., None, :]

        result = np.zeros((*adjoints.shape, adjoints.shape[-1]))
        low, high = game.rate_bounds
        free = 1.0 * ((controls.rate > low) & (controls.rate < high))
        slope = game.impact.optimal_jacobian(c.impact, controls.rate, free)
        result[..., :split, :split] = slope
        result[..., :split, split:] = -slope @ spread

        buy_volume, sell_volume = game.volumes(c, controls.rate)
        rate_rows = result[..., :split, :]
        buys = c.buy_weight @ rate_rows
        sells = -c.sell_weight @ rate_rows
        maker_rows = bids.share[..., None] * sells[..., None, :] - asks.share[..., None] * buys[..., None, :]
        sold = game.competition.share_jacobian(controls.ask) @ ask_slope
        bought = game.competition.share_jacobian(controls.bid) @ bid_slope
        maker_rows[..., split:] += sell_volume[..., None, None] * bought - buy_volume[..., None, None] * sold
        result[..., split:, :] = maker_rows
        return result

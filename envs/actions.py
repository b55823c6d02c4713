"""Which controls are worth exploring: a rule that knows the game's parameters and nothing of its solution.

- A trader who must trade ``q`` shares in ``T`` at impact ``beta`` and running penalty ``phi`` starts, in the model of
  Almgren and Chriss, at the rate ``q kappa coth(kappa T)``, ``kappa = sqrt(phi / beta)``; without penalty that is
  ``q / T``. The range goes up to twice that, with ``q`` enlarged by what makers who start with inventory may offer.
- A maker's optimal ask is the margin ``1 / gamma`` plus its marginal value ``y`` of inventory, its bid the margin minus
  ``y``; for an inventory ``S`` held to the end ``y = -(2 A + 2 phi T) S``. The range covers every ``S`` between the
  makers' initial inventories and what is left of them when a maker has served half of the net demand that traders and
  noise flows bring, and one margin more on either side; with noise, what it may bring besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .game import Controls

if TYPE_CHECKING:
    from .maker_taker_game import MakerTakerGame

_STEPS = 64


def action_range(game: MakerTakerGame) -> tuple[Controls, Controls]:
    """Lowest and highest controls, (N,) rates and (M,) quotes, within the game's constraints."""
    c = game.coefficients(np.linspace(0.0, game.horizon, _STEPS + 1))
    traders = np.abs(game.trader_inventory)
    makers = np.abs(game.maker_inventory).mean()
    running = c.running_penalty.mean(axis=0)

    urgency = np.sqrt(running[: game.traders] / c.impact.mean(axis=0)) * game.horizon
    first_rate = np.where(urgency > 1e-6, urgency / np.tanh(np.maximum(urgency, 1e-6)), 1.0) / game.horizon
    fast = np.clip(2 * first_rate * (traders + makers / 2), 2 * game.min_rate, game.max_rate)
    low, high = game.rate_bounds
    buyer = c.buyer > 0
    rate = np.where(buyer, low, -fast), np.where(buyer, fast, high)

    orders = -float((c.buy_weight + c.sell_weight) @ np.asarray(game.trader_inventory))
    demand = orders + game.horizon * float((c.buy_flow - c.sell_flow).mean())
    inventories = np.asarray(game.maker_inventory)
    reach = _surprise(game)
    ends = [inventories - demand / 2 + reach, inventories - demand / 2 - reach] if reach else [inventories - demand / 2]
    stocks = np.concatenate([inventories, *ends])[:, None]
    value = -(2 * c.terminal_penalty + 2 * running * game.horizon)[game.traders :] * stocks
    margin = game.margin
    least, most = value.min(axis=0) - margin, value.max(axis=0) + margin
    ask = _within(game, margin + least, margin + most)
    bid = _within(game, margin - most, margin - least)
    return Controls(rate[0], ask[0], bid[0]), Controls(rate[1], ask[1], bid[1])


def _surprise(game: MakerTakerGame) -> float:
    """Shares that noise may bring to a maker besides: two standard deviations of its own, half of the extra flow."""
    reach = 2 * game.inventory_noise * float(np.sqrt(game.horizon))
    if game.factor is None:
        return reach
    usual, unusual = (game.flow_range(scales) for scales in (0.0, 1.0))
    return reach + game.horizon * float(np.abs(unusual - usual).max()) / 2


def _within(game: MakerTakerGame, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quotes within the constraint; all of them where the constraint leaves nothing of the range."""
    limit = game.max_quote
    clipped = np.clip(low, -limit, limit), np.clip(high, -limit, limit)
    empty = clipped[1] - clipped[0] <= 1e-9 * limit
    return np.where(empty, -limit, clipped[0]), np.where(empty, limit, clipped[1])

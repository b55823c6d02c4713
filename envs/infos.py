"""What ``info`` says about a market, in physical units and with the same names at a reset and after every step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .arrays import Array
from .market import Market


def market_values(market: Market) -> dict[str, Array]:
    """What ``info`` says to all agents.

    =================== ========= ==========================================================================
    name                shape     meaning
    =================== ========= ==========================================================================
    ``mid``             (...,)    market price
    ``volume``          (...,)    shares that arrived in this step, at both sides; 0 before the first
    ``spread``          (...,)    best ask plus best bid; 0 before the first step; where there are makers
    ``factor``          (..., d)  the factor, where there is one
    ``inventory_noise`` (..., n)  shares that noise brought in this step, where there is such noise
    ``drawn.NAME``      (...,)    a parameter of a random market; (..., size) where it is a list
    =================== ========= ==========================================================================
    """
    game, activity = market.game, market.activity
    if activity is None:
        nothing = np.zeros(market.batch)
        volume, spread = nothing, nothing if game.makers else None
    else:
        volume, spread = (activity.buy_volume + activity.sell_volume) * market.dt, activity.spread
    values: dict[str, Array] = {"mid": market.price, "volume": volume}
    if spread is not None:
        values["spread"] = spread
    if market.factor is not None:
        values["factor"] = market.factor
    if game.inventory_noise:
        shape = (*market.batch, len(game.agents))
        values["inventory_noise"] = np.zeros(shape) if market.shock is None else market.shock
    if market.drawn is not None:
        values |= {f"drawn.{name}": each for name, each in market.drawn_values.items()}
    return values


def own_values(market: Market) -> dict[str, Array]:
    """What ``info`` says to each agent of itself.

    ============= ========= ==========================================================================
    name          shape     meaning
    ============= ========= ==========================================================================
    ``inventory`` (..., n)  in shares
    ``cash``      (..., n)  in currency
    ``pnl``       (..., n)  cash and inventory at the market price, less the initial inventory's value
    ``price``     (..., N)  what a trader paid per share in this step; the market price before the first
    ``rate``      (..., N)  what a trader traded at in this step, where one must liquidate; 0 before the first
    ``clipped``   (..., N)  the same less the rate that its action stood for, within the constraints
    ============= ========= ==========================================================================
    """
    paid = market.paid
    if paid is None:
        paid = np.broadcast_to(market.price[..., None], (*market.batch, market.game.traders))
    values = {"inventory": market.inventories, "cash": market.cash, "pnl": market.pnl, "price": paid}
    return values | ({"rate": market.rate, "clipped": market.clipped} if market.game.must_close else {})


def agent_info(market: Market, index: int) -> dict[str, Array]:
    """What ``info`` says to one agent: arrays (...,), (..., d) and (..., n)."""
    own = own_values(market).items()
    return market_values(market) | {name: each[..., index] for name, each in own if index < each.shape[-1]}


def everyone(market: Market) -> Iterator[dict[str, float | np.ndarray]]:
    """What ``info`` of a single market says, agent by agent: floats, and arrays (d,) and (n,)."""
    common = {name: each.copy() if np.ndim(each) else float(each) for name, each in market_values(market).items()}
    own = {name: each.tolist() for name, each in own_values(market).items()}
    for index in range(len(market.game.agents)):
        yield common | {name: each[index] for name, each in own.items() if index < len(each)}

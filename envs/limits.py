"""Limits of the axes of an episode's pictures, known before it is played.

They hold the initial inventories, zero, the ghost where there is one, and the market in which traders trade evenly and
makers quote in the middle of their action ranges; and around that a part of its span. What goes beyond is drawn at the
edge and marked.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from .arrays import Array, as_numpy
from .game import Controls, Game
from .grid import Trajectory, simulate, terminal_reward
from .market import Market

Range: TypeAlias = tuple[float, float]
_AROUND = 0.25
"""part of a span that is added on either side, where nothing else bounds what is played"""
_AROUND_CONTROLS, _AROUND_PAYOFFS = 0.5, 0.1
_EDGE = 0.05
"""part of a span within which nothing is drawn, so that lines do not touch the frame"""
_DEVIATIONS = 2.0
"""standard deviations of noise that have room"""


class Ghost(NamedTuple):
    """What is drawn behind an episode to compare it with."""

    label: str
    inventories: np.ndarray
    """(K+1, n)"""
    controls: Controls
    """(K, N), (K, M), (K, M)"""
    prices: np.ndarray
    """(K+1,) market price, without noise of its own"""
    payoffs: np.ndarray | None
    """(n,)"""


def as_ghost(game: Game, steps: int, played: object, label: str) -> Ghost:
    """A ghost of an equilibrium, or of a trajectory.

    Args:
        game: the game.
        steps: K of its grid.
        played: has ``inventories`` (K+1, n) and ``controls``, and may have ``payoffs`` (n,).
        label: its name in the legend.

    Raises:
        ValueError: an attribute is missing, or its shape does not fit.
    """
    count = len(game.agents)
    if any(getattr(played, name, None) is None for name in ("inventories", "controls")):
        raise ValueError(
            f"ghost: expected an equilibrium or a trajectory, with inventories and controls, got {played!r}"
        )
    controls = game.complete(played.controls)  # type: ignore[attr-defined]  # looked at above
    shapes = {"controls.rate": game.traders, "controls.ask": game.makers, "controls.bid": game.makers}
    fields = zip(shapes.items(), controls, strict=True)
    arrays = {"inventories": _shaped("inventories", played.inventories, (steps + 1, count))}  # type: ignore[attr-defined]
    arrays |= {name: _shaped(name, each, (steps, size)) for (name, size), each in fields}
    payoffs = getattr(played, "payoffs", None)
    if payoffs is not None:
        payoffs = _shaped("payoffs", payoffs, (count,))
    controls = Controls(*(arrays[name] for name in shapes))
    return Ghost(label, arrays["inventories"], controls, np.asarray(simulate(game, controls, steps).mid), payoffs)


def _shaped(name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(0) if value is None else as_numpy(value)
    if found.shape != shape:
        raise ValueError(f"ghost: expected {name} of shape {shape}, those of the environment, got {found.shape}")
    return found


class Limits(NamedTuple):
    """Least and greatest value of each axis."""

    inventory: Range
    control: Range
    """quotes less the reference price, a bid's with its sign; rates where nobody quotes"""
    volume: Range
    """of a step, at one side"""
    price: Range
    payoff: Range
    """of the episode, were it to end now"""


def limits(market: Market, ghost: Ghost | None) -> Limits:
    """The limits of the episode that a single market has begun."""
    game = market.games()[0]
    paths = [simulate(game, _evenly(market, game), market.steps)]
    if ghost is not None:
        paths.append(simulate(game, ghost.controls, market.steps))
    noise = _DEVIATIONS * game.volatility * float(np.sqrt(game.horizon))
    shaken = _DEVIATIONS * game.inventory_noise * float(np.sqrt(game.horizon))
    away = market.initial - game.start
    held = [0.0, *(each.inventories + away for each in paths), *([] if ghost is None else [ghost.inventories])]
    paid = [each.mid[:-1, None] + each.activity.premium for each in paths] if not game.makers else []
    payoffs = [0.0, *(_standing(game, each) for each in paths)]
    payoffs += [] if ghost is None or ghost.payoffs is None else [ghost.payoffs]
    gains = noise * float(np.abs(market.initial).max()) if market.options.reward == "wealth" else 0.0
    traded = [np.maximum(each.activity.buy_volume, each.activity.sell_volume) for each in paths]
    most = market.dt * max(float(each.max()) for each in traded)
    return Limits(
        inventory=_around(held, _AROUND, game.volume_unit, shaken),
        control=_of_controls(market, game, ghost),
        volume=(0.0, (1 + _AROUND) * most or 1.0),
        price=_around([*(each.mid for each in paths), *paid], _AROUND, game.price_unit, noise),
        payoff=_around(payoffs, _AROUND_PAYOFFS, game.payoff_unit(game.agents[0]), gains),
    )


def _evenly(market: Market, game: Game) -> Controls:
    """Traders trade at the rate that closes their inventory at the horizon, makers quote in the middle."""
    rate = -game.start[: game.traders] / game.horizon
    low, high = market.scale.low, market.scale.high
    quotes = ((low.ask + high.ask) / 2, (low.bid + high.bid) / 2) if game.makers else np.zeros((2, 0))
    return Controls(*(np.broadcast_to(each, (market.steps, len(each))) for each in (rate, *quotes)))


def _standing(game: Game, played: Trajectory) -> Array:
    """(K+1, n) payoffs, were the game to end at these times."""
    penalties = terminal_reward(game.coefficients(played.times), played.inventories)
    earned = np.cumsum(played.rewards, axis=0)
    earned[:-1] += penalties[1:-1]
    return np.concatenate([penalties[:1], earned])


def _of_controls(market: Market, game: Game, ghost: Ghost | None) -> Range:
    """The action range; with a ghost the part of it around what the ghost plays."""
    low, high = market.scale.low, market.scale.high
    ends = [low.ask, high.ask, -low.bid, -high.bid] if game.makers else [low.rate, high.rate]
    outer = _around([0.0, *ends], _EDGE, 1.0)
    if ghost is None:
        return outer
    shown = [ghost.controls.ask, -ghost.controls.bid] if game.makers else [ghost.controls.rate]
    inner = _around([0.0, *shown], _EDGE, outer[1] - outer[0])
    near = _around([0.0, *shown], _AROUND_CONTROLS, outer[1] - outer[0])
    return min(max(near[0], outer[0]), inner[0]), max(min(near[1], outer[1]), inner[1])


def _around(values: list[Array], part: float, unit: float, more: float = 0.0) -> Range:
    """A range that holds values, a part of their span on either side, and more; of a unit where the span is 0."""
    low, high = min(float(np.min(each)) for each in values), max(float(np.max(each)) for each in values)
    room = more + (part * (high - low) or unit)
    return low - room, high + room

"""Rules of thumb to compare with: none of them knows the other agents' controls."""

from __future__ import annotations

import numpy as np

from ..envs import Controls, Game, MakerTakerGame
from ..envs.grid import closing_rates, grid, move


def twap(game: Game, steps: int) -> np.ndarray:
    """Time-weighted average price: every trader closes its inventory at a constant rate; rates (K, N).

    Examples:
        >>> from makertaker.baselines import twap
        >>> from makertaker.envs import load_scenario
        >>> twap(load_scenario("acas"), 2).tolist()  # five shares in one unit of time
        [[5.0], [5.0]]
    """
    grid(game, steps)
    low, high = game.rate_bounds
    return np.tile(np.clip(-game.start[: game.traders] / game.horizon, low, high), (steps, 1))


def constant_spread(game: MakerTakerGame, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The quotes of makers who do not care for inventory, ``1 / gamma`` in (17); asks and bids, (K, M) each.

    Examples:
        >>> from makertaker.baselines import constant_spread
        >>> from makertaker.envs import load_scenario
        >>> ask, bid = constant_spread(load_scenario("acas"), 2)
        >>> ask.round(3).tolist()  # 1 / gamma
        [[1.0, 1.0], [1.0, 1.0]]
    """
    grid(game, steps)
    quotes = game.competition.optimal_quotes(np.zeros((steps, game.makers)), game.quote_bound)
    return quotes, quotes.copy()


def random_controls(game: Game, steps: int, seed: int) -> Controls:
    """Controls drawn uniformly from the game's action range at every step; rates of traders who must liquidate are
    truncated so that they do.

    Examples:
        >>> from makertaker.baselines import exploitability, random_controls
        >>> from makertaker.envs import load_scenario
        >>> controls = random_controls(load_scenario("acas"), 20, seed=0)
        >>> bool(exploitability("acas", controls).relative > 1)  # random play is more than 100% from Nash
        True
    """
    rng = np.random.default_rng(seed)
    low, high = game.action_range()
    drawn = Controls(*(rng.uniform(a, b, (steps, len(a))) for a, b in zip(low, high, strict=True)))
    if not game.must_close:
        return drawn
    dt, inventories, rates = game.horizon / steps, game.start[: game.traders], []
    for k, rate in enumerate(drawn.rate):
        kept = closing_rates(game, drawn._replace(rate=rate), inventories, dt, steps - k - 1).rate
        rates.append(kept)
        inventories = move(inventories, kept, dt)
    return drawn._replace(rate=np.stack(rates))

"""Rules of thumb to compare with: none of them knows what the other agents do."""

from __future__ import annotations

import numpy as np

from ..envs.game import Controls, Game
from ..envs.grid import agent_controls, grid
from ..envs.maker_taker_game import MakerTakerGame
from .maker_taker.response import respond_to_controls


def twap(game: Game, steps: int) -> np.ndarray:
    """Time-weighted average price: every trader closes its inventory at a constant rate; rates (K, N)."""
    grid(game, steps)
    low, high = game.rate_bounds
    return np.tile(np.clip(-game.start[: game.traders] / game.horizon, low, high), (steps, 1))


def constant_spread(game: MakerTakerGame, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The quotes of makers who do not care for inventory, ``1 / gamma`` in (17); asks and bids, (K, M) each."""
    grid(game, steps)
    quotes = game.competition.optimal_quotes(np.zeros((steps, game.makers)), game.max_quote)
    return quotes, quotes.copy()


def almgren_chriss(game: MakerTakerGame, steps: int) -> np.ndarray:
    """Each trader's optimal execution if quotes stayed at the constant spread and other traders at TWAP; rates
    (K, N)."""
    profile = Controls(twap(game, steps), *constant_spread(game, steps))
    responses = respond_to_controls(game, profile, steps, traders_only=True)
    own = [agent_controls(game, responses[i], name) for i, name in enumerate(game.agents[: game.traders])]
    return np.concatenate(own, axis=-1)


def random_controls(game: Game, steps: int, seed: int) -> Controls:
    """Controls drawn uniformly from the game's action range at every step."""
    rng = np.random.default_rng(seed)
    low, high = game.action_range()
    return Controls(
        *(rng.uniform(a, b, (steps, len(a))) for a, b in zip(low, high, strict=True)),
    )


def heuristic_profiles(game: MakerTakerGame, steps: int, seed: int = 0) -> dict[str, Controls]:
    """The profiles that reports of the maker-taker game compare with, by name."""
    quotes = constant_spread(game, steps)
    return {
        "TWAP, constant spread": Controls(twap(game, steps), *quotes),
        "Almgren-Chriss, constant spread": Controls(almgren_chriss(game, steps), *quotes),
        "random": random_controls(game, steps, seed),
    }

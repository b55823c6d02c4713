"""Draws of a game's noise."""

from __future__ import annotations

import numpy as np

from .game import Game
from .grid import Noise, grid


def draw_noise(game: Game, steps: int, paths: int, seed: int, *, price: bool = False) -> Noise | None:
    """Antithetic draws of whatever moves at random: the second half of the paths has the first half's negatives.

    The same arguments give the same numbers, so that profiles can be compared on common random numbers.

    Args:
        game: the game.
        steps: K.
        paths: even number of paths.
        seed: of the draws.
        price: whether to draw the reference price, too.

    Returns:
        Noise with a leading axis of ``paths``; None where nothing is random.

    Raises:
        ValueError: ``steps`` or ``paths`` is not a positive whole number, or ``paths`` is odd.
    """
    grid(game, steps)
    if isinstance(paths, bool) or not isinstance(paths, int | np.integer) or paths < 2 or paths % 2:
        raise ValueError(f"paths: expected a positive even number, got {paths!r}")
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        half = rng.standard_normal((paths // 2, *shape))
        return np.concatenate([half, -half])

    driven = game.factor is not None and game.factor.random(game.horizon)
    factor = draw(steps, game.factor.size) if game.factor is not None and driven else None
    inventory = draw(steps, len(game.agents)) if game.inventory_noise else None
    prices = draw(steps) if price else None
    if factor is None and inventory is None and prices is None:
        return None
    return Noise(prices, factor, inventory)

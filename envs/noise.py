"""Noise as an argument: standard normal increments, the units in which they arrive, and draws of them.

On a grid all noise lands at the end of a step: inventories gain ``epsilon sqrt(dt) Z`` shares, the market price jumps
by ``volatility sqrt(dt) Z``, and a factor moves by its own increment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arrays import Array, floating, is_whole
from .game import Game
from .parameters import check_count


class Noise(NamedTuple):
    """Standard normal increments; those of a single step have no axis over steps.

    Examples:
        >>> from makertaker.envs import draw_noise, load_scenario
        >>> noise = draw_noise(load_scenario("approximation"), 10, paths=4, seed=0)
        >>> noise.inventory.shape, noise.factor.shape, noise.price
        ((4, 10, 3), (4, 10, 1), None)
    """

    price: Array | None = None
    """(..., K) of the reference price"""
    factor: Array | None = None
    """(..., K, d) of the factor; without them it follows its drift alone"""
    inventory: Array | None = None
    """(..., K, n) of the inventories; without them inventories have no noise"""


class Shocks(NamedTuple):
    """Noise in the units of what it moves, of all steps or of one."""

    price: Array | None = None
    """(..., K) or (...,) currency"""
    factor: Array | None = None
    """(..., K, d) or (..., d) standard normal: the effect depends on the factor, see :meth:`.Factor.move`"""
    inventory: Array | None = None
    """(..., K, n) or (..., n) shares"""

    def at(self, k: int) -> Shocks:
        """The shocks of step ``k``."""
        price, factor, inventory = self
        return Shocks(
            None if price is None else price[..., k],
            None if factor is None else factor[..., k, :],
            None if inventory is None else inventory[..., k, :],
        )


NO_SHOCKS = Shocks()


def scaled(noise: Noise | None, dt: float, volatility: float | Array, inventory_noise: float | Array) -> Shocks:
    """Shocks that increments lead to over steps of length ``dt``; no shocks without noise."""
    if noise is None:
        return NO_SHOCKS
    price, factor, inventory = noise
    return Shocks(
        None if price is None else volatility * dt**0.5 * price,
        factor,
        None if inventory is None else inventory_noise * dt**0.5 * inventory,
    )


def shocks_of(game: Game, steps: int, noise: Noise | None) -> Shocks:
    """The shocks of a simulation, from increments of all its steps.

    Raises:
        ValueError: an increment is not finite or has a shape that does not fit, or the game has no such noise.
    """
    if noise is None:
        return NO_SHOCKS
    size = None if game.factor is None else game.factor.size
    price = _checked("price", noise.price, (steps,))
    factor = _checked("factor", noise.factor, None if size is None else (steps, size))
    inventory = _checked("inventory", noise.inventory, (steps, len(game.agents)) if game.inventory_noise else None)
    return scaled(Noise(price, factor, inventory), game.horizon / steps, game.volatility, game.inventory_noise)


def _checked(name: str, given: Array | None, shape: tuple[int, ...] | None) -> Array | None:
    """Increments as a float array of shape (..., shape); values of other libraries than NumPy may be traced."""
    if given is None:
        return None
    if shape is None:
        missing = {"factor": "factor", "inventory": "inventory_noise"}[name]
        raise ValueError(f"noise.{name}: the game has no {missing}, expected None")
    values = floating(given)
    found = tuple(values.shape)
    if found[-len(shape) :] != shape:
        expected = f"shape (..., {', '.join(map(str, shape))}), got"
        if len(shape) == 1:
            expected = f"{shape[0]} increments on the last axis, got shape"
        raise ValueError(f"noise.{name}: expected {expected} {found}")
    if isinstance(values, np.ndarray) and not np.isfinite(values).all():
        raise ValueError(f"noise.{name}: expected finite increments, got {values[~np.isfinite(values)][0]}")
    return values


def factor_path(game: Game, times: np.ndarray, noise: Noise | None) -> np.ndarray | None:
    """(..., K+1, d) path of the game's factor; None in a game without.

    Raises:
        ValueError: the noise does not fit, see :func:`shocks_of`.
    """
    increments = shocks_of(game, len(times) - 1, noise).factor
    return None if game.factor is None else game.factor.path(times, increments)


def inventory_shocks(game: Game, steps: int, noise: Noise | None) -> Array | None:
    """(..., K, n) shares that noise adds at the end of every step; None without.

    Raises:
        ValueError: the noise does not fit, see :func:`shocks_of`.
    """
    return shocks_of(game, steps, noise).inventory


def draw_step(game: Game, rng: np.random.Generator, batch: tuple[int, ...]) -> Noise:
    """Increments of one step of a batch of markets: of the price, and of whatever else the game has.

    Args:
        game: the game.
        rng: of the draws.
        batch: batch axes.
    """
    factor, shaken = game.factor, game.inventory_noise > 0
    return Noise(
        price=rng.standard_normal(batch or None),  # a number for a single market, which is faster
        factor=None if factor is None else rng.standard_normal((*batch, factor.size)),
        inventory=rng.standard_normal((*batch, len(game.agents))) if shaken else None,
    )


def draw_noise(game: Game, steps: int, paths: int, seed: int, *, price: bool = False) -> Noise | None:
    """Antithetic draws of whatever moves at random: the second half of the paths has the first half's negatives.

    The same arguments give the same numbers, so that profiles can be compared on common random numbers.

    Args:
        game: the game.
        steps: K.
        paths: even number of paths.
        seed: of the draws.
        price: draws of the reference price are wanted, too.

    Returns:
        Noise with a leading axis of ``paths``; None where nothing is random.

    Raises:
        ValueError: ``steps`` or ``paths`` is not a positive whole number, or ``paths`` is odd.

    Examples:
        >>> from makertaker.envs import draw_noise, load_scenario
        >>> noise = draw_noise(load_scenario("approximation"), 10, paths=4, seed=0)
        >>> noise.inventory.shape  # paths, steps, agents
        (4, 10, 3)
        >>> bool((noise.inventory[:2] == -noise.inventory[2:]).all())  # antithetic
        True
    """
    check_count("steps", steps)
    if not is_whole(paths) or paths < 2 or paths % 2:
        raise ValueError(f"paths: expected a positive even number, got {paths!r}")
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        half = rng.standard_normal((paths // 2, *shape))
        return np.concatenate([half, -half])

    driven = game.factor is not None and game.factor.random(game.horizon)
    factor = draw(steps, game.factor.size) if game.factor is not None and driven else None
    inventory = draw(steps, len(game.agents)) if game.inventory_noise else None
    drawn = Noise(draw(steps) if price else None, factor, inventory)
    return None if all(each is None for each in drawn) else drawn


def repeated(noise: Noise | None, copies: int) -> Noise | None:
    """The same paths, with a leading axis, for every copy of a batch of markets."""
    if noise is None:
        return None
    return Noise(*(None if each is None else np.tile(each, (copies, *[1] * (each.ndim - 1))) for each in noise))

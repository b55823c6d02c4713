"""Policies that are affine in inventories and factor: ``v = F_k Q + f_k + e_k L``, for all traders at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs import Controls, ExecutionGame, Noise, Trajectory, draw_noise, simulate
from ...envs.arrays import Array
from ...envs.grid import factor_path, grid, move
from ..policies import Rule
from ..profiles import require_closed


@dataclass(frozen=True)
class LinearFeedback(Rule):
    """Everyone's rates as an affine function of inventories and factor.

    Played by :meth:`feedback` it reacts to the others; by :meth:`open_loop` it follows the no-deviation
    inventories, so that opponents do not react: the paper's notion of a strategy.

    Examples:
        >>> from makertaker.baselines import feedback_nash
        >>> from makertaker.envs import load_scenario
        >>> rule = feedback_nash(load_scenario("execution-2"), 20)
        >>> rule.gain.shape  # rates per share of everyone's inventory, on every step
        (20, 2, 2)
        >>> rule.play().payoffs.shape
        (2,)
    """

    game: ExecutionGame
    gain: Array
    """(K, N, N)"""
    shift: Array
    """(K, N)"""
    signal: Array
    """(K, N, d); d = 0 in a game without factor"""

    @property
    def steps(self) -> int:
        """Number of steps of the grid."""
        return len(self.shift)

    def rates(self, k: int, inventories: Array, factor: Array | None) -> Array:
        """(..., N) rates at step ``k``, inventories (..., N) and factor (..., d)."""
        rates = (self.gain[k] @ np.asarray(inventories)[..., None])[..., 0] + self.shift[k]
        return rates if factor is None else rates + factor @ self.signal[k].T

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Everyone's rates as controls."""
        return self.game.complete(Controls(self.rates(k, inventory, factor)))

    def play(self, noise: Noise | None = None) -> Trajectory:
        """The paths if everyone follows, along those of the noise; controls as they are, not truncated."""
        game, steps = self.game, self.steps
        factors = factor_path(game, grid(game, steps), noise)
        batch = () if factors is None else factors.shape[:-2]
        inventory, rates = np.broadcast_to(game.start, (*batch, game.traders)), []
        for k in range(steps):
            rates.append(self.rates(k, inventory, None if factors is None else factors[..., k, :]))
            inventory = move(inventory, rates[-1], game.horizon / steps)
        return simulate(game, Controls(np.stack(rates, axis=-2)), steps, noise)


def schedule(game: ExecutionGame, rates: Array) -> LinearFeedback:
    """A fixed schedule (K, N) as a rule that looks at nothing."""
    steps, count = rates.shape
    size = 0 if game.factor is None else game.factor.size
    return LinearFeedback(game, np.zeros((steps, count, count)), rates, np.zeros((steps, count, size)))


def require_closing(rule: LinearFeedback) -> None:
    """Raises ValueError where a rule leaves something that a trader must liquidate, without noise or with."""
    game, steps = rule.game, rule.steps
    if not game.must_close:
        return
    noises = [None] if game.factor is None else [None, draw_noise(game, steps, 2, 0)]
    for noise in noises:
        require_closed(game, rule.play(noise).controls.rate)

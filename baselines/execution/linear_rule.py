"""Policies that are affine in inventories and factor: ``v = F_k Q + f_k + e_k L``, for all traders at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.game import Controls
from ...envs.grid import Noise, Policy, State, Trajectory, factor_path, grid, move, simulate
from ..private_copy import private_copies


@dataclass(frozen=True)
class LinearFeedback:
    """Everyone's rates as an affine function of inventories and factor.

    Played by :meth:`feedback` it reacts to what others do; by :meth:`open_loop` it follows the inventories that there
    would be if nobody ever deviated, so that opponents do not react: the paper's notion of a strategy.
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
        rate = self.rates(k, inventory, factor)
        return Controls(rate, rate[..., :0], rate[..., :0])

    def play(self, noise: Noise | None = None) -> Trajectory:
        """What happens if all follow: rates and inventories along the noise's paths."""
        game, steps = self.game, self.steps
        factors = factor_path(game, grid(game, steps), noise)
        batch = () if factors is None else factors.shape[:-2]
        inventory, rates = np.broadcast_to(game.start, (*batch, game.traders)), []
        for k in range(steps):
            rates.append(self.rates(k, inventory, None if factors is None else factors[..., k, :]))
            inventory = move(inventory, rates[-1], game.horizon / steps)
        return simulate(game, Controls(np.stack(rates, axis=-2)), steps, noise)

    def feedback(self) -> dict[str, Policy]:
        """Policies that look at the market's inventories."""
        return {agent: _Feedback(self, i) for i, agent in enumerate(self.game.agents)}

    def open_loop(self) -> dict[str, Policy]:
        """Policies that look at time and factor alone: they follow a private copy of the undisturbed inventories.

        They remember the factor's path, so they have to be asked step by step from the start.
        """
        return private_copies(self)


@dataclass(frozen=True)
class _Feedback:
    rule: LinearFeedback
    index: int

    @property
    def steps(self) -> int:
        return self.rule.steps

    def __call__(self, k: int, state: State) -> Array:
        rule, own = self.rule, slice(self.index, self.index + 1)
        rate = np.asarray(state.inventories) @ rule.gain[k, own].T + rule.shift[k, own]
        return rate if state.factor is None else rate + state.factor @ rule.signal[k, own].T


def schedule(game: ExecutionGame, rates: Array) -> LinearFeedback:
    """A fixed schedule (K, N) as a rule that looks at nothing."""
    steps, count = rates.shape
    size = 0 if game.factor is None else game.factor.size
    return LinearFeedback(game, np.zeros((steps, count, count)), rates, np.zeros((steps, count, size)))

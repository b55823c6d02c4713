"""Whether reactions would be worth carrying out: gains from states beside the path, in the middle of the game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from ...envs import Noise, Policy, draw_noise, rollout
from ...envs.arrays import Array
from ..noise.step_system import StepSystem
from .options import FitOptions
from .response import fitted_response

_LOOKED_AT = 5
"""steps from which is begun"""
_BESIDE = 256
"""paths of noise from each state"""


class Credibility(NamedTuple):
    """Everyone's gains from states beside the path, in the middle of the game.

    Examples:
        >>> from makertaker.baselines import credibility, solve
        >>> found = credibility("execution-2", solve("execution-2").open_loop())
        >>> found.gains.shape[-1]  # agents
        16
        >>> bool(found.worst.max() > 0)  # schedules do not answer states beside their path
        True
    """

    steps: Array
    """(S,) the steps at which they begin"""
    states: Array
    """(S, P, D) factor and inventories"""
    gains: Array
    """(n, S, P) of the payoff from there on, simulated, in currency: lower bounds"""

    @property
    def worst(self) -> Array:
        """(n,) the largest."""
        return np.asarray(self.gains.max(axis=(1, 2)))


def perturbed_gains(
    system: StepSystem, policies: Mapping[str, Policy], options: FitOptions | None = None, *, points: int = 16
) -> Credibility:
    """Gains from states beside the path, at which reactions of an equilibrium have to be worth playing as well.

    Args:
        system: the game's equations.
        policies: everyone's, functions of time, factor and inventories.
        options: of the approximation; ``reach`` says how far beside.
        points: states at each step.
    """
    options, game = options or FitOptions(), system.game
    steps = np.unique(np.linspace(0, system.steps - 1, _LOOKED_AT).astype(int))
    found = [fitted_response(system, policies, agent, options) for agent in game.agents]
    draw = qmc.Sobol(found[0].tube.center.shape[1], seed=options.seed)
    d = found[0].tube.center.shape[1] - len(game.start)
    box = [2 * draw.random(points) - 1 for _ in steps]
    states = np.empty((len(steps), points, d + len(game.start)))
    gains = np.empty((len(game.agents), len(steps), points))
    for at, k in enumerate(steps):
        half = np.min([each.tube.half[k] for each in found], axis=0)
        center = np.mean([each.tube.center[k] for each in found], axis=0)
        states[at] = center + half * box[at]
        noise = None if not game.random else draw_noise(game, system.steps, _BESIDE, options.seed + 2)
        before = _from(system, policies, states[at], int(k), noise)
        for i, each in enumerate(found):
            after = _from(system, {**policies, each.agent: each.policy}, states[at], int(k), noise)
            gains[i, at] = after[:, i] - before[:, i]
    return Credibility(steps, states, gains)


def _from(system: StepSystem, policies: Mapping[str, Policy], states: Array, k: int, noise: Noise | None) -> Array:
    """(P, n) mean payoffs from a step on, from states (P, D)."""
    d = states.shape[1] - len(system.game.start)
    factor = states[:, None, :d] if d else None
    played = rollout(
        system.game, policies, system.steps, noise, inventories=states[:, None, d:], factor=factor, first=k
    )
    return np.asarray(played.payoffs.mean(axis=1))

"""Gains of a deviator in a game with noise against policies that react: a lower bound by simulation.

Candidates are the agent's own controls and its best response to opponents that do not react, as processes along the
undisturbed paths; to each a schedule is added that is optimised against the policies themselves on common random
numbers. The best on one set of paths is scored on another. Any deviation gives a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...envs.arrays import Array
from ...envs.grid import Noise, Policy, State, Trajectory, agent_controls, agent_index, rollout
from ...envs.noise import draw_noise, repeated
from ..profiles import BestResponse
from ..sampling import not_deviating, scored
from ..search import by_differences, climb
from .response import ResponseOptions, deviation
from .step_system import StepSystem

_SEARCHED = 32
_ITERATIONS = 25
_PROBE = 1e-4


def reacting_gain(
    system: StepSystem,
    policies: Mapping[str, Policy],
    agent: str,
    options: ResponseOptions | None = None,
    *,
    price: bool = False,
) -> BestResponse:
    """A lower bound on an agent's gain against policies that may react, with its standard error.

    Args:
        system: equations of a game with noise.
        policies: everyone's.
        agent: the deviator.
        options: of the search for the open-loop response.
        price: True if policies look at the market price, which is drawn then.
    """
    options, game, steps = options or ResponseOptions(), system.game, system.steps
    index, unit = agent_index(game, agent), game.control_unit(agent)
    noises = [
        draw_noise(game, steps, paths, options.seed + 7 + i, price=price)
        for i, paths in enumerate((_SEARCHED, options.scored))
    ]
    search, score = (rollout(game, policies, steps, noise) for noise in noises)

    def played(noise: Noise | None, own: Array) -> Trajectory:
        def play(k: int, state: State) -> Array:
            return own[:, k]

        return rollout(game, {**policies, agent: play}, steps, noise)

    def improve(own: Array) -> tuple[Array, float]:
        """The schedule (K, w) to add to controls (B, K, w), and the mean gain on the search's paths."""

        def gains(schedules: Array) -> Array:
            copies = len(schedules)
            tried = (own[None] + schedules[:, None]).reshape(-1, *own.shape[1:])
            after = played(repeated(noises[0], copies), tried).payoffs[:, index].reshape(copies, -1)
            return np.asarray((after - search.payoffs[:, index]).mean(axis=1))

        objective = by_differences(gains, unit, _PROBE)
        return climb(objective, np.zeros(own.shape[1:]), unit, game.payoff_unit(agent), maxiter=_ITERATIONS)

    candidates = [
        lambda paths: agent_controls(game, paths.controls, agent),
        deviation(system, policies, agent, options),
    ]
    best = max(((*improve(make(search)), make) for make in candidates), key=lambda each: each[1])
    schedule, gain, make = best
    if gain <= 0:  # not to deviate is a response, too
        return not_deviating(score, index)
    return scored(score, played(noises[1], make(score) + schedule), index)

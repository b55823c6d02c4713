"""What a deviator can gain in a game with noise against policies that react: a lower bound by simulation.

Candidates are the agent's own controls and its best response to opponents who do not react, as processes along the
undisturbed paths; to each a schedule is added that is optimised against the policies themselves on common random
numbers. The best on one set of paths is scored on another. Any deviation gives a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize

from ...envs.arrays import Array
from ...envs.game import Controls, Game
from ...envs.grid import Noise, Policy, State, Trajectory, agent_controls, agent_index, rollout
from ...envs.noise import draw_noise
from .response import NoisyGain, ResponseOptions, deviation

_SEARCHED = 32
_ITERATIONS = 25
_PROBE = 1e-4


def reacting_gain(
    game: Game,
    policies: Mapping[str, Policy],
    agent: str,
    steps: int,
    options: ResponseOptions | None = None,
    iterations: int = _ITERATIONS,
) -> NoisyGain:
    """A lower bound on an agent's gain against policies that may react, with its standard error.

    Args:
        game: one with noise.
        policies: everyone's.
        agent: the deviator.
        steps: K.
        options: of the search for the open-loop response.
        iterations: of the search for a schedule.
    """
    options = options or ResponseOptions()
    index = agent_index(game, agent)
    noises = [
        draw_noise(game, steps, paths, options.seed + 7 + i) for i, paths in enumerate((_SEARCHED, options.scored))
    ]
    search, score = (rollout(game, policies, steps, noise) for noise in noises)
    respond = deviation(game, policies, agent, steps, options)
    unit = game.control_unit(agent)

    def played(paths: Trajectory, noise: Noise | None, own: Array) -> Trajectory:
        def play(k: int, state: State) -> Array:
            return own[:, k]

        return rollout(game, {**policies, agent: play}, steps, noise)

    def improve(own: Array) -> tuple[Array, float]:
        """The schedule (K, w) to add to controls (B, K, w), and the mean gain on the search's paths."""
        shape = own.shape[1:]
        size = int(np.prod(shape))
        probes = _PROBE * np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
        copies = len(probes)
        repeated = None if noises[0] is None else Noise(*(_repeat(each, copies) for each in noises[0]))

        def objective(x: Array) -> tuple[float, Array]:
            tried = own[None] + (x + probes).reshape(copies, 1, *shape) * unit
            after = played(search, repeated, tried.reshape(-1, *shape)).payoffs[:, index].reshape(copies, -1)
            gains = (after - search.payoffs[:, index]).mean(axis=1)
            slope = (gains[1 : 1 + size] - gains[1 + size :]) / (2 * _PROBE)
            return -float(gains[0]), -slope

        found = minimize(objective, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": iterations})
        return np.asarray(found.x).reshape(shape) * unit, -float(found.fun)

    candidates = [(lambda paths: agent_controls(game, paths.controls, agent)), respond]
    best = max(((*improve(make(search)), make) for make in candidates), key=lambda each: each[1])
    schedule, gain, make = best
    if gain <= 0:  # not to deviate is a response, too
        return NoisyGain(_mean(score), float(score.payoffs[:, index].mean()), 0.0, 0.0)
    after = played(score, noises[1], make(score) + schedule)
    pairs = np.mean(np.split(after.payoffs[:, index] - score.payoffs[:, index], 2), axis=0)
    return NoisyGain(
        _mean(after),
        float(after.payoffs[:, index].mean()),
        float(pairs.mean()),
        float(pairs.std(ddof=1) / np.sqrt(len(pairs))),
    )


def _repeat(noise: Array | None, copies: int) -> Array | None:
    """The same paths for every copy of the market."""
    return None if noise is None else np.tile(noise, (copies, *[1] * (noise.ndim - 1)))


def _mean(paths: Trajectory) -> Controls:
    return Controls(*(each.mean(axis=0) for each in paths.controls))

"""What a deviator can gain in an execution game with a factor, against any policies: a lower bound by simulation.

The deviator's rate at step ``k`` is a linear combination of 1, the factor and the factor's integral so far. Were the
opponents' rates along every path given, its mean payoff would be a concave quadratic function of the coefficients;
the maximum over one set of paths is then played against the policies themselves: on the same paths, to see whether to
deviate at all, and on others, for the score. Any deviation gives a lower bound, whether the opponents react or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.game import Controls
from ...envs.grid import Noise, Policy, State, Trajectory, agent_index, rollout, simulate
from ...envs.noise import draw_noise
from .equilibrium import marginal_payoff


class SampledResponse(NamedTuple):
    """A deviation found on one sample and scored on another."""

    controls: Controls
    """mean of the joint profile (K, N) with the deviation"""
    payoff: float
    gain: float
    gain_se: float


def sampled_response(
    game: ExecutionGame, policies: Mapping[str, Policy], agent: str, steps: int, *, paths: int = 2048, seed: int = 0
) -> SampledResponse:
    """A lower bound on an agent's gain against policies that may react, with its standard error.

    Args:
        game: one with a factor.
        policies: everyone's.
        agent: the deviator.
        steps: K.
        paths: of the factor, for the search and for the score each; even, they come in antithetic pairs.
        seed: of the factor's noise.
    """
    return sampled_responses(game, policies, [agent], steps, paths=paths, seed=seed)[0]


def sampled_responses(
    game: ExecutionGame,
    policies: Mapping[str, Policy],
    agents: Sequence[str],
    steps: int,
    *,
    react: bool = True,
    paths: int = 2048,
    seed: int = 0,
) -> list[SampledResponse]:
    """The same for several agents, who share the undisturbed paths.

    Args:
        game: one with a factor.
        policies: everyone's.
        agents: the deviators, each alone.
        steps: K.
        react: whether policies look at others' inventories; if not, their rates are not asked for again.
        paths: of the factor, for the search and for the score each; even.
        seed: of the factor's noise.
    """
    indices = [agent_index(game, agent) for agent in agents]
    noises = [draw_noise(game, steps, paths, each) for each in (seed, seed + 1)]
    search, score = (rollout(game, policies, steps, noise) for noise in noises)

    def deviate(paths: Trajectory, noise: Noise | None, index: int, coefficients: Array) -> Trajectory:
        rates = (_basis(paths, steps) * coefficients).sum(axis=-1)
        if not react:
            joint = paths.controls.rate.copy()
            joint[..., index] = rates
            return simulate(game, game.clip(Controls(joint)), steps, noise)

        def play(k: int, state: State) -> Array:
            return rates[:, k, None]

        return rollout(game, {**policies, game.agents[index]: play}, steps, noise)

    results = []
    for index in indices:
        coefficients = _best_coefficients(game, search, index, steps)
        tried = deviate(search, noises[0], index, coefficients)
        if (tried.payoffs[:, index] - search.payoffs[:, index]).mean() <= 0:  # not to deviate is a response, too
            results.append(SampledResponse(_mean_controls(score), float(score.payoffs[:, index].mean()), 0.0, 0.0))
            continue
        after = deviate(score, noises[1], index, coefficients)
        pairs = np.mean(np.split(after.payoffs[:, index] - score.payoffs[:, index], 2), axis=0)
        results.append(
            SampledResponse(
                _mean_controls(after),
                float(after.payoffs[:, index].mean()),
                float(pairs.mean()),
                float(pairs.std(ddof=1) / np.sqrt(len(pairs))),
            )
        )
    return results


def _mean_controls(paths: Trajectory) -> Controls:
    return Controls(*(each.mean(axis=0) for each in paths.controls))


def _basis(paths: Trajectory, steps: int) -> Array:
    """(B, K, 1 + 2d): 1, the factor, its integral so far."""
    factors = np.asarray(paths.factor)[:, :-1]
    dt = paths.times[-1] / steps
    past = dt * (np.cumsum(factors, axis=1) - factors)
    return np.concatenate([np.ones((*factors.shape[:-1], 1)), factors, past], axis=-1)


def _best_coefficients(game: ExecutionGame, paths: Trajectory, index: int, steps: int) -> Array:
    """(K, 1 + 2d) coefficients of the best deviation if the others' rates along the paths are given."""
    basis = _basis(paths, steps)
    others = np.delete(paths.controls.rate, index, axis=-1).sum(axis=-1)
    at_rest = marginal_payoff(game, index, np.zeros(others.shape), others, paths.factor)  # (B, K)
    units = np.eye(steps)
    curvature = marginal_payoff(game, index, units, np.zeros_like(units), None) - marginal_payoff(
        game, index, np.zeros((1, steps)), np.zeros((1, steps)), None
    )
    # maximise  mean_b (g_b' v_b + v_b' H v_b / 2),  v_b = basis_b . theta
    size = steps * basis.shape[-1]
    moments = np.einsum("bki,blj->kilj", basis, basis) / len(basis)
    hessian = (moments * curvature[:, None, :, None]).reshape(size, size)
    gradient = np.einsum("bki,bk->ki", basis, at_rest).reshape(size) / len(basis)
    # the first step's factor is the same on all paths: the smallest of all solutions
    theta = np.linalg.lstsq(hessian, -gradient, rcond=1e-12)[0]
    return np.asarray(theta.reshape(steps, -1))

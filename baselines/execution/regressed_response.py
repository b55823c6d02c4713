"""Gains of a deviator in an execution game with a factor, against any policies: a lower bound by regression.

The deviator's rate at step ``k`` is a linear combination of 1, the factor and the factor's integral so far. Were the
opponents' rates along every path given, its mean payoff would be a concave quadratic function of the coefficients;
the maximum over one set of paths is then played against the policies themselves: on the same paths, to see whether to
deviate at all, and on others, for the score. Any deviation gives a lower bound, whether the opponents react or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...envs import Controls, ExecutionGame, Noise, Policy, State, Trajectory, draw_noise, rollout, simulate
from ...envs.arrays import Array
from ...envs.grid import agent_index
from ..profiles import BestResponse
from ..sampling import not_deviating, scored
from .concavity import marginal_payoff, own_hessian

PATHS = 2048
"""of the factor, by default"""


def sampled_responses(
    game: ExecutionGame,
    policies: Mapping[str, Policy],
    agents: Sequence[str],
    steps: int,
    *,
    react: bool = True,
    paths: int = PATHS,
    seed: int = 0,
    price: bool = False,
) -> list[BestResponse]:
    """Lower bounds on agents' gains against policies that may react, with standard errors.

    Args:
        game: one with a factor.
        policies: everyone's.
        agents: the deviators, each alone; they share the undisturbed paths.
        steps: K.
        react: false if policies do not look at others' inventories: their rates are not asked for again.
        paths: of the factor, for the search and for the score each; even.
        seed: of the factor's noise.
        price: True if policies look at the market price, whose martingale part is drawn then.
    """
    indices = [agent_index(game, agent) for agent in agents]
    noises = [draw_noise(game, steps, paths, each, price=price) for each in (seed, seed + 1)]
    search, score = (rollout(game, policies, steps, noise) for noise in noises)

    def deviate(paths: Trajectory, noise: Noise | None, index: int, coefficients: Array) -> Trajectory:
        rates = (_basis(game, paths, steps) * coefficients).sum(axis=-1)
        if not react and not game.closing[index]:
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
            results.append(not_deviating(score, index))
        else:
            results.append(scored(score, deviate(score, noises[1], index, coefficients), index))
    return results


def _basis(game: ExecutionGame, paths: Trajectory, steps: int) -> Array:
    """(B, K, 1 + 2d): 1, the factor in its scale, its integral so far in parts of the horizon."""
    scale = 1.0 if game.factor is None else game.factor.scale(game.horizon)
    factors = np.asarray(paths.factor)[:, :-1] / scale
    past = (np.cumsum(factors, axis=1) - factors) / steps
    return np.concatenate([np.ones((*factors.shape[:-1], 1)), factors, past], axis=-1)


def _best_coefficients(game: ExecutionGame, paths: Trajectory, index: int, steps: int) -> Array:
    """(K, 1 + 2d) coefficients of the best deviation if the others' rates along the paths are given; zero in the last
    step of one who must liquidate, who closes there."""
    basis = _basis(game, paths, steps)
    others = np.delete(paths.controls.rate, index, axis=-1).sum(axis=-1)
    rest = np.zeros(others.shape)
    curvature = own_hessian(game, index, steps)
    if game.closing[index]:
        rest[..., -1] = -game.start[index] * steps / game.horizon
    at_rest = marginal_payoff(game, index, rest, others, paths.factor)[..., : len(curvature)]  # (B, K)
    basis = basis[..., : len(curvature), :]
    # maximise  mean_b (g_b' v_b + v_b' H v_b / 2),  v_b = basis_b . theta
    size = len(curvature) * basis.shape[-1]
    moments = np.einsum("bki,blj->kilj", basis, basis) / len(basis)
    hessian = (moments * curvature[:, None, :, None]).reshape(size, size)
    gradient = np.einsum("bki,bk->ki", basis, at_rest).reshape(size) / len(basis)
    # the first step's factor is the same on all paths: the smallest of all solutions
    theta = np.linalg.lstsq(hessian, -gradient, rcond=1e-12)[0]
    result = np.zeros((steps, basis.shape[-1]))
    result[: len(curvature)] = theta.reshape(len(curvature), -1)
    return result

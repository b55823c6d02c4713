"""Best responses: to open-loop opponents exactly, to policies that react as a lower bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from ..envs.arrays import Array
from ..envs.execution_game import ExecutionGame
from ..envs.game import Controls, Game
from ..envs.grid import (
    Policy,
    State,
    agent_controls,
    agent_index,
    check_controls,
    check_names,
    grid,
    rollout,
    simulate,
)
from ..envs.maker_taker_game import MakerTakerGame
from .equilibrium import EquilibriumNotFound
from .execution.linear_rule import LinearFeedback, schedule
from .execution.regressed_response import sampled_response
from .execution.response import AdaptedResponse, respond_to_schedules
from .execution.signal import is_linear
from .maker_taker.response import respond_to_controls
from .noise.field import Field
from .noise.reacting_response import reacting_gain
from .noise.response import noisy_gains, undisturbed

Profile = Controls | LinearFeedback | Field | Mapping[str, Policy]
"""Schedules of everyone; or, played open loop along the undisturbed paths, an affine rule of the execution game, a
decoupling field, or a policy for every agent"""


class BestResponse(NamedTuple):
    """An agent's best response, or the best that was found."""

    controls: Controls
    """the joint profile (K, N), (K, M), (K, M) with the agent's controls replaced; means where a factor is random"""
    payoff: float
    """of the agent, in currency"""
    gain: float
    """over its payoff in the profile it deviates from"""
    gain_se: float = 0.0
    """standard error of the gain; 0 where it is exact"""


def single_profile(game: Game, controls: Controls, steps: int) -> Controls:
    """One profile of NumPy controls in double precision. Raises ValueError for anything else."""
    controls = check_controls(game, controls, steps)
    if controls.rate.ndim != 2:
        raise ValueError(f"controls: expected one profile without batch axes, got shape {tuple(controls.rate.shape)}")
    return Controls(*(np.asarray(each, dtype=float) for each in controls))


def best_responses(game: Game, controls: Controls, steps: int) -> list[Controls]:
    """For every agent, the profile in which it plays its best response and the others stay; no factor.

    Raises:
        ValueError: shapes do not fit, or controls are not finite.
        EquilibriumNotFound: an agent's own problem was not solved, or has no maximum.
    """
    controls = single_profile(game, controls, steps)
    if isinstance(game, MakerTakerGame):
        return respond_to_controls(game, controls, steps)
    rates = respond_to_schedules(_execution(game), controls.rate)
    return [_with_rate(controls, i, rates[:, i]) for i in range(game.traders)]


def schedules(game: Game, profile: Profile, steps: int) -> Controls:
    """A profile as schedules in a game without noise: what it plays on the path that it leads to."""
    return profile if isinstance(profile, Controls) else undisturbed(game, profile, steps, None).controls


def _execution(game: Game) -> ExecutionGame:
    if not isinstance(game, ExecutionGame):
        raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got {game!r}")
    return game


def _with_rate(controls: Controls, index: int, rate: Array) -> Controls:
    joint = controls.rate.copy()
    joint[:, index] = rate
    return controls._replace(rate=joint)


def best_response(game: Game, controls: Profile, agent: str, steps: int) -> BestResponse:
    """The best response of one agent against open-loop opponents: exact, or, in a game with noise, by simulation.

    Args:
        game: the game.
        controls: the profile (K, N), (K, M), (K, M) to deviate from; or a rule, followed along the undisturbed path.
        agent: name of the deviator.
        steps: K.

    Raises:
        ValueError: an unknown agent, or controls that do not fit.
        EquilibriumNotFound: the agent's problem was not solved, or has no maximum.
    """
    index = agent_index(game, agent)
    if by_simulation(game, controls, steps):
        _, (found,) = noisy_gains(game, controls, steps, [agent])
        return BestResponse(*found)
    if isinstance(controls, LinearFeedback) or (isinstance(game, ExecutionGame) and game.factor is not None):
        response = AdaptedResponse(as_rule(game, controls, steps), index)
        best, before, error = response.gain()
        return BestResponse(response.mean_controls(), best, best - before, error)
    controls = single_profile(game, schedules(game, controls, steps), steps)
    if isinstance(game, ExecutionGame):
        profile = _with_rate(controls, index, respond_to_schedules(game, controls.rate)[:, index])
    else:
        profile = best_responses(game, controls, steps)[index]
    payoff = float(simulate(game, profile, steps).payoffs[index])
    return BestResponse(profile, payoff, payoff - float(simulate(game, controls, steps).payoffs[index]))


def by_simulation(game: Game, profile: Profile, steps: int) -> bool:
    """Whether best responses have to be found by simulation: the game is random, and not linear."""
    if not isinstance(game, ExecutionGame):
        return game.random
    if game.factor is None:
        return False
    return isinstance(profile, Field | Mapping) or not is_linear(game, grid(game, steps))


def as_rule(game: Game, profile: Profile, steps: int) -> LinearFeedback:
    """A profile of the execution game as a rule. Raises ValueError where it does not fit the game and the grid."""
    if isinstance(profile, LinearFeedback):
        if profile.game != game or profile.steps != steps:
            raise ValueError(f"controls: expected a rule for this game and {steps} steps, got one for {profile.steps}")
        return profile
    return schedule(_execution(game), single_profile(game, schedules(game, profile, steps), steps).rate)


def best_response_to_policies(
    game: Game,
    policies: Mapping[str, Policy],
    agent: str,
    steps: int,
    *,
    iterations: int = 200,
) -> BestResponse:
    """A lower bound on what an agent can gain against policies that react to what it does.

    In an execution game with a factor, see :func:`~.execution.regressed_response.sampled_response`; in another game
    with noise, :func:`~.noise.reacting_response.reacting_gain`. Otherwise the deviator's schedule is
    optimised by L-BFGS-B from its own path and from its best response to the path the others take now, over the game's
    action range, widened to hold both. Gradients are central differences; one batched rollout gives a gradient.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
        EquilibriumNotFound: an opponent's policy is an equilibrium's field that has no answer on its own path.
    """
    index = agent_index(game, agent)
    check_names(game, policies)
    if game.random and not isinstance(game, ExecutionGame):
        return BestResponse(*reacting_gain(game, policies, agent, steps))
    if isinstance(game, ExecutionGame) and game.factor is not None:
        sampled = sampled_response(game, policies, agent, steps)
        return BestResponse(sampled.controls, sampled.payoff, sampled.gain, sampled.gain_se)
    base = rollout(game, policies, steps)
    response = best_responses(game, base.controls, steps)[index]
    own = agent_controls(game, base.controls, agent)
    low, high = _search_range(game, agent, own, agent_controls(game, response, agent))
    unit = game.control_unit(agent)

    def values(schedules: Array) -> Array:
        def deviate(k: int, state: State) -> Array:
            return schedules[:, k]

        start = np.broadcast_to(game.start, (len(schedules), len(game.agents)))
        paths = rollout(game, {**policies, agent: deviate}, steps, inventories=start)
        return np.asarray(paths.payoffs[:, index])

    def objective(x: Array) -> tuple[float, Array]:
        # a probe at a bound is one-sided there: rollouts truncate controls
        points = np.concatenate([np.zeros((1, x.size)), 1e-5 * np.eye(x.size), -1e-5 * np.eye(x.size)]) + x
        points = np.clip(points, low.ravel() / unit, high.ravel() / unit)
        try:
            payoff = values(points.reshape(-1, *own.shape) * unit)
        except EquilibriumNotFound:  # the others' field has no answer to this schedule: do not go there
            return 1e3 * (1 + abs(float(base.payoffs[index]))), np.zeros(x.size)
        width = np.maximum((points[1 : 1 + x.size] - points[1 + x.size :]).diagonal(), 1e-12)
        return -float(payoff[0]), -(payoff[1 : 1 + x.size] - payoff[1 + x.size :]) / width

    best, payoff = own, float(base.payoffs[index])
    for first in (own, agent_controls(game, response, agent)):
        found = minimize(
            objective,
            first.ravel() / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low.ravel() / unit, high.ravel() / unit, strict=True)),
            options={"maxiter": iterations, "maxls": 40, "ftol": 1e-14, "gtol": 1e-9},
        )
        if -found.fun > payoff:
            best, payoff = found.x.reshape(own.shape) * unit, -float(found.fun)
    schedule = best

    def play(k: int, state: State) -> Array:
        return schedule[k]

    controls = rollout(game, {**policies, agent: play}, steps).controls
    return BestResponse(controls, payoff, payoff - float(base.payoffs[index]))


def _search_range(game: Game, agent: str, *schedules: Array) -> tuple[Array, Array]:
    """Lowest and highest schedules (K, 1) or (K, 2): the action range, widened to hold the given ones."""
    low, high = (agent_controls(game, bound, agent) for bound in game.action_range())
    stacked = np.stack(schedules)
    return np.minimum(low, stacked.min(axis=0)), np.maximum(high, stacked.max(axis=0))

"""Gains against policies that draw their actions: lower bounds from schedules that are optimised on samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...baselines.kind import Gains, Kind
from ...baselines.policies import OpenLoop
from ...baselines.profiles import mean_controls
from ...baselines.search import by_differences, climb
from ...envs import Controls, Game, Noise, Policy, Trajectory, rollout, simulate
from ...envs.arrays import Array
from ...envs.packing import agent_columns, agent_controls, join_controls, split_controls

_SEARCHED = 64
"""sampled episodes that a schedule is optimised on"""
_WIDTH = 1e-4
_ITERATIONS = 60


def sampled_gains(
    kind: Kind[Game], policies: Mapping[str, Policy], played: Trajectory, noise: Noise | None, *, reacting: bool
) -> Gains:
    """Everyone's gains from the best schedule found, with standard errors.

    The schedule is optimised against the controls that the others drew in a few of the episodes played, and is then
    scored in fresh episodes, in which the others draw anew and react if they do. Any deviation gives a lower bound.

    Args:
        kind: of the game.
        policies: everyone's.
        played: (B,) episodes that they play.
        noise: of these episodes, in a game with noise.
        reacting: what is said of the opponents.
    """
    found = [_gain(kind, policies, played, noise, index) for index in range(len(kind.game.agents))]
    gains, errors = np.array(found).T
    payoffs = played.payoffs.mean(axis=0)
    return Gains(gains, errors, payoffs, reacting=reacting, simulated=True)


def _gain(
    kind: Kind[Game], policies: Mapping[str, Policy], played: Trajectory, noise: Noise | None, index: int
) -> tuple[float, float]:
    game, steps, agent = kind.game, kind.steps, kind.game.agents[index]
    columns, few = agent_columns(game, agent), slice(_SEARCHED)
    flat = join_controls(game, Controls(*(each[few] for each in played.controls)))
    shocks = None if noise is None else Noise(*(None if each is None else each[few] for each in noise))

    def values(schedules: Array) -> Array:
        """Mean payoffs (D,) of schedules (D, K, w) in the few episodes."""
        tried = np.repeat(flat[None], len(schedules), axis=0)
        tried[..., columns] = schedules[:, None]
        controls = game.clip(split_controls(game, tried))
        return np.asarray(simulate(game, controls, steps, shocks).payoffs[..., index].mean(axis=1))

    mean = mean_controls(played)
    own = agent_controls(game, mean, agent)
    starts = [own] if game.random else [own, agent_controls(game, kind.respond(mean, index), agent)]
    low, high = (agent_controls(game, bound, agent) for bound in game.action_range())
    limits = np.minimum(low, np.min(starts, axis=0)), np.maximum(high, np.max(starts, axis=0))
    unit, cash = game.control_unit(agent), game.payoff_unit(agent)
    objective = by_differences(values, unit, _WIDTH, limits)
    tries = [climb(objective, start, unit, cash, limits, maxiter=_ITERATIONS) for start in starts]
    schedule, payoff = max(tries, key=lambda each: each[1])
    if payoff <= played.payoffs[few, index].mean():  # not to deviate is a response, too
        return 0.0, 0.0
    start = np.broadcast_to(game.start, (len(played.payoffs), len(game.agents)))
    after = rollout(game, {**policies, agent: OpenLoop(schedule)}, steps, noise, inventories=start)
    difference = after.payoffs[:, index] - played.payoffs[:, index]
    if noise is None:  # two samples that have nothing in common
        spread = after.payoffs[:, index].var(ddof=1) + played.payoffs[:, index].var(ddof=1)
        return float(difference.mean()), float(np.sqrt(spread / len(difference)))
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))

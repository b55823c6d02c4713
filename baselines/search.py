"""The search for a schedule that maximises a payoff: L-BFGS-B in the schedule's own unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..envs.arrays import Array
from ..envs.game import Controls, Game
from ..envs.grid import Policy, State, agent_controls, agent_index, rollout
from ..envs.noise import draw_noise
from .errors import EquilibriumNotFound
from .policies import OpenLoop
from .profiles import PATHS, BestResponse
from .sampling import not_deviating, scored
from .traced import traced_slopes

_WIDTH = 1e-3
"""of differences, in the game's control unit: actors see and act in single precision"""

Objective = Callable[[Array], tuple[float, Array]]
"""schedule, in its unit -> payoff, and its gradient in the shape of the schedule"""


def climb(
    objective: Objective,
    start: Array,
    unit: float,
    cash: float,
    limits: tuple[Array, Array] | None = None,
    **options: float,
) -> tuple[Array, float]:
    """The best schedule found from a start, and its payoff.

    Args:
        objective: the payoff of a schedule and its gradient, both per unit.
        start: the first schedule, of any shape.
        unit: characteristic scale of the schedule.
        cash: characteristic scale of the payoff: SciPy's tolerances are absolute.
        limits: lowest and highest schedules; none by default.
        options: of SciPy's L-BFGS-B.
    """

    def negative(x: Array) -> tuple[float, Array]:
        value, slope = objective(x.reshape(start.shape))
        return -value / cash, -slope.ravel() / cash

    bounds = None if limits is None else list(zip(*(np.ravel(each) / unit for each in limits), strict=True))
    settings: Any = options  # SciPy's types know its options by name
    found = minimize(negative, start.ravel() / unit, jac=True, method="L-BFGS-B", bounds=bounds, options=settings)
    return np.asarray(found.x).reshape(start.shape) * unit, -float(found.fun) * cash


def by_differences(
    values: Callable[[Array], Array], unit: float, width: float, limits: tuple[Array, Array] | None = None
) -> Objective:
    """An objective with central differences as its gradient, from one batched call.

    Args:
        values: payoffs (B,) of schedules (B, ...).
        unit: characteristic scale of the schedule.
        width: of the differences, in the unit.
        limits: lowest and highest schedules; a difference at a bound is one-sided.
    """

    def objective(x: Array) -> tuple[float, Array]:
        size = x.size
        points = np.concatenate([np.zeros((1, size)), width * np.eye(size), -width * np.eye(size)]) + x.ravel()
        if limits is not None:
            points = np.clip(points, *(np.ravel(each) / unit for each in limits))
        payoff = values(points.reshape(-1, *x.shape) * unit)
        between = np.maximum((points[1 : 1 + size] - points[1 + size :]).diagonal(), 1e-7 * width)
        return float(payoff[0]), ((payoff[1 : 1 + size] - payoff[1 + size :]) / between).reshape(x.shape)

    return objective


def schedule_response(
    game: Game,
    policies: Mapping[str, Policy],
    agent: str,
    steps: int,
    respond: Callable[[Controls, int], Controls],
    iterations: int,
    *,
    price: bool = False,
) -> BestResponse:
    """A schedule of one agent that does well against policies that react, in a game without noise.

    The search starts from its own path and from its best response to the path that the others take now, over the
    game's action range, widened to hold both. A gradient is one batched rollout of differences, or, where JAX can
    follow the policies and the schedule is long, exact; see :mod:`.traced`.

    Args:
        game: the game.
        policies: everyone's.
        agent: name of the deviator.
        steps: K.
        respond: the profile of schedules in which an agent plays its best response.
        iterations: of each search, at most.
        price: True if policies look at the market price: what is found without its martingale part is scored with it,
            on many paths, with a standard error.

    Raises:
        EquilibriumNotFound: an opponent's policy is an equilibrium's field that has no answer on its own path.
    """
    index, unit, cash = agent_index(game, agent), game.control_unit(agent), game.payoff_unit(agent)
    base = rollout(game, policies, steps)
    before = float(base.payoffs[index])
    starts = [agent_controls(game, each, agent) for each in (base.controls, respond(base.controls, index))]
    low, high = (agent_controls(game, bound, agent) for bound in game.action_range())
    limits = np.minimum(low, np.min(starts, axis=0)), np.maximum(high, np.max(starts, axis=0))

    def values(schedules: Array) -> Array:
        def deviate(k: int, state: State) -> Array:
            return schedules[:, k]

        start = np.broadcast_to(game.start, (len(schedules), len(game.agents)))
        return np.asarray(rollout(game, {**policies, agent: deviate}, steps, inventories=start).payoffs[:, index])

    slopes = traced_slopes(game, policies, agent, steps)
    differences = by_differences(values, unit, _WIDTH, limits)

    def objective(x: Array) -> tuple[float, Array]:
        try:
            if slopes is None:
                return differences(x)
            return float(values(x[None] * unit)[0]), slopes(x[None] * unit, game.start[None])[0] * unit
        except EquilibriumNotFound:  # the others' field has no answer to this schedule: do not go there
            return -1e3 * (cash + abs(before)), np.zeros(x.shape)

    best, payoff = starts[0], before
    for start in starts:
        tried, reached = climb(
            objective, start, unit, cash, limits, maxiter=iterations, maxls=40, ftol=1e-14, gtol=1e-9
        )
        if reached > payoff:
            best, payoff = tried, reached
    if not price:
        controls = rollout(game, {**policies, agent: OpenLoop(best)}, steps).controls
        return BestResponse(controls, payoff, payoff - before)
    search, score = (draw_noise(game, steps, PATHS, seed, price=True) for seed in (7, 8))
    deviating: dict[str, Policy] = {**policies, agent: OpenLoop(best)}
    played, tried = (
        rollout(game, each, steps, search).payoffs[:, index].mean() for each in (dict(policies), deviating)
    )
    if tried <= played:  # not to deviate is a response, too
        return not_deviating(rollout(game, policies, steps, score), index)
    return scored(rollout(game, policies, steps, score), rollout(game, deviating, steps, score), index)

"""An agent's own problem in the execution game: its first-order condition, and the decision if it is concave.

The grid problem is concave exactly if the pivots of the Cholesky factorisation of its Hessian are positive.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.grid import grid
from ..errors import EquilibriumNotFound
from ..fbsde import Penalties, average_adjoints
from . import linear_system as linear


def require_concave(c: ExecutionCoefficients, dt: float) -> None:
    """Raises EquilibriumNotFound where an agent's own problem, the others' rates being given, is not concave."""
    problem = unbounded(c, dt)
    if problem:
        raise EquilibriumNotFound(problem)


def unbounded(c: ExecutionCoefficients, dt: float) -> str:
    """The agent whose problem is not concave, and a remedy, as a message; empty where all are."""
    pivot = least_pivot(c, dt)
    if pivot.min() > 0:
        return ""
    return (
        f"the payoff of trader_{int(pivot.argmin())} has no maximum, whatever the others do: the permanent impact "
        "moves the price further than trading costs. Expected a smaller permanent_impact, or a larger "
        "temporary_impact or penalty; check(game) says by how much"
    )


def least_pivot(c: ExecutionCoefficients, dt: float) -> Array:
    """(N,) smallest pivot of each agent's own problem up to the first that is not positive, backward in time: the
    problem is concave on the grid exactly if it is positive. Pivots beyond a failing one mean nothing."""
    with np.errstate(all="ignore"):
        pivots = linear.sweep(linear.lone_system(c, dt, 2.0, 1.0), strict=False).pivot[::-1, :, 0, 0]
    failed = ~(pivots > 0)
    seen = np.cumsum(failed, axis=0) - failed == 0
    return np.min(np.where(seen, pivots, np.inf), axis=0)


def least_curvature(game: ExecutionGame, index: int, steps: int) -> float:
    """Least eigenvalue of minus the Hessian of an agent's payoff in its own rates, in units of ``2 beta / N`` at its
    least: 1 for impact costs alone, not positive where the payoff is not concave. Rates of one who must liquidate
    change by what keeps their sum; 1 where there is no such choice."""
    dt, beta = game.horizon / steps, game.coefficients(grid(game, steps)).temporary_impact.min()
    hessian = own_hessian(game, index, steps)
    if not len(hessian):
        return 1.0
    # a change of the first rates is one of all rates, the last of which takes it back
    size = np.eye(len(hessian)) + float(game.closing[index])
    return float(eigh(-hessian, size, eigvals_only=True)[0] / dt / (2 * beta / game.traders))


def own_hessian(game: ExecutionGame, index: int, steps: int) -> Array:
    """(K, K) second derivatives of an agent's payoff in its own rates; (K-1, K-1) in all but the last, which closes, of
    one who must liquidate."""
    # rates of the game's own size: beside larger ones their effect would drown in rounding
    unit = game.control_unit(game.agents[index])
    units, zero = unit * np.eye(steps), np.zeros((1, steps))
    full = marginal_payoff(game, index, units, 0 * units, None) - marginal_payoff(game, index, zero, zero, None)
    full = full / unit
    return full[:-1, :-1] - full[-1:, :-1] if game.closing[index] else full


def marginal_payoff(game: ExecutionGame, index: int, own: Array, others: Array, factor: Array | None) -> Array:
    """Derivative of an agent's payoff in its rate at every step, (..., K), currency times time per share; less that of
    the last step for one who must liquidate.

    Args:
        game: the game.
        index: the agent.
        own: its rates (..., K).
        others: sum of the others' rates (..., K).
        factor: (..., K+1, d) path of the factor; None: the undisturbed one.
    """
    steps = own.shape[-1]
    times, dt = grid(game, steps), game.horizon / steps
    c = game.coefficients(times, factor)
    drift = game.drift(c, own + others)[..., None]
    c = c._replace(running_penalty=c.running_penalty[:, index, None], terminal_penalty=c.terminal_penalty[index, None])
    start = np.full((*own.shape[:-1], 1, 1), game.start[index])
    paths = np.concatenate([start, start + dt * np.cumsum(own, axis=-1)[..., None]], axis=-2)
    return np.asarray(dt * first_order(game, c, dt, paths, own[..., None], others[..., None], drift)[1][..., 0])


def first_order(
    game: ExecutionGame, c: ExecutionCoefficients, dt: float, paths: Array, own: Array, others: Array, drift: Array
) -> tuple[Array, Array]:
    """Step-averaged adjoints less ``w``, and the residual of the first-order condition in every step:
    ``Y + (alpha/N) Q - (beta/N) (2 v + pi sum of the others' v)``; (..., K, n) each. For those who must liquidate
    ``Y_T`` is the multiplier with which the last step has no residual."""
    closing = np.isinf(c.terminal_penalty)
    penalties = Penalties(dt, c.running_penalty, np.where(closing, 0.0, c.terminal_penalty))
    average = average_adjoints(penalties, paths, drift)
    held = (paths[..., 1:, :] + paths[..., :-1, :]) / 2
    alpha, beta = (each[:, None] / game.traders for each in (c.permanent_impact, c.temporary_impact))
    defect = average + alpha * held - beta * (2 * own + game.crowding * others)
    multiplier = np.where(closing, defect[..., -1:, :], 0.0)
    return average - multiplier, defect - multiplier

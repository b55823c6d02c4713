"""Section 2: which assumptions and theorems hold for an execution game, by what margin, and whether its grid is
concave.

The paper's conditions are sufficient, not necessary. What decides on the grid is the Cholesky factorisation of every
agent's own problem, and it is listed beside them.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.flows import Points
from ...envs.grid import grid
from ...envs.parameters import evaluate, per_agent
from ..errors import NoOptimum
from ..execution import linear_system as linear
from ..execution.concavity import least_curvature, least_pivot
from ..execution.cooperative import cooperative_pivot, require_crowding
from .condition import Condition

_PROBES = 513
_LARGEST = 300
"""different agents up to which the joint problem is looked at"""


def execution_conditions(game: ExecutionGame, steps: int) -> list[Condition]:
    """Assumption 2.4, Theorems 2.7 and 2.10, and the grid; see :func:`~makertaker.baselines.check`."""
    times = grid(game, steps)
    probes = _probes(game)
    alpha, beta = (evaluate(each, probes, "impact") for each in (game.permanent_impact, game.temporary_impact))
    phi = _penalty_range(game, probes)
    return [
        *_paper(game, alpha, beta, phi),
        _constant_impact(game, alpha),
        _flows(game),
        *_on_the_grid(game, times),
    ]


def _probes(game: ExecutionGame) -> Array:
    """Times at which coefficients are looked at: a fine grid, and the corners of piecewise linear ones."""
    parameters = (game.permanent_impact, game.temporary_impact, *per_agent(game.running_penalty, game.traders, "phi"))
    corners = [t for each in parameters if isinstance(each, Points) for t, _ in each.points if 0 <= t <= game.horizon]
    return np.union1d(np.linspace(0.0, game.horizon, _PROBES), corners)


def _penalty_range(game: ExecutionGame, probes: Array) -> tuple[Array, Array]:
    """Smallest and largest running penalty over the agents, at every probe."""
    each = set(per_agent(game.running_penalty, game.traders, "running_penalty"))
    values = np.stack([evaluate(phi, probes, "running_penalty") for phi in each])
    return values.min(axis=0), values.max(axis=0)


def _paper(game: ExecutionGame, alpha: Array, beta: Array, phi: tuple[Array, Array]) -> list[Condition]:
    count, end = game.traders, np.atleast_1d(np.asarray(game.terminal_penalty, dtype=float))
    c, d = 2 + game.crowding * (count - 1), 2 - game.crowding
    concave = float((phi[0] - alpha**2 / (4 * count * beta)).min())
    spread = float(max((phi[1] - phi[0]).max(), np.ptp(end)))
    riccati = float((phi[0] - alpha**2 / (2 * beta * c)).min())
    worst = max((count + 1) ** 2 / c, 1 / d) if count > 1 else 2.0  # alone there is no deviation from the mean
    monotone = float((phi[0] - alpha**2 / (8 * count * beta) * worst).min())
    return [
        Condition(
            "concave Hamiltonians",
            concave >= 0,
            concave,
            "Assumption 2.4",
            "least phi - alpha^2 / (4 N beta); sufficient for first-order conditions to give best responses",
        ),
        Condition(
            "no permanent impact",
            not alpha.any(),
            -float(alpha.max()),
            "Theorem 2.7, case 1",
            "largest alpha, negated",
        ),
        Condition(
            "homogeneous penalties, moderate impact",
            spread == 0 and riccati >= 0,
            riccati if spread == 0 else -spread,
            "Theorem 2.7, case 2, for any crowding",
            "least phi - alpha^2 / (2 beta (2 + pi (N - 1)))"
            if spread == 0
            else "penalties differ: their largest difference, negated",
        ),
        Condition(
            "monotone system",
            min(monotone, float(end.min())) > 0,
            min(monotone, float(end.min())),
            "Theorem 2.10, for any crowding",
            "the smaller of least A and least phi - alpha^2 / (8 N beta) max((N + 1)^2 / (2 + pi (N - 1)), "
            "1 / (2 - pi)); it must be positive",
        ),
    ]


def _constant_impact(game: ExecutionGame, alpha: Array) -> Condition:
    end = float(np.min(game.terminal_penalty))
    steady = float(np.ptp(alpha)) == 0
    margin = end - float(alpha.max()) / (2 * game.traders)
    return Condition(
        "terminal penalty outweighs constant impact",
        steady and margin >= 0,
        margin if steady else -float(np.ptp(alpha)),
        "with constant alpha sufficient for concavity, even at phi = 0; not in the paper",
        "least A - alpha / (2 N)" if steady else "alpha changes over time: by how much, negated",
    )


def _flows(game: ExecutionGame) -> Condition:
    name, reference = "bounded, non-negative noise flows", "Section 2"
    if game.factor is None:
        least = float(game.flow_range(0.0).min())
        return Condition(name, least >= 0, least, reference, "least flow")
    least = float(game.flow_range(3.0).min())
    note = "least flow where the factor is three of its scales away; the linear solution needs no such bound"
    return Condition(name, False, min(least, 0.0), reference, f"a factor's flows are not bounded; {note}")


def _on_the_grid(game: ExecutionGame, times: Array) -> list[Condition]:
    steps = len(times) - 1
    c, dt = game.coefficients(times), game.horizon / steps
    pivots = least_pivot(c, dt)
    own = least_curvature(game, int(pivots.argmin()), steps)
    conditions = [
        Condition(
            "own problems concave on the grid",
            bool(pivots.min() > 0),
            own,
            f"Cholesky factorisation, {steps} steps",
            "least eigenvalue of minus the Hessian of the agent whose pivots are the smallest, in units of 2 beta / N; "
            "decides whether best responses exist",
        )
    ]
    if game.traders > _LARGEST and not linear.homogeneous(c):
        return conditions
    holds, margin, note = _cooperative(game, c, dt)
    name = "cooperative problem concave on the grid"
    return [*conditions, Condition(name, holds, margin, f"Cholesky factorisation, {steps} steps", note)]


def _cooperative(game: ExecutionGame, c: ExecutionCoefficients, dt: float) -> tuple[bool, float, str]:
    """Whether there is an optimum; the least eigenvalue of the pivots up to a failing one, or what crowding lacks."""
    try:
        require_crowding(game)
        least = cooperative_pivot(game, c, dt) / (2 * float(c.temporary_impact.min()) / game.traders)
    except NoOptimum as error:
        return False, 1 - game.crowding, str(error)
    note = "least eigenvalue of the joint problem's pivots up to a failing one, in units of 2 beta / N"
    return least > 0, least, note

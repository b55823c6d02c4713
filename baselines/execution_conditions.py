"""Section 2: which assumptions and theorems hold for an execution game, by what margin, and whether its grid is
concave.

The paper's conditions are sufficient, not necessary. What decides on the grid is the Cholesky factorisation of every
agent's own problem, and it is listed beside them.
"""

from __future__ import annotations

import numpy as np

from ..envs.arrays import Array
from ..envs.execution_game import ExecutionGame
from ..envs.flow import Points, evaluate, per_agent
from ..envs.grid import grid
from . import linear
from .condition import Condition
from .cooperative import NoOptimum, cooperative_optimum
from .execution_equilibrium import least_pivot
from .result import LARGEST_SLOPE, EquilibriumNotFound

_PROBES = 513


def execution_conditions(game: ExecutionGame, steps: int) -> list[Condition]:
    """See :func:`~.well_posedness.check`."""
    times = grid(game, steps)
    probes = _probes(game)
    alpha, beta = (evaluate(each, probes, "impact") for each in (game.permanent_impact, game.temporary_impact))
    phi = _penalty_range(game, probes)
    return [
        *_paper(game, alpha, beta, phi),
        _constant_impact(game, alpha),
        _flows(game, probes),
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
    monotone = float((phi[0] - alpha**2 / (8 * count * beta) * max((count + 1) ** 2 / c, 1 / d)).min())
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


def _flows(game: ExecutionGame, probes: Array) -> Condition:
    name, reference = "bounded, non-negative noise flows", "Section 2"
    if game.factor is None:
        least = min(float(evaluate(each, probes, "flow").min()) for each in (game.buy_flow, game.sell_flow))  # type: ignore[arg-type]
        return Condition(name, least >= 0, least, reference, "least flow")
    scale = 3 * game.factor.scale(game.horizon)
    reach = np.array(game.factor.initial) + np.concatenate([np.diag(scale), -np.diag(scale)])
    least = min(float(each.min()) for each in game.flows(np.zeros(()), reach))
    note = "least flow where the factor is three of its scales away; the linear solution needs no such bound"
    return Condition(name, False, min(least, 0.0), reference, f"a factor's flows are not bounded; {note}")


def _on_the_grid(game: ExecutionGame, times: Array) -> list[Condition]:
    steps = len(times) - 1
    c, dt = game.coefficients(times), game.horizon / steps
    own = least_pivot(c, dt) / (2 * c.temporary_impact.min() / game.traders)
    conditions = [
        Condition(
            "own problems concave on the grid",
            bool(own.min() > 0),
            float(own.min()),
            f"Cholesky factorisation, {steps} steps",
            "least pivot of an agent's own problem, in units of 2 beta / N; decides whether best responses exist",
        )
    ]
    name, reference = "cooperative problem concave on the grid", f"Cholesky factorisation, {steps} steps"
    if game.traders > LARGEST_SLOPE:
        return conditions
    try:
        cooperative_optimum(game, steps)
        holds, note = True, "least eigenvalue of a pivot of the joint problem, in units of 2 beta / N"
    except (NoOptimum, EquilibriumNotFound) as error:
        holds, note = False, str(error)
    return [*conditions, Condition(name, holds, _cooperative_margin(game, times, holds), reference, note)]


def _cooperative_margin(game: ExecutionGame, times: Array, holds: bool) -> float:
    """Least eigenvalue of the joint problem's pivots; where crowding rules an optimum out, what it lacks."""
    if game.traders > 1 and game.crowding >= 1:
        return 1 - game.crowding
    c, dt = game.coefficients(times), game.horizon / (len(times) - 1)
    try:
        pivots = linear.sweep(linear.cooperative_system(c, game.crowding, dt)).pivot
    except np.linalg.LinAlgError:
        return -np.inf
    least = float(min(np.linalg.eigvalsh(pivot)[0] for pivot in pivots))
    return least / (2 * float(c.temporary_impact.min()) / game.traders)

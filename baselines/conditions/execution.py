"""Section 2: the margins by which assumptions and theorems hold for an execution game, and concavity on its grid.

The paper's conditions are sufficient, not necessary. On the grid the Cholesky factorisation of every agent's own
problem decides; it is listed beside them.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.flows import Points
from ...envs.game import Game
from ...envs.grid import grid
from ...envs.parameters import evaluate, per_agent
from ..errors import NoOptimum
from ..execution import linear_system as linear
from ..execution.concavity import least_curvature, least_pivot
from ..execution.cooperative import cooperative_pivot, monotone_pivot, require_crowding
from .condition import Condition, if_not_negative, if_positive

_PROBES = 513
_LARGEST = 300
"""different agents up to which the joint problem is looked at"""


def execution_conditions(game: ExecutionGame, steps: int) -> list[Condition]:
    """Assumption 2.4, Theorems 2.7 and 2.10, and the grid; see :func:`~makertaker.baselines.check`."""
    times = grid(game, steps)
    probes = _probes(game)
    alpha, beta = (evaluate(each, probes, "impact") for each in (game.permanent_impact, game.temporary_impact))
    phi = _penalty_range(game, probes)
    paper = [_crowding(game), *closing(game), *_paper(game, alpha, beta, phi)]
    return [*paper, _constant_impact(game, alpha), _flows(game), *_on_the_grid(game, times)]


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
    concave = (phi[0] - alpha**2 / (4 * count * beta)).min()
    spread = max((phi[1] - phi[0]).max(), 0.0 if (end == end[0]).all() else np.ptp(np.nan_to_num(end)))
    riccati = (phi[0] - alpha**2 / (2 * beta * c)).min()
    worst = max((count + 1) ** 2 / c, 1 / d) if count > 1 else 2.0  # alone there is no deviation from the mean
    monotone = (phi[0] - alpha**2 / (8 * count * beta) * worst).min()
    margin, note = riccati, "least phi - alpha^2 / (2 beta (2 + pi (N - 1)))"
    if spread > 0:
        margin, note = -spread, "penalties differ: their largest difference, negated"
    alike = "homogeneous penalties, moderate impact"
    return [
        if_not_negative(
            "concave Hamiltonians",
            concave,
            "Assumption 2.4",
            "least phi - alpha^2 / (4 N beta); sufficient for first-order conditions to give best responses",
        ),
        if_not_negative("no permanent impact", -alpha.max(), "Theorem 2.7, case 1", "largest alpha, negated"),
        if_not_negative(alike, margin, "Theorem 2.7, case 2, for any crowding", note),
        if_positive(
            "monotone system",
            min(monotone, end.min()),
            "Theorem 2.10, for any crowding",
            "the smaller of least A and least phi - alpha^2 / (8 N beta) max((N + 1)^2 / (2 + pi (N - 1)), "
            "1 / (2 - pi)); it must be positive",
        ),
    ]


def closing(game: Game) -> list[Condition]:
    """That terminal penalties are finite, where they are not."""
    if not game.must_close:
        return []
    note = (
        "number of traders who must liquidate, negated; a multiplier with Q_T = 0 is in the place of the paper's "
        "-2 A Q_T, its limit at rate 1/A"
    )
    return [if_not_negative("finite terminal penalties", -int(game.closing.sum()), "(3), (13)", note)]


def _crowding(game: ExecutionGame) -> Condition:
    count = game.traders
    note = "pi, which is below 2"
    if game.crowding < 0 and count > 1:
        edge = -2 / (count - 1)
        note = (
            f"pi; below 0 the game is outside of the paper, and its costs are monotone above -2/(N - 1) = {edge:g} only"
        )
    return if_not_negative("crowding as in the paper", game.crowding, "Remark 2.1(3)", note)


def _constant_impact(game: ExecutionGame, alpha: Array) -> Condition:
    name = "terminal penalty outweighs constant impact"
    reference = "with constant alpha sufficient for concavity, even at phi = 0; not in the paper"
    if np.ptp(alpha) > 0:
        return if_not_negative(name, -np.ptp(alpha), reference, "alpha changes over time: by how much, negated")
    margin = np.min(game.terminal_penalty) - alpha.max() / (2 * game.traders)
    return if_not_negative(name, margin, reference, "least A - alpha / (2 N)")


def _flows(game: ExecutionGame) -> Condition:
    name, reference = "bounded, non-negative noise flows", "Section 2"
    if game.factor is None:
        return if_not_negative(name, game.flow_range(0.0).min(), reference, "least flow")
    least = float(game.flow_range(3.0).min())
    note = "least flow where the factor is three of its scales away; the linear solution needs no such bound"
    return Condition(name, False, min(least, 0.0), reference, f"a factor's flows are not bounded; {note}")


def _on_the_grid(game: ExecutionGame, times: Array) -> list[Condition]:
    steps = len(times) - 1
    c, dt = game.coefficients(times), game.horizon / steps
    pivots = least_pivot(c, dt)
    least = least_curvature(game, int(pivots.argmin()), steps)
    reference = f"Cholesky factorisation, {steps} steps"
    note = (
        "least eigenvalue of minus the Hessian of the agent whose pivots are the smallest, in units of 2 beta / N; "
        "decides whether best responses exist"
    )
    own = Condition("own problems concave on the grid", bool(pivots.min() > 0), least, reference, note)
    if game.traders > _LARGEST and not linear.homogeneous(c):
        return [own]
    return [own, _monotone(game, c, dt, reference), _cooperative(game, c, dt, reference)]


def _monotone(game: ExecutionGame, c: ExecutionCoefficients, dt: float, reference: str) -> Condition:
    least = monotone_pivot(game, c, dt) / (2 * float(c.temporary_impact.min()) / game.traders)
    note = (
        "least eigenvalue of the symmetrised game's pivots up to a failing one, in units of 2 beta / N; sufficient for "
        "the equilibrium to be the only one"
    )
    return if_positive("game monotone on the grid", least, reference, note)


def _cooperative(game: ExecutionGame, c: ExecutionCoefficients, dt: float, reference: str) -> Condition:
    """The least eigenvalue of the joint problem's pivots up to a failing one; or how far crowding is from its limit."""
    name = "cooperative problem concave on the grid"
    try:
        require_crowding(game)
        least = cooperative_pivot(game, c, dt) / (2 * float(c.temporary_impact.min()) / game.traders)
    except NoOptimum as error:
        margin = min(1 - game.crowding, game.crowding + 1 / (game.traders - 1))
        return Condition(name, False, margin, reference, str(error))
    note = "least eigenvalue of the joint problem's pivots up to a failing one, in units of 2 beta / N"
    return if_positive(name, least, reference, note)

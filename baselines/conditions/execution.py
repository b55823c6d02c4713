"""Section 2: the margins by which assumptions and theorems hold for an execution game, and concavity on its grid.

The paper's conditions are sufficient, not necessary. On the grid the Cholesky factorisation of every agent's own
problem decides; it is listed beside them.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.game import Game
from ...envs.grid import grid
from ...envs.parameters import evaluate, per_agent
from ..errors import NoOptimum
from ..execution import linear_system as linear
from ..execution.concavity import least_curvature, least_pivot
from ..execution.cooperative import cooperative_pivot, monotone_pivot, require_crowding
from .condition import Condition, Margin, if_not_negative, if_positive, smallest_of
from .factor import FAR, flows_grow, least_flows
from .in_time import across, largest, least_margin, smallest

_LARGEST = 300
"""different agents up to which the joint problem is looked at"""


def execution_conditions(game: ExecutionGame, steps: int) -> list[Condition]:
    """Assumption 2.4, Theorems 2.7 and 2.10, and the grid; see :func:`~makertaker.baselines.check`."""
    paper = [_crowding(game), *closing(game), *_paper(game)]
    return [*paper, _constant_impact(game), _flows(game), *_on_the_grid(game, grid(game, steps))]


def _impacts(game: ExecutionGame, t: Array) -> tuple[Array, Array]:
    """``alpha`` and ``beta`` at times."""
    alpha, beta = game.permanent_impact, game.temporary_impact
    return evaluate(alpha, t, "permanent_impact"), evaluate(beta, t, "temporary_impact")


def _paper(game: ExecutionGame) -> list[Condition]:
    count, end = game.traders, np.atleast_1d(np.asarray(game.terminal_penalty, dtype=float))
    penalties = per_agent(game.running_penalty, count, "running_penalty")
    low, high = (across(penalties, "running_penalty", each) for each in (smallest, largest))
    made_of = (game.permanent_impact, game.temporary_impact, *penalties)

    def excess(factor: float) -> Margin:
        """Least ``phi - factor alpha^2 / beta``."""

        def function(t: Array) -> Array:
            alpha, beta = _impacts(game, t)
            return low(t) - factor * alpha**2 / beta

        return least_margin(function, game.horizon, made_of)

    c, d = 2 + game.crowding * (count - 1), 2 - game.crowding
    alike = least_margin(lambda t: low(t) - high(t), game.horizon, penalties)
    differ = 0.0 if (end == end[0]).all() else float(np.ptp(np.nan_to_num(end)))  # some may be infinite
    apart = smallest_of(alike, Margin(-differ))
    worst = max((count + 1) ** 2 / c, 1 / d) if count > 1 else 2.0  # alone there is no deviation from the mean
    monotone = smallest_of(excess(worst / (8 * count)), Margin(float(end.min())))
    margin, note = excess(1 / (2 * c)), "least phi - alpha^2 / (2 beta (2 + pi (N - 1)))"
    if apart.value < 0:
        margin, note = apart, "penalties differ: their largest difference, negated"
    none = least_margin(lambda t: -_impacts(game, t)[0], game.horizon, made_of[:1])
    return [
        if_not_negative(
            "concave Hamiltonians",
            excess(1 / (4 * count)),
            "Assumption 2.4",
            "least phi - alpha^2 / (4 N beta); sufficient for first-order conditions to give best responses",
        ),
        if_not_negative("no permanent impact", none, "Theorem 2.7, case 1", "largest alpha, negated"),
        if_not_negative(
            "homogeneous penalties, moderate impact", margin, "Theorem 2.7, case 2, for any crowding", note
        ),
        if_positive(
            "monotone system",
            monotone,
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


def _constant_impact(game: ExecutionGame) -> Condition:
    name = "terminal penalty outweighs constant impact"
    reference = "with constant alpha sufficient for concavity, even at phi = 0; not in the paper"
    low = least_margin(lambda t: _impacts(game, t)[0], game.horizon, (game.permanent_impact,))
    high = least_margin(lambda t: -_impacts(game, t)[0], game.horizon, (game.permanent_impact,))
    if low.value + high.value < 0:
        change = Margin(low.value + high.value, high.where, high.points)
        return if_not_negative(name, change, reference, "alpha changes over time: by how much, negated")
    margin = float(np.min(game.terminal_penalty) + high.value / (2 * game.traders))
    return if_not_negative(name, Margin(margin, high.where, high.points), reference, "least A - alpha / (2 N)")


def _flows(game: ExecutionGame) -> Condition:
    name, reference = "bounded, non-negative noise flows", "Section 2"
    if game.factor is None:
        return if_not_negative(name, smallest_of(*least_flows(game, 0.0)), reference, "least flow")
    least, note = smallest_of(*least_flows(game, FAR)), f"least flow out to {FAR:g} scales of the factor"
    note += "; the linear solution needs no such bound"
    if flows_grow(game, game.factor)[0]:
        return Condition(
            name, False, min(least.value, 0.0), reference, f"flows grow with the factor, unbounded; {note}"
        )
    return if_not_negative(name, least, reference, note)


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

"""The attempts at a grid system, one after the other, and multipliers for those who must liquidate.

Batch axes are solved together; what is solved stays as it is in later attempts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..envs.arrays import Array
from . import curve, newton
from .budget import Budget
from .fbsde import System, average_adjoints
from .newton import TOLERANCE, Result

_PATIENCE_ON_THE_WAY = 20
"""iterations in which the residual of a stage of a continuation has to halve: stages begin near their solutions"""
_SHORT_STEPS = 400
_STAGES = 200
_FIRST_STAGE = 0.25
_SHORTEST_STAGE = 1e-3
"""beside what is reached: below it a fold is near"""
_SMALLEST_STAGE = 1e-6
_NOWHERE = 1e-4
"""part of the penalties; a curve of solutions that is back there leads nowhere"""
_ROUNDS = 60
CLOSED = 1e-12
"""part of the inventories at the start that may be left where an agent must liquidate: rounding"""


def start(system: System, steps: int) -> Array:
    """A crude first guess: the adjoints if nobody's inventory ever moved, shrunk towards zero."""
    n = system.initial.shape[-1]
    still = np.broadcast_to(system.initial[..., None, :], (*system.initial.shape[:-1], steps + 1, n))
    return 0.2 * average_adjoints(system, still)


def solve_system(
    system: System,
    steps: int,
    *guesses: Array,
    tolerance: float = TOLERANCE,
    budget: Budget | None = None,
) -> Result:
    """The solution of a system, by one attempt after the other; where agents must liquidate, with their multipliers,
    which are the system's afterwards.

    Args:
        system: the system.
        steps: K.
        guesses: adjoints to start from; by default :func:`start`.
        tolerance: on the residual.
        budget: of iterations and of time, for everything together.
    """
    budget = budget or Budget()
    found = _solve_penalised(system, guesses or (start(system, steps),), tolerance, budget)
    if system.closing is None:
        return found
    size, before = np.abs(system.initial).max(axis=-1), np.inf
    for _ in range(_ROUNDS):
        end = np.where(system.closing, newton.paths(system, found.adjoints)[..., -1, :], 0.0)
        left = np.abs(end).max(axis=-1)
        closed = left <= CLOSED * size
        if not found.converged.any() or (closed | ~found.converged).all() or budget.exhausted:
            break
        system.multiplier = system.multiplier - 2 * system.terminal * end
        slow = (left > before / 5) & ~closed
        system.terminal = np.where(system.closing & slow[..., None], 10.0, 1.0) * system.terminal
        before = left
        again = _solve_penalised(system, (found.adjoints,), tolerance, budget)
        found = again._replace(
            converged=again.converged & found.converged,
            iterations=found.iterations + again.iterations,
            stages=found.stages + again.stages,
            history=found.history + again.history,
        )
    else:
        closed = np.zeros_like(found.converged)
    return found._replace(converged=found.converged & closed)


def _solve_penalised(system: System, guesses: Sequence[Array], tolerance: float, budget: Budget) -> Result:
    """Plain Newton, from one guess after the other and from zero; for members for which that fails continuation, in
    which penalties grow from nothing; without batch axes, where that comes to a fold, the curve of solutions beyond it;
    then Newton with short steps, of the system's unit, which changes rates by a factor of e.

    Arguments are those of :func:`solve_system`; ``guesses`` are at least one.
    """
    begin, *others = guesses
    found = _named(newton.newton(system, begin, tolerance=tolerance, budget=budget), "Newton's method")
    for guess in (*others, np.zeros(begin.shape)):
        if not found.converged.all():
            again = newton.newton(system, _unless_solved(found, guess), tolerance=tolerance, budget=budget)
            found = _better(found, _named(again, "from another guess"))
    if not found.converged.all():
        grown, known = _continuation(system, found, tolerance, budget)
        found = _better(found, _named(grown, "continuation in the penalties"))
        if not found.converged.all() and found.adjoints.ndim == 2 and len(known) > 1:
            found = _better(found, _beyond(system, known, tolerance, budget))
    if not found.converged.all() and not found.folded and not budget.exhausted:
        unit = np.asarray(system.unit)
        begin = _unless_solved(found, begin)
        short = newton.newton(system, begin, tolerance=tolerance, iterations=_SHORT_STEPS, longest=unit, budget=budget)
        found = _better(found, _named(short, "short steps"))
    return found


def _beyond(system: System, known: Sequence[tuple[Array, Array]], tolerance: float, budget: Budget) -> Result:
    """Newton's method from where the curve of solutions through the last stages reaches the full penalties."""
    first, second = (curve.Point(adjoints, float(np.log(part))) for part, adjoints in known)
    before = budget.spent
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        end = curve.follow(system, first, second, budget)
    count = budget.spent - before
    found = newton.newton(system, end.adjoints, tolerance=tolerance, budget=budget)
    name = f"the curve of solutions, which was followed to {100 * np.exp(end.part):.3g}% of the penalties"
    folded = not found.converged and end.part < np.log(_NOWHERE)
    return _named(found._replace(iterations=found.iterations + count, folded=folded), name)


def _named(result: Result, name: str) -> Result:
    return result._replace(tried=(f"{name} ({result.iterations} iterations)",))


def _unless_solved(found: Result, guess: Array) -> Array:
    """A guess for the members that are not solved; the others' solutions."""
    return np.where(found.converged[..., None, None], found.adjoints, guess)


def _better(first: Result, second: Result) -> Result:
    """Of each member what converged, the first result otherwise the one with the smaller residual."""
    use = ~first.converged & (second.converged | (second.residual < first.residual))
    return first._replace(
        adjoints=np.where(use[..., None, None], second.adjoints, first.adjoints),
        residual=np.where(use, second.residual, first.residual),
        converged=first.converged | second.converged,
        iterations=first.iterations + second.iterations,
        history=first.history + second.history,
        stages=first.stages + second.stages,
        reached=np.minimum(first.reached, second.reached),
        folded=first.folded or second.folded,
        tried=first.tried + second.tried,
    )


def _continuation(
    system: System, failed: Result, tolerance: float, budget: Budget
) -> tuple[Result, Sequence[tuple[Array, Array]]]:
    """Penalties grow from nothing, where adjoints are 0, for members that are not solved; each at its own pace.

    Returns:
        The result; and parts of the penalties with the adjoints that solve them, of the last two stages that were.
    """
    shape = failed.converged.shape
    adjoints = np.where(failed.converged[..., None, None], failed.adjoints, 0.0)
    reached, growth = np.where(failed.converged, 1.0, 0.0), np.full(shape, _FIRST_STAGE)
    known, count, stages, latest = [(reached, adjoints)], 0, 0, failed
    history: tuple[float, ...] = ()
    while (
        ((reached < 1) & (growth > np.maximum(_SHORTEST_STAGE * reached, _SMALLEST_STAGE))).any()
        and stages < _STAGES
        and not budget.exhausted
    ):
        target = np.minimum(1.0, reached + growth)
        latest = newton.newton(
            system.scaled(target),
            _predicted(known, target),
            tolerance=tolerance,
            patience=_PATIENCE_ON_THE_WAY,
            budget=budget,
        )
        count, stages, history = count + latest.iterations, stages + 1, history + latest.history
        done = latest.converged
        if done.any():
            solved = np.where(done[..., None, None], latest.adjoints, adjoints)
            known = [known[-1], (np.where(done, target, reached), solved)]
            reached, adjoints = known[-1]
        growth = np.where(done, 1.5 * growth, growth / 3)
    residuals = np.where(reached == 1, latest.residual, np.inf)
    found = Result(adjoints, residuals, reached == 1, count, history, stages, reached)
    return found, known if (known[0][0] > 0).all() else known[-1:]


def _predicted(known: Sequence[tuple[Array, Array]], target: Array) -> Array:
    """Adjoints to start a stage from: on the line through the last two; at first in proportion to the penalties.

    Args:
        known: parts of the penalties, (...,), and the adjoints that solve them, of the last two stages.
        target: (...,) part of this stage.
    """
    (before, first), (reached, latest) = known[0], known[-1]
    begun, apart = reached > 0, reached > before
    ahead = np.where(apart, (target - reached) / np.where(apart, reached - before, 1.0), 0.0)
    grown = np.where(begun, target / np.where(begun, reached, 1.0), 1.0)
    line = latest + ahead[..., None, None] * (latest - first)
    return np.where((apart & (before > 0))[..., None, None], line, grown[..., None, None] * latest)

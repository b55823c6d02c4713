"""Newton's method for a grid forward-backward system, with line search and continuation in the penalties.

Batch axes are solved together, each member with its own step lengths, penalties and end: what one member needs, or
that it fails, changes nothing for the others. Directions are those of :mod:`~makertaker.baselines.sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..envs.arrays import Array
from . import curve
from .budget import Budget
from .fbsde import System, average_adjoints, inventories, residual

_ROUNDING, _TOLERANCE = 1e-14, 1e-11
_ATTEMPT = 60
_PATIENCE = 10
"""iterations in which the residual has to halve"""
_PATIENCE_ON_THE_WAY = 20
"""the same for the stages of a continuation, which begin near their solutions"""
_SHORT_STEPS = 400
_SHORTEST_STEP = 2.0**-30
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


class Result(NamedTuple):
    """Outcome of the iteration. ``residual``, ``converged``, ``reached``: one for each member of the batch."""

    adjoints: Array
    """(..., K, n)"""
    residual: Array
    """(...,) largest absolute residual"""
    converged: Array
    """(...,)"""
    iterations: int
    """Newton iterations, those of all attempts together"""
    history: tuple[float, ...]
    """largest residual over the batch, by iteration"""
    stages: int
    """penalty levels that a continuation went through; 0 without"""
    reached: Array | float = 1.0
    """(...,) part of the penalties with which a continuation was solved last; 1 without"""
    folded: bool = False
    """the curve of solutions turns back and leads away"""
    tried: tuple[str, ...] = ()
    """attempts, in words"""


def _norm(values: Array) -> Array:
    """Largest absolute value over steps and agents; infinite where something is not finite."""
    largest = np.abs(values).max(axis=(-2, -1))
    return np.where(np.isfinite(largest), largest, np.inf)


def newton(
    system: System,
    start: Array,
    *,
    tolerance: float = _TOLERANCE,
    iterations: int = _ATTEMPT,
    longest: float | Array = np.inf,
    patience: int = _PATIENCE,
    budget: Budget | None = None,
) -> Result:
    """Newton's method with a backtracking line search on the largest residual.

    A member of the batch goes on until its residual, or its Newton step, is below ``tolerance`` (relative to the size
    of the adjoints, or to the system's unit where they are smaller; or below rounding), and then takes one more step
    unless the residual
    is at rounding already: it costs little and brings it there. It gives up where no step helps, or where the residual
    does not halve in several iterations.

    Args:
        system: the system.
        start: (..., K, n) adjoints.
        tolerance: on the residual.
        iterations: at most.
        longest: a step in which an adjoint moves by more is shortened to it, and taken even if the residual rises.
            Rates are exponential in adjoints: far from a solution the residual says little about the distance.
        patience: iterations in which the residual has to halve, where ``longest`` is infinite.
        budget: that several calls share.
    """
    budget, count = budget or Budget(), 0
    rounding = system.rounding * min(1.0, tolerance / _TOLERANCE)  # who asks for more than rounding does not get it
    adjoints, impatient = np.array(start, dtype=float), not np.isfinite(longest).all()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = residual(system, adjoints)
        size = _norm(value)
        history = [float(size.max(initial=0.0))]
        still = np.zeros(size.shape, dtype=bool)
        over, mark, since = ~np.isfinite(size), size, np.zeros(size.shape, dtype=int)
        while count < iterations:
            scale = np.maximum(system.unit, _norm(adjoints))
            over = over | (size <= _ROUNDING * scale)
            if over.all() or not budget.spend():
                break
            last = still | (size <= np.maximum(tolerance * scale, rounding))
            try:
                move = -system.direction(adjoints, value)
            except np.linalg.LinAlgError:
                break
            count += 1
            # where rates are steep, rounding keeps the residual up although the solution is reached
            still = np.where(over, still, _norm(move) <= tolerance * scale)
            adjoints, value, size, moved = _search(system, adjoints, move, value, size, longest, over)
            history.append(float(size.max(initial=0.0)))
            over = over | last | ~moved
            halved = size <= mark / 2
            mark, since = np.where(halved, size, mark), np.where(halved, 0, since + 1)
            if impatient:
                over = over | (since >= patience)
        converged = still | (size <= np.maximum(tolerance * np.maximum(system.unit, _norm(adjoints)), rounding))
    return Result(adjoints, size, converged, count, tuple(history), 0)


def _search(
    system: System, adjoints: Array, move: Array, value: Array, size: Array, longest: float | Array, over: Array
) -> tuple[Array, Array, Array, Array]:
    """Halve each member's step until its residual falls; members that are over, or for which nothing helps, stay."""
    reach = _norm(move)
    usable = np.isfinite(reach) & ~over
    move = np.where(usable[..., None, None], move, 0.0)
    free = usable & (reach > longest)
    length = np.where(free, longest / np.where(free, reach, 1.0), 1.0)
    done, at_rounding = ~usable, reach <= 10 * _ROUNDING * np.maximum(system.unit, _norm(adjoints))
    moved = np.zeros(size.shape, dtype=bool)
    best, best_value, best_size = adjoints, value, size
    shortest = _SHORTEST_STEP * length.min()
    while not done.all() and length.min() > shortest:
        trial = adjoints + length[..., None, None] * move
        trial_value = residual(system, trial)
        trial_size = _norm(trial_value)
        better = trial_size < np.where(free, np.inf, (1 - 1e-4 * length) * size)
        better &= ~done
        if better.all():
            best, best_value, best_size = trial, trial_value, trial_size
        elif better.any():
            mask = better[..., None, None]
            best, best_value = np.where(mask, trial, best), np.where(mask, trial_value, best_value)
            best_size = np.where(better, trial_size, best_size)
        moved |= better
        done |= better | at_rounding  # a shorter step cannot help these
        length = np.where(done, length, length / 2)
    return best, best_value, best_size, moved


def start(system: System, steps: int) -> Array:
    """A crude first guess: the adjoints if nobody's inventory ever moved, shrunk towards zero."""
    n = system.initial.shape[-1]
    still = np.broadcast_to(system.initial[..., None, :], (*system.initial.shape[:-1], steps + 1, n))
    return 0.2 * average_adjoints(system, still)


def solve_system(
    system: System,
    steps: int,
    *guesses: Array,
    tolerance: float = _TOLERANCE,
    budget: Budget | None = None,
) -> Result:
    """The solution of a system, see :func:`solve_penalised`; where agents must liquidate, with their multipliers, which
    are the system's afterwards.

    Args:
        system: the system.
        steps: K.
        guesses: adjoints to start from; by default :func:`start`.
        tolerance: on the residual.
        budget: of iterations and of time, for everything together.
    """
    budget = budget or Budget()
    found = solve_penalised(system, steps, *guesses, tolerance=tolerance, budget=budget)
    if system.closing is None:
        return found
    size, before = np.abs(system.initial).max(axis=-1), np.inf
    for _ in range(_ROUNDS):
        end = np.where(system.closing, paths(system, found.adjoints)[..., -1, :], 0.0)
        left = np.abs(end).max(axis=-1)
        closed = left <= CLOSED * size
        if not found.converged.any() or (closed | ~found.converged).all() or budget.exhausted:
            break
        system.multiplier = system.multiplier - 2 * system.terminal * end
        slow = (left > before / 5) & ~closed
        system.terminal = np.where(system.closing & slow[..., None], 10.0, 1.0) * system.terminal
        before = left
        again = solve_penalised(system, steps, found.adjoints, tolerance=tolerance, budget=budget)
        found = again._replace(
            converged=again.converged & found.converged,
            iterations=found.iterations + again.iterations,
            stages=found.stages + again.stages,
            history=found.history + again.history,
        )
    else:
        closed = np.zeros_like(found.converged)
    return found._replace(converged=found.converged & closed)


def solve_penalised(
    system: System,
    steps: int,
    *guesses: Array,
    tolerance: float = _TOLERANCE,
    budget: Budget | None = None,
) -> Result:
    """Plain Newton, from one guess after the other and from zero; for members for which that fails continuation, in
    which penalties grow from nothing; without batch axes, where that comes to a fold, the curve of solutions beyond it;
    then Newton with short steps, of the system's unit, which changes rates by a factor of e.

    Args:
        system: the system.
        steps: K.
        guesses: adjoints to start from; by default :func:`start`.
        tolerance: on the residual.
        budget: of iterations and of time, for everything together.
    """
    budget = budget or Budget()
    begin, *others = guesses or (start(system, steps),)
    found = _named(newton(system, begin, tolerance=tolerance, budget=budget), "Newton's method")
    for guess in (*others, np.zeros(begin.shape)):
        if not found.converged.all():
            again = newton(system, _unless_solved(found, guess), tolerance=tolerance, budget=budget)
            found = _better(found, _named(again, "from another guess"))
    if not found.converged.all():
        grown, known = _continuation(system, found, tolerance, budget)
        found = _better(found, _named(grown, "continuation in the penalties"))
        if not found.converged.all() and found.adjoints.ndim == 2 and len(known) > 1:
            found = _better(found, _beyond(system, known, tolerance, budget))
    if not found.converged.all() and not found.folded and not budget.exhausted:
        unit = np.asarray(system.unit)
        begin = _unless_solved(found, begin)
        short = newton(system, begin, tolerance=tolerance, iterations=_SHORT_STEPS, longest=unit, budget=budget)
        found = _better(found, _named(short, "short steps"))
    return found


def _beyond(system: System, known: Sequence[tuple[Array, Array]], tolerance: float, budget: Budget) -> Result:
    """Newton's method from where the curve of solutions through the last stages reaches the full penalties."""
    first, second = (curve.Point(adjoints, float(np.log(part))) for part, adjoints in known)
    before = budget.spent
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        end = curve.follow(system, first, second, budget)
    count = budget.spent - before
    found = newton(system, end.adjoints, tolerance=tolerance, budget=budget)
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
        latest = newton(
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


def paths(system: System, adjoints: Array) -> Array:
    """(..., K+1, n) inventories that adjoints lead to."""
    return inventories(system, system.rates(adjoints))

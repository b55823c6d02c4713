"""Reference points of the execution game, and the collusion index between two of them."""

from __future__ import annotations

import numpy as np

from ...envs import Controls, ExecutionGame, draw_noise, simulate
from ...envs.arrays import Array
from ...envs.grid import grid
from ..errors import EquilibriumNotFound, NoOptimum
from ..heuristics import twap
from ..profiles import FEEDBACK, OPEN_LOOP, PATHS, Reference
from ..rounding import without_rounding
from . import linear_system as linear
from .concavity import require_concave
from .cooperative import cooperative_optimum
from .dynamic_programming import feedback_nash
from .equilibrium import ExecutionEquilibrium
from .linear_rule import LinearFeedback
from .response import adapted_gains, as_rule, schedule_gains
from .signal import expectation, linear_signal, signal_load

COOPERATIVE, ALONE, TWAP = "cooperative optimum", "Almgren-Chriss, ignoring the others", "TWAP"
_LARGEST = 40
"""agents up to which feedback Nash is computed: its cost grows with the fourth power of their number"""
_MOVED = 0.1
"""relative change of inventories beyond which feedback Nash is said to depend on the grid"""


def collusion_index(total: float, nash: float, cooperative: float) -> float | None:
    """``(J - J_Nash) / (J_coop - J_Nash)`` of total payoffs: 0 at the open-loop Nash equilibrium, 1 at the optimum.

    None where the two coincide to rounding: with one trader, or where agents do not affect each other.

    Examples:
        >>> from makertaker.baselines import collusion_index
        >>> collusion_index(total=-30.0, nash=-40.0, cooperative=-20.0)
        0.5
    """
    gap = cooperative - nash
    return (total - nash) / gap if gap > 1e-9 * (abs(nash) + abs(cooperative)) else None


def almgren_chriss_alone(game: ExecutionGame, steps: int) -> LinearFeedback:
    """Everyone's optimal execution if the others did not trade: its own impact, the noise flow and the factor only.

    Raises:
        ValueError: the factor does not enter linearly.
        EquilibriumNotFound: an agent's problem has no maximum.

    Examples:
        >>> from makertaker.baselines import almgren_chriss_alone
        >>> from makertaker.envs import load_scenario
        >>> almgren_chriss_alone(load_scenario("execution-2"), 20).play().payoffs.shape
        (2,)
    """
    times = grid(game, steps)
    c = game.coefficients(times)
    require_concave(c, game.horizon / steps)
    system = linear.lone_system(c, game.horizon / steps, 2.0, 1.0)
    swept = linear.sweep(system)
    response = linear.respond(system, swept, signal_load(linear_signal(game, c, times), game.traders, 1))
    gain = swept.gain[..., 0, 0, None] * np.eye(game.traders)
    return LinearFeedback(game, gain, response.shift[..., 0], response.signal[:, :, 0])


def execution_references(game: ExecutionGame, steps: int, equilibrium: ExecutionEquilibrium) -> dict[str, Reference]:
    """See :func:`makertaker.baselines.references`.

    Args:
        game: one whose factor, if it has one, enters linearly.
        steps: K.
        equilibrium: the open-loop one.
    """
    notes: dict[str, str] = {}
    rules: dict[str, LinearFeedback | None] = {}
    try:
        rules[COOPERATIVE] = cooperative_optimum(game, steps)
    except NoOptimum as error:
        rules[COOPERATIVE], notes[COOPERATIVE] = None, str(error)
    rules |= {
        ALONE: almgren_chriss_alone(game, steps),
        TWAP: as_rule(game, Controls(twap(game, steps)), steps),
    }
    payoffs = {name: None if rule is None else expected_payoffs(rule) for name, rule in rules.items()}
    others = {
        name: Reference(name, rule, payoffs[name], None, _nash_conv(rule), notes.get(name, ""))
        for name, rule in rules.items()
    }
    rule = equilibrium.rule
    open_loop = Reference(OPEN_LOOP, rule, expected_payoffs(rule), None, _nash_conv(rule))
    return {OPEN_LOOP: open_loop, FEEDBACK: feedback_reference(game, steps), **others}


def twap_reference(game: ExecutionGame, schedule: Controls, nash_conv: float) -> dict[str, Reference]:
    """TWAP alone: the other reference points are linear in the factor, and this game is not."""
    steps = len(schedule.rate)
    noise = draw_noise(game, steps, PATHS, seed=0)
    payoffs = np.atleast_2d(simulate(game, schedule, steps, noise).payoffs).mean(axis=0)
    missing = Reference(COOPERATIVE, note="computed only where the factor enters linearly")
    return {TWAP: Reference(TWAP, game.complete(schedule), payoffs, None, nash_conv), COOPERATIVE: missing}


def feedback_reference(game: ExecutionGame, steps: int) -> Reference:
    """The feedback equilibrium, or the reason why there is none."""
    try:
        rule, note = _feedback(game, steps)
    except (EquilibriumNotFound, ValueError) as error:
        return Reference(FEEDBACK, note=str(error))
    return Reference(FEEDBACK, rule, expected_payoffs(rule), None, _nash_conv(rule), note)


def _feedback(game: ExecutionGame, steps: int) -> tuple[LinearFeedback, str]:
    """Feedback Nash, and a note where twice as many steps give another one: at strong crowding it has no limit."""
    if game.traders > _LARGEST:
        raise ValueError(f"feedback Nash is computed for at most {_LARGEST} agents, here are {game.traders}")
    found = feedback_nash(game, steps)
    try:
        finer = feedback_nash(game, 2 * steps).play().inventories[::2]
    except EquilibriumNotFound:
        return found, "an artefact of the grid: with twice as many steps there is none"
    coarse = found.play().inventories
    size = float(np.abs(coarse).max())
    moved = float(np.abs(finer - coarse).max()) / (size if size > 0 else 1.0)
    if moved <= _MOVED:
        return found, ""
    return found, f"depends on the grid: with twice as many steps inventories differ by {100 * moved:.0f}%"


def expected_payoffs(rule: LinearFeedback) -> Array:
    """Expected payoffs (N,) if all follow a rule."""
    return expectation(rule.game, grid(rule.game, rule.steps), lambda noise: rule.play(noise).payoffs)[0]


def _nash_conv(rule: LinearFeedback | None) -> float | None:
    if rule is None:
        return None
    if rule.game.factor is None:  # one batch for all agents
        payoffs, gains = schedule_gains(rule.game, rule.play().controls.rate)
    else:
        payoffs, gains, _ = adapted_gains(rule)
    return float(without_rounding(gains, np.abs(payoffs), rule.steps).sum())

"""Reference points for a learned profile of the execution game, and the collusion index between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..envs.arrays import Array
from ..envs.execution_game import ExecutionGame
from ..envs.game import Controls, Game
from ..envs.grid import grid
from .equilibrium import EquilibriumNotFound
from .execution import linear_system as linear
from .execution.cooperative import NoOptimum, cooperative_optimum
from .execution.dynamic_programming import feedback_nash
from .execution.equilibrium import ExecutionEquilibrium, require_concave, signal_load
from .execution.linear_rule import LinearFeedback
from .execution.signal import expectation, linear_signal
from .gains import exploitability
from .heuristics import twap
from .nash import solve
from .responses import as_rule

OPEN_LOOP, FEEDBACK, COOPERATIVE = "Nash, open loop", "Nash, feedback", "cooperative optimum"
ALONE, TWAP = "Almgren-Chriss, ignoring the others", "TWAP"
_LARGEST = 40
"""agents up to which feedback Nash is computed: its cost grows with the fourth power of their number"""
_MOVED = 0.1
"""relative change of inventories beyond which feedback Nash is said to depend on the grid"""


@dataclass(frozen=True)
class Reference:
    """One profile to compare with."""

    name: str
    rule: LinearFeedback | None
    """None where there is no such profile; ``note`` says why"""
    payoffs: Array | None
    """(N,)"""
    collusion_index: float | None
    """of the total payoff; None where it is undefined"""
    nash_conv: float | None
    """sum of the gains from best responses to the profile played open loop"""
    note: str = ""

    @property
    def total(self) -> float | None:
        """Sum of payoffs."""
        return None if self.payoffs is None else float(self.payoffs.sum())


def collusion_index(total: float, nash: float, cooperative: float) -> float | None:
    """``(J - J_Nash) / (J_coop - J_Nash)`` of total payoffs: 0 at the open-loop Nash equilibrium, 1 at the optimum.

    None where the two coincide to rounding: with one trader, or where agents do not affect each other.
    """
    gap = cooperative - nash
    return (total - nash) / gap if gap > 1e-9 * (abs(nash) + abs(cooperative)) else None


def almgren_chriss_alone(game: ExecutionGame, steps: int) -> LinearFeedback:
    """Everyone's optimal execution if the others did not trade: its own impact, the noise flow and the factor only.

    Raises:
        ValueError: the factor does not enter linearly.
        EquilibriumNotFound: an agent's problem has no maximum.
    """
    times = grid(game, steps)
    c = game.coefficients(times)
    require_concave(c, game.horizon / steps)
    load = signal_load(linear_signal(game, c, times), game.traders)
    load = load._replace(  # a batch of agents, each alone
        drift=load.drift[..., None],
        premium=load.premium[..., None],
        signal_drift=load.signal_drift[:, :, None],
        signal_premium=load.signal_premium[:, :, None],
    )
    system = linear.lone_system(c, game.horizon / steps, 2.0, 1.0)
    swept = linear.sweep(system)
    response = linear.respond(system, swept, load)
    gain = swept.gain[..., 0, 0, None] * np.eye(game.traders)
    return LinearFeedback(game, gain, response.shift[..., 0], response.signal[:, :, 0])


def references(game: Game, steps: int) -> dict[str, Reference]:
    """The table of reference points by name: open-loop and feedback Nash, cooperative optimum, Almgren-Chriss, TWAP.

    A profile that does not exist is in the table with a note that says why.

    Raises:
        ValueError: not an execution game, or the factor does not enter linearly.
        EquilibriumNotFound: there is no open-loop equilibrium to refer to.
    """
    if not isinstance(game, ExecutionGame):
        raise ValueError(f"references: expected an ExecutionGame, got a {type(game).__name__}")
    times = grid(game, steps)
    linear_signal(game, game.coefficients(times), times)  # a factor that does not enter linearly is refused here
    equilibrium = solve(game, steps)
    if not isinstance(equilibrium, ExecutionEquilibrium):
        raise TypeError(f"expected an ExecutionEquilibrium, got a {type(equilibrium).__name__}")
    notes: dict[str, str] = {}
    rules: dict[str, LinearFeedback | None] = {OPEN_LOOP: equilibrium.rule}
    try:
        rules[FEEDBACK], notes[FEEDBACK] = _feedback(game, steps)
    except (EquilibriumNotFound, ValueError) as error:
        rules[FEEDBACK], notes[FEEDBACK] = None, str(error)
    try:
        rules[COOPERATIVE] = cooperative_optimum(game, steps)
    except NoOptimum as error:
        rules[COOPERATIVE], notes[COOPERATIVE] = None, str(error)
    rules[ALONE] = almgren_chriss_alone(game, steps)
    rules[TWAP] = as_rule(game, Controls(twap(game, steps)), steps)
    payoffs = {name: None if rule is None else expected_payoffs(rule) for name, rule in rules.items()}
    nash, best = payoffs[OPEN_LOOP], payoffs[COOPERATIVE]
    assert nash is not None

    def index(name: str) -> float | None:
        own = payoffs[name]
        if own is None or best is None:
            return None
        return collusion_index(float(own.sum()), float(nash.sum()), float(best.sum()))

    return {
        name: Reference(name, rule, payoffs[name], index(name), _nash_conv(rule, steps), notes.get(name, ""))
        for name, rule in rules.items()
    }


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


def _nash_conv(rule: LinearFeedback | None, steps: int) -> float | None:
    if rule is None:
        return None
    if rule.game.factor is None:  # one batch for all agents
        return exploitability(rule.game, rule.play().controls, steps).nash_conv
    return exploitability(rule.game, rule, steps).nash_conv

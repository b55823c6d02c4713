"""The curve of solutions along the penalties, beyond a fold: a system of one unknown whose curve is a cubic."""

import numpy as np
import pytest

from makertaker.baselines import EquilibriumNotFound, exploitability, newton, solve
from makertaker.baselines.budget import Budget
from makertaker.baselines.curve import Point, follow
from makertaker.baselines.fbsde import System, residual
from makertaker.envs import MakerTakerGame

COEFFICIENTS = (1.0, -3.0, 2.4)
"""of ``part = Y^3 - 3 Y^2 + 2.4 Y``, which rises to .579, falls to .221 and rises again"""


class Cubic(System):
    """One step, one agent: ``Y = -2 part A (q + dt r(Y))`` on the cubic, with ``A = 1/2`` and ``q = 1``."""

    def __init__(self):
        super().__init__(0.5, np.zeros((1, 1)), np.array([0.5]), np.array([1.0]))

    def rates(self, adjoints):
        return (-1 / np.polyval(COEFFICIENTS, adjoints) - 1) / self.dt

    def jacobian(self, adjoints):
        slope = np.polyval(np.polyder(COEFFICIENTS), adjoints) / np.polyval(COEFFICIENTS, adjoints) ** 2
        return (slope / self.dt)[..., None]


def on_the_curve(part):
    """The smallest root of the cubic."""
    return min(root.real for root in np.roots([*COEFFICIENTS, -part]) if abs(root.imag) < 1e-12)


def test_the_curve_is_the_cubic():
    for part in (0.1, 0.3, 0.57):
        point = np.array([[on_the_curve(part)]])
        np.testing.assert_allclose(residual(Cubic().scaled(np.asarray(part)), point), 0, atol=1e-14)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 10.0])
def test_a_fold_is_passed(unit):
    system = Cubic()
    system.unit = unit
    points = [Point(np.array([[on_the_curve(part)]]), np.log(part)) for part in (0.3, 0.35)]
    end = follow(system, *points, Budget())
    assert end.part == 0.0
    found = newton.newton(system, end.adjoints)
    assert found.converged
    np.testing.assert_allclose(found.adjoints, on_the_curve(1.0), rtol=1e-12)


def test_a_budget_ends_it():
    points = [Point(np.array([[on_the_curve(part)]]), np.log(part)) for part in (0.3, 0.35)]
    budget = Budget(iterations=12)
    end = follow(Cubic(), *points, budget)
    assert budget.spent == 12
    assert end.part < 0


def test_quotes_that_run_away_are_said_to_and_bounds_hold_them():
    """Two makers, one far more averse to inventory, under a one-sided flow: best quote does not clear it, and neither
    maker can be rid of it by quoting low while the other does the same."""
    game = {
        "trader_inventory": (-4.0,),
        "maker_inventory": (1.0, 0.0),
        "maker_running_penalty": (20.0, 0.2),
        "maker_terminal_penalty": (0.1, 3.0),
        "buy_flow": 10.0,
        "sell_flow": 0.1,
    }
    said = r"solved with [\d.]+% of its penalties, where the curve of solutions turns back and quotes run away\."
    with pytest.raises(EquilibriumNotFound, match=said):
        solve(MakerTakerGame(**game), 4)
    bounded = MakerTakerGame(**game, max_quote=10.0)
    found = solve(bounded, 4)
    assert "quotes are truncated at max_quote = 10" in found.message
    assert exploitability(bounded, found.controls).nash_conv < 1e-10

"""Gains and margins that are rounding are zero, without a sign; others stay what they are."""

import numpy as np
import pytest
from typer.testing import CliRunner

from makertaker.baselines import Exploitability, check, exploitability, exploitability_many, solve
from makertaker.baselines.rounding import without_rounding
from makertaker.envs import ExecutionGame, load_scenario
from makertaker.training import cli
from support.units import rescaled

SCENARIOS = ("acas", "execution-2", "maker-taker-3x3", "dealers")
STARTS = "several starts lead to the same equilibrium"


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(("steps", "unit"), [(1, 1.0), (20, 1.0), (20, 1e6), (200, 1.0)])
def test_nobody_gains_in_equilibrium_not_even_less_than_nothing(name, steps, unit):
    game = rescaled(load_scenario(name), shares=unit, prices=1 / unit, time=1 / unit)
    nash = solve(game, steps).controls
    for found in (exploitability(game, nash, steps), *exploitability_many([game], [nash], steps)):
        assert not np.signbit(found.gains).any()
        assert found.nash_conv == 0


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_a_number_beyond_rounding_is_not_hidden(size):
    values = size * np.array([-1e-12, 1e-12, -1e-16, 0.0, -0.5])
    found = without_rounding(values, size, steps=20)
    np.testing.assert_array_equal(found, [values[0], values[1], 0.0, 0.0, values[4]])
    assert not np.signbit(found[2:4]).any()
    game = load_scenario("execution-2")
    kept = Exploitability(game, 20, size * np.array([-25.0, 3.0]), size * np.array([-1e-9, -1e-16]))
    assert kept.gains.tolist() == [size * -1e-9, 0.0]


def hasty(game):
    """Gains where the last trader trades faster than in equilibrium."""
    nash = solve(game, 20).controls
    faster = np.append(np.ones(nash.rate.shape[1] - 1), 1.3)
    return exploitability(game, nash._replace(rate=nash.rate * faster), 20)


@pytest.mark.parametrize("large", [1e3, 1e6, 1e9])
def test_the_gain_of_a_small_trader_beside_a_large_one_is_not_hidden(large):
    """Who do not move each other's price: the small one's gain is what it is beside another small one."""
    equal, unequal = (hasty(ExecutionGame(initial_inventory=(-other, -1e-2), crowding=0.0)) for other in (1e-2, large))
    assert equal.gains[1] > 0.01 * abs(equal.payoffs[1])
    assert unequal.gains[0] == 0
    np.testing.assert_allclose(unequal.gains[1], equal.gains[1], rtol=1e-3)


@pytest.mark.parametrize("name", [each for each in SCENARIOS if each != "execution-2"])
def test_a_distance_between_solutions_that_is_rounding_is_none(name):
    margins = {each.name: each.margin for each in check(load_scenario(name))}
    assert margins[STARTS] == 0
    assert not np.signbit(margins[STARTS])
    said = CliRunner().invoke(cli.app, ["check", name]).output.splitlines()
    (line,) = [each for each in said if STARTS in each]
    assert line.split()[:2] == ["yes", "0"]

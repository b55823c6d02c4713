"""Rung: infinitely many traders, the population of Proposition 4.5."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import EquilibriumNotFound, mean_field, solve
from makertaker.envs import CrowdedImpact, QuadraticImpact, load_scenario
from support.controls import assert_same_controls

STEPS = 10

POPULATION = load_scenario("mean-field")


def test_the_mean_field_is_the_finite_averaged_game():
    """At the sample's own mean, traders being affine in their inventories with one slope."""
    field, finite = mean_field(POPULATION, STEPS), solve(POPULATION, STEPS)
    np.testing.assert_allclose(field.rates(POPULATION.trader_inventory), finite.controls.rate, atol=1e-10)
    np.testing.assert_allclose(field.adjoints(POPULATION.trader_inventory), finite.adjoints[:, :20], atol=1e-10)
    np.testing.assert_allclose(field.inventories(POPULATION.trader_inventory), finite.inventories[:, :20], atol=1e-10)
    assert_same_controls(field.representative.controls[1:], finite.controls[1:], 1e-10)
    assert field.margin == pytest.approx(finite.controls.rate.min(), abs=1e-10)  # min_rate is 0


def test_adjoints_without_running_penalty():
    """(36): ``Y^j = A_0 q^j + B_0``, ``1 / A_0 = -1 / (2 A) - T / (2 beta)``, constant in time."""
    game = replace(POPULATION, trader_running_penalty=0.0, maker_running_penalty=0.0)
    inventory = np.array([-6.0, -5.0, -4.0])
    adjoints = mean_field(game, STEPS).adjoints(inventory)
    np.testing.assert_allclose(adjoints, np.broadcast_to(adjoints[0], adjoints.shape), atol=1e-12)
    slope = 1 / (-1 / (2 * 0.5) - game.horizon / (2 * 0.5))
    np.testing.assert_allclose(np.diff(adjoints[0]), slope, atol=1e-12)


def test_a_population_of_one_point_is_one_trader():
    game = load_scenario("acas")
    field = mean_field(replace(game, flow_from="mean", trader_inventory=(-5.0,) * 3), STEPS)
    equilibrium = solve(game, STEPS)
    assert_same_controls(field.representative.controls, equilibrium.controls, 1e-12)
    np.testing.assert_allclose(field.rates([-5.0]), equilibrium.controls.rate, atol=1e-12)


def test_the_error_of_a_finite_market_falls_with_the_square_root_of_its_size():
    """Quotes of games with drawn traders against those of the population; 4 up to sampling error."""
    game, rng = replace(POPULATION, trader_inventory=(-5.0,)), np.random.default_rng(0)
    limit = mean_field(game, 5).representative.controls.ask
    errors = {}
    for count in (3, 48):
        drawn = [solve(replace(game, trader_inventory=rng.uniform(-6, -4, count)), 5).controls.ask for _ in range(80)]
        errors[count] = np.mean([np.abs(each - limit).max() for each in drawn])
    assert 3 < errors[3] / errors[48] < 5.3


NOT_A_POPULATION = {
    "two sides": ({"trader_inventory": (-5.0, 4.0)}, "traders on one side"),
    "penalties": ({"trader_inventory": (-5.0, -4.0), "trader_terminal_penalty": (0.5, 0.4)}, "equal penalties"),
    "impacts": (
        {"trader_inventory": (-5.0, -4.0), "impact": QuadraticImpact((0.5, 0.4))},
        "equal penalties and impacts",
    ),
    "crowded": ({"impact": CrowdedImpact(0.5, 0.5)}, "a QuadraticImpact"),
    "sum": ({"flow_from": "sum"}, "flow_from='mean', got 'sum'"),
}


@pytest.mark.parametrize(("changes", "message"), NOT_A_POPULATION.values(), ids=NOT_A_POPULATION)
def test_other_games_have_no_mean_field(changes, message):
    with pytest.raises(ValueError, match="mean field: expected " + message):
        mean_field(replace(POPULATION, **changes), STEPS)


def test_a_trader_that_would_be_truncated_is_refused():
    """(33) at phi = 0, as the proof needs it: ``q^j <= q^1 + (2 beta / |A_0|) (v_t - epsilon)``, ``|A_0| = 1/2``."""
    game = replace(POPULATION, trader_running_penalty=0.0, maker_running_penalty=0.0, min_rate=0.1)
    rate = mean_field(replace(game, trader_inventory=(-5.0,)), STEPS).representative.controls.rate.min()
    most = 2 * 0.5 / 0.5 * (rate - 0.1)
    populations = [replace(game, trader_inventory=(-5 - q, -5 + q)) for q in (0.999 * most, 1.001 * most)]
    assert mean_field(populations[0], STEPS).margin == pytest.approx(0.0005 * most, abs=1e-9)
    with pytest.raises(EquilibriumNotFound, match=r"condition \(33\) fails by .* solve the averaged game itself"):
        mean_field(populations[1], STEPS)

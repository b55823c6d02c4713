"""Rung: the table of what equilibria of the execution game are compared with."""

import numpy as np
import pytest

from makertaker.baselines import almgren_chriss_alone, collusion_index, feedback_nash, references, solve
from makertaker.baselines.reference_points import ALONE, COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from makertaker.envs import Controls, read_scenario, rollout, simulate
from support.execution_games import HOMOGENEOUS, ONE_TRADER, UNCROWDED, WEAKLY_CROWDED
from support.quadratic import payoff_forms
from support.units import rescaled

STEPS = 6


@pytest.mark.parametrize("game", [UNCROWDED, WEAKLY_CROWDED], ids=["no crowding", "varying"])
def test_reference_points(game):
    """Almgren-Chriss alone: each agent's maximum where the others' rates are zero. TWAP: ``-q_0 / T``."""
    steps, count = STEPS, game.traders
    _, slopes, hessians = payoff_forms(game, steps)
    table = references(game, steps)
    assert list(table) == [OPEN_LOOP, FEEDBACK, COOPERATIVE, ALONE, TWAP]
    own = [hessian[i::count, i::count] for i, hessian in enumerate(hessians)]
    # x = 0: nobody trades
    alone = np.stack([-np.linalg.solve(own[i], slopes[i, i::count]) for i in range(count)], axis=-1)
    np.testing.assert_allclose(almgren_chriss_alone(game, steps).play().controls.rate, alone, atol=1e-9)
    profiles = {
        OPEN_LOOP: solve(game, steps).controls.rate,
        FEEDBACK: rollout(game, feedback_nash(game, steps).feedback(), steps).controls.rate,
        COOPERATIVE: -np.linalg.solve(hessians.sum(axis=0), slopes.sum(axis=0)).reshape(steps, -1),
        ALONE: alone,
        TWAP: np.tile(-game.start / game.horizon, (steps, 1)),
    }
    totals = {name: simulate(game, Controls(rates), steps).payoffs.sum() for name, rates in profiles.items()}
    nash, best = totals[OPEN_LOOP], totals[COOPERATIVE]
    for name, rates in profiles.items():
        row = table[name]
        gradients = [(slopes[i] + hessians[i] @ rates.ravel())[i::count] for i in range(count)]
        gains = [-g @ np.linalg.solve(h, g) / 2 for g, h in zip(gradients, own, strict=True)]
        np.testing.assert_allclose(row.payoffs, simulate(game, Controls(rates), steps).payoffs, rtol=1e-9, atol=1e-9)
        assert row.total == pytest.approx(totals[name])
        assert row.collusion_index == pytest.approx((totals[name] - nash) / (best - nash), abs=1e-8)
        assert row.nash_conv == pytest.approx(sum(gains), rel=1e-8, abs=1e-9)
        assert row.note == ""
    assert table[OPEN_LOOP].collusion_index == pytest.approx(0.0, abs=1e-9)
    assert table[COOPERATIVE].collusion_index == 1.0
    assert table[COOPERATIVE].nash_conv > 1e-3


@pytest.mark.parametrize("scenario", ["execution-2", "almgren-chriss-2", "execution-10", "execution-signal"])
@pytest.mark.parametrize("units", [(1e-6, 1.0, 1.0), (1.0, 1e-8, 1.0), (1.0, 1.0, 1.0), (1e4, 1e5, 250.0)])
def test_nobody_gains_in_equilibrium_and_the_index_begins_at_zero(scenario, units):
    """Exactly: rounding is nobody's, whatever the units of shares, prices and time."""
    given = read_scenario(scenario)
    nash = references(rescaled(given.game, *units), given.steps)[OPEN_LOOP]
    assert (nash.nash_conv, nash.collusion_index) == (0.0, 0.0)


def test_reference_points_that_do_not_exist():
    table = references(HOMOGENEOUS, 5)
    assert table[COOPERATIVE].rule is table[COOPERATIVE].payoffs is table[COOPERATIVE].nash_conv is None
    assert "singular" in table[COOPERATIVE].note
    assert "crowding 1" in table[COOPERATIVE].note
    assert all(row.collusion_index is None for row in table.values())
    assert all(row.total is not None for name, row in table.items() if name != COOPERATIVE)
    # alone, Nash and the optimum coincide: the index would be 0 / 0
    assert all(row.collusion_index is None for row in references(ONE_TRADER, 5).values())
    assert collusion_index(1.0, 1.0, 1.0) is None
    assert collusion_index(-3.0, -4.0, -2.0) == 0.5

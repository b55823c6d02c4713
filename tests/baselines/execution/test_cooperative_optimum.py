"""Rung: the cooperative optimum of the execution game, checked by payoffs alone, and where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import NoOptimum, cooperative_optimum, solve
from makertaker.envs import Controls, ExecutionGame, simulate
from support.drawing import drawn, execution_games
from support.quadratic import payoff_forms, total_hessian

DRAWN = drawn(30)


@DRAWN
@given(execution_games(most=3, crowding=0.95), st.integers(1, 6))
def test_cooperative_optimum(game, steps):
    base, slopes, hessians = payoff_forms(game, steps)
    rates = cooperative_optimum(game, steps).play().controls.rate
    slope, hessian = slopes.sum(axis=0), hessians.sum(axis=0)
    assert np.linalg.eigvalsh(hessian).max() < 0
    np.testing.assert_allclose(slope + hessian @ rates.ravel(), 0.0, atol=1e-9)
    total = simulate(game, Controls(rates), steps).payoffs.sum()
    assert total == pytest.approx(base.sum() + slope @ rates.ravel() / 2, abs=1e-9)
    assert total >= solve(game, steps).payoffs.sum() - 1e-10


@pytest.mark.parametrize(("crowding", "reason"), [(1.0, "singular"), (1.3, "unbounded")])
def test_no_cooperative_optimum_with_crowding(crowding, reason):
    """At crowding 1 trading between the agents costs only the penalties of the inventory it makes.

    Rates that alternate in sign from step to step make an inventory of one step's size: per unit of time the Hessian
    has an eigenvalue of the order of ``-phi dt^2``, and rates at the grid's optimum grow with K. Below 1 that
    eigenvalue is at most ``-2 (1 - pi) beta / N``; above 1 there is no maximum at all.
    """
    game = ExecutionGame((4.0, -1.0), permanent_impact=0.2, running_penalty=(0.3, 0.6), crowding=crowding)
    for impact in (0.0, 0.2):
        with pytest.raises(NoOptimum, match=rf"{reason}.* at crowding {crowding:g}"):
            cooperative_optimum(replace(game, permanent_impact=impact), 10)
    largest, fastest = [], []
    for steps in (8, 16, 32):
        _, slopes, hessians = payoff_forms(game, steps)
        slope, hessian = slopes.sum(axis=0), hessians.sum(axis=0)
        largest.append(np.linalg.eigvalsh(hessian).max() * steps / game.horizon)
        fastest.append(np.abs(np.linalg.solve(hessian, slope)).max())
        below = total_hessian(replace(game, crowding=0.5, permanent_impact=0.0), steps)
        assert np.linalg.eigvalsh(below).max() * steps / game.horizon <= -2 * 0.5 * game.temporary_impact / 2
    if crowding > 1:
        assert min(largest) > 0
    else:
        assert max(largest) < 0
        assert (np.divide(largest[:-1], largest[1:]) > 3.5).all()
        assert (np.divide(fastest[1:], fastest[:-1]) > 1.8).all()

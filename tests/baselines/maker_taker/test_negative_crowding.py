"""Crowded impact below 0, in the class of Definition 3.2 down to -2."""

import numpy as np
import pytest

from makertaker.baselines import check, exploitability, solve
from makertaker.envs import Controls, CrowdedImpact, MakerTakerGame, simulate


@pytest.mark.parametrize("crowding", [-0.5, -1.2, -1.9])
@pytest.mark.parametrize("bounds", [{}, {"min_rate": 0.5, "max_rate": 3.0}], ids=["free", "bounded"])
def test_nobody_gains_from_a_deviation(crowding, bounds):
    game = MakerTakerGame((-4.0, -2.0, 3.0), (1.0, 0.0), impact=CrowdedImpact((0.5, 0.3, 0.4), crowding), **bounds)
    found = solve(game, 6)
    assert exploitability(game, found.controls, 6).relative < 1e-10
    low, high = game.rate_bounds
    rng = np.random.default_rng(0)
    for index in range(3):  # the payoff is concave in a trader's own rates
        rates = np.repeat(found.controls.rate[None], 30, axis=0)
        rates[..., index] += 1e-2 * rng.standard_normal((30, 6))
        tried = game.clip(Controls(rates, *(np.repeat(each[None], 30, axis=0) for each in found.controls[1:])))
        assert (tried.rate >= low).all()
        assert (tried.rate <= high).all()
        payoffs = simulate(game, tried, 6).payoffs[:, index]
        assert payoffs.max() <= found.payoffs[index] + 1e-12 * abs(found.payoffs[index])
    (definition,) = (each for each in check(game, 6) if each.reference == "Definition 3.2")
    assert definition.margin == pytest.approx(0.3 * (2 - abs(crowding)))

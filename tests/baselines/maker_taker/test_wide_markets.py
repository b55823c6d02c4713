"""Markets of the benchmark that draws them far and wide, in three sizes of units: solved, and nobody gains."""

import sys
from pathlib import Path

import numpy as np
import pytest

from makertaker.baselines import exploitability, solve

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
import wide_markets


@pytest.mark.parametrize("unit", wide_markets.UNITS.values(), ids=wide_markets.UNITS)
@pytest.mark.parametrize("kind", wide_markets.COMPETITIONS)
@pytest.mark.parametrize("number", range(3))
def test_drawn_markets_are_solved(kind, unit, number):
    game = wide_markets.draw_market(np.random.default_rng((77, number)), kind, unit)
    found = solve(game, 20)
    sizes = np.array([game.payoff_unit(agent) for agent in game.agents])
    assert (exploitability(game, found.controls, 20).gains / sizes).max() < wide_markets.SOLVED


@pytest.mark.parametrize("kind", wide_markets.COMPETITIONS)
def test_units_do_not_matter(kind):
    """One market in three sizes of units: inventories in their units are the same."""
    paths = []
    for shares, prices, days in wide_markets.UNITS.values():
        game = wide_markets.draw_market(np.random.default_rng((78, 0)), kind, (shares, prices, days))
        paths.append(solve(game, 20).inventories / shares)
    size = np.abs(paths[0]).max()
    for path in paths[1:]:
        np.testing.assert_allclose(path, paths[0], rtol=0, atol=1e-9 * size)

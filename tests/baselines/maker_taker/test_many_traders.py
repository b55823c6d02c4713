"""Many traders, whom makers meet as two volumes: the structured linear algebra against the dense one."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import exploitability, mean_field, solve
from makertaker.baselines.maker_taker.equilibrium import solve_maker_taker
from makertaker.baselines.maker_taker.system import GameSystem, by_sums
from makertaker.baselines.sweep import solve_linear
from makertaker.envs import (
    BestQuote,
    CrowdedImpact,
    Exponential,
    MakerTakerGame,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
)
from makertaker.envs.grid import grid

STEPS = 7


def crowd(traders, makers=3, seed=0, **changes):
    """Traders on both sides with impacts and penalties of their own; penalties that vary in time."""
    rng = np.random.default_rng(seed)
    settings = {
        "competition": BestQuote(Exponential(1.3)),
        "impact": QuadraticImpact(tuple(rng.uniform(0.2, 1.0, traders))),
        "trader_running_penalty": tuple(rng.uniform(0.0, 1.0, traders)),
        "trader_terminal_penalty": tuple(rng.uniform(0.2, 2.0, traders)),
        "maker_running_penalty": lambda t: 0.2 + t,
        "maker_terminal_penalty": 0.3,
        "flow_from": "mean",
    }
    shares = rng.choice([-1.0, 1.0], traders) * rng.uniform(0.5, 5.0, traders)
    return MakerTakerGame(tuple(shares), tuple(rng.uniform(-1, 1, makers)), **(settings | changes))


GAMES = {
    "mean": crowd(18),
    "sum": crowd(18, flow_from="sum"),
    "one side": replace(crowd(17), trader_inventory=(-3.0,) * 17),
    "softmax": crowd(18, 4, competition=SoftmaxShare(0.7)),
    "softplus": crowd(18, competition=BestQuote(Softplus(2.0))),
    "quartic": crowd(18, impact=QuarticImpact(0.5, 0.05)),
    "truncated": crowd(18, min_rate=0.4, max_rate=3.0, max_quote=1.5),
}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_directions_are_those_of_the_dense_system(game):
    rng, times = np.random.default_rng(1), grid(game, STEPS)
    system = GameSystem(game, game.coefficients(times), game.horizon / STEPS, game.start)
    adjoints, defect = rng.normal(size=(2, STEPS, len(game.start)))
    assert by_sums(game, STEPS)
    found, expected = system.direction(adjoints, defect), solve_linear(system, system.jacobian(adjoints), defect)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_the_equilibrium_is_one(game):
    found = solve(game, STEPS)
    assert found.converged
    gains = exploitability(game, found.controls, STEPS).gains
    assert gains.max() < 1e-10 * max(map(game.payoff_unit, game.agents))


def test_costs_that_are_not_a_trader_s_own_are_solved_densely():
    """Without crowding the impact is the individual one, whose game is solved by sums."""
    beta = (0.5,) * 18
    coupled, single = (crowd(18, impact=impact) for impact in (CrowdedImpact(beta, 0.0), QuadraticImpact(beta)))
    assert coupled.impact.coupled
    assert not single.impact.coupled
    expected = solve(coupled, STEPS)
    np.testing.assert_allclose(solve(single, STEPS).inventories, expected.inventories, rtol=0, atol=1e-11)


def test_a_thousand_equal_traders_are_one():
    """Proposition 4.5: in the game with averaged flow equal traders trade like the representative one."""
    settings = {"flow_from": "mean", "maker_terminal_penalty": 0.3}
    many = MakerTakerGame((-5.0,) * 1000, (1.0, 0.0, 0.5, -1.0, 0.2), **settings)
    alone = MakerTakerGame((-5.0,), (1.0, 0.0, 0.5, -1.0, 0.2), **settings)
    found, expected = solve(many, 20), solve(alone, 20)
    assert found.iterations < 20
    np.testing.assert_allclose(found.inventories[:, 999:], expected.inventories, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.inventories[:, 0], expected.inventories[:, 0], rtol=0, atol=1e-12)
    margin = mean_field(alone, 20).margin
    assert margin > 0


def test_from_a_later_step_with_many_inventories_at_once():
    """The field along the path, which has batch axes, gives the path's adjoint."""
    game = GAMES["mean"]
    found = solve_maker_taker(game, grid(game, STEPS))
    np.testing.assert_allclose(
        found.adjoint(3, found.inventories[3][None])[0], found.adjoint(3, found.inventories[3]), rtol=0, atol=1e-9
    )

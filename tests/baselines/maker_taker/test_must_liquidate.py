"""Traders who must liquidate against makers: a multiplier in place of ``-2 A Q_T``."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines import (
    EquilibriumNotFound,
    NoOptimum,
    best_response,
    check,
    coalition_optimum,
    exploitability,
    mean_field,
    solve,
    solve_many,
)
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.maker_taker.references import heuristic_profiles
from makertaker.envs import (
    BestQuote,
    Controls,
    CrowdedImpact,
    Exponential,
    Factor,
    Logistic,
    MakerTakerGame,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    load_scenario,
    simulate,
)
from makertaker.envs.factor import Constant

BASE = MakerTakerGame(
    (-4.0, 3.0, -2.0),
    (1.0, 0.0),
    impact=QuadraticImpact((0.5, 0.3, 0.8)),
    trader_running_penalty=(0.2, 0.0, 0.7),
    trader_terminal_penalty=(math.inf, 0.5, math.inf),
    maker_terminal_penalty=0.3,
)
GAMES = {
    "acas": replace(load_scenario("acas"), trader_terminal_penalty=math.inf),
    "some": BASE,
    "all": replace(BASE, trader_terminal_penalty="inf"),
    "bounded": replace(BASE, min_rate=0.8, max_rate=4.5, max_quote=3.0),
    "softmax": replace(BASE, competition=SoftmaxShare(1.0)),
    "crowded": replace(BASE, impact=CrowdedImpact(0.5, -0.8), trader_running_penalty=lambda t: 1 + t),
    "quartic": replace(BASE, impact=QuarticImpact(0.4, 0.02)),
    "only the bound closes": MakerTakerGame((-4.0,), (1.0, 0.0), max_rate=4.0, trader_terminal_penalty=math.inf),
}
STEPS = 5


def finite(game, size):
    ends = np.broadcast_to(game.trader_terminal_penalty, (game.traders,)).astype(float)
    return replace(game, trader_terminal_penalty=tuple(np.where(np.isinf(ends), size, ends).tolist()))


@pytest.mark.parametrize("name", GAMES)
def test_equilibria_close_and_nobody_gains(name):
    game = GAMES[name]
    found = solve(game, STEPS)
    assert found.converged
    left = found.inventories[-1, : game.traders][game.closing]
    assert np.abs(left).max() < 1e-11 * np.abs(game.start).max()
    low, high = game.rate_bounds
    assert (found.controls.rate >= low).all()
    assert (found.controls.rate <= high).all()
    gains = exploitability(game, found.controls, STEPS)
    assert np.isfinite(gains.payoffs).all()
    assert gains.relative < 1e-10


@pytest.mark.parametrize("name", ["acas", "some", "softmax"])
def test_penalties_converge_at_rate_one_over_size(name):
    game = GAMES[name]
    limit, errors = solve(game, STEPS), []
    for size in (1e4, 1e5):
        near = solve(finite(game, size), STEPS)
        pairs = [*zip(near.controls, limit.controls, strict=True), (near.payoffs, limit.payoffs)]
        errors.append([np.abs(a - b).max() for a, b in [*pairs, (near.adjoints, limit.adjoints)]])
    np.testing.assert_allclose(np.log10(np.divide(*errors)), 1, atol=5e-3)


@pytest.mark.parametrize("name", ["some", "bounded", "softmax"])
def test_best_responses_by_brute_force(name):
    """The last rate closes, the others are free within the constraints."""
    game, dt = GAMES[name], 1 / STEPS
    profile = heuristic_profiles(game, STEPS, seed=3)["random"]
    assert np.abs(game.start[:3] + dt * profile.rate.sum(axis=0))[game.closing].max() < 1e-12
    low, high = (bound[0] for bound in game.rate_bounds)
    response = best_response(game, profile, "trader_0", STEPS)

    def rates(own):
        return np.append(own, -game.start[0] / dt - own.sum())

    def loss(own):
        joint = profile.rate.copy()
        joint[:, 0] = rates(own)
        return -simulate(game, profile._replace(rate=joint), STEPS).payoffs[0]

    last = {"type": "ineq", "fun": lambda own: [rates(own)[-1] - low, min(high, 1e3) - rates(own)[-1]]}
    bounds = [(low, min(high, 1e3))] * (STEPS - 1)
    best = minimize(loss, np.full(STEPS - 1, 4.0), bounds=bounds, constraints=[last], options={"ftol": 1e-15})
    assert response.payoff == pytest.approx(-best.fun, rel=1e-8)
    assert response.payoff >= -best.fun - 1e-9 * abs(best.fun)
    np.testing.assert_allclose(response.controls.rate[:, 0], rates(best.x), atol=1e-3)
    assert response.gain == pytest.approx(exploitability(game, profile, STEPS).gains[0], rel=1e-9)


def test_without_running_penalties_trading_is_even_at_even_prices():
    """phi = 0 and constant flows: adjoints are constant and everybody's answer does not depend on K; the buyer trades
    ``-q_0 / T``, and pays for it what quotes say."""
    game = MakerTakerGame((-5.0,), (1.0, 0.0), 0.9, maker_terminal_penalty=0.2, trader_terminal_penalty=math.inf)
    for steps in (1, 3, 10):
        found = solve(game, steps)
        np.testing.assert_allclose(found.controls.rate, -game.start[0] / game.horizon, rtol=1e-10)
        paid = found.controls.ask.min(axis=1) + 2 * game.impact.beta * found.controls.rate[:, 0]
        np.testing.assert_allclose(found.adjoints[:, 0], paid, rtol=1e-10)


def test_many_traders_by_their_sums():
    rng = np.random.default_rng(0)
    start = tuple(rng.choice([-1.0, 1.0], 20) * rng.uniform(1, 5, 20))
    ends = tuple(np.where(rng.random(20) < 0.6, math.inf, 0.5).tolist())
    game = MakerTakerGame(
        start,
        (1.0, 0.0, -1.0),
        competition=BestQuote(Exponential(1.3)),
        trader_running_penalty=0.3,
        trader_terminal_penalty=ends,
        flow_from="mean",
    )
    found = solve(game, STEPS)
    assert np.abs(found.inventories[-1, :20][game.closing]).max() < 1e-11
    assert exploitability(game, found.controls, STEPS).relative < 1e-10


def test_the_population_closes_where_its_mean_does():
    """Equal traders on one side: the finite averaged game equals the representative one."""
    game = MakerTakerGame(
        (-6.0, -4.0, -5.0), flow_from="mean", trader_running_penalty=0.4, trader_terminal_penalty=math.inf
    )
    found, population = solve(game, STEPS), mean_field(game, STEPS)
    np.testing.assert_allclose(population.rates(game.trader_inventory), found.controls.rate, rtol=1e-9)
    np.testing.assert_allclose(population.inventories(game.trader_inventory)[-1], 0, atol=1e-10)


def test_the_field_is_that_of_the_game_that_is_left():
    found = solve(BASE, STEPS)
    inventory = np.array([-2.0, 1.0, -1.5, 0.5, 0.2])
    near = solve(finite(BASE, 1e7), STEPS)
    np.testing.assert_allclose(found.adjoint(2, inventory), near.adjoint(2, inventory), rtol=1e-5)
    path = found.controls_at(3, found.inventories[3])
    np.testing.assert_allclose(path.rate, found.controls.rate[3], rtol=1e-8)
    with pytest.raises(ValueError, match=r"k: expected a step in 0\.\.4"):
        found.adjoint(STEPS, inventory)


@pytest.mark.parametrize("name", ["acas", "some", "all", "softmax", "quartic"])
def test_slopes_are_those_of_the_limit(name):
    """At size 1e7 what is left is 1e-7; and they are the differences of the field."""
    found, near = solve(GAMES[name], STEPS), solve(finite(GAMES[name], 1e7), STEPS)
    np.testing.assert_allclose(found.slope[:-1], near.slope[:-1], rtol=2e-5, atol=2e-5)
    count = GAMES[name].traders
    np.testing.assert_array_equal(np.isinf(np.diagonal(found.slope[-1]))[:count], GAMES[name].closing)
    here, unit = found.inventories[2], 1e-4 * np.eye(len(GAMES[name].agents))
    differences = (found.adjoint(2, here + unit) - found.adjoint(2, here - unit)) / 2e-4
    np.testing.assert_allclose(found.slope[2], differences.T, atol=1e-6)


def test_slopes_where_the_last_rate_is_truncated():
    late = QuadraticImpact(lambda t: 1 - 0.9 * t)
    found = solve(replace(GAMES["only the bound closes"], impact=late, max_rate=4.5), STEPS)
    assert found.controls.rate[-1, 0] == 4.5
    with pytest.raises(ValueError, match="slope: the last rate of a trader who must liquidate is truncated"):
        _ = found.slope


def test_games_together_are_those_alone():
    games = [GAMES["some"], replace(GAMES["some"], horizon=1.2), finite(GAMES["some"], 2.0)]
    for game, found in zip(games, solve_many(games, STEPS), strict=True):
        np.testing.assert_allclose(found.payoffs, solve(game, STEPS).payoffs, rtol=1e-9)


def test_tables_and_conditions():
    conditions = {each.name: each for each in check(BASE, STEPS)}
    assert conditions["finite terminal penalties"][1:3] == (False, -2)
    assert conditions["several starts lead to the same equilibrium"].holds
    assert "finite terminal penalties" not in {each.name for each in check(finite(BASE, 1.0), STEPS)}
    for reference in kind_of(BASE, STEPS).references(solve(BASE, STEPS)).values():
        assert reference.payoffs is None or np.isfinite([*reference.payoffs, reference.nash_conv]).all(), reference


def test_random_flows_are_checked_and_not_solved():
    factor = Factor((0.0,), diffusion=Constant(1.0))
    game = replace(BASE, factor=factor, buy_flow=Logistic(0.5, 2.0, (1.0,)))
    message = "trader_terminal_penalty: a decoupling field needs finite penalties"
    with pytest.raises(ValueError, match=message):
        solve(game, STEPS)
    conditions = {each.name: each for each in check(game, STEPS)}
    assert conditions["finite terminal penalties"][1:3] == (False, -2)
    assert conditions["a decoupling field is found"][1:3] == (False, -math.inf)
    assert message in conditions["a decoupling field is found"].note


def test_refusals():
    elastic = replace(GAMES["softmax"], buy_flow=0.0, sell_flow=0.0)
    with pytest.raises(NoOptimum, match="finite terminal penalties of the traders"):
        coalition_optimum(elastic, STEPS)
    rates = np.tile([4.0, -3.0, 1.9], (STEPS, 1))
    with pytest.raises(ValueError, match=r"controls: trader_2 must liquidate, .* close its -2 shares, 0\.1 are"):
        exploitability(BASE, Controls(rates, *np.ones((2, STEPS, 2))), STEPS)
    with pytest.raises(ValueError, match="trader_terminal_penalty: a decoupling field needs finite penalties"):
        solve(BASE, STEPS).tabulate()
    with pytest.raises((EquilibriumNotFound, ValueError)):
        solve(GAMES["bounded"], STEPS).adjoint(4, np.array([-4.0, 3.0, -2.0, 1.0, 0.0]))  # too much for what is left

"""Feedback equilibria against the Riccati recursion, a tree of nested solves, published numbers, and limit cases."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makertaker.baselines import (
    EquilibriumNotFound,
    MarkovOptions,
    Status,
    best_response_to_policies,
    feedback_nash,
    markov_nash,
    solve,
)
from makertaker.baselines.closed_loop.response import fitted_response
from makertaker.baselines.execution.dynamic_programming import values
from makertaker.envs import (
    Affine,
    BestQuote,
    ExecutionGame,
    Exponential,
    MakerTakerGame,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
    ornstein_uhlenbeck,
    rollout,
)
from support.arrays import jax_precision
from support.moving_execution import SIGNAL, moving_game
from support.tree import tree_equilibrium
from support.units import rescaled

SOFTMAX = MakerTakerGame(
    (-5.0,),
    (1.0, 0.0),
    trader_running_penalty=0.1,
    trader_terminal_penalty=0.5,
    maker_running_penalty=0.1,
    maker_terminal_penalty=0.2,
    buy_flow=1.0,
    sell_flow=1.0,
    competition=SoftmaxShare(1.0),
)
ALONE = replace(SOFTMAX, trader_inventory=(), buy_flow=6.0, sell_flow=5.0)
QUICK = MarkovOptions(refine=False)

LINEAR = {
    "two traders": (ExecutionGame((-5.0, -5.0), permanent_impact=1.0, crowding=0.5, running_penalty=0.5), 20),
    "everything moves": (moving_game(), 4),
    "a factor of two components": (moving_game(**SIGNAL), 4),
    "a factor": (
        ExecutionGame(
            (-5.0, 2.0),
            permanent_impact=0.7,
            running_penalty=(0.2, 0.4),
            buy_flow=Affine(2.0, (1.0,)),
            factor=ornstein_uhlenbeck(1.5, 0.8, initial=(0.5,)),
        ),
        6,
    ),
    "one must liquidate": (ExecutionGame((-5.0, 3.0), permanent_impact=0.5, terminal_penalty=(math.inf, 1.0)), 6),
    "alone": (ExecutionGame((-4.0,), permanent_impact=0.4, running_penalty=0.3), 5),
}


@pytest.mark.parametrize(("game", "steps"), LINEAR.values(), ids=LINEAR)
def test_a_linear_quadratic_game_has_the_equilibrium_of_the_riccati_recursion(game, steps):
    found, rule = markov_nash(game, steps, QUICK), feedback_nash(game, steps)

    np.testing.assert_allclose(found.payoffs, values(rule), rtol=0, atol=1e-8)
    assert found.unsolved == 0
    for k in (0, steps // 2, steps - 1):
        state = found.field.tube.center[k]
        reactions = found.field.surfaces[k].slope(state)[game.traders :]
        np.testing.assert_allclose(reactions[:, -game.traders :], rule.gain[k], rtol=0, atol=1e-6)
        np.testing.assert_allclose(reactions[:, : -game.traders], rule.signal[k], rtol=0, atol=1e-6)
        factor, inventory = np.split(state, [len(state) - game.traders])
        seen = factor if factor.size else None
        played = found.controls_at(k, inventory, seen).rate
        np.testing.assert_allclose(played, rule.rates(k, inventory, seen), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("steps", "noise"), [(1, 0.1), (2, 0.1), *(pytest.param(3, noise, marks=pytest.mark.slow) for noise in (0.0, 0.1))]
)
def test_the_softmax_market_has_the_equilibrium_of_nested_solves_over_a_tree(steps, noise):
    pytest.importorskip("jax")
    game = replace(SOFTMAX, inventory_noise=noise)
    found = markov_nash(game, steps, MarkovOptions(degree=5))

    with jax_precision("float64"):
        payoffs, controls = tree_equilibrium(game, steps, (1.7, 2.1, 2.2, 1.9, 1.8))

    np.testing.assert_allclose(found.payoffs, payoffs, rtol=0, atol=1e-6)
    np.testing.assert_array_less(np.abs(found.payoffs - payoffs), 3 * found.errors.total + 1e-9)
    first = found.controls_at(0, game.start)
    np.testing.assert_allclose(np.concatenate(list(first)), controls, rtol=0, atol=1e-6)


def test_three_steps_with_noise_as_the_tree_was_solved_once():
    # support.tree with K = 3: 19,683 ends, half a minute
    expected = [-12.21349256, 3.75690601, 3.56019105]
    found = markov_nash(replace(SOFTMAX, inventory_noise=0.1), 3, QUICK)
    np.testing.assert_allclose(found.payoffs, expected, rtol=0, atol=1e-6)


def test_the_scenario_has_the_payoffs_of_other_tubes_and_degrees():
    # found beforehand with boxes of .2 and .3 around the path and polynomials of degree 4 and 5
    expected = [-12.22934, 3.73399, 3.54827]
    results = [
        markov_nash("softmax-1x2", options=options)
        for options in (None, MarkovOptions(degree=4, reach=0.01, seed=3), MarkovOptions(degree=6, refine=False))
    ]
    for found in results:
        np.testing.assert_allclose(found.payoffs, expected, rtol=0, atol=1e-5)
        assert found.converged
        assert found.unsolved == 0
    open_loop = solve("softmax-1x2").payoffs
    np.testing.assert_allclose(open_loop, [-12.1436, 3.8114, 3.5826], rtol=0, atol=1e-4)


def test_policies_are_batched_and_pay_what_the_values_say():
    found = markov_nash(SOFTMAX, 8, QUICK)
    starts = SOFTMAX.start + np.random.default_rng(0).uniform(-0.05, 0.05, (3, 5, 3))

    played = rollout(SOFTMAX, found.feedback(), 8, inventories=starts)

    np.testing.assert_allclose(found.values(0, starts), played.payoffs, rtol=0, atol=1e-6)
    width = 1e-3
    for j in range(3):
        up, down = (found.values(0, SOFTMAX.start + sign * width * np.eye(3)[j]) for sign in (1, -1))
        np.testing.assert_allclose(found.value_slope(0, SOFTMAX.start)[:, j], (up - down) / 2 / width, rtol=1e-6)


def test_those_whom_nobody_s_inventory_matters_to_play_open_loop():
    """Makers without penalties do not mind inventories, so that nothing is reacted to; standing keeps them apart."""
    shares = SoftmaxShare(1.0, (0.5, 0.0))
    game = replace(SOFTMAX, maker_running_penalty=0.0, maker_terminal_penalty=0.0, competition=shares)
    # but for what polynomials of degree 5 leave
    np.testing.assert_allclose(markov_nash(game, 6, QUICK).payoffs, solve(game, 6).payoffs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("size", [0.1, 0.01])
def test_the_two_equilibria_meet_where_interaction_vanishes(size):
    """Penalties of makers are how they interact: the difference is of second order in them."""
    game = replace(SOFTMAX, maker_running_penalty=0.1 * size, maker_terminal_penalty=0.2 * size)
    difference = np.abs(markov_nash(game, 6, QUICK).payoffs - solve(game, 6).payoffs).max()
    whole = np.abs(markov_nash(SOFTMAX, 6, QUICK).payoffs - solve(SOFTMAX, 6).payoffs).max()
    assert 0 < difference < 2 * size * whole


def test_makers_alone_may_tie():
    """Nobody pays the best quote: equal makers have equal payoffs, and nothing is kinked."""
    game = replace(ALONE, maker_inventory=(1.0, 1.0))
    found = markov_nash(game, 6)
    assert found.payoffs[0] == pytest.approx(found.payoffs[1], abs=1e-8)
    assert found.errors.total.max() < 1e-6


def test_permuting_makers_permutes_the_equilibrium():
    game = replace(ALONE, maker_inventory=(2.0, 0.0, -1.0), competition=SoftmaxShare(1.0, (0.3, 0.0, 0.1)))
    other = replace(game, maker_inventory=(-1.0, 2.0, 0.0), competition=SoftmaxShare(1.0, (0.1, 0.3, 0.0)))
    payoffs = [markov_nash(each, 4, QUICK).payoffs for each in (game, other)]
    np.testing.assert_allclose(payoffs[0][[2, 0, 1]], payoffs[1], rtol=0, atol=1e-6)


@settings(max_examples=4, deadline=None)
@given(*3 * [st.sampled_from([1e-9, 1e-3, 1e4, 1e9])])
def test_other_units_are_the_same_game(shares, prices, time):
    options = MarkovOptions(degree=3, refine=False, paths=64)
    for game in (SOFTMAX, replace(ALONE, inventory_noise=0.2)):
        here, there = (markov_nash(each, 3, options) for each in (game, rescaled(game, shares, prices, time)))
        np.testing.assert_allclose(there.payoffs / (shares * prices), here.payoffs, rtol=1e-8)


PARTS = {
    "quartic impact": {"impact": QuarticImpact(0.5, 0.05)},
    "product shares": {"competition": ProductShare(Exponential(1.0), 1.2, 0.3)},
    "offsets": {"competition": SoftmaxShare(1.0, (0.0, 0.3))},
    "an outside option": {"competition": SoftmaxShare(1.0, None, -1.0)},
    "softplus": {"competition": BestQuote(Softplus(1.0))},
    "must liquidate": {"trader_terminal_penalty": math.inf},
    "a seller": {"trader_inventory": (5.0,)},
    "both sides": {"trader_inventory": (-5.0, 3.0)},
}


@pytest.mark.parametrize("changes", PARTS.values(), ids=PARTS)
def test_nobody_gains_whatever_the_market_is_made_of(changes):
    """By a bound that looks at payoffs all over the tube."""
    game = replace(SOFTMAX, **changes)
    found = markov_nash(game, 6, QUICK)
    for agent in game.agents:
        response = fitted_response(found.field.system, found.feedback(), agent)
        assert abs(response.gain) < 1e-8 * game.payoff_unit(agent)
        assert response.bound < 1e-5 * game.payoff_unit(agent)


def test_liquidation_is_the_limit_of_large_penalties():
    """At first order in what is left, which is of the order of the inverse penalty."""
    exact = markov_nash(replace(SOFTMAX, trader_terminal_penalty=math.inf), 6, QUICK)
    near, nearer = (markov_nash(replace(SOFTMAX, trader_terminal_penalty=each), 6, QUICK) for each in (1e3, 1e4))
    assert exact.inventories[-1, 0] == pytest.approx(0, abs=1e-12)
    away = np.abs(near.payoffs - exact.payoffs) / np.abs(nearer.payoffs - exact.payoffs)
    np.testing.assert_allclose(away, 10, rtol=0.02)


def test_in_one_step_nobody_reacts():
    """Values at the end are exact, however far controls are tried from where they are fitted."""
    parts = {"competition": BestQuote(Exponential(2.0)), "maker_running_penalty": 0.0, "maker_terminal_penalty": 0.7}
    game = replace(ALONE, maker_inventory=(2.0, 1.0), buy_flow=0.6, sell_flow=3.3, **parts)
    np.testing.assert_allclose(markov_nash(game, 1).payoffs, solve(game, 1).payoffs, rtol=0, atol=1e-9)


def test_quotes_where_no_volume_arrives_are_as_they_are():
    """They matter to nobody; a little flow on that side changes little."""
    none, little = (markov_nash(replace(SOFTMAX, sell_flow=flow), 6, QUICK) for flow in (0.0, 1e-4))
    assert none.converged
    np.testing.assert_allclose(none.payoffs, little.payoffs, rtol=0, atol=1e-3)
    for agent in SOFTMAX.agents:
        response = fitted_response(none.field.system, none.feedback(), agent)
        assert response.bound < 1e-5 * SOFTMAX.payoff_unit(agent)


def test_a_payoff_far_from_the_tube_is_not_taken_from_the_fit():
    """A market in which a quote is at its bound: polynomials of degree 5 say that the trader gains 32 elsewhere."""
    penalties = {"trader_running_penalty": 0.2, "trader_terminal_penalty": 1.16}
    penalties |= {"maker_running_penalty": 0.27, "maker_terminal_penalty": 0.45}
    inventories = {"trader_inventory": (-4.2,), "maker_inventory": (1.9, 2.8)}
    parts = {"competition": ProductShare(floor=0.5), "horizon": 2.4, "sell_flow": 0.74, "max_quote": 1.05}
    game = replace(SOFTMAX, **inventories, **penalties, **parts)
    found = markov_nash(game, 2)
    for agent in game.agents:
        assert best_response_to_policies(game, found.feedback(), agent, 2).gain < 1e-6 * game.payoff_unit(agent)


def test_a_bound_that_binds_holds():
    """Least rates that are above the best ones everywhere: the trader's part is known."""
    game = replace(SOFTMAX, min_rate=4.0, max_quote=1.9)
    found = markov_nash(game, 6, QUICK)
    np.testing.assert_allclose(found.controls.rate, 4.0, rtol=0, atol=1e-12)
    assert found.controls.ask.max() <= 1.9
    assert found.unsolved == 0


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (replace(SOFTMAX, maker_inventory=(0.0, 0.0)), "near its path were solved; where makers .* tie"),
        (replace(SOFTMAX, competition=BestQuote()), "stage games near its path were solved"),
    ],
    ids=["tied makers", "best quote"],
)
def test_what_has_no_answer_is_refused_with_what_helps(game, message):
    with pytest.raises(EquilibriumNotFound, match=message) as raised:
        markov_nash(game, 20)
    assert "What helps" in str(raised.value)
    assert "noise" in str(raised.value)


def test_a_refusal_can_be_looked_at():
    """A tube that is wide enough to hold ties; narrower ones are not tried where one is asked for."""
    found = markov_nash(SOFTMAX, 4, MarkovOptions(reach=0.3), throw=False)
    assert found.status is Status.INACCURATE
    assert "makers tie within the tube" in found.message
    assert not found.converged


def test_noise_smooths_ties():
    game = replace(SOFTMAX, maker_inventory=(0.0, 0.0), inventory_noise=0.3)
    found = markov_nash(game, 6)
    assert found.converged
    assert found.field.unsolved.ties > 0
    assert 1e-7 < found.errors.total.max() < 0.01


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"degree": 1}, "degree: expected a whole number >= 2"),
        ({"points": 1}, "points: expected"),
        ({"paths": 3}, "paths: expected an even number, got 3"),
        ({"reach": 0.0}, "reach: expected a positive finite number or None, got 0"),
        ({"reach": "wide"}, "reach: expected a positive finite number or None, got 'wide'"),
    ],
)
def test_options_are_checked(argument, message):
    with pytest.raises(ValueError, match=message):
        MarkovOptions(**argument)


def test_a_large_state_is_refused_before_any_work():
    with pytest.raises(ValueError, match="a state of 20 inventories and factors is too large"):
        markov_nash(ExecutionGame(tuple(range(-10, 0)) + tuple(range(1, 11))), 5)

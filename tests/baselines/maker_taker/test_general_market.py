"""Rung: equilibria of the general maker-taker game of Section 3, with the shares of Section 5.

An equilibrium is recognised by its payoffs alone, which ``simulate`` gives.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import exploitability, solve
from makertaker.envs import (
    BestQuote,
    Controls,
    CustomIntensity,
    Exponential,
    SoftmaxShare,
    load_scenario,
    rollout,
    simulate,
)
from support.controls import assert_same_controls
from support.derivatives import difference
from support.drawing import drawn
from support.maker_taker_games import GENERAL_MARKETS, draw_market, mirrored
from support.market_parts import COMPETITIONS, IMPACTS, custom_impact

DRAWN = drawn(15)
SEEDS = st.integers(0, 10**6)
STEPS = 10


# --- equilibria ------------------------------------------------------------------------------------------------------


@drawn(25)
@given(SEEDS)
def test_nobody_gains_by_deviating(seed):
    game = draw_market(np.random.default_rng(seed))
    equilibrium = solve(game, 8)
    assert equilibrium.residual <= 1e-9
    gains = exploitability(game, equilibrium.controls, 8).gains
    assert np.abs(gains).max() <= 1e-8


def own_gradients(game, controls):
    """Every agent's payoff gradient in its own controls, by central differences, one market for each entry."""
    step, (steps, traders) = 2e-5, controls.rate.shape
    found = []
    for name, each in controls._asdict().items():
        units = step * np.eye(each.size).reshape(-1, *each.shape)
        payoffs = []
        for sign in (1, -1):
            many = Controls(*(np.broadcast_to(c, (each.size, *c.shape)) for c in controls))
            payoffs.append(simulate(game, many._replace(**{name: each + sign * units}), steps).payoffs)
        slopes = (payoffs[0] - payoffs[1]) / (2 * step) * steps  # per unit of time
        agent = np.tile(np.arange(each.shape[-1]), steps) + (0 if name == "rate" else traders)
        found.append(slopes[np.arange(each.size), agent])
    return np.concatenate(found)


@pytest.mark.parametrize("impact", range(3), ids=IMPACTS)
@pytest.mark.parametrize("competition", range(len(COMPETITIONS)), ids=COMPETITIONS)
def test_every_payoff_is_stationary_in_its_own_controls(competition, impact):
    game = replace(draw_market(np.random.default_rng(12), competition, impact), min_rate=0.0, max_rate=1e3)
    controls = solve(game, 4).controls
    assert (np.abs(controls.rate) > 1e-3).all(), "nothing is truncated"
    np.testing.assert_allclose(own_gradients(game, controls), 0, atol=1e-6)
    elsewhere = own_gradients(game, controls._replace(ask=controls.ask + 0.1, bid=controls.bid + 0.1))
    assert np.abs(elsewhere).max() > 1e-3


each_market = pytest.mark.parametrize("game", GENERAL_MARKETS.values(), ids=GENERAL_MARKETS)


@pytest.mark.parametrize("scenario", ["acas", "acas-2x3"])
def test_the_acas_model_through_functions(scenario):
    game = load_scenario(scenario)
    assert game.competition == BestQuote(Exponential(1.0))
    unit = CustomIntensity(lambda x: np.exp(-x), lambda x: -np.exp(-x), lambda x: np.exp(-x))
    impact = custom_impact(np.full(game.traders, game.impact.beta))
    own = solve(replace(game, competition=BestQuote(unit), impact=impact), STEPS)
    assert_same_controls(own.controls, solve(game, STEPS).controls)


@DRAWN
@given(SEEDS)
def test_softmax_clears_the_market(seed):
    """What noise traders and traders buy is what makers sell, in and out of equilibrium."""
    rng = np.random.default_rng(seed)
    game = draw_market(rng, competition=2)
    n, m = game.traders, game.makers
    noise = (game.sell_flow - game.buy_flow) * game.horizon
    directed = np.abs(rng.normal(0, 3, (6, n))) * -np.sign(game.trader_inventory)
    anything = Controls(directed, rng.normal(0, 2, (6, m)), rng.normal(0, 2, (6, m)))
    for controls in (anything, solve(game, 6).controls):
        gained = np.diff(simulate(game, controls, 6).inventories[[0, -1]], axis=0)[0]
        assert gained[n:].sum() == pytest.approx(noise - gained[:n].sum(), abs=1e-11)


@each_market
def test_names_do_not_matter(game):
    n, makers = game.traders, [2, 0, 1]
    penalties = {
        "trader_running_penalty": np.linspace(0.05, 0.3, n),
        "maker_running_penalty": np.array([0.1, 0.2, 0.3]),
    }
    game = replace(game, impact=replace(game.impact, beta=tuple(np.linspace(0.3, 0.9, n))), **penalties)
    competition = game.competition
    if isinstance(competition, SoftmaxShare):
        competition = replace(competition, offsets=np.array(competition.offsets)[makers])
    renamed = replace(
        game,
        trader_inventory=game.trader_inventory[::-1],
        maker_inventory=np.array(game.maker_inventory)[makers],
        trader_running_penalty=game.trader_running_penalty[::-1],
        maker_running_penalty=np.array(game.maker_running_penalty)[makers],
        impact=replace(game.impact, beta=game.impact.beta[::-1]),
        competition=competition,
    )
    rate, ask, bid = solve(game, STEPS).controls
    assert_same_controls(solve(renamed, STEPS).controls, Controls(rate[:, ::-1], ask[:, makers], bid[:, makers]))


@each_market
def test_identical_makers_stay_identical(game):
    if isinstance(game.competition, SoftmaxShare):
        game = replace(game, competition=SoftmaxShare(2.0))
    equilibrium = solve(replace(game, maker_inventory=(0.5, -1.0, 0.5)), STEPS)
    for quotes in equilibrium.controls[1:]:
        np.testing.assert_allclose(quotes[:, 0], quotes[:, 2], atol=1e-9)
        assert np.abs(quotes[:, 0] - quotes[:, 1]).max() > 1e-2


@DRAWN
@given(SEEDS)
def test_buying_is_selling_in_a_mirror(seed):
    game = draw_market(np.random.default_rng(seed))
    first, second = solve(game, 6), solve(mirrored(game), 6)
    assert_same_controls(second.controls, Controls(-first.controls.rate, first.controls.bid, first.controls.ask), 1e-8)
    np.testing.assert_allclose(second.payoffs, first.payoffs, atol=1e-8)


# --- the decoupling field --------------------------------------------------------------------------------------------


@each_market
@pytest.mark.parametrize("k", [0, 6])
def test_slope_is_the_derivative_of_the_adjoint(game, k):
    equilibrium = solve(game, STEPS)
    field = difference(lambda at: equilibrium.adjoint(k, at), equilibrium.inventories[k], 1e-5)
    np.testing.assert_allclose(equilibrium.slope[k], field, atol=1e-7)


@each_market
def test_feedback_plays_the_path_of_the_plan(game):
    equilibrium = solve(game, STEPS)
    plan, field = (rollout(game, policies, STEPS) for policies in (equilibrium.open_loop(), equilibrium.feedback()))
    np.testing.assert_allclose(plan.inventories, equilibrium.inventories, atol=1e-12)
    np.testing.assert_allclose(field.inventories, equilibrium.inventories, atol=1e-8)
    assert_same_controls(field.controls, equilibrium.controls, 1e-8)

"""Conditions of the theorems on the maker-taker game: those that every scenario satisfies, and margins by hand."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import check, solve
from makertaker.envs import BestQuote, CustomIntensity, MakerTakerGame, QuadraticImpact, load_scenario
from support.maker_taker_games import GENERAL_MARKETS
from support.market_parts import custom_impact

STEPS = 10


def conditions(game):
    """By reference, those that the solver observes by name."""
    found = check(game, STEPS)
    return {each.name if each.reference.startswith("observed") else each.reference: each for each in found}


FLOW, POPULATED = "Theorem 4.1, its 'only if'", "(33), as the proof of Proposition 4.5 needs it"
BOUNDS = "neither max_quote nor max_rate binds"
OBSERVED = {"an equilibrium is found", BOUNDS, "several starts lead to the same equilibrium"}
EXPECTED = {  # the terminal penalties of acas and mean-field differ, so that Section 4 does not apply
    "acas": {"Definition 3.4"},
    "acas-risk-neutral": {"Definition 3.4", "Assumption 4.4", "Theorem 4.3"},
    "maker-taker-3x3": {"Definition 3.4"},
    "maker-taker-softmax": {"Definition 5.1, (38)"},
    "mean-field": {"Definition 3.4", POPULATED},
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_every_scenario_satisfies_its_conditions(scenario):
    found = conditions(load_scenario(scenario))
    assert set(found) == {"Definition 3.2", "Assumption 3.6", FLOW} | OBSERVED | EXPECTED[scenario]
    assert all(each.holds and each.note for each in found.values())


# q = -5, makers 1 and 0, A = beta = 1/2, gamma = T = 1 and no noise flow: the distance of Assumption 4.4 is 5
NEUTRAL = replace(load_scenario("acas-risk-neutral"), buy_flow=0.0, sell_flow=0.0)
BOUND = 2 / (2 + 2 * (1 + np.e))  # p of (26)


def test_margins_by_hand():
    # own curvature 2 beta = 1 less the two others' beta crowding / 2 each
    assert conditions(GENERAL_MARKETS["best quotes"])["Definition 3.2"].margin == pytest.approx(1 - 2 * 0.125)
    assert conditions(GENERAL_MARKETS["softmax"])["Definition 5.1, (38)"].margin == pytest.approx(1, abs=1e-3)
    found = conditions(NEUTRAL)
    assert found["Assumption 4.4"].margin == pytest.approx(BOUND * 5)
    assert solve(NEUTRAL, STEPS).controls.rate.min() >= BOUND * 5  # (26)
    assert not found[FLOW].holds
    for changes in ({"min_rate": 5.1 * BOUND}, {"trader_inventory": (-0.5,), "maker_inventory": (0.0, -1.0)}):
        assert not conditions(replace(NEUTRAL, **changes))["Assumption 4.4"].holds
    running = conditions(replace(NEUTRAL, trader_running_penalty=0.25))["Theorem 4.3"]
    assert (running.holds, running.margin) == (False, -0.25)


def test_constraints_are_looked_at_afterwards():
    """The largest quote of a game without constraints, and constraints above it, at it and below."""
    game = load_scenario("acas")
    found = solve(game, STEPS)
    largest = max(np.abs(found.controls.ask).max(), np.abs(found.controls.bid).max())
    free = conditions(game)[BOUNDS]
    assert (free.holds, free.margin) == (True, np.inf)
    assert f"largest quote {largest:.6g}" in free.note
    above = replace(game, max_quote=1.25 * largest, max_rate=1e3)
    assert conditions(above)[BOUNDS].margin == pytest.approx(0.25)
    np.testing.assert_allclose(solve(above, STEPS).inventories, found.inventories, atol=1e-12)
    assert not conditions(replace(game, max_quote=0.9 * largest))[BOUNDS].holds


def test_37_by_hand():
    """``max q^j - mean <= p / (4 A) 5`` without noise flow: sufficient for (33)."""
    most, game = BOUND / 2 * 5, replace(NEUTRAL, flow_from="mean")
    for away, verdict in ((most - 0.01, "holds"), (most + 0.01, "fails")):
        found = conditions(replace(game, trader_inventory=(-5 - away, -5 + away)))[POPULATED]
        assert found.holds  # (33) asks for less
        assert f"(37), which is sufficient, {verdict} by 0.01 shares" in found.note
    noisy = conditions(replace(game, trader_inventory=(-5.1, -4.9), buy_flow=1.0))[POPULATED]
    assert "(37) does not apply" in noisy.note


def test_without_sell_flow_bids_are_not_unique():
    found = conditions(replace(GENERAL_MARKETS["softmax"], trader_inventory=(-6.0, -4.0), sell_flow=0.0))
    condition = found[FLOW]
    assert (condition.holds, condition.margin) == (False, 0.0)
    assert "the equilibrium is not unique" in condition.note
    assert "bid quotes are undetermined on 10 of 10 steps" in found["an equilibrium is found"].note
    seller = conditions(replace(GENERAL_MARKETS["softmax"], sell_flow=0.0, min_rate=0.2))
    assert seller[FLOW].margin == pytest.approx(0.2)  # the seller must trade


def test_volume_of_all_who_must_trade():
    """Buyers add ``min_rate`` each, or their weight of it; the smaller of both sides counts."""
    three = MakerTakerGame((-1.0, -2.0, -3.0), min_rate=0.2, buy_flow=0.0, sell_flow=0.5)
    assert conditions(three)[FLOW].margin == pytest.approx(0.5)  # 0.6 at the asks
    assert conditions(replace(three, sell_flow=0.9))[FLOW].margin == pytest.approx(0.6)
    averaged = replace(three, trader_inventory=(-1.0, 2.0), sell_flow=0.0, flow_from="mean")
    assert conditions(averaged)[FLOW].margin == pytest.approx(0.1)


def test_extremes_are_those_of_functions_not_of_step_means():
    """``beta = 0.4 + 0.5 t^2`` on [0, 1.3]: from 0.4 to 1.245; with them (26) and Assumption 4.4 by hand."""
    game = replace(NEUTRAL, horizon=1.3, impact=QuadraticImpact(lambda t: 0.4 + 0.5 * t**2))
    edge = 2 / (2 + 1.3 / 0.4 * (1 + np.e)) * 5 / (2 * 1.245)
    for excess in (0.005, 1e-6, -1e-6, -0.005):
        found = conditions(replace(game, min_rate=(1 + excess) * edge))["Assumption 4.4"]
        assert found.holds == (excess < 0)
        assert found.margin == pytest.approx(-excess * edge, abs=1e-12)
        assert ("not violated at 2,2" if found.holds else "violated at t = 1.3") in found.note
    # extremes inside the horizon, which no grid has: 2 beta = 0.2 at cos(17 t) = -1, phi = 0.3 at sin(13 t) = 1
    wavy = replace(NEUTRAL, impact=QuadraticImpact(lambda t: 0.4 + 0.3 * np.cos(17 * t)))
    assert conditions(wavy)["Definition 3.2"].margin == pytest.approx(0.2, abs=1e-12)
    penalised = conditions(replace(NEUTRAL, maker_running_penalty=(0.0, lambda t: 0.2 + 0.1 * np.sin(13 * t))))
    assert penalised["Theorem 4.3"].margin == pytest.approx(-0.3, abs=1e-12)
    flow = conditions(replace(NEUTRAL, buy_flow=lambda t: 1.001 + np.sin(40 * t), sell_flow=1.0))[FLOW]
    assert (flow.holds, flow.margin) == (True, pytest.approx(0.001, abs=1e-12))


def test_what_is_known_and_what_was_looked_at():
    """Parts and parameters whose formula is known need no points; functions of the user's own do."""
    exact = conditions(GENERAL_MARKETS["best quotes"])
    assert not any("not violated" in each.note for each in exact.values())
    unit = CustomIntensity(lambda x: np.exp(-x), lambda x: -np.exp(-x), lambda x: np.exp(-x))
    own = MakerTakerGame(
        (-6.0, 4.0), competition=BestQuote(unit), impact=custom_impact(np.array([0.4, 0.7]), 0.3, 0.01)
    )
    found = conditions(own)
    assert "not violated at 1,998 points" in found["Definition 3.4"].note
    # at rest 2 beta less the cross derivative 0.3 beta, of the smaller beta
    assert found["Definition 3.2"].margin == pytest.approx(0.4 * 1.7)
    assert "not violated at 2,000 points" in found["Definition 3.2"].note

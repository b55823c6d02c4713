"""Conditions of the theorems on the maker-taker game: those that every scenario satisfies, and margins by hand."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import check, solve
from makertaker.envs import load_scenario
from support.maker_taker_games import GENERAL_MARKETS

STEPS = 10


def conditions(game):
    """By reference, those that the solver observes by name."""
    found = check(game, STEPS)
    return {each.name if each.reference.startswith("observed") else each.reference: each for each in found}


FLOW, POPULATED = "Theorem 4.1, its 'only if'", "(33), as the proof of Proposition 4.5 needs it"
OBSERVED = {"an equilibrium is found", "several starts lead to the same equilibrium"}
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

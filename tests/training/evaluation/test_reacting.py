"""Actors who react beside the feedback equilibrium: which reference, which numbers, which words."""

import json
from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import feedback_nash, markov_nash, references, solve
from makertaker.baselines.execution.dynamic_programming import feedback_gains, values
from makertaker.envs import load_scenario
from makertaker.training.evaluation import tables
from makertaker.training.evaluation.scoring import evaluate

STEPS = 6
MARKET = load_scenario("softmax-1x2")
EXECUTION = load_scenario("execution-2")


def test_a_feedback_equilibrium_evaluates_to_itself():
    found = markov_nash(MARKET, STEPS)
    metrics = evaluate(MARKET, found.feedback(), STEPS, "full").metrics

    reacting = metrics["feedback"]
    assert reacting["compared"]
    assert list(reacting["payoffs"].values()) == pytest.approx(found.payoffs.tolist(), abs=1e-9)
    for name in ("control_distance", "inventory_distance", "reaction_distance"):
        assert reacting[name] == pytest.approx(0, abs=1e-7)
    assert abs(metrics["relative_nash_conv"]) < 1e-9
    assert all(-1e-9 < bound < 1e-6 for bound in metrics["exploitability_bounds"].values())
    assert metrics["deviator"] == "time and everyone's inventories"
    assert metrics["baselines"]["Nash, feedback"]["control_distance"] > 0.001
    json.dumps(metrics)


def test_an_index_has_its_zero_at_the_equilibrium_of_those_who_react():
    """In the execution game: the Riccati recursion knows payoffs, gains and coefficients."""
    rule = feedback_nash(EXECUTION, STEPS)
    rule = replace(rule, gain=0.9 * rule.gain)
    metrics = evaluate(EXECUTION, rule.feedback(), STEPS, "full").metrics

    table = references(EXECUTION, STEPS)
    learned, nash, best = (
        float(each.sum())
        for each in (values(rule), table["Nash, feedback"].payoffs, table["cooperative optimum"].payoffs)
    )
    assert metrics["feedback"]["collusion_index"] == pytest.approx((learned - nash) / (best - nash), abs=1e-6)
    assert metrics["nash_conv"] == pytest.approx(feedback_gains(rule)[1].sum(), abs=1e-8)
    own = metrics["feedback"]["reactions"]["trader_0"]["rate"]
    exact = feedback_nash(EXECUTION, STEPS).gain
    assert own["feedback_own"] == pytest.approx(exact[:, 0, 0].mean(), abs=1e-9)
    assert own["own"] == pytest.approx(0.9 * exact[:, 0, 0].mean(), abs=1e-9)
    assert own["others"] == pytest.approx(0.9 * exact[:, 0, 1].mean(), abs=1e-9)
    assert metrics["feedback"]["reaction_distance"] == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize(
    ("game", "information", "reacts"),
    [(EXECUTION, "time", False), (EXECUTION, "own", False), (EXECUTION, "market", True), (MARKET, "own", True)],
)
def test_the_reference_is_that_of_the_information(game, information, reacts):
    """Those who see less than all inventories and react have no equilibrium here: both stand beside them."""
    metrics = evaluate(game, solve(game, STEPS).open_loop(), STEPS, information).metrics
    assert ("feedback" in metrics) == reacts
    assert ("reacting" in metrics["exploitability_against"]) == reacts
    if reacts:
        assert not metrics["feedback"]["compared"]
        assert metrics["feedback"]["payoffs"] is not None
        assert "neither equilibrium is theirs" in tables.feedback_remarks(metrics)[0]


def test_where_there_is_no_feedback_equilibrium_its_place_says_why():
    game = load_scenario("acas")
    metrics = evaluate(game, solve(game, STEPS).open_loop(), STEPS, "full").metrics
    assert metrics["feedback"]["payoffs"] is None
    said = "\n".join(tables.feedback_remarks(metrics))
    assert "there is no feedback equilibrium to compare with" in said
    assert "What helps: shares that sum to one (SoftmaxShare)" in said
    (shown,) = tables.feedback(metrics)  # reactions alone
    assert len(shown.rows) == 5


def test_tables_have_both_equilibria():
    metrics = evaluate(MARKET, solve(MARKET, STEPS).open_loop(), STEPS, "full").metrics
    payoffs, coefficients = tables.feedback(metrics)
    assert payoffs.header == ["agent", "learned", "feedback Nash", "gap", "open-loop Nash", "gap"]
    assert [row[0] for row in coefficients.rows] == [
        "trader_0, rate",
        *(f"maker_{i}, {side}" for i in (0, 1) for side in ("ask", "bid")),
    ]
    assert all(float(row[1]) == 0 for row in coefficients.rows)  # schedules do not react
    assert np.abs([float(row[2]) for row in coefficients.rows]).min() > 0.01

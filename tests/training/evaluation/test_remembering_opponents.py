"""Gains against opponents that remember: a known answer, by schedules, and nothing by backward induction."""

import numpy as np
import pytest

from makertaker.baselines import best_response, best_response_to_policies, credibility
from makertaker.baselines.closed_loop.response import looks_at_more
from makertaker.envs import Controls, load_scenario, rollout, simulate
from makertaker.envs.market import Market
from makertaker.envs.observation import inventory_scale
from makertaker.training import evaluate
from makertaker.training.common.actor import Actor, Layer
from makertaker.training.common.joint_market import RememberingPolicy, policy_of

GAME, STEPS = load_scenario("execution-2"), 6
MARKET = Market(GAME, STEPS)
(WIDTH,) = MARKET.observation_space.shape
OTHER = WIDTH - 1
"""place of the other's inventory in an observation of a game of two traders without makers"""
LEVEL, PACE, ANSWER = 0.3, -2.0, 4.0
"""of an action: constant, per unit of time, per unit of what the other traded in the last step"""


def answering(agent):
    """A trader that trades by the clock, and answers the other's last trade, the difference of two observations, the
    older of which stands first."""
    weight = np.zeros((1, 2 * WIDTH))
    weight[0, WIDTH], weight[0, OTHER], weight[0, WIDTH + OTHER] = PACE, -ANSWER, ANSWER
    space, layers = MARKET.action_space(agent), (Layer(weight, np.array([LEVEL])),)
    actor = Actor(WIDTH, WIDTH, "tanh", False, space.low, space.high, layers, history=2)
    return policy_of(actor.acting, MARKET, agent)


def scheduled(agent):
    """A trader that sees time alone."""
    weight = np.zeros((1, WIDTH))
    weight[0, 0] = 0.5
    space, layers = MARKET.action_space(agent), (Layer(weight, np.array([-0.2])),)
    return policy_of(Actor(WIDTH, WIDTH, "tanh", False, space.low, space.high, layers).acting, MARKET, agent)


def joint(schedule):
    """(K, 2) rates when trader_0 follows a schedule and trader_1 answers, from the definition of the observations."""
    low, high = (float(bound.rate[1]) for bound in GAME.action_range())
    dt, scale, unit = GAME.horizon / STEPS, inventory_scale(GAME), GAME.control_unit("trader_1")
    inventory, before, rates = float(GAME.start[0]), 0.0, []
    for k in range(STEPS):
        seen = inventory / scale
        action = LEVEL + PACE * k / STEPS + ANSWER * (seen - before)
        rates.append((schedule[k], np.clip((low + high) / 2 + unit * action, low, high)))
        inventory, before = inventory + dt * schedule[k], seen
    return np.array(rates)


def payoff(schedule):
    return simulate(GAME, Controls(joint(schedule)), STEPS).payoffs[0]


def best():
    """The maximum of a concave quadratic function, by its values at points between which it is interpolated exactly."""
    points, zero = np.eye(STEPS), payoff(np.zeros(STEPS))
    up, down = (np.array([payoff(sign * each) for each in points]) for sign in (1, -1))
    both = np.array([[payoff(a + b) for b in points] for a in points])
    gradient, hessian = (up - down) / 2, both - up[:, None] - up[None] + zero
    assert np.linalg.eigvalsh(hessian).max() < 0
    found = np.linalg.solve(hessian, -gradient)
    low, high = GAME.action_range()
    assert (found > low.rate[0]).all()
    assert (found < high.rate[0]).all()
    rates = joint(found)[:, 1]  # it is quadratic where the answers are not truncated
    assert (rates > low.rate[1]).all()
    assert (rates < high.rate[1]).all()
    return found, payoff(found)


@pytest.fixture
def policies():
    return {"trader_0": scheduled("trader_0"), "trader_1": answering("trader_1")}


def test_the_gain_is_that_of_the_best_schedule(policies):
    """A deterministic opponent that remembers answers each schedule along one path: no reaction does better."""
    played = rollout(GAME, policies, STEPS)
    np.testing.assert_allclose(joint(played.controls.rate[:, 0]), played.controls.rate, rtol=1e-5)
    schedule, reached = best()
    found = best_response_to_policies(GAME, policies, "trader_0", STEPS)
    assert found.gain == pytest.approx(reached - played.payoffs[0], rel=1e-6)
    np.testing.assert_allclose(found.controls.rate[:, 0], schedule, rtol=1e-2)
    assert found.bound is None
    # whoever takes the opponent's rates for a schedule does worse against it
    deaf = best_response(GAME, found.controls, "trader_0", STEPS).controls.rate[:, 0]
    assert payoff(deaf) < reached - 0.01


def test_an_evaluation_says_that_memory_makes_gains_lower_bounds(policies):
    metrics = evaluate(GAME, policies, STEPS, "full").metrics
    gain = best()[1] - rollout(GAME, policies, STEPS).payoffs[0]
    assert metrics["agents"]["trader_0"]["exploitability"] == pytest.approx(gain, rel=1e-6)
    assert metrics["exploitability_against"] == "reacting opponents (lower bound)"
    assert metrics["memory"].startswith("policies remember what they saw")
    assert "exploitability_bounds" not in metrics
    assert "policies remember what they saw" in metrics["feedback"]["note"]
    forgetful = evaluate(GAME, {**policies, "trader_1": scheduled("trader_1")}, STEPS, "full").metrics
    assert "memory" not in forgetful
    assert "exploitability_bounds" in forgetful


def test_backward_induction_leaves_it_alone(policies):
    assert isinstance(policies["trader_1"], RememberingPolicy)
    assert looks_at_more(GAME, policies, STEPS) == "trader_1"
    with pytest.raises(ValueError, match="got one of trader_1 that looks at more"):
        credibility(GAME, policies, STEPS)


def test_what_only_the_own_inventory_shows_is_no_answer(policies):
    """In the execution game nobody moves another's inventory: remembering it is no reaction, and gains are exact."""
    weight, space = np.zeros((1, 4)), MARKET.action_space("trader_1")
    weight[0, 1], weight[0, 3] = 0.4, -0.4
    actor = Actor(WIDTH, 2, "tanh", False, space.low, space.high, (Layer(weight, np.zeros(1)),), history=2)
    own = {**policies, "trader_1": policy_of(actor.acting, MARKET, "trader_1")}
    metrics = evaluate(GAME, own, STEPS, "own").metrics
    assert metrics["exploitability_against"] == "open-loop opponents (exact)"
    assert "memory" not in metrics
    found = best_response_to_policies(GAME, own, "trader_0", STEPS).gain
    assert metrics["agents"]["trader_0"]["exploitability"] == pytest.approx(found, rel=1e-6)

"""Best responses through policies that react: the Riccati recursion, schedules, and searches know some of them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import (
    MarkovOptions,
    best_response_to_feedback,
    best_response_to_policies,
    credibility,
    feedback_nash,
    markov_nash,
    solve,
)
from makertaker.baselines.closed_loop.reactions import reactions
from makertaker.baselines.closed_loop.response import fitted_response, looks_at_more
from makertaker.baselines.kinds import kind_of
from makertaker.envs import Affine, ExecutionGame, load_scenario, ornstein_uhlenbeck, rollout

LINEAR = {
    "two traders": ExecutionGame((-5.0, 3.0), permanent_impact=0.8, crowding=0.5, running_penalty=(0.5, 0.2)),
    "a factor": ExecutionGame(
        (-5.0, 2.0),
        permanent_impact=0.7,
        running_penalty=(0.2, 0.4),
        buy_flow=Affine(2.0, (1.0,)),
        factor=ornstein_uhlenbeck(1.5, 0.8, initial=(0.5,)),
    ),
    "one must liquidate": ExecutionGame((-5.0, 3.0), permanent_impact=0.5, terminal_penalty=(math.inf, 1.0)),
}
STEPS = 6


@pytest.mark.parametrize("agent", ["trader_0", "trader_1"])
@pytest.mark.parametrize("game", LINEAR.values(), ids=LINEAR)
def test_the_gain_against_linear_rules_is_that_of_dynamic_programming(game, agent):
    rule = feedback_nash(game, STEPS)
    rule = replace(rule, gain=np.concatenate([0.8 * rule.gain[:-1], rule.gain[-1:]]), signal=0.5 * rule.signal)
    exact = best_response_to_feedback(rule, agent).gain

    found = fitted_response(kind_of(game, STEPS).step_system(), rule.feedback(), agent)

    assert exact > 1e-3
    assert found.gain == pytest.approx(exact, abs=4 * found.gain_se + 1e-9)
    assert found.gain <= found.bound <= found.gain + 1e-6  # so exact but for the simulation's error
    better = best_response_to_policies(game, rule.feedback(), agent, STEPS)
    assert better.gain == pytest.approx(exact, abs=4 * max(better.gain_se, found.gain_se) + 1e-9)
    assert better.bound >= better.gain


def test_nothing_is_gained_at_a_feedback_equilibrium_and_nothing_can_be():
    """The bound says so for all deviations inside the tube, however they were looked for."""
    found = markov_nash("softmax-1x2")
    system = found.field.system
    for agent in found.game.agents:
        response = fitted_response(system, found.feedback(), agent)
        unit = found.game.payoff_unit(agent)
        assert response.gain < 1e-9 * unit
        assert -1e-9 * unit < response.bound < 1e-6 * unit


def test_search_and_backward_induction_agree_where_something_is_gained():
    """The open-loop equilibrium's field, played as feedback; a schedule is as good as a policy where nothing is
    random."""
    game = load_scenario("softmax-1x2")
    policies = solve(game, STEPS).feedback()
    kind = kind_of(game, STEPS)
    for agent in game.agents:
        searched = kind.response_to_policies(policies, agent)
        fitted = fitted_response(kind.step_system(), policies, agent)
        assert searched.gain > 1e-6
        assert fitted.gain == pytest.approx(searched.gain, rel=1e-6)
        assert searched.gain - 1e-10 < fitted.bound < searched.gain + 1e-5


def test_against_schedules_the_best_response_is_that_to_open_loop_opponents():
    game = load_scenario("softmax-1x2")
    policies = solve(game, STEPS).open_loop()
    for agent in game.agents:
        found = fitted_response(kind_of(game, STEPS).step_system(), policies, agent)
        assert abs(found.gain) < 1e-9
        assert abs(found.bound) < 1e-7


def test_gains_under_noise_have_standard_errors_and_bounds():
    game = replace(load_scenario("softmax-1x2"), inventory_noise=0.1)
    policies = markov_nash(game, STEPS, MarkovOptions(refine=False)).feedback()

    def lazy(k, state):
        return 0.7 * policies["maker_0"](k, state)

    found = best_response_to_policies(game, {**policies, "maker_0": lazy}, "maker_0", STEPS)
    assert found.gain > 20 * found.gain_se > 0
    assert found.gain < found.bound < found.gain + 0.01


def test_policies_that_look_at_more_are_known():
    game = load_scenario("softmax-1x2")
    policies = solve(game, STEPS).open_loop()
    assert looks_at_more(game, policies, STEPS) == ""

    def follower(k, state):
        return 0.5 * state.quotes[..., 0, 1:2] + np.ones(2)

    calls = []

    def counting(k, state):
        calls.append(k)
        return np.broadcast_to(1.0 + 0.1 * len(calls), (*np.shape(state.inventories)[:-1], 2))

    for policy in (follower, counting):
        assert looks_at_more(game, {**policies, "maker_0": policy}, STEPS) == "maker_0"
        with pytest.raises(ValueError, match="got one of maker_0 that looks at more"):
            credibility(game, {**policies, "maker_0": policy}, STEPS)
    found = best_response_to_policies(game, {**policies, "maker_0": follower}, "trader_0", STEPS)
    assert found.bound is None


def test_reactions_of_a_feedback_equilibrium_are_credible_and_schedules_are_not():
    game = load_scenario("softmax-1x2")
    reacting, schedules = markov_nash(game, STEPS), solve(game, STEPS)
    credible, stubborn = (credibility(game, each, STEPS) for each in (reacting.feedback(), schedules.open_loop()))
    units = np.array([game.payoff_unit(agent) for agent in game.agents])
    assert (credible.worst < 1e-7 * units).all()
    assert (stubborn.worst > 1e-5 * units).all()
    assert credible.gains.shape == (3, len(credible.steps), 16)
    assert credible.states.shape == (len(credible.steps), 16, 3)


def test_a_rollout_from_the_middle_is_the_end_of_one_from_the_start():
    game = LINEAR["a factor"]
    policies = feedback_nash(game, STEPS).feedback()
    whole = rollout(game, policies, STEPS)
    part = rollout(game, policies, STEPS, inventories=whole.inventories[2], factor=whole.factor[2], first=2)
    np.testing.assert_array_equal(part.times, whole.times[2:])
    np.testing.assert_allclose(part.inventories, whole.inventories[2:], atol=1e-14)
    np.testing.assert_allclose(part.payoffs, whole.rewards[2:].sum(axis=0), atol=1e-13)
    with pytest.raises(ValueError, match=r"first: expected a step in 0\.\.5, got 6"):
        rollout(game, policies, STEPS, first=6)


def test_reactions_are_the_coefficients_of_a_rule():
    game = LINEAR["a factor"]
    rule = feedback_nash(game, STEPS)
    found = reactions(game, rule.feedback(), STEPS)
    for i, agent in enumerate(game.agents):
        np.testing.assert_allclose(found[agent][:, 0], rule.gain[:, i], rtol=1e-9, atol=1e-12)


def test_reactions_of_a_fitted_equilibrium_are_those_of_its_polynomials():
    found = markov_nash("softmax-1x2", 4, MarkovOptions(reach=0.05, refine=False), throw=False)
    seen = reactions(found.game, found.feedback(), 4)
    for k in range(4):
        exact = found.reactions(k, found.inventories[k])
        np.testing.assert_allclose(seen["trader_0"][k, 0], exact[0], rtol=0, atol=1e-3)
        np.testing.assert_allclose(seen["maker_1"][k], exact[[2, 4]], rtol=0, atol=1e-3)


def test_large_states_are_refused():
    game = load_scenario("execution-10")
    policies = solve(game, 3).open_loop()
    with pytest.raises(ValueError, match="expected at most 5 state dimensions, got 10"):
        fitted_response(kind_of(game, 3).step_system(), policies, "trader_0")

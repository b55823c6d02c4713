"""What tells collusion from something else: partners of other trainings, and deviations that are forced."""

import numpy as np
import pytest

from makertaker.baselines import feedback_nash, solve
from makertaker.envs import load_scenario, rollout
from makertaker.training.evaluation import matches


def policies_of(rule):
    """A linear rule as policies."""

    def of(i):
        return lambda k, state: rule.rates(k, state.inventories, None)[..., i : i + 1]

    return {agent: of(i) for i, agent in enumerate(rule.game.agents)}


def test_a_forced_deviation_is_answered_by_who_sees_it():
    """The answer to a state beside the path is the rule's own: gain times the difference of inventories."""
    game, steps = load_scenario("execution-2"), 20
    rule = feedback_nash(game, steps)
    policies = policies_of(rule)
    answer = matches.forced_deviation(game, policies, steps, "trader_0", 5, 1.0)
    moved = answer.inventories[6]
    np.testing.assert_allclose(moved, [game.horizon / steps, 0], atol=1e-12)
    np.testing.assert_allclose(answer.controls["rate"][6], rule.gain[6] @ moved, rtol=1e-9)
    assert not answer.controls["rate"][:5].any()
    schedule = matches.forced_deviation(game, solve(game, steps).open_loop(), steps, "trader_0", 5, 1.0)
    assert not schedule.controls["rate"][:, 1].any()
    assert schedule.payoffs[0] < 0
    with pytest.raises(ValueError, match="agent: expected one of"):
        matches.forced_deviation(game, policies, steps, "maker_0", 5, 1.0)
    with pytest.raises(ValueError, match=r"at: expected a step in 0\.\.19"):
        matches.forced_deviation(game, policies, steps, "trader_0", 20, 1.0)
    with pytest.raises(ValueError, match="at: expected"):
        matches.forced_deviation(game, policies, steps, "trader_0", 2.5, 1.0)
    with pytest.raises(ValueError, match="without random inventories"):
        matches.forced_deviation(load_scenario("approximation"), {}, 3, "trader_0", 0, 1.0)


def test_partners_of_other_trainings():
    game, steps = load_scenario("execution-2"), 20
    profiles = [solve(game, steps).open_loop(), policies_of(feedback_nash(game, steps))]
    found = matches.rematched(game, profiles, steps)
    for i, own in enumerate(profiles):
        for j, theirs in enumerate(profiles):
            mixed = {"trader_0": own["trader_0"], "trader_1": theirs["trader_1"]}
            np.testing.assert_array_equal(found[i, j], rollout(game, mixed, steps).payoffs)

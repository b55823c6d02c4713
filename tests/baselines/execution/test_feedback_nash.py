"""Rung: feedback Nash equilibria of the execution game, and best responses to rules that react, by payoffs alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from makertaker.baselines import (
    EquilibriumNotFound,
    LinearFeedback,
    best_response_to_feedback,
    best_response_to_policies,
    feedback_gains,
    feedback_nash,
    solve,
)
from makertaker.baselines.execution.dynamic_programming import values
from makertaker.envs import ExecutionGame, rollout
from support.convergence import assert_first_order
from support.drawing import drawn, execution_games
from support.execution_games import HOMOGENEOUS, ONE_TRADER, UNCROWDED, WEAKLY_CROWDED
from support.quadratic import quadratic

DRAWN = drawn(30)
STEPS = 6
GAMES = {"one trader": ONE_TRADER, "homogeneous": HOMOGENEOUS, "no crowding": UNCROWDED, "varying": WEAKLY_CROWDED}
everywhere = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


def deviations(game, policies, index, steps, inventories=None):
    """Value, gradient and Hessian at 0 of an agent's payoff in its schedule, against policies that may react."""
    start = game.start if inventories is None else inventories

    def payoffs(points):
        def play(k, state):
            return points[:, k, None]

        everyone = {**policies, game.agents[index]: play}
        return rollout(game, everyone, steps, inventories=np.tile(start, (len(points), 1))).payoffs[:, index]

    return quadratic(payoffs, steps)


@everywhere
def test_feedback_nash(game):
    """Nobody gains by another schedule against the others' rules, from any inventories: subgame perfect."""
    rule, steps = feedback_nash(game, STEPS), STEPS
    gained, wrong = feedback_gains(rule)[1], feedback_gains(solve(game, steps).rule)[1]
    assert np.abs(gained).max() <= 1e-9
    assert (game.traders == 1) == (np.abs(wrong).max() <= 1e-9)
    for start in (game.start, np.random.default_rng(0).uniform(-3, 3, game.traders)):
        played = rollout(game, rule.feedback(), steps, inventories=start)
        for i in range(game.traders):
            base, gradient, hessian = deviations(game, rule.feedback(), i, steps, start)
            own = played.controls.rate[:, i]
            assert np.linalg.eigvalsh(hessian).max() < 0
            np.testing.assert_allclose(gradient + hessian @ own, 0.0, atol=1e-10)
            assert played.payoffs[i] == pytest.approx(base + gradient @ own / 2, abs=1e-9)  # at the maximum
    np.testing.assert_allclose(values(rule), rollout(game, rule.feedback(), steps).payoffs, atol=1e-10)


@DRAWN
@given(execution_games(most=3), st.integers(0, 99))
def test_best_responses_to_a_rule_that_reacts(game, seed):
    """Of any affine rule: the maximum over schedules by brute force, or that there is none; values by playing it."""
    steps, rng, count = 4, np.random.default_rng(seed), game.traders
    gain, shift = rng.uniform(-1, 1, (steps, count, count)), rng.uniform(-2, 2, (steps, count))
    rule = LinearFeedback(game, gain, shift, np.zeros((steps, count, 0)))
    payoffs = rollout(game, rule.feedback(), steps).payoffs
    np.testing.assert_allclose(values(rule), payoffs, rtol=1e-9, atol=1e-9)
    for i in range(count):
        base, gradient, hessian = deviations(game, rule.feedback(), i, steps)
        if np.linalg.eigvalsh(hessian).max() > -1e-9:
            with pytest.raises(EquilibriumNotFound, match=f"trader_{i} against opponents who react is not concave"):
                best_response_to_feedback(rule, f"trader_{i}")
            continue
        best = base - gradient @ np.linalg.solve(hessian, gradient) / 2
        replaced, payoff, _ = best_response_to_feedback(rule, f"trader_{i}")
        assert payoff == pytest.approx(best, rel=1e-8, abs=1e-8)
        assert rollout(game, replaced.feedback(), steps).payoffs[i] == pytest.approx(best, rel=1e-8, abs=1e-8)


def test_search_finds_no_deviation_from_feedback_nash():
    game = UNCROWDED
    nash, field = feedback_nash(game, 5), solve(game, 5).rule
    assert abs(best_response_to_policies(game, nash.feedback(), "trader_0", 5).gain) <= 1e-9
    found = best_response_to_policies(game, field.feedback(), "trader_0", 5)
    assert found.gain == pytest.approx(feedback_gains(field)[1][0], rel=1e-6)  # the open-loop field is not one
    assert found.gain > 1e-4


def test_no_feedback_nash():
    """Strong crowding: what the others do later makes an agent's payoff convex in its rate at the first of 3 steps.

    With constant coefficients the rule of the last two steps is that of a shorter game; differences give the curvature.
    """
    game = ExecutionGame((1.0, -2.0), 0.375, temporary_impact=0.3, crowding=1.75)
    rule = feedback_nash(replace(game, horizon=0.25), 2)

    def payoff(rate):
        first = {"trader_0": rate, "trader_1": 0.0}

        def policy(agent, index):
            def play(k, state):
                return np.array([first[agent]]) if k == 0 else rule.rates(k - 1, state.inventories, None)[[index]]

            return play

        return rollout(game, {agent: policy(agent, i) for i, agent in enumerate(first)}, 3).payoffs[0]

    assert payoff(1.0) + payoff(-1.0) - 2 * payoff(0.0) > 1e-3
    with pytest.raises(EquilibriumNotFound, match=r"feedback Nash: at step 0 .* not concave"):
        feedback_nash(game, 3)


def test_feedback_nash_approaches_its_riccati_equations_at_first_order():
    """In continuous time ``V^i = Q' P^i Q``; the Hamilton-Jacobi-Bellman equations, with each agent's rate from
    ``alpha/N Q^i + d V^i / d Q^i = beta/N ((2 - pi) v^i + pi sum v)``, are written out here and solved by SciPy."""
    game = replace(WEAKLY_CROWDED, buy_flow=0.0, sell_flow=0.0)
    count, (phi, wavy, last) = game.traders, game.running_penalty
    ones = np.ones((count, count))

    def gain(t, p):
        alpha, beta = (each(t) / count for each in (game.permanent_impact, game.temporary_impact))
        rows = 2 * np.stack([p[i, i] for i in range(count)])
        return np.linalg.solve(
            beta * ((2 - game.crowding) * np.eye(count) + game.crowding * ones), rows + alpha * np.eye(count)
        )

    def slope(t, x):
        p = x.reshape(count, count, count)
        f, total = gain(t, p), gain(t, p).sum(axis=0)
        alpha, beta = (each(t) / count for each in (game.permanent_impact, game.temporary_impact))
        change = np.empty_like(p)
        for i, unit in enumerate(np.eye(count)):
            cost = beta * ((1 - game.crowding) * f[i] + game.crowding * total)
            form = alpha * np.outer(unit, total) - np.outer(f[i], cost) + 2 * p[i] @ f
            form -= np.outer(unit, unit) * (phi, wavy(t), last)[i]
            change[i] = -(form + form.T) / 2
        return change.ravel()

    end = -np.einsum("i,ij,ik->ijk", game.terminal_penalty, np.eye(count), np.eye(count)).ravel()
    found = solve_ivp(slope, (game.horizon, 0.0), end, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    expected = gain(0.0, found.reshape(count, count, count))
    errors = [np.abs(feedback_nash(game, steps).gain[0] - expected).max() for steps in (40, 80, 160)]
    assert_first_order(errors)


@pytest.mark.parametrize(
    ("changes", "coincide"),
    [
        ({"initial_inventory": (-4.0,), "running_penalty": 0.5, "terminal_penalty": 1.0}, True),
        ({"permanent_impact": 0.0, "crowding": 0.0}, True),
        ({"permanent_impact": 0.0, "crowding": 0.5}, False),
        ({"permanent_impact": 0.5, "crowding": 0.0}, False),
    ],
)
def test_when_feedback_and_open_loop_nash_coincide(changes, coincide):
    game = replace(UNCROWDED, **changes)
    feedback, open_loop = feedback_nash(game, 10), solve(game, 10).rule
    gap = np.abs(feedback.gain - open_loop.gain).max()
    paths = [rule.play().inventories for rule in (feedback, open_loop)]
    if coincide:
        assert gap <= 1e-12
        np.testing.assert_allclose(*paths, atol=1e-12)
    else:
        assert gap > 1e-3
        assert np.abs(paths[0] - paths[1]).max() > 1e-3

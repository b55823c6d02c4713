"""Rung: what equilibria of the execution game are compared with, and which of its problems have a solution.

Feedback Nash equilibria, best responses to rules that react, the cooperative optimum and the concavity of each problem
are checked by payoffs alone: they are quadratic in the rates, so differences of ``simulate`` and ``rollout`` give
gradients and Hessians without truncation error. Where a problem stops being concave is known sharply: its Hessian is
affine in the scale of ``alpha``, so the edge is a generalised eigenvalue.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import eigh

from makertaker.baselines import (
    EquilibriumNotFound,
    LinearFeedback,
    NoOptimum,
    almgren_chriss_alone,
    best_response_to_feedback,
    best_response_to_policies,
    check,
    collusion_index,
    cooperative_optimum,
    feedback_gains,
    feedback_nash,
    references,
    solve,
)
from makertaker.baselines.execution.dynamic_programming import values
from makertaker.baselines.execution.equilibrium import least_pivot
from makertaker.baselines.reference_points import ALONE, COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from makertaker.envs import Controls, ExecutionGame, rollout, simulate

DRAWN = settings(max_examples=30, deadline=None, derandomize=True)
STEPS = 6


def number(low, high):
    return st.floats(low, high, allow_nan=False)


def wave(mean, amplitude, frequency):
    return lambda t: mean * (1 + amplitude * np.sin(frequency * t))


GAMES = {
    "one trader": ExecutionGame((-4.0,), permanent_impact=0.4, crowding=0.7, running_penalty=0.3, terminal_penalty=1.5),
    "homogeneous": ExecutionGame(
        (-5.0, 2.0, 4.0), 1.3, permanent_impact=0.5, running_penalty=0.4, terminal_penalty=0.9, buy_flow=1.5
    ),
    "no crowding": ExecutionGame(
        (3.0, -1.0),
        0.8,
        permanent_impact=0.7,
        temporary_impact=0.4,
        crowding=0.0,
        running_penalty=(0.2, 1.1),
        terminal_penalty=(2.0, 0.5),
    ),
    "varying": ExecutionGame(
        (4.0, 2.5, -1.0),
        permanent_impact=lambda t: 0.8 - 0.5 * t,
        temporary_impact=lambda t: 0.3 + 0.4 * t**2,
        crowding=0.6,
        running_penalty=(0.5, wave(0.6, 0.7, 6.0), 0.1),
        terminal_penalty=(0.5, 1.2, 0.8),
        buy_flow=wave(1.0, 0.8, 2.0),
        sell_flow=lambda t: 1.5 * t,
    ),
}
everywhere = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


@st.composite
def games(draw, crowding=0.95):
    """Up to three agents with penalties of their own and impacts that vary; the terminal penalty outweighs alpha."""
    count = draw(st.integers(1, 3))

    def several(low, high):
        return [draw(number(low, high)) for _ in range(count)]

    return ExecutionGame(
        several(-5, 5),
        draw(number(0.3, 1.5)),
        permanent_impact=wave(draw(number(0, 0.4)), draw(number(-0.5, 0.5)), 3.0),
        temporary_impact=wave(draw(number(0.3, 2)), draw(number(-0.5, 0.5)), 2.0),
        crowding=draw(number(0, crowding)),
        running_penalty=several(0, 2),
        terminal_penalty=several(0.5, 3),
        buy_flow=draw(number(0, 3)),
        sell_flow=wave(draw(number(0, 2)), 0.7, 4.0),
        max_rate=1e4,
    )


def quadratic(function, size):
    """Value, gradient and Hessian at 0 of quadratic functions (points, size) -> (points, m): (m,), (m, size), ..."""
    unit = np.eye(size)
    first, second = np.triu_indices(size, 1)
    points = np.concatenate([np.zeros((1, size)), unit, -unit, unit[first] + unit[second]])
    base, plus, minus, pairs = np.split(function(points), [1, 1 + size, 1 + 2 * size])
    hessian = np.zeros((base.shape[1], size, size))
    hessian[:, np.arange(size), np.arange(size)] = (plus + minus - 2 * base).T
    hessian[:, first, second] = hessian[:, second, first] = (pairs - plus[first] - plus[second] + base).T
    return base[0], (plus - minus).T / 2, hessian


def payoff_forms(game, steps):
    """``J^i(x) = base^i + slope^i x + x' hessian^i x / 2`` in all rates ``x``, (K N,), step by step."""

    def payoffs(points):
        return simulate(game, Controls(points.reshape(-1, steps, game.traders)), steps).payoffs

    return quadratic(payoffs, steps * game.traders)


def total_hessian(game, steps):
    return payoff_forms(game, steps)[2].sum(axis=0)


def own_hessian(game, steps, index):
    """Of an agent's payoff in its own rates, (K, K)."""
    return payoff_forms(game, steps)[2][index, index :: game.traders, index :: game.traders]


# ---------------------------------------------------------------- feedback Nash


def deviations(game, policies, index, steps, inventories=None):
    """Value, gradient and Hessian at 0 of an agent's payoff in its schedule, against policies that may react."""
    start = game.start if inventories is None else inventories

    def payoffs(points):
        def play(k, state):
            return points[:, k, None]

        everyone = {**policies, game.agents[index]: play}
        return rollout(game, everyone, steps, inventories=np.tile(start, (len(points), 1))).payoffs[:, index, None]

    base, gradient, hessian = quadratic(payoffs, steps)
    return base[0], gradient[0], hessian[0]


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
@given(games(crowding=1.9), st.integers(0, 99))
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
    game = GAMES["no crowding"]
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
    game = replace(GAMES["varying"], buy_flow=0.0, sell_flow=0.0)
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
    ratios = np.divide(errors[:-1], errors[1:])
    assert ((ratios > 1.8) & (ratios < 2.2)).all(), errors


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
    game = replace(GAMES["no crowding"], **changes)
    feedback, open_loop = feedback_nash(game, 10), solve(game, 10).rule
    gap = np.abs(feedback.gain - open_loop.gain).max()
    paths = [rule.play().inventories for rule in (feedback, open_loop)]
    if coincide:
        assert gap <= 1e-12
        np.testing.assert_allclose(*paths, atol=1e-12)
    else:
        assert gap > 1e-3
        assert np.abs(paths[0] - paths[1]).max() > 1e-3


# ---------------------------------------------------------------- cooperative optimum, and what is concave


def shape(t):
    return 1 + 0.4 * np.sin(3 * t)


def with_impact(game, scale):
    return replace(game, permanent_impact=lambda t: scale * shape(t))


def edge(hessian):
    """The scale of ``alpha`` up to which a Hessian, a function of it and affine, stays negative definite."""
    return 1 / eigh(hessian(1.0) - hessian(0.0), -hessian(0.0), eigvals_only=True)[-1]


@DRAWN
@given(games(), st.integers(1, 6))
def test_cooperative_optimum(game, steps):
    base, slopes, hessians = payoff_forms(game, steps)
    rates = cooperative_optimum(game, steps).play().controls.rate
    slope, hessian = slopes.sum(axis=0), hessians.sum(axis=0)
    assert np.linalg.eigvalsh(hessian).max() < 0
    np.testing.assert_allclose(slope + hessian @ rates.ravel(), 0.0, atol=1e-9)
    total = simulate(game, Controls(rates), steps).payoffs.sum()
    assert total == pytest.approx(base.sum() + slope @ rates.ravel() / 2, abs=1e-9)
    assert total >= solve(game, steps).payoffs.sum() - 1e-10


@DRAWN
@given(games(), st.integers(1, 5))
def test_cooperative_optimum_exists_exactly_where_the_hessian_is_negative_definite(game, steps):
    most = edge(lambda scale: total_hessian(with_impact(game, scale), steps))
    inside, outside = (with_impact(game, factor * most) for factor in (1 - 1e-6, 1 + 1e-6))
    assert np.linalg.eigvalsh(total_hessian(inside, steps)).max() < 0
    cooperative_optimum(inside, steps)
    assert np.linalg.eigvalsh(total_hessian(outside, steps)).max() > 0
    with pytest.raises(NoOptimum, match="Hessian on the grid is not negative definite"):
        cooperative_optimum(outside, steps)


@pytest.mark.parametrize(("crowding", "reason"), [(1.0, "singular"), (1.3, "unbounded")])
def test_no_cooperative_optimum_with_crowding(crowding, reason):
    """At crowding 1 trading between the agents costs only the penalties of the inventory it makes.

    Rates that alternate in sign from step to step make an inventory of one step's size: per unit of time the Hessian
    has an eigenvalue of the order of ``-phi dt^2``, and rates at the grid's optimum grow with K. Below 1 that
    eigenvalue is at most ``-2 (1 - pi) beta / N``; above 1 there is no maximum at all.
    """
    game = ExecutionGame((4.0, -1.0), permanent_impact=0.2, running_penalty=(0.3, 0.6), crowding=crowding)
    for impact in (0.0, 0.2):
        with pytest.raises(NoOptimum, match=rf"{reason}.* at crowding {crowding:g}"):
            cooperative_optimum(replace(game, permanent_impact=impact), 10)
    largest, fastest = [], []
    for steps in (8, 16, 32):
        _, slopes, hessians = payoff_forms(game, steps)
        slope, hessian = slopes.sum(axis=0), hessians.sum(axis=0)
        largest.append(np.linalg.eigvalsh(hessian).max() * steps / game.horizon)
        fastest.append(np.abs(np.linalg.solve(hessian, slope)).max())
        below = total_hessian(replace(game, crowding=0.5, permanent_impact=0.0), steps)
        assert np.linalg.eigvalsh(below).max() * steps / game.horizon <= -2 * 0.5 * game.temporary_impact / 2
    if crowding > 1:
        assert min(largest) > 0
    else:
        assert max(largest) < 0
        assert (np.divide(largest[:-1], largest[1:]) > 3.5).all()
        assert (np.divide(fastest[1:], fastest[:-1]) > 1.8).all()


@DRAWN
@given(games(crowding=1.9), st.integers(1, 5))
def test_own_problems_are_concave_exactly_where_their_hessians_are(game, steps):
    times = np.linspace(0.0, game.horizon, steps + 1)
    most = []
    for i in range(game.traders):
        most.append(edge(lambda scale, i=i: own_hessian(with_impact(game, scale), steps, i)))
        for factor, concave in ((1 - 1e-6, True), (1 + 1e-6, False)):
            near = with_impact(game, factor * most[-1])
            assert (np.linalg.eigvalsh(own_hessian(near, steps, i)).max() < 0) == concave
            assert (least_pivot(near.coefficients(times), game.horizon / steps)[i] > 0) == concave
    first, *others = np.argsort(most)
    assume(not others or most[others[0]] > 1.0001 * most[first])
    beyond = with_impact(game, 1.00005 * most[first])
    with pytest.raises(EquilibriumNotFound, match=f"trader_{first} has no maximum"):
        solve(beyond, steps)
    assert not margins(beyond, steps)["own problems concave on the grid"][0]


def margins(game, steps=20):
    return {each.name: (each.holds, each.margin) for each in check(game, steps)}


def test_conditions_by_hand():
    """Least margins are at T, where alpha is largest and beta and phi are smallest; each by hand, at pi = 1 and not.

    alpha(T) = 0.8, beta(T) = 0.4, phi(T) = 0.5, so alpha^2 / beta = 1.6; N = 3: c = 4, d = 1 at pi = 1, and c = 3,
    d = 1.5 at pi = 0.5; max((N + 1)^2 / c, 1 / d) is 4, and 16 / 3.
    """
    game = ExecutionGame(
        (1.0, 2.0, -3.0),
        permanent_impact=lambda t: 0.2 + 0.6 * t,
        temporary_impact=lambda t: 0.8 - 0.4 * t,
        running_penalty=lambda t: 1.0 - 0.5 * t,
        terminal_penalty=0.7,
    )
    found = margins(game)
    assert found["concave Hamiltonians"] == (True, pytest.approx(0.5 - 1.6 / 12))
    assert found["no permanent impact"] == (False, pytest.approx(-0.8))
    assert found["homogeneous penalties, moderate impact"] == (True, pytest.approx(0.5 - 1.6 / 8))
    # the paper's phi - (N + 1) alpha^2 / (8 N beta)
    assert found["monotone system"] == (True, pytest.approx(0.5 - 4 * 1.6 / 24))
    assert found["terminal penalty outweighs constant impact"] == (False, pytest.approx(-0.6))
    less = margins(replace(game, crowding=0.5))
    assert less["concave Hamiltonians"] == found["concave Hamiltonians"]  # an agent's own cost has no pi
    assert less["homogeneous penalties, moderate impact"] == (True, pytest.approx(0.5 - 1.6 / 6))
    assert less["monotone system"] == (True, pytest.approx(0.5 - 16 / 3 * 1.6 / 24))
    # phi lower by 0.4: 0.1 at T
    weak = margins(replace(game, running_penalty=lambda t: 0.6 - 0.5 * t))
    assert weak["concave Hamiltonians"] == (False, pytest.approx(0.1 - 1.6 / 12))
    assert weak["homogeneous penalties, moderate impact"] == (False, pytest.approx(0.1 - 1.6 / 8))
    assert weak["monotone system"] == (False, pytest.approx(0.1 - 4 * 1.6 / 24))
    assert weak["own problems concave on the grid"][0]  # the paper's conditions are sufficient only


def test_conditions_by_hand_with_penalties_that_differ():
    """Strong crowding, N = 2, pi = 1.8: c = 3.8, d = 0.2, so 1 / d = 5 outweighs 9 / 3.8; alpha^2 / beta = 0.32."""
    game = ExecutionGame(
        (1.0, 2.0),
        permanent_impact=0.4,
        temporary_impact=0.5,
        crowding=1.8,
        running_penalty=(0.3, 0.8),
        terminal_penalty=(0.4, 1.0),
    )
    found = margins(game)
    assert found["concave Hamiltonians"] == (True, pytest.approx(0.3 - 0.32 / 8))
    assert found["homogeneous penalties, moderate impact"] == (False, pytest.approx(-0.6))
    assert found["monotone system"] == (True, pytest.approx(0.3 - 5 * 0.32 / 16))
    assert found["terminal penalty outweighs constant impact"] == (True, pytest.approx(0.4 - 0.4 / 4))
    assert found["cooperative problem concave on the grid"] == (False, pytest.approx(-0.8))
    assert margins(replace(game, terminal_penalty=(0.15, 1.0)))["monotone system"] == (True, 0.15)  # least A
    still = margins(replace(game, permanent_impact=0.0, terminal_penalty=(0.0, 1.0)))
    assert still["no permanent impact"] == (True, 0.0)
    assert still["monotone system"] == (False, 0.0)  # needs every A above zero


@DRAWN
@given(games(crowding=1.9), st.integers(1, 10), number(0.1, 0.99))
def test_rates_beyond_what_an_environment_accepts(game, steps, share):
    rates = solve(game, steps).controls.rate
    largest = np.abs(rates).max()
    assume(largest > 1e-3)
    k, agent = np.unravel_index(np.abs(rates).argmax(), rates.shape)
    tight = replace(game, max_rate=share * largest)
    with pytest.raises(EquilibriumNotFound) as raised:
        solve(tight, steps)
    message = str(raised.value)
    assert f"trader_{agent} needs a rate of {rates[k, agent]:.6g} at step {k}" in message
    enough = float(re.search(r"max_rate=(\S+) the game is solved", message)[1])
    np.testing.assert_array_equal(solve(replace(game, max_rate=enough), steps).controls.rate, rates)
    found = solve(tight, steps, throw=False)
    assert not found.converged
    assert found.message == message


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("name", ["no crowding", "varying"])
def test_reference_points(name):
    """Almgren-Chriss alone: each agent's maximum where the others' rates are zero. TWAP: ``-q_0 / T``."""
    game, steps, count = GAMES[name], STEPS, GAMES[name].traders
    _, slopes, hessians = payoff_forms(game, steps)
    table = references(game, steps)
    assert list(table) == [OPEN_LOOP, FEEDBACK, COOPERATIVE, ALONE, TWAP]
    own = [hessian[i::count, i::count] for i, hessian in enumerate(hessians)]
    # x = 0: nobody trades
    alone = np.stack([-np.linalg.solve(own[i], slopes[i, i::count]) for i in range(count)], axis=-1)
    np.testing.assert_allclose(almgren_chriss_alone(game, steps).play().controls.rate, alone, atol=1e-9)
    profiles = {
        OPEN_LOOP: solve(game, steps).controls.rate,
        FEEDBACK: rollout(game, feedback_nash(game, steps).feedback(), steps).controls.rate,
        COOPERATIVE: -np.linalg.solve(hessians.sum(axis=0), slopes.sum(axis=0)).reshape(steps, -1),
        ALONE: alone,
        TWAP: np.tile(-game.start / game.horizon, (steps, 1)),
    }
    totals = {name: simulate(game, Controls(rates), steps).payoffs.sum() for name, rates in profiles.items()}
    nash, best = totals[OPEN_LOOP], totals[COOPERATIVE]
    for name, rates in profiles.items():
        row = table[name]
        gradients = [(slopes[i] + hessians[i] @ rates.ravel())[i::count] for i in range(count)]
        gains = [-g @ np.linalg.solve(h, g) / 2 for g, h in zip(gradients, own, strict=True)]
        np.testing.assert_allclose(row.payoffs, simulate(game, Controls(rates), steps).payoffs, rtol=1e-9, atol=1e-9)
        assert row.total == pytest.approx(totals[name])
        assert row.collusion_index == pytest.approx((totals[name] - nash) / (best - nash), abs=1e-8)
        assert row.nash_conv == pytest.approx(sum(gains), rel=1e-8, abs=1e-9)
        assert row.note == ""
    assert table[OPEN_LOOP].collusion_index == pytest.approx(0.0, abs=1e-9)
    assert table[COOPERATIVE].collusion_index == 1.0
    assert table[COOPERATIVE].nash_conv > 1e-3


def test_reference_points_that_do_not_exist():
    table = references(GAMES["homogeneous"], 5)
    assert table[COOPERATIVE].rule is table[COOPERATIVE].payoffs is table[COOPERATIVE].nash_conv is None
    assert "singular" in table[COOPERATIVE].note
    assert "crowding 1" in table[COOPERATIVE].note
    assert all(row.collusion_index is None for row in table.values())
    assert all(row.total is not None for name, row in table.items() if name != COOPERATIVE)
    # alone, Nash and the optimum coincide: the index would be 0 / 0
    assert all(row.collusion_index is None for row in references(GAMES["one trader"], 5).values())
    assert collusion_index(1.0, 1.0, 1.0) is None
    assert collusion_index(-3.0, -4.0, -2.0) == 0.5

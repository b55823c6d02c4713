"""Traders who must liquidate, ``A = inf``: closed forms, limits, brute force, and a published market."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines import (
    best_response,
    best_response_to_policies,
    check,
    collusion_index,
    continuous,
    cooperative_optimum,
    exploitability,
    feedback_nash,
    references,
    solve,
)
from makertaker.baselines.execution import linear_system as linear
from makertaker.baselines.execution.dynamic_programming import best_response_to_feedback, feedback_gains
from makertaker.baselines.execution.references import ALONE, COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from makertaker.envs import Affine, Controls, ExecutionGame, draw_noise, ornstein_uhlenbeck, read_scenario, simulate
from makertaker.envs.grid import grid

ALIKE = ExecutionGame((-5.0, 2.0, 4.0), 1.3, permanent_impact=0.3, crowding=0.4, running_penalty=0.4)
APART = replace(ALIKE, running_penalty=(0.4, 0.1, 0.9), buy_flow=1.5, permanent_impact=lambda t: 0.5 - 0.2 * t)
PENALTIES = {"all": math.inf, "some": (math.inf, 0.7, math.inf), "one": (0.3, math.inf, 1.2)}
STEPS = 7


def closing(game, which):
    return replace(game, terminal_penalty=PENALTIES[which])


def finite(game, size):
    ends = np.broadcast_to(game.terminal_penalty, (game.traders,))
    return replace(game, terminal_penalty=tuple(size if math.isinf(each) else float(each) for each in ends))


# Closed forms


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("phi", [1e-3, 0.7, 1.5])
def test_almgren_chriss(phi, steps):
    """``Q = q_0 sinh(kappa (T - t)) / sinh(kappa T)``, ``kappa^2 = phi / beta`` in continuous time; on the grid ``cosh
    kappa' = (2 beta / dt + 2 phi dt / 3) / (2 beta / dt - phi dt / 3)`` a step (Almgren and Chriss, 2001)."""
    beta, horizon = 0.6, 1.4
    game = ExecutionGame((3.0,), horizon, 0.8, beta, 1.0, phi, math.inf)
    times, kappa, dt = np.linspace(0.0, horizon, 9), np.sqrt(phi / beta), horizon / steps
    path = continuous.path(game, times)
    expected = 3 * np.sinh(kappa * (horizon - times)) / np.sinh(kappa * horizon)
    np.testing.assert_allclose(path.inventories[:, 0], expected, rtol=1e-12, atol=1e-14)
    rates = -3 * kappa * np.cosh(kappa * (horizon - times)) / np.sinh(kappa * horizon)
    np.testing.assert_allclose(path.rates[:, 0], rates, rtol=1e-12)
    discrete = np.arccosh((2 * beta / dt + 2 * phi * dt / 3) / (2 * beta / dt - phi * dt / 3))
    left = np.arange(steps, -1, -1)
    expected = 3 * np.sinh(discrete * left) / np.sinh(discrete * steps)
    np.testing.assert_allclose(solve(game, steps).inventories[:, 0], expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("start", [(5.0, 0.0), (4.0, -1.0, 2.0, 0.5)])
def test_carlin_lobo_viswanathan(start):
    """``v^i = a exp(-(N-1)/(N+1) alpha t/beta) + b_i exp(alpha t/beta)``, exactly; the grid's limit at second order."""
    alpha, beta, horizon, count = 0.8, 0.5, 1.5, len(start)
    decay, growth = -(count - 1) / (count + 1) * alpha / beta, alpha / beta
    mean = np.mean(start)
    a = -mean * decay / np.expm1(decay * horizon)
    b = -(np.array(start) - mean) * growth / np.expm1(growth * horizon)
    game = ExecutionGame(start, horizon, alpha, beta, 1.0, terminal_penalty=math.inf)

    def inventories(times):
        fallen, risen = (np.expm1(rate * times)[:, None] / rate for rate in (decay, growth))
        return np.array(start) + a * fallen + b * risen

    times = np.linspace(0.0, horizon, 9)
    path = continuous.path(game, times)
    expected = a * np.exp(decay * times)[:, None] + b * np.exp(growth * times)[:, None]
    np.testing.assert_allclose(path.rates, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(path.inventories, inventories(times), atol=1e-12)
    errors = [np.abs(solve(game, k).inventories - inventories(grid(game, k))).max() for k in (40, 80)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


def test_the_published_market():
    """Two sellers, ten periods, permanent impact .001 and own temporary impact .002 per share against the price at the
    start of a period; numbers were computed apart, see ``test_published_market.py``."""
    scenario = read_scenario("almgren-chriss-2")
    game, steps = scenario.game, scenario.steps
    found = solve(game, steps)
    rates = [33.922, 22.614, 15.076, 10.051, 6.701, 4.467, 2.978, 1.985, 1.324, 0.882]
    for trader in range(2):
        np.testing.assert_array_equal(np.round(-found.controls.rate[:, trader], 3), rates)
    np.testing.assert_allclose(found.controls.rate[1:] / found.controls.rate[:-1], 2 / 3, rtol=1e-12)
    np.testing.assert_array_equal(np.round(-found.payoffs, 4), 12.0706)
    assert exploitability(game, found.controls, steps).gains.max() < 3e-13
    feedback = feedback_nash(game, steps).play()
    np.testing.assert_array_equal(np.round(-feedback.payoffs, 4), 12.3082)
    np.testing.assert_array_equal(np.round(-feedback.controls.rate[:4, 0], 3), [37.393, 23.443, 14.725, 9.273])
    table = references(game, steps)
    shortfalls = {name: round(-float(each.payoffs[0]), 4) for name, each in table.items()}
    assert shortfalls == {OPEN_LOOP: 12.0706, FEEDBACK: 12.3082, COOPERATIVE: 11.0, ALONE: 11.0, TWAP: 11.0}
    assert collusion_index(-22.0, -2 * 12.0706, -22.0) == 1.0
    assert table[TWAP].collusion_index == pytest.approx(1)


# Limits


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("base", [ALIKE, APART], ids=["alike", "apart"])
def test_penalties_converge_at_rate_one_over_size(base, which):
    game = closing(base, which)
    answers = [solve(game, STEPS), feedback_nash(game, STEPS), cooperative_optimum(game, STEPS)]
    limits = [(answers[0].controls.rate, answers[0].payoffs)]
    limits += [(each.play().controls.rate, each.play().payoffs) for each in answers[1:]]
    errors = []
    for size in (1e4, 1e5):
        near = finite(game, size)
        first = solve(near, STEPS)
        found = [(first.controls.rate, first.payoffs)]
        for make in (feedback_nash, cooperative_optimum):
            played = make(near, STEPS).play()
            found.append((played.controls.rate, played.payoffs))
        errors.append(
            [[np.abs(a - b).max() for a, b in zip(x, y, strict=True)] for x, y in zip(found, limits, strict=True)]
        )
    order = np.log10(np.divide(*errors))
    np.testing.assert_allclose(order, 1, atol=2e-3)


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("base", [ALIKE, APART], ids=["alike", "apart"])
def test_slopes_are_those_of_the_limit(base, which):
    game = closing(base, which)
    found, near = solve(game, STEPS), solve(finite(game, 1e8), STEPS)
    np.testing.assert_allclose(found.slope[:-1], near.slope[:-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(np.isinf(np.diagonal(found.slope[-1])), game.closing)
    np.testing.assert_allclose(found.adjoints, near.adjoints, rtol=1e-5, atol=1e-5)
    inventory = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(found.adjoint(2, inventory), near.adjoint(2, inventory), rtol=1e-6)
    np.testing.assert_allclose(found.adjoint(0, game.start), near.adjoint(0, game.start), rtol=1e-6)
    with pytest.raises(ValueError, match=r"k: expected a step in 0\.\.6"):
        found.adjoint(STEPS, inventory)


@pytest.mark.parametrize("method", ["closed form", "radon"])
def test_continuous_slopes_are_those_of_the_limit(method):
    game, times = closing(ALIKE, "all"), np.array([0.0, 0.4, 1.2])
    near = continuous.riccati(finite(game, 1e9), times, method)
    np.testing.assert_allclose(continuous.riccati(game, times, method), near, rtol=1e-6)
    with pytest.raises(ValueError, match="times: expected times before the horizon"):
        continuous.riccati(game, np.array([0.0, 1.3]), method)


def test_radon_with_some_who_must_liquidate():
    game, times = closing(replace(ALIKE, running_penalty=(0.4, 0.1, 0.9)), "some"), np.array([0.0, 1.1])
    near = continuous.riccati(finite(game, 1e9), times)
    np.testing.assert_allclose(continuous.riccati(game, times), near, rtol=1e-6)
    with pytest.raises(ValueError, match="terminal_penalty: the integrator starts from finite slopes"):
        continuous.riccati(game, times, "integrate")


def test_ways_to_solve_agree():
    for which in PENALTIES:
        game = closing(APART, which)
        c, dt = game.coefficients(grid(game, STEPS)), game.horizon / STEPS
        arguments = c, game.crowding, dt, game.start, game.push(c)
        np.testing.assert_allclose(
            linear.rates_by_aggregate(*arguments), linear.rates_by_matrices(*arguments), rtol=1e-10
        )
    game = closing(ALIKE, "all")
    arguments = game.coefficients(grid(game, STEPS)), game.crowding, dt, game.start, np.full(STEPS, 0.3)
    np.testing.assert_allclose(linear.rates_by_modes(*arguments), linear.rates_by_matrices(*arguments), rtol=1e-11)


# Brute force


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("base", [ALIKE, APART], ids=["alike", "apart"])
def test_best_responses_by_brute_force(base, which):
    """The last rate closes; the others are free, and the payoff is maximised over them numerically."""
    game, steps = closing(base, which), 4
    found = solve(game, steps)
    assert exploitability(game, found.controls, steps).relative < 1e-12
    assert np.abs(found.inventories[-1, game.closing]).max() < 1e-14
    assert np.isfinite(found.payoffs).all()
    profile = found.controls.rate + np.random.default_rng(0).standard_normal((steps, 3))
    profile[-1] = np.where(
        game.closing, -(game.start + profile[:-1].sum(axis=0) * 1.3 / steps) * steps / 1.3, profile[-1]
    )
    gains = exploitability(game, Controls(profile), steps).gains
    for index, agent in enumerate(game.agents):

        def rates(own, index=index):
            joint = profile.copy()
            if game.closing[index]:
                own = np.append(own, -game.start[index] * steps / 1.3 - own.sum())
            joint[:, index] = own
            return Controls(joint)

        def loss(own, rates=rates, index=index):
            return -simulate(game, rates(own), steps).payoffs[index]

        best = minimize(loss, np.zeros(steps - bool(game.closing[index])), method="BFGS", options={"gtol": 1e-9})
        response = best_response(game, Controls(profile), agent, steps)
        assert response.payoff == pytest.approx(-best.fun, rel=1e-9)
        assert response.gain == pytest.approx(gains[index], rel=1e-9)
        np.testing.assert_allclose(response.controls.rate, rates(best.x).rate, atol=1e-4)


@pytest.mark.parametrize("which", PENALTIES)
def test_nobody_gains_from_the_feedback_equilibrium(which):
    game = closing(APART, which)
    rule = feedback_nash(game, STEPS)
    payoffs, gains = feedback_gains(rule)
    np.testing.assert_allclose(payoffs, rule.play().payoffs, rtol=1e-10)
    assert np.abs(gains).max() < 1e-10
    # of a rule that is no equilibrium, against the same policies played
    field = solve(game, STEPS).rule
    for agent in game.agents:
        response = best_response_to_feedback(field, agent)
        assert response.gain > 0
        index = game.positions[agent]
        assert response.rule.play().payoffs[index] == pytest.approx(response.payoff, rel=1e-9)
        assert response.rule.play().inventories[-1, index] == pytest.approx(0, abs=1e-12) or not game.closing[index]


def test_own_problems_that_are_concave_only_because_traders_must_close():
    """A permanent impact of alpha / N > 2 A T ... has no bounded answer without a penalty; who must close has one, as
    ``int Q dQ = -q_0^2 / 2`` is not chosen."""
    game = ExecutionGame((4.0,), permanent_impact=30.0, temporary_impact=0.5, crowding=0.0, terminal_penalty=0.0)
    assert not {each.name: each.holds for each in check(game, 6)}["own problems concave on the grid"]
    game = replace(game, terminal_penalty=math.inf)
    conditions = {each.name: each for each in check(game, 6)}
    assert conditions["own problems concave on the grid"].margin == pytest.approx(1)  # impact costs alone
    assert conditions["finite terminal penalties"][1:3] == (False, -1)
    assert solve(game, 6).controls.rate[:, 0] == pytest.approx(-4.0)
    assert exploitability(game, solve(game, 1).controls, 1).nash_conv == 0  # one step: no choice


# A signal


SIGNAL = ExecutionGame(
    (-4.0, 3.0),
    permanent_impact=0.4,
    crowding=0.5,
    running_penalty=(0.3, 0.1),
    terminal_penalty=(math.inf, 0.8),
    factor=ornstein_uhlenbeck(2.0, 1.0, initial=(1.0,)),
    buy_flow=Affine(3.0, (1.0,)),
    sell_flow=2.0,
)


def test_a_linear_signal():
    found, noise = solve(SIGNAL, STEPS), draw_noise(SIGNAL, STEPS, 64, 0)
    played = found.rule.play(noise)
    assert np.ptp(played.controls.rate[..., 0], axis=0).min(axis=-1) >= 0
    assert np.abs(played.inventories[..., -1, 0]).max() < 1e-13
    gains = exploitability(SIGNAL, found.rule, STEPS)
    assert np.abs(gains.gains).max() < 1e-12
    near = solve(finite(SIGNAL, 1e8), STEPS)
    np.testing.assert_allclose(found.payoffs, near.payoffs, rtol=1e-6)
    np.testing.assert_allclose(found.rule.signal, near.rule.signal, atol=1e-6)
    table = references(SIGNAL, STEPS)
    assert all(np.isfinite(each.payoffs).all() for each in table.values() if each.payoffs is not None)
    assert table[FEEDBACK].note == ""
    # policies that react: a lower bound by regression, near the exact gain of the schedule of means
    response = best_response_to_policies(SIGNAL, found.open_loop(), "trader_0", STEPS)
    assert abs(response.gain) <= 4 * response.gain_se + 1e-6
    assert np.abs(SIGNAL.start[0] + response.controls.rate[:, 0].mean()) < 1e-9


def test_regressed_gains_come_near_the_exact_ones():
    schedule = np.tile(-SIGNAL.start, (STEPS, 1))
    exact = exploitability(SIGNAL, Controls(schedule), STEPS).gains
    policies = {
        name: (lambda k, state, i=i: np.full((*state.inventories.shape[:-1], 1), schedule[k, i]))
        for i, name in enumerate(SIGNAL.agents)
    }
    for agent, best in zip(SIGNAL.agents, exact, strict=True):
        found = best_response_to_policies(SIGNAL, policies, agent, STEPS)
        assert 0.97 * best < found.gain + 3 * found.gain_se
        assert found.gain - 3 * found.gain_se < best


# Refusals


def test_profiles_that_do_not_close_are_refused():
    game = closing(ALIKE, "some")
    rates = np.tile(-game.start / 1.3, (STEPS, 1))
    assert np.isfinite(exploitability(game, Controls(rates), STEPS).gains).all()
    rates[0, 1] += 1  # may leave something
    assert np.isfinite(exploitability(game, Controls(rates), STEPS).gains).all()
    rates[0, 0] += 1e-6
    message = "controls: trader_0 must liquidate, expected rates that close its -5 shares"
    with pytest.raises(ValueError, match=message):
        exploitability(game, Controls(rates), STEPS)
    with pytest.raises(ValueError, match=message):
        best_response(game, Controls(rates), "trader_1", STEPS)
    rule = solve(finite(game, 1.0), STEPS).rule
    with pytest.raises(ValueError, match="trader_0 must liquidate"):
        feedback_gains(replace(rule, game=game))
    with pytest.raises(ValueError, match="trader_0 must liquidate"):
        exploitability(game, replace(rule, game=game), STEPS)


def test_decoupling_fields_are_refused():
    bent = replace(SIGNAL, buy_flow=lambda t, factor: 3 + np.sin(factor[..., 0]))
    for ask in (lambda: solve(bent, STEPS), lambda: solve(closing(ALIKE, "all"), STEPS).tabulate()):
        with pytest.raises(ValueError, match="terminal_penalty: a decoupling field needs finite penalties"):
            ask()

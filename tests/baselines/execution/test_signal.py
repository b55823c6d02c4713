"""Rung: the execution game with a signal, noise flows that depend on a factor, and what its solvers claim.

The grid game's payoffs are quadratic in rates and factor, and the factor's noise is independent from step to step: in
linear rules and their values normal increments enter by their first two moments alone. So on a tree on which every
increment is +1 or -1 expectations are finite sums, first-order conditions are those of finitely many numbers, one rate
for each node, and solutions, values and gains are exactly those with normal noise.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from makertaker.baselines import (
    FieldOptions,
    LinearFeedback,
    almgren_chriss_alone,
    best_response,
    best_response_to_policies,
    continuous,
    cooperative_optimum,
    exploitability,
    feedback_gains,
    feedback_nash,
    open_loop_policies,
    references,
    solve,
)
from makertaker.baselines.execution.dynamic_programming import values
from makertaker.baselines.reference_points import COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from makertaker.envs import Affine, Controls, ExecutionGame, Factor, Noise, ornstein_uhlenbeck, rollout, simulate
from makertaker.envs.flows import Sine
from support.convergence import assert_first_order
from support.quadratic import quadratic

STEPS = 3

ONE = ExecutionGame(
    (-5.0, 3.0),
    permanent_impact=0.8,
    temporary_impact=0.6,
    crowding=0.7,
    running_penalty=(0.3, 0.5),
    terminal_penalty=(1.2, 0.8),
    buy_flow=Affine(2.0, 1.0),
    sell_flow=1.5,
    factor=ornstein_uhlenbeck(1.3, 2.0, mean=0.5, initial=(1.0,)),
    max_rate=1e4,
)


def coupled_drift(t, factor):
    return factor @ np.array([[-1.0, 0.6], [-0.3, -0.5]]) + np.array([0.4, np.sin(3 * t)])


def full_diffusion(t, factor):
    return (1 + 0.5 * t) * np.array([[1.0, 0.4], [-0.7, 0.8]])


TWO = ExecutionGame(
    (4.0, -1.0, 2.0),
    1.4,
    permanent_impact=lambda t: 0.9 - 0.3 * t,
    temporary_impact=lambda t: 0.4 + 0.2 * t,
    crowding=1.3,
    running_penalty=(0.2, lambda t: 0.3 + 0.2 * t, 0.6),
    terminal_penalty=(1.0, 0.7, 1.5),
    buy_flow=Affine(2.0, (1.0, 0.5)),
    sell_flow=lambda t, factor: 1.0 + t + factor @ np.array([-0.3, 0.2]),
    factor=Factor((0.5, -1.0), coupled_drift, full_diffusion),
    max_rate=1e4,
)
# a named shape beside a factor is a function of time: its mean over the step counts, not its value at the start
GAMES = {
    "one factor": ONE,
    "one factor, and a flow of time": replace(ONE, sell_flow=Sine(1.5, 1.4, period=0.7)),
    "two factors, full diffusion": TWO,
}
everywhere = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


# ---------------------------------------------------------------- a tree of noise


def tree(game, steps=STEPS):
    """Every path of increments +1 and -1, (2^(K d), K, d), in lexicographic order; all have the same probability."""
    size = game.factor.size
    return Noise(factor=np.array(list(product((-1.0, 1.0), repeat=steps * size))).reshape(-1, steps, size))


def adapted(game, steps=STEPS):
    """(paths, K, nodes): which of the tree's nodes a path is at; at step ``k`` it knows ``k`` increments."""
    size, paths = game.factor.size, np.arange(2 ** (game.factor.size * steps))
    columns = []
    for k in range(steps):
        node = paths >> ((steps - k) * size)
        for each in range(node.max() + 1):
            at = np.zeros((len(paths), steps))
            at[:, k] = node == each
            columns.append(at)
    return np.stack(columns, axis=-1)


def own_problem(game, rates, index):
    """An agent's mean payoff on the tree as a quadratic function of what it adds to its rate at every node; the others
    play (paths, K, N)."""
    noise, nodes = tree(game), adapted(game)
    unit = np.zeros(game.traders)
    unit[index] = 1.0

    def payoffs(points):
        joint = rates + (nodes @ points[:, None, :, None]) * unit
        return simulate(game, Controls(joint), STEPS, noise).payoffs[..., index].mean(axis=-1)

    return quadratic(payoffs, nodes.shape[-1])


def gains(game, rates):
    """What every agent gains by its best adapted response on the tree, (N,): ``-g' H^{-1} g / 2``."""
    found = []
    for index in range(game.traders):
        _, gradient, hessian = own_problem(game, rates, index)
        assert np.linalg.eigvalsh(hessian).max() < 0
        found.append(-gradient @ np.linalg.solve(hessian, gradient) / 2)
    return np.array(found)


# ---------------------------------------------------------------- open-loop Nash


@everywhere
def test_rule_solves_the_adapted_first_order_conditions(game):
    equilibrium = solve(game, STEPS)
    assert isinstance(equilibrium.profile, LinearFeedback)
    played = equilibrium.profile.play(tree(game))
    for index in range(game.traders):
        payoff, gradient, hessian = own_problem(game, played.controls.rate, index)
        np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
        assert np.linalg.eigvalsh(hessian).max() < 0
        assert payoff == pytest.approx(equilibrium.payoffs[index], abs=1e-10)
    assert equilibrium.payoffs_se is None
    np.testing.assert_allclose(played.controls.rate.mean(axis=0), equilibrium.controls.rate, atol=1e-10)
    np.testing.assert_allclose(played.inventories.mean(axis=0), equilibrium.inventories, atol=1e-10)
    assert np.ptp(played.controls.rate[:, -1], axis=0).min() > 0.1  # the signal matters


@everywhere
def test_exact_gains(game):
    equilibrium = solve(game, STEPS)
    paths = len(tree(game).factor)
    for profile in (equilibrium.profile, equilibrium.controls, Controls(equilibrium.controls.rate + 1.0)):
        if isinstance(profile, LinearFeedback):
            rates = profile.play(tree(game)).controls.rate
            expected = np.zeros(game.traders)
        else:
            rates = np.broadcast_to(profile.rate, (paths, STEPS, game.traders))
            expected = gains(game, rates)
            assert expected.min() > 1e-3
        result = exploitability(game, profile, STEPS)
        np.testing.assert_allclose(result.gains, expected, atol=1e-9)
        assert result.gains_se is None
        mean = simulate(game, Controls(rates), STEPS, tree(game)).payoffs.mean(axis=0)
        np.testing.assert_allclose(result.payoffs, mean, atol=1e-9)
        response = best_response(game, profile, game.agents[0], STEPS)
        assert response.gain == pytest.approx(expected[0], abs=1e-9)
        assert response.payoff == pytest.approx(mean[0] + expected[0], abs=1e-9)


@everywhere
def test_policies_follow_the_rule(game):
    """Open loop and as feedback, policies do what ``play`` says, on the tree's paths and on the undisturbed one."""
    rule = solve(game, STEPS).rule
    for noise in (None, tree(game)):
        played = rule.play(noise)
        for policies in (rule.open_loop(), rule.feedback(), solve(game, STEPS).open_loop()):
            path = rollout(game, policies, STEPS, noise)
            np.testing.assert_allclose(path.controls.rate, played.controls.rate, atol=1e-12)
            np.testing.assert_allclose(path.payoffs, played.payoffs, atol=1e-11)


@everywhere
def test_who_reacts_to_a_deviation(game):
    """Open loop nobody else does: their rates are those of the undisturbed path. As feedback they do, by ``gain``."""
    rule, noise = solve(game, STEPS).rule, tree(game)
    undisturbed, deviator = rule.play(noise).controls.rate, game.agents[0]

    def against(policies):
        played = rollout(
            game, {**policies, deviator: lambda k, state: np.full((len(noise.factor), 1), 5.0)}, STEPS, noise
        )
        return played.inventories, played.controls.rate

    _, rates = against(rule.open_loop())
    np.testing.assert_allclose(rates[..., 1:], undisturbed[..., 1:], atol=1e-12)
    inventories, rates = against(rule.feedback())
    moved = inventories[:, 1] - rule.play(noise).inventories[:, 1]
    expected = undisturbed[:, 1] + moved @ rule.gain[1].T
    np.testing.assert_allclose(rates[:, 1, 1:], expected[:, 1:], atol=1e-12)
    assert np.abs(rates - undisturbed)[:, 1, 1:].max() > 1e-3


@everywhere
def test_payoffs_against_monte_carlo(game):
    steps, paths = 8, 4000
    equilibrium = solve(game, steps)
    noise = Noise(factor=np.random.default_rng(0).standard_normal((paths, steps, game.factor.size)))
    payoffs = rollout(game, equilibrium.open_loop(), steps, noise).payoffs
    error = payoffs.std(axis=0, ddof=1) / np.sqrt(paths)
    assert (np.abs(payoffs.mean(axis=0) - equilibrium.payoffs) <= 3 * error).all()
    assert (error < 0.05 * np.abs(equilibrium.payoffs)).all()


@everywhere
def test_simulated_deviations(game):
    """Nobody gains against the rule; against a schedule that ignores the signal one does, by no more than exactly.

    A deviation is fitted to one sample and scored on another, so against the rule it loses what it is overfitted by;
    scored on its own sample it would appear to gain as much, about one standard error.
    """
    steps = 8
    equilibrium = solve(game, steps)
    exact = exploitability(game, equilibrium.controls, steps).gains
    for index, agent in enumerate(game.agents):
        fair = best_response_to_policies(game, equilibrium.open_loop(), agent, steps)
        ignorant = open_loop_policies(game, equilibrium.controls)
        found = best_response_to_policies(game, ignorant, agent, steps)
        assert fair.gain <= 0.5 * fair.gain_se
        assert fair.gain >= -3 * fair.gain_se - 0.01 * found.gain
        assert found.gain > 5 * found.gain_se > 0
        assert found.gain <= exact[index] + 3 * found.gain_se
        assert found.gain >= 0.8 * exact[index]  # the deviations that are searched are rich enough


def test_diffusion_that_depends_on_the_factor():
    """Then the rule is the same (certainty equivalence), and payoffs are means of draws, with standard errors."""

    def diffusion(t, factor):
        return 1.0 + 0.5 * np.tanh(factor)

    game = replace(ONE, factor=replace(ONE.factor, diffusion=diffusion))
    equilibrium, additive = solve(game, STEPS), solve(ONE, STEPS)
    assert equilibrium.payoffs_se.min() > 0
    np.testing.assert_allclose(equilibrium.rule.signal, additive.rule.signal, atol=1e-9)
    np.testing.assert_allclose(equilibrium.rule.shift, additive.rule.shift, atol=1e-9)
    draws = np.random.default_rng(1).standard_normal((4000, STEPS, 1))
    payoffs = rollout(game, equilibrium.open_loop(), STEPS, Noise(factor=draws)).payoffs
    error = np.hypot(payoffs.std(axis=0, ddof=1) / np.sqrt(len(payoffs)), equilibrium.payoffs_se)
    assert (np.abs(payoffs.mean(axis=0) - equilibrium.payoffs) <= 3 * error).all()
    result = exploitability(game, equilibrium.profile, STEPS)
    np.testing.assert_allclose(result.gains, 0.0, atol=1e-9)  # path by path: no noise in it
    ignorant = exploitability(game, equilibrium.controls, STEPS)
    assert (ignorant.gains > 5 * ignorant.gains_se).all()
    with pytest.raises(ValueError, match="does not depend on the factor"):
        feedback_nash(game, STEPS)


def test_factors_that_do_not_enter_linearly():
    """The linear reference points are refused, the equilibrium is a fitted decoupling field."""
    bent = replace(ONE, factor=replace(ONE.factor, drift=lambda t, factor: -np.tanh(factor)))
    with pytest.raises(ValueError, match=r"factor\.drift: .* affine"):
        feedback_nash(bent, STEPS)
    curved = replace(ONE, buy_flow=lambda t, factor: np.exp(0.2 * factor[..., 0]))
    with pytest.raises(ValueError, match=r"buy_flow - sell_flow: .* affine"):
        feedback_nash(curved, STEPS)
    for game in (bent, curved):
        found = solve(game, STEPS, field=FieldOptions(refine=False, paths=256))
        assert found.message.startswith("decoupling field")
        assert found.payoffs_se.min() > 0


# ---------------------------------------------------------------- feedback Nash, cooperative optimum, references


def reactive_problem(game, policies, index):
    """As :func:`own_problem`, of rates at nodes, against policies that look at the market's inventories."""
    noise, nodes = tree(game), adapted(game)

    def payoffs(points):
        rates = (nodes @ points[:, None, :, None])[..., 0]

        def play(k, state):
            return rates[..., k, None]

        start = np.broadcast_to(game.start, (*rates.shape[:2], game.traders))
        everyone = {**policies, game.agents[index]: play}
        return rollout(game, everyone, STEPS, noise, inventories=start).payoffs[..., index].mean(axis=-1)

    return quadratic(payoffs, nodes.shape[-1])


@everywhere
def test_feedback_nash(game):
    rule = feedback_nash(game, STEPS)
    payoffs, found = feedback_gains(rule)
    assert np.abs(found).max() <= 1e-9
    played = rollout(game, rule.feedback(), STEPS, tree(game))
    np.testing.assert_allclose(payoffs, played.payoffs.mean(axis=0), atol=1e-9)
    nodes = adapted(game)
    for index in range(game.traders):
        own = np.einsum("bk,bkn->n", played.controls.rate[..., index], nodes) / nodes.sum(axis=(0, 1))
        base, gradient, hessian = reactive_problem(game, rule.feedback(), index)
        np.testing.assert_allclose(gradient + hessian @ own, 0.0, atol=1e-10)
        assert np.linalg.eigvalsh(hessian).max() < 0
        assert base + gradient @ own / 2 == pytest.approx(payoffs[index], abs=1e-9)
    assert np.abs(rule.gain - solve(game, STEPS).rule.gain).max() > 1e-3


@everywhere
def test_values_of_rules_against_monte_carlo(game):
    steps, paths = 8, 4000
    noise = Noise(factor=np.random.default_rng(0).standard_normal((paths, steps, game.factor.size)))
    for rule in (feedback_nash(game, steps), solve(game, steps).rule, almgren_chriss_alone(game, steps)):
        payoffs = rollout(game, rule.feedback(), steps, noise).payoffs
        error = payoffs.std(axis=0, ddof=1) / np.sqrt(paths)
        assert (np.abs(payoffs.mean(axis=0) - values(rule)) <= 3 * error).all()


def test_cooperative_optimum():
    """The gradient of the tree's mean total in everybody's rates at nodes vanishes."""
    rates = cooperative_optimum(ONE, STEPS).play(tree(ONE)).controls.rate
    nodes = adapted(ONE)
    count = nodes.shape[-1]

    def total(points):
        joint = rates + np.einsum("bkn,pni->pbki", nodes, points.reshape(-1, count, ONE.traders))
        return simulate(ONE, Controls(joint), STEPS, tree(ONE)).payoffs.sum(axis=-1).mean(axis=-1)

    _, gradient, hessian = quadratic(total, count * ONE.traders)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
    assert np.linalg.eigvalsh(hessian).max() < 0


def test_references():
    """Rows are played along the undisturbed path; payoffs are means over the tree, gains those of own problems."""
    table = references(ONE, STEPS)
    twap = np.broadcast_to(-ONE.start / ONE.horizon, (2**STEPS, STEPS, ONE.traders))
    for name, row in table.items():
        rates = twap if name == TWAP else row.rule.play(tree(ONE)).controls.rate
        payoffs = simulate(ONE, Controls(rates), STEPS, tree(ONE)).payoffs.mean(axis=0)
        np.testing.assert_allclose(row.payoffs, payoffs, atol=1e-9)
        assert row.nash_conv == pytest.approx(gains(ONE, rates).sum(), abs=1e-8)
    np.testing.assert_array_equal(table[FEEDBACK].rule.gain, feedback_nash(ONE, STEPS).gain)
    assert table[OPEN_LOOP].collusion_index == pytest.approx(0.0, abs=1e-9)
    assert table[COOPERATIVE].collusion_index == 1.0


# ---------------------------------------------------------------- continuous time


@pytest.mark.parametrize("initial", [(1.0,), (-2.0,)])
def test_field_on_the_factors_mean_path(initial):
    """Certainty equivalence: the mean of (3) is the game whose flow follows the factor's mean, which is
    ``mean + (L_0 - mean) exp(-rate t)``; its field has no signal."""
    game = replace(ONE, factor=replace(ONE.factor, initial=initial))

    def flow(t):
        return 2.0 + 0.5 + (initial[0] - 0.5) * np.exp(-1.3 * t)

    times = np.linspace(0.0, game.horizon, 5)
    factor = (flow(times) - 2.0)[:, None]
    expected = continuous.field(replace(game, buy_flow=flow, factor=None), times)
    field = continuous.field(game, times)
    np.testing.assert_allclose(field.slope, expected.slope, atol=1e-9)
    reached = field.offset + (field.signal_slope @ factor[..., None])[..., 0]
    np.testing.assert_allclose(reached, expected.offset, atol=1e-9)


@everywhere
def test_grid_approaches_the_field_at_first_order(game):
    """Flows are those at the start of a step, which is off by O(dt); the slope, without flows, is at second order."""
    count = game.traders
    field = continuous.field(game, np.array([0.0]))
    start = np.array(game.factor.initial)
    expected = field.slope[0] @ game.start + field.offset[0] + field.signal_slope[0] @ start
    errors, other = [], []
    for steps in (20, 40, 80):
        equilibrium = solve(game, steps)
        errors.append(np.abs(equilibrium.adjoint(0, game.start, start) - expected).max())
        unit = equilibrium.adjoint(0, np.zeros(count), start + 1.0) - equilibrium.adjoint(0, np.zeros(count), start)
        other.append(np.abs(unit - field.signal_slope[0].sum(axis=-1)).max())
    for each in (errors, other):
        assert_first_order(each)


def test_field_solves_its_equations():
    """With ``Y~ = R Q + h0 + h1 L``: ``h1' = (F - R D) h1 + h1 rate - alpha slope`` at one agent, ``h1_T = 0``.

    N = 1: D = 1 / (2 beta), F = -alpha / (2 beta); R by the same integration, ``R' = G + F R - R E - R D R``.
    """
    game = replace(ONE, initial_inventory=(2.0,), running_penalty=0.3, terminal_penalty=1.2)
    alpha, double = 0.8, 2 * 0.6

    def slope(t, x):
        r, h = x
        closed = -(alpha + r) / double
        return [2 * 0.3 - alpha**2 / double - 2 * alpha * r / double - r * r / double, closed * h + 1.3 * h - alpha]

    found = solve_ivp(slope, (1.0, 0.0), [-2.4, 0.0], "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    field = continuous.field(game, np.array([0.0]))
    np.testing.assert_allclose([field.slope[0, 0, 0], field.signal_slope[0, 0, 0]], found, atol=1e-9)

"""Rung: the execution game (Section 2) without a factor, and the equilibrium of its grid game.

What the solvers claim is checked by payoffs alone, and payoffs by those of the paper.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from makertaker.baselines import EquilibriumNotFound, best_response, exploitability, solve
from makertaker.baselines.execution import linear_system as linear
from makertaker.envs import Controls, ExecutionGame, simulate
from support.drawing import drawn, execution_games, number
from support.execution_games import GAMES
from support.functions import averages, of_everyone, value_at
from support.quadratic import payoff_forms

DRAWN = drawn(40)
FEW = drawn(15)
everywhere = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


# ---------------------------------------------------------------- payoffs: the paper's, and differences of them


def paper_payoffs(game, rates):
    """First line of the objective in Section 2, less ``P_0 q_0``: rates (K, N) and coefficients constant on steps.

    On a step Q and S are linear in time, so the integrand is quadratic and 2-point Gauss is exact.
    """
    steps, count = rates.shape
    edges = np.linspace(0.0, game.horizon, steps + 1)
    price, held, payoff = 0.0, np.array(game.initial_inventory), np.zeros(count)
    for v, start, end in zip(rates, edges[:-1], edges[1:], strict=True):
        dt = end - start

        def mean(parameter, start=start, end=end):
            return averages(lambda t: float(value_at(parameter, t)), (start, end))[0]

        alpha, beta = mean(game.permanent_impact), mean(game.temporary_impact)
        phi = np.array([mean(one) for one in of_everyone(game.running_penalty, count)])
        drift = alpha / count * v.sum() + alpha * (mean(game.buy_flow) - mean(game.sell_flow))
        for s in dt * (1 + np.array([-1, 1]) / np.sqrt(3)) / 2:
            transaction = price + drift * s + beta / count * (v + game.crowding * (v.sum() - v))
            payoff += dt / 2 * (-transaction * v - phi * (held + v * s) ** 2)
        price, held = price + drift * dt, held + dt * v
    return payoff + price * held - np.array(game.terminal_penalty) * held**2


@everywhere
def test_payoffs_are_the_papers(game):
    rates = np.random.default_rng(0).uniform(-3, 3, (5, game.traders))
    np.testing.assert_allclose(simulate(game, Controls(rates), 5).payoffs, paper_payoffs(game, rates), rtol=1e-12)


# ---------------------------------------------------------------- the grid's own equilibrium


@everywhere
def test_equilibrium_is_one(game):
    steps = 6
    equilibrium, payoffs = solve(game, steps), payoff_forms(game, steps)
    rates = equilibrium.controls.rate
    np.testing.assert_allclose(rates, payoffs.nash(), atol=1e-10)
    assert np.abs(payoffs.gradients(rates)).max() <= 1e-10
    assert all(np.linalg.eigvalsh(payoffs.own(i)).max() < 0 for i in range(game.traders))  # maxima
    result = exploitability(game, equilibrium.controls, steps)
    assert np.abs(result.gains).max() <= 1e-9
    np.testing.assert_allclose(result.payoffs, equilibrium.payoffs, rtol=1e-12)


@everywhere
def test_automatic_differentiation_agrees(game):
    torch = pytest.importorskip("torch")
    rates = torch.tensor(solve(game, 30).controls.rate, requires_grad=True)
    payoffs = simulate(game, Controls(rates), 30).payoffs
    for i in range(game.traders):
        (gradient,) = torch.autograd.grad(payoffs[i], rates, retain_graph=True)
        assert gradient[:, i].abs().max() <= 1e-11


@FEW
@given(execution_games(most=3), st.integers(0, 99))
def test_gains_of_best_responses(game, seed):
    """``-g' H^{-1} g / 2``: what a concave quadratic function gains at its maximum."""
    steps = 5
    rates = np.random.default_rng(seed).uniform(-4, 4, (steps, game.traders))
    payoffs, result = payoff_forms(game, steps), exploitability(game, Controls(rates), steps)
    gradients = payoffs.gradients(rates)
    for i, agent in enumerate(game.agents):
        step = -np.linalg.solve(payoffs.own(i), gradients[i])
        response = best_response(game, Controls(rates), agent, steps)
        np.testing.assert_allclose(response.controls.rate[:, i], rates[:, i] + step, atol=1e-9)
        np.testing.assert_allclose([result.gains[i], response.gain], gradients[i] @ step / 2, rtol=1e-9, atol=1e-10)


@DRAWN
@given(execution_games(most=5), st.integers(1, 12), st.booleans())
def test_three_solvers_agree(game, steps, same):
    if same:
        game = replace(game, running_penalty=game.running_penalty[0], terminal_penalty=game.terminal_penalty[0])
    c = game.coefficients(np.linspace(0.0, game.horizon, steps + 1))
    drift = c.permanent_impact * (c.buy_flow - c.sell_flow)
    arguments = c, game.crowding, game.horizon / steps, game.start, drift
    expected = linear.rates_by_matrices(*arguments)
    np.testing.assert_allclose(linear.rates_by_aggregate(*arguments), expected, atol=1e-10)
    if linear.homogeneous(c):
        np.testing.assert_allclose(linear.rates_by_modes(*arguments), expected, atol=1e-10)
    np.testing.assert_allclose(solve(game, steps).controls.rate, expected, atol=1e-10)


def test_many_agents():
    """Above 48 agents the total rate decouples them, even where an agent's pivot is not positive then.

    With hardly a penalty, that pivot in the last step is ``(2 - pi) beta - alpha dt / 2`` over N: here 0.05 - 0.45.
    """
    rng = np.random.default_rng(0)
    start, phi = rng.uniform(-5, 5, 60), rng.uniform(0.1, 2, 60)
    mild = ExecutionGame(start, permanent_impact=0.5, running_penalty=phi, terminal_penalty=phi + 0.4)
    strong = ExecutionGame(start, 1.0, 1.8, 1.0, 1.95, running_penalty=1e-5 * phi, terminal_penalty=0.0)
    for game, steps in ((mild, 8), (strong, 2)):
        equilibrium = solve(game, steps)
        assert "agents decoupled given the total rate" in equilibrium.message
        assert np.abs(exploitability(game, equilibrium.controls, steps).gains).max() <= 1e-9


@DRAWN
@given(execution_games(most=3), st.integers(1, 10), number(0.1, 0.99))
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
    enough = float(re.search(r"max_rate=(\S+) or none the game is solved", message)[1])
    np.testing.assert_array_equal(solve(replace(game, max_rate=enough), steps).controls.rate, rates)
    found = solve(tight, steps, throw=False)
    assert not found.converged
    assert found.message == message

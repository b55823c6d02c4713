"""Crowding below 0: others' haste is earned. The game stays monotone down to ``pi = -2 / (N - 1)``."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import best_response, check, exploitability, references, solve
from makertaker.baselines.execution import linear_system as linear
from makertaker.baselines.execution.cooperative import monotone_pivot
from makertaker.envs import Controls, ExecutionGame, simulate
from makertaker.envs.grid import grid
from support.execution_games import CROWDED, ONE_TRADER, WEAKLY_CROWDED

ALIKE = ExecutionGame((-5.0, 2.0, 4.0), 1.3, permanent_impact=0.3, running_penalty=0.4, terminal_penalty=0.9)
APART = replace(ALIKE, running_penalty=(0.4, 0.1, 0.9), terminal_penalty=(0.9, 2.0, 0.5), buy_flow=1.5)
STEPS = 7


@pytest.mark.parametrize("crowding", [-0.3, -0.7, -0.95])
@pytest.mark.parametrize("game", [ALIKE, APART, ONE_TRADER, CROWDED, WEAKLY_CROWDED])
def test_nobody_gains_from_a_deviation(game, crowding):
    game = replace(game, crowding=crowding / max(game.traders - 1, 1) * 2)
    found = solve(game, STEPS)
    assert exploitability(game, found.controls, STEPS).relative < 1e-12
    # a deviator found by hand: the payoff is quadratic in its rates, which lie in every direction below the optimum
    rng = np.random.default_rng(0)
    for index in range(game.traders):
        rates = np.repeat(found.controls.rate[None], 40, axis=0)
        rates[..., index] += 1e-2 * rng.standard_normal((40, STEPS))
        assert (simulate(game, Controls(rates), STEPS).payoffs[:, index] < found.payoffs[index]).all()


def test_ways_to_solve_agree():
    c, dt = APART.coefficients(grid(APART, STEPS)), APART.horizon / STEPS
    arguments = c, -0.8, dt, APART.start, APART.push(c)
    matrices, aggregate = linear.rates_by_matrices(*arguments), linear.rates_by_aggregate(*arguments)
    np.testing.assert_allclose(aggregate, matrices, rtol=1e-11)
    alike = c._replace(running_penalty=0 * c.running_penalty + 0.4, terminal_penalty=0 * c.terminal_penalty + 0.9)
    arguments = alike, *arguments[1:]
    np.testing.assert_allclose(linear.rates_by_modes(*arguments), linear.rates_by_matrices(*arguments), rtol=1e-11)


def _symmetrised(game, steps):
    """(K N, K N) symmetric part of the derivative of marginal payoffs, from payoffs: they are quadratic."""
    count = steps * game.traders
    units = np.eye(count).reshape(count, steps, game.traders)
    pairs = units[:, None] + units[None]
    both, one = (simulate(game, Controls(each), steps).payoffs for each in (pairs, units))
    none = simulate(game, Controls(np.zeros((steps, game.traders))), steps).payoffs
    mixed = both - one[:, None] - one[None] + none  # (row, column, agent)
    agent = np.arange(count) % game.traders
    jacobian = np.take_along_axis(mixed, agent[:, None, None].repeat(count, 1), axis=-1)[..., 0]
    return (jacobian + jacobian.T) / 2


@pytest.mark.parametrize("game", [ALIKE, APART], ids=["alike", "apart"])
@pytest.mark.parametrize("impact", [0.3, 1.0, 1.7, 2.5, 4.0])
@pytest.mark.parametrize("crowding", [-0.9, -0.4, 0.6])
def test_monotone_is_a_negative_definite_symmetrised_derivative(game, impact, crowding):
    game = replace(game, permanent_impact=impact, crowding=crowding)
    largest = np.linalg.eigvalsh(_symmetrised(game, 4)).max()
    c = game.coefficients(grid(game, 4))
    assert (monotone_pivot(game, c, game.horizon / 4) > 0) == (largest < 0)


@pytest.mark.parametrize("steps", [1, 2, 9, 40])
@pytest.mark.parametrize("count", [2, 5])
def test_the_edge_of_monotone_games_without_running_penalty_is_known(count, steps):
    """``c = 2 + pi (N - 1) > (alpha (N + 1) / 2 - 2 A N) T / beta`` at any number of steps."""
    alpha, beta, end, horizon = 0.9, 0.5, 0.05, 1.3
    edge = (alpha * (count + 1) / 2 - 2 * end * count) * horizon / beta
    assert edge > 0
    for nudge, holds in ((1e-6, True), (-1e-6, False)):
        game = ExecutionGame(
            np.arange(1.0, count + 1),
            horizon,
            permanent_impact=alpha,
            temporary_impact=beta,
            crowding=(edge * (1 + nudge) - 2) / (count - 1),
            terminal_penalty=end,
        )
        conditions = {each.name: each.holds for each in check(game, steps)}
        assert conditions["game monotone on the grid"] == holds
        assert conditions["crowding as in the paper"] == (game.crowding >= 0)


def test_best_responses_do_not_know_a_limit_of_crowding():
    """An agent's own concavity does not involve pi: the own second derivative is the same."""
    rates = np.random.default_rng(1).standard_normal((STEPS, 3))
    for crowding in (-0.99, 0.0, 1.5):
        game = replace(ALIKE, crowding=crowding)
        response = best_response(game, Controls(rates), "trader_1", STEPS)
        moved = np.array(response.controls.rate)
        moved[:, 1] += 0.1
        loss = response.payoff - simulate(game, Controls(moved), STEPS).payoffs[1]
        # .01 (beta / N T + phi T^3 / 3 + A T^2 - alpha T^2 / 2 N): impact, holding and end of .1 t more
        t = 1.3
        assert loss == pytest.approx(0.01 * (0.5 / 3 * t + 0.4 * t**3 / 3 + 0.9 * t**2 - 0.3 * t**2 / 6), rel=1e-9)


def test_no_cooperative_optimum_where_everybody_together_trades_for_nothing():
    found = references(replace(ALIKE, crowding=-0.5), STEPS)["cooperative optimum"]
    assert found.profile is None
    assert "unbounded at crowding -0.5" in found.note
    assert references(replace(ALIKE, crowding=-0.4), STEPS)["cooperative optimum"].profile is not None


def test_units_are_positive_for_everyone():
    game = ExecutionGame((-1e-3, 50.0, 50.0), crowding=-0.99, permanent_impact=0.0)
    assert min(game.payoff_unit(agent) for agent in game.agents) > 0

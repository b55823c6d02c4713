"""Noise in inventories and a factor that drives the flows: the approximation game of Section 5 of Guo and Jin.

A market with noise is compared with its definition in plain arithmetic, means with closed forms.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import open_loop_policies, random_controls
from makertaker.envs import BestQuote, MakerTakerGame, Noise, SoftmaxShare, draw_noise, rollout, simulate
from support.drawing import drawn
from support.noisy_market import (
    COMPETITIONS,
    EPSILON,
    HORIZON,
    PHI,
    STEPS,
    TERMINAL,
    affine_game,
    by_hand,
    noisy_game,
    quoting,
)

DRAWN = drawn(25)
seeds = st.integers(0, 2**32 - 1)
either_competition = pytest.mark.parametrize("competition", COMPETITIONS)


# The game on given noise


@either_competition
def test_simulations_and_rollouts_are_the_definition_step_by_step(competition: str) -> None:
    game = noisy_game(competition)
    controls, noise = random_controls(game, STEPS, seed=1), draw_noise(game, STEPS, 6, seed=2, price=True)
    simulated = simulate(game, controls, STEPS, noise)
    rolled = rollout(game, open_loop_policies(game, controls), STEPS, noise)
    for path in range(6):
        expected = by_hand(competition, controls, Noise(*(each[path] for each in noise)))
        for found in (simulated, rolled):
            for name in ("inventories", "factor", "mid", "payoffs", "wealth"):
                close = {"rtol": 1e-12, "atol": 1e-12}
                np.testing.assert_allclose(getattr(found, name)[path], getattr(expected, name), **close)
            volumes = found.activity.buy_volume[path], found.activity.sell_volume[path]
            np.testing.assert_allclose(volumes, np.transpose(expected.volumes), rtol=1e-12)
            np.testing.assert_allclose(found.rewards[path].sum(axis=0), expected.payoffs, rtol=1e-12)


def test_noise_may_come_in_lists() -> None:
    game = noisy_game()
    noise = draw_noise(game, STEPS, 2, seed=16, price=True)
    found = simulate(game, quoting(game), STEPS, Noise(*(each.tolist() for each in noise)))
    np.testing.assert_array_equal(found.wealth, simulate(game, quoting(game), STEPS, noise).wealth)


@DRAWN
@given(seed=seeds, makers=st.integers(2, 5), steps=st.integers(1, 6), epsilon=st.floats(0.01, 10.0))
def test_softmax_conserves_shares_up_to_the_noise(seed: int, makers: int, steps: int, epsilon: float) -> None:
    """Makers take exactly what traders and noise traders leave; best-quote shares need not sum to one."""
    alike = {"maker_inventory": (1.0,) * makers, "maker_running_penalty": 0.1, "maker_terminal_penalty": 0.1}
    game = noisy_game(**alike, inventory_noise=epsilon, competition=SoftmaxShare(0.8))
    controls, noise = random_controls(game, steps, seed), draw_noise(game, steps, 2, seed)

    def missing(game: MakerTakerGame) -> np.ndarray:
        found, dt = simulate(game, controls, steps, noise), HORIZON / steps
        received = np.diff(found.inventories, axis=1) - epsilon * dt**0.5 * noise.inventory
        return received[..., 2:].sum(axis=-1) - dt * (found.activity.sell_volume - found.activity.buy_volume)

    np.testing.assert_allclose(missing(game), 0.0, atol=1e-12 * (1 + epsilon) * steps)
    assert np.abs(missing(replace(game, competition=BestQuote()))).max() > 1e-6


@either_competition
def test_noise_of_zero_is_no_noise(competition: str) -> None:
    game, quiet = noisy_game(competition), noisy_game(competition, inventory_noise=0.0)
    controls = random_controls(game, STEPS, seed=7)
    zero = Noise(np.zeros(STEPS), np.zeros((STEPS, 2)), np.zeros((STEPS, 5)))
    expected = simulate(quiet, controls, STEPS)
    for found in (simulate(game, controls, STEPS, zero), simulate(game, controls, STEPS)):
        np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-13)
        np.testing.assert_array_equal(found.factor, expected.factor)
    np.testing.assert_allclose(simulate(game, controls, STEPS, zero).wealth, expected.payoffs, rtol=1e-13)


# Draws and means


def test_draws_are_antithetic_and_a_function_of_their_seed() -> None:
    game = noisy_game()
    noise, again, other = (draw_noise(game, STEPS, 200, seed, price=True) for seed in (0, 0, 1))
    for name, shape in (("factor", (200, STEPS, 2)), ("inventory", (200, STEPS, 5)), ("price", (200, STEPS))):
        draws = getattr(noise, name)
        assert draws.shape == shape
        np.testing.assert_array_equal(draws[:100], -draws[100:])
        np.testing.assert_array_equal(draws, getattr(again, name))
        assert not np.isclose(draws, getattr(other, name)).all()
    assert len(np.unique(np.concatenate([each[:100].ravel() for each in noise]))) == 100 * STEPS * 8, "all differ"
    without = draw_noise(game, STEPS, 200, 0)
    assert without.price is None
    np.testing.assert_array_equal(without.inventory, noise.inventory)
    plain = noisy_game(inventory_noise=0.0, factor=None, buy_flow=1.0)
    assert draw_noise(plain, STEPS, 2, 0) is None
    assert draw_noise(plain, STEPS, 2, 0, price=True).price.shape == (2, STEPS)


def cubature(game: MakerTakerGame, steps: int) -> Noise:
    """Points whose plain mean is exact for polynomials of degree 3 in all increments: ``+-sqrt(D)`` on every axis."""
    sizes = (steps, 2 * steps, 5 * steps)
    points = np.concatenate([np.eye(8 * steps), -np.eye(8 * steps)]) * math.sqrt(8 * steps)
    price, factor, inventory = np.split(points, np.cumsum(sizes)[:-1], axis=1)
    return Noise(price, factor.reshape(-1, steps, 2), inventory.reshape(-1, steps, 5))


@DRAWN
@given(seeds, st.integers(1, 5), st.floats(0.01, 3.0), st.floats(0.5, 3.0), st.sampled_from(list(COMPETITIONS)))
def test_the_mean_cost_of_noise(seed: int, steps: int, epsilon: float, horizon: float, competition: str) -> None:
    """In step ``k`` an inventory has the variance ``k dt epsilon^2`` and costs ``phi_k dt`` of it: for a constant
    penalty ``phi epsilon^2 T^2 (1 - 1 / K) / 2``. At the end it costs ``A epsilon^2 T``."""
    changes = {"horizon": horizon, "trader_running_penalty": (lambda t: 0.1 + 0.2 * t, PHI[1])}
    quiet, noisy = (affine_game(competition, inventory_noise=size, **changes) for size in (0.0, epsilon))
    noise, dt = cubature(noisy, steps), horizon / steps
    controls = random_controls(quiet, steps, seed)
    without = simulate(quiet, controls, steps, noise._replace(inventory=None)).payoffs.mean(axis=0)
    running = np.array(PHI) * horizon**2 * (1 - 1 / steps) / 2
    running[0] += sum(0.2 * (k + 0.5) * dt * k * dt * dt for k in range(steps))
    expected = without - epsilon**2 * (running + np.array(TERMINAL) * horizon)
    found = simulate(noisy, controls, steps, noise)
    for mean in (found.payoffs.mean(axis=0), found.wealth.mean(axis=0)):
        np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-9)


def test_drawn_noise_has_the_same_mean_cost() -> None:
    game = noisy_game(factor=None, buy_flow=2.0)
    controls = random_controls(game, STEPS, seed=8)
    payoffs = simulate(game, controls, STEPS, draw_noise(game, STEPS, 4000, seed=9)).payoffs
    pairs = (payoffs[:2000] + payoffs[2000:]) / 2  # antithetic
    cost = EPSILON**2 * (np.array(PHI) * HORIZON**2 * (1 - 1 / STEPS) / 2 + np.array(TERMINAL) * HORIZON)
    error = pairs.mean(axis=0) - (simulate(game, controls, STEPS).payoffs - cost)
    assert (np.abs(error) < 4 * pairs.std(axis=0) / 2000**0.5).all()


@either_competition
def test_without_penalties_noise_leaves_the_mean_payoffs_alone(competition: str) -> None:
    game = replace(affine_game(competition), trader_terminal_penalty=0.0, maker_terminal_penalty=0.0)
    game = replace(game, trader_running_penalty=0.0, maker_running_penalty=0.0)
    controls, noise = random_controls(game, STEPS, seed=10), draw_noise(game, STEPS, 20, seed=11)
    expected = simulate(game, controls, STEPS).payoffs
    shaken = simulate(game, controls, STEPS, Noise(inventory=noise.inventory)).payoffs
    np.testing.assert_allclose(shaken, np.broadcast_to(expected, (20, 5)), rtol=1e-12)
    both = simulate(game, controls, STEPS, noise).payoffs
    assert np.ptp(both[:, 2:], axis=0).min() > 0.1, "the flows are random"
    np.testing.assert_allclose(both.mean(axis=0), expected, rtol=1e-11)
    wealth = simulate(game, controls, STEPS, cubature(game, STEPS)).wealth
    np.testing.assert_allclose(wealth.mean(axis=0), expected, rtol=1e-10)

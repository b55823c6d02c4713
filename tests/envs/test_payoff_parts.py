"""Payoffs in parts: they add up to the payoff, and each is what its closed form says."""

import numpy as np
import pytest

from makertaker.envs import Controls, draw_noise, load_scenario, payoff_parts, simulate

STEPS = 6


def random_controls(game, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.5, 2, (4, STEPS, game.traders)) * -np.sign(game.start[: game.traders])
    return Controls(rate, *rng.normal(1, 0.3, (2, 4, STEPS, game.makers)))


@pytest.mark.parametrize("name", ["acas", "execution-2", "maker-taker-3x3", "approximation", "execution-signal"])
def test_parts_add_up_to_the_payoff(name):
    game = load_scenario(name)
    played = simulate(game, random_controls(game), STEPS, draw_noise(game, STEPS, 4, seed=0))
    parts = payoff_parts(game, played)
    assert played.payoffs.shape == (4, len(game.agents))
    np.testing.assert_allclose(parts.total, played.payoffs, rtol=1e-12, atol=1e-12)
    zero = {part for part, each in parts._asdict().items() if not each.any()}
    assert zero == ({"spread"} if name.startswith("execution") else {"permanent_impact"})


def test_parts_of_constant_controls_in_closed_form():
    """One buyer of five shares at rate 3 for T = 1, beta = .5, phi = .1, A = .5; asks at 1 and 1.5, bids at 2, of which
    the best quote's shares are 1, e^-1/2 (asks) and 1, 1 (bids); flows of 1."""
    game = load_scenario("acas")
    ones = np.ones((STEPS, 1))
    played = simulate(game, Controls(3 * ones, ones * [1, 1.5], ones * [2, 2]), STEPS)
    found = payoff_parts(game, played)
    share = np.exp(-np.array([-0.5, 0.5]))  # Lambda(own less the others' least), Lambda = e^-x
    spread = np.array([1, 1.5]) * 4 * share + 2
    end = np.array([-2, 1 - 4 * share[0] + 1, -4 * share[1] + 1])
    start = np.array([-5, 1, 0])
    squares = (start**2 + start * end + end**2) / 3
    np.testing.assert_allclose(found.spread, [-3, *spread], rtol=1e-12)
    np.testing.assert_allclose(found.temporary_impact, [-4.5, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(found.running_penalty, -0.1 * squares, rtol=1e-12)
    np.testing.assert_allclose(found.terminal_penalty, -np.array([0.5, 0.2, 0.2]) * end**2, rtol=1e-12)

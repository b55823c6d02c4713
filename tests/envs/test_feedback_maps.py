"""The feedback maps of Theorem 3.9, against best responses that are played in turn until nobody moves."""

import numpy as np
import pytest
from scipy.optimize import brentq

from support.derivatives import difference
from support.market_parts import BETA, each_competition, each_impact, moved

# --- the market, written down again ----------------------------------------------------------------------------------


def in_turn(best, start):
    """Each agent in turn answers the others, until nobody moves."""
    profile = np.array(start, dtype=float)
    for _ in range(3000):
        before = profile.copy()
        for i in range(len(profile)):
            profile[i] = best(i, profile)
        if np.abs(profile - before).max() < 4e-15 * (1 + np.abs(profile).max()):
            return profile
    raise AssertionError("best responses did not settle")


def root(function, low, high):
    """Zero of a rising function, or the end it points to."""
    if function(low) >= 0:
        return low
    if function(high) <= 0:
        return high
    return brentq(function, low, high, xtol=1e-15, rtol=1e-15)


def brute_quotes(share, adjoint, limit):
    """The Hamiltonian ``(delta - y) share`` of each maker rises while ``delta - y + share / share' < 0``."""

    def best(i, quotes):
        def condition(own):
            filled = share(i, moved(quotes, i, own + 1e-30j))
            return own - adjoint[i] + filled.real / (filled.imag / 1e-30)

        return root(condition, np.clip(adjoint[i], -limit, limit), limit)  # below its value it would not sell

    return in_turn(best, np.clip(adjoint + 1, -limit, limit))


def brute_rates(cost, marginal, low, high):
    def best(i, rate):
        return root(lambda own: cost(i, moved(rate, i, own + 1e-30j)).imag / 1e-30 - marginal[i], low[i], high[i])

    return in_turn(best, np.zeros(len(marginal)))


# --- feedback maps ---------------------------------------------------------------------------------------------------


@each_competition
@pytest.mark.parametrize("limit", [50.0, 1.3])  # 1.3: many quotes are truncated
def test_psi_is_where_best_responses_settle(competition, share, limit):
    adjoints = np.random.default_rng(3).normal(0, 1.2, (6, 3))
    quotes = competition.optimal_quotes(adjoints, limit)
    assert limit > 2 or (np.abs(quotes) == limit).any()
    for found, adjoint in zip(quotes, adjoints, strict=True):
        np.testing.assert_allclose(found, brute_quotes(share, adjoint, limit), rtol=0, atol=1e-12)
        jacobian = difference(lambda at: competition.optimal_quotes(at, limit), adjoint)
        np.testing.assert_allclose(competition.optimal_jacobian(found, limit), jacobian, atol=1e-7)
    others = np.roll(quotes, 1, axis=0)
    answers = competition.own_quote(adjoints, others, limit)
    np.testing.assert_allclose(competition.own_quote(adjoints, quotes, limit), quotes, atol=1e-12)
    for answer, adjoint, at in zip(answers, adjoints, others, strict=True):
        for i in range(3):  # the Hamiltonian on a grid has its peak there
            grid = np.linspace(-limit, limit, 4001)
            earned = [((own - adjoint[i]) * share(i, moved(at, i, own))).real for own in (*grid, answer[i])]
            assert earned[-1] >= max(earned) - 1e-12


@each_impact
@pytest.mark.parametrize("most", [100.0, 2.0])
def test_phi_is_where_best_responses_settle(impact, cost, most):
    low, high = np.array([0.1, -most, 0.1]), np.array([most, -0.1, most])  # two buyers and a seller
    marginals = np.random.default_rng(4).normal([3, -3, 3], 4.0, (8, 3))
    rates = impact.optimal_rates(np.broadcast_to(BETA, (8, 3)), marginals, low, high)
    for found, marginal in zip(rates, marginals, strict=True):
        np.testing.assert_allclose(found, brute_rates(cost, marginal, low, high), rtol=0, atol=1e-12)
        free = 1.0 * ((found > low) & (found < high))
        jacobian = difference(lambda at: impact.optimal_rates(BETA, at, low, high), marginal)
        np.testing.assert_allclose(impact.optimal_jacobian(BETA, found, free), jacobian, atol=1e-7)


@each_competition
def test_psi_is_lipschitz_with_one_over_the_gap(competition, share):
    """The gap of (38) is at least 1 in each of these classes, so psi never stretches the largest difference."""
    rng = np.random.default_rng(5)
    first, second = rng.normal(0, 3, (2, 200, 3))
    second = first + (second - first) * 10 ** rng.uniform(-4, 0, (200, 1))
    moves = competition.optimal_quotes(first, 50.0) - competition.optimal_quotes(second, 50.0)
    assert (np.abs(moves).max(axis=1) <= np.abs(first - second).max(axis=1) + 1e-12).all()

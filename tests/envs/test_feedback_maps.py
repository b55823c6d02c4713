"""The feedback maps of Theorem 3.9, against best responses that are played in turn until nobody moves."""

import numpy as np
import pytest
from scipy.optimize import brentq

from makertaker.envs import SoftmaxShare
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


@pytest.mark.parametrize("unit", [1.0, 3e-9, 7e8])
@pytest.mark.parametrize("apart", [0.1, 1.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("makers", [2, 3, 8])
def test_softmax_quotes_answer_each_other_however_far_apart_values_are(makers, apart, unit):
    """Everyone's quote is its own best answer to the others', which Wright's function gives; at any distance in
    margins, in any unit of prices, truncated or not."""
    rng = np.random.default_rng(makers)
    for offsets in (None, rng.normal(0, 3, makers)):
        competition = SoftmaxShare(1 / unit, offsets)
        adjoints = rng.normal(0, apart * unit, (300, makers))
        for limit in (1e12 * unit, 50 * unit, 1.5 * unit):
            quotes = competition.optimal_quotes(adjoints, limit)
            rounding = 1e-14 * (np.abs(adjoints).max() + unit)
            answers = competition.own_quote(adjoints, quotes, limit)
            np.testing.assert_allclose(answers, quotes, rtol=1e-13, atol=rounding)
            assert np.abs(quotes).max() <= limit


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9])
def test_an_own_softmax_quote_meets_its_first_order_condition(unit):
    """(43): the gain per share is the markup ``1 / (rate (1 - share))``, found by bracketing."""
    competition, rng = SoftmaxShare(1 / unit, (0.5, 0.0, -1.0)), np.random.default_rng(1)
    adjoints, others = rng.normal(0, 5 * unit, (2, 40, 3))
    found = competition.own_quote(adjoints, others, 1e9 * unit)
    for i in range(3):
        for y, rivals, answer in zip(adjoints[:, i], others, found[:, i], strict=True):

            def condition(own, i=i, y=y, rivals=rivals):
                scores = np.array([0.5, 0.0, -1.0]) - moved(rivals, i, own * unit).real / unit
                weights = np.exp(scores - np.delete(scores, i).max())
                return own - y / unit - 1 - weights[i] / np.delete(weights, i).sum()

            assert answer / unit == pytest.approx(brentq(condition, y / unit, y / unit + 100, xtol=1e-14), abs=1e-10)


def test_what_is_no_number_has_no_quote():
    adjoints = np.array([[1.0, np.nan], [0.0, 1.0], [np.inf, 0.0]])
    quotes = SoftmaxShare(1.0).optimal_quotes(adjoints, 50.0)
    assert np.isnan(quotes).all(axis=1).tolist() == [True, False, True]

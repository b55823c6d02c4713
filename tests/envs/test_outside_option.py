"""Optimal quotes under softmax shares with an outside option, against their first-order conditions and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import lambertw

from makertaker.envs import MakerTakerGame, RandomMarkets, SoftmaxShare, Uniform, load_scenario, read_scenario
from makertaker.envs.aggregative import optimal_quotes
from makertaker.envs.scenarios.writer import game_values
from support.derivatives import difference
from support.drawing import drawn

DRAWN = drawn(40)


def shares(rate, offsets, outside, quotes):
    """Softmax with one more term below, written down again."""
    terms = np.exp(offsets - rate * quotes)
    return terms / (terms.sum(axis=-1, keepdims=True) + np.exp(outside))


@DRAWN
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e3]), st.booleans())
def test_quotes_meet_the_first_order_conditions(seed, unit, truncated):
    """``delta = y + 1 / (s (1 - z))``, truncated: where the root is a bound, profit still rises, or falls, there."""
    rng = np.random.default_rng(seed)
    makers = int(rng.integers(1, 6))
    rate, offsets = rng.uniform(0.3, 3) / unit, rng.normal(0, 1, makers)
    outside, limit = float(rng.normal(0, 4)), (2.0 if truncated else 50.0) * unit
    value = rng.normal(0, rng.choice([0.5, 5.0]), (7, makers)) * unit
    quotes = optimal_quotes(rate, offsets, value, limit, outside)
    share = shares(rate, offsets, outside, quotes)
    wanted = value + 1 / (rate * (1 - share))
    np.testing.assert_allclose(quotes, np.clip(wanted, -limit, limit), rtol=1e-11, atol=1e-11 * unit)
    assert (share.sum(axis=-1) < 1).all()


@pytest.mark.parametrize("apart", [0.0, 3.0, 60.0])
@pytest.mark.parametrize("limit", [np.inf, 4.0])
def test_far_below_everything_there_is_none(apart, limit):
    """Its weight is below the rounding of the makers' sum."""
    value = np.array([[apart, 0.0, -0.5], [0.1, 0.2, -apart]])
    offsets = np.array([0.3, 0.0, -0.1])
    without = optimal_quotes(1.5, offsets, value, limit)
    for outside in (-200.0, -1e4, -1e300):
        found = optimal_quotes(1.5, offsets, value, limit, outside)
        np.testing.assert_allclose(found, without, rtol=1e-14, atol=1e-14)


def test_a_monopolist_against_lambert():
    """``s (delta - y) - 1 = W(exp(o - o_0 - s y - 1))``."""
    value = np.linspace(-3, 3, 7)[:, None]
    competition = SoftmaxShare(0.7, (0.4,), -1.0)
    expected = value + (1 + lambertw(np.exp(0.4 + 1.0 - 0.7 * value - 1)).real) / 0.7
    np.testing.assert_allclose(competition.optimal_quotes(value, np.inf), expected, rtol=1e-13)
    np.testing.assert_allclose(competition.own_quote(value, value, np.inf), expected, rtol=1e-13)


@pytest.mark.parametrize("outside", [800.0, 40.0])
def test_where_the_outside_option_takes_everything_a_margin_is_left(outside):
    """``z = 0`` to rounding: markups of ``1 / s``."""
    value = np.array([[0.3, -2.0]])
    found = SoftmaxShare(2.0, outside=outside).optimal_quotes(value, np.inf)
    np.testing.assert_allclose(found, value + 0.5, rtol=1e-14)


@pytest.mark.parametrize("makers", [1, 2, 4])
def test_the_derivative_of_optimal_quotes(makers):
    competition = SoftmaxShare(0.8, tuple(np.linspace(-0.5, 0.5, makers)), 0.3)
    value = np.random.default_rng(makers).normal(0, 1, makers)
    quotes = competition.optimal_quotes(value, np.inf)
    expected = difference(lambda at: competition.optimal_quotes(at, np.inf), value)
    np.testing.assert_allclose(competition.optimal_jacobian(quotes, np.inf), expected, atol=1e-8)


def test_standings_count_from_anywhere():
    """Only differences of offsets and the outside option matter, for quotes and for a game's margin."""
    value = np.random.default_rng(0).normal(0, 1, (5, 3))
    offsets = np.array([0.2, 0.0, -0.4])
    first, second = (SoftmaxShare(1.3, tuple(offsets + up), -0.5 + up) for up in (0.0, 7.0))
    quotes = (each.optimal_quotes(value, np.inf) for each in (first, second))
    np.testing.assert_allclose(*quotes, rtol=1e-13)
    assert first.margin(3) == pytest.approx(second.margin(3), rel=1e-13)
    alike = SoftmaxShare(1.3, outside=-0.5)
    assert alike.margin(2) == pytest.approx(alike.optimal_quotes(np.zeros(2), np.inf)[0], rel=1e-14)
    assert SoftmaxShare(1.3, outside=-1e3).margin(2) == pytest.approx(SoftmaxShare(1.3).margin(2), rel=1e-14)


def test_a_batch_of_parameters():
    """Rates, offsets and outside options along a batch axis, as many games that are solved together have them."""
    rng = np.random.default_rng(3)
    rate, offsets = rng.uniform(0.5, 2, (4, 1, 1)), rng.normal(0, 1, (4, 1, 3))
    outside, value = rng.normal(0, 2, (4, 1, 1)), rng.normal(0, 2, (2, 4, 5, 3))
    together = optimal_quotes(rate, offsets, value, np.inf, outside)
    for i in range(4):
        alone = optimal_quotes(float(rate[i, 0, 0]), offsets[i, 0], value[:, i], np.inf, float(outside[i, 0, 0]))
        np.testing.assert_allclose(together[:, i], alone, rtol=1e-13)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0", True])
def test_what_is_no_outside_option(value):
    with pytest.raises(ValueError, match=r"competition\.outside: expected a (finite )?number, got"):
        SoftmaxShare(outside=value)


def test_a_file_a_mapping_and_a_draw_know_it():
    game = read_scenario("acas", ["competition={kind='softmax', rate=1.5, outside=-1}"]).game
    assert game.competition == SoftmaxShare(1.5, outside=-1.0)
    assert load_scenario(game_values(game)) == game
    drawn_games = RandomMarkets(game, {"competition.outside": Uniform(-3.0, 0.0)}).games(5, seed=1)
    assert len({each.competition.outside for each in drawn_games}) == 5
    without = MakerTakerGame(competition=SoftmaxShare())
    with pytest.raises(ValueError, match=r"unknown parameter 'competition.outside' in random: expected some of"):
        RandomMarkets(without, {"competition.outside": Uniform(-3.0, 0.0)})

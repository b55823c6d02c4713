"""Shares of the flow and their derivatives, against the same functions for complex arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.envs import BestQuote, Exponential, MakerTakerGame, SoftmaxShare
from makertaker.envs.competition import best_of_others
from support.arrays import LIBRARIES, arrays
from support.derivatives import difference
from support.drawing import drawn
from support.market_parts import each_competition, gradient, moved, values

DRAWN = drawn(15)
SEEDS = st.integers(0, 10**6)


@each_competition
def test_shares_and_their_derivatives(competition, share):
    rng = np.random.default_rng(2)
    for quotes, own in rng.normal(0, 1.5, (5, 2, 3)):
        best, shares = competition.fill(quotes)
        assert best == quotes.min()
        np.testing.assert_allclose(shares, values(share, quotes.astype(complex)).real, rtol=1e-12)
        np.testing.assert_allclose(competition.share_jacobian(quotes), gradient(share, quotes), rtol=1e-11, atol=1e-13)
        alone = np.array([share(i, moved(quotes, i, own[i] + 1e-30j)) for i in range(3)])
        slope = alone.imag / 1e-30
        np.testing.assert_allclose(competition.own_share(own, quotes), alone.real, rtol=1e-12)
        np.testing.assert_allclose(competition.own_share_slope(own, quotes), slope, rtol=1e-11)
        np.testing.assert_allclose(competition.own_markup(own, quotes), -alone.real / slope, rtol=1e-11)
        markup = difference(lambda at: competition.own_markup(at, quotes), own)  # noqa: B023
        np.testing.assert_allclose(np.diag(competition.own_markup_slope(own, quotes)), markup, atol=1e-7)
        jacobian = difference(lambda at: competition.own_markup(at, at), quotes)
        np.testing.assert_allclose(competition.markup_jacobian(quotes), jacobian, atol=1e-7)
        np.testing.assert_array_equal(competition.best_jacobian(quotes), 1.0 * (quotes == quotes.min()))


@DRAWN
@given(SEEDS)
def test_softmax_shares_sum_to_one_and_the_gap_of_38_is_one(seed):
    rng = np.random.default_rng(seed)
    makers = int(rng.integers(2, 6))
    competition = SoftmaxShare(float(rng.uniform(0.3, 3)), tuple(rng.normal(0, 1, makers)))
    quotes = rng.normal(0, 2, makers)
    shares = competition.fill(quotes).share
    assert shares.sum() == pytest.approx(1, abs=1e-14)
    odds = shares[:, None] / shares * np.exp(competition.rate * (quotes[:, None] - quotes))  # of i against j
    np.testing.assert_allclose(np.log(odds), np.subtract.outer(competition.offsets, competition.offsets), atol=1e-12)
    jacobian = competition.markup_jacobian(quotes)
    own = np.diag(jacobian)
    gap = 1 - own - (np.abs(jacobian).sum(axis=1) - np.abs(own))
    np.testing.assert_allclose(gap, 1, atol=1e-14 * (1 + np.abs(own).max()))


@each_competition
def test_one_maker_has_nobody_to_compete_with(competition, share):
    if getattr(competition, "outside", None) is not None:
        assert MakerTakerGame(maker_inventory=(1.0,), competition=SoftmaxShare(outside=0.0)).makers == 1
        return
    with pytest.raises(ValueError, match=r"maker_inventory: .* at least 2 makers, got 1"):
        MakerTakerGame(maker_inventory=(1.0,), competition=competition)


@DRAWN
@given(SEEDS)
def test_an_outside_option_is_a_maker_whose_quote_stays(seed):
    """Shares and derivatives of the makers are those beside one more maker, who quotes 0 with ``o_0`` as its offset."""
    rng = np.random.default_rng(seed)
    makers = int(rng.integers(1, 5))
    rate, offsets, outside = float(rng.uniform(0.3, 3)), rng.normal(0, 1, makers), float(rng.normal(0, 3))
    with_outside = SoftmaxShare(rate, tuple(offsets), outside)
    with_maker = SoftmaxShare(rate, (*offsets, outside))
    quotes = rng.normal(0, 2, (4, makers))
    more = np.concatenate([quotes, np.zeros((4, 1))], axis=-1)
    share = with_outside.fill(quotes).share
    np.testing.assert_allclose(share, with_maker.fill(more).share[:, :-1], rtol=1e-13)
    assert (share.sum(axis=-1) < 1).all()
    for name in ("share_jacobian", "markup_jacobian"):
        found, expected = (getattr(each, name)(at) for each, at in ((with_outside, quotes), (with_maker, more)))
        np.testing.assert_allclose(found, expected[:, :-1, :-1], rtol=1e-11, atol=1e-13)
    own, answers = rng.normal(0, 2, (4, makers)), rng.normal(0, 2, (4, makers))
    same = np.concatenate([own, np.zeros((4, 1))], axis=-1)
    for name in ("own_share", "own_share_slope", "own_markup", "own_markup_slope"):
        expected = getattr(with_maker, name)(same, more)[:, :-1]
        np.testing.assert_allclose(getattr(with_outside, name)(own, quotes), expected, rtol=1e-11)
    best = with_outside.own_quote(answers, quotes, np.inf)
    np.testing.assert_allclose(best, answers + with_outside.own_markup(best, quotes), rtol=1e-11)


def test_makers_who_tie_but_for_rounding_count_as_tied():
    """Derivatives at a tie are one-sided with the first maker as the best, not with whoever is lower by a rounding."""
    quotes = np.array([[1.0, 1.0 - 1e-14, 2.0], [1.0, 1.0 + 1e-14, 2.0]])
    competition = BestQuote(Exponential(1.0))
    np.testing.assert_array_equal(competition.best_jacobian(quotes), [[1, 0, 0], [1, 0, 0]])
    first, second = competition.share_jacobian(quotes)
    np.testing.assert_allclose(first, second, atol=1e-12)
    np.testing.assert_allclose(first[0], [-1, 1, 0], atol=1e-12)  # the first maker's rival is the second
    np.testing.assert_allclose(first[2, [0, 2]], [np.exp(-1.0), -np.exp(-1.0)], atol=1e-12)


def test_the_gap_of_38_is_one() -> None:
    """``d(quote - markup) / d quote`` on the diagonal less the sum of the others, at drawn quotes, is exactly 1."""
    share = SoftmaxShare(1.7, (0.3, -0.2, 0.0))
    quotes = np.random.default_rng(0).normal(size=(100, 3))
    jacobian = share.markup_jacobian(quotes)
    own = np.einsum("...ii->...i", jacobian)
    gap = 1 - own - (np.abs(jacobian).sum(axis=-1) - np.abs(own))
    np.testing.assert_allclose(gap, 1.0, atol=1e-12)
    np.testing.assert_allclose(share.fill(quotes).share.sum(axis=-1), 1.0, atol=1e-15)


@pytest.mark.parametrize("library", LIBRARIES)
@drawn(30)
@given(makers=st.sampled_from([2, 3, 5]), data=st.data())
def test_best_of_others_is_the_minimum_over_the_others(library, makers, data):
    row = st.lists(st.integers(-2, 2).map(float), min_size=makers, max_size=makers)
    quotes = np.array(data.draw(st.lists(row, min_size=2, max_size=2)))
    expected = [[min(row[:i] + row[i + 1 :]) for i in range(makers)] for row in quotes.tolist()]
    np.testing.assert_array_equal(np.asarray(best_of_others(*arrays(library, quotes))), expected)

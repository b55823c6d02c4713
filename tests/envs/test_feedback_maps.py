"""The feedback maps of Theorem 3.9, against best responses that are played in turn until nobody moves."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from makertaker.envs import (
    BestQuote,
    Competition,
    CrowdedImpact,
    CustomImpact,
    Exponential,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
)
from makertaker.envs.competition import best_of_others
from support.derivatives import difference
from support.drawing import drawn
from support.market_parts import (
    BETA,
    Counted,
    Stairs,
    coshes,
    custom_exponential,
    custom_impact,
    custom_softplus,
    diagonal,
    each_competition,
    each_impact,
    moved,
    root_logistic,
)

SEEDS = st.integers(0, 10**6)

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

        # below its value it would not sell
        return root(condition, np.clip(adjoint[i], -limit, limit), min(limit, np.abs(adjoint).max() + 100))

    return in_turn(best, np.clip(adjoint + 1, -limit, limit))


def brute_rates(cost, marginal, low, high):
    def best(i, rate):
        ends = np.clip([low[i], high[i]], -1e3, 1e3)
        return root(lambda own: cost(i, moved(rate, i, own + 1e-30j)).imag / 1e-30 - marginal[i], *ends)

    return in_turn(best, np.zeros(len(marginal)))


# --- feedback maps ---------------------------------------------------------------------------------------------------


@each_competition
@pytest.mark.parametrize("limit", [np.inf, 50.0, 1.3])  # 1.3: many quotes are truncated
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
            grid = np.linspace(-min(limit, 50.0), min(limit, 50.0), 4001)
            earned = [((own - adjoint[i]) * share(i, moved(at, i, own))).real for own in (*grid, answer[i])]
            assert earned[-1] >= max(earned) - 1e-12


@each_impact
@pytest.mark.parametrize("most", [np.inf, 100.0, 2.0])
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
        for limit in (np.inf, 1e12 * unit, 50 * unit, 1.5 * unit):
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


# --- quotes against the best of the others, however far apart values are ----------------------------------------------


def stairs(rng, unit):
    """Up to four steps, up to a thousand margins high and down to 1e-6 margins wide."""
    count = rng.integers(1, 5)
    heights, widths = unit * 10 ** rng.uniform(-2, 3, count), unit * 10 ** rng.uniform(-6, 1, count)
    places = unit * rng.normal(0, 1, count) * 10 ** rng.uniform(-1, 3, count)
    return Stairs(heights, places, widths, unit * 10 ** rng.uniform(-3, 0))


INTENSITIES = {
    "softplus": lambda rng, unit: Softplus(1 / unit),
    "custom softplus": lambda rng, unit: custom_softplus(1 / unit),
    "custom exponential": lambda rng, unit: custom_exponential(1 / unit),
    "root of the logistic": lambda rng, unit: root_logistic(unit),
    "stairs": stairs,
}
each_intensity = pytest.mark.parametrize("intensity", INTENSITIES.values(), ids=INTENSITIES)


def assert_meets_43(found, adjoint, intensity, rival, limit, unit):
    """The first-order condition changes its sign within 1e-12 margins, and the digits of the largest number in it,
    around every quote; at the truncation it points beyond."""
    size = np.max([np.abs(found), np.abs(adjoint), np.abs(rival)], axis=0)
    reach = 1e-12 * unit + 1e-14 * size
    below, above = (at - adjoint - intensity.markup(at - rival) for at in (found - reach, found + reach))
    assert ((below <= 0) | (found == -limit)).all()
    assert ((above >= 0) | (found == limit)).all()
    assert (np.abs(found) <= limit).all()


@each_intensity
@drawn(60)
@given(SEEDS)
def test_quotes_meet_43_however_far_apart_values_are(intensity, seed):
    """One maker's condition rises, so a change of sign is its root; and together the roots are unique (Theorem 2.9)."""
    rng = np.random.default_rng(seed)
    unit, apart = 10 ** rng.uniform(-9, 9), 10 ** rng.uniform(-3, 6)
    drawn_intensity = intensity(rng, unit)
    if not isinstance(drawn_intensity, Stairs | Softplus):
        apart = min(apart, 300.0)  # further out the functions of the user under- and overflow
    adjoint, others = rng.normal(0, apart * unit, (2, 4, 5, rng.integers(2, 7)))
    adjoint[0, :, 0] = adjoint[0, :, 1]  # ties
    limit = unit * rng.choice([np.inf, 10 ** rng.uniform(-1, 6)])
    competition, product = BestQuote(drawn_intensity), ProductShare(drawn_intensity)
    quotes = competition.optimal_quotes(adjoint, limit)
    assert_meets_43(quotes, adjoint, drawn_intensity, best_of_others(quotes), limit, unit)
    own = competition.own_quote(adjoint, others, limit)
    assert_meets_43(own, adjoint, drawn_intensity, best_of_others(others), limit, unit)
    alone = product.optimal_quotes(adjoint, limit)
    assert_meets_43(alone, adjoint, drawn_intensity, 0.0 * adjoint, limit, unit)
    np.testing.assert_array_equal(product.own_quote(adjoint, others, limit), alone)


@pytest.mark.parametrize("apart", [0.1, 60.0, 1e3, 1e6])
def test_softplus_quotes_agree_with_fifty_digits(apart):
    """``-Lambda / Lambda'`` in mpmath. The residual of (44) bounds the error: the gap of (38) is 1."""
    gamma = mpmath.mpf("0.8")
    adjoints = np.random.default_rng(7).normal(0, apart, (5, 3))
    quotes = BestQuote(Softplus(0.8)).optimal_quotes(adjoints, np.inf)
    with mpmath.workdps(50):
        for adjoint, found in zip(adjoints, quotes, strict=True):
            for i in range(3):
                rival = min(mpmath.mpf(each) for each in np.delete(found, i))
                falls = mpmath.exp(-gamma * (found[i] - rival))
                markup = mpmath.log1p(falls) * (1 + falls) / falls / gamma
                assert abs(found[i] - adjoint[i] - markup) <= 1e-12 + 1e-15 * abs(adjoint).max()


@pytest.mark.parametrize("makers", [2, 3, 5])
def test_a_custom_intensity_has_quotes_where_floating_point_does_not_hold_it(makers):
    """From 1e3 margins on the functions are 0, or infinite; the markup is that of the last distance, which is the
    built-in one's."""
    adjoints = np.random.default_rng(makers).normal(0, 1e5, (50, makers))
    for custom, built_in in ((custom_softplus(), Softplus()), (custom_exponential(), Exponential())):
        for kind in (BestQuote, ProductShare):
            found, expected = (kind(each).optimal_quotes(adjoints, np.inf) for each in (custom, built_in))
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-9)


@each_intensity
def test_far_apart_values_take_little_more_work_than_near_ones(intensity):
    """Counted in evaluations of the markup."""
    rng, counts = np.random.default_rng(0), []
    for apart in (0.1, 60.0, 1e3, 1e6):
        counted = Counted(intensity(np.random.default_rng(1), 1.0))
        competition = BestQuote(counted)
        for limit in (np.inf, 10.0):
            competition.own_quote(*rng.normal(0, apart, (2, 20, 3)), limit)
            competition.optimal_quotes(rng.normal(0, apart, (20, 3)), limit)
        counts.append(counted.count)
    assert max(counts) <= 10 * counts[0]
    assert counts[0] <= 80


def difference_of_fourth_order(function, point, step):
    """As ``difference``; the error is that of the fourth power of the step."""
    return (4 * difference(function, point, step) - difference(function, point, 2 * step)) / 3


@pytest.mark.parametrize("limit", [np.inf, 30.0])
@pytest.mark.parametrize("apart", [1.0, 60.0, 1e3])
@pytest.mark.parametrize(
    "competition",
    [BestQuote(Softplus()), BestQuote(root_logistic()), ProductShare(Softplus()), SoftmaxShare(1.0)],
    ids=["softplus", "root of the logistic", "product", "softmax"],
)
def test_the_jacobian_of_psi_far_apart_and_without_truncation(competition, apart, limit):
    adjoints = np.random.default_rng(11).normal(0, apart, (12, 3))
    no_ties = np.diff(np.sort(adjoints)).min(axis=1) > 0.1  # of steps of 0.02
    for adjoint in adjoints[no_ties]:
        found = competition.optimal_quotes(adjoint, limit)
        expected = difference_of_fourth_order(lambda at: competition.optimal_quotes(at, limit), adjoint, 1e-2)
        np.testing.assert_allclose(competition.optimal_jacobian(found, limit), expected, atol=3e-8)


@pytest.mark.parametrize("steep", [1.0, 1e6, 1e12])
def test_the_jacobian_of_two_makers_at_a_steep_step(steep):
    """Both have the slope ``-a`` of the markup at a tie: their quotes move by ``(1 + a, a) / (1 + 2 a)``."""
    stair = Stairs(np.array([1.0]), np.array([0.0]), np.array([1 / (4 * steep)]), 1.0)
    found = BestQuote(stair).optimal_jacobian(np.array([2.0, 2.0]), np.inf)
    whole = 1 + 2 * steep
    expected = [[(1 + steep) / whole, steep / whole], [steep / whole, (1 + steep) / whole]]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_quotes_far_from_the_reference_price_are_no_ties():
    """1e-4 margins apart at 1e6 margins: the second maker is the best one, and the third answers it."""
    competition = BestQuote(Softplus())
    quotes = np.array([1e6 + 1e-4, 1e6, 1e6 + 2.0])
    third = competition.optimal_jacobian(quotes, np.inf)[2]
    slope = competition.own_markup_slope(quotes, quotes)[2]
    best = np.linalg.inv(np.eye(2) - competition.markup_jacobian(quotes[:2]))[1]
    np.testing.assert_allclose(third[:2], -slope / (1 - slope) * best, rtol=1e-12)


def test_markets_of_one_batch_have_each_its_own_numbers():
    """Parameters (B, 1, 1) and limits (B, 1, 1), as games that are solved together have them."""
    rng = np.random.default_rng(2)
    gammas, limits = rng.uniform(0.3, 3, 5), np.array([0.5, 1.0, 3.0, 50.0, np.inf])
    adjoints, others = rng.normal(0, 4, (2, 2, 5, 7, 3))
    for kind in (BestQuote, ProductShare):
        together = Softplus()
        object.__setattr__(together, "gamma", gammas[:, None, None])
        found = kind(together).optimal_quotes(adjoints, limits[:, None, None])
        own = kind(together).own_quote(adjoints, others, limits[:, None, None])
        for i in range(5):
            alone = kind(Softplus(gammas[i]))
            np.testing.assert_allclose(found[:, i], alone.optimal_quotes(adjoints[:, i], limits[i]), atol=1e-13)
            np.testing.assert_allclose(own[:, i], alone.own_quote(adjoints[:, i], others[:, i], limits[i]), atol=1e-13)


@pytest.mark.parametrize("competition", [BestQuote(Softplus()), ProductShare(Softplus())], ids=["best", "product"])
def test_values_that_are_no_numbers_have_no_quotes(competition):
    adjoints = np.array([[1.0, np.nan], [0.0, 1.0], [np.inf, 0.0]])
    for quotes in (competition.optimal_quotes(adjoints, np.inf), competition.own_quote(adjoints, adjoints, 50.0)):
        assert np.isfinite(quotes).all(axis=1).tolist() == [False, True, False]


# --- competitions of a user's own ------------------------------------------------------------------------------------


class Other(SoftmaxShare):
    """Softmax shares that leave the feedback maps to what any competition has."""

    own_quote = Competition.own_quote
    optimal_quotes = Competition.optimal_quotes


@pytest.mark.parametrize("limit", [np.inf, 50.0, 3.0])
@pytest.mark.parametrize("apart", [0.1, 1.0, 10.0, 60.0, 1e3, 1e6])
def test_quotes_of_any_competition_however_far_apart_values_are(apart, limit):
    """Against the aggregative form, and Wright's function."""
    offsets = (0.3, -0.2, 0.0)
    other, softmax = Other(0.8, offsets), SoftmaxShare(0.8, offsets)
    adjoints = np.random.default_rng(1).normal(0, apart, (20, 3))
    quotes = softmax.optimal_quotes(adjoints, limit)
    close = {"rtol": 1e-14, "atol": 1e-12 + 1e-14 * apart}
    np.testing.assert_allclose(other.optimal_quotes(adjoints, limit), quotes, **close)
    answers = softmax.own_quote(adjoints, quotes[::-1], limit)
    np.testing.assert_allclose(other.own_quote(adjoints, quotes[::-1], limit), answers, **close)


class Jumps(Stairs):
    """A markup of 1 before 0.3, of another number behind it: no intensity of Definition 3.4."""

    def __init__(self, behind):
        self.behind = behind

    def markup(self, x):
        return np.where(x < 0.3, 1.0, self.behind)

    def markup_slope(self, x):
        return 0.0 * x


class JumpingShare(Other):
    def own_markup(self, own, quotes):
        return np.where(own < 0.3, 1.0, 0.1)

    def own_markup_slope(self, own, quotes):
        return 0.0 * own


NO_PARTS = {  # at value -0.5 a markup of 1 leads beyond 0.3, and one of 0.1 before it; at 0 a markup of 3 leads too far
    "a markup that jumps up": (BestQuote(Jumps(3.0)), 0.0, "intensity: expected a markup"),
    "a markup that jumps down": (BestQuote(Jumps(0.1)), -0.5, "intensity: expected a markup"),
    "a product's": (ProductShare(Jumps(0.1)), -0.5, "intensity: expected a markup"),
    "a competition's": (JumpingShare(1.0), -0.5, "competition: expected shares"),
}


@pytest.mark.parametrize(("competition", "value", "message"), NO_PARTS.values(), ids=NO_PARTS)
def test_parts_out_of_their_class_are_named_with_the_place_and_what_is_left(competition, value, message):
    with pytest.raises(ValueError, match=message + r".*; at .* it leaves .* of its terms"):
        competition.own_quote(np.array([value, value]), np.zeros(2), 50.0)


# --- rates -----------------------------------------------------------------------------------------------------------


@drawn(100)
@given(SEEDS)
def test_crowded_rates_are_truncated_where_marginal_costs_point_beyond(seed):
    """Marginal costs at the rates, in units of ``2 beta``, for crowdings up to the bound, any number of traders."""
    rng = np.random.default_rng(seed)
    traders, unit = int(rng.integers(1, 9)), 10 ** rng.uniform(-9, 9)
    edge = 2 - 10 ** rng.uniform(-6, -1)
    crowding = rng.choice([0.0, rng.uniform(-2, 2), edge, -edge])
    impact, beta = CrowdedImpact(1.0, crowding), 10 ** rng.uniform(-3, 3, traders)
    alone = rng.normal(0, 10 ** rng.uniform(-3, 6), (3, 4, traders)) * unit
    low, high = -unit * 10 ** rng.uniform(-2, 6, traders), unit * 10 ** rng.uniform(-2, 6, traders)
    side = rng.integers(0, 4, traders)
    low, high = np.where(side == 0, -np.inf, low), np.where(side == 1, np.inf, high)
    low, high = np.where(side == 2, 0.0, low), np.where(side == 2, np.inf, high)
    rate = impact.optimal_rates(beta, 2 * beta * alone, low, high)
    left = impact.marginal_cost(beta, rate, rate) / (2 * beta) - alone
    rounding = 1e-14 * (np.abs(alone).max(axis=-1) + np.abs(rate).max(axis=-1))[..., None]
    assert ((left <= rounding) | (rate == low)).all()
    assert ((left >= -rounding) | (rate == high)).all()
    assert ((rate >= low) & (rate <= high)).all()


CUSTOM_IMPACTS = {
    "quartic": custom_impact(off=0.45, quartic=0.02),
    "cosh": coshes(0.9),
    "alone": custom_impact(quartic=3.0),
}


@pytest.mark.parametrize("most", [np.inf, 8.0])
@pytest.mark.parametrize("apart", [0.1, 1.0, 60.0, 1e3, 1e6])
@pytest.mark.parametrize("impact", CUSTOM_IMPACTS.values(), ids=CUSTOM_IMPACTS)
def test_custom_rates_however_far_marginal_costs_are(impact, apart, most):
    rng = np.random.default_rng(5)
    marginal, others = rng.normal(0, apart, (20, 3)), rng.normal(0, 3, (20, 3))
    rate = impact.optimal_rates(1.0, marginal, -most, most)
    left, rounding = impact.gradient(rate) - marginal, 1e-13 * (1 + np.abs(marginal).max(axis=-1))[:, None]
    assert ((left <= rounding) | (rate == -most)).all()
    assert ((left >= -rounding) | (rate == most)).all()
    own = impact.own_rate(1.0, marginal, others)
    np.testing.assert_allclose(impact.marginal_cost(1.0, own, others), marginal, rtol=1e-13, atol=1e-13)


def test_rates_of_a_quartic_cost_that_hardly_counts():
    """A quartic coefficient of 1e-250 changes nothing, one of 1e9 everything: ``4 quartic v^3 + 2 beta v = y``."""
    marginal = np.array([-3.0, 1e-5, 2.0])
    np.testing.assert_allclose(QuarticImpact(0.5, 1e-250).own_rate(0.5, marginal, marginal), marginal, rtol=1e-15)
    large = QuarticImpact(0.5, 1e9).own_rate(0.5, marginal, marginal)
    np.testing.assert_allclose(large + 4e9 * large**3, marginal, rtol=1e-13)


def test_marginal_costs_that_do_not_rise_are_refused():
    falls = CustomImpact(lambda v: -(v**2), lambda v: -2 * v, lambda v: diagonal(-2 + 0 * v))
    with pytest.raises(ValueError, match=r"impact: expected marginal costs of Definition 3\.2.*; at .* leaves .*"):
        falls.own_rate(1.0, np.array([1.0, 2.0]), np.zeros(2))

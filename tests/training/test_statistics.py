"""Statistics of many runs, beside their definitions and an independent bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

pytest.importorskip("pandas")

from makertaker.training.benchmark import statistics

numbers = st.lists(st.floats(1e-6, 10), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=4))
def test_intervals_hold_their_number_s_neighbourhood(samples):
    """Of the mean of the middle half; draws stay between the least and the greatest run."""
    together = np.concatenate(samples)
    found = statistics.interval(samples)
    assert found.value == pytest.approx(trim_mean(together, 0.25))
    if max(map(len, samples)) > 1:
        assert together.min() - 1e-12 <= found.low <= found.high <= together.max() + 1e-12
    shares = statistics.profile(samples, np.array([0.0, together.max()]))
    np.testing.assert_allclose(shares.value, [0, 1])
    assert statistics.improvement(samples, samples).value == pytest.approx(0.5)


def test_a_market_with_one_run_has_it_in_every_draw():
    found = statistics.interval([np.array([1.0, 1.0, 1.0]), np.array([10.0])])
    assert found == (1.0, 1.0, 1.0)
    spread = statistics.interval([np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5])], statistics.median)
    assert spread.low <= spread.value == 2.5 <= spread.high


def test_the_bootstrap_draws_within_markets():
    """Two markets that do not overlap; beside an independent loop, and draws from both together."""
    rng = np.random.default_rng(7)
    samples = [rng.uniform(0, 1, 12), rng.uniform(100, 101, 20)]
    found = statistics.interval(samples)
    drawn = []
    for _ in range(4000):
        again = np.concatenate([rng.choice(each, len(each)) for each in samples])
        drawn.append(np.sort(again)[8:24].mean())
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), rtol=2e-3)
    pooled = [np.sort(rng.choice(np.concatenate(samples), 32))[8:24].mean() for _ in range(4000)]
    assert np.quantile(pooled, 0.975) - np.quantile(pooled, 0.025) > 5 * (found.high - found.low)

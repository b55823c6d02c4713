"""Medians over seeds with their intervals: against values that are known, and resampling written out."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("rich")

from makertaker.training.evaluation.spread import in_words, progress, spread


def test_one_value_has_no_interval():
    assert spread([0.25]) == (0.25, None, None, None)
    assert in_words(spread([0.25]), 1) == "25%"


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [0.5, 0.1, 0.9, 0.2], [1.0, 1.0, 1.0, 1.0]])
def test_an_interval_is_of_all_medians_of_resamples(values):
    """Every resample of so few values, in place of random ones."""
    medians = [np.median(each) for each in itertools.product(values, repeat=len(values))]
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    found = spread(values)
    assert (found.median, found.low, found.high) == pytest.approx((np.median(values), low, high))


def test_the_interquartile_mean_is_of_the_middle_half():
    assert spread([100.0, 3.0, 2.0, 1.0]).interquartile_mean == 2.5
    assert spread([100.0, 90.0, 4.0, 3.0, 2.0, 1.0, -8.0, -9.0]).interquartile_mean == 2.5
    assert spread([1.0, 2.0, 3.0]).interquartile_mean is None


def test_the_same_values_have_the_same_interval():
    values = np.random.default_rng(0).normal(size=20)
    assert spread(values) == spread(values)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([], ""),
        ([math.nan], ""),
        ([0.0005], "NashConv 0.05%"),
        ([0.0005, math.nan], "NashConv 0.05%"),
        ([0.0002, 0.0005, 0.001], "NashConv 0.05% (0.02% to 0.1%)"),
    ],
)
def test_progress_of_several_trainings(gains, expected):
    assert progress(gains) == expected

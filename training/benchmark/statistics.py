"""Statistics of many runs: interquartile means, stratified bootstrap intervals, probabilities, profiles.

As Agarwal et al. (NeurIPS 2021) propose: runs of all markets are put together, and the bootstrap draws seeds within
each market. Draws have a fixed seed, so that the same runs have the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap, mannwhitneyu, trim_mean

from ...envs.arrays import Array

_DRAWS = 2000
LEVEL = 0.95
"""of intervals"""


class Interval(NamedTuple):
    """A number with the ends of its bootstrap interval, by percentiles; NaN for ends where there is one run alone."""

    value: Any
    low: Any
    high: Any


def interquartile_mean(*samples: Array, axis: int = -1) -> Any:
    """Mean of the middle half of all runs. Lower is better, as with whatever is averaged.

    Args:
        samples: of each market, with runs along the axis.
        axis: of the runs.
    """
    return trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)


def median(*samples: Array, axis: int = -1) -> Any:
    """Median of all runs; see :func:`interquartile_mean`."""
    return np.median(np.concatenate(samples, axis=axis), axis=axis)


def interval(samples: Sequence[Array], statistic: Callable[..., Any] = interquartile_mean) -> Interval:
    """A statistic with its 95% interval.

    Args:
        samples: of each market one number a run, (runs,); the bootstrap draws runs within each.
        statistic: a function of samples, with runs along its argument ``axis``.

    Raises:
        ValueError: there is no market, or one without runs.
    """
    given = [np.asarray(each, dtype=float) for each in samples]
    if not given or not all(len(each) for each in given):
        raise ValueError(f"samples: expected runs in every market, got {[len(each) for each in given]}")
    value = statistic(*given)
    several = [i for i, each in enumerate(given) if len(each) > 1]
    if not several:
        unknown = np.full(np.shape(value), np.nan)[()]
        return Interval(value, unknown, unknown)

    def of_all(*drawn: Array, axis: int = -1) -> Any:
        """The statistic, where markets with one run have that one in every draw: SciPy draws from two and more."""
        found = dict(zip(several, drawn, strict=True))
        alone = (*drawn[0].shape[:-1], 1)
        each = (found[i] if i in found else np.broadcast_to(own, alone) for i, own in enumerate(given))
        return statistic(*each, axis=axis)

    drawn = bootstrap(
        [given[i] for i in several], of_all, n_resamples=_DRAWS, confidence_level=LEVEL, method="percentile",
        vectorized=True, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(value, drawn.low, drawn.high)


def improvement(better: Sequence[Array], worse: Sequence[Array]) -> Interval:
    """Probability that a run of one learner has less than a run of another in the same market, ties by half; its mean
    over markets.

    Args:
        better: of each market one number a run, (runs,).
        worse: the other's, of the same markets.

    Raises:
        ValueError: the markets are not as many, or one has no runs.
    """
    if len(better) != len(worse):
        raise ValueError(f"markets: expected {len(better)} of both learners, got {len(worse)}")
    count = len(better)

    def mean(*samples: Array, axis: int = -1) -> Any:
        pairs = zip(samples[:count], samples[count:], strict=True)
        return np.mean([_less(one, two) for one, two in pairs], axis=0)

    return interval([*better, *worse], mean)


def _less(one: Array, two: Array) -> Any:
    """Mann and Whitney's statistic over the number of pairs, (..., n) and (..., m) to (...)."""
    rank = mannwhitneyu(two, one, axis=-1, method="asymptotic").statistic
    return rank / (one.shape[-1] * two.shape[-1])


def profile(samples: Sequence[Array], levels: Array) -> Interval:
    """Share of runs whose number is at most a level, of all markets equally.

    Args:
        samples: see :func:`interval`.
        levels: (L,).

    Returns:
        shares and their pointwise intervals, (L,) each.
    """

    def share(*drawn: Array, axis: int = -1) -> Any:
        below = [np.mean(each <= np.expand_dims(levels, tuple(range(1, each.ndim + 1))), axis=-1) for each in drawn]
        return np.mean(below, axis=0)

    return interval(samples, share)


def band(curves: Array) -> Interval:
    """Interquartile mean of curves with its pointwise interval.

    Args:
        curves: (runs, L).

    Returns:
        (L,) each.
    """
    if len(curves) == 1:
        alone = np.full(curves.shape[1], np.nan)
        return Interval(curves[0], alone, alone)
    drawn = bootstrap(
        (curves,), interquartile_mean, n_resamples=_DRAWS, confidence_level=LEVEL, method="percentile", axis=0,
        vectorized=True, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(interquartile_mean(curves, axis=0), drawn.low, drawn.high)

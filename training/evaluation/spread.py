"""What seeds have in common, and how far they are apart: medians with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, trim_mean

from .tables import percent

ENOUGH = 4
"""values of which an interquartile mean is one: a quarter of them is cut off at each end"""


FEW = 6
"""values of which an interval of their median says more than the least and the greatest"""


class Spread(NamedTuple):
    """The middle of some values, and how well they tell it."""

    median: float
    low: float | None
    """lower end of the median's 95% bootstrap interval, by percentiles; None for one value"""
    high: float | None
    """upper end"""
    interquartile_mean: float | None
    """mean of the middle half; None for fewer than :data:`ENOUGH` values"""

    def document(self) -> dict[str, float | None]:
        """As JSON has it."""
        return self._asdict()


def spread(values: Iterable[float]) -> Spread:
    """The middle of some values, at least one. The same values have the same interval: its draws have a fixed seed."""
    found = np.array(list(values), dtype=float)
    low = high = middle = None
    if len(found) > 1:
        drawn = bootstrap((found,), np.median, method="percentile", rng=np.random.default_rng(0))
        low, high = map(float, drawn.confidence_interval)
    if len(found) >= ENOUGH:
        middle = float(trim_mean(found, 0.25))
    return Spread(float(np.median(found)), low, high, middle)


def between(low: float | None, high: float | None) -> str:
    """An interval in percent; nothing where there is none."""
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def in_words(middle: Spread, count: int) -> str:
    """The median of a number in percent, with its interval where there is one.

    Args:
        middle: of the values.
        count: number of them; an interval of few is that of the least and the greatest, whatever it is called.
    """
    interval = between(middle.low, middle.high)
    said = "median; 95% interval" if count >= FEW else f"median of {count},"
    return percent(middle.median) + (f" ({said} {interval})" if interval else "")


def progress(gains: Iterable[float]) -> str:
    """Relative NashConv of trainings that go on: its median and, where there are several, the least and the greatest.

    NaN, one that was not found, is left out.
    """
    found = [each for each in gains if np.isfinite(each)]
    if not found:
        return ""
    middle, least, most = (_short(each) for each in (float(np.median(found)), min(found), max(found)))
    return f"NashConv {middle}" if len(found) == 1 else f"NashConv {middle} ({least} to {most})"


def _short(value: float) -> str:
    """A share in percent with two digits, for a line that has little room."""
    return percent(value) if value >= 0.1 else f"{100 * value:.2g}%"

"""Intensities, impacts and shares of the general market, written down a second time, also for complex arguments.

The derivative of such a function along an imaginary step of 1e-30 is exact to rounding.
"""

import numpy as np
import pytest

from makertaker.envs import (
    BestQuote,
    CrowdedImpact,
    CustomImpact,
    CustomIntensity,
    Exponential,
    Intensity,
    ProductShare,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
)

BETA = np.array([0.4, 0.7, 1.1])
OFFSETS = (0.3, -0.2, 0.0)


def exponential(x, gamma=0.8):
    return np.exp(-gamma * x)


def softplus(x, gamma=0.8):
    return np.log1p(np.exp(-gamma * x))


def best_quote(intensity):
    """``Lambda`` of the distance from the best of the others; minima are compared by their real parts."""

    def share(i, quotes):
        others = np.delete(quotes, i)
        return intensity(quotes[i] - others[np.argmin(others.real)])

    return share


def softmax(i, quotes):
    score = -0.8 * quotes + np.array(OFFSETS)
    return np.exp(score[i]) / np.exp(score).sum()


def outside(i, quotes):
    score = -0.8 * quotes + np.array(OFFSETS)
    return np.exp(score[i]) / (np.exp(score).sum() + np.exp(0.4))


def product(i, quotes):
    return exponential(quotes[i]) * (0.3 + 0.7 / (1 + np.exp(-1.2 * np.delete(quotes, i)))).mean()


def crowded(i, rate, crowding=1.4):
    return BETA[i] * rate[i] * (rate[i] + crowding * np.delete(rate, i).mean())


COMPETITIONS = {
    "exponential": (BestQuote(Exponential(0.8)), best_quote(exponential)),
    "softplus": (BestQuote(Softplus(0.8)), best_quote(softplus)),
    "softmax": (SoftmaxShare(0.8, OFFSETS), softmax),
    "outside": (SoftmaxShare(0.8, OFFSETS, 0.4), outside),
    "product": (ProductShare(Exponential(0.8), 1.2, 0.3), product),
}
IMPACTS = {
    "quadratic": (QuadraticImpact(tuple(BETA)), lambda i, rate: BETA[i] * rate[i] ** 2),
    "quartic": (QuarticImpact(tuple(BETA), 0.02), lambda i, rate: BETA[i] * rate[i] ** 2 + 0.02 * rate[i] ** 4),
    "crowded": (CrowdedImpact(tuple(BETA), 1.4), crowded),
}
each_competition = pytest.mark.parametrize(("competition", "share"), COMPETITIONS.values(), ids=COMPETITIONS)
each_impact = pytest.mark.parametrize(("impact", "cost"), IMPACTS.values(), ids=IMPACTS)


def gradient(function, point):
    """(m, m) ``d function(i, point) / d point_j``, by imaginary steps."""
    size, tiny = len(point), 1e-30j
    return np.array(
        [[function(i, point + tiny * np.eye(size)[j]).imag / 1e-30 for j in range(size)] for i in range(size)]
    )


def values(function, point):
    return np.array([function(i, point) for i in range(len(point))])


def moved(profile, i, own):
    result = np.array(profile, dtype=complex)
    result[i] = own
    return result


def logistic(x):
    return np.exp(-np.logaddexp(0, x))  # 1 / (1 + exp(x))


def diagonal(array):
    return array[..., None] * np.eye(array.shape[-1])


def custom_impact(beta=BETA, off=0.0, quartic=0.0):
    """``beta v^i (v^i + off sum of the others) + quartic (v^i)^4``."""

    def others(v):
        return v.sum(axis=-1, keepdims=True) - v

    return CustomImpact(
        lambda v: beta * v * (v + off * others(v)) + quartic * v**4,
        lambda v: beta * (2 * v + off * others(v)) + 4 * quartic * v**3,
        lambda v: diagonal((2 - off) * beta + 12 * quartic * v**2) + off * beta[:, None],
    )


def custom_softplus(gamma=1.0):
    """Softplus as three functions."""
    return CustomIntensity(
        lambda x: np.logaddexp(0, -gamma * x),
        lambda x: -gamma * logistic(gamma * x),
        lambda x: gamma**2 * logistic(gamma * x) * logistic(-gamma * x),
        1 / gamma,
    )


def custom_exponential(gamma=1.0):
    """The exponential function as three functions; what the markup is everywhere is not said."""
    return CustomIntensity(
        lambda x: exponential(x, gamma),
        lambda x: -gamma * exponential(x, gamma),
        lambda x: gamma**2 * exponential(x, gamma),
        1 / gamma,
    )


def bumpy(at, width, height=0.01):
    """``exp(-x)`` times one and a bell, and its first two derivatives."""

    def bump(x):
        return height * np.exp(-(((x - at) / width) ** 2))

    def slope(x):
        return -2 * (x - at) / width**2 * bump(x)

    def curve(x):
        return (4 * (x - at) ** 2 / width**4 - 2 / width**2) * bump(x)

    return (
        lambda x: np.exp(-x) * (1 + bump(x)),
        lambda x: np.exp(-x) * (slope(x) - 1 - bump(x)),
        lambda x: np.exp(-x) * (1 + bump(x) - 2 * slope(x) + curve(x)),
    )


def root_logistic(unit=1.0):
    """``(1 + exp(x / unit))^-1/2``, whose markup ``2 (1 + exp(-x / unit))`` rises exponentially to the left."""

    def root(x):
        return logistic(x / unit) ** 0.5

    def share(x):
        return logistic(-x / unit)

    return CustomIntensity(
        root,
        lambda x: -root(x) * share(x) / (2 * unit),
        lambda x: root(x) * share(x) * (3 * share(x) / 2 - 1) / (2 * unit**2),
        unit,
    )


class Stairs(Intensity):
    """An intensity whose markup comes down in smooth steps, however steep; only what feedback maps ask of it.

    Args:
        heights: of the steps, in currency.
        places: of the steps.
        widths: of the steps.
        floor: markup behind them.
    """

    def __init__(self, heights, places, widths, floor):
        self.heights, self.places, self.widths, self.floor = heights, places, widths, floor

    def __call__(self, x):
        raise NotImplementedError

    derivative = __call__

    def _at(self, x):
        return (x[..., None] - self.places) / self.widths

    def markup(self, x):
        return self.floor + (self.heights * logistic(self._at(x))).sum(axis=-1)

    def markup_slope(self, x):
        at = self._at(x)
        return -(self.heights / self.widths * logistic(at) * logistic(-at)).sum(axis=-1)


class Counted(Intensity):
    """Another intensity that counts how often its markup is asked for."""

    def __init__(self, intensity):
        self.intensity, self.count = intensity, 0

    def __call__(self, x):
        return self.intensity(x)

    def derivative(self, x):
        return self.intensity.derivative(x)

    def markup(self, x):
        self.count += 1
        return self.intensity.markup(x)

    def markup_slope(self, x):
        return self.intensity.markup_slope(x)


def coshes(off=0.0):
    """``cosh(v^i) + off v^i mean of the others``: marginal costs that rise exponentially."""

    def others(v):
        return (v.sum(axis=-1, keepdims=True) - v) / (v.shape[-1] - 1)

    def hessian(v):
        count = v.shape[-1]
        return diagonal(np.cosh(v)) + off / (count - 1) * (1 - np.eye(count))

    return CustomImpact(
        lambda v: np.cosh(v) + off * v * others(v),
        lambda v: np.sinh(v) + off * others(v),
        hessian,
    )

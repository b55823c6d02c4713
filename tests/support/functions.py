"""Functions of time, and parameters that may be one."""

from itertools import pairwise

import numpy as np
from scipy.integrate import quad


def wave(mean, amplitude, frequency):
    """A sine around a mean."""
    return lambda t: mean * (1 + amplitude * np.sin(frequency * t))


def value_at(parameter, t):
    """A parameter, a number or a function of time, at times ``t``."""
    return parameter(t) if callable(parameter) else parameter + 0.0 * t


def of_everyone(parameter, count):
    """One value, or function of time, for each agent."""
    return parameter if isinstance(parameter, tuple | list) else [parameter] * count


def values_at(parameter, t, count):
    """A per-agent parameter at time ``t``, agents first."""
    return np.array([value_at(one, t) for one in of_everyone(parameter, count)])


def averages(function, times):
    """Means of a function of time between the times, by adaptive quadrature."""
    return np.array([quad(function, a, b, epsabs=1e-13)[0] / (b - a) for a, b in pairwise(times)])


def averaged(function, times):
    """A function of time as ``(t, step) -> mean over the step``."""
    means = averages(function, times)
    return lambda t, k: means[k]

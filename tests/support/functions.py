"""Functions of time, and parameters that may be one."""

import numpy as np


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

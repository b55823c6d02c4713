"""Least margins of conditions on functions of time: extremes of the functions themselves, not of step means."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ...envs.arrays import Array
from ...envs.flows import Points
from ...envs.parameters import Parameter, evaluate
from ...envs.probing import Least, least, times
from .condition import Margin


def least_in_time(function: Callable[[Array], Array], horizon: float, parameters: Iterable[Parameter]) -> Least:
    """The least value of a function of time on a horizon.

    Args:
        function: (P,) times to (P,).
        horizon: length of the game.
        parameters: that the function is made of; of numbers alone it is constant, and needs no points.
    """
    moving = [each for each in parameters if callable(each)]
    if not moving:
        return Least(0.0, float(function(np.zeros(1))[0]), 0)
    corners = [t for each in moving if isinstance(each, Points) for t in each.corners(0.0, horizon)]
    return least(function, times(horizon, corners))


def least_margin(function: Callable[[Array], Array], horizon: float, parameters: Iterable[Parameter]) -> Margin:
    """:func:`least_in_time` as a margin."""
    found = least_in_time(function, horizon, parameters)
    return Margin(found.value, f"t = {found.at:.6g}" if found.points else "", found.points)


def across(parameters: Iterable[Parameter], name: str, best: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The least or the largest of some parameters at every time, (P,) to (P,).

    Args:
        parameters: one for each agent.
        name: of the parameter, for messages.
        best: (agents, P) to (P,).
    """
    distinct = list(dict.fromkeys(parameters))  # agents often share a parameter
    return lambda t: best(np.stack([evaluate(each, t, name) for each in distinct]))


def smallest(values: Array) -> Array:
    """Over agents."""
    return np.asarray(values.min(axis=0))


def largest(values: Array) -> Array:
    """Over agents."""
    return np.asarray(values.max(axis=0))

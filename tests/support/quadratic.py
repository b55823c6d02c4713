"""Quadratic functions from their values: differences give gradients and Hessians without truncation error.

Payoffs of the execution game are such functions of the rates.
"""

from typing import NamedTuple

import numpy as np

from makertaker.envs import Controls, simulate


class Forms(NamedTuple):
    """Of every agent: ``J^i(x) = base^i + slope^i x + x' hessian^i x / 2`` in all rates ``x``, (K N,), step by step."""

    base: np.ndarray
    slope: np.ndarray
    hessian: np.ndarray

    def own(self, i):
        """Agent ``i``'s part of its own Hessian, (K, K)."""
        return self.hessian[i][i :: len(self.base), i :: len(self.base)]

    def gradients(self, rates):
        """Of everybody's payoff in its own rates, (N, K)."""
        count = len(self.base)
        return np.stack([(g + h @ rates.ravel())[i::count] for i, (g, h) in enumerate(zip(*self[1:], strict=True))])

    def nash(self):
        """The rates (K, N) at which all these gradients vanish, by one dense system."""
        count, size = self.slope.shape
        matrix, right = np.empty((size, size)), np.empty(size)
        for i in range(count):
            matrix[i::count], right[i::count] = self.hessian[i][i::count], -self.slope[i, i::count]
        return np.linalg.solve(matrix, right).reshape(-1, count)


def quadratic(function, size):
    """Value, gradient and Hessian at 0 of a quadratic function (points, size) -> (points,): (), (size,), (size, size).

    Of several such functions, (points, size) -> (points, m), the same with a first axis of length m.
    """
    unit = np.eye(size)
    first, second = np.triu_indices(size, 1)
    points = np.concatenate([np.zeros((1, size)), unit, -unit, unit[first] + unit[second]])
    values = function(points)
    base, plus, minus, pairs = np.split(values.reshape(len(points), -1), [1, 1 + size, 1 + 2 * size])
    hessian = np.zeros((base.shape[1], size, size))
    hessian[:, np.arange(size), np.arange(size)] = (plus + minus - 2 * base).T
    hessian[:, first, second] = hessian[:, second, first] = (pairs - plus[first] - plus[second] + base).T
    found = base[0], (plus - minus).T / 2, hessian
    return found if values.ndim > 1 else tuple(each[0] for each in found)


def payoff_forms(game, steps):
    """Everybody's payoff under open-loop rates."""

    def payoffs(points):
        return simulate(game, Controls(points.reshape(-1, steps, game.traders)), steps).payoffs

    return Forms(*quadratic(payoffs, steps * game.traders))


def total_hessian(game, steps):
    """Of the sum of all payoffs, (K N, K N)."""
    return payoff_forms(game, steps).hessian.sum(axis=0)

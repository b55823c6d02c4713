"""Functions of a state near a path, as polynomials: fitted by least squares, their expectations exact.

A state is the factor followed by all inventories, ``x = (L, Q)``. On a box around the mean path a function is a sum of
products of Legendre polynomials of bounded total degree; beyond the box each factor of a product is continued by its
tangent, so that nothing grows faster than linearly in any coordinate; or, for values, which keep their curvature, by
its osculating parabola. Within the box the expectation over Gaussian
noise in the inventories is a linear map of the coefficients (the heat equation on polynomials), and so is that over the
factor's noise, by a cubature that is exact for the degree: no sampling error enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.polynomial import hermite_e, legendre

from ...envs.arrays import Array

_CHUNK = 4_000_000
"""numbers that an intermediate array may have"""


@dataclass(frozen=True)
class Box:
    """A box around a point of the state space."""

    center: Array
    """(D,)"""
    half: Array
    """(D,) positive"""

    def normal(self, states: Array) -> Array:
        """Coordinates in which the box is [-1, 1]^D."""
        return (states - self.center) / self.half

    def holds(self, states: Array) -> Array:
        """(...,) True for states (..., D) in the box."""
        return np.asarray((np.abs(self.normal(states)) <= 1).all(axis=-1))


@dataclass(frozen=True)
class Basis:
    """Products of Legendre polynomials in ``size`` variables, of total degree at most ``degree``."""

    size: int
    degree: int
    curved: bool = False
    """beyond the box by parabolas, not by tangents"""

    @cached_property
    def index(self) -> Array:
        """(P, D) degree of every product in every variable."""
        rows = []
        for total in range(self.degree + 1):
            for chosen in combinations_with_replacement(range(self.size), total):
                rows.append(np.bincount(chosen, minlength=self.size) if chosen else np.zeros(self.size, dtype=int))
        return np.array(rows)

    def tables(self, x: Array) -> tuple[Array, Array]:
        """Values and derivatives of the one-dimensional polynomials, (..., D, degree + 1) each, at x (..., D)."""
        inside = np.clip(x, -1.0, 1.0)
        value = legendre.legvander(inside, self.degree)
        slope, beyond = value @ self._derivative.T, (x - inside)[..., None]
        if not self.curved:
            return value + slope * beyond, slope
        curve = slope @ self._derivative.T
        return value + (slope + curve / 2 * beyond) * beyond, slope + curve * beyond

    @cached_property
    def _derivative(self) -> Array:
        """(degree + 1, degree + 1): row ``j`` has the Legendre coefficients of the derivative of ``P_j``."""
        result = np.zeros((self.degree + 1, self.degree + 1))
        for j in range(1, self.degree + 1):
            result[j, :-1] = legendre.legder(np.eye(self.degree + 1)[j])
        return result

    def products(self, tables: Array, variables: slice) -> Array:
        """(..., P) product of one-dimensional values over some of the variables.

        One variable after the other, and each product of the first ones once; points are the last axis meanwhile, so
        that whole rows are taken.
        """
        start, stop, _ = variables.indices(self.size)
        (_, first), *others = _distinct(self, start, stop)
        rows = np.moveaxis(tables, (-2, -1), (0, 1))
        result = rows[0][first]
        for place, (before, own) in enumerate(others, 1):
            result = result[before]
            result *= rows[place][own]
        return np.moveaxis(result, 0, -1)

    def heat(self, sd: Array) -> Array:
        """(P, P) map of coefficients ``c -> S c`` with ``E f(x + sd Z) = sum (S c) phi`` for independent normal Z."""
        twice = self._derivative.T @ self._derivative.T  # coefficients of the second derivative
        result: Array = 1.0
        for d in range(self.size):
            term = smooth = np.eye(self.degree + 1)
            for order in range(1, self.degree // 2 + 1):
                term = term @ twice * (sd[d] ** 2 / 2 / order)
                smooth = smooth + term
            result = result * smooth[self.index[:, d][:, None], self.index[:, d]]
        return result


@cache
def _distinct(basis: Basis, start: int, stop: int) -> list[tuple[Array, Array]]:
    """For each variable from ``start`` to ``stop``: of which product of the variables before it, and with which degree,
    the products up to it are made; the last are those of the basis."""
    steps: list[tuple[Array, Array]] = []
    known: Array = np.zeros(len(basis.index), dtype=int)
    for d in range(start, stop):
        pairs = np.stack([known, basis.index[:, d]], axis=1)
        if d == stop - 1:
            return [*steps, (pairs[:, 0], pairs[:, 1])]
        made, known = np.unique(pairs, axis=0, return_inverse=True)
        steps.append((made[:, 0], made[:, 1]))
    raise ValueError(f"variables: expected at least one, got none from {start} to {stop}")


@dataclass(frozen=True)
class Polynomial:
    """A function of the state with ``m`` values."""

    basis: Basis
    box: Box
    coefficients: Array
    """(P, m)"""

    def __call__(self, states: Array) -> Array:
        """(..., m) at states (..., D)."""
        flat = states.reshape(-1, self.basis.size)
        size = max(1, _CHUNK // len(self.basis.index))
        parts = [self._values(flat[at : at + size]) for at in range(0, len(flat), size)]
        return np.concatenate(parts).reshape(*states.shape[:-1], -1)

    def _values(self, states: Array) -> Array:
        table, _ = self.basis.tables(self.box.normal(states))
        return np.asarray(self.basis.products(table, slice(None)) @ self.coefficients)

    def slope(self, states: Array) -> Array:
        """(..., m, D) derivatives at states (..., D)."""
        values, slopes = self.basis.tables(self.box.normal(states))
        columns = []
        for d in range(self.basis.size):
            table = values.copy()
            table[..., d, :] = slopes[..., d, :]
            columns.append(self.basis.products(table, slice(None)) @ self.coefficients / self.box.half[d])
        return np.stack(columns, axis=-1)

    def expected(self, factors: Array, weights: Array, noise: Array) -> Expected:
        """The expectation over noise, as a function of the inventories' mean.

        Args:
            factors: (B, J, d) values of the factor at the nodes of a cubature, at B points.
            weights: (J,) of the nodes.
            noise: (n,) standard deviations of the inventories.
        """
        d = factors.shape[-1]
        unit = np.concatenate([np.zeros(d), noise]) / self.box.half
        moments: Array = np.ones((len(factors), 1))
        if d:
            box = Box(self.box.center[:d], self.box.half[:d])
            table, _ = self.basis.tables(box.normal(factors))
            moments = np.einsum("bjp,j->bp", self.basis.products(table, slice(0, d)), weights)
        return Expected(self, d, self.basis.heat(unit) @ self.coefficients, moments)


@dataclass(frozen=True)
class Expected:
    """See :meth:`Polynomial.expected`."""

    function: Polynomial
    d: int
    coefficients: Array
    moments: Array

    def __call__(self, mean: Array) -> Array:
        """(B, m) at mean inventories (B, n)."""
        values, _ = self._tables(mean)
        inventories = self.function.basis.products(values, slice(self.d, None))
        return np.asarray((self.moments * inventories) @ self.coefficients)

    def slope(self, mean: Array, variables: Sequence[int] | None = None) -> Array:
        """(B, m, n) derivatives in the mean inventories, or in some of them."""
        values, slopes = self._tables(mean)
        columns = []
        for i in range(mean.shape[-1]) if variables is None else variables:
            table = values.copy()
            table[..., i, :] = slopes[..., i, :]
            part = self.moments * self.function.basis.products(table, slice(self.d, None))
            columns.append(part @ self.coefficients / self.function.box.half[self.d + i])
        return np.stack(columns, axis=-1)

    def first(self, count: int) -> Expected:
        """Of the first values alone."""
        return Expected(self.function, self.d, self.coefficients[:, :count], self.moments)

    def at(self, members: Array) -> Expected:
        """The same for some of the points."""
        moments = self.moments if len(self.moments) == 1 else self.moments[members]
        return Expected(self.function, self.d, self.coefficients, moments)

    def _tables(self, mean: Array) -> tuple[Array, Array]:
        box = self.function.box
        return self.function.basis.tables((mean - box.center[self.d :]) / box.half[self.d :])


def fit(basis: Basis, box: Box, states: Array, values: Array, weights: Array) -> Polynomial:
    """Weighted least squares through values (B, m) at states (B, D); weights (B,) of the residuals."""
    table, _ = basis.tables(box.normal(states))
    design = basis.products(table, slice(None))
    return Polynomial(basis, box, np.linalg.lstsq(design * weights[:, None], values * weights[:, None], rcond=None)[0])


def cubature(size: int, degree: int) -> tuple[Array, Array]:
    """Nodes (J, size) and weights (J,) for standard normal variables, exact for polynomials of the degree."""
    if not size:
        return np.zeros((1, 0)), np.ones(1)
    points, weights = hermite_e.hermegauss(degree // 2 + 1)
    weights = weights / weights.sum()
    nodes = np.stack(np.meshgrid(*[points] * size, indexing="ij"), axis=-1).reshape(-1, size)
    products = np.stack(np.meshgrid(*[weights] * size, indexing="ij"), axis=-1).reshape(-1, size).prod(axis=-1)
    return nodes, products

"""Polynomials with which the decoupling field is fitted, against differences and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from makertaker.baselines.noise.polynomials import Basis, Box, Polynomial, cubature, fit
from support.derivatives import difference


@given(st.integers(1, 3), st.integers(0, 5), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_polynomials_and_their_slopes(size: int, degree: int, seed: int) -> None:
    """A fit reproduces any polynomial of its degree inside the box; slopes are those of differences everywhere."""
    rng = np.random.default_rng(seed)
    basis, box = Basis(size, degree), Box(rng.normal(size=size), rng.uniform(0.5, 2, size))
    truth = Polynomial(basis, box, rng.normal(size=(len(basis.index), 2)))
    inside = box.center + box.half * rng.uniform(-1, 1, (4 * len(basis.index) + 8, size))
    found = fit(basis, box, inside, truth(inside), rng.uniform(1, 3, len(inside)))
    np.testing.assert_allclose(found(inside), truth(inside), atol=1e-8)
    anywhere = box.center + box.half * rng.uniform(-3, 3, (20, size))
    numeric = difference(truth, anywhere)
    np.testing.assert_allclose(truth.slope(anywhere), numeric, atol=1e-4 * (1 + np.abs(numeric).max()))


def test_beyond_the_box_polynomials_grow_linearly() -> None:
    basis = Basis(2, 4)
    found = Polynomial(basis, Box(np.zeros(2), np.ones(2)), np.random.default_rng(0).normal(size=(len(basis.index), 1)))
    line = np.array([[x, 0.3] for x in (1.5, 2.5, 3.5, 9.5)])
    values = found(line)[:, 0]
    np.testing.assert_allclose(np.diff(values[:3]), values[1] - values[0], rtol=1e-12)
    np.testing.assert_allclose(values[3] - values[2], 6 * (values[1] - values[0]), rtol=1e-12)


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.7])
def test_expectations_of_polynomials(sd: float) -> None:
    """The heat map of coefficients and the cubature over the factor, against quadrature of the density."""
    rng = np.random.default_rng(1)
    basis, box = Basis(2, 4), Box(np.array([0.2, -0.4]), np.array([40.0, 40.0]))  # so wide that tails do not matter
    surface = Polynomial(basis, box, rng.normal(size=(len(basis.index), 1)))
    nodes, weights = cubature(1, 5)
    move, spread = 0.3, 0.8
    expected = surface.expected((move + spread * nodes)[None], weights, np.array([sd]))(np.array([[1.1]]))[0, 0]

    def over_factor(q: float) -> float:
        density = lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return float(quad(lambda z: surface(np.array([move + spread * z, q]))[0] * density(z), -12, 12)[0])

    if sd == 0:
        assert expected == pytest.approx(over_factor(1.1), rel=1e-9)
    else:
        outer = quad(lambda z: over_factor(1.1 + sd * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -9, 9, epsabs=1e-9)[
            0
        ]
        assert expected == pytest.approx(outer, rel=1e-7)


@pytest.mark.parametrize(("size", "degree"), [(1, 4), (2, 6), (3, 6), (5, 4), (8, 2)])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3)])
def test_products_are_those_of_the_index(size, degree, shape):
    """Over all variables, the first ones (a factor's) or the others, inside the box and beyond it."""
    basis = Basis(size, degree)
    table, _ = basis.tables(np.random.default_rng(0).uniform(-1.5, 1.5, (*shape, size)))
    for start in range(size):
        for stop in range(start + 1, size + 1):
            found = basis.products(table[..., start:stop, :], slice(start, stop))
            chosen = [table[..., d, basis.index[:, d]] for d in range(start, stop)]
            np.testing.assert_allclose(found, np.prod(chosen, axis=0), rtol=1e-13, atol=0)
    with pytest.raises(ValueError, match="variables: expected at least one"):
        basis.products(table[..., :0, :], slice(0, 0))

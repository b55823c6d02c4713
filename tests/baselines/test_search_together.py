"""Many searches at once: of quadratic payoffs in a box, and of others."""

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines.search_together import climb_together, curvature

SIZE, SEARCHES = 6, 9
RNG = np.random.default_rng(3)
ROOT = RNG.normal(size=(SIZE, SIZE))
HESSIAN = ROOT @ ROOT.T + 0.1 * np.eye(SIZE)
SLOPES = RNG.normal(size=(SEARCHES, SIZE)) * 3
LOW, HIGH = -np.ones((SEARCHES, SIZE)), np.ones((SEARCHES, SIZE)) * 0.5


def quadratic(points, places):
    return (points * SLOPES[places]).sum(axis=-1) - 0.5 * np.einsum("dps,st,dpt->dp", points, HESSIAN, points)


def bent(points, places):
    """Concave, with a curvature that changes from point to point and from search to search."""
    strength = 1.0 + 0.5 * np.arange(SEARCHES)[places]
    return quadratic(points, places) - strength * np.logaddexp(points, -points).sum(axis=-1)


@pytest.mark.parametrize("values", [quadratic, bent])
@pytest.mark.parametrize("first", ["exact", "identity"])
def test_every_search_ends_at_its_own_maximum(values, first):
    """Each against SciPy's own search of that one payoff; most of them end at bounds."""
    matrix = HESSIAN if first == "exact" else np.eye(SIZE)
    start = np.zeros((SEARCHES, SIZE))
    settings = {"width": 1e-4, "iterations": 200, "tolerance": 1e-13}
    found, reached = climb_together(values, start, matrix, (LOW, HIGH), **settings)
    assert ((found == LOW) | (found == HIGH)).mean() > 0.3
    for place in range(SEARCHES):

        def alone(point, place=place):
            return -values(point[None, None], np.array([place]))[0, 0]

        box = list(zip(LOW[place], HIGH[place], strict=True))
        known = minimize(alone, start[place], bounds=box, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
        assert reached[place] == pytest.approx(-known.fun, abs=1e-7)
        assert found[place] == pytest.approx(known.x, abs=1e-3)


def test_a_quadratic_payoff_inside_the_box_takes_a_step():
    wide = np.full((SEARCHES, SIZE), 1e3)
    settings = {"width": 1e-3, "iterations": 1, "tolerance": 0.0}
    found, _ = climb_together(quadratic, np.zeros((SEARCHES, SIZE)), HESSIAN, (-wide, wide), **settings)
    assert found == pytest.approx(np.linalg.solve(HESSIAN, SLOPES.T).T, rel=1e-7)


def test_curvature():
    """Second differences of a quadratic are its matrix; of a saddle, a positive definite one with the same axes."""

    def at(points):
        return quadratic(points[:, None], np.array([0]))[:, 0]

    assert curvature(at, np.ones(SIZE), 0.1) == pytest.approx(HESSIAN, abs=1e-9)
    saddle = curvature(lambda points: points[:, 0] ** 2 - 4 * points[:, 1] ** 2, np.zeros(2), 0.1)
    assert saddle == pytest.approx(np.diag([2.0, 8.0]), abs=1e-9)

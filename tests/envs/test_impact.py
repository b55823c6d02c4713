"""Impacts of Definition 3.2 and their derivatives, against the same functions for complex arguments."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from makertaker.envs import CrowdedImpact, CustomImpact, MakerTakerGame, QuadraticImpact
from support.derivatives import difference
from support.market_parts import BETA, IMPACTS, custom_impact, diagonal, each_impact, gradient, moved, values


@each_impact
def test_impact_and_its_derivatives(impact, cost):
    rng = np.random.default_rng(0)
    for rate, own in rng.normal(0, 4, (5, 2, 3)):
        np.testing.assert_allclose(impact.cost(BETA, rate), values(cost, rate), rtol=1e-12)
        np.testing.assert_allclose(impact.marginal_cost(BETA, rate, rate), np.diag(gradient(cost, rate)), rtol=1e-12)
        alone = [gradient(cost, moved(rate, i, own[i]))[i, i] for i in range(3)]  # others stay, one moves
        marginal = impact.marginal_cost(BETA, own, rate)
        np.testing.assert_allclose(marginal, alone, rtol=1e-12)
        np.testing.assert_allclose(impact.own_rate(BETA, marginal, rate), own, rtol=1e-12, atol=1e-12)
        hessian = difference(lambda at: np.diag(gradient(cost, at)), rate)
        np.testing.assert_allclose(impact.cross(BETA, rate), hessian - np.diag(np.diag(hessian)), atol=1e-7)
        np.testing.assert_allclose(impact.curvature(BETA, rate, rate), np.diag(hessian), rtol=1e-7)


def test_a_trader_alone_is_not_crowded():
    crowd, plain, rate, beta = CrowdedImpact(0.5, 1.9), QuadraticImpact(0.5), np.array([[3.0], [-2.0]]), np.array([0.5])
    np.testing.assert_array_equal(crowd.cross(beta, rate), np.zeros((2, 1, 1)))
    for name, rest in {"cost": (rate,), "marginal_cost": (rate, rate), "optimal_rates": (rate, -9.0, 9.0)}.items():
        np.testing.assert_array_equal(getattr(crowd, name)(beta, *rest), getattr(plain, name)(beta, *rest))


SAME = [(IMPACTS["crowded"][0], custom_impact(off=0.7)), (IMPACTS["quartic"][0], custom_impact(quartic=0.02))]


@pytest.mark.parametrize(("impact", "custom"), SAME, ids=["crowded", "quartic"])
def test_custom_impact_agrees_with_the_built_in_one(impact, custom):
    custom.validate(1.0, np.full(3, 7.0), 20.0)
    own, rate = np.random.default_rng(1).normal(0, 3, (2, 7, 3))
    arguments = {
        "cost": (rate,),
        "marginal_cost": (own, rate),
        "curvature": (own, rate),
        "cross": (rate,),
        "own_rate": (own, rate),
        "optimal_rates": (own, np.full(3, -2.0), np.full(3, 2.0)),
        "optimal_jacobian": (rate, np.ones((7, 3))),
    }
    for name, rest in arguments.items():
        expected = getattr(impact, name)(BETA, *rest)
        np.testing.assert_allclose(getattr(custom, name)(1.0, *rest), expected, rtol=1e-12, atol=1e-12, err_msg=name)


GOOD = custom_impact()
REFUSED_IMPACTS = {
    "concave": (
        custom_impact(-BETA),
        r"strong convexity in the own rate; it fails for trader_2 at rates .*, where it is -2\.2",
    ),
    "others matter more": (custom_impact(off=1.1), "its own curvature above the sum of cross derivatives"),
    "gradient": (replace(GOOD, gradient=lambda v: 3 * BETA * v), "gradient as the derivative of the function"),
    "hessian": (replace(GOOD, hessian=lambda v: diagonal(BETA + 0 * v)), "hessian as the derivative of the gradient"),
    "not finite": (replace(GOOD, function=lambda v: np.nan * v), "finite values"),
}


@pytest.mark.parametrize(("impact", "message"), REFUSED_IMPACTS.values(), ids=REFUSED_IMPACTS)
def test_functions_outside_definition_3_2_are_refused(impact, message):
    with pytest.raises(ValueError, match=r"impact: Definition 3\.2 asks for " + message):
        MakerTakerGame(trader_inventory=(-1.0, -2.0, 3.0), impact=impact)


def dented(at, width=0.5, curvature=-1.8):
    """``v^2 / 2`` and a bell, one for all traders, whose second derivative at ``at`` makes that of the sum the given
    one."""
    height = (1 - curvature) * width**2 / 2

    def bell(v):
        return height * np.exp(-(((v - at) / width) ** 2))

    return CustomImpact(
        lambda v: v**2 / 2 + bell(v),
        lambda v: v - 2 * (v - at) / width**2 * bell(v),
        lambda v: diagonal(1 + (4 * (v - at) ** 2 / width**4 - 2 / width**2) * bell(v)),
    )


@pytest.mark.parametrize("max_rate", [1e3, np.inf])
@pytest.mark.parametrize(("at", "width"), [(4.0, 0.5), (-17.3, 0.2), (0.05, 0.03), (55.0, 3.0)])
def test_a_dent_is_found_wherever_rates_may_be(at, width, max_rate):
    """Whatever the largest rate; the message says where the dent is deepest and how deep: -1.8."""
    with pytest.raises(ValueError, match="strong convexity in the own rate; it fails for trader_0 at rates") as caught:
        dented(at, width).validate(1.0, np.array([10.0]), max_rate)
    where, value = re.findall(r"\[(.*)\], where it is (.*)", str(caught.value))[0]
    assert float(where) == pytest.approx(at, abs=0.2 * width)
    assert float(value) == pytest.approx(-1.8, rel=0.1)


def test_a_dent_that_depends_on_the_others_is_found():
    """Own curvature 2, the cross derivative ``2.2 exp(-(v - 4)^2)`` of the other's rate: 0.2 too large at 4."""

    def cross(v):
        return 2.2 * np.exp(-((v - 4) ** 2))

    def pull(v):
        return 1.1 * np.sqrt(np.pi) * erf(v - 4)

    def others(v):
        return v[..., ::-1]

    impact = CustomImpact(
        lambda v: v**2 + v * pull(others(v)),
        lambda v: 2 * v + pull(others(v)),
        lambda v: diagonal(2 + 0 * v) + cross(others(v))[..., None] * (1 - np.eye(2)),
    )
    with pytest.raises(ValueError, match=r"above the sum of cross derivatives; it fails .*, where it is -0\.\d+$"):
        impact.validate(1.0, np.array([10.0, 3.0]), 1e3)


def test_without_a_largest_rate_overflow_far_out_says_nothing():
    """``cosh`` overflows at 710; average rates are 50, and rates are looked at out to 5,000."""
    cosh = CustomImpact(np.cosh, np.sinh, lambda v: diagonal(np.cosh(v)))
    cosh.validate(1.0, np.array([50.0]), np.inf)
    with pytest.raises(ValueError, match="finite values"):
        cosh.validate(1.0, np.array([50.0]), 5e3)

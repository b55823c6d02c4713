"""Intensities of Definition 3.4: the built-in ones, and functions that do and do not satisfy it."""

import re

import numpy as np
import pytest

from makertaker.envs import CustomIntensity, Exponential, Softplus
from support.market_parts import bumpy, exponential, logistic, softplus


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.0])
def test_softplus_near_and_far(gamma):
    intensity, x = Softplus(gamma), np.linspace(-60, 60, 241) / gamma
    np.testing.assert_allclose(intensity.derivative(x), softplus(x + 1e-30j, gamma).imag / 1e-30, rtol=1e-12)
    step = 1e-6 / gamma
    for function, slope in ((intensity, intensity.derivative), (intensity.markup, intensity.markup_slope)):
        np.testing.assert_allclose((function(x + step) - function(x - step)) / (2 * step), slope(x), atol=1e-6 * gamma)
    np.testing.assert_allclose(intensity.markup(x), -intensity(x) / intensity.derivative(x), rtol=1e-12)
    assert ((intensity.markup_slope(x) <= 0) & (intensity.markup_slope(x) >= -1)).all()  # the ratio is in [0, 1]
    far = np.array([-500.0, 500.0]) / gamma  # Lambda is -gamma x on the left, exp(-gamma x) on the right
    np.testing.assert_allclose(intensity.markup(far), [500 / gamma, 1 / gamma], rtol=1e-12)
    np.testing.assert_allclose(intensity.markup_slope(far), [-1, 0], atol=1e-12)


def reciprocal(x):
    return 1 / (1 + np.logaddexp(0, x))


EXP = (exponential, lambda x: -0.8 * exponential(x), lambda x: 0.64 * exponential(x))
SOFTPLUS = (
    lambda x: np.logaddexp(0, -0.8 * x),
    lambda x: -0.8 * logistic(0.8 * x),
    lambda x: 0.64 * logistic(0.8 * x) * logistic(-0.8 * x),
)
LINE = (lambda x: -1 + 0 * x, lambda x: 0 * x)
REFUSED_INTENSITIES = {
    "increasing": ((np.exp, np.exp, np.exp), r"Lambda' < 0; it fails at x = 0, where the value is 1"),
    "negative": ((lambda x: -x, *LINE), r"Lambda >= 0; it fails at x = 1e-09, where the value is -1e-09"),
    "not vanishing": ((lambda x: 100 - x, *LINE), r"Lambda\(x\) -> 0; it is 40 at x = 60"),
    "level": ((lambda x: 1 + exponential(x), *EXP[1:]), r"Lambda Lambda'' / Lambda'\^2 <= 1"),
    "derivative": ((exponential, lambda x: -exponential(x), EXP[2]), "Lambda' as the derivative of Lambda"),
    "curvature": ((*EXP[:2], exponential), "Lambda'' as the derivative of Lambda'"),
    "slow": (  # 1 / (1 + x) on the right, where the ratio tends to 2
        (
            reciprocal,
            lambda x: -logistic(-x) * reciprocal(x) ** 2,
            lambda x: reciprocal(x) ** 2 * (2 * reciprocal(x) * logistic(-x) ** 2 - logistic(x) * logistic(-x)),
        ),
        r"Lambda Lambda'' / Lambda'\^2 <= 1; it fails at x =",
    ),
}


@pytest.mark.parametrize(("functions", "message"), REFUSED_INTENSITIES.values(), ids=REFUSED_INTENSITIES)
def test_functions_outside_definition_3_4_are_refused(functions, message):
    with pytest.raises(ValueError, match=r"Definition 3\.4 asks for " + message):
        CustomIntensity(*functions)


@pytest.mark.parametrize("width", [0.012, 0.02])
@pytest.mark.parametrize("at", [-41.2345, -3.3333, 0.05, 0.7431, 12.049])
def test_a_narrow_bump_is_found_wherever_it_is(at, width):
    """The slope of the bell is as large as 0.01 sqrt(2 / e) / width, less than 1: the function falls everywhere, but
    its ratio is above 1."""
    with pytest.raises(ValueError, match=r"asks for Lambda Lambda'' / Lambda'\^2 <= 1; it fails at x = ") as caught:
        CustomIntensity(*bumpy(at, width))
    where, value = (float(each) for each in re.findall(r"x = (.*), where the value is (.*)", str(caught.value))[0])
    assert where == pytest.approx(at, abs=3 * width)
    function, first, second = (each(where) for each in bumpy(at, width))
    assert value == pytest.approx(function * second / first**2, rel=0.05)  # six digits of where it is


@pytest.mark.parametrize("period", [0.1, 0.05, 0.01, 2 / 3])
def test_no_period_hides_a_function_that_rises(period):
    """``exp(-x - 0.2 period sin(2 pi x / period))``: the logarithm's slope is between -1 - 0.4 pi and -1 + 0.4 pi."""
    wave = 2 * np.pi / period

    def function(x):
        return np.exp(-x - 0.2 * period * np.sin(wave * x))

    def fall(x):
        return 1 + 0.4 * np.pi * np.cos(wave * x)

    def second(x):
        return (fall(x) ** 2 + 0.4 * np.pi * wave * np.sin(wave * x)) * function(x)

    with pytest.raises(ValueError, match=r"Definition 3\.4 asks for Lambda' < 0; it fails at x = .*, where the value"):
        CustomIntensity(function, lambda x: -fall(x) * function(x), second)


@pytest.mark.parametrize(("functions", "built_in"), [(EXP, Exponential(0.8)), (SOFTPLUS, Softplus(0.8))])
def test_custom_intensities_agree_with_the_built_in_ones(functions, built_in):
    custom, x = CustomIntensity(*functions), np.linspace(-20, 20, 81)
    for name in ("__call__", "derivative", "markup", "markup_slope"):
        np.testing.assert_allclose(getattr(custom, name)(x), getattr(built_in, name)(x), rtol=1e-12, atol=1e-9)


def test_a_power_of_the_logistic_function_is_an_intensity():
    """``(1 + exp(x))^-1/2``: the ratio is ``1 - 2 exp(-x)``."""
    root, share = lambda x: logistic(x) ** 0.5, lambda x: logistic(-x)
    CustomIntensity(root, lambda x: -root(x) * share(x) / 2, lambda x: root(x) * share(x) * (3 * share(x) / 2 - 1) / 2)


@pytest.mark.parametrize("gamma", [0.0, -1.0, np.nan, np.inf])
def test_the_intensity_refuses_a_bad_decay(gamma):
    with pytest.raises(ValueError, match="gamma: expected a positive finite number"):
        Exponential(gamma)

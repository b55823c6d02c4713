"""Functions of time, and their means over steps."""

import numpy as np
import pytest

from makertaker.envs import MakerTakerGame
from makertaker.envs.flows import Decay, Points, Sine
from makertaker.envs.parameters import step_means
from support.functions import averages


@pytest.mark.parametrize(
    "function",
    [
        Points(((0.0, 1.0), (0.5, 4.0), (1.5, 0.5))),
        Points(((0.5, 1.0), (1.0, 2.0))),
        Sine(2.0, 1.0),
        Sine(2.0, 0.5, period=0.7, phase=0.1),
        Decay(3.0, 2.0),
        Decay(1.0, -1.0),
        lambda t: 1 / (1 + t**2),
        lambda t: 2.0,
        1.5,
    ],
)
def test_step_means_are_averages(function):
    times = np.linspace(0.0, 2.0, 13)  # corners of the points lie on nodes
    value = function if callable(function) else lambda t: function
    np.testing.assert_allclose(step_means(function, times), averages(value, times), rtol=1e-12)


def test_functions_of_time_are_these():
    t = np.array([0.0, 0.25, 0.5, 2.0])
    np.testing.assert_allclose(Points(((0.0, 1.0), (0.5, 3.0)))(t), [1.0, 2.0, 3.0, 3.0])
    np.testing.assert_allclose(Sine(1.0, 0.5, period=1.0)(t), [1.0, 1.5, 1.0, 1.0], atol=1e-15)
    np.testing.assert_allclose(Sine(1.0, 0.5, period=2.0, phase=0.25)(t[[0, 2]]), [1.5, 1.0], atol=1e-15)
    np.testing.assert_allclose(Decay(2.0, np.log(4.0))(t), [2.0, 2**0.5, 1.0, 0.125])


def test_step_means_of_points_are_averages_on_any_grid():
    # triangle with its corner in the middle of the only step: mean (1 + 4) / 2
    assert step_means(Points(((0.0, 1.0), (0.5, 4.0), (1.0, 1.0))), np.array([0.0, 1.0])) == pytest.approx(
        2.5, rel=1e-9
    )


def test_points_below_zero_are_refused_however_short():
    with pytest.raises(ValueError, match="buy_flow: expected finite values >= 0"):
        MakerTakerGame(buy_flow=Points(((0.0, 1.0), (0.005, -50.0), (0.01, 1.0))))

"""Functions of time, and their means over steps."""

import numpy as np
import pytest

from makertaker.envs import Affine, ExecutionGame, Factor, MakerTakerGame
from makertaker.envs.arrays import as_numpy
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


def test_a_flow_of_time_below_zero_between_probes_is_refused():
    game = MakerTakerGame(buy_flow=lambda t: np.where(np.abs(t - 1 / 128) < 1 / 512, -1e4, 1.0))
    with pytest.raises(ValueError, match=r"buy_flow: expected values >= 0, got a mean of -.* from t = 0 on"):
        game.coefficients(np.linspace(0.0, 1.0, 65))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax.numpy"])
def test_flows_of_a_factor_are_cut_off_at_zero_where_they_are_arrivals(library):
    """In the maker-taker game ``max(1 + 2 L, 0)``; in the execution game flows push the price, and may be negative."""
    xp = pytest.importorskip(library)
    values = np.array([-3.0, -0.5, -0.25, 2.0])
    factor = xp.asarray(values[:, None])
    parameters = {"factor": Factor(), "buy_flow": Affine(1.0, 2.0), "sell_flow": Affine(1.0, -2.0)}
    times = np.linspace(0.0, 1.0, 3)
    for game, cut in ((MakerTakerGame(**parameters), 0.0), (ExecutionGame(**parameters), -np.inf)):
        c = game.with_factor(game.coefficients(times).at(0).like(factor), 0.0, factor)
        for flow, sign in ((c.buy_flow, 1.0), (c.sell_flow, -1.0)):
            np.testing.assert_allclose(as_numpy(flow), np.maximum(1 + sign * 2 * values, cut), rtol=1e-6)
        path = np.stack([values[:3, None], values[1:, None]])
        buys, _ = game.step_flows(times, path)
        np.testing.assert_allclose(buys, np.maximum(1 + 2 * path[:, :2, 0], cut))

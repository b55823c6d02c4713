"""Factors, and the flows of an execution game that depend on them."""

import numpy as np
import pytest

from makertaker.envs import Controls, Factor, Noise, ornstein_uhlenbeck, simulate
from makertaker.envs.factor import Constant
from makertaker.envs.flows import Points
from support.moving_execution import DT, HORIZON, NODES, SIGNAL, STEPS, draw_rates, moving_game

NAN, INF = float("nan"), float("inf")


MATRIX = np.array([[0.5, 0.2], [-0.1, 0.3]])
DIFFUSIONS = {
    "scalar": (lambda t, x: 0.7, lambda t, x, z: 0.7 * z),
    "constant": (Constant((0.5, 2.0)), lambda t, x, z: np.array([0.5, 2.0]) * z),
    "vector": (lambda t, x: 0.1 + t + np.abs(x), lambda t, x, z: (0.1 + t + np.abs(x)) * z),
    "matrix": (Constant(tuple(map(tuple, MATRIX))), lambda t, x, z: MATRIX @ z),
    "moving matrix": (
        lambda t, x: MATRIX * (1 + x[..., :1, None] ** 2),
        lambda t, x, z: MATRIX @ z * (1 + x[0] ** 2),
    ),
}


@pytest.mark.parametrize("batch", [(), (1,), (2,), (3, 2), (2, 2)], ids=str)  # lengths equal to d among them
@pytest.mark.parametrize("kind", DIFFUSIONS)
def test_a_factor_follows_its_equation_with_the_given_noise(kind, batch):
    diffusion, shake = DIFFUSIONS[kind]
    factor = Factor((1.0, -0.5), lambda t, x: np.cos(t) - x**2, diffusion)
    noise = np.random.default_rng(9).standard_normal((*batch, STEPS, 2))
    found = factor.path(NODES, noise)
    assert found.shape == (*batch, STEPS + 1, 2)
    for index in np.ndindex(batch):
        value = np.array([1.0, -0.5])
        np.testing.assert_array_equal(found[(*index, 0)], value)
        for k in range(STEPS):
            z = noise[(*index, k)]
            value = value + DT * (np.cos(NODES[k]) - value**2) + np.sqrt(DT) * shake(NODES[k], value, z)
            np.testing.assert_allclose(found[(*index, k + 1)], value, rtol=1e-13)
    still = factor.path(NODES)
    np.testing.assert_array_equal(still, factor.path(NODES, np.zeros((STEPS, 2))))


def test_without_noise_a_factor_follows_its_drift_alone():
    path = ornstein_uhlenbeck(2.0, 3.0, mean=0.5, initial=(1.5,)).path(NODES)
    np.testing.assert_allclose(path[:, 0], 0.5 + (1 - 2 * DT) ** np.arange(STEPS + 1), rtol=1e-14)
    np.testing.assert_array_equal(Factor((2.0, 1.0)).path(NODES), np.tile([2.0, 1.0], (STEPS + 1, 1)))


def test_a_factor_s_flows_are_those_at_the_start_of_the_step():
    def flow(t, factor):
        return 3 + t + factor[..., 0] * factor[..., 1]

    game = moving_game(**SIGNAL | {"buy_flow": flow, "permanent_impact": 2.0})
    noise = np.random.default_rng(10).standard_normal((5, STEPS, 2))
    found = simulate(game, Controls(np.zeros((STEPS, 3))), STEPS, Noise(factor=noise))
    net = 3 + found.times[:-1] + found.factor[:, :-1].prod(axis=-1) - 1.5
    np.testing.assert_allclose(found.activity.drift, 2.0 * net, rtol=1e-13)
    np.testing.assert_allclose(found.mid[:, 1:], 100 + np.cumsum(2.0 * net * DT, axis=-1), rtol=1e-13)
    np.testing.assert_array_equal(found.factor, game.factor.path(found.times, noise))


def test_flows_of_time_beside_a_factor_are_averaged_everywhere():
    from makertaker.envs.parallel_env import GameParallelEnv

    game = moving_game(**SIGNAL | {"sell_flow": Points(((0.0, 0.0), (HORIZON, 4.0)))})
    rates, rng = draw_rates(11), np.random.default_rng(0)
    # in every step the price is drawn first
    noise = Noise(factor=np.stack([rng.standard_normal(3)[1:] for _ in range(STEPS)]))
    env = GameParallelEnv(game, steps=STEPS, normalize=False)
    env.reset(seed=0)
    totals = sum(np.array(list(env.step(env.actions_from(Controls(each)))[1].values())) for each in rates)
    np.testing.assert_allclose(totals, simulate(game, Controls(rates), STEPS, noise).payoffs, rtol=1e-10)


# Bad input

BAD_FACTORS = [
    (lambda: Factor(initial=()), r"factor\.initial: expected a list of finite numbers, got \(\)"),
    (lambda: Factor(initial=1.0), r"factor\.initial: expected a list of finite numbers, got 1\.0"),
    (lambda: Factor(initial=(NAN,)), r"factor\.initial: expected a list of finite numbers"),
    (lambda: Factor(drift=1.0), r"factor\.drift: expected a callable of \(time, factor\), got 1\.0"),
    (lambda: Factor(diffusion=None), r"factor\.diffusion: expected a callable of \(time, factor\), got None"),
    (lambda: Factor(drift=lambda t, x: np.zeros(3)), r"factor\.drift: .* shape \(2, 1\), got shape \(3,\)"),
    (lambda: Factor(drift=lambda t, x: INF * x), r"factor\.drift: expected finite values"),
    (lambda: Factor(diffusion=Constant(NAN)), r"factor\.diffusion: expected finite values, got array\(nan\)"),
    (lambda: Factor(diffusion=Constant((1.0, 2.0))), r"factor\.diffusion: .* or \(\.\.\., 1, 1\), got shape \(2,\)"),
    (lambda: Factor((0.0,) * 3, diffusion=Constant(((1.0, 0.0),))), r"factor\.diffusion: .* got shape \(1, 2\)"),
    (lambda: ornstein_uhlenbeck(NAN, 1.0), r"factor\.mean_reversion: expected a finite number or 1 of them, got nan"),
    (lambda: ornstein_uhlenbeck(1.0, (1.0, 2.0)), r"factor\.volatility: expected a finite number or 1 of them"),
    (lambda: ornstein_uhlenbeck(1.0, 1.0, mean=(1.0,), initial=(0.0, 0.0)), r"factor\.mean: .* or 2 of them"),
]


@pytest.mark.parametrize(("build", "message"), BAD_FACTORS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_factors_refuse_bad_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("changes", "noise", "message"),
    [
        ({}, np.zeros((STEPS, 1)), r"noise\.factor: the game has no factor, expected None"),
        (SIGNAL, np.zeros((STEPS, 1)), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(4, 1\)"),
        (SIGNAL, np.zeros((STEPS + 1, 2)), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(5, 2\)"),
        (SIGNAL, np.zeros(2), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(2,\)"),
    ],
)
def test_noise_that_does_not_fit_is_refused(changes, noise, message):
    with pytest.raises(ValueError, match=message):
        simulate(moving_game(**changes), Controls(draw_rates(0)), STEPS, Noise(factor=noise))


@pytest.mark.parametrize("rate", [0.0, 2.0, 70.0, 1e3, 2e4])
def test_the_scale_of_a_steep_factor_is_that_of_its_path(rate):
    """From 1 it falls to 0: its path is at most 1, whatever a coarse grid makes of it; 0.6 is its diffusion's part."""
    for unit, time in ((1.0, 1.0), (1e-9, 1e7)):
        factor = ornstein_uhlenbeck(rate / time, 0.6 * unit / time**0.5, initial=(unit,))
        np.testing.assert_allclose(factor.scale(time), [1.6 * unit], rtol=1e-9)


def test_a_factor_is_looked_at_in_its_own_unit():
    """A diffusion that no number holds far from where the factor is, and one that vanishes at its start alone."""
    steep = Factor((0.0,), diffusion=lambda t, x: 1e-4 * np.exp(1e4 * x))
    assert steep.random(1.0)
    wide = Factor((1e6,), diffusion=lambda t, x: np.maximum(np.abs(x - 1e6) - 10.0, 0.0))
    assert wide.random(1.0)

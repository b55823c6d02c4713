"""Payoffs through JAX are NumPy's, and their derivatives are finite differences of NumPy's."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from makertaker.envs import Controls, Noise, draw_noise, load_scenario, rollout, scenario_names, simulate  # noqa: E402
from makertaker.envs.grid import join_controls, split_controls  # noqa: E402
from makertaker.envs.jax_env import JaxMarket, JaxNoise  # noqa: E402
from support.arrays import jax_precision  # noqa: E402

STEPS = 5
DIFFERENTIATED = ("acas", "execution-2", "execution-signal", "maker-taker-softmax", "approximation")
"""best quote, execution, execution with a factor, softmax, best quote with a factor and noise"""


def ends(game: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest controls of the action range, side by side, (N + 2M,)."""
    low, high = (join_controls(game, each) for each in game.action_range())
    return low, high


def owners(game: Any) -> np.ndarray:
    """(N + 2M,) the agent to whom each control belongs."""
    return np.concatenate([np.arange(game.traders), np.repeat(np.arange(game.traders, len(game.agents)), 2)])


def feedback(game: Any, weights: Any, time: Any, inventories: Any, library: Any) -> Any:
    """Controls (N + 2M,) within the action range: a logistic function of time and of one's own inventory.

    Args:
        game: the game.
        weights: (3, N + 2M) of a constant, of time, and of the inventory.
        time: of the step.
        inventories: (n,).
        library: NumPy, or JAX's.
    """
    low, high = ends(game)
    scale = np.abs(game.start).max() or 1.0
    drive = weights[0] + weights[1] * time / game.horizon + weights[2] * inventories[owners(game)] / scale
    return low + (high - low) / (1.0 + library.exp(-drive))


def noise_of(game: Any) -> Noise:
    """Increments of one episode: of the factor and the inventories where the game has them."""
    drawn = draw_noise(game, STEPS, 2, 7)
    one = [None if each is None else each[0] for each in drawn or Noise()]
    return Noise(*one)


def weights_of(game: Any) -> np.ndarray:
    return 0.7 * np.random.default_rng(3).standard_normal((3, game.traders + 2 * game.makers))


def numpy_payoffs(game: Any, weights: np.ndarray, noise: Noise) -> np.ndarray:
    """(n,) payoffs of the feedback in :func:`.rollout`."""
    places = owners(game)

    def rule(index: int, k: int, state: Any) -> Any:
        return feedback(game, weights, state.time, state.inventories, np)[places == index]

    policies = {name: partial(rule, index) for index, name in enumerate(game.agents)}
    return np.asarray(rollout(game, policies, STEPS, noise).payoffs)


def jax_payoffs(env: JaxMarket, controls_of: Any, noise: Noise) -> Any:
    """(n,) payoffs in JAX of controls (N + 2M,), a function of the step and the state."""
    game, params = env.game, env.default_params

    def one(state: Any, each: Any) -> Any:
        controls = split_controls(game, controls_of(state.k, state))
        after, reward, _ = env.advance(state, controls, each, params)
        return after, reward

    _, state = env.reset(jax.random.key(0))
    given = JaxNoise(*(None if each is None else jax.numpy.asarray(each) for each in noise))
    _, rewards = jax.lax.scan(one, state, given, length=STEPS)
    return rewards.sum(axis=0)


def by_feedback(env: JaxMarket, noise: Noise, weights: Any) -> Any:
    times = jax.numpy.asarray(env.times)
    rule = partial(feedback, env.game, weights)
    return jax_payoffs(env, lambda k, state: rule(times[k], state.inventories, jax.numpy), noise)


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("name", scenario_names())
def test_policies_pay_the_same(name: str, double: bool) -> None:
    """To 1e-9 in double precision, to 1e-4 in single; every scenario, with its noise."""
    game = load_scenario(name)
    noise, weights = noise_of(game), weights_of(game)
    expected = numpy_payoffs(game, weights, noise)
    units = np.array([game.payoff_unit(agent) for agent in game.agents])
    with jax_precision(double):
        env = JaxMarket(game, steps=STEPS, units="currency")
        found = np.asarray(jax.jit(partial(by_feedback, env, noise))(weights))
        assert found.dtype == (np.float64 if double else np.float32)
    tolerance = 1e-9 if double else 1e-4
    np.testing.assert_allclose(found / units, expected / units, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_of_a_feedback_are_finite_differences(name: str) -> None:
    """Everyone's payoff by everyone's weights, along a direction; the differences are of NumPy's payoffs."""
    game = load_scenario(name)
    noise, weights = noise_of(game), weights_of(game)
    direction = np.random.default_rng(4).standard_normal(weights.shape)
    with jax_precision():
        env = JaxMarket(game, steps=STEPS, units="currency")
        jacobian = np.asarray(jax.jit(jax.jacrev(partial(by_feedback, env, noise)))(weights))
    found = np.einsum("aij,ij->a", jacobian, direction)
    h = 1e-5
    ahead, behind = (numpy_payoffs(game, weights + step * direction, noise) for step in (h, -h))
    numeric = (ahead - behind) / (2 * h)
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-7 * np.abs(numeric).max())


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_of_schedules_are_finite_differences(name: str) -> None:
    game = load_scenario(name)
    noise, (low, high) = noise_of(game), ends(game)
    rng = np.random.default_rng(5)
    schedule = low + (high - low) * rng.uniform(0.2, 0.8, (STEPS, len(low)))
    direction = (high - low) * rng.standard_normal(schedule.shape)

    def payoffs(flat: np.ndarray) -> np.ndarray:
        return np.asarray(simulate(game, Controls(*split_controls(game, flat)), STEPS, noise).payoffs)

    with jax_precision():
        env = JaxMarket(game, steps=STEPS, units="currency")

        def played(flat: Any) -> Any:
            return jax_payoffs(env, lambda k, state: flat[k], noise)

        values, jacobian = map(np.asarray, jax.jit(lambda flat: (played(flat), jax.jacrev(played)(flat)))(schedule))
    np.testing.assert_allclose(values, payoffs(schedule), rtol=1e-9)
    found = np.einsum("akc,kc->a", jacobian, direction)
    h = 1e-6
    numeric = (payoffs(schedule + h * direction) - payoffs(schedule - h * direction)) / (2 * h)
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-7 * np.abs(numeric).max())

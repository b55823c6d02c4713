"""Games in JAX: NumPy's trajectories, under jit, vmap and scan, in the shape that gymnax users expect."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from makertaker.envs import Noise, draw_noise, load_scenario, simulate  # noqa: E402
from makertaker.envs.jax_env import JaxMarket, JaxNoise  # noqa: E402
from makertaker.envs.parallel_env import GameParallelEnv  # noqa: E402
from support.arrays import jax_precision  # noqa: E402
from support.env_markets import KINDS, in_currency  # noqa: E402

NAMES = (
    "acas",
    "acas-noise-flow",
    "maker-taker-3x3",
    "maker-taker-softmax",
    "execution-signal",
    "approximation-2x3",
    "makers-only",
    "dealers",
)
STEPS = 6


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    with jax_precision():
        yield


def draw(env: JaxMarket, seed: int) -> dict[str, np.ndarray]:
    """Random actions by role for a whole episode."""
    rng = np.random.default_rng(seed)
    counts = {"trader": env.game.traders, "maker": env.game.makers}
    return {role: rng.uniform(-1.2, 1.2, (STEPS, counts[role], env.action_size(role))) for role in env.roles}


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("name", NAMES)
def test_trajectories_are_numpys(name: str, reward: Any, normalize: bool | None) -> None:
    """Controls, inventories, factor, price and rewards of an episode to 1e-12, with the same noise."""
    game = load_scenario(name)
    env = JaxMarket(game, steps=STEPS, reward=reward, normalize=normalize)
    actions = draw(env, 1)
    noise = draw_noise(game, STEPS, 2, 3, price=True)
    assert noise is not None
    d, n = (0 if game.factor is None else game.factor.size), len(game.agents)
    price = noise.price[0]
    factor = np.zeros((STEPS, d)) if noise.factor is None else noise.factor[0]
    inventory = np.zeros((STEPS, n)) if noise.inventory is None else noise.inventory[0]
    params = env.default_params
    advance = jax.jit(env.advance)
    _, state = env.reset(jax.random.key(0), params)
    rewards, inventories, controls, prices, volumes = [], [state.inventories], [], [state.price], []
    for k in range(STEPS):
        taken = env.controls({role: each[k] for role, each in actions.items()})
        state, reward_k, _ = advance(state, taken, JaxNoise(price[k], factor[k], inventory[k]), params)
        rewards.append(reward_k)
        inventories.append(state.inventories)
        prices.append(state.price)
        volumes.append(state.volumes)
        controls.append(taken)
    stacked = type(controls[0])(*(np.stack(each) for each in zip(*controls, strict=True)))
    given = Noise(
        price,
        None if noise.factor is None else factor,
        None if noise.inventory is None else inventory,
    )
    expected = simulate(game, stacked, STEPS, given)
    np.testing.assert_allclose(np.stack(inventories), expected.inventories, atol=1e-12)
    total = in_currency(env, np.stack(rewards).sum(axis=0))
    np.testing.assert_allclose(total, expected.wealth if reward == "wealth" else expected.payoffs, atol=1e-10)
    np.testing.assert_allclose(np.stack(prices), expected.mid, atol=1e-10)
    traded = np.stack([expected.activity.buy_volume, expected.activity.sell_volume], axis=-1) * env.dt
    np.testing.assert_allclose(np.stack(volumes), traded, atol=1e-12)
    if expected.factor is not None:
        np.testing.assert_allclose(state.factor, expected.factor[-1], atol=1e-12)


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["acas", "approximation"])
def test_observations_actions_and_rewards_are_the_environments(name: str, kind: Any, normalize: bool | None) -> None:
    """The same actions and noise in PettingZoo's form and in JAX's."""
    game = load_scenario(name)
    options: dict[str, Any] = {"steps": STEPS, "observation": kind, "normalize": normalize}
    env, other = (make(game, **options, identity=kind == "own") for make in (JaxMarket, GameParallelEnv))
    actions = draw(env, 2)
    seen, state = env.reset(jax.random.key(0))
    theirs, _ = other.reset(seed=5)
    split = game.traders
    for k in range(STEPS):
        mine = np.concatenate([np.asarray(seen[role]) for role in env.roles])
        np.testing.assert_allclose(mine, np.stack(list(theirs.values())), atol=1e-6)
        taken = {role: each[k] for role, each in actions.items()}
        named = [*taken["trader"], *taken["maker"]]
        before, price = other.market.factor, other.market.price
        theirs, rewards, ended, _, _ = other.step(dict(zip(game.agents, named, strict=True)))
        market = other.market
        shock = np.zeros(len(game.agents))
        moved = np.zeros(0)
        if game.factor is not None:
            still = game.factor.move(market.times[k], before, market.dt, np.zeros(1))
            moved = (market.factor - still) / market.dt**0.5  # of volatility 1
            shock = market.shock / (game.inventory_noise * market.dt**0.5)
        jump = (market.price - price) / (game.volatility * market.dt**0.5)
        noise = JaxNoise(np.asarray(jump), moved, shock)
        state, reward, _ = env.advance(state, env.controls(taken), noise, env.default_params)
        seen = env.observe(state)
        np.testing.assert_allclose(reward, list(rewards.values()), atol=1e-10)
        assert seen["trader"].shape == (split, env.observation_size)
    assert all(ended.values())


def test_scan_vmap_and_automatic_reset() -> None:
    """Two episodes of a hundred markets in one compiled scan; the markets differ by noise alone."""
    game = load_scenario("approximation")
    env = JaxMarket(game, steps=STEPS)
    params = env.default_params

    def play(carry: Any, key: Any) -> Any:
        seen, state = carry
        actions = {role: jax.numpy.tanh(each[:, : env.action_size(role)]) for role, each in seen.items()}
        seen, state, rewards, dones, info = env.step(key, state, actions, params)
        return (seen, state), (rewards, dones["__all__"], info["inventories"])

    def episodes(key: Any) -> Any:
        return jax.lax.scan(play, env.reset(key, params), jax.random.split(key, 2 * STEPS))

    (_, state), (rewards, dones, inventories) = jax.jit(jax.vmap(episodes))(jax.random.split(jax.random.key(1), 100))
    assert rewards["trader"].shape == (100, 2 * STEPS, 1)
    assert rewards["maker"].shape == (100, 2 * STEPS, 2)
    np.testing.assert_array_equal(np.flatnonzero(dones[0]), [STEPS - 1, 2 * STEPS - 1])
    np.testing.assert_array_equal(state.k, 0)
    np.testing.assert_allclose(state.inventories, np.tile(game.start, (100, 1)))
    assert np.std(inventories[:, STEPS - 1, 0]) == pytest.approx(game.inventory_noise, rel=0.25)


def test_parameters_can_be_vmapped_over() -> None:
    """Gradients through an episode, and a batch of initial inventories."""
    env = JaxMarket(load_scenario("acas"), steps=STEPS)
    actions = draw(env, 4)

    @jax.jit
    def payoff(initial: Any) -> Any:
        params = env.default_params._replace(initial=initial)
        key = jax.random.key(0)
        _, state = env.reset(key, params)
        total = 0.0
        for k in range(STEPS):
            taken = {role: each[k] for role, each in actions.items()}
            _, state, rewards, _, _ = env.step_env(key, state, taken, params)
            total = total + rewards["trader"][0]
        return total

    starts = np.array([[-5.0, 1.0, 0.0], [-3.0, 1.0, 0.0]])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(payoff)))(starts)
    h = 1e-6
    numeric = (payoff(starts[0] + [h, 0, 0]) - payoff(starts[0] - [h, 0, 0])) / (2 * h)
    assert slopes[0, 0] == pytest.approx(float(numeric), rel=1e-5)
    assert values[0] != values[1]


PARTS = ("price", "factor", "inventory")


@pytest.mark.parametrize(
    ("name", "changes", "drawn"),
    [
        ("acas", {"volatility": 0.0}, ()),
        ("acas", {}, ("price",)),
        ("execution-signal", {}, ("price", "factor")),
        ("approximation", {}, PARTS),
        ("approximation", {"volatility": 0.0}, PARTS[1:]),
    ],
    ids=str,
)
def test_only_the_noise_of_a_market_is_drawn(name: str, changes: dict[str, float], drawn: tuple[str, ...]) -> None:
    """By parameters that are known, in compiled code as well; standard normal, independent of each other."""
    env = JaxMarket(name, steps=STEPS, **changes)
    keys = jax.random.split(jax.random.key(4), 4000)
    noise = jax.jit(jax.vmap(lambda key: env.draw(key, env.default_params)))(keys)
    assert {part for part in PARTS if getattr(noise, part) is not None} == set(drawn)
    flat = np.column_stack(
        [np.reshape(each, (4000, -1)) for each in noise if each is not None] or [np.zeros((4000, 0))]
    )
    sizes = {
        "price": 1,
        "factor": 0 if env.game.factor is None else env.game.factor.size,
        "inventory": len(env.game.agents),
    }
    assert flat.shape[1] == sum(sizes[part] for part in drawn)
    if drawn:
        moments = flat.T @ flat / 4000  # of the identity to 5 standard errors
        np.testing.assert_allclose(moments, np.eye(flat.shape[1]), atol=5 * (2 / 4000) ** 0.5)
        np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=5 / 4000**0.5)


def test_noise_that_may_be_there_is_drawn() -> None:
    """Parameters that are traced may be positive; a positive one that stands in place of the game's zero is."""
    env = JaxMarket("acas", steps=STEPS, volatility=0.0)
    key, params = jax.random.key(5), env.default_params
    traced = jax.jit(env.draw)(key, params)
    assert traced.price is not None
    assert traced.inventory.shape == (3,)
    noisy = env.draw(key, params._replace(inventory_noise=0.5))
    assert (noisy.price, noisy.inventory.shape) == (None, (3,))
    moved = env.step(key, env.reset(key)[1], {"trader": np.zeros((1, 1)), "maker": np.zeros((2, 2))}, params)[1]
    assert moved.price == env.game.initial_price


def test_an_episode_starts_independently_of_the_noise_before_it() -> None:
    """The last step's noise, and the inventories that the next episode starts with."""
    env = JaxMarket("approximation", steps=1, inventory_spread=0.1)
    keys = jax.random.split(jax.random.key(6), 4000)
    _, state = jax.jit(jax.vmap(env.reset))(keys)
    still = {"trader": np.zeros((4000, 1, 1)), "maker": np.zeros((4000, 2, 2))}
    _, after, _, _, info = jax.jit(jax.vmap(env.step))(keys, state, still)
    before = np.column_stack([np.reshape(each, (4000, -1)) for each in info["noise"]])
    correlations = np.corrcoef(before.T, np.asarray(after.inventories).T)[: before.shape[1], before.shape[1] :]
    assert np.abs(correlations).max() < 5 / 4000**0.5
    np.testing.assert_allclose(np.std(after.inventories, axis=0), 0.1, rtol=0.1)


ON_DEVICES = """
import jax, numpy as np
from makertaker.envs.jax_env import JaxMarket

env = JaxMarket("approximation", steps=3, observation="full")

def play(key):
    def one(carry, key):
        seen, state = carry
        actions = {role: jax.numpy.tanh(each[:, : env.action_size(role)]) for role, each in seen.items()}
        seen, state, rewards, _, _ = env.step(key, state, actions)
        return (seen, state), rewards
    return jax.lax.scan(one, env.reset(key), jax.random.split(key, 4))

keys = jax.random.split(jax.random.key(0), 6)
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("device",))
assert mesh.size == 2
spread = jax.device_put(keys, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device")))
compiled = jax.jit(jax.vmap(play))
one, two = compiled(keys), compiled(spread)
assert len(two[1]["trader"].sharding.device_set) == 2
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, two)
"""


def test_markets_are_shared_by_devices() -> None:
    """Two devices play what one plays; their number is fixed when JAX starts, hence in another process."""
    two = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    flags = os.environ | {"XLA_FLAGS": two, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", ON_DEVICES], env=flags, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_factors_that_jax_cannot_trace_are_refused() -> None:
    from dataclasses import replace

    game = load_scenario("approximation")
    opaque = replace(game, factor=replace(game.factor, drift=lambda t, x: np.asarray(np.array(x) * -1.0)))
    with pytest.raises(ValueError, match="must work on JAX arrays"):
        JaxMarket(opaque, steps=STEPS)

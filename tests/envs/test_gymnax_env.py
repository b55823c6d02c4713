"""One agent learns in JAX: the numbers of the Gymnasium environment, and the calls of PureJaxRL's learners."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from makertaker.baselines import solve  # noqa: E402
from makertaker.baselines.gymnax_envs import gymnax_market  # noqa: E402
from makertaker.envs import RandomMarkets, Uniform, load_scenario  # noqa: E402
from makertaker.envs.arrays import namespace  # noqa: E402
from makertaker.envs.gymnax_env import GymnaxMarket  # noqa: E402
from makertaker.envs.parallel_env import GameParallelEnv  # noqa: E402
from makertaker.envs.single_agent_env import SingleAgentEnv  # noqa: E402
from support.arrays import jax_precision  # noqa: E402

jnp = jax.numpy
STEPS = 5
KEY = jax.random.key(2)
LEARNERS = [("acas", "trader_0"), ("acas", "maker_1"), ("maker-taker-3x3", "maker_0"), ("execution-2", "trader_1")]


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    with jax_precision():
        yield


def reacting(game: Any, name: str) -> Any:
    """A policy that looks at all of the state, with arrays of any library."""
    index = game.positions[name]

    def policy(k: Any, state: Any) -> Any:
        xp = namespace(state.inventories)
        own = 0.1 * state.time * state.inventories[..., index] + 0.01 * k
        if index < game.traders:
            return xp.stack([-own + 0.1 * state.volumes[..., 0]], axis=-1)
        ask, bid = state.quotes[..., 0, 0], state.quotes[..., 1, 0]
        return xp.stack([1.0 - own + 0.1 * ask, 1.0 + own + 0.1 * bid + 0.001 * state.price], axis=-1)

    return policy


def others_of(game: Any, agent: str, kind: str) -> dict[str, Any]:
    if kind == "schedules":
        return {name: each for name, each in solve(game, STEPS).open_loop().items() if name != agent}
    return {name: reacting(game, name) for name in game.agents if name != agent}


@pytest.mark.parametrize("kind", ["schedules", "functions"])
@pytest.mark.parametrize(("name", "agent"), LEARNERS)
def test_an_episode_is_the_gymnasium_environments(name: str, agent: str, kind: str) -> None:
    """Observations to 1e-6, which are single, rewards to 1e-9; prices do not jump."""
    from dataclasses import replace

    game = replace(load_scenario(name), volatility=0.0)  # type: ignore[call-arg]
    others = others_of(game, agent, kind)
    env = GymnaxMarket(game, steps=STEPS, agent=agent, others=others)
    other = SingleAgentEnv(GameParallelEnv(game, steps=STEPS), agent, others)
    space = other.action_space
    rng = np.random.default_rng(0)
    seen, state = env.reset(KEY, env.default_params)
    theirs, _ = other.reset(seed=0)
    step = jax.jit(env.step)
    for k in range(STEPS):
        np.testing.assert_allclose(seen, theirs, atol=1e-6)
        action = 1.1 * rng.uniform(space.low, space.high)
        seen, state, reward, done, info = step(KEY, state, action, env.default_params)
        theirs, expected, terminated, truncated, _ = other.step(action)
        assert float(reward) == pytest.approx(expected, abs=1e-9)
        assert bool(done) == terminated == (k == STEPS - 1)
        assert float(info["discount"]) == 1.0 - terminated
        assert not truncated
    np.testing.assert_array_equal(seen, env.reset(KEY)[0])  # of the next episode
    assert (env.observation_space(None).shape, env.action_space(None).shape) == (theirs.shape, space.shape)
    assert env.num_actions == space.shape[0]
    np.testing.assert_array_equal(env.action_space().high, space.high)
    np.testing.assert_array_equal(env.observation_space().low, other.observation_space.low)


@pytest.mark.parametrize("agent", [None, "maker_1"])
def test_others_play_the_equilibrium(agent: str | None) -> None:
    """Whoever plays its own part as well earns what it earns in equilibrium; without a name the first agent learns."""
    nash = solve("acas")
    env = gymnax_market("acas", agent=agent, normalize=False)
    chosen = jnp.asarray(nash.open_loop()[env.agent].schedule)

    def play(key: Any) -> Any:
        def one(state: Any, k: Any) -> Any:
            _, after, reward, _, _ = env.step(jax.random.fold_in(key, k), state, chosen[k], env.default_params)
            return after, reward

        _, state = env.reset(key, env.default_params)
        return jax.lax.scan(one, state, jnp.arange(len(chosen)))[1].sum()

    assert (env.agent, env.name) == (agent or "trader_0", "acas")
    assert float(jax.jit(play)(KEY)) == pytest.approx(nash.payoffs[nash.game.positions[env.agent]], rel=1e-9)


@pytest.mark.parametrize("truncated", [False, True])
def test_the_calls_of_a_learner(truncated: bool) -> None:
    """Batches of markets with shared parameters in one scan; returns are those of whole episodes.

    The wrappers of PureJaxRL compile with the environment as a static argument, map over keys and states alone, and add
    their own entries to ``info``.
    """
    env = gymnax_market("acas", agent="maker_0", steps=STEPS, truncated=truncated)
    params, markets = env.default_params, 7

    @partial(jax.jit, static_argnums=0)
    def logged(env: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
        inner, total, returned = state
        seen, inner, reward, *ended, info = env.step(key, inner, action, params)
        done = jnp.any(jnp.stack(ended))
        total = total + reward
        returned = jnp.where(done, total, returned)
        info["returned_episode_returns"] = returned
        return seen, (inner, total * (1 - done), returned), reward, done, info

    def one(carry: Any, key: Any) -> Any:
        seen, state = carry
        keys = jax.random.split(key, markets)
        action = jax.vmap(env.action_space(params).sample)(keys)
        step = jax.vmap(partial(logged, env), in_axes=(0, 0, 0, None))
        seen, state, reward, done, info = step(keys, state, action, params)
        return (seen, state), (seen, reward, done, info)

    seen, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(KEY, markets), params)
    begin = seen, (state, jnp.zeros(markets), jnp.zeros(markets))
    _, (observed, rewards, done, info) = jax.jit(
        lambda key: jax.lax.scan(one, begin, jax.random.split(key, 2 * STEPS))
    )(KEY)
    assert observed.shape == (2 * STEPS, markets, *env.observation_space(params).shape)
    np.testing.assert_array_equal(np.flatnonzero(done[:, 0]), [STEPS - 1, 2 * STEPS - 1])
    returned = info["returned_episode_returns"]
    np.testing.assert_allclose(returned[-1], rewards[STEPS:].sum(axis=0), rtol=1e-6)
    if truncated:
        assert not info["truncated"].any()
        np.testing.assert_array_equal(info["terminated"], done)
        shown = info["final_observation"]
        np.testing.assert_array_equal(shown[0], observed[0])  # where nothing has ended
        np.testing.assert_array_equal(shown[STEPS - 1, :, 0], 1.0)  # the time, at the horizon
    else:
        np.testing.assert_array_equal(info["discount"], 1.0 - done)
    np.testing.assert_array_equal(observed[STEPS - 1, :, 0], 0.0)


def test_a_step_without_a_reset() -> None:
    env = gymnax_market("acas", steps=1)
    _, state = env.reset(KEY)
    seen, after, reward, done, info = jax.jit(env.step_env)(KEY, state, jnp.zeros(1))
    _, _, same, ended, _ = jax.jit(env.step)(KEY, state, jnp.zeros(1))
    assert done == ended == env.is_terminal(after)
    assert not env.is_terminal(state)
    assert reward == same
    assert info["discount"] == 0.0
    np.testing.assert_array_equal(seen, env.get_obs(after))


def test_random_markets() -> None:
    """Every episode draws its own, without parameters; the others' policies are given."""
    random = RandomMarkets(load_scenario("acas"), {"trader_inventory": Uniform([-8.0], [-2.0])})
    env = GymnaxMarket(random, steps=1, others=others_of(random.game, "trader_0", "functions"))
    assert env.default_params is None
    keys = jax.random.split(KEY, 300)

    @jax.jit
    def played(keys: Any) -> Any:
        _, state = jax.vmap(env.reset, in_axes=(0, None))(keys, env.default_params)
        return state, *jax.vmap(env.step, in_axes=(0, 0, 0, None))(keys, state, jnp.zeros((300, 1)), None)

    state, _, after, _, done, _ = played(keys)
    assert done.all()
    for each in (state, after):
        assert np.std(each.inventories[:, 0]) == pytest.approx(6 / 12**0.5, rel=0.15)
    with pytest.raises(ValueError, match="others: expected policies in random markets"):
        gymnax_market(random)


def test_bad_arguments() -> None:
    game = load_scenario("acas")
    good = others_of(game, "trader_0", "functions")
    make = partial(GymnaxMarket, game, steps=STEPS)
    with pytest.raises(ValueError, match=r"others: expected policies of \['maker_0', 'maker_1'\], got \['maker_0'\]"):
        make(others={"maker_0": good["maker_0"]})
    with pytest.raises(ValueError, match=r"unknown agent .*expected one of"):
        make(agent="nobody", others=good)
    with pytest.raises(ValueError, match=r"maker_0: expected a schedule of finite controls \(5, 2\), got"):
        make(others=good | {"maker_0": np.zeros((4, 2))})
    with pytest.raises(ValueError, match=r"maker_0: expected controls of shape \(2,\), got \(1,\)"):
        make(others=good | {"maker_0": lambda k, state: jnp.zeros(1)})
    with pytest.raises(ValueError, match="maker_0: expected a schedule, or a function of a step and a state that JAX"):
        make(others=good | {"maker_0": lambda k, state: np.asarray(state.inventories)[1:]})
    with pytest.raises(ValueError, match="maker_0: its policy was made for 20 steps, expected one for 5"):
        make(others=good | {"maker_0": solve(game, 20).open_loop()["maker_0"]})
    with pytest.raises(ValueError, match=r"in equilibrium the controls of \['trader_0', 'maker_0', 'maker_1'\] depend"):
        gymnax_market("approximation", steps=STEPS)
    env = make(others=good)
    _, state = env.reset(KEY)
    with pytest.raises(ValueError, match=r"trader_0: expected actions of shape \(1,\), got \(2,\)"):
        env.step(KEY, state, jnp.zeros(2))
    with pytest.raises(ValueError, match="trader_0: expected numbers, got actions with NaN"):
        env.step(KEY, state, jnp.full(1, jnp.nan))

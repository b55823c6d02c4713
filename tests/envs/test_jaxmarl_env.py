"""JAX markets with dictionaries by agent: the calls of JaxMARL's learners, and the trajectories of JaxMarket."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from makertaker.envs import RandomMarkets, Uniform, load_scenario, scenario_names  # noqa: E402
from makertaker.envs.jax_env import JaxMarket  # noqa: E402
from makertaker.envs.jaxmarl_env import JaxMARLMarket  # noqa: E402
from makertaker.envs.parallel_env import GameParallelEnv  # noqa: E402
from support.arrays import jax_precision  # noqa: E402
from support.jax_learners import batchify, shared_policy_gradient, unbatchify  # noqa: E402

jnp = jax.numpy
STEPS = 4
METHODS = (None, "max")
KEY = jax.random.key(3)


def actions_of(env: JaxMARLMarket, seed: int) -> list[dict[str, Any]]:
    """Random actions of two episodes; where they are of one size, the entries beyond an agent's own are noise."""
    rng = np.random.default_rng(seed)
    return [
        {agent: rng.uniform(-1.2, 1.2, env.action_space(agent).shape).astype(np.float32) for agent in env.agents}
        for _ in range(2 * STEPS)
    ]


def everyone(market: JaxMarket, roles: Any) -> np.ndarray:
    """Arrays by role as one over the agents; dictionaries that leave compiled code are sorted."""
    return np.concatenate([roles[role] for role in market.roles])


def by_role(market: JaxMarket, actions: dict[str, Any]) -> dict[str, Any]:
    return {
        role: np.stack([actions[agent][: market.action_size(role)] for agent in market.view.agents(role)])
        for role in market.roles
    }


@pytest.fixture
def double_precision() -> Iterator[None]:
    with jax_precision():
        yield


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["acas", "execution-2", "makers-only", "approximation"])
def test_the_market_is_jax_markets(name: str, method: Any) -> None:
    """Observations, rewards, dones and states of two episodes, with the same keys."""
    env = JaxMARLMarket(name, steps=STEPS, homogenisation_method=method)
    market = JaxMarket(name, steps=STEPS, identity=method == "max")
    seen, state = env.reset(KEY)
    other_seen, other = market.reset(KEY)
    step, other_step = jax.jit(env.step), jax.jit(market.step)
    for k, actions in enumerate(actions_of(env, 1)):
        for agent, one in zip(env.agents, everyone(market, other_seen), strict=True):
            np.testing.assert_allclose(seen[agent], one, rtol=1e-6)
        key = jax.random.fold_in(KEY, k)
        seen, state, rewards, dones, info = step(key, state, actions)
        other_seen, other, expected, ended, about = other_step(key, other, by_role(market, actions))
        # two programs, which may add up in another order
        np.testing.assert_allclose([rewards[each] for each in env.agents], everyone(market, expected), rtol=1e-12)
        assert {*dones} == {*env.agents, "__all__"}
        assert all(bool(each) == bool(ended["__all__"]) == (k % STEPS == STEPS - 1) for each in dones.values())
        np.testing.assert_allclose(info["inventories"], about["inventories"], rtol=1e-12)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12), state, other)


def test_step_env_does_not_start_again() -> None:
    env = JaxMARLMarket("acas", steps=1)
    _, state = env.reset(KEY)
    actions = actions_of(env, 2)[0]
    seen, after, rewards, dones, info = env.step_env(KEY, state, actions)
    again = env.step(KEY, state, actions, reset_state=after)
    assert dones["__all__"]
    assert after.k == 1
    np.testing.assert_array_equal(info["inventories"], after.inventories)
    jax.tree.map(np.testing.assert_array_equal, (seen, after, rewards, dones, info), again)  # starts from that state
    jax.tree.map(np.testing.assert_array_equal, env.get_obs(after), seen)


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("name", ["acas", "execution-2", "makers-only"])
def test_spaces_are_the_environments(name: str, normalize: bool | None) -> None:
    """PettingZoo's bounds, and draws from them; entries beyond an agent's own are in [-1, 1]."""
    env, other = JaxMARLMarket(name, normalize=normalize), GameParallelEnv(load_scenario(name), normalize=normalize)
    padded = JaxMARLMarket(name, normalize=normalize, homogenisation_method="max")
    assert env.agents == list(other.possible_agents)
    assert env.num_agents == len(env.agents)
    assert env.name == name
    sizes = {each.shape for each in padded.action_spaces.values()}
    assert sizes == {(max(each.shape[0] for each in env.action_spaces.values()),)}
    for agent in env.agents:
        for mine, theirs in (
            (env.observation_space(agent), other.observation_space(agent)),
            (env.action_space(agent), other.action_space(agent)),
        ):
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_array_equal(mine.low, theirs.low)
            np.testing.assert_array_equal(mine.high, theirs.high)
        size, space = env.action_space(agent).shape[0], padded.action_space(agent)
        np.testing.assert_array_equal(space.low[:size], env.action_space(agent).low)
        np.testing.assert_array_equal(space.high[size:], 1.0)
        drawn = jax.vmap(space.sample)(jax.random.split(KEY, 200))
        assert jax.vmap(space.contains)(drawn).all()
        assert not space.contains(1.5 * space.high)
        np.testing.assert_allclose(drawn.min(axis=0), space.low, atol=0.1 * np.ptp([space.low, space.high]))
        available = padded.get_avail_actions(padded.reset(KEY)[1])[agent]
        np.testing.assert_array_equal(available, np.arange(len(available)) < size)
        assert env.get_avail_actions(env.reset(KEY)[1])[agent].all()
    assert [agent for agents in env.agent_classes.values() for agent in agents] == env.agents
    assert padded.observation_space(env.agents[0]).shape[0] == env.observation_space(env.agents[0]).shape[0] + len(
        env.agents
    )


def test_boxes_are_gymnaxs_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wrappers, and JaxMARL's, ask for the class."""
    import sys
    import types

    class Theirs:
        def __init__(self, low: Any, high: Any, shape: Any, dtype: Any) -> None:
            self.given = low, high, shape, dtype

    monkeypatch.setitem(sys.modules, "gymnax.environments.spaces", types.SimpleNamespace(Box=Theirs))
    space = JaxMARLMarket("acas", normalize=True).action_space("maker_0")
    assert isinstance(space, Theirs)
    low, high, shape, dtype = space.given
    np.testing.assert_array_equal([low, high], [[-1, -1], [1, 1]])
    assert (shape, dtype) == ((2,), np.float32)


@pytest.mark.parametrize("drawn", ["starts", "markets"])
def test_every_episode_draws(drawn: str) -> None:
    """Random starts and random markets, at a reset and where an episode ends."""
    game: Any = load_scenario("acas")
    if drawn == "markets":
        game = RandomMarkets(game, {"trader_inventory": Uniform([-8.0], [-2.0])})
    env = JaxMARLMarket(game, steps=1, inventory_spread=0.5 if drawn == "starts" else 0.0)
    keys = jax.random.split(KEY, 500)
    _, state = jax.jit(jax.vmap(env.reset))(keys)
    actions = {agent: jnp.zeros((500, size)) for agent, size in env.sizes.items()}
    _, after, _, dones, _ = jax.jit(jax.vmap(env.step))(keys, state, actions)
    assert dones["__all__"].all()
    for each in (state.inventories[:, 0], after.inventories[:, 0]):
        assert np.std(each) == pytest.approx(0.5 if drawn == "starts" else 6 / 12**0.5, rel=0.15)
    correlation = np.corrcoef(state.inventories[:, 0], after.inventories[:, 0])[0, 1]
    assert abs(correlation) < 4 / 500**0.5


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="homogenisation_method: expected None or 'max', got 'concat'"):
        JaxMARLMarket("acas", homogenisation_method="concat")  # type: ignore[arg-type]
    env = JaxMARLMarket("acas")
    _, state = env.reset(KEY)
    for space in (env.action_space, env.observation_space):
        with pytest.raises(
            ValueError, match=r"unknown agent 'x': .*expected one of \['trader_0', 'maker_0', 'maker_1'\]"
        ):
            space("x")
    good = actions_of(env, 0)[0]
    with pytest.raises(
        ValueError, match=r"actions: expected one entry for each of \['trader_0', 'maker_0', 'maker_1'\]"
    ):
        env.step(KEY, state, {"trader_0": good["trader_0"]})
    with pytest.raises(ValueError, match=r"maker_1: expected actions of shape \(2,\), got \(3,\)"):
        env.step(KEY, state, good | {"maker_1": jnp.zeros(3)})
    with pytest.raises(ValueError, match="maker_0: expected numbers, got actions with NaN"):
        env.step(KEY, state, good | {"maker_0": jnp.full(2, jnp.nan)})


def test_batches_by_agent() -> None:
    """What is filled up by zeros and taken apart again is what it was: the learner below relies on it."""
    given = {"a": jnp.arange(3.0)[:, None], "b": jnp.arange(6.0).reshape(3, 2)}
    joined = batchify(given, ["a", "b"])
    assert joined.shape == (6, 2)
    apart = unbatchify(joined, ["a", "b"], 3)
    np.testing.assert_array_equal(apart["a"], [[0, 0], [1, 0], [2, 0]])
    np.testing.assert_array_equal(apart["b"], given["b"])


@pytest.mark.parametrize("name", scenario_names())
def test_a_learner_finds_its_calls(name: str) -> None:
    """Independent learners that share a network: every scenario can be traced with the calls that JaxMARL's make."""
    env = JaxMARLMarket(name, homogenisation_method="max", observation="own")
    returns = jax.eval_shape(partial(shared_policy_gradient, env, markets=3, updates=2), KEY)
    assert returns.shape == (2, env.num_agents)


def test_a_learner_learns() -> None:
    """Policy gradients of one linear policy that the agents share: everyone's return rises from the range's middle."""
    env = JaxMARLMarket("acas", homogenisation_method="max", observation="time")
    returns = jax.jit(partial(shared_policy_gradient, env, markets=256, updates=60))(KEY)
    first, last = (np.asarray(each).mean(axis=0) for each in (returns[:5], returns[-5:]))
    assert (last > first + 0.02).all()

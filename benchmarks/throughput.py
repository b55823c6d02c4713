"""How fast are markets stepped, from the bare kernel to independent PPO?

    python benchmarks/throughput.py [--jax]

Ratios are to the bare NumPy step. ``--jax``: JAX alone, with many more markets, and with networks as policies, on the
devices that it finds, which share the markets; every core of the processor is one. Where other processes run, compare
what a second of one core does. Routes whose library is not installed are listed as such; RLlib's needs an environment
of its own (``make test-ray``). An agent-step is one agent acting once: a step of one ACAS market is three. The peers
are a loop over PettingZoo environments, and SuperSuit's vector environment of them, with padded actions.

Measured: tens of millions of agent-steps a second in NumPy, more with JAX, fewer through the libraries' environments
([speed](docs/results.md#speed))
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table
from timing import Rate, best, machine, rate

from makertaker.baselines import solve
from makertaker.envs import LogUniform, RandomMarkets, Uniform, acas_v0, load_scenario
from makertaker.envs.grid import grid, split_controls, step
from makertaker.envs.market import Market

GAME = load_scenario("acas")
RANDOM = RandomMarkets(
    GAME,
    {
        "trader_inventory": Uniform([-8.0], [-2.0]),
        "maker_inventory": Uniform([-1.0, -1.0], [1.0, 1.0]),
        "maker_terminal_penalty": Uniform(0.1, 1.0),
        "competition.gamma": LogUniform(0.5, 2.0),
        "impact.beta": Uniform(0.3, 0.8),
        "buy_flow": Uniform(0.5, 2.0),
        "sell_flow": Uniform(0.5, 2.0),
    },
)
STEPS = 100
AGENTS = len(GAME.agents)
HIDDEN = 64
UNROLL = 4
"""steps of the JAX environment in one turn of the compiled loop, a third faster than one on a processor"""
Row: TypeAlias = tuple[str, Callable[[], float | Rate], str]


def numpy_batch(markets: int, random: RandomMarkets | None = None) -> float:
    """Agent-steps per second of the batched NumPy market, new actions in [-1, 1] every step."""
    market = Market(GAME, STEPS, random, batch=(markets,))
    rng = np.random.default_rng(0)
    actions = [np.asfortranarray(rng.uniform(-1, 1, (markets, 5))) for _ in range(STEPS)]

    def episode() -> None:
        market.reset(rng)
        for each in actions:
            market.advance(market.controls(each))

    return markets * AGENTS * STEPS / best(episode)


@cache
def jax_mesh() -> Any:
    """All of JAX's devices; every core of the processor is one."""
    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    return jax.sharding.Mesh(np.array(jax.devices()), ("device",))


def jax_rate(markets: int, make: Callable[[int], Callable[[Any], Any]]) -> Rate:
    """Agent-steps per second of markets that are divided among the devices.

    Args:
        markets: their number.
        make: from the number of markets of one device, a function of a key that plays an episode of them.
    """
    import jax

    mesh = jax_mesh()
    own = markets // mesh.size
    keys = jax.random.split(jax.random.key(0), mesh.size)
    shared = jax.device_put(keys, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device")))
    play = jax.jit(jax.vmap(make(own)))
    return rate(lambda: jax.block_until_ready(play(shared)), own * mesh.size * AGENTS * STEPS)


def jax_batch(markets: int) -> Rate:
    """The same kernel under jit and scan, float32, new actions every step, which are there beforehand."""
    import jax
    import jax.numpy as jnp

    mesh = jax_mesh()
    times, dt = grid(GAME, STEPS), GAME.horizon / STEPS
    c = GAME.coefficients(times).like(jnp.zeros(1, dtype=jnp.float32))
    varying = (c.impact, c.running_penalty, c.buy_flow, c.sell_flow)

    @jax.jit
    @jax.vmap
    def episode(start: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(inventories: jax.Array, inputs: tuple[jax.Array, tuple[jax.Array, ...]]) -> tuple[jax.Array, jax.Array]:
            action, (impact, running, buys, sells) = inputs
            now = c._replace(impact=impact, running_penalty=running, buy_flow=buys, sell_flow=sells)
            after, reward, _ = step(GAME, now, dt, inventories, split_controls(GAME, action))
            return after, reward

        return jax.lax.scan(one, start, (actions, varying))

    own = markets // mesh.size
    first = jnp.broadcast_to(jnp.asarray(GAME.initial_inventory, dtype=jnp.float32), (mesh.size, own, AGENTS))
    drawn = jax.random.uniform(jax.random.key(0), (mesh.size, STEPS, own, 5), dtype=jnp.float32)
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
    start, actions = jax.device_put((first, drawn), sharding)
    return rate(lambda: jax.block_until_ready(episode(start, actions)), own * mesh.size * AGENTS * STEPS)


def jax_market(markets: int, random: RandomMarkets | None = None, hidden: int = 0) -> Rate:
    """Agent-steps per second of the JAX environment: observations, rewards and automatic resets included.

    Every market has a key of its own in every step; actions are drawn for all of them at once. The last observations
    are returned, so that none is left out.

    Args:
        markets: their number.
        random: markets that are drawn.
        hidden: 0 for uniform actions; or the units of two hidden layers of every agent's own network, of whose outputs
            normal actions are drawn.
    """
    import jax
    import jax.numpy as jnp

    from makertaker.envs.jax_env import JaxMarket

    env = JaxMarket(random or GAME, steps=STEPS)
    params = env.default_params if random is None else None
    layers = (env.observation_size, hidden, hidden, 2)
    weights = [
        jax.random.normal(jax.random.key(i), (AGENTS, *shape), jnp.float32) / shape[0] ** 0.5
        for i, shape in enumerate(pairwise(layers))
    ]

    def act(key: Any, seen: Any) -> dict[str, Any]:
        count = seen["trader"].shape[0]
        if not hidden:
            drawn = jax.random.uniform(key, (5, count), jnp.float32, -1, 1).T
            return {"trader": drawn[:, :1, None], "maker": drawn[:, 1:].reshape(count, GAME.makers, 2)}
        inside = jnp.concatenate([seen["trader"], seen["maker"]], axis=1)
        for each in weights[:-1]:
            inside = jnp.tanh(jnp.einsum("bai,aij->baj", inside, each))
        mean = jnp.einsum("bai,aij->baj", inside, weights[-1])
        actions = mean + 0.3 * jax.random.normal(key, mean.shape, jnp.float32)
        return {"trader": actions[:, : GAME.traders, :1], "maker": actions[:, GAME.traders :]}

    def make(count: int) -> Callable[[Any], Any]:
        step_all = jax.vmap(env.step, in_axes=(0, 0, 0, None))

        def one(carry: Any, key: Any) -> Any:
            seen, state, total = carry
            own, of_markets = jax.random.split(key)
            seen, state, rewards, _, _ = step_all(jax.random.split(of_markets, count), state, act(own, seen), params)
            return (seen, state, total + rewards["trader"].sum(axis=-1) + rewards["maker"].sum(axis=-1)), None

        def episode(key: Any) -> Any:
            begin = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, count), params)
            carry = (*begin, jnp.zeros(count))
            seen, _, total = jax.lax.scan(one, carry, jax.random.split(key, STEPS), unroll=UNROLL)[0]
            return seen, total

        return episode

    return jax_rate(markets, make)


def torchrl_market(markets: int) -> float:
    """Agent-steps per second of the native TorchRL environment's ``rollout``, random actions drawn inside."""
    from makertaker.envs.torchrl_env import TorchMarket

    env = TorchMarket(GAME, markets, steps=STEPS, seed=0)
    return markets * AGENTS * STEPS / best(lambda: env.rollout(STEPS, break_when_any_done=False), 3)


def torchrl_steps(markets: int, random: RandomMarkets | None = None) -> float:
    """The same of its ``step``, new actions every step, drawn beforehand."""
    from makertaker.envs.torchrl_env import TorchMarket

    env = TorchMarket(random or GAME, markets, steps=STEPS, seed=0)
    actions = [env.rand_action() for _ in range(STEPS)]

    def episode() -> None:
        state = env.reset()
        for each in actions:
            state = env.step(state.update(each))["next"]

    return markets * AGENTS * STEPS / best(episode)


def torchrl_pettingzoo() -> float:
    """Market-steps per second of TorchRL's wrapper of the PettingZoo environment."""
    from torchrl.envs import PettingZooWrapper

    env = PettingZooWrapper(acas_v0.parallel_env(steps=STEPS))
    return STEPS / best(lambda: env.rollout(STEPS), 3)


def pettingzoo_alone() -> float:
    """Market-steps per second of one parallel environment."""
    env = acas_v0.parallel_env(steps=STEPS)
    rng = np.random.default_rng(0)
    actions = [
        {agent: rng.uniform(-1, 1, env.action_space(agent).shape).astype(np.float32) for agent in env.possible_agents}
        for _ in range(STEPS)
    ]

    def episode() -> None:
        env.reset()
        for each in actions:
            env.step(each)

    return STEPS / best(episode, 15)


def supersuit() -> float:
    """Market-steps per second of SuperSuit's vector environment of eight parallel environments, in one process."""
    import supersuit as wrappers

    env = wrappers.pettingzoo_env_to_vec_env_v1(wrappers.pad_action_space_v0(acas_v0.parallel_env(steps=STEPS)))
    envs = wrappers.concat_vec_envs_v1(env, 8, base_class="gymnasium")
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, (8 * AGENTS, 2)).astype(np.float32) for _ in range(STEPS)]
    envs.reset(seed=0)

    def episode() -> None:
        for each in actions:
            envs.step(each)

    return 8 * STEPS / best(episode, 5)


def vec_env(markets: int) -> float:
    """Agent-steps per second of the stable-baselines3 VecEnv; one agent acts at random, the others are equilibrium."""
    from makertaker.training import MarketVecEnv

    env = MarketVecEnv(GAME, markets, "trader_0", solve(GAME, STEPS).open_loop(), steps=STEPS)
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, (markets, 1)).astype(np.float32) for _ in range(STEPS)]
    env.reset()

    def episode() -> None:
        for each in actions:
            env.step(each)

    return markets * AGENTS * STEPS / best(episode)


def rllib_runner(markets: int) -> float:
    """Agent-steps per second of the RLlib runner: actions drawn from networks, episodes packed for RLlib."""
    import ray

    from makertaker.training.rllib import MarketRunner, ppo_config

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    runner = MarketRunner(config=ppo_config(GAME, steps=STEPS, markets=markets), worker_index=0)
    return markets * AGENTS * STEPS / best(runner.sample, 3)


def hub(markets: int) -> float:
    """Agent-steps per second of the learners' hub with random actions of all agents."""
    from makertaker.training.sb3.hub import Hub

    joint = Hub(Market(GAME, STEPS, batch=(markets,)), GAME.agents, {}, seed=0)
    rng = np.random.default_rng(0)
    actions = [
        {agent: rng.uniform(-1, 1, (markets, 1 if agent == "trader_0" else 2)) for agent in GAME.agents}
        for _ in range(STEPS)
    ]

    def episode() -> None:
        for each in actions:
            joint.advance(each)

    return markets * AGENTS * STEPS / best(episode)


def independent_ppo() -> float:
    """Joint market-steps per second of three PPO learners, 64 markets, 5 epochs of 2 minibatches."""
    from makertaker.training import IndependentLearners

    learners = IndependentLearners(GAME, steps=20, algorithm="ppo", markets=64, seed=0)
    done = [0]

    def rollouts() -> None:
        done[0] += 12_800
        learners.learn(1_000_000, until=done[0])

    return 12_800 / best(rollouts, 4)


def jax_rows() -> list[Row]:
    """The kernel and the environment in JAX, by the number of markets."""
    rows: list[Row] = []
    for markets in (1000, 100_000, 400_000):
        name = f"{markets:,} markets"
        rows += [
            (f"JAX jit + scan, float32, {name}", partial(jax_batch, markets), "agent-steps/s"),
            (f"JAX environment, random actions, {name}", partial(jax_market, markets), "agent-steps/s"),
            (f"JAX environment, {markets:,} different games", partial(jax_market, markets, RANDOM), "agent-steps/s"),
        ]
    for markets in (64, 1000, 10_000):
        name = f"JAX environment and networks of 2 x {HIDDEN}, {markets:,} markets"
        rows.append((name, partial(jax_market, markets, hidden=HIDDEN), "agent-steps/s"))
    return rows


def main() -> None:
    """Print one table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jax", action="store_true", help="JAX alone, with many more markets")
    alone = parser.parse_args().jax
    console = Console(width=130)
    console.print(machine())
    if alone:
        import jax

        (kind,) = {each.device_kind for each in jax_mesh().devices}  # first of all: the number of devices is fixed then
        console.print(f"JAX {jax.__version__} on {kind}")
    table = Table("route", "measured", "unit", "per second of a core", "of the bare NumPy step")
    base = numpy_batch(1000)
    rows: list[Row] = [
        ("NumPy step, 64 markets", lambda: numpy_batch(64), "agent-steps/s"),
        ("NumPy step, 1,000 markets", lambda: base, "agent-steps/s"),
        ("NumPy step, 1,000 different games", lambda: numpy_batch(1000, RANDOM), "agent-steps/s"),
        ("JAX jit + scan, float32, 1,000 markets", lambda: jax_batch(1000), "agent-steps/s"),
        ("JAX jit + scan, float32, 10,000 markets", lambda: jax_batch(10_000), "agent-steps/s"),
        ("JAX environment, random actions, 1,000 markets", lambda: jax_market(1000), "agent-steps/s"),
        ("JAX environment, random actions, 1,000 different games", lambda: jax_market(1000, RANDOM), "agent-steps/s"),
        ("TorchRL environment, 1,000 markets", lambda: torchrl_steps(1000), "agent-steps/s"),
        ("TorchRL environment, 1,000 different games", lambda: torchrl_steps(1000, RANDOM), "agent-steps/s"),
        ("TorchRL environment, 10,000 markets", lambda: torchrl_steps(10_000), "agent-steps/s"),
        ("TorchRL environment, random rollout, 1,000 markets", lambda: torchrl_market(1000), "agent-steps/s"),
        ("TorchRL's PettingZoo wrapper", torchrl_pettingzoo, "market-steps/s"),
        ("PettingZoo parallel environment", pettingzoo_alone, "market-steps/s"),
        ("SuperSuit's vector environment of 8", supersuit, "market-steps/s"),
        ("stable-baselines3 VecEnv, 64 markets", lambda: vec_env(64), "agent-steps/s"),
        ("stable-baselines3 VecEnv, 1,000 markets", lambda: vec_env(1000), "agent-steps/s"),
        ("RLlib's batched runner, 64 markets", lambda: rllib_runner(64), "agent-steps/s"),
        ("RLlib's batched runner, 1,000 markets", lambda: rllib_runner(1000), "agent-steps/s"),
        ("hub of independent learners, 64 markets", lambda: hub(64), "agent-steps/s"),
        ("independent PPO, 64 markets", independent_ppo, "market-steps/s"),
    ]
    for name, measure, unit in [rows[1], *jax_rows()] if alone else rows:
        try:
            found = measure()
        except ImportError:
            table.add_row(name, "-", "not installed", "-", "-")
            continue
        value, used = found if isinstance(found, Rate) else (found, None)
        agents = value * (AGENTS if unit.startswith("market") else 1)
        table.add_row(name, f"{value:,.0f}", unit, "" if used is None else f"{used:,.0f}", f"{agents / base:.3g}")
    console.print(table)


if __name__ == "__main__":
    main()

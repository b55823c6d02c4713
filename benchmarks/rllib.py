"""What does RLlib reach on `acas`, how fast, and when a node dies?

    python benchmarks/rllib.py [--seeds 3] [--timesteps 160000] [--only sampling training cluster]

Beside stable-baselines3 on the same machine with the same budget. ``sampling``: market steps a second of one process,
the batched runner against RLlib's own, which steps its vector of PettingZoo environments one by one. ``training``:
relative NashConv and wall clock of both engines; with RLlib's own pipeline from episodes to training batches in place
of ours, too. ``cluster``: two nodes on this machine, and the same when one of them is killed half-way. Starting Ray is
not counted; it takes some seconds. Needs the extra ``ray``.

Measured: as close as stable-baselines3, somewhat more slowly; a node that dies costs seconds ([other
libraries](docs/results.md#the-same-through-other-libraries), [Ray](docs/pipelines/ray.md#why-a-runner-of-our-own))
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
import torch
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune.registry import register_env
from rich.console import Console
from rich.table import Table
from timing import best, machine

from makertaker.baselines import exploitability
from makertaker.envs import acas_v0, read_scenario, rollout
from makertaker.training import IndependentLearners
from makertaker.training.rllib.config import ppo_config
from makertaker.training.rllib.learners import RLlibLearners
from makertaker.training.rllib.runner import MarketRunner

SCENARIO = read_scenario("acas")
GAME, STEPS, MARKETS = SCENARIO.game, SCENARIO.steps, 64


def batched_sampling() -> float:
    """Market steps a second of the batched runner."""
    runner = MarketRunner(config=ppo_config(GAME, steps=STEPS, markets=MARKETS), worker_index=0)
    return MARKETS * STEPS / best(runner.sample)


def rllib_sampling() -> float:
    """Market steps a second of RLlib's own runner, with as many environments and networks of the same size."""
    register_env("acas", lambda _: ParallelPettingZooEnv(acas_v0.parallel_env(steps=STEPS)))
    config = (
        PPOConfig()
        .environment("acas", disable_env_checking=True)
        .multi_agent(policies=set(GAME.agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=MARKETS)
        .training(train_batch_size_per_learner=MARKETS * STEPS)
        .rl_module(model_config={"fcnet_hiddens": [64, 64]})
    )
    algorithm = config.build_algo()
    seconds = best(lambda: algorithm.env_runner.sample(num_timesteps=MARKETS * STEPS), 3)
    algorithm.stop()
    return MARKETS * STEPS / seconds


def rllib_pipeline(config: PPOConfig) -> PPOConfig:
    """RLlib's own connectors, in place of :class:`~makertaker.training.rllib.connector.WholeEpisodes`."""
    return config.learners(add_default_connectors_to_learner_pipeline=True)


def trained(learners: Any, timesteps: int, on_episode: Callable[[int], None] | None = None) -> tuple[float, float]:
    """Relative NashConv and seconds of a training."""
    started = time.perf_counter()
    learners.learn(timesteps, on_episode=on_episode)
    seconds = time.perf_counter() - started
    controls = rollout(GAME, learners.policies(), STEPS).controls
    learners.close()
    return exploitability(GAME, controls, STEPS).relative, seconds


def with_rllib(timesteps: int, **options: Any) -> Callable[[int], tuple[float, float]]:
    """A training through RLlib as a function of the seed."""

    def train(seed: int) -> tuple[float, float]:
        return trained(RLlibLearners(GAME, steps=STEPS, timesteps=timesteps, seed=seed, **options), timesteps)

    return train


def on_two_nodes(seed: int, timesteps: int, kill: bool) -> tuple[float, float]:
    """A training with one runner on each of two nodes, one of which may be killed half-way."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    alive = [True]

    def follow(done: int) -> None:
        if kill and alive[0] and done >= timesteps // 2:
            alive[0] = False
            cluster.remove_node(node, allow_graceful=False)

    learners = RLlibLearners(GAME, steps=STEPS, timesteps=timesteps, seed=seed, runners=2)
    result = trained(learners, timesteps, follow)
    ray.shutdown()
    cluster.shutdown()
    return result


def add_rows(table: Table, rows: dict[str, Callable[[int], tuple[float, float]]], seeds: int, timesteps: int) -> None:
    """Measure and list."""
    for name, train in rows.items():
        results = [train(seed) for seed in range(seeds)]
        seconds = float(np.mean([each[1] for each in results]))
        listed = ", ".join(f"{100 * each[0]:.3f}%" for each in results)
        table.add_row(name, listed, f"{seconds:.1f}", f"{timesteps / seconds:,.0f}")


def main() -> None:
    """Print the tables."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timesteps", type=int, default=160_000)
    kinds = ["sampling", "training", "cluster"]
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    given = parser.parse_args()
    torch.set_num_threads(1)
    console, timesteps = Console(width=110), given.timesteps
    console.print(machine())
    table = Table("learners on acas", "relative NashConv, by seed", "seconds", "market steps/s")
    if "sampling" in given.only:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        ours, theirs = batched_sampling(), rllib_sampling()
        ray.shutdown()
        console.print(f"sampling, one process, {MARKETS} markets: batched runner {ours:,.0f} market steps/s,")
        console.print(f"RLlib's own runner {theirs:,.0f}: {ours / theirs:.0f} times as fast")
    if "training" in given.only:

        def sb3(seed: int) -> tuple[float, float]:
            return trained(IndependentLearners(GAME, steps=STEPS, seed=seed), timesteps)

        rows = {
            "stable-baselines3": sb3,
            "RLlib, in this process": with_rllib(timesteps),
            "RLlib, two runners": with_rllib(timesteps, runners=2),
            "RLlib with its own pipeline to batches": with_rllib(timesteps, configure=rllib_pipeline),
        }
        add_rows(table, rows, given.seeds, timesteps)
    if "cluster" in given.only:
        rows = {
            "RLlib, two nodes": lambda seed: on_two_nodes(seed, timesteps, kill=False),
            "RLlib, two nodes, one killed half-way": lambda seed: on_two_nodes(seed, timesteps, kill=True),
        }
        add_rows(table, rows, given.seeds, timesteps)
    if table.rows:
        console.print(table)


if __name__ == "__main__":
    main()

"""Do learners of other libraries learn, with their libraries' own defaults, on the default environment?

    python benchmarks/standard_learners.py [--seeds 3] [--learner NAME ...] [--information time full] [--out FILE]

=============  =====================================================================================================
``shared``     stable-baselines3's PPO, one network for all agents, on SuperSuit's vector environment of one market;
               ``identity=True`` tells it whose turn it is. 200,000 steps of agents
``skrl``       skrl's IPPO, a network of two layers of 64 for each agent. 30,000 steps
``rllib``      RLlib's PPO, a module for each agent, through its PettingZoo wrapper. 200,000 steps
``ppo-ROLE``   stable-baselines3's PPO, one trader or one maker alone against the equilibrium. 60,000 steps
``sac-ROLE``   stable-baselines3's SAC, the same. 25,000 steps
=============  =====================================================================================================

Prints relative NashConv of what was learned, exact with information ``time`` and a lower bound with ``full`` (alone:
the gain of the learner's best response over its equilibrium payoff), beside that of agents before they learn and of the
middle of the action range. Needs supersuit, skrl or RLlib; RLlib an environment of its own, which ``make test-ray``
makes.

Measured: yes, to a few percent ([your own agents, scored](docs/scoring.md))
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import makertaker.envs  # noqa: F401  # registers the Gymnasium ids
from makertaker.envs import acas_v0
from makertaker.training import score

AGENTS = {"trader_0": 1, "maker_0": 2, "maker_1": 2}
"""sizes of actions"""
Trained = Iterator[tuple[object, Any]]
"""the environment and the agents' policies: before they learn, and after"""


def shared(seed: int, information: str, steps: int = 200_000) -> Trained:
    """One network for all agents."""
    import supersuit
    from stable_baselines3 import PPO
    from stable_baselines3.common.utils import set_random_seed

    env = supersuit.pad_action_space_v0(acas_v0.parallel_env(observation=information, identity=True))
    markets = supersuit.pettingzoo_env_to_vec_env_v1(env)
    markets = supersuit.concat_vec_envs_v1(markets, 1, base_class="stable_baselines3")
    set_random_seed(seed)  # SuperSuit's environments have no seed() that PPO(seed=...) could call
    model = PPO("MlpPolicy", markets, device="cpu")
    yield env, dict.fromkeys(AGENTS, model)
    model.learn(steps)
    yield env, dict.fromkeys(AGENTS, model)


def skrl(seed: int, information: str, steps: int = 30_000) -> Trained:
    """IPPO with skrl's default configuration."""
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
    from skrl.multi_agents.torch.ippo import IPPO, IPPO_CFG
    from skrl.trainers.torch import SequentialTrainer
    from skrl.utils import set_seed

    class Policy(GaussianMixin, Model):  # type: ignore[misc]  # skrl's mixins are untyped
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            GaussianMixin.__init__(self)
            self.net = network(self.num_observations, self.num_actions)
            self.log_std = torch.nn.Parameter(torch.zeros(self.num_actions))

        def compute(self, inputs: Mapping[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
            return self.net(inputs["observations"]), {"log_std": self.log_std}

    class Value(DeterministicMixin, Model):  # type: ignore[misc]
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            DeterministicMixin.__init__(self)
            self.net = network(self.num_observations, 1)

        def compute(self, inputs: Mapping[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
            return self.net(inputs["observations"]), {}

    def network(inputs: int, outputs: int) -> torch.nn.Sequential:
        hidden = torch.nn.Linear(inputs, 64), torch.nn.ELU(), torch.nn.Linear(64, 64), torch.nn.ELU()
        return torch.nn.Sequential(*hidden, torch.nn.Linear(64, outputs))

    set_seed(seed)
    raw = acas_v0.parallel_env(observation=information)
    env = wrap_env(raw, wrapper="pettingzoo")
    spaces = {
        name: {
            "observation_space": env.observation_spaces[name],
            "action_space": env.action_spaces[name],
            "device": "cpu",
        }
        for name in AGENTS
    }
    models = {name: {"policy": Policy(**spaces[name]), "value": Value(**spaces[name])} for name in AGENTS}
    empty: Any = {field: {name: {} for name in AGENTS} for field in vars(IPPO_CFG()) if field.endswith("_kwargs")}
    config = IPPO_CFG(**empty)  # skrl 2.1 takes its own empty defaults for those of other agents
    config.experiment.write_interval = config.experiment.checkpoint_interval = 0
    config.experiment.directory = tempfile.mkdtemp()
    agent = IPPO(
        possible_agents=list(AGENTS),
        models=models,
        memories={name: RandomMemory(memory_size=config.rollouts, num_envs=1, device="cpu") for name in AGENTS},
        observation_spaces=env.observation_spaces,
        state_spaces=env.state_spaces,
        action_spaces=env.action_spaces,
        device="cpu",
        cfg=config,
    )
    policies = {name: models[name]["policy"].net for name in AGENTS}
    yield raw, policies
    options = {"timesteps": steps, "headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    SequentialTrainer(cfg=options, env=env, agents=agent).train()
    yield raw, policies


def rllib(seed: int, information: str, steps: int = 200_000) -> Trained:
    """RLlib's PPO as it comes."""
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.columns import Columns
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
    from ray.rllib.utils.spaces.space_utils import unsquash_action
    from ray.tune.registry import register_env

    raw = acas_v0.parallel_env(observation=information)
    register_env("acas", lambda _: ParallelPettingZooEnv(acas_v0.parallel_env(observation=information)))
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, num_cpus=1)
    config = (
        PPOConfig()
        .environment("acas")
        .multi_agent(policies=set(AGENTS), policy_mapping_fn=lambda agent, *_, **__: agent)
        .env_runners(num_env_runners=0)
        .debugging(seed=seed, log_level="ERROR")
    )
    algorithm = config.build_algo()

    def policy(name: str) -> Callable[[np.ndarray], np.ndarray]:
        module, acted = algorithm.get_module(name), raw.action_space(name)

        def act(seen: np.ndarray) -> np.ndarray:
            rows = torch.as_tensor(np.atleast_2d(seen), dtype=torch.float32)
            with torch.no_grad():
                means = module.forward_inference({Columns.OBS: rows})[Columns.ACTION_DIST_INPUTS]
            means = means[:, : AGENTS[name]].numpy()
            return np.stack([unsquash_action(each, acted) for each in means]).reshape(*seen.shape[:-1], -1)

        return act

    policies = {name: policy(name) for name in AGENTS}
    yield raw, policies
    done = 0
    while done < steps:
        done = int(algorithm.train()["num_env_steps_sampled_lifetime"])
    yield raw, policies
    algorithm.stop()


def alone(method: str, agent: str) -> Callable[..., Trained]:
    """One agent learns, the others play the equilibrium."""

    def train(seed: int, information: str, steps: int | None = None) -> Trained:
        import stable_baselines3

        env = gymnasium.make("makertaker/Acas-v0", agent=agent, observation=information)
        model = getattr(stable_baselines3, method.upper())("MlpPolicy", env, seed=seed, device="cpu")
        yield env, model
        model.learn(steps or {"ppo": 60_000, "sac": 25_000}[method])
        yield env, model

    return train


LEARNERS: dict[str, Callable[..., Trained]] = {
    "shared": shared,
    "skrl": skrl,
    "rllib": rllib,
    **{f"{method}-{role}": alone(method, f"{role}_0") for method in ("ppo", "sac") for role in ("trader", "maker")},
}


def distance(env: object, policies: Any, learner: str) -> float:
    """Relative NashConv; alone, the learner's gain over the size of its own equilibrium payoff."""
    found = score(env, policies)
    if "-" not in learner:
        return found.relative_nash_conv
    own = found.agents[f"{learner.split('-')[1]}_0"]
    return own.exploitability / abs(own.equilibrium)


def middle(env: object, learner: str) -> float:
    """The same of agents in the middle of their ranges."""

    def still(size: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda seen: np.zeros((*np.shape(seen)[:-1], size))

    if "-" in learner:
        agent = f"{learner.split('-')[1]}_0"
        return distance(env, still(AGENTS[agent]), learner)
    return distance(env, {name: still(size) for name, size in AGENTS.items()}, learner)


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learner", nargs="*", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--information", nargs="*", default=["time", "full"])
    parser.add_argument("--steps", type=int, default=None, help="in place of the learner's own")
    parser.add_argument("--out", type=Path, default=None, help="a file of JSON lines to add the results to")
    arguments = parser.parse_args()
    options = {} if arguments.steps is None else {"steps": arguments.steps}
    with one_thread():
        for learner in arguments.learner:
            for information in arguments.information:
                for seed in range(arguments.seeds):
                    started = time.perf_counter()
                    stages = [
                        (env, distance(env, each, learner))
                        for env, each in LEARNERS[learner](seed, information, **options)
                    ]
                    row = {
                        "learner": learner,
                        "information": information,
                        "seed": seed,
                        "learned": round(stages[-1][1], 5),
                        "untrained": round(stages[0][1], 4),
                        "middle": round(middle(stages[0][0], learner), 4),
                        "seconds": round(time.perf_counter() - started),
                    }
                    print(json.dumps(row), flush=True)
                    if arguments.out is not None:
                        with open(arguments.out, "a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

"""The algorithms, and their hyperparameters for these games: one place.

PPO's were chosen on two scenarios and checked on randomly drawn markets (``benchmarks/random_markets.py``). TRPO's are
PPO's where they mean the same, and the library's; those of SAC and TQC were chosen on ``acas`` and ``execution-2``,
those of the other algorithms on ``acas`` alone.

Differences from stable-baselines3's defaults, and their reasons:

- ``gamma = 1``: episodes are short and payoffs undiscounted; 0.99 alone costs about a percent.
- ``gae_lambda = 1`` (on-policy): advantages from whole returns. Bootstrapping from a critic that lags behind opponents
  that learn as well biases the schedule.
- exploration is in physical units, a fraction of a maker's margin ``1 / gamma`` and of a trader's average rate, and
  shrinks geometrically: the makers' shares are convex in their quotes and traders pay the minimum of noisy quotes, so
  noise shifts the best responses of the others.
- learning rates fall geometrically to a small fraction, which averages out the noise of the last gradients.
- TRPO's step is bounded by ``target_kl``, and so shrinks with the exploration; its ``learning_rate`` is the critic's.
- replay (off-policy) holds the last few episodes only, with returns to the end of the episode: older transitions were
  written against opponents that have moved on since.
- the actors of SAC and TQC wait for the first twentieth of the training and explore widely at first: a critic that
  knows nothing yet sends them to the ends of their ranges, from which they come back slowly.
- off-policy learners explore more and learn more slowly than on-policy ones: over the replay buffer's time everybody's
  drift must stay small beside everybody's exploration. Otherwise all run away to the ends; ``benchmarks/off_policy.py``
  has what was tried to find out why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import stable_baselines3
import torch
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy

from ...envs.names import unknown
from ..common.hyperparameters import PPO, geometric
from ..common.memory import NONE
from . import prefix_policies
from .algorithm import Algorithm as Algorithm
from .algorithm import Kind
from .hub import LearnerVecEnv


@dataclass
class Progress:
    """Fraction of the joint training that is done, in [0, 1]; all schedules read it."""

    fraction: float = 0.0


def _on_policy(
    model: type[BaseAlgorithm],
    settings: Mapping[str, object],
    policy: type[BasePolicy] = prefix_policies.PrefixActorCriticPolicy,
    **changes: Any,
) -> Algorithm:
    network = {"net_arch": PPO.net_arch, "activation_fn": "tanh"}
    return Algorithm(model, policy, "on_policy", settings=settings, network=network, **changes)


def _off_policy(
    model: type[BaseAlgorithm],
    policy: type[BasePolicy],
    kind: Kind,
    exploration: tuple[float, float],
    settings: Mapping[str, object],
    **network: object,
) -> Algorithm:
    return Algorithm(
        model,
        policy,
        kind,
        learning_rate=(3e-4, 3e-5),
        exploration=exploration,
        settings={
            "gamma": 1.0,
            "batch_size": 256,
            "tau": 0.02,
            "gradient_steps": 8,
            "learning_starts": 0,  # against agents that act at random over the whole range, not trading is best
            **settings,
        },
        network={"net_arch": (64, 64), "activation_fn": "relu", "n_critics": 2, **network},
        replay_episodes=4,
        critic_first=0.05 if kind == "entropy" else 0.0,
    )


_LOSS = {"normalize_advantage": True, "vf_coef": PPO.vf_coef, "max_grad_norm": PPO.max_grad_norm}
_ENTROPY = {"ent_coef": "auto_0.005", "target_update_interval": 1}

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": _on_policy(
        stable_baselines3.PPO,
        {
            "gamma": PPO.gamma,
            "gae_lambda": PPO.gae_lambda,
            "n_epochs": PPO.n_epochs,
            "clip_range": PPO.clip_range,
            "clip_range_vf": None,
            "target_kl": None,
            **_LOSS,
        },
        learning_rate=PPO.learning_rate,
        exploration=PPO.exploration,
        minibatches=PPO.minibatches,
        markets=PPO.markets,
    ),
    "a2c": _on_policy(
        stable_baselines3.A2C,
        {"gamma": 1.0, "gae_lambda": 1.0, "use_rms_prop": False, "rms_prop_eps": 1e-5, **_LOSS},
        learning_rate=(2e-3, 1e-4),
        exploration=(0.9, 0.09),
        markets=16,
    ),
    "trpo": _on_policy(
        TRPO,
        {
            "gamma": PPO.gamma,
            "gae_lambda": PPO.gae_lambda,
            "target_kl": 0.01,
            "n_critic_updates": PPO.n_epochs,
            "cg_max_steps": 15,
            "cg_damping": 0.1,
            "line_search_shrinking_factor": 0.8,
            "line_search_max_iter": 10,
            "sub_sampling_factor": 1,
            "normalize_advantage": True,
        },
        learning_rate=PPO.learning_rate,
        exploration=PPO.exploration,
        minibatches=PPO.minibatches,
        markets=PPO.markets,
    ),
    "sac": _off_policy(SAC, prefix_policies.PrefixSACPolicy, "entropy", (1.5, 0.75), _ENTROPY),
    "tqc": _off_policy(
        TQC,
        prefix_policies.PrefixTQCPolicy,
        "entropy",
        (1.5, 0.75),
        {**_ENTROPY, "top_quantiles_to_drop_per_net": 2},
        n_quantiles=25,
    ),
    "td3": _off_policy(TD3, prefix_policies.PrefixTD3Policy, "action_noise", (3.0, 1.2), {"policy_delay": 2}),
    "ddpg": _off_policy(DDPG, prefix_policies.PrefixTD3Policy, "action_noise", (3.0, 1.2), {}, n_critics=1),
}


_PPO = ALGORITHMS["ppo"]
RECURRENT: dict[str, Algorithm] = {
    "ppo": replace(
        _PPO,
        model=RecurrentPPO,
        policy=prefix_policies.PrefixRecurrentPolicy,
        network={**_PPO.network, "lstm_hidden_size": 32},
    )
}
"""those of actors with an LSTM, by the name of the algorithm; PPO's is sb3-contrib's, with the same hyperparameters"""


def find(name: str, memory: str = NONE) -> Algorithm:
    """An algorithm by name.

    Args:
        name: of :data:`ALGORITHMS`.
        memory: ``"lstm"`` for actors and critics with one: of :data:`RECURRENT`.

    Raises:
        ValueError: an unknown one, or one that has no such memory.

    Examples:
        >>> from makertaker.training.sb3.algorithms import find
        >>> find("ppo").hyperparameters()["learning_rate"]
        [0.005, 0.0001]
    """
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS)
    if memory == NONE:
        return ALGORITHMS[name]
    if name not in RECURRENT or memory != "lstm":
        raise ValueError(f"memory: expected 'lstm' with one of {list(RECURRENT)}, got {memory!r} with {name!r}")
    return RECURRENT[name]


def build(
    algorithm: Algorithm,
    env: LearnerVecEnv,
    visible: int,
    seed: int,
    progress: Progress,
    tensorboard: str | None,
    history: int = 1,
) -> BaseAlgorithm:
    """The stable-baselines3 model of one learner."""
    steps, settings = env.hub.market.steps, dict(algorithm.settings)
    if algorithm.kind == "on_policy":
        settings["n_steps"] = steps
        if algorithm.has_minibatches:
            samples = steps * env.num_envs
            least = max(2 * algorithm.minibatches, 1 + settings.get("sub_sampling_factor", 1))
            if samples < least:
                name = algorithm.model.__name__
                raise ValueError(
                    f"markets: {name} needs at least {least} steps in all markets of an episode, got {samples}"
                )
            settings["batch_size"] = _batch_size(algorithm, samples)
    else:
        settings["buffer_size"] = algorithm.replay_episodes * steps * env.num_envs
        settings["replay_buffer_class"] = NStepReplayBuffer
        settings["replay_buffer_kwargs"] = {"n_steps": steps, "gamma": settings["gamma"]}
        settings["train_freq"] = (1, "step")
    if algorithm.kind == "action_noise":
        settings["action_noise"] = NormalActionNoise(np.zeros(len(env.unit)), algorithm.exploration[0] * env.unit)
    model = algorithm.model(
        algorithm.policy,
        env,
        learning_rate=learning_rate(algorithm, progress),
        policy_kwargs={**algorithm.policy_keywords(), "visible": visible, "history": history},
        seed=seed,
        device="cpu",
        verbose=0,
        tensorboard_log=tensorboard,
        **settings,
    )
    alone = algorithm.kind == "on_policy" and steps * env.num_envs == 1 and not algorithm.has_minibatches
    if alone and getattr(model, "normalize_advantage", False):  # PPO looks for itself
        raise ValueError(
            "markets: expected at least 2 steps in all markets of an episode, got 1, whose advantage has no standard "
            "deviation; more markets or steps help, or normalize_advantage=false (--hp)"
        )
    if isinstance(model, SAC | TQC):  # start with the exploration that is wanted, not all over the range
        bias = cast(torch.nn.Linear, model.actor.log_std).bias
        bias.data = torch.as_tensor(np.log(algorithm.exploration[0] * env.unit)).float()
    return model


def _batch_size(algorithm: Algorithm, samples: int) -> int:
    """Of a rollout's minibatches. sb3-contrib's RecurrentPPO divides by the standard deviation of the advantages of the
    last, smaller one even where it is a single step's, which has none: its minibatches leave no such rest."""
    size = samples // algorithm.minibatches
    while algorithm.recurrent and samples % size == 1:
        size += 1
    return size


def learning_rate(algorithm: Algorithm, progress: Progress) -> Callable[[float], float]:
    """A stable-baselines3 schedule that follows the joint training, not the current call of ``learn``."""
    return lambda _: geometric(algorithm.learning_rate, progress.fraction)


def _not_learned(policy: BasePolicy) -> torch.Tensor:
    """An on-policy actor's ``log_std``, which from then on is none of its parameters: TRPO differentiates by every one,
    and its step would change the deviation that the schedule sets."""
    log_std = cast(torch.Tensor, policy.log_std).detach()
    if isinstance(policy.log_std, torch.nn.Parameter):
        del policy.log_std
        policy.register_buffer("log_std", log_std)
    return log_std


class ShrinkExploration(BaseCallback):
    """Sets a learner's exploration at the start of every rollout, and lets an off-policy critic learn first.

    Args:
        algorithm: gives the schedule.
        unit: the control unit, as a fraction of the half-width of the action range, (1,) or (2,).
        progress: of the joint training.
    """

    def __init__(self, algorithm: Algorithm, unit: np.ndarray, progress: Progress) -> None:
        super().__init__()
        self._algorithm, self._unit, self._progress = algorithm, unit, progress

    def _on_rollout_start(self) -> None:
        model, done = self.model, self._progress.fraction
        spread = geometric(self._algorithm.exploration, done)
        deviation = spread * self._unit  # off-policy algorithms scale actions to [-1, 1] themselves
        if isinstance(model, OnPolicyAlgorithm):
            _not_learned(model.policy).fill_(float(np.log(spread)))
            return
        assert isinstance(model, SAC | TQC | TD3)
        model.actor.requires_grad_(done >= self._algorithm.critic_first)  # optimisers leave alone what has no gradient
        if isinstance(model, TD3):
            noise = model.action_noise
            for each in noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]:
                cast(NormalActionNoise, each)._sigma = deviation
            if not isinstance(model, DDPG):  # DDPG has no smoothing of its target
                model.target_policy_noise = float(deviation.mean())
                model.target_noise_clip = 2 * model.target_policy_noise
        else:
            model.target_entropy = float(np.log(deviation * np.sqrt(2 * np.pi * np.e)).sum())

    def _on_step(self) -> bool:
        return True

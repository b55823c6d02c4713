"""The algorithms of the engine ``jax``, and their hyperparameters for these games.

PPO's are those of :data:`.hyperparameters.PPO`; ``benchmarks/jax_learners.py`` shows what comes of all of them. Names
of hyperparameters are those of :mod:`.hyperparameters`; new are ``magnet``, ``magnet_rate``, ``natural_step`` and
``damping``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...envs.names import unknown
from .hyperparameters import FieldSettings, PPOSettings


@dataclass(frozen=True)
class NetworkPPOSettings(PPOSettings):
    """PPO's, and what networks and advantages are made of.

    Args:
        activation_fn: function between layers, of :data:`.ranges.ACTIVATIONS`.
        normalize_advantage: True: advantages of a minibatch get mean 0 and standard deviation 1.

    Raises:
        ValueError: a value is out of its range.
    """

    activation_fn: str = "tanh"
    normalize_advantage: bool = True


@dataclass(frozen=True)
class MAPPOSettings(NetworkPPOSettings):
    """Multi-agent PPO (Yu et al., NeurIPS 2022): one critic for all agents of a role, which also sees whose value is
    asked for; every agent has an actor of its own. Gradients of actors and critics are clipped one by one."""


@dataclass(frozen=True)
class MagnetSettings(NetworkPPOSettings):
    """PPO with a penalty on the distance from a slowly moving copy of the actor.

    The penalty is strong and fixed, and its centre follows, as in Nash policy gradients (arXiv 2510.18183), whose proof
    is for two players and zero sums; here the centre follows at every rollout.

    Args:
        magnet: weight of the Kullback-Leibler divergence from the copy.
        magnet_rate: share of the way to the actor that the copy takes after a rollout.
    """

    magnet: float = 0.2
    magnet_rate: float = 0.5


@dataclass(frozen=True)
class ReinforceSettings(FieldSettings):
    """Plain policy gradients (Williams, 1992): one step for each rollout, along returns to the end of the episode less
    their mean over the markets at the same step; there is no critic.

    Args:
        learning_rate: at the start and at the end.
        exploration: standard deviation at the start and at the end, in the game's control units.
        gamma: discount factor.
        max_grad_norm: norm at which gradients are clipped.
        net_arch: widths of the hidden layers.
        activation_fn: function between layers, of :data:`.ranges.ACTIVATIONS`.
        normalize_advantage: True: advantages get mean 0 and standard deviation 1.
        markets: number of markets played at once.

    Raises:
        ValueError: a value is out of its range.
    """

    learning_rate: tuple[float, float] = (1e-2, 5e-5)
    exploration: tuple[float, float] = (0.9, 0.09)
    gamma: float = 1.0
    max_grad_norm: float = 0.5
    net_arch: tuple[int, ...] = (64, 64)
    activation_fn: str = "tanh"
    normalize_advantage: bool = True
    markets: int = 16


@dataclass(frozen=True)
class A2CSettings(ReinforceSettings):
    """Advantage actor-critic (Mnih et al., 2016): one step of actor and critic for each rollout.

    Args:
        gae_lambda: of generalised advantage estimation.
        vf_coef: weight of the critic's loss.

    Raises:
        ValueError: a value is out of its range.
    """

    learning_rate: tuple[float, float] = (5e-3, 2e-4)
    exploration: tuple[float, float] = (1.8, 0.15)
    gae_lambda: float = 1.0
    vf_coef: float = 0.5


@dataclass(frozen=True)
class NPGSettings(ReinforceSettings):
    """Natural policy gradients (Kakade, 2001): one step of the actor for each rollout, along the gradient in the metric
    of the Fisher information; the critic learns by gradients. Undamped, the step is long where actions hardly depend on
    the weights, and noise of a few markets drives it.

    Args:
        learning_rate: of the critic.
        natural_step: length of a step, a multiple of the natural gradient, at the start and at the end.
        damping: added to the Fisher information, in units of the squared deviation of actions.
        gae_lambda: of generalised advantage estimation.
        n_epochs: the critic's passes over a rollout.
        minibatches: parts of a rollout in each pass.

    Raises:
        ValueError: a value is out of its range.
    """

    learning_rate: tuple[float, float] = (5e-3, 2e-4)
    natural_step: tuple[float, float] = (1.0, 0.3)
    damping: float = 0.1
    gae_lambda: float = 1.0
    n_epochs: int = 1
    minibatches: int = 1


JaxSettings: TypeAlias = NetworkPPOSettings | ReinforceSettings
"""hyperparameters of an algorithm of this engine"""

JAX_PPO = NetworkPPOSettings()

ALGORITHMS: Mapping[str, JaxSettings] = {
    "ppo": JAX_PPO,
    "a2c": A2CSettings(),
    "reinforce": ReinforceSettings(),
    "npg": NPGSettings(),
    "magnet": MagnetSettings(),
    "mappo": MAPPOSettings(),
}


def find(name: str) -> JaxSettings:
    """An algorithm by name. Raises ValueError for an unknown one.

    Examples:
        >>> from makertaker.training.common.jax_algorithms import find
        >>> type(find("reinforce")).__name__
        'ReinforceSettings'
    """
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS, " with engine 'jax'")
    return ALGORITHMS[name]

"""Settings that do not depend on the library that learns, and their schedules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PPOSettings:
    """Hyperparameters of PPO; :mod:`~makertaker.training.sb3.algorithms` says why they are not the usual defaults.

    Args:
        learning_rate: at the start and at the end.
        exploration: standard deviation at the start and at the end, in the game's control units.
        gamma: discount factor.
        gae_lambda: of generalised advantage estimation.
        epochs: passes over a rollout.
        minibatches: parts of a rollout in each pass.
        clip_range: of the probability ratio.
        value_weight: of the critic's loss.
        max_gradient: norm at which gradients are clipped.
        hidden: widths of the hidden layers, actor's and critic's.
        markets: number of markets played at once.
    """

    learning_rate: tuple[float, float] = (5e-3, 1e-4)
    exploration: tuple[float, float] = (1.8, 0.15)
    gamma: float = 1.0
    gae_lambda: float = 1.0
    epochs: int = 5
    minibatches: int = 2
    clip_range: float = 0.2
    value_weight: float = 0.5
    max_gradient: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    markets: int = 64


PPO = PPOSettings()


def geometric(ends: tuple[float, float], fraction: float) -> float:
    """From the first to the second of ``ends`` as ``fraction`` goes from 0 to 1."""
    start, end = ends
    return float(start * (end / start) ** min(max(fraction, 0.0), 1.0))

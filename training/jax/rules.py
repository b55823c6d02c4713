"""What algorithms do with a rollout, in one vocabulary."""

from __future__ import annotations

from typing import NamedTuple

from ..common.jax_algorithms import (
    A2CSettings,
    JaxSettings,
    MagnetSettings,
    MAPPOSettings,
    NetworkPPOSettings,
    NPGSettings,
)


class Rule(NamedTuple):
    """An algorithm. With one gradient step for each rollout every probability ratio is 1, and the gradient of PPO's
    loss is that of plain policy gradients."""

    epochs: int = 1
    """passes over a rollout"""
    minibatches: int = 1
    """parts of a rollout in each pass"""
    clip: float | None = None
    """of the probability ratio"""
    gae_lambda: float = 1.0
    """of generalised advantage estimation"""
    value: float = 0.0
    """weight of the critic's loss; 0: there is no critic, and advantages are those beside the other markets"""
    shared: bool = False
    """True: agents of a role have one critic"""
    magnet: float = 0.0
    """weight of the divergence from a slowly moving copy of the actor"""
    magnet_rate: float = 0.0
    """share of the way that the copy takes after a rollout"""
    natural: tuple[float, float] | None = None
    """lengths of the actor's natural steps, at the start and at the end; None: it learns by gradients, as the critic"""
    damping: float = 0.0
    """of natural steps"""


def rule(settings: JaxSettings) -> Rule:
    """The algorithm of hyperparameters."""
    if isinstance(settings, NetworkPPOSettings):
        given = Rule(
            settings.n_epochs, settings.minibatches, settings.clip_range, settings.gae_lambda, settings.vf_coef
        )
        if isinstance(settings, MagnetSettings):
            return given._replace(magnet=settings.magnet, magnet_rate=settings.magnet_rate)
        return given._replace(shared=isinstance(settings, MAPPOSettings))
    if isinstance(settings, NPGSettings):
        passes = Rule(settings.n_epochs, settings.minibatches, gae_lambda=settings.gae_lambda, value=1.0)
        return passes._replace(natural=settings.natural_step, damping=settings.damping)
    if isinstance(settings, A2CSettings):
        return Rule(gae_lambda=settings.gae_lambda, value=settings.vf_coef)
    return Rule()

"""Policies of stable-baselines3 whose actor looks at a prefix of the observation; see
:mod:`~makertaker.training.common.information`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy


class _Prefix:
    """Mixed into a policy: it knows how many entries its actor sees."""

    def __init__(self, *arguments: object, visible: int, **keywords: object) -> None:
        self.visible = visible
        super().__init__(*arguments, **keywords)

    def _get_constructor_parameters(self) -> dict[str, object]:
        return {**super()._get_constructor_parameters(), "visible": self.visible}  # type: ignore[misc]


class _PrefixMlp(MlpExtractor):
    """Separate networks of actor and critic; the actor's reads the first ``visible`` features."""

    def __init__(self, visible: int, features: int, policy: ActorCriticPolicy) -> None:
        shape = policy.net_arch, policy.activation_fn, policy.device
        super().__init__(features, *shape)
        actor = MlpExtractor(visible, *shape)
        self.policy_net, self.latent_dim_pi, self.visible = actor.policy_net, actor.latent_dim_pi, visible

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Latent code of the actor."""
        return super().forward_actor(features[:, : self.visible])


class PrefixActorCriticPolicy(_Prefix, ActorCriticPolicy):
    """For PPO and A2C."""

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _PrefixMlp(self.visible, self.features_dim, self)


class PrefixFeatures(BaseFeaturesExtractor):
    """The first ``visible`` entries of an observation."""

    def __init__(self, observation_space: spaces.Space[np.ndarray], visible: int) -> None:
        super().__init__(observation_space, features_dim=visible)
        self.visible = visible

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Slice."""
        return observations[:, : self.visible]


class _PrefixActor(_Prefix):
    """Mixed into a policy with separate actor and critic networks: the actor looks at the prefix."""

    observation_space: spaces.Space[np.ndarray]

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The actor, with its own features extractor; one that the policy passes is not used."""
        return super().make_actor(PrefixFeatures(self.observation_space, self.visible))  # type: ignore[misc]


class PrefixSACPolicy(_PrefixActor, SACPolicy):
    """For SAC."""


class PrefixTD3Policy(_PrefixActor, TD3Policy):
    """For TD3 and DDPG."""


class PrefixTQCPolicy(_PrefixActor, TQCPolicy):
    """For sb3-contrib's TQC."""

"""Policies of stable-baselines3 whose actor looks at a prefix of the observation; see :mod:`.information`."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy


class _PrefixMlp(MlpExtractor):
    """Separate networks of actor and critic; the actor's reads the first ``visible`` features."""

    def __init__(self, features: int, visible: int, **arguments: Any) -> None:
        super().__init__(features, **arguments)
        actor = MlpExtractor(visible, **arguments)
        self.policy_net = actor.policy_net
        self.latent_dim_pi = actor.latent_dim_pi
        self.visible = visible

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Latent code of the actor."""
        return super().forward_actor(features[:, : self.visible])


class PrefixActorCriticPolicy(ActorCriticPolicy):
    """For PPO and A2C."""

    def __init__(self, *arguments: Any, visible: int, **keywords: Any) -> None:
        self.visible = visible
        super().__init__(*arguments, **keywords)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _PrefixMlp(
            self.features_dim,
            self.visible,
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            device=self.device,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "visible": self.visible}


class PrefixFeatures(BaseFeaturesExtractor):
    """The first ``visible`` entries of an observation."""

    def __init__(self, observation_space: spaces.Space[Any], visible: int) -> None:
        super().__init__(observation_space, features_dim=visible)
        self.visible = visible

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Slice."""
        return observations[:, : self.visible]


class _PrefixActor:
    """Mixed into a policy with separate actor and critic networks: the actor looks at the prefix."""

    def __init__(self, *arguments: Any, visible: int, **keywords: Any) -> None:
        self.visible = visible
        super().__init__(*arguments, **keywords)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The actor, with its own features extractor; one that the policy passes is not used."""
        space = self.observation_space  # type: ignore[attr-defined]
        return super().make_actor(PrefixFeatures(space, self.visible))  # type: ignore[misc]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "visible": self.visible}  # type: ignore[misc]


class PrefixSACPolicy(_PrefixActor, SACPolicy):
    """For SAC."""


class PrefixTD3Policy(_PrefixActor, TD3Policy):
    """For TD3 and DDPG."""


class PrefixTQCPolicy(_PrefixActor, TQCPolicy):
    """For sb3-contrib's TQC."""

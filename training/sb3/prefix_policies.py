"""Policies of stable-baselines3 whose actor looks at a prefix of the observation, or of each of the last few; see
:mod:`~makertaker.training.common.information` and :mod:`~makertaker.training.common.memory`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from ..common.memory import shown


class _Prefix:
    """Mixed into a policy: it knows how many entries its actor sees, and of how many observations."""

    def __init__(self, *arguments: object, visible: int, history: int = 1, **keywords: object) -> None:
        self.visible, self.history = visible, history
        super().__init__(*arguments, **keywords)

    def _get_constructor_parameters(self) -> dict[str, object]:
        own = {"visible": self.visible, "history": self.history}
        return {**super()._get_constructor_parameters(), **own}  # type: ignore[misc]


class _PrefixMlp(MlpExtractor):
    """Separate networks of actor and critic; the actor's reads the first ``visible`` features of each observation."""

    def __init__(self, visible: int, history: int, features: int, policy: ActorCriticPolicy) -> None:
        shape = policy.net_arch, policy.activation_fn, policy.device
        super().__init__(features, *shape)
        actor = MlpExtractor(history * visible, *shape)
        self.policy_net, self.latent_dim_pi, self.visible = actor.policy_net, actor.latent_dim_pi, visible
        self.history = history

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Latent code of the actor."""
        return super().forward_actor(shown(features, self.history, self.visible))


class PrefixActorCriticPolicy(_Prefix, ActorCriticPolicy):
    """For PPO, A2C and TRPO."""

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _PrefixMlp(self.visible, self.history, self.features_dim, self)


class PrefixRecurrentPolicy(_Prefix, RecurrentActorCriticPolicy):
    """For sb3-contrib's RecurrentPPO: an LSTM of the prefix for the actor, one of everything for the critic."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.lstm_actor = nn.LSTM(self.visible, self.lstm_actor.hidden_size)
        rates = keywords["lr_schedule"] if "lr_schedule" in keywords else arguments[2]
        rate: Any = {"lr": rates(1)}  # PyTorch's base class does not know it
        self.optimizer = self.optimizer_class(self.parameters(), **rate, **self.optimizer_kwargs)

    @staticmethod
    def _process_sequence(
        features: torch.Tensor,
        lstm_states: tuple[torch.Tensor, torch.Tensor],
        episode_starts: torch.Tensor,
        lstm: nn.LSTM,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the entries that an LSTM is made for."""
        seen = features[:, : lstm.input_size]
        return RecurrentActorCriticPolicy._process_sequence(seen, lstm_states, episode_starts, lstm)


class PrefixFeatures(BaseFeaturesExtractor):
    """The first ``visible`` entries of an observation, or of each of the last."""

    def __init__(self, observation_space: spaces.Space[np.ndarray], visible: int, history: int = 1) -> None:
        super().__init__(observation_space, features_dim=history * visible)
        self.visible, self.history = visible, history

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Slice."""
        return shown(observations, self.history, self.visible)


class _PrefixActor(_Prefix):
    """Mixed into a policy with separate actor and critic networks: the actor looks at the prefix."""

    observation_space: spaces.Space[np.ndarray]

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The actor, with its own features extractor; one that the policy passes is not used."""
        features = PrefixFeatures(self.observation_space, self.visible, self.history)
        return super().make_actor(features)  # type: ignore[misc]


class PrefixSACPolicy(_PrefixActor, SACPolicy):
    """For SAC."""


class PrefixTD3Policy(_PrefixActor, TD3Policy):
    """For TD3 and DDPG."""


class PrefixTQCPolicy(_PrefixActor, TQCPolicy):
    """For sb3-contrib's TQC."""

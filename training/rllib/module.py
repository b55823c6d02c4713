"""RLlib's network of one agent: an actor that sees a prefix of the observation, a critic that sees all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn


def network(inputs: int, hidden: Sequence[int], outputs: int, last_gain: float) -> nn.Sequential:
    """A multilayer perceptron with tanh units and orthogonal initial weights, as is usual for PPO."""
    layers: list[nn.Module] = []
    for width, size in zip((inputs, *hidden), hidden, strict=False):
        layers += [_linear(width, size, float(np.sqrt(2))), nn.Tanh()]
    return nn.Sequential(*layers, _linear(hidden[-1] if hidden else inputs, outputs, last_gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ActorModule(nn.Module):
    """Mean actions of a prefix of the observation; see :mod:`~makertaker.training.common.information`.

    Args:
        visible: number of leading entries that it sees.
        hidden: widths of its hidden layers.
        actions: number of its outputs.
    """

    def __init__(self, visible: int, hidden: Sequence[int], actions: int) -> None:
        super().__init__()
        self.visible = visible
        self.net = network(visible, hidden, actions, last_gain=0.01)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(B, actions) of (B, d)."""
        means: torch.Tensor = self.net(observations[..., : self.visible])
        return means


class PrefixPPOModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]  # RLlib is untyped
    """For PPO.

    ``model_config``: ``visible``, the number of leading entries that the actor sees; ``hidden``, widths of the hidden
    layers; ``exploration``, the standard deviation to begin with. The standard deviation is not learned:
    :class:`.learner.ShrinkingPPOLearner` sets it.
    """

    def setup(self) -> None:
        """Build the networks; RLlib calls it."""
        config = self.model_config
        actions = int(np.prod(self.action_space.shape))
        self.actor = ActorModule(config["visible"], config["hidden"], actions)
        self.critic = network(int(np.prod(self.observation_space.shape)), config["hidden"], 1, last_gain=1.0)
        self.register_buffer("log_std", torch.full((actions,), float(np.log(config["exploration"]))))

    def _forward(self, batch: Mapping[str, torch.Tensor], **_: object) -> dict[str, torch.Tensor]:
        means = self.actor(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat([means, self.log_std.expand_as(means)], dim=-1)}

    def compute_values(self, batch: Mapping[str, torch.Tensor], embeddings: object = None) -> torch.Tensor:
        """Values (B,) of full observations (B, d)."""
        values: torch.Tensor = self.critic(batch[Columns.OBS]).squeeze(-1)
        return values

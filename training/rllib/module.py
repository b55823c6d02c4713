"""RLlib's network of one agent: an actor that sees a prefix of the observation, a critic that sees all of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from ..common.actor import Actor, network


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
        self.actor = Actor(config["visible"], config["hidden"], actions)
        self.critic = network(int(np.prod(self.observation_space.shape)), config["hidden"], 1, last_gain=1.0)
        self.register_buffer("log_std", torch.full((actions,), float(np.log(config["exploration"]))))

    def _forward(self, batch: Mapping[str, torch.Tensor], **_: object) -> dict[str, torch.Tensor]:
        means = self.actor(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat([means, self.log_std.expand_as(means)], dim=-1)}

    def compute_values(self, batch: Mapping[str, torch.Tensor], embeddings: object = None) -> torch.Tensor:
        """Values (B,) of full observations (B, d)."""
        values: torch.Tensor = self.critic(batch[Columns.OBS]).squeeze(-1)
        return values

"""RLlib's PPO with exploration and learning rates that shrink over the training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from ..common.hyperparameters import geometric
from .connector import WholeEpisodes


class ShrinkingPPOLearner(PPOTorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """Sets exploration and learning rate for the next rollout after every update.

    The configuration's ``lr``, a number, is the learning rate at the start. ``learner_config_dict``: ``timesteps``, the
    length of the whole training; ``learning_rate_falls_to``, the last learning rate over the first; ``exploration``,
    the standard deviation at the start and at the end.
    """

    def build(self) -> None:
        """Put :class:`.connector.WholeEpisodes` in the place of RLlib's own connectors, unless they are asked for."""
        super().build()
        if not self.config.add_default_connectors_to_learner_pipeline:
            self._learner_connector.append(WholeEpisodes(gamma=self.config.gamma, gae_lambda=self.config.lambda_))

    def configure_optimizers_for_module(self, module_id: str, config: object = None) -> None:
        """Adam as in stable-baselines3, whose epsilon is larger than PyTorch's; RLlib calls it."""
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, eps=1e-5),
            params=parameters,
            lr_or_lr_schedule=self.config.lr,
        )

    def after_gradient_based_update(self, *, timesteps: Mapping[str, float]) -> None:
        """Follow the schedules; RLlib calls it."""
        super().after_gradient_based_update(timesteps=timesteps)
        schedule = self.config.learner_config_dict
        fraction = float(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)) / schedule["timesteps"]
        rate = self.config.lr * geometric((1.0, schedule["learning_rate_falls_to"]), fraction)
        for optimizer in self._named_optimizers.values():
            self._set_optimizer_lr(optimizer, lr=rate)
        spread = float(np.log(geometric(schedule["exploration"], fraction)))
        self.module.foreach_module(lambda _, module: module.unwrapped().log_std.fill_(spread))

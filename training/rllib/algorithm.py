"""PPO that goes on at full speed when some of its runners are gone."""

from __future__ import annotations

import time

from ray.rllib.algorithms.ppo import PPO
from ray.rllib.env.env_runner_group import EnvRunnerGroup


class PatientPPO(PPO):  # type: ignore[misc]  # RLlib is untyped
    """Looks for lost runners now and then, not in every iteration.

    A look at a runner whose node is gone takes seconds, many iterations' time; the others play its markets meanwhile.
    """

    pause = 30.0
    """seconds from one look to the next, while any runner is healthy"""
    _looked = -float("inf")

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """Numbers of the runners that came back; RLlib calls it in every iteration."""
        if env_runner_group.num_healthy_remote_workers() > 0 and time.monotonic() < self._looked + self.pause:
            return []
        restored: list[int] = super().restore_env_runners(env_runner_group)
        self._looked = time.monotonic()
        return restored

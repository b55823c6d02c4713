"""Actions of what stable-baselines3 has trained, from its files as well, of which the policy alone is built."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file

from ...envs.market import Market
from ..common.joint_market import Act
from .algorithm import Algorithm
from .algorithms import Progress, find, learning_rate


def load(market: Market, agent: str, name: str, path: Path) -> Act:
    """A stored model's actions without exploration; of the model the policy alone is built.

    Args:
        market: one in which it learned.
        agent: name of the agent.
        name: of the algorithm.
        path: the model.

    Raises:
        one of :data:`~.files.DAMAGE`, such as ValueError for a model of another game.
    """
    torch.set_num_threads(1)
    algorithm = find(name)
    objects = not_read(algorithm, Progress())
    data, parameters, _ = load_from_zip_file(path, device="cpu", custom_objects=objects)
    seen, acted = market.observation_space, market.action_space(agent)
    if data is None or (data["observation_space"], data["action_space"]) != (seen, acted):
        raise ValueError(
            "its observations or actions are not those of the game; what was trained with makertaker 0.1, whose "
            "observations and units were others, is read by that version"
        )
    policy: BasePolicy = algorithm.policy(seen, acted, objects["lr_schedule"], **data["policy_kwargs"])
    policy.load_state_dict(cast(Mapping[str, torch.Tensor], parameters["policy"]))
    return partial(mean, policy)


def not_read(algorithm: Algorithm, progress: Progress) -> dict[str, object]:
    """Objects in place of stored ones: they refer to this process, or to modules that may have moved."""
    schedule = learning_rate(algorithm, progress)
    return {"learning_rate": schedule, "lr_schedule": schedule, "policy_class": algorithm.policy}


def mean(model: BaseAlgorithm | BasePolicy, seen: np.ndarray) -> np.ndarray:
    """Actions without exploration."""
    return model.predict(seen, deterministic=True)[0]

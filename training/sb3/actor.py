"""Policies of stable-baselines3: their actions, as numbers, and from files of earlier versions, which are pickles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from ...envs.market import Setting
from ..common.actor import Actor, Lstm
from ..common.joint_market import Act
from ..common.torch_layers import as_numbers, stacked
from .algorithm import Algorithm
from .algorithms import Progress, find, learning_rate
from .prefix_policies import (
    PrefixActorCriticPolicy,
    PrefixRecurrentPolicy,
    PrefixSACPolicy,
    PrefixTD3Policy,
    PrefixTQCPolicy,
)

_ACTOR_CRITICS = (PrefixActorCriticPolicy, PrefixRecurrentPolicy)
"""policies whose actions are means, truncated at the range"""


def numbers(policy: Any) -> Actor | None:
    """A policy's actor as numbers; None for a policy of the user's own, and for one with other layers."""
    squashed = type(policy) not in _ACTOR_CRITICS
    found = stacked(_modules(policy))
    if found is None or policy.squash_output != squashed:
        return None
    (layers, activation), (width,), range_ = found, policy.observation_space.shape, policy.action_space
    shape = width // policy.history, policy.visible, activation, squashed
    lstm = Lstm(*_weights(policy.lstm_actor)) if type(policy) is PrefixRecurrentPolicy else None
    return Actor(*shape, range_.low, range_.high, layers, lstm=lstm, history=policy.history)


def _weights(lstm: nn.LSTM) -> Iterable[np.ndarray]:
    """Those of its one layer, in the order of :class:`.Lstm`."""
    return (as_numbers(getattr(lstm, f"{name}_l0")) for name in Lstm._fields)


class Predicting:
    """The library's own predictions with an LSTM, for a policy that is no file of numbers: acts on observations and on
    what it remembers; see :class:`~makertaker.training.common.memory.Remembering`.

    Args:
        model: of sb3-contrib's RecurrentPPO.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model, policy = model, cast(PrefixRecurrentPolicy, model.policy)
        self._hidden = policy.lstm_actor.hidden_size

    def start(self, *batch: int) -> np.ndarray:
        """Zeros (*batch, 2 h)."""
        return np.zeros((*batch, 2 * self._hidden), dtype=np.float32)

    def step(self, seen: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions (..., m) without exploration, and the next memory."""
        rows, kept = seen.reshape(-1, seen.shape[-1]), memory.reshape(-1, memory.shape[-1])
        state = tuple(each[None] for each in np.split(kept, 2, axis=-1))
        action, after = self._model.predict(rows, state, np.zeros(len(rows)), deterministic=True)
        assert after is not None, "it is recurrent"
        together = np.concatenate([each[0] for each in after], axis=-1)
        return action.reshape(*seen.shape[:-1], -1), together.reshape(memory.shape)


def _modules(policy: Any) -> Iterable[nn.Module]:
    """The modules from the visible observation to the mean action, before it is squashed; none where more happens."""
    if type(policy) in _ACTOR_CRITICS and type(policy.features_extractor) is FlattenExtractor:
        return [*policy.mlp_extractor.policy_net, policy.action_net]
    if type(policy) in (PrefixSACPolicy, PrefixTQCPolicy):
        return [*policy.actor.latent_pi, policy.actor.mu]
    if type(policy) is PrefixTD3Policy and isinstance(policy.actor.mu[-1], nn.Tanh):
        return list(policy.actor.mu)[:-1]
    return []


def load_pickled(market: Setting, agent: str, name: str, path: Path) -> Act:
    """Actions without exploration of a zip, which is a pickle: reading it runs code that is in it.

    Args:
        market: one in which it learned.
        agent: name of the agent.
        name: of the algorithm.
        path: the zip.

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
    actor = numbers(policy)
    return partial(mean, policy) if actor is None else actor.act


def not_read(algorithm: Algorithm, progress: Progress) -> dict[str, object]:
    """Objects in place of stored ones: they refer to this process, or to modules that may have moved."""
    schedule = learning_rate(algorithm, progress)
    return {"learning_rate": schedule, "lr_schedule": schedule, "policy_class": algorithm.policy}


def mean(model: BaseAlgorithm | BasePolicy, seen: np.ndarray) -> np.ndarray:
    """Actions without exploration."""
    return model.predict(seen, deterministic=True)[0]

"""Checkpoints of joint training: a resumed training ends bit for bit where an uninterrupted one would have.

A checkpoint is a folder with one stable-baselines3 zip for each learner, its replay buffer if it has one, and
``state.pkl``: the generators of Python, NumPy and torch, the markets, and the generators of action spaces. They are
taken between two calls of ``learn``, when no learner is in the middle of a rollout. Like every pickle, load only what
you trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypedDict, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file

from ...envs.market import Market
from ...envs.observation import space
from ..common.checkpoint_folder import State, corrupt, generators, replaced, set_generators, stored_state
from ..common.files import DAMAGE
from ..common.joint_market import Act, learner_space
from .algorithms import Algorithm, Progress, find, learning_rate
from .hub import Hub


class Learners(Protocol):
    """The parts of learners that a checkpoint is taken of."""

    hub: Hub
    progress: Progress
    algorithms: dict[str, Algorithm]
    models: dict[str, BaseAlgorithm]


class _Markets(TypedDict):
    k: int
    inventories: np.ndarray


class _State(State):
    fraction: float
    market: _Markets
    hub: Mapping[str, object]
    spaces: dict[str, Mapping[str, object]]


def save(learners: Learners, folder: Path, extra: Mapping[str, object] | None = None) -> None:
    """Write the checkpoint to resume from, in place of an older one.

    Args:
        learners: between two calls of ``learn``.
        folder: of the checkpoint.
        extra: kept beside, and returned by :func:`load`.
    """
    hub, market = learners.hub, learners.hub.market
    state: _State = {
        "extra": dict(extra or {}),
        "fraction": learners.progress.fraction,
        "steps_done": hub.steps_done,
        "market": {"k": market.k, "inventories": market.inventories},
        "hub": hub.rng.bit_generator.state,
        "spaces": {agent: model.action_space.np_random.bit_generator.state for agent, model in learners.models.items()},
        **generators(),
    }
    with replaced(folder, state) as fresh:
        for agent, model in learners.models.items():
            model.save(fresh / f"{agent}.zip")
            if isinstance(model, OffPolicyAlgorithm):
                model.save_replay_buffer(fresh / f"{agent}.replay.pkl")


def load(learners: Learners, folder: Path) -> dict[str, object]:
    """Put learners that were built with the same arguments where a checkpoint left them; returns its ``extra``.

    Raises:
        ValueError: there is no checkpoint, it is corrupt, or it belongs to other learners.
    """
    state = cast(_State, stored_state(folder))
    try:
        for agent in learners.models:
            learners.models[agent] = _load_model(learners, agent, folder)
    except DAMAGE as error:
        raise corrupt(folder, error) from error
    hub = learners.hub
    if state["market"]["k"] != 0:
        raise ValueError(f"checkpoint {str(folder)!r} was taken within an episode")
    learners.progress.fraction = state["fraction"]
    hub.steps_done = state["steps_done"]
    hub.rng.bit_generator.state = state["hub"]
    hub.reset(state["market"]["inventories"])
    for agent, model in learners.models.items():
        model.action_space.np_random.bit_generator.state = state["spaces"][agent]
    # last: loading a model reseeds the global generators
    set_generators(state)
    return state["extra"]


def _load_model(learners: Learners, agent: str, folder: Path) -> BaseAlgorithm:
    algorithm = learners.algorithms[agent]
    model = algorithm.model.load(
        folder / f"{agent}.zip",
        env=learners.models[agent].get_env(),
        device="cpu",
        custom_objects=_not_read(algorithm, learners.progress),
        force_reset=False,
    )
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(folder / f"{agent}.replay.pkl")
    return model


def load_actor(market: Market, agent: str, name: str, path: Path) -> Act:
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
    objects = _not_read(algorithm, Progress())
    data, parameters, _ = load_from_zip_file(path, device="cpu", custom_objects=objects)
    seen, acted = space(market.game, "full"), learner_space(market, agent)
    if data is None or (data["observation_space"], data["action_space"]) != (seen, acted):
        raise ValueError("its observations or actions are not those of the game")
    policy: BasePolicy = algorithm.policy(seen, acted, objects["lr_schedule"], **data["policy_kwargs"])
    policy.load_state_dict(cast(Mapping[str, torch.Tensor], parameters["policy"]))
    return deterministic(policy)


def _not_read(algorithm: Algorithm, progress: Progress) -> dict[str, object]:
    """Objects in place of stored ones: they refer to this process, or to modules that may have moved."""
    schedule = learning_rate(algorithm, progress)
    return {"learning_rate": schedule, "lr_schedule": schedule, "policy_class": algorithm.policy}


def deterministic(model: BaseAlgorithm | BasePolicy) -> Act:
    """A model's actions without exploration."""
    return partial(_mean, model)


def _mean(model: BaseAlgorithm | BasePolicy, seen: np.ndarray) -> np.ndarray:
    return model.predict(seen, deterministic=True)[0]

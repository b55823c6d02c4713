"""Checkpoints of joint training: a resumed training ends bit for bit where an uninterrupted one would have.

A checkpoint is a folder with one stable-baselines3 zip for each learner, its replay buffer if it has one, and
``state.pkl``: the generators of Python, NumPy and torch, the markets, and the generators of action spaces. They are
taken between two calls of ``learn``, when no learner is in the middle of a rollout. Like every pickle, load only what
you trust.
"""

from __future__ import annotations

import pickle
import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from . import algorithms
from .folders import exchanged, recover

if TYPE_CHECKING:
    from .independent import IndependentLearners

_STATE = "state.pkl"


def save(learners: IndependentLearners, folder: Path, extra: dict[str, Any] | None = None) -> None:
    """Write a checkpoint in place of an older one; an interrupt leaves the older one, or the new one, whole.

    Args:
        learners: between two calls of ``learn``.
        folder: where to.
        extra: kept beside, and returned by :func:`load`.
    """
    hub, market = learners.hub, learners.market
    state = {
        "extra": extra or {},
        "fraction": learners.progress.fraction,
        "steps_done": hub.steps_done,
        "market": {"k": market.k, "inventories": market.inventories, "price": market.price, "quotes": market.quotes},
        "hub": hub.rng.bit_generator.state,
        "spaces": {agent: model.action_space.np_random.bit_generator.state for agent, model in learners.models.items()},
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002  # stable-baselines3 draws from NumPy's global generator
        "torch": torch.get_rng_state(),
    }
    with exchanged(folder, _STATE) as fresh:
        for agent, model in learners.models.items():
            model.save(fresh / f"{agent}.zip")
            if isinstance(model, OffPolicyAlgorithm):
                model.save_replay_buffer(fresh / f"{agent}.replay.pkl")
        (fresh / "writing").write_bytes(pickle.dumps(state))
        (fresh / "writing").rename(fresh / _STATE)


def load(learners: IndependentLearners, folder: Path) -> dict[str, Any]:
    """Put learners that were built with the same arguments where a checkpoint left them; returns its ``extra``.

    Raises:
        ValueError: there is no checkpoint, it is corrupt, or it belongs to other learners.
    """
    recover(folder, _STATE)
    if not (folder / _STATE).is_file():
        raise ValueError(f"checkpoint: there is none in {str(folder)!r}")
    try:
        with open(folder / _STATE, "rb") as file:
            state = pickle.load(file)
        for agent in learners.models:
            _load_model(learners, agent, folder)
    except (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, OSError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"checkpoint {str(folder)!r} is corrupt or belongs to other learners: {error}") from error
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
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    return dict(state["extra"])


def load_policies(learners: IndependentLearners, folder: Path) -> None:
    """Load the learners' networks only. Raises ValueError as :func:`load` does."""
    for agent in learners.models:
        try:
            _load_model(learners, agent, folder, replay=False)
        except (
            zipfile.BadZipFile,
            OSError,
            KeyError,
            RuntimeError,
            ValueError,
            EOFError,
            pickle.UnpicklingError,
        ) as error:
            raise ValueError(f"model {str(folder / agent)!r}: missing, corrupt or of another run: {error}") from error


def _load_model(learners: IndependentLearners, agent: str, folder: Path, *, replay: bool = True) -> None:
    algorithm = learners.algorithms[agent]
    schedule = algorithms.learning_rate(algorithm, learners.progress)
    model = algorithm.model.load(
        folder / f"{agent}.zip",
        env=learners.models[agent].get_env(),
        device="cpu",
        custom_objects={"learning_rate": schedule, "lr_schedule": schedule},
        force_reset=False,
    )
    if replay and isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(folder / f"{agent}.replay.pkl")
    learners.models[agent] = model

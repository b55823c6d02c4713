"""Checkpoints of joint training: a resumed training ends bit for bit where an uninterrupted one would have.

A checkpoint is a folder with one stable-baselines3 zip for each learner, its replay buffer if it has one, and
``state.pkl``: the generators of Python, NumPy and torch, the markets, and the generators of action spaces. They are
taken between two calls of ``learn``, when no learner is in the middle of a rollout. Like every pickle, load only what
you trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from ..common.checkpoint_folder import DAMAGE, corrupt, generators, replaced, set_generators, stored_state
from . import algorithms

if TYPE_CHECKING:
    from .independent import IndependentLearners


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
        **generators(),
    }
    with replaced(folder, state) as fresh:
        for agent, model in learners.models.items():
            model.save(fresh / f"{agent}.zip")
            if isinstance(model, OffPolicyAlgorithm):
                model.save_replay_buffer(fresh / f"{agent}.replay.pkl")


def load(learners: IndependentLearners, folder: Path) -> dict[str, Any]:
    """Put learners that were built with the same arguments where a checkpoint left them; returns its ``extra``.

    Raises:
        ValueError: there is no checkpoint, it is corrupt, or it belongs to other learners.
    """
    state = stored_state(folder)
    try:
        for agent in learners.models:
            _load_model(learners, agent, folder)
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
    return dict(state["extra"])


def load_policies(learners: IndependentLearners, folder: Path) -> None:
    """Load the learners' networks only. Raises ValueError as :func:`load` does."""
    for agent in learners.models:
        try:
            _load_model(learners, agent, folder, replay=False)
        except DAMAGE as error:
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

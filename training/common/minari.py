"""Minari's data sets: whether there is one, and writing it."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer


def exists(name: str) -> bool:
    """True if there is a data set of a name in Minari's folder, or what is left of one."""
    return _folder(name).exists()


def _folder(name: str) -> Path:
    return Path(os.environ["MINARI_DATASETS_PATH"]) / name


def write(
    name: str,
    episodes: Sequence[Mapping[str, Any]],
    *,
    spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
    env: gymnasium.Env[Any, Any] | None,
    algorithm: str,
    description: str,
    metadata: Mapping[str, Any],
) -> None:
    """Write a data set; an older one of its name is replaced.

    Args:
        name: of the data set.
        episodes: fields of Minari's buffers.
        spaces: of observations and of actions.
        env: that it brings along; None: there is none.
        algorithm: that played.
        description: in words.
        metadata: numbers and texts to be kept with it.
    """
    if exists(name):
        shutil.rmtree(_folder(name))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(code_permalink|author|eval_env).*is set to None|env_spec is None")
        written = minari.create_dataset_from_buffers(
            name,
            [EpisodeBuffer(**each) for each in episodes],
            env=env,
            eval_env=env,
            observation_space=spaces[0],
            action_space=spaces[1],
            algorithm_name=algorithm,
            description=description,
            requirements=["makertaker"],
        )
    written.storage.update_metadata({f"makertaker_{key}": value for key, value in metadata.items()})

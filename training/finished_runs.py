"""Finished trainings as their directories have them: configuration, metrics, history, circumstances."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from ..envs import text
from ..envs.arrays import Array
from . import many, seed_folder
from .common import files
from .common.extras import needed
from .evaluation.metrics import RunMetrics
from .record import Circumstances, load_circumstances, load_gains, load_history
from .run_config import RunConfig, load_config


class FinishedRun(NamedTuple):
    """A training that came to its end."""

    folder: Path
    label: str
    """what it is called: the name of its folder or, without its seed, of the folder of seeds or of its sweep's cell"""
    config: RunConfig
    metrics: RunMetrics
    history: Array
    """joint market steps, NashConv and relative NashConv over training, (rows, 3)"""
    gains: Array | None
    """(rows, n) every agent's gain over training, in currency; None where it was not recorded"""
    circumstances: Circumstances


def read_finished(path: Path) -> tuple[list[FinishedRun], dict[str, str]]:
    """The finished runs of a path, and the reasons why others of a folder are left out."""
    members = _members(path)
    if members is None:
        return [_finished(path, name_of(path))], {}
    found, left_out = list[FinishedRun](), dict[str, str]()
    for folder, label in members:
        try:
            found.append(_finished(folder, label))
        except ValueError as error:
            left_out[text.shown(folder)] = str(error)
    if not found:
        reason = next(iter(left_out.values()), "it has none")
        raise ValueError(f"run: no run in {text.shown(path)!r} is finished: {reason}")
    return found, left_out


def _members(path: Path) -> list[tuple[Path, str]] | None:
    """The run directories of a folder of seeds or of a sweep, with their labels; None for another path."""
    if seed_folder.is_group(path):
        return [(folder, name_of(path)) for folder in seed_folder.folders_of(path)]
    if many.is_sweep(path):
        return [(folder, re.sub(r"-\d+$", "", name_of(folder))) for folder in many.folders_of(path)]
    return None


def name_of(path: Path) -> str:
    """What a folder is called, whichever way a path leads to it."""
    return text.shown(os.path.basename(os.path.abspath(path)))


def _finished(folder: Path, label: str) -> FinishedRun:
    """A finished run. Raises ValueError where it is not one, or a file of it cannot be read."""
    config, path = load_config(folder), folder / "metrics.json"
    advice = "'makertaker train' goes on with --resume"
    if not path.is_file():
        raise ValueError(f"run: {text.shown(folder)!r} is unfinished, it has no metrics.json; {advice}")
    metrics = needed("common.schema", "train").checked(files.read_json(path), RunMetrics, path)
    if metrics["timesteps_done"] < config.timesteps:
        done = f"{metrics['timesteps_done']:,} of {config.timesteps:,} joint market steps"
        raise ValueError(f"run: {text.shown(folder)!r} is unfinished, {done}; {advice}")
    return FinishedRun(
        folder, label, config, metrics, load_history(folder), load_gains(folder), load_circumstances(folder)
    )

"""Who plays what: a run's learned policies, or the equilibrium of a run's market or of a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..envs import Policy, read_scenario, scenario_names, text
from ..envs.names import unknown
from ..envs.observation import Kind
from . import runs, seed_folder
from .common.information import check_information
from .run_config import meant
from .task import Task

PLAYED = ("learned", "equilibrium")
_NASH = "equilibrium"


class Play(NamedTuple):
    """A market and those who play it."""

    task: Task
    policies: Mapping[str, Policy]
    title: str
    name: str
    """of the scenario"""
    who: str
    """``"equilibrium"``, or the algorithms that learned"""
    information: Kind
    """of the policies, as they are scored"""
    drawn: bool = False
    """True where the market is the first of those that are drawn of the run's random markets"""

    @property
    def sees(self) -> Kind:
        """What they look at: an equilibrium of a random game answers inventories and factor."""
        return "full" if self.who == _NASH and self.task.game.random else self.information


def play_of(
    source: str | Path,
    policies: str | None = None,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> Play:
    """A market and its players.

    Args:
        source: a run directory, or a scenario: its name, or the path of its file.
        policies: ``"learned"``, the run's policies, or ``"equilibrium"``; None: the learned ones of a run, otherwise
            the equilibrium.
        steps: of a scenario's grid; None: the scenario's.
        overrides: ``key=value`` of a scenario, see :func:`~makertaker.envs.read_scenario`.
        trust: see :func:`.runs.load_policies`.

    Raises:
        ValueError: an argument is out of its range, or the run cannot be read.
        EquilibriumNotFound: the game was not solved.
    """
    if policies is not None and policies not in PLAYED:
        raise unknown("policies", policies, PLAYED)
    folder = Path(source)
    run = seed_folder.is_group(folder) or (folder / "config.json").is_file()
    if not run and (not folder.is_dir() or str(source) in scenario_names()):
        if policies == "learned":
            raise ValueError(f"policies: nothing was learned in a scenario, {text.shown(source)!r}: expected a run")
        if str(source) not in scenario_names() and (run_of := meant(folder)):
            raise ValueError(f"{text.shown(source)!r} is neither a run directory nor a scenario{run_of}")
        given = read_scenario(source, overrides)
        return _nash(Task(given, steps), given.name)
    if steps is not None or overrides:
        raise ValueError("steps, overrides: a run is played with its own, expected none (--steps, --set)")
    if seed_folder.is_group(folder):
        listed = ", ".join(str(seed) for seed in seed_folder.seeds_of(folder))
        raise ValueError(f"run: {text.shown(folder)!r} holds the seeds {listed}: expected the folder of one of them")
    config = runs.load_config(folder)
    task, name, drawn = config.task.markets[0], config.scenario, config.task.random is not None
    if policies == "equilibrium":
        return _nash(task, name)._replace(drawn=drawn)
    learned = config.task.players(runs.load_policies(folder, trust=trust))[0]
    who = runs.algorithm_text(config)
    title = f"{name}, {who}, seed {config.seed}" + (", a drawn market" if drawn else "")
    return Play(task, learned, title, name, who, check_information(config.information), drawn)


def _nash(task: Task, name: str) -> Play:
    return Play(task, task.equilibrium.open_loop(), f"{name}, equilibrium", name, _NASH, "time")

"""Where policies stand beside the equilibrium in the middle of a training: what is cheap enough to be asked often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ...baselines import EquilibriumNotFound
from ...baselines.kind import QUICK_PATHS, Gains
from ...baselines.kinds import kind_of
from ...envs import Policy, Trajectory, draw_noise, rollout
from ..task import Task
from .distances import agent_distances, along, control_distance
from .scoring import comparable, mean_payoffs

TAGS = {
    "equilibrium/nash_conv": "sum of all agents' gains, in currency",
    "equilibrium/relative_nash_conv": "the same over the sum of the equilibrium payoffs' sizes",
    "equilibrium/control_distance": "relative distance of all controls to the equilibrium's",
    "gain/AGENT": "what the agent's best response would add to its payoff, in currency",
    "gap/AGENT": "the agent's payoff less its payoff in equilibrium, in currency",
    "control_distance/AGENT": "relative distance of the agent's controls to the equilibrium's",
    "payoff/AGENT": "the agent's payoff, in currency",
}
"""what the numbers are called in logs, and what they are; steps are joint market steps"""
_JOINT = "equilibrium"


class AgentStanding(NamedTuple):
    """One agent's numbers; in currency, but for the last."""

    gain: float
    """what its best response would add; NaN where none was found"""
    gap: float
    """its payoff less its payoff in equilibrium"""
    control_distance: float
    """relative distance of its controls to the equilibrium's"""
    payoff: float


class Standing(NamedTuple):
    """Everyone's numbers, and those of the profile as a whole."""

    nash_conv: float
    """sum of the gains, in currency"""
    relative_nash_conv: float
    """over the sum of the equilibrium payoffs' sizes"""
    control_distance: float
    """relative, over all controls"""
    agents: dict[str, AgentStanding]


def tagged(standing: Standing) -> dict[str, float]:
    """The numbers of an evaluation by tag; one that was not found is left out."""
    joint = {name: getattr(standing, name) for name in Standing._fields if name != "agents"}
    found = {f"{_JOINT}/{name}": value for name, value in joint.items()}
    for name in AgentStanding._fields:
        found |= {f"{name}/{agent}": getattr(each, name) for agent, each in standing.agents.items()}
    return {tag: value for tag, value in found.items() if math.isfinite(value)}


class Standings:
    """Compares policies with the equilibrium of one task again and again; what does not change is computed once.

    Policies are taken for the schedules that they play on their common path: gains are against opponents that do not
    react. In a random game payoffs are means over few simulated paths, and gains lower bounds.

    Args:
        task: the game with its equilibrium.

    Raises:
        ValueError: all equilibrium payoffs are zero.
        EquilibriumNotFound: the game was not solved.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._size = task, task.payoff_size
        self._kind = kind_of(task.game, task.steps)
        self._noise = draw_noise(task.game, task.steps, QUICK_PATHS, seed=0)
        self._target = along(task.equilibrium, self._noise)

    def __call__(self, policies: Mapping[str, Policy]) -> Standing:
        """The standing of everyone's policies. A best response that is not found makes gains NaN."""
        played = self._played(policies)
        return self._standing(played, self._gains(policies, played))

    def together(self, profiles: Sequence[Mapping[str, Policy]]) -> list[Standing]:
        """The same of several profiles; best responses to all of them at once, where the kind of game has that."""
        paths = [self._played(policies) for policies in profiles]
        found: Sequence[Gains | None] = [None] * len(paths)
        if not self._task.game.random and len(paths) > 1:
            with suppress(EquilibriumNotFound):  # one of them has none: each is asked alone
                found = self._kind.gains_together([self._task.game] * len(paths), [each.controls for each in paths])
        return [
            self._standing(played, self._gains(policies, played) if gains is None else gains.gains)
            for policies, played, gains in zip(profiles, paths, found, strict=True)
        ]

    def _played(self, policies: Mapping[str, Policy]) -> Trajectory:
        return rollout(self._task.game, policies, self._task.steps, self._noise)

    def _gains(self, policies: Mapping[str, Policy], played: Trajectory) -> np.ndarray:
        try:
            return np.asarray(self._kind.open_loop_gains(policies, played, quick=True).gains)
        except EquilibriumNotFound:
            return np.full(len(self._task.game.agents), np.nan)

    def _standing(self, played: Trajectory, gains: np.ndarray) -> Standing:
        game, target = self._task.game, self._target
        payoffs, *_ = mean_payoffs(self._task.equilibrium, played, target)
        controls = comparable(played, target).controls
        distances, nash_conv = agent_distances(game, controls, target), float(gains.sum())
        numbers = zip(gains, payoffs - self._task.equilibrium.payoffs, distances.values(), payoffs, strict=True)
        agents = {agent: AgentStanding(*map(float, each)) for agent, each in zip(game.agents, numbers, strict=True)}
        return Standing(nash_conv, nash_conv / self._size, control_distance(controls, target), agents)

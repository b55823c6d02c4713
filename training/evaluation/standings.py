"""Where policies stand beside the equilibrium in the middle of a training: what is cheap enough to be asked often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ...baselines import EquilibriumNotFound
from ...baselines.gains import payoff_size
from ...baselines.kind import QUICK_PATHS, Gains
from ...baselines.kinds import kind_of
from ...envs import Controls, Policy, Trajectory, draw_noise, rollout, simulate
from ...envs.market import Market
from ...envs.packing import join_actions, split_controls
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
    react. In a random game payoffs are means over few simulated paths, and gains lower bounds. In random markets all
    numbers are means over those that the task draws; relative NashConv is over the mean size of equilibrium payoffs.

    Args:
        task: the game with its equilibrium, or random markets.

    Raises:
        ValueError: all equilibrium payoffs are zero.
        EquilibriumNotFound: the game was not solved.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._size = task, task.payoff_size
        self._each = [_InOneGame(each) for each in task.markets]
        self.context = task.context
        """(markets, D) what policies are to be shown of random markets; None in a game"""

    def __call__(self, policies: Mapping[str, Policy]) -> Standing:
        """The standing of everyone's policies; in random markets of those that are shown the task's ``context``.

        A best response that is not found makes gains NaN.
        """
        return self.together([policies])[0]

    def together(self, profiles: Sequence[Mapping[str, Policy]]) -> list[Standing]:
        """The same of several profiles; best responses to all of them at once, where the kind of game has that."""
        played = [pair for policies in profiles for pair in self._played(policies)]
        each = self._each * len(profiles)
        found: Sequence[Gains | None] = [None] * len(played)
        if not self._task.game.random and len(played) > 1:
            with suppress(EquilibriumNotFound):  # one of them has none: each is asked alone
                games, schedules = [one.game for one in each], [path.controls for _, path in played]
                found = each[0].kind.gains_together(games, schedules)
        standings = [
            one.standing(path, one.gains(policies, path) if gains is None else gains.gains)
            for one, (policies, path), gains in zip(each, played, found, strict=True)
        ]
        count = len(self._each)
        return [self._mean(standings[i * count : (i + 1) * count]) for i in range(len(profiles))]

    def _played(self, policies: Mapping[str, Policy]) -> list[tuple[Mapping[str, Policy], Trajectory]]:
        """In each market, the policies there and their path."""
        task, own = self._task, self._task.players(policies)
        if task.random is None or task.game.random:
            return [(mine, one.played(mine)) for mine, one in zip(own, self._each, strict=True)]
        joint = _rollout_together(task, policies)
        paths = [
            simulate(one.game, Controls(*(part[:, i] for part in joint)), task.steps)
            for i, one in enumerate(self._each)
        ]
        return list(zip(own, paths, strict=True))

    def _mean(self, standings: Sequence[Standing]) -> Standing:
        """Over markets."""
        if len(standings) == 1:
            return standings[0]
        agents = {
            agent: AgentStanding(*np.mean([one.agents[agent] for one in standings], axis=0).tolist())
            for agent in self._task.game.agents
        }
        nash_conv, distance = (
            float(np.mean([getattr(one, name) for one in standings])) for name in ("nash_conv", "control_distance")
        )
        return Standing(nash_conv, nash_conv / self._size, distance, agents)


def _rollout_together(task: Task, policies: Mapping[str, Policy]) -> Controls:
    """Controls (K, markets, .) of policies in all markets of a task at once; in one without noise."""
    assert task.random is not None
    assert task.drawn is not None
    market = Market(task.game, task.steps, task.random, batch=(len(task.markets),))
    market.reset(np.random.default_rng(0), uniform=np.asarray(task.drawn.uniform))
    taken = []
    while not market.done:
        actions = {agent: policies[agent](market.k, market.state) for agent in task.game.agents}
        asked = split_controls(task.game, join_actions(task.game, actions, market.batch))
        played = task.game.clip(asked)
        market.advance(played)
        taken.append(played._replace(rate=market.rate) if task.game.must_close else played)
    return Controls(*(np.stack(each) for each in zip(*taken, strict=True)))


class _InOneGame:
    """Compares policies with the equilibrium of one game."""

    def __init__(self, task: Task) -> None:
        self.game = task.game
        self.kind = kind_of(task.game, task.steps)
        self._task, self._size = task, payoff_size(task.equilibrium.payoffs)
        self._noise = draw_noise(task.game, task.steps, QUICK_PATHS, seed=0)
        self._target = along(task.equilibrium, self._noise)

    def played(self, policies: Mapping[str, Policy]) -> Trajectory:
        """Their paths."""
        return rollout(self.game, policies, self._task.steps, self._noise)

    def gains(self, policies: Mapping[str, Policy], played: Trajectory) -> np.ndarray:
        """(n,) everyone's, NaN where no best response is found."""
        try:
            return np.asarray(self.kind.open_loop_gains(policies, played, quick=True).gains)
        except EquilibriumNotFound:
            return np.full(len(self.game.agents), np.nan)

    def standing(self, played: Trajectory, gains: np.ndarray) -> Standing:
        """The numbers of paths, with the gains."""
        game, target, nash = self.game, self._target, self._task.equilibrium
        payoffs, *_ = mean_payoffs(nash, played, target)
        controls = comparable(played, target).controls
        distances, nash_conv = agent_distances(game, controls, target), float(gains.sum())
        numbers = zip(gains, payoffs - nash.payoffs, distances.values(), payoffs, strict=True)
        agents = {agent: AgentStanding(*map(float, each)) for agent, each in zip(game.agents, numbers, strict=True)}
        return Standing(nash_conv, nash_conv / self._size, control_distance(controls, target), agents)

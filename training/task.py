"""A market to learn in: a game on a grid, with its equilibrium, which is solved once; or random markets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..baselines import Equilibrium, solve, solve_many
from ..baselines.gains import payoff_size
from ..baselines.reach import out_of_reach
from ..envs import Policy
from ..envs.described import MarketLike, described_market, described_markets
from ..envs.market import Setting
from ..envs.random_markets import Drawn

MARKETS = 16
"""drawn of random markets, in which learners are compared with the equilibria"""


class Task:
    """A game on a grid; all that share a task share its equilibrium.

    Args:
        market: a game, a scenario, its name, the path of its file, a mapping of its contents; or an environment.
        steps: number of steps of an episode; by default the environment's or the scenario's, 20 for a game.
        random: True: random markets will do, of which :data:`MARKETS` are drawn, the same in every training.

    Raises:
        ValueError: there is no such scenario, it is no game, or ``steps`` is not a positive whole number.
    """

    def __init__(self, market: MarketLike, steps: int | None = None, *, random: bool = False) -> None:
        if not random:
            described_market(market, steps)
        self.game, self.steps, self.name, self.random = described_markets(market, steps)

    @cached_property
    def drawn(self) -> Drawn | None:
        """What is drawn in the random markets that learners are compared in, with an axis over them; None of a game."""
        if self.random is None:
            return None
        return self.random.drawn(np.random.default_rng(0).random((MARKETS, self.random.width)))

    @property
    def context(self) -> np.ndarray | None:
        """(markets, D) what agents see of the draws."""
        return None if self.drawn is None else np.asarray(self.drawn.context)

    @cached_property
    def markets(self) -> tuple[Task, ...]:
        """The games in which learners are compared: the task itself, or those that are drawn.

        Raises:
            EquilibriumNotFound: one that is drawn was not solved.
        """
        if self.random is None or self.drawn is None:
            return (self,)
        games = [self.random.game_of(self.random.drawn(each)) for each in self.drawn.uniform]
        tasks = tuple(Task(game, self.steps) for game in games)
        for task, found in zip(tasks, solve_many(games, self.steps), strict=True):
            task.name, task.__dict__["equilibrium"] = self.name, found
        return tasks

    def players(self, policies: Mapping[str, Policy]) -> list[dict[str, Policy]]:
        """Everyone's policies in each of :attr:`markets`; in random ones they are told what was drawn."""
        if self.context is None:
            return [dict(policies)]
        told: Any = policies  # they have ``showing``: everybody learned
        return [{agent: each.showing(row) for agent, each in told.items()} for row in self.context]

    @cached_property
    def equilibrium(self) -> Equilibrium:
        """The game's equilibrium on the grid.

        Raises:
            ValueError: markets are random, each of :attr:`markets` has its own.
            EquilibriumNotFound: the game was not solved.
        """
        if self.random is not None:
            raise ValueError("equilibrium: of random markets every one has its own, expected one game")
        return solve(self.game, self.steps)

    @cached_property
    def payoff_size(self) -> float:
        """Sum of the equilibrium payoffs' sizes, the unit of relative NashConv; of random markets its mean.

        Raises:
            ValueError: it is zero.
            EquilibriumNotFound: the game was not solved.
        """
        return float(np.mean([payoff_size(each.equilibrium.payoffs) for each in self.markets]))

    @property
    def message(self) -> str:
        """What the solver says; of random markets what it says of the first."""
        said = self.markets[0].equilibrium.message
        return said if self.random is None else f"the first of {MARKETS} drawn markets: {said}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the equilibria when reading NashConv."""
        return tuple(dict.fromkeys(note for each in self.markets for note in each.equilibrium.notes))

    def warn_where_out_of_reach(self, setting: Setting) -> None:
        """Warn the user where actions do not reach an equilibrium; of random markets, where they do not reach the first
        of those that they do not reach."""
        for each in self.markets:
            message = out_of_reach(setting, each.equilibrium)
            if message is not None:
                warnings.warn(message, UserWarning, stacklevel=3)
                return

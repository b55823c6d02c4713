"""A market to learn in: a game on a grid, with its equilibrium, which is solved once."""

from __future__ import annotations

from functools import cached_property

from ..baselines import Equilibrium, solve
from ..baselines.gains import payoff_size
from ..envs.described import MarketLike, described_market


class Task:
    """A game on a grid; all that share a task share its equilibrium.

    Args:
        market: a game, a scenario, its name, the path of its file, a mapping of its contents; or an environment.
        steps: number of steps of an episode; by default the environment's or the scenario's, 20 for a game.

    Raises:
        ValueError: there is no such scenario, it is no game, or ``steps`` is not a positive whole number.
    """

    def __init__(self, market: MarketLike, steps: int | None = None) -> None:
        self.game, self.steps, self.name = described_market(market, steps)

    @cached_property
    def equilibrium(self) -> Equilibrium:
        """The game's equilibrium on the grid. Raises EquilibriumNotFound."""
        return solve(self.game, self.steps)

    @cached_property
    def payoff_size(self) -> float:
        """Sum of the equilibrium payoffs' sizes, the unit of relative NashConv.

        Raises:
            ValueError: it is zero.
            EquilibriumNotFound: the game was not solved.
        """
        return payoff_size(self.equilibrium.payoffs)

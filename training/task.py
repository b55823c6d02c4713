"""A market to learn in: a game on a grid, with its equilibrium, which is solved once."""

from __future__ import annotations

from functools import cached_property

from ..baselines import Equilibrium, solve
from ..baselines.gains import payoff_size
from ..envs import Game, Options, Scenario, read_scenario
from ..envs.parameters import check_count


class Task:
    """A game on a grid; all that share a task share its equilibrium.

    Args:
        market: a game, a scenario, or a scenario's name or file.
        steps: number of steps of an episode; by default the scenario's, for a game that of :class:`.Options`.

    Raises:
        ValueError: there is no such scenario, it is no game, or ``steps`` is not a positive whole number.
    """

    def __init__(self, market: Game | Scenario | str, steps: int | None = None) -> None:
        found = read_scenario(market) if isinstance(market, str) else market
        if isinstance(found, Scenario):
            self.game, self.name, usual = found.game, found.name, found.steps
        elif isinstance(found, Game):
            self.game, self.name, usual = found, found.environment, Options.steps
        else:
            raise ValueError(f"game: expected a game or a scenario's name, got {market!r}")
        self.steps = usual if steps is None else steps
        check_count("steps", self.steps)

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

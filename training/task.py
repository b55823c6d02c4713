"""A market to learn in: a game on a grid, with its equilibrium, which is solved once."""

from __future__ import annotations

from functools import cached_property

from ..baselines import Equilibrium, solve
from ..baselines.gains import payoff_size
from ..envs.game import Game
from ..envs.scenarios import Scenario, read_scenario


class Task:
    """A game on a grid; whoever shares a task shares its equilibrium.

    Args:
        market: a game, a scenario, or a scenario's name or file.
        steps: number of steps of an episode; by default the scenario's.

    Raises:
        ValueError: there is no such scenario, or a game comes without a number of steps.
    """

    def __init__(self, market: Game | Scenario | str, steps: int | None = None) -> None:
        scenario = read_scenario(market) if isinstance(market, str) else market
        if isinstance(scenario, Scenario):
            self.game, self.name = scenario.game, scenario.name
            steps = scenario.steps if steps is None else steps
        elif isinstance(scenario, Game):
            self.game, self.name = scenario, scenario.environment
        else:
            raise ValueError(f"game: expected a game or a scenario's name, got {market!r}")
        if steps is None:
            raise ValueError(f"steps: expected a number for the game {self.game!r}, got None")
        self.steps = steps

    @cached_property
    def equilibrium(self) -> Equilibrium:
        """The game's equilibrium on the grid. Raises EquilibriumNotFound."""
        return solve(self.game, self.steps)

    @cached_property
    def payoff_size(self) -> float:
        """Sum of the equilibrium payoffs' sizes, what NashConv is compared with. Raises ValueError for zero."""
        return payoff_size(self.equilibrium.payoffs)

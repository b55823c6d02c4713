"""The contents of the figures, however they are drawn: panels of learned and equilibrium paths, colours, levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...envs.arrays import Array
from ...envs.palette import COLORS as COLORS
from ...envs.palette import NAMED
from ...envs.palette import color as color
from ...envs.palette import colors as colors
from ...envs.palette import legend as legend
from ...envs.palette import width as width
from .metrics import Metrics
from .scoring import Evaluation


def named(agents: Sequence[str]) -> Sequence[str]:
    """The agents that a table names, all or none."""
    return agents if len(agents) <= NAMED else ()


class Panel(NamedTuple):
    """Paths of some agents over time."""

    title: str
    unit: str
    held: bool
    """True if a value holds for a step"""
    agents: Sequence[int]
    """their positions"""
    learned: Array
    """(K, agents) values that are held, otherwise (K + 1, agents)"""
    exact: Array
    """the same in equilibrium"""

    def lines(self) -> Iterator[tuple[int, bool, Array]]:
        """Position of the agent, True if learned, and values at the K + 1 times."""
        for column, agent in enumerate(self.agents):
            for learned, paths in ((True, self.learned), (False, self.exact)):
                path = paths[:, column]
                yield agent, learned, np.append(path, path[-1]) if self.held else path


def panels(result: Evaluation) -> list[Panel]:
    """Inventories, rates, asks and bids, as far as the game has them."""
    game, learned, exact = result.equilibrium.game, result.learned, result.equilibrium
    everyone = range(len(game.agents))
    traders, makers = everyone[: game.traders], everyone[game.traders :]
    found = [
        Panel("inventories", "shares", False, everyone, learned.inventories, exact.inventories),
        Panel("trading rates", "shares / time", True, traders, learned.controls.rate, exact.controls.rate),
        Panel("asks above the reference price", "currency", True, makers, learned.controls.ask, exact.controls.ask),
        Panel("bids below the reference price", "currency", True, makers, learned.controls.bid, exact.controls.bid),
    ]
    mean = "mean " if game.random else ""
    return [each._replace(title=f"{mean}{each.title}".capitalize()) for each in found if each.agents]


def levels(metrics: Metrics) -> dict[str, float]:
    """Relative NashConv of the reference profiles that are not equilibria."""
    found = {name: each["relative_nash_conv"] for name, each in metrics["baselines"].items()}
    return {name: value for name, value in found.items() if value}

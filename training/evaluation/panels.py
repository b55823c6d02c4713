"""The contents of the figures, however they are drawn: panels of learned and equilibrium paths, colours, levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...envs import Game
from ...envs.arrays import Array
from ...envs.rendering import NAMED, groups
from .metrics import Metrics
from .scoring import Evaluation

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#000000", "#999999", "#882255", "#44AA99", "#DDCC77", "#332288"),
)
"""Okabe and Ito's palette, told apart by colour-blind readers, and six more of Tol's"""


def color(index: int) -> str:
    """A colour by its number."""
    return COLORS[index % len(COLORS)]


def colors(game: Game) -> list[str]:
    """Every agent's colour: that of its entry in :func:`legend`."""
    found = {i: color(g) for g, who in enumerate(groups(game).values()) for i in who}
    return [found[i] for i in range(len(game.agents))]


def legend(game: Game) -> dict[str, str]:
    """Colours of the agents by name or, where they are many, of traders and makers."""
    return {name: color(g) for g, name in enumerate(groups(game))}


def width(game: Game) -> float:
    """Of a line, in points."""
    return 1.5 if len(game.agents) <= NAMED else 0.7


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

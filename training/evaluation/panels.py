"""The contents of the figures, however they are drawn: panels of learned and equilibrium paths, colours, levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ...baselines import Equilibrium
from ...envs import Controls, Trajectory
from ...envs.arrays import Array
from ...envs.palette import COLORS as COLORS
from ...envs.palette import color as color
from ...envs.palette import colors as colors
from ...envs.palette import groups as groups
from ...envs.palette import legend as legend
from ...envs.palette import markers as markers
from ...envs.palette import width as width
from .metrics import Metrics
from .scoring import Evaluation

LEARNED, EQUILIBRIUM, RESPONSE = "learned", "equilibrium", "best response"
"""kinds of lines"""
DASHED = {LEARNED: "solid", EQUILIBRIUM: "dash", RESPONSE: "dot"}
"""plotly's name of the dashes of a kind of line"""


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
    response: Array | None = None
    """the same of each agent's best response to the learned profile of the others; NaN for one that was not found"""
    low: Array | None = None
    """the least of several trainings, of which ``learned`` is the median"""
    high: Array | None = None
    """the greatest"""

    def lines(self) -> Iterator[tuple[int, str, Array]]:
        """Position of the agent, kind of the line, and values at the K + 1 times."""
        kinds = {LEARNED: self.learned, EQUILIBRIUM: self.exact, RESPONSE: self.response}
        for column, agent in enumerate(self.agents):
            for kind, paths in kinds.items():
                if paths is not None and not np.isnan(paths[:, column]).all():
                    yield agent, kind, self._whole(paths[:, column])

    def bands(self) -> Iterator[tuple[int, Array, Array]]:
        """Position of the agent, and the least and the greatest of the trainings at the K + 1 times."""
        if self.low is not None and self.high is not None:
            for column, agent in enumerate(self.agents):
                yield agent, self._whole(self.low[:, column]), self._whole(self.high[:, column])

    def _whole(self, path: Array) -> Array:
        return np.append(path, path[-1]) if self.held else path


def panels(result: Evaluation, responses: Controls | None = None) -> list[Panel]:
    """Inventories, rates, asks and bids, as far as the game has them.

    Args:
        result: what is shown.
        responses: everyone's best response, each to the learned profile of the others.
    """
    return of_paths(result.equilibrium, result.learned.inventories, result.learned.controls, responses)


def of_paths(
    exact: Equilibrium, inventories: Array, controls: Controls, responses: Controls | None = None
) -> list[Panel]:
    """The panels of some paths beside the equilibrium's."""
    game = exact.game
    everyone, best = range(len(game.agents)), responses or Controls(None)
    traders, makers = everyone[: game.traders], everyone[game.traders :]
    rate, ask, bid = zip(controls, exact.controls, best, strict=True)
    found = [
        Panel("inventories", "shares", False, everyone, inventories, exact.inventories),
        Panel("trading rates", "shares / time", True, traders, *rate),
        Panel("asks above the reference price", "currency", True, makers, *ask),
        Panel("bids below the reference price", "currency", True, makers, *bid),
    ]
    mean = "mean " if game.random else ""
    return [each._replace(title=f"{mean}{each.title}".capitalize()) for each in found if each.agents]


def over_seeds(
    exact: Equilibrium, learned: Sequence[Trajectory], responses: Sequence[Controls | None] = ()
) -> list[Panel]:
    """The panels of several trainings: medians, and the least and the greatest.

    Args:
        exact: the equilibrium.
        learned: the path of each, of means where anything is random.
        responses: everyone's best responses in each, as of :func:`panels`; medians over those that were found.
    """
    known = [each for each in responses if each is not None]
    best = _joint(known, partial(np.median, axis=0)) if known else None

    def each(of: Callable[[Array], Array]) -> list[Panel]:
        joint = _joint([each.controls for each in learned], of)
        return of_paths(exact, of(np.stack([each.inventories for each in learned])), joint, best)

    middle, low, high = (each(partial(np.quantile, q=q, axis=0)) for q in (0.5, 0.0, 1.0))
    return [
        a._replace(low=b.learned, high=c.learned) if len(learned) > 1 else a
        for a, b, c in zip(middle, low, high, strict=True)
    ]


def _joint(controls: Sequence[Controls], of: Callable[[Array], Array]) -> Controls:
    """Several profiles as one."""
    return Controls(*(of(np.stack(values)) for values in zip(*controls, strict=True)))


def levels(metrics: Metrics) -> dict[str, float]:
    """Relative NashConv of the reference profiles that are not equilibria."""
    found = {name: each["relative_nash_conv"] for name, each in metrics["baselines"].items()}
    return {name: value for name, value in found.items() if value}

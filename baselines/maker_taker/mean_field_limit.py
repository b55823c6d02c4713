"""Infinitely many traders (Proposition 4.5): makers who face the average trader, and a population around it.

With equal penalties, quadratic impact and one side of the market, and as long as nobody's rate is truncated, a trader's
optimal rate is affine in its inventory with the same slope for all. The average of the population (32) is then itself a
trader, the *representative* one, whose game against the makers is solved like any other; a trader whose initial
inventory differs from the mean by ``d`` adds ``d`` times a deviation that solves ``dY = 2 phi Q dt``, ``Y_T = -2 A
Q_T``, ``dQ = Y / (2 beta) dt`` alone. Without running penalty adjoints are constant, ``Y^j = A_0 q^j + B_0`` (36).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...envs import MakerTakerGame, QuadraticImpact
from ...envs.arrays import Array
from ...envs.grid import grid
from ...envs.parameters import per_agent
from ..equilibrium import Equilibrium
from ..errors import EquilibriumNotFound
from ..execution import linear_system as linear
from .equilibrium import solve_maker_taker


@dataclass(frozen=True)
class MeanField:
    """The equilibrium of makers and a population of traders.

    Examples:
        >>> from makertaker.baselines import mean_field
        >>> from makertaker.envs import load_scenario
        >>> found = mean_field(load_scenario("mean-field"), 20)
        >>> bool(found.margin > 0)  # no trader of the population is truncated
        True
    """

    representative: Equilibrium
    """of the game with one trader, who holds the population's mean"""
    deviation_rates: Array
    """(K,) rate per share that a trader has more than the mean"""
    deviation_adjoints: Array
    """(K,) step-averaged adjoint per share, ``A_0`` of (36) without running penalty"""
    margin: float
    """distance of the slowest trader's rate from ``min_rate``, in its direction: (33) as the proof needs it"""

    def rates(self, inventory: Sequence[float] | Array) -> Array:
        """Rates (K, J) of traders with given initial inventories (J,): (34), its truncation having no effect."""
        return self._spread(self.representative.controls.rate, self.deviation_rates, inventory)

    def adjoints(self, inventory: Sequence[float] | Array) -> Array:
        """Step-averaged adjoints (K, J); constant in time without running penalty."""
        return self._spread(self.representative.adjoints[:, :1], self.deviation_adjoints, inventory)

    def inventories(self, inventory: Sequence[float] | Array) -> Array:
        """Paths (K+1, J)."""
        rates = self.rates(inventory)
        dt = self.representative.game.horizon / len(rates)
        start = np.asarray(inventory, dtype=float)[None]
        return np.concatenate([start, start + dt * np.cumsum(rates, axis=0)])

    def _spread(self, mean: Array, deviation: Array, inventory: Sequence[float] | Array) -> Array:
        away = np.asarray(inventory, dtype=float) - self.representative.game.start[0]
        return np.asarray(mean + deviation[:, None] * away)


def mean_field(game: MakerTakerGame, steps: int = 100) -> MeanField:
    """The mean-field equilibrium, ``game.trader_inventory`` being a sample of the population, or all its atoms.

    Args:
        game: with ``flow_from="mean"``, traders on one side with equal penalties, and one :class:`QuadraticImpact`.
        steps: K.

    Raises:
        ValueError: the game is not of that kind.
        EquilibriumNotFound: the representative game was not solved, or (33) fails: a trader's rate would be truncated,
            and the average of the population is no trader. ``solve`` of the averaged game itself, with as many traders
            as it takes, then is the way.

    Examples:
        >>> from makertaker.baselines import mean_field
        >>> from makertaker.envs import load_scenario
        >>> mean_field(load_scenario("mean-field"), 20).representative.controls.rate.shape
        (20, 1)
    """
    times = grid(game, steps)
    if not game.makers or game.random:
        raise ValueError(f"mean_field: expected a MakerTakerGame without noise, got {game!r}")
    single = _representative(game)
    (mean,) = single.trader_inventory
    representative = solve_maker_taker(single, times)
    c, dt = single.coefficients(times), game.horizon / steps
    none = np.zeros((steps, 1, 1))
    system = linear.LinearSystem(
        dt, 2 * c.impact[:, :, None], none, none, c.running_penalty[:, :1], c.terminal_penalty[:1]
    )
    deviation = linear.forward(linear.sweep(system).gain[:, 0], np.zeros((steps, 1)), np.ones(1), dt)[:, 0]
    found = MeanField(representative, deviation, 2 * c.impact[:, 0] * deviation, 0.0)
    side = -np.sign(mean)
    inward = side * found.rates(game.trader_inventory)
    margin = float(min((inward - game.min_rate).min(), (game.rate_bound - inward).min()))
    if margin < 0:
        raise EquilibriumNotFound(
            f"condition (33) fails by {-margin:.4g} shares per unit of time: a trader far from the mean inventory "
            f"{mean:.4g} would trade at a bound; solve the averaged game itself instead"
        )
    return replace(found, margin=margin)


def _representative(game: MakerTakerGame) -> MakerTakerGame:
    """The game with one trader in place of the population. Raises ValueError where traders are too different."""
    names = ("trader_running_penalty", "trader_terminal_penalty")
    equal = {name: set(per_agent(getattr(game, name), game.traders, name)) for name in names}
    beta = set(per_agent(game.impact.beta, game.traders, "beta")) if isinstance(game.impact, QuadraticImpact) else {}
    problems = {
        "at least one trader, got none": not game.traders,
        f"flow_from='mean', got {game.flow_from!r}": game.flow_from != "mean",
        "a QuadraticImpact": not beta,
        "traders on one side": len(set(np.sign(game.trader_inventory))) > 1,
        "equal penalties and impacts of all traders": any(len(each) > 1 for each in (beta, *equal.values())),
    }
    for expected, fails in problems.items():
        if fails:
            raise ValueError(f"mean field: expected {expected}")
    shared: dict[str, Any] = {name: each.pop() for name, each in equal.items()}
    mean = float(np.mean(game.trader_inventory))
    return replace(game, trader_inventory=(mean,), impact=QuadraticImpact(*beta), **shared)

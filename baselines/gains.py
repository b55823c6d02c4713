"""Exploitability: everyone's gains by best responses against opponents that do not react.

``NashConv`` is the sum over agents of the gains ``J^i(best response, others) - J^i(profile)``; it is zero exactly at a
Nash equilibrium. It does not identify *which* one: where no volume arrives at a side of the market, the quotes there
are payoff-irrelevant. A distance to the paper's equilibrium therefore belongs beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..envs.arrays import Array
from ..envs.described import MarketLike
from ..envs.game import Game
from .kinds import kind_of
from .nash import solve
from .profiles import Profile, profile_grid
from .rounding import without_rounding


@dataclass(frozen=True)
class Exploitability:
    """Gains from best responses against open-loop opponents, in currency.

    Examples:
        >>> from makertaker.baselines import exploitability, solve
        >>> found = exploitability("acas", solve("acas").controls)
        >>> found.gains.shape, bool(found.nash_conv < 1e-9)
        ((3,), True)
    """

    game: Game
    steps: int
    payoffs: Array
    """(n,) in the profile"""
    gains: Array
    """(n,) from each agent's best response; zero where they are rounding of its payoff"""
    gains_se: Array | None = None
    """(n,) standard errors of the gains; None where they are exact"""

    def __post_init__(self) -> None:
        # its own payoff: a small trader's gain may be less than the rounding of a large one's
        object.__setattr__(self, "gains", without_rounding(self.gains, np.abs(self.payoffs), self.steps))

    @property
    def nash_conv(self) -> float:
        """Sum of the gains."""
        return float(self.gains.sum())

    @cached_property
    def relative(self) -> float:
        """NashConv over ``sum |J_Nash|``. Solves the game on first access.

        Raises:
            ValueError: all equilibrium payoffs are zero.
            EquilibriumNotFound: the game was not solved.
        """
        return self.nash_conv / payoff_size(solve(self.game, self.steps).payoffs)


def payoff_size(payoffs: Array) -> float:
    """``sum |J|``, the unit of relative NashConv. Raises ValueError where it is zero."""
    size = float(np.abs(payoffs).sum())
    if size == 0:
        raise ValueError("relative NashConv is undefined: all equilibrium payoffs are zero")
    return size


def exploitability(game: MarketLike, controls: Profile, steps: int | None = None) -> Exploitability:
    """Gains from unilateral deviations for an open-loop profile: exact, or, in a game with noise, by simulation.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        controls: the profile (K, N), (K, M), (K, M), in physical units; or, in the execution game, an affine rule,
            followed along the no-deviation inventories. In a game with a factor deviators use it.
            Also a decoupling field (``eq.profile``) or a policy for every agent, followed in the same way. In a game
            with noise gains are lower bounds, exact up to the square of the error of the deviator's own field.
        steps: K; None: that of the profile where it has one, otherwise as in :func:`makertaker.baselines.solve`.

    Raises:
        ValueError: controls do not fit the game and the grid.
        EquilibriumNotFound: an agent's own problem was not solved, or has no maximum.

    Examples:
        >>> from makertaker.baselines import exploitability, solve
        >>> nash = solve("acas").controls
        >>> wider = nash._replace(ask=nash.ask + 0.2)  # both makers sell for 0.2 more
        >>> exploitability("acas", wider).gains.round(3).tolist()
        [0.01, 0.032, 0.03]
    """
    game, steps = profile_grid(game, controls, steps)
    found = kind_of(game, steps).gains(controls)
    return Exploitability(game, steps, found.payoffs, found.gains, found.errors)

"""The table of reference points for a learned profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..envs.arrays import Array
from ..envs.described import MarketLike, game_and_steps
from ..envs.game import Game
from .equilibrium import Equilibrium
from .execution.references import ALONE, COOPERATIVE, TWAP, collusion_index
from .kind import Kind, SolverOptions
from .kinds import kind_of
from .maker_taker.references import COALITION
from .profiles import FEEDBACK, OPEN_LOOP, Reference
from .rounding import without_rounding

__all__ = ["ALONE", "COALITION", "COOPERATIVE", "FEEDBACK", "OPEN_LOOP", "TWAP", "references"]


def references(game: MarketLike, steps: int | None = None) -> dict[str, Reference]:
    """The table of reference points by name: open-loop and feedback Nash, the optimum of those who could collude, and
    rules of thumb.

    In the execution game the others are the cooperative optimum, everyone's own Almgren-Chriss schedule, and TWAP; in
    the maker-taker game the makers' coalition, TWAP and Almgren-Chriss at constant spreads, and random controls. The
    collusion index is of the total payoff, of the makers' where there are makers. A profile that does not exist is in
    the table with a note that says why.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        steps: K; None: as in :func:`makertaker.baselines.solve`.

    Raises:
        ValueError: an argument does not fit.
        EquilibriumNotFound: there is no open-loop equilibrium to refer to.

    Examples:
        >>> from makertaker.baselines import references
        >>> found = references("acas")
        >>> round(found["TWAP, constant spread"].nash_conv, 2)
        15.28
    """
    kind = kind_of(*game_and_steps(game, steps))
    equilibrium = kind.solve(SolverOptions())
    table = kind.references(equilibrium)
    open_loop = Reference(OPEN_LOOP, equilibrium.profile, equilibrium.payoffs, None, 0.0, equilibrium.message)
    table = {OPEN_LOOP: table.get(OPEN_LOOP, open_loop), FEEDBACK: table.get(FEEDBACK) or kind.feedback(), **table}
    best = table.get(kind.capabilities.optimum)
    best_payoffs = None if best is None else best.payoffs
    return {
        name: replace(each, collusion_index=place(kind, each.payoffs, equilibrium.payoffs, best_payoffs))
        for name, each in table.items()
    }


def optimum(equilibrium: Equilibrium) -> Reference:
    """The profile that is best for those who could collude, the makers, or the traders where there are none; without
    payoffs, and with a note that says why, where there is none. Its search may take seconds.

    Args:
        equilibrium: of :func:`makertaker.baselines.solve`.
    """
    return kind_of(equilibrium.game, equilibrium.steps).optimum(equilibrium)


def index_of(equilibrium: Equilibrium, payoffs: Array, best: Reference) -> float | None:
    """The collusion index of payoffs (n,) between an equilibrium's, 0, and those of :func:`optimum`, 1; None where it
    is not defined."""
    return place(kind_of(equilibrium.game, equilibrium.steps), payoffs, equilibrium.payoffs, best.payoffs)


def colluders(game: Game, payoffs: Array) -> float:
    """Total payoff of those who could collude: the makers, or the traders where there are none."""
    return float(payoffs[..., game.traders if game.makers else 0 :].sum())


def place(kind: Kind[Game], payoffs: Array | None, nash: Array, best: Array | None) -> float | None:
    """The collusion index of payoffs (n,) between an equilibrium's, 0, and the optimum's, 1; None where one of them is
    missing, or nobody loses by competing."""
    if payoffs is None or best is None:
        return None
    total, zero, one = (colluders(kind.game, np.asarray(each)) for each in (payoffs, nash, best))
    apart = without_rounding(np.array(total - zero), float(np.abs(nash).sum()), kind.steps)
    return collusion_index(total if apart else zero, zero, one)

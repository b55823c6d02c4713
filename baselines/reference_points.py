"""The table of reference points for a learned profile."""

from __future__ import annotations

from ..envs.described import MarketLike, game_and_steps
from .execution.references import ALONE, COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from .kinds import SolverOptions, kind_of
from .profiles import Reference

__all__ = ["ALONE", "COOPERATIVE", "FEEDBACK", "OPEN_LOOP", "TWAP", "references"]


def references(game: MarketLike, steps: int | None = None) -> dict[str, Reference]:
    """The table of reference points by name: open-loop and feedback Nash, cooperative optimum, Almgren-Chriss, TWAP.

    A profile that does not exist is in the table with a note that says why.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        steps: K; None: as in :func:`makertaker.baselines.solve`.

    Raises:
        ValueError: not an execution game, or the factor does not enter linearly.
        EquilibriumNotFound: there is no open-loop equilibrium to refer to.
    """
    kind = kind_of(*game_and_steps(game, steps))
    kind.require_references()
    return kind.references(kind.solve(SolverOptions()))

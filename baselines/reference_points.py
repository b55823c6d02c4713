"""The table of reference points for a learned profile."""

from __future__ import annotations

from ..envs.game import Game
from .execution.references import ALONE, COOPERATIVE, FEEDBACK, OPEN_LOOP, TWAP
from .kinds import SolverOptions, kind_of
from .profiles import Reference

__all__ = ["ALONE", "COOPERATIVE", "FEEDBACK", "OPEN_LOOP", "TWAP", "references"]


def references(game: Game, steps: int) -> dict[str, Reference]:
    """The table of reference points by name: open-loop and feedback Nash, cooperative optimum, Almgren-Chriss, TWAP.

    A profile that does not exist is in the table with a note that says why.

    Raises:
        ValueError: not an execution game, or the factor does not enter linearly.
        EquilibriumNotFound: there is no open-loop equilibrium to refer to.
    """
    kind = kind_of(game, steps)
    kind.require_references()
    return kind.references(kind.solve(SolverOptions()))

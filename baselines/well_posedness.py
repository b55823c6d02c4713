"""The paper's assumptions and theorems for a game, and the margins by which they hold."""

from __future__ import annotations

from ..envs.described import MarketLike, game_and_steps
from .conditions.condition import Condition
from .kinds import kind_of


def check(game: MarketLike, steps: int | None = None) -> list[Condition]:
    """The paper's conditions for a game, and observations of its grid problems.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        steps: K of the grid problems; None: as in :func:`makertaker.baselines.solve`.

    Raises:
        ValueError: not a game of the paper, or ``steps`` is not a positive whole number.

    Examples:
        >>> from makertaker.baselines import check
        >>> [condition.name for condition in check("execution-2") if not condition.holds]
        ['no permanent impact']
    """
    return kind_of(*game_and_steps(game, steps)).conditions()

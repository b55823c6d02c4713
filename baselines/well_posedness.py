"""The paper's assumptions and theorems for a game, and the margins by which they hold."""

from __future__ import annotations

from ..envs.game import Game
from .conditions.condition import Condition
from .kinds import kind_of


def check(game: Game, steps: int = 100) -> list[Condition]:
    """The paper's conditions for a game, and observations of its grid problems.

    Args:
        game: the game.
        steps: K of the grid problems.

    Raises:
        ValueError: not a game of the paper, or ``steps`` is not a positive whole number.
    """
    return kind_of(game, steps).conditions()

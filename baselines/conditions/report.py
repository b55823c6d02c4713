"""Which of the paper's assumptions and theorems hold for a game, and by what margin."""

from __future__ import annotations

from ...envs.execution_game import ExecutionGame
from ...envs.game import Game
from ...envs.maker_taker_game import MakerTakerGame
from .condition import Condition
from .execution import execution_conditions
from .maker_taker import maker_taker_conditions

__all__ = ["Condition", "check"]


def check(game: Game, steps: int = 100) -> list[Condition]:
    """The paper's conditions for a game, and what its grid problems show.

    Args:
        game: the game.
        steps: K of the grid problems.

    Raises:
        ValueError: not a game of the paper, or ``steps`` is not a positive whole number.
    """
    if isinstance(game, ExecutionGame):
        return execution_conditions(game, steps)
    if isinstance(game, MakerTakerGame):
        return maker_taker_conditions(game, steps)
    raise ValueError(f"check: expected an ExecutionGame or a MakerTakerGame, got a {type(game).__name__}")

"""Equilibria that are asked for again and again: as everybody's opponents, and to score against."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Timer

from ..envs import Game
from ..envs.scenarios.writer import game_values
from .equilibrium import Equilibrium
from .kinds import kind_of
from .nash import solve
from .noise.field import FieldOptions
from .profiles import Reference

_KEPT = 32
_PATIENCE = 1.0
"""seconds after which the user is told what takes time"""
_log = logging.getLogger("makertaker")


def remembered(game: Game, steps: int, field: FieldOptions | None = None) -> Equilibrium:
    """The equilibrium of :func:`~makertaker.baselines.solve`, kept for the next time that it is asked for.

    The last 32 are kept, by game, grid and options; a game with parts or functions that no scenario file can name,
    which may be equal and yet differ, or change, is solved anew. What takes longer than a second says so, in one line
    of the logger ``"makertaker"``.

    Args:
        game: the game.
        steps: number K of steps.
        field: as of ``solve``.

    Raises:
        ValueError: ``steps`` does not fit.
        EquilibriumNotFound: the game was not solved.

    Examples:
        >>> from makertaker.envs import load_scenario
        >>> remembered(load_scenario("acas"), 20).payoffs.round(1).tolist()
        [-11.3, 5.1, 4.2]
    """
    try:
        game_values(game)
    except ValueError:
        return _solved.__wrapped__(game, steps, field)
    return copy.deepcopy(_solved(game, steps, field))  # its arrays are the caller's, to change as well


@lru_cache(maxsize=_KEPT)
def _solved(game: Game, steps: int, field: FieldOptions | None) -> Equilibrium:
    with _announced(game, steps):
        return solve(game, steps, field=field)


def remembered_feedback(game: Game, steps: int) -> Reference:
    """The feedback equilibrium as a reference point, kept in the same way; without a profile where there is none.

    Args:
        game: the game.
        steps: number K of steps.
    """
    try:
        game_values(game)
    except ValueError:
        return kind_of(game, steps).feedback()
    return _feedback(game, steps)


@lru_cache(maxsize=_KEPT)
def _feedback(game: Game, steps: int) -> Reference:
    with _announced(game, steps):
        return kind_of(game, steps).feedback()


@contextmanager
def _announced(game: Game, steps: int) -> Iterator[None]:
    said = "solving the equilibrium of a game of %d agents on %d steps; it is kept for the next time"
    patience = Timer(_PATIENCE, _log.warning, [said, len(game.agents), steps])
    patience.daemon = True
    patience.start()
    try:
        yield
    finally:
        patience.cancel()

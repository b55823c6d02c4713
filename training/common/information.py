"""Information structures: the part of the observation that an actor looks at, whatever its critic sees.

An *information structure* is a property of the actor, and has the names of the kinds of observations
(:mod:`makertaker.envs.observation`): ``"time"`` (time, exogenous factors and, in random markets, what was drawn: the
concept of the paper's equilibria;
``"open_loop"`` is another name of it), ``"own"`` (own inventory as well), ``"market"`` (best quotes, price and volumes
as well) or ``"full"`` (everyone's inventories and last quotes). Observations are nested prefixes, so an actor's
information is a number of leading entries. Critics always see all of them: with a critic that sees time only,
bootstrapped returns are biased, because the state is not Markov.
"""

from __future__ import annotations

from typing import TypeAlias

from ...envs import Game
from ...envs.observation import KINDS, Kind, KindName, check_kind, width

Information: TypeAlias = KindName
INFORMATION = KINDS


def check_information(information: str) -> Kind:
    """The information structure by its own name. Raises ValueError for an unknown one."""
    return check_kind(information, "information")


def visible(game: Game, information: str, context: int = 0) -> int:
    """Number of leading entries of the full observation that an actor sees. Raises ValueError for an unknown name.

    Args:
        game: the game.
        information: of the actor.
        context: number of entries that show what was drawn of a random market, which everybody sees.

    Examples:
        >>> from makertaker.envs import load_scenario
        >>> from makertaker.training.common.information import visible
        >>> {name: visible(load_scenario("acas"), name) for name in ("time", "own", "market", "full")}
        {'time': 1, 'own': 2, 'market': 7, 'full': 13}
    """
    return width(game, check_information(information), context)

"""Information structures: the part of the observation that an actor looks at, whatever its critic sees.

An *information structure* is a property of the actor: ``open_loop`` (time and exogenous factors: the concept of the
paper's equilibria), ``own`` (own inventory as well) or ``full`` (everyone's inventories and last quotes). Observations
are nested prefixes, so an actor's information is a number of leading entries. Critics always see all of them: with a
critic that sees time only, bootstrapped returns are biased, because the state is not Markov.
"""

from __future__ import annotations

from typing import Literal

from ...envs import Game
from ...envs.observation import width

Information = Literal["open_loop", "own", "full"]
INFORMATION: dict[Information, Literal["time", "own", "full"]] = {"open_loop": "time", "own": "own", "full": "full"}


def check_information(information: str) -> None:
    """Raises ValueError for an unknown name."""
    if information not in INFORMATION:
        raise ValueError(f"information: expected one of {list(INFORMATION)}, got {information!r}")


def visible(game: Game, information: Information) -> int:
    """Number of leading entries of the full observation that an actor sees. Raises ValueError for an unknown name."""
    check_information(information)
    return width(game, INFORMATION[information])

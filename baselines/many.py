"""``solve_many`` and ``exploitability_many``: the equilibria of many games, and gains from deviations in them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, overload

from ..envs import Controls, Game
from ..envs.described import MarketLike, game_and_steps
from .equilibrium import Equilibrium
from .errors import EquilibriumNotFound
from .gains import Exploitability
from .kind import Gains, SolverOptions
from .kinds import kind_of
from .profiles import profile_grid, single_profile

_TOGETHER = 1000
"""games in one batch, which bounds memory"""


@overload
def solve_many(
    games: Sequence[MarketLike],
    steps: int | None = None,
    errors: Literal["raise"] = "raise",
    *,
    tolerance: float = 1e-11,
) -> list[Equilibrium]: ...


@overload
def solve_many(
    games: Sequence[MarketLike], steps: int | None, errors: Literal["return"], *, tolerance: float = 1e-11
) -> list[Equilibrium | EquilibriumNotFound]: ...


def solve_many(
    games: Sequence[MarketLike],
    steps: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    *,
    tolerance: float = 1e-11,
) -> list[Equilibrium] | list[Equilibrium | EquilibriumNotFound]:
    """The open-loop Nash equilibria of many games, each what :func:`~makertaker.baselines.solve` gives.

    Games of one shape, with the same agents and kinds of parts, are solved together, their parameters along a batch
    axis; others, and those that the batch does not find, alone.

    Args:
        games: as of ``solve``.
        steps: number K of steps; None: each scenario's, 20 where only a game is given.
        errors: ``"raise"``: a game that is not solved raises; ``"return"``: its error stands in its place.
        tolerance: as of ``solve``.

    Raises:
        ValueError: an argument does not fit.
        EquilibriumNotFound: a game was not solved, and ``errors`` is ``"raise"``.

    Examples:
        >>> from makertaker.baselines import solve_many
        >>> from makertaker.envs import RandomMarkets, Uniform, load_scenario
        >>> markets = RandomMarkets(load_scenario("acas"), {"competition.gamma": Uniform(0.5, 2.0)})
        >>> len(solve_many(markets.games(100), steps=20))
        100
    """
    if isinstance(games, Game | str | Mapping):
        raise ValueError(f"games: expected several games, got one: {games!r}")
    if errors not in ("raise", "return"):
        raise ValueError(f"errors: expected 'raise' or 'return', got {errors!r}")
    asked = [game_and_steps(game, steps) for game in games]
    found: list[Equilibrium | EquilibriumNotFound | None] = [None] * len(asked)
    for members in _groups(asked):
        kind, options = kind_of(*asked[members[0]]), SolverOptions(tolerance=tolerance)
        for i, each in zip(members, kind.solve_together([asked[i][0] for i in members], options), strict=True):
            found[i] = each
    for i, (game, own_steps) in enumerate(asked):
        if found[i] is None:
            found[i] = _alone(game, own_steps, tolerance, throw=errors == "raise")
    return found  # type: ignore[return-value]  # none is None by now


def exploitability_many(
    games: Sequence[MarketLike], profiles: Sequence[Controls], steps: int | None = None
) -> list[Exploitability]:
    """The exploitability of a profile of schedules in each of many games, each what
    :func:`~makertaker.baselines.exploitability` gives.

    Games are put together as by :func:`solve_many`.

    Args:
        games: as of ``exploitability``.
        profiles: one for each game: (K, N), (K, M), (K, M).
        steps: K; None: that of each profile.

    Raises:
        ValueError: an argument does not fit.
        EquilibriumNotFound: an agent's own problem was not solved, or has no maximum.

    Examples:
        >>> from makertaker.baselines import exploitability_many, solve_many
        >>> from makertaker.envs import RandomMarkets, Uniform, load_scenario
        >>> games = RandomMarkets(load_scenario("acas"), {"competition.gamma": Uniform(0.5, 2.0)}).games(100)
        >>> found = exploitability_many(games, [each.controls for each in solve_many(games, steps=20)])
        >>> max(each.nash_conv for each in found) < 1e-9
        True
    """
    if len(games) != len(profiles):
        raise ValueError(f"profiles: expected {len(games)}, one for each game, got {len(profiles)}")
    asked = [profile_grid(game, profile, steps) for game, profile in zip(games, profiles, strict=True)]
    schedules = [single_profile(game, each, own) for (game, own), each in zip(asked, profiles, strict=True)]
    found: list[Gains | None] = [None] * len(asked)
    for members in _groups(asked):
        together = [asked[i][0] for i in members], [schedules[i] for i in members]
        for i, each in zip(members, kind_of(*asked[members[0]]).gains_together(*together), strict=True):
            found[i] = each
    alone = (each or kind_of(*asked[i]).gains(schedules[i]) for i, each in enumerate(found))
    return [
        Exploitability(*market, each.payoffs, each.gains, each.errors)
        for market, each in zip(asked, alone, strict=True)
    ]


def _groups(asked: Sequence[tuple[Game, int]]) -> list[list[int]]:
    """Positions of games that are solved together."""
    groups: dict[Hashable, list[int]] = {}
    for i, (game, steps) in enumerate(asked):
        shape = kind_of(game, steps).shape
        if shape is not None:
            groups.setdefault((type(game), steps, shape), []).append(i)
    return [
        members[first : first + _TOGETHER]
        for members in groups.values()
        if len(members) > 1
        for first in range(0, len(members), _TOGETHER)
    ]


def _alone(game: Game, steps: int, tolerance: float, *, throw: bool) -> Equilibrium | EquilibriumNotFound:
    try:
        return kind_of(game, steps).solve(SolverOptions(tolerance=tolerance))
    except EquilibriumNotFound as error:
        if throw:
            raise
        return error

"""One description of a market for everything that plays or solves it: a game, a scenario, or an environment.

Environments take ``game=`` or ``scenario=``, parameters of the game that change it, and their own options. Solvers take
the same descriptions, or an environment, for its game and its number of steps: what is solved is what is played.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .game import Game
from .options import NAMES, STEPS, Options, OptionsLike, merged, split, unknown
from .parameters import check_count
from .random_markets import RandomMarkets
from .scenarios.loader import Scenario, flat, parameter, read_scenario

Described: TypeAlias = Game | Scenario | RandomMarkets | str | Path | Mapping[str, object]
"""a game; a scenario, its name, the path of its file, or a mapping of what would stand there; random markets"""

MarketLike: TypeAlias = Described | object
"""a description, or an environment of it"""


class Description(NamedTuple):
    """A market to play."""

    game: Game
    options: Options
    """with the number of steps"""
    name: str
    """of the scenario; of the game's environment where there is none"""
    random: RandomMarkets | None = None
    """markets that are drawn, which depart from the game"""


def parameter_names(game: Game) -> list[str]:
    """Names of a game's parameters."""
    return [each.name for each in fields(game) if each.init]  # type: ignore[arg-type]  # games are dataclasses


def changed(game: Game, parameters: Mapping[str, object], own: Sequence[str] = ()) -> Game:
    """The game with some parameters changed.

    Args:
        game: the game.
        parameters: values as the constructor takes them, or as they would stand in a scenario file: a competition, an
            impact, a factor or a flow may be a mapping.
        own: other arguments of the environment, to be named in the error.

    Raises:
        UnknownArgument: the game has no such parameter.
        ValueError: a value is out of its range.
    """
    known = parameter_names(game)
    strange = sorted(set(parameters) - set(known))
    if strange:
        arguments = ["game", "scenario", "random", *own, "options", *NAMES, "max_cycles"]
        taken = f"arguments of the environment, some of {arguments}"
        raise unknown(strange, f"{taken}, or parameters of the game, some of {known}", [*arguments, *known])
    values = {name: parameter(name, value) for name, value in parameters.items()}
    return replace(game, **values) if values else game  # type: ignore[type-var]


class Named(NamedTuple):
    """What a description says."""

    game: Game
    steps: int
    name: str
    random: RandomMarkets | None = None


def named(market: Described) -> Named:
    """The game, number of steps and name of a description, and what is drawn.

    Raises:
        ValueError: no description, an unknown scenario, or a value in it that is out of its range.
    """
    if isinstance(market, Game):
        return Named(market, STEPS, market.environment)
    if isinstance(market, RandomMarkets):
        return Named(market.game, STEPS if market.steps is None else market.steps, market.name, market)
    if isinstance(market, str | Path | Mapping):
        market = read_scenario(market)
    if isinstance(market, Scenario):
        return Named(market.game, market.steps, market.name, market.random)
    raise ValueError(
        "game: expected a game, a scenario, its name, the path of its .toml file, or a mapping of its contents; or "
        "random markets, "
        f"got {market!r}"
    )


def describe(
    game: Described | None,
    scenario: Described | None,
    options: OptionsLike,
    arguments: Mapping[str, Any],
    default: Described | None = None,
    own: Sequence[str] = (),
) -> Description:
    """The market of an environment's arguments.

    Args:
        game: one description,
        scenario: or another.
        options: of the environment, or a number of steps.
        arguments: fields of :class:`.Options`, parameters of the game, and ``random``: distributions of parameters, as
            :class:`.RandomMarkets` takes them. A parameter that is given is not drawn.
        default: what is played where neither is given.
        own: the environment's other arguments, to be named in the error.

    Raises:
        UnknownArgument: a keyword that is neither an option nor a parameter of the game.
        ValueError: both ``game`` and ``scenario`` are given, or none of three, or a value is out of its range.
    """
    if game is not None and scenario is not None:
        raise ValueError(f"game, scenario: expected one of them, got game={game!r} and scenario={scenario!r}")
    given = next((each for each in (game, scenario, default) if each is not None), None)
    if given is None:
        raise ValueError("game: expected a game or a scenario, got none")
    fields_given, parameters = split(arguments)
    drawn = parameters.pop("random", None)
    merged_options = merged(options, **fields_given)
    found, steps, name, random = named(given)
    if merged_options.steps is None:
        merged_options = replace(merged_options, steps=steps)
    played = changed(found, parameters, own)
    if drawn is not None or (random is not None and parameters):  # what is given is not drawn
        distributions = {} if random is None else random.distributions
        kept = {key: each for key, each in distributions.items() if key.partition(".")[0] not in parameters}
        asked = {} if drawn is None else flat(drawn)
        if both := sorted(key for key in asked if key.partition(".")[0] in parameters):
            raise ValueError(f"random.{both[0]}: expected a value or a distribution, got both")
        wanted = kept | asked
        fixed = drawn is None and not kept
        random = None if fixed else RandomMarkets(played, wanted, merged_options.steps, name)
    return Description(played, merged_options, name, random)


def describe_game(
    game: Described | None, options: OptionsLike, arguments: Mapping[str, Any], scenario: Described | None = None
) -> Description:
    """The same for what plays one game. Raises ValueError for random markets, and as :func:`describe` does."""
    found = describe(game, scenario, options, arguments)
    _one_game(found.random)
    return found


def _one_game(random: RandomMarkets | None) -> None:
    if random is not None:
        said = f"a distribution over {list(random.distributions)}"
        raise ValueError(f"game: expected one game, got {said}: games(count, seed) of random markets draws some")


def described_market(market: MarketLike, steps: int | None = None) -> tuple[Game, int, str]:
    """The game to solve, the number of steps of its grid, and the name of its scenario or environment.

    Args:
        market: a description, or an environment of any of this package's kinds, wrapped or not.
        steps: None: the environment's or the scenario's, 20 where only a game is given.

    Raises:
        ValueError: neither a description nor an environment, random markets, or ``steps`` is not a positive whole
            number.
    """
    game, steps, name, random = described_markets(market, steps)
    _one_game(random)
    return game, steps, name


def described_markets(market: MarketLike, steps: int | None = None) -> Named:
    """The same of one game or of random markets."""
    inner = environment_setting(market)
    if inner is None:
        game, usual, name, random = named(market)  # type: ignore[arg-type]  # it says what it wants
    else:
        game, usual, name, random = inner.game, inner.steps, inner.game.environment, inner.random
    if steps is not None:
        check_count("steps", steps)
    return Named(game, int(usual if steps is None else steps), name, random)


def game_and_steps(market: MarketLike, steps: int | None = None) -> tuple[Game, int]:
    """The same without the name."""
    return described_market(market, steps)[:2]


_INSIDE = ("unwrapped", "vector", "parallel", "par_env", "venv", "env")
"""attributes behind which libraries' wrappers, and environments of this package, keep what they wrap"""


def inner_environments(env: object) -> Iterator[object]:
    """An environment, and what it wraps, from the outside to the inside."""
    seen: list[object] = []
    waiting = [env]
    while waiting:
        here = waiting.pop(0)
        if here is None or any(here is each for each in seen):
            continue
        seen.append(here)
        yield here
        waiting += [getattr(here, name, None) for name in _INSIDE]
        for name in ("vec_envs", "envs"):  # SuperSuit's and Gymnasium's copies of one environment
            waiting += list(getattr(here, name, None) or ())[:1]


def environment_setting(market: MarketLike) -> Any:
    """The :class:`.Setting` of an environment; None for a description."""
    if isinstance(market, Game | Scenario | RandomMarkets | str | Path | Mapping):
        return None
    return setting_of(market)


def setting_of(env: object) -> Any:
    """The :class:`.Setting` that an environment plays, wrapped or not; None for anything else."""
    for each in inner_environments(env):
        for place in (each, *(getattr(each, name, None) for name in ("market", "view"))):
            if isinstance(getattr(place, "game", None), Game) and hasattr(place, "observer"):
                return place
    return None

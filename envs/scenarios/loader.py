"""Scenario files.

A scenario is a TOML file. ``description``, ``game`` and ``steps`` describe it; every other key is a parameter of the
game of that name::

    description = "one buyer, two makers"
    game = "maker_taker"                # or "execution"; this is the default
    steps = 20                          # default number of steps of the environment
    trader_inventory = [-5.0]
    maker_inventory = [1.0, 0.0]
    trader_terminal_penalty = 0.5       # a number, or a list with one for each trader; inf: must liquidate

    [competition]
    kind = "best_quote"                 # or "product" (also: rate, floor), or "softmax": rate, offsets, outside
    intensity = "exponential"           # or "softplus"
    gamma = 1.0

    [impact]
    kind = "quadratic"                  # or "quartic" (also: quartic), or "crowded" (also: crowding)
    beta = 0.5                          # a number, a function of time, or a list with one for each trader

    [buy_flow]                          # a function of time: points joined by straight lines ...
    points = [[0.0, 1.0], [0.5, 3.0], [1.0, 1.0]]

    [sell_flow]                         # ... or a named shape with its parameters
    shape = "sine"                      # "sine": mean, amplitude, period, phase; "decay": scale, decay
    mean = 1.0
    amplitude = 0.5

Flows, running penalties and impacts may be functions of time. A factor may drive the flows::

    inventory_noise = 0.3               # of the maker-taker game

    [factor]
    kind = "ornstein_uhlenbeck"         # or "bounded_reversion" (also: bound)
    mean_reversion = 2.0
    volatility = 1.0
    mean = 0.0
    initial = [1.0]

    [buy_flow]
    shape = "affine"                    # constant + slope . factor
    constant = 5.0
    slope = 1.0

    [sell_flow]
    shape = "logistic"                  # between low and high, rising with slope . factor
    low = 0.5
    high = 3.5
    slope = -1.0

Parameters may be drawn anew for every episode; a number is shared by the agents, a list has one for each::

    [random]
    trader_inventory = {uniform = [[-10.0], [-2.0]]}        # between two bounds
    maker_terminal_penalty = {choice = [0.1, 0.3]}          # one of several
    competition.gamma = {log_uniform = [0.5, 2.0]}          # of a part of the market; its logarithm is uniform
"""

from __future__ import annotations

import copy
import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from ..distributions import Distribution, from_table
from ..execution_game import ExecutionGame
from ..factor import bounded_reversion, ornstein_uhlenbeck
from ..flows import Affine, Decay, Logistic, Points, Sine
from ..game import Game
from ..impact import CrowdedImpact, QuadraticImpact, QuarticImpact
from ..intensity import Exponential, Softplus
from ..intensity_shares import BestQuote, ProductShare
from ..maker_taker_game import MakerTakerGame
from ..names import suggestion, unknown
from ..parameters import check_count
from ..random_markets import RandomMarkets
from ..softmax_share import SoftmaxShare
from ..text import read, shown

Kinds: TypeAlias = Mapping[str, Callable[..., object]]
Source: TypeAlias = str | Path | Mapping[str, object]
"""of a scenario: its name, the path of its file, or a mapping of its contents"""

GAMES: dict[str, Callable[..., Game]] = {"maker_taker": MakerTakerGame, "execution": ExecutionGame}
PARTS: dict[str, Kinds] = {  # the first of each is the default
    "competition": {"best_quote": BestQuote, "softmax": SoftmaxShare, "product": ProductShare},
    "impact": {"quadratic": QuadraticImpact, "crowded": CrowdedImpact, "quartic": QuarticImpact},
    "factor": {"ornstein_uhlenbeck": ornstein_uhlenbeck, "bounded_reversion": bounded_reversion},
}
INTENSITIES: Kinds = {"exponential": Exponential, "softplus": Softplus}
SHAPES: Kinds = {"sine": Sine, "decay": Decay, "affine": Affine, "logistic": Logistic}
_HEADER = ("description", "game", "steps", "random")


@dataclass(frozen=True)
class Scenario:
    """A named game with the grid it is usually played on.

    Examples:
        >>> from makertaker.envs import read_scenario
        >>> scenario = read_scenario("acas")
        >>> scenario.name, scenario.steps, scenario.game.agents
        ('acas', 20, ('trader_0', 'maker_0', 'maker_1'))
    """

    name: str
    description: str
    game: Game
    steps: int
    values: Mapping[str, Any]
    """the contents of the file, with the overrides, as TOML values"""
    random: RandomMarkets | None = None
    """what is drawn, in a file with a table ``[random]``"""


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the package.

    Examples:
        >>> from makertaker.envs import scenario_names
        >>> "acas" in scenario_names()
        True
    """
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_scenario(name: Source, overrides: Sequence[str] = ()) -> Game:
    """The game of a scenario; for its other entries see :func:`read_scenario`.

    Raises:
        ValueError: as :func:`read_scenario` does, or the scenario draws its games.

    Examples:
        >>> from makertaker.envs import load_scenario
        >>> load_scenario("acas", ["competition.gamma=2.0"]).competition
        BestQuote(intensity=Exponential(gamma=2.0))
    """
    scenario = read_scenario(name, overrides)
    if scenario.random is not None:
        raise ValueError(f"scenario {scenario.name!r}: expected one game, got a table 'random': read_scenario has it")
    return scenario.game


def read_scenario(name: Source, overrides: Sequence[str] = ()) -> Scenario:
    """A scenario by its name, from a path that ends with ``.toml``, or from what would stand in such a file.

    Args:
        name: one of :func:`scenario_names`, a path, or a mapping of TOML values; its ``name`` is the scenario's, by
            default ``"custom"``.
        overrides: ``key=value`` with TOML values; dots reach into tables: ``competition.gamma=2.0``.

    Raises:
        ValueError: an unknown scenario, a file that is not TOML, an unknown key, or a value out of its range.

    Examples:
        >>> from makertaker.envs import read_scenario
        >>> read_scenario("execution-2").steps
        20
        >>> read_scenario({"game": "execution", "initial_inventory": [-1.0]}).game.agents
        ('trader_0',)
    """
    if isinstance(name, Mapping):
        values: dict[str, object] = copy.deepcopy(dict(name))
        title = str(values.pop("name", "custom"))
    elif not isinstance(name, str | Path):
        raise ValueError(f"scenario: expected a name, a path or a mapping, got {name!r}")
    else:
        values, title = _values(str(name)), shown(name)
        title = Path(title).stem if title.endswith(".toml") else title
    for override in overrides:
        set_value(values, override, "--set")
    return build_scenario(title, values)


def build_scenario(name: str, values: Mapping[str, object]) -> Scenario:
    """A scenario from TOML values."""
    parameters = {key: value for key, value in values.items() if key not in _HEADER}
    kind = GAMES[_choice("game", values.get("game", "maker_taker"), GAMES)]
    known = _names(kind)
    for key in parameters:
        if key not in known:
            raise _unknown_key(key, f" in scenario {name!r}", [*_HEADER, *known], values)
    game = kind(**{key: _toml_parameter(key, value) for key, value in parameters.items()})
    steps = check_count("steps", values.get("steps", 20))
    description = values.get("description", "")
    if not isinstance(description, str):
        raise ValueError(f"description: expected a text, got {description!r}")
    drawn = values.get("random")
    random = None if drawn is None else RandomMarkets(game, flat(drawn), steps, name)
    return Scenario(name, description, game, steps, dict(values), random)


def _unknown_key(key: str, where: str, known: list[str], values: Mapping[str, object]) -> ValueError:
    """The error for a key that no scenario of its game has; one of a part's table is suggested with the part."""
    tables = {each: values.get(each) for each in PARTS if each in known}
    inner = [f"{part}.{name}" for part, table in tables.items() for name in _part_names(part, table)]
    meant = suggestion(key, [*known, *inner])
    return ValueError(f"unknown key {key!r}{where}: {meant}expected some of {known}")


def _part_names(key: str, table: object) -> list[str]:
    """Keys of a part's table, of its own kind where it says which."""
    given = table if isinstance(table, Mapping) else {}
    kinds = PARTS[key]
    names = _names(kinds.get(str(given.get("kind")), next(iter(kinds.values()))))
    if "intensity" in names:
        names += _names(INTENSITIES.get(str(given.get("intensity")), Exponential))
    return [*names, "kind"]


def flat(random: object) -> dict[str, Distribution]:
    """Distributions by name, parts with a dot, from a table in which they may be tables of their own.

    Raises:
        ValueError: no table, or one of its entries is no distribution.
    """
    if isinstance(random, RandomMarkets):
        return random.distributions
    if not isinstance(random, Mapping):
        raise ValueError(f"random: expected distributions by the name of a parameter, got {random!r}")
    found: dict[str, Distribution] = {}
    for name, each in random.items():
        if name in PARTS and isinstance(each, Mapping):
            found |= {f"{name}.{inner}": from_table(f"{name}.{inner}", one) for inner, one in each.items()}
        else:
            found[name] = from_table(name, each)
    return found


def _values(name: str) -> dict[str, object]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            stem = suggestion(path.stem, scenario_names())
            raise ValueError(f"scenario: there is no file {shown(name)!r}{stem and f'; {stem.strip()}'}")
        text = read(path)
    else:
        if name not in scenario_names():
            raise unknown("scenario", shown(name), scenario_names(), more=" or a path to a .toml file")
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the parser lets numbers without end, and nesting, through
        raise ValueError(f"scenario {shown(name)!r} is not valid TOML: {error}") from error


def set_value(values: dict[str, Any], text: str, option: str) -> None:
    """Set a value as an option of the command line gives it.

    Args:
        values: to be changed; dots of the key reach into tables.
        text: ``key=value`` with a TOML value.
        option: its name, for messages.

    Raises:
        ValueError: it is not of this form.
    """
    key, separator, value = shown(text).partition("=")
    if not separator or not key.strip():
        raise ValueError(f"{option}: expected key=value with a TOML value, got {text!r}")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{option} {text!r}: {value!r} is not a TOML value: {error}") from error
    *tables, last = key.strip().split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{option} {text!r}: {table!r} is a value, not a table")
        values = inner
    values[last] = read


def parameter(key: str, value: object) -> object:
    """A parameter of a game from its value in a file: tables become parts of the market and functions of time, and
    what is no table or list stays. Raises ValueError for an unknown key in a table, or a value out of its range."""
    if isinstance(value, Mapping):
        return _part(key, value) if key in PARTS else _function(key, value)
    if isinstance(value, list):
        return tuple(_function(key, each) if isinstance(each, Mapping) else each for each in value)
    return value


def _toml_parameter(key: str, value: object) -> object:
    """The same from TOML, where there is nothing else than numbers, lists and tables."""
    if key in PARTS and not isinstance(value, Mapping):
        raise ValueError(f"{key}: expected a table, got {value!r}")
    scalar = not isinstance(value, Mapping | list | tuple)
    if value == "inf" and key.endswith("terminal_penalty"):  # JSON has no other word for it
        return value
    if key != "flow_from" and scalar and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{key}: expected a number, a list or a table, got {value!r}")
    return parameter(key, value)


def _part(key: str, value: Mapping[str, object]) -> object:
    """A part of the market from its table."""
    table, kinds = dict(value), PARTS[key]
    kind = kinds[_choice(f"{key}.kind", table.pop("kind", next(iter(kinds))), kinds)]
    known = _names(kind)
    if "beta" in table:
        table["beta"] = _toml_parameter(f"{key}.beta", table["beta"])
    if "intensity" in known:  # its parameters stand in the same table
        intensity = INTENSITIES[_choice(f"{key}.intensity", table.pop("intensity", "exponential"), INTENSITIES)]
        known.remove("intensity")
        given = {name: table.pop(name) for name in _names(intensity) if name in table}
        known += _names(intensity)
        kind = partial(kind, intensity=_make(key, intensity, given, _names(intensity)))
        known.append("intensity")
    return _make(key, kind, table, [*known, "kind"])


def _function(key: str, table: Mapping[str, object]) -> object:
    """A function of time, or of time and factor, from its table."""
    arguments = dict(table)
    kind = Points if "points" in table else SHAPES[_choice(f"{key}.shape", arguments.pop("shape", None), SHAPES)]
    return _make(key, kind, arguments, _names(kind))


def _make(key: str, kind: Callable[..., object], table: Mapping[str, object], known: list[str]) -> object:
    """A kind of thing with the values of a table. Raises ValueError for an unknown key."""
    strange = sorted(set(table) - set(known))
    if strange:
        raise unknown("key", strange[0], known, f" in {key}", some=True)
    try:
        return kind(**{name: tuple(each) if isinstance(each, list) else each for name, each in table.items()})
    except (TypeError, ValueError) as error:
        said = str(error)
        named = said.startswith(key)
        raise ValueError(said if named else f"{key}{'.' if said.split(':')[0] in known else ': '}{said}") from error


def _names(kind: Callable[..., object]) -> list[str]:
    return list(inspect.signature(kind).parameters)


def _choice(key: str, value: object, choices: Mapping[str, object]) -> str:
    if value not in list(choices):
        raise unknown(key, value, choices)
    return str(value)

"""Scenario files.

A scenario is a TOML file. ``description``, ``game`` and ``steps`` describe it; every other key is a parameter of the
game of that name::

    description = "one buyer, two makers"
    game = "maker_taker"                # or "execution"; this is the default
    steps = 20                          # default number of steps of the environment
    trader_inventory = [-5.0]
    maker_inventory = [1.0, 0.0]
    trader_terminal_penalty = 0.5       # a number, or a list with one for each trader

    [competition]
    kind = "best_quote"                 # or "product" (also: rate, floor), or "softmax": rate, offsets
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
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from ..competition import BestQuote, Competition, ProductShare, SoftmaxShare
from ..execution_game import ExecutionGame
from ..factor import Factor, bounded_reversion, ornstein_uhlenbeck
from ..flows import Affine, Decay, Logistic, Points, Sine
from ..game import Game
from ..grid import grid
from ..impact import CrowdedImpact, Impact, QuadraticImpact, QuarticImpact
from ..intensity import Exponential, Softplus
from ..maker_taker_game import MakerTakerGame

_GAMES: dict[str, type[MakerTakerGame] | type[ExecutionGame]] = {
    "maker_taker": MakerTakerGame,
    "execution": ExecutionGame,
}
_COMPETITIONS: dict[str, type] = {"best_quote": BestQuote, "softmax": SoftmaxShare, "product": ProductShare}
_INTENSITIES: dict[str, type] = {"exponential": Exponential, "softplus": Softplus}
_IMPACTS: dict[str, type] = {"quadratic": QuadraticImpact, "crowded": CrowdedImpact, "quartic": QuarticImpact}
_SHAPES: dict[str, type] = {"sine": Sine, "decay": Decay, "affine": Affine, "logistic": Logistic}
_FACTORS: dict[str, Callable[..., Factor]] = {
    "ornstein_uhlenbeck": ornstein_uhlenbeck,
    "bounded_reversion": bounded_reversion,
}
_HEADER = ("description", "game", "steps")


@dataclass(frozen=True)
class Scenario:
    """A named game with the grid it is usually played on."""

    name: str
    description: str
    game: Game
    steps: int
    values: Mapping[str, Any]
    """what the file and the overrides say, as TOML values"""


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the package."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_scenario(name: str, overrides: Sequence[str] = ()) -> Game:
    """The game of a scenario; for its other entries see :func:`read_scenario`."""
    return read_scenario(name, overrides).game


def read_scenario(name: str, overrides: Sequence[str] = ()) -> Scenario:
    """A scenario by its name, or from a path that ends with ``.toml``.

    Args:
        name: one of :func:`scenario_names`, or a path.
        overrides: ``key=value`` with TOML values; dots reach into tables: ``competition.gamma=2.0``.

    Raises:
        ValueError: an unknown scenario, a file that is not TOML, an unknown key, or a value out of its range.
    """
    values = _values(name)
    for override in overrides:
        _override(values, override)
    return build_scenario(Path(name).stem if name.endswith(".toml") else name, values)


def build_scenario(name: str, values: Mapping[str, Any]) -> Scenario:
    """A scenario from TOML values."""
    parameters = {key: value for key, value in values.items() if key not in _HEADER}
    kind = _GAMES[_choice("game", values.get("game", "maker_taker"), list(_GAMES))]
    known = [field.name for field in fields(kind)]
    for key in parameters:
        if key not in known:
            raise ValueError(f"unknown key {key!r} in scenario {name!r}: expected some of {[*_HEADER, *known]}")
    game = kind(**{key: _parameter(key, value) for key, value in parameters.items()})
    steps = values.get("steps", 20)
    grid(game, steps)
    return Scenario(name, str(values.get("description", "")), game, steps, dict(values))


def _values(name: str) -> dict[str, Any]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"scenario: there is no file {name!r}")
        text = path.read_text()
    else:
        if name not in scenario_names():
            raise ValueError(f"scenario: expected one of {scenario_names()} or a path to a .toml file, got {name!r}")
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text()
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"scenario {name!r} is not valid TOML: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ValueError(f"--set: expected key=value with a TOML value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--set {override!r}: {text!r} is not a TOML value: {error}") from error
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {override!r}: {table!r} is a value, not a table")
    values[last] = value


def _parameter(key: str, value: Any) -> Any:
    if key == "competition":
        return _competition(_table(key, value))
    if key == "impact":
        return _impact(_table(key, value))
    if key == "factor":
        return _factor(_table(key, value))
    if isinstance(value, Mapping):
        return _function(key, value)
    if isinstance(value, list):
        return tuple(_function(key, each) if isinstance(each, Mapping) else each for each in value)
    if key != "flow_from" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{key}: expected a number, a list or a table, got {value!r}")
    return value


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key}: expected a table, got {value!r}")
    return dict(value)


def _competition(table: dict[str, Any]) -> Competition:
    kind = _COMPETITIONS[_choice("competition.kind", table.pop("kind", "best_quote"), list(_COMPETITIONS))]
    names = [field.name for field in fields(kind)]
    if "intensity" in names:
        intensity = _INTENSITIES[
            _choice("competition.intensity", table.pop("intensity", "exponential"), list(_INTENSITIES))
        ]
        known = [field.name for field in fields(intensity)]
        given = {name: table.pop(name) for name in known if name in table}
        _known("competition", kind, table, also=known)
        table["intensity"] = intensity(**given)
    if isinstance(table.get("offsets"), list):
        table["offsets"] = tuple(table["offsets"])
    return kind(**_known("competition", kind, table))  # type: ignore[no-any-return]


def _impact(table: dict[str, Any]) -> Impact:
    kind = _IMPACTS[_choice("impact.kind", table.pop("kind", "quadratic"), list(_IMPACTS))]
    if "beta" in table:
        table["beta"] = _parameter("impact.beta", table["beta"])
    return kind(**_known("impact", kind, table))  # type: ignore[no-any-return]


def _factor(table: dict[str, Any]) -> Factor:
    kind = _FACTORS[_choice("factor.kind", table.pop("kind", "ornstein_uhlenbeck"), list(_FACTORS))]
    known = list(inspect.signature(kind).parameters)
    unknown = set(table) - set(known)
    if unknown:
        raise ValueError(f"factor: unknown key {sorted(unknown)[0]!r}, expected some of {known}")
    try:
        return kind(**table)
    except TypeError as error:
        raise ValueError(f"factor: {error}") from error


def _function(key: str, table: Mapping[str, Any]) -> Any:
    arguments = dict(table)
    kind: type = Points
    if "points" not in arguments:
        kind = _SHAPES[_choice(f"{key}.shape", arguments.pop("shape", None), list(_SHAPES))]
    if isinstance(arguments.get("slope"), list):
        arguments["slope"] = tuple(arguments["slope"])
    try:
        return kind(**_known(key, kind, arguments))
    except (TypeError, ValueError) as error:
        said = str(error)
        raise ValueError(said if said.startswith(key) else f"{key}: {said}") from error


def _choice(key: str, value: Any, choices: list[str]) -> str:
    if value not in choices:
        raise ValueError(f"{key}: expected one of {choices}, got {value!r}")
    return str(value)


def _known(key: str, kind: type, arguments: dict[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
    known = [field.name for field in fields(kind) if field.name != "intensity" or "intensity" in arguments]
    unknown = set(arguments) - set(known)
    if unknown:
        raise ValueError(f"{key}: unknown key {sorted(unknown)[0]!r}, expected some of {[*known, *also]}")
    return arguments

"""The numbers of a game, as a page shows them: each with a path, a group, and the values that its slider stops at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...envs import Game, Scenario
from ...envs.arrays import is_number
from ...envs.names import unknown
from ...envs.scenarios.writer import game_values

Number: TypeAlias = "float | int | str | None"
"""as a file has it: ``"inf"`` is infinity, None is no bound"""

MOST_STEPS = 500
"""of the grid, which a page redraws many times"""
GROUPS = {
    "Inventories": ("trader_inventory", "maker_inventory", "initial_inventory"),
    "Competition": ("competition",),
    "Price impact": ("impact", "permanent_impact", "temporary_impact", "crowding"),
    "Penalties": (
        *("trader_running_penalty", "trader_terminal_penalty", "maker_running_penalty", "maker_terminal_penalty"),
        *("running_penalty", "terminal_penalty"),
    ),
    "Flow of noise traders": ("buy_flow", "sell_flow"),
    "Time": ("horizon", "steps"),
    "Constraints": ("min_rate", "max_rate", "max_quote"),
    "Noise": ("inventory_noise", "factor"),
    "Price, on which no payoff depends": ("volatility", "initial_price"),
}
_OFFSETS = "offsets"
_STOPS = 80
_WIDE, _NARROW = 30.0, 5.0
"""factors by which a number on a logarithmic scale may differ from the scenario's: penalties; others"""
_NARROWLY = ("beta", "quartic", "gamma", "rate", "temporary_impact", "horizon", "period", "mean_reversion", "bound")
_FROM_ZERO = (*("buy_flow", "sell_flow", "low", "high", "scale", "min_rate", "inventory_noise", "volatility"), "floor")


class Slider(NamedTuple):
    """A number of a game."""

    path: str
    """its key, dots reach into tables and lists: ``competition.gamma``, ``trader_inventory.0``"""
    group: str
    value: Number
    """the scenario's"""
    stops: list[Number]
    """in the order of the slider, the scenario's value among them"""


def full_values(scenario: Scenario) -> dict[str, Any]:
    """What a scenario's file would hold with all its numbers, those that are defaults among them.

    Raises:
        ValueError: the scenario draws its games, or has a part that no file can name.
    """
    if scenario.random is not None:
        raise ValueError(f"scenario {scenario.name!r}: expected one game, got a table 'random', which draws many")
    values = game_values(scenario.game, defaults=True)
    if _no_offsets(values):
        values["competition"][_OFFSETS] = [0.0] * scenario.game.makers  # the same market
    return {"description": scenario.description, "steps": scenario.steps, **values}


def _no_offsets(values: Mapping[str, Any]) -> bool:
    """True where makers that might be apart are not."""
    return _OFFSETS in values.get("competition", {}) and values["competition"][_OFFSETS] is None


def numbers(values: object, path: str = "") -> Iterator[tuple[str, Number]]:
    """Every number of a file's values by its path."""
    if isinstance(values, Mapping):
        for key, each in values.items():
            yield from numbers(each, f"{path}.{key}" if path else str(key))
    elif isinstance(values, list):
        for i, each in enumerate(values):
            yield from numbers(each, f"{path}.{i}")
    elif values is None or values == "inf" or is_number(values):
        yield path, values  # type: ignore[misc]  # a number by now


def sliders(scenario: Scenario) -> list[Slider]:
    """One for every number of a scenario, group by group. Raises ValueError as :func:`full_values` does."""
    known = dict(numbers(full_values(scenario)))
    known = {path: value for path, value in known.items() if (path, value) != ("factor", None)}
    found = []
    for group, keys in GROUPS.items():
        for key in keys:
            paths = [
                path for path in known if path.split(".")[0] == key and not (known[path] is None and key == "factor")
            ]
            found += [Slider(path, group, known[path], _stops(scenario, path, known[path])) for path in paths]
    return found


def facts(scenario: Scenario) -> dict[str, str]:
    """The choices of a scenario that are no numbers, by their path: kinds of parts, shapes of functions."""
    return dict(_texts({key: each for key, each in full_values(scenario).items() if key != "description"}))


def _texts(values: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(values, Mapping):
        for key, each in values.items():
            yield from _texts(each, f"{path}.{key}" if path else str(key))
    elif isinstance(values, str) and values != "inf":
        yield path, values


def changed(scenario: Scenario, changes: Mapping[str, str]) -> dict[str, Any]:
    """A scenario's values with some numbers replaced.

    Args:
        scenario: the scenario.
        changes: texts of numbers by their paths; ``none`` is no bound.

    Raises:
        ValueError: an unknown path, or a text that is no number.
    """
    values = full_values(scenario)
    known = dict(numbers(values))
    for path, text in changes.items():
        if path not in known:
            raise unknown("number", path, known)
        *tables, last = path.split(".")
        place: Any = values
        for each in tables:
            place = place[int(each) if isinstance(place, list) else each]
        place[int(last) if isinstance(place, list) else last] = _number(path, text)
    if is_number(values["steps"]) and values["steps"] > MOST_STEPS:
        raise ValueError(f"steps: expected at most {MOST_STEPS} in this page, got {values['steps']}")
    if _no_offsets(game_values(scenario.game, defaults=True)) and not any(_OFFSETS in path for path in changes):
        del values["competition"][_OFFSETS]
    return {key: _without_none(each) for key, each in values.items() if each is not None}


def _number(path: str, text: str) -> Number:
    said = text.strip().lower()
    if said == "none":
        return None
    if said == "inf":
        return "inf" if "terminal_penalty" in path else math.inf
    try:
        return int(said)
    except ValueError:
        pass
    try:
        return float(said)
    except ValueError:
        raise ValueError(f"{path}: expected a number, got {text!r}") from None


def _without_none(values: object) -> Any:
    """The values without those that are None, which a file leaves out."""
    if isinstance(values, Mapping):
        return {key: _without_none(each) for key, each in values.items() if each is not None}
    return [_without_none(each) for each in values] if isinstance(values, list) else values


def _stops(scenario: Scenario, path: str, value: Number) -> list[Number]:
    """Values around a number; itself is one of them."""
    game = scenario.game
    first, last = path.split(".")[0], [each for each in path.split(".") if not each.isdigit()][-1]
    ends: tuple[Number, ...] = ()
    if path == "steps":
        found: list[float] = [*range(1, 11), *range(12, 52, 2), *range(55, max(101, 2 * scenario.steps + 1), 5)]
    elif first.endswith("penalty") and not isinstance(value, str | None) and last == first:
        found, ends = [0.0, *_log(value or 0.1, _WIDE)], ("inf",) * (first == game.closing_parameter)
    elif first.endswith("terminal_penalty"):
        found, ends = [0.0, *_log(1.0, _WIDE)], ("inf",)
    elif first in ("max_rate", "max_quote"):
        usual = _rate(game) if first == "max_rate" else _quote(game)
        found, ends = _log(2 * usual if value is None else float(value), _NARROW), (None,)
    elif last in _NARROWLY and value:
        found = _log(float(value), _NARROW)
    elif "inventory" in first and first != "inventory_noise":
        found = _inventories(game, first, float(value or 0.0))
    elif last == "crowding":
        found = _even(-1.0, 1.9)
    elif path.split(".")[1:2] == ["points"] and path.endswith(".0"):  # a time
        found = _even(0.0, game.horizon)
    elif last in _FROM_ZERO or first in ("initial_price", "permanent_impact") or _is_flow(path):
        usual = {"inventory_noise": 0.2, "volatility": 1.0}.get(first, 1.0) * _rate(game)
        found = _even(0.0, 4 * abs(float(value or 0.0)) or usual)
    elif path == "competition.outside":
        found, ends = _even(-3.0, 3.0), (None,)
    else:
        reach = 2 * abs(float(value or 0.0)) or 1.0
        found = _even(float(value or 0.0) - reach, float(value or 0.0) + reach)
    stops = {_short(each) for each in found}
    if value is not None and not isinstance(value, str):
        stops.add(value)
    return [*sorted(stops), *ends]


def _is_flow(path: str) -> bool:
    """True of a flow's own value, or its mean, which are rates of arrival."""
    first, *rest = path.split(".")
    return first in ("buy_flow", "sell_flow") and (not rest or rest[0] in ("points", "mean"))


def _short(value: float) -> float | int:
    """A number of three digits that its slider can be told by."""
    return 0.0 if abs(value) < 1e-12 else value if isinstance(value, int) else float(f"{value:.3g}")


def _log(value: float, factor: float) -> list[float]:
    return [*np.geomspace(value / factor, value * factor, _STOPS + 1)]


def _even(low: float, high: float) -> list[float]:
    """Multiples of a round step between two numbers."""
    least = (high - low) / _STOPS
    unit = 10.0 ** math.floor(math.log10(least))
    step = next(each * unit for each in (1, 2, 2.5, 5, 10) if each * unit >= least * (1 - 1e-9))
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _inventories(game: Game, name: str, value: float) -> list[float]:
    """A trader with one direction keeps its side: inventories of another sign can be typed."""
    most = 2 * max(abs(value), float(np.abs(game.start).max()) / 2)
    if game.one_sided and name == "trader_inventory":
        return [np.sign(value) * each for each in _even(0.0, most)[1:]]
    return _even(-most, most)


def _rate(game: Game) -> float:
    """A rate that trades the largest inventory over the horizon."""
    return float(np.abs(game.start).max(initial=0.0)) / game.horizon or 1.0


def _quote(game: Game) -> float:
    return 3 * game.control_unit(game.agents[-1])

"""Games as what would stand in their scenario files: the inverse of :mod:`~makertaker.envs.scenarios.loader`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from ..arrays import is_number, is_whole
from ..factor import BoundedReversion, Constant, Factor, MeanReversion
from ..game import Game, is_infinite
from ..intensity import Intensity
from .loader import GAMES, INTENSITIES, PARTS, SHAPES


def game_values(game: Game, *, defaults: bool = False) -> dict[str, Any]:
    """What would stand in a scenario file of a game, but for values that are defaults: JSON and TOML can hold it.

    Args:
        game: the game.
        defaults: true for those as well; a constraint that is not there is None, which a file leaves out.

    Raises:
        ValueError: the game has a part or a function that no file can name.

    Examples:
        >>> from makertaker.envs import MakerTakerGame, SoftmaxShare, load_scenario
        >>> game_values(MakerTakerGame((4.0,), competition=SoftmaxShare(2.0)))
        {'game': 'maker_taker', 'trader_inventory': [4.0], 'competition': {'kind': 'softmax', 'rate': 2.0}}
        >>> load_scenario(game_values(load_scenario("approximation"))) == load_scenario("approximation")
        True
    """
    name = next((name for name, kind in GAMES.items() if type(game) is kind), None)
    if name is None:
        raise ValueError(f"game: expected one of {list(GAMES)}, got {type(game).__name__}")
    return {"game": name} | {key: value_of(key, each, defaults) for key, each in _given(game, defaults).items()}


def toml(values: Mapping[str, Any]) -> str:
    """A scenario file of its values, as :func:`game_values` gives them: numbers and lists first, then tables.

    Examples:
        >>> print(toml({"steps": 20, "impact": {"kind": "quadratic", "beta": 0.5}}), end="")
        steps = 20
        <BLANKLINE>
        [impact]
        kind = "quadratic"
        beta = 0.5
    """
    flat = {key: each for key, each in values.items() if not isinstance(each, Mapping)}
    tables = {key: each for key, each in values.items() if isinstance(each, Mapping)}
    blocks = [_lines(flat), *(f"[{key}]\n{_lines(table)}" for key, table in tables.items())]
    return "\n".join(blocks)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {toml_value(each)}\n" for key, each in table.items())


def toml_value(value: object) -> str:
    """A value in TOML, in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={toml_value(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which TOML does not hold as it is
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def _given(instance: Any, defaults: bool = False) -> dict[str, Any]:
    """The fields of a dataclass that are not their defaults, or all."""
    given = {}
    for each in fields(instance):
        value = getattr(instance, each.name)
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if each.init and (defaults or default is MISSING or value != default):
            given[each.name] = value
    return given


def value_of(key: str, value: object, defaults: bool = False) -> Any:
    """What would stand in a file for a parameter of a game, with the defaults of its parts or without. Raises
    ValueError for what no file can name."""
    if value is None or isinstance(value, str | bool):
        return value
    if is_infinite(value):
        return "inf"  # which JSON can hold, and the games take
    if is_number(value):
        return int(value) if is_whole(value) else float(value)  # type: ignore[arg-type]  # a real number
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [value_of(key, each, defaults) for each in value]
    if isinstance(value, Factor):
        return _factor(value)
    for kinds in PARTS.values():
        for name, kind in kinds.items():
            if type(value) is kind:
                return {"kind": name} | _fields(value, defaults)
    for shape, kind in SHAPES.items():
        if type(value) is kind:
            return {"shape": shape} | _fields(value, defaults)
    if hasattr(value, "points"):
        return {"points": [list(each) for each in value.points]}
    raise ValueError(f"{key}: expected what a scenario file can name, got {value!r}")


def in_words(value: object, name: str = "values") -> Any:
    """Values of a file as JSON can hold them: Python's own numbers, texts, lists and mappings; infinity is ``"inf"``.

    Args:
        value: as in TOML, or the same with numbers and arrays of NumPy.
        name: for messages.

    Raises:
        ValueError: it is, or has in it, anything else.
    """
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{name}: expected keys that are text, got {strange[0]!r}")
        return {str(key): in_words(each, f"{name}.{key}") for key, each in value.items()}
    if isinstance(value, np.ndarray | np.bool_):
        return in_words(value.tolist(), name)
    if isinstance(value, list | tuple):
        return [in_words(each, name) for each in value]
    if is_infinite(value):
        return "inf"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if is_number(value):
        return int(value) if is_whole(value) else float(value)  # type: ignore[arg-type]  # a real number
    raise ValueError(f"{name}: expected a number, a text, a list or a table, got {value!r}")


def _fields(value: object, defaults: bool = False) -> dict[str, Any]:
    """The fields of a part of a market, with those of its intensity among them."""
    table: dict[str, Any] = {}
    for key, each in _given(value, defaults).items():
        if isinstance(each, Intensity):
            name = next((name for name, kind in INTENSITIES.items() if type(each) is kind), None)
            if name is None:
                raise ValueError(f"{key}: expected one of {list(INTENSITIES)}, got {each!r}")
            table |= {"intensity": name} | _fields(each, defaults)
        else:
            table[key] = value_of(key, each, defaults)
    return table


def _factor(factor: Factor) -> dict[str, Any]:
    drift, diffusion = factor.drift, factor.diffusion
    if not isinstance(drift, MeanReversion | BoundedReversion) or not isinstance(diffusion, Constant):
        raise ValueError(f"factor: expected one of {list(PARTS['factor'])}, got {factor!r}")
    bounded = isinstance(drift, BoundedReversion)
    table = {
        "kind": "bounded_reversion" if bounded else "ornstein_uhlenbeck",
        "mean_reversion": drift.rate,
        "volatility": diffusion.value,
        "mean": drift.mean,
        "initial": factor.initial,
    }
    if isinstance(drift, BoundedReversion):
        table["bound"] = drift.bound
    return {key: value_of(key, each) for key, each in table.items()}

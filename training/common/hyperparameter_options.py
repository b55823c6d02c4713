"""Hyperparameters as the command line and files give them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...envs.scenarios.loader import set_value
from ...envs.text import read
from .hyperparameters import Table

_OPTION, _TABLE = "--hp", "algorithm"


def read_hyperparameters(given: Sequence[str]) -> dict[str, Table]:
    """Tables of hyperparameters by name of an algorithm or agent; what comes later replaces what came before.

    Args:
        given: each ``name.key=value`` with a TOML value, as in ``ppo.learning_rate=1e-3``; or the path of a TOML file
            that has tables ``[algorithm.name]``.

    Raises:
        ValueError: one of them is neither, or a file cannot be read.
    """
    tables: dict[str, Any] = {}
    for each in given:
        if "=" in each:
            set_value(tables, each, _OPTION)
        elif each.endswith(".toml"):
            for name, table in _file(each).items():
                tables.setdefault(name, {}).update(table)
        else:
            raise ValueError(f"{_OPTION}: expected name.key=value, or a path to a .toml file, got {each!r}")
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ValueError(
                    f"{_OPTION} {each!r}: expected keys of the form name.key, such as ppo.gamma, got {name!r}"
                )
    return tables


def _file(path: str) -> dict[str, dict[str, object]]:
    try:
        document = tomllib.loads(read(Path(path)))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{_OPTION} {path!r} cannot be read: {error}") from error
    tables = document.get(_TABLE)
    if list(document) != [_TABLE] or not isinstance(tables, dict):
        raise ValueError(f"{_OPTION} {path!r}: expected tables [{_TABLE}.name] and nothing else, got {list(document)}")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{_OPTION} {path!r}: expected a table [{_TABLE}.{name}], got {table!r}")
    return tables

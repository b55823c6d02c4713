"""Gymnasium's specifications of environments, as JSON can hold them: whoever reads one plays the same market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec

from .distributions import Distribution, to_table
from .game import Game
from .options import STEPS, Options
from .random_markets import RandomMarkets
from .scenarios.loader import Scenario
from .scenarios.writer import game_values, value_of


def plain(value: object) -> Any:
    """Arguments of an environment with games, scenarios, options and parts of a market as mappings; what no scenario
    file can name stays an object."""
    if isinstance(value, Mapping):
        return {key: _argument(key, each) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, RandomMarkets):
        return {"name": value.name, "steps": value.steps or STEPS, **game_values(value.game), "random": value.table()}
    if isinstance(value, Distribution):
        return to_table(value)
    if isinstance(value, Scenario):
        return {"name": value.name, "steps": value.steps, **value.values}
    if isinstance(value, Options):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    try:
        return game_values(value) if isinstance(value, Game) else value_of("", value)
    except ValueError:
        return value


def _argument(name: str, value: object) -> Any:
    """An argument by its name: the distributions of random markets, where only these are asked for."""
    return value.table() if name == "random" and isinstance(value, RandomMarkets) else plain(value)


class PlainSpec:
    """An environment whose ``spec`` is :func:`plain`."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What ``gymnasium.make`` or ``make_vec`` was asked for."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        self._spec = value if value is None else replace(value, kwargs=plain(value.kwargs))

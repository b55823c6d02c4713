"""Suites: which trainings a benchmark consists of, read from a TOML file; ``suites.toml`` beside this is the project's.

A file has a table for each suite, ``about`` in words, and ``[[SUITE.trainings]]``: every combination of what is listed
in one of these is trained with every seed.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ...envs import Scenario, read_scenario, text
from ...envs.names import unknown
from ...envs.parameters import check_count
from ..common import files
from ..many import folder_name
from ..run_config import RunConfig, parse_algorithm

_FIELDS = ("engine", "information", "history", "memory", "inventory_spread", "timesteps", "markets")
"""of a configuration that a table may say"""
_KEYS = (
    "scenario",
    "algorithm",
    "set",
    "traders",
    "steps",
    "alone",
    "seeds",
    "first_seed",
    "hyperparameters",
    *_FIELDS,
)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("scenario", "algorithm", "engine", "information", "memory"), (str,)),
    **{"alone": (bool,), "set": (list,), "hyperparameters": (dict,)},
}
"""of what a table lists; numbers are checked where they are used"""
_SUITE = ("about", "trainings", "along", "quick")
_LEAST = ("scenario", "seeds")
ALONG = ("agents", "steps", "timesteps")
"""numbers that a suite's figure may have on its horizontal axis"""
_QUICK = {"scenario": 1, "algorithm": 2, "traders": 2, "steps": 2}
"""how many of what a table lists"""


class Training(NamedTuple):
    """One training of a suite."""

    config: RunConfig
    market: str
    """its scenario and, in words, what of it is changed"""
    learner: str
    """the algorithm, and who learns where not all do"""
    changed: Mapping[str, str] = {}
    """markets at once and hyperparameters, in words, where they are not the defaults"""


@dataclass(frozen=True)
class Suite:
    """Trainings by the names of their folders: equal ones of different suites have equal names."""

    name: str
    about: str
    trainings: Mapping[str, Training]
    along: str | None = None


def read_suites(path: str | Path | None = None) -> dict[str, Mapping[str, Any]]:
    """Tables of suites by name.

    Args:
        path: of a TOML file; None: the project's.

    Raises:
        ValueError: there is no such file, or it is no such file.
    """
    source = resources.files(__package__) / "suites.toml" if path is None else Path(path)
    try:
        found = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"suites: {text.shown(str(path))!r} cannot be read: {error}") from error
    for name, table in found.items():
        _check(name, table)
    return found


def _check(name: str, table: object) -> None:
    if not re.fullmatch(r"[\w-]+", name) or name == "runs":
        raise ValueError(
            f"suite {name!r}: expected a name of letters, digits, - and _, which is a folder's; not 'runs'"
        )
    if not isinstance(table, dict) or not isinstance(table.get("about"), str) or not table.get("trainings"):
        raise ValueError(f"suite {name!r}: expected a table with about and trainings, got {table!r:.100}")
    for key in table:
        if key not in _SUITE:
            raise unknown("key", key, _SUITE, f" in suite {name!r}")
    if table.get("along", ALONG[0]) not in ALONG:
        raise unknown("along", table["along"], ALONG, f" in suite {name!r}")
    listed, quick = table["trainings"], table.get("quick", {})
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in [*listed, quick]):
        raise ValueError(f"suite {name!r}: expected tables [[{name}.trainings]], got {listed!r:.100}")
    for each in [*listed, dict.fromkeys(_LEAST) | quick]:
        for key in each:
            if key not in _KEYS:
                raise unknown("key", key, _KEYS, f" in trainings of suite {name!r}")
            _check_types(name, key, each[key])
        if missing := [key for key in _LEAST if key not in each]:
            raise ValueError(f"suite {name!r}: expected {' and '.join(missing)} in every table of trainings")


def _check_types(name: str, key: str, value: Any) -> None:
    """Raises ValueError for what is no text, number or truth value where one is expected."""
    listed = _listed(value)
    wanted = _TYPES.get(key)
    if wanted is None or value is None:
        return
    if key == "set" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        raise ValueError(
            f"suite {name!r}: set: expected a list of lists of overrides, [[{', '.join(map(repr, value))}]]"
        )
    if not listed or not all(isinstance(each, wanted) for each in listed):
        kinds = " or ".join(each.__name__ for each in wanted)
        raise ValueError(f"suite {name!r}: {key}: expected {kinds}, or a list of them, got {value!r:.100}")


def load_suite(name: str, path: str | Path | None = None, *, quick: bool = False) -> Suite:
    """A suite.

    Args:
        name: of it.
        path: of a TOML file; None: the project's.
        quick: True: the suite's own short form, or two seeds, few steps, one scenario and two algorithms of each table,
            to see whether all works.

    Raises:
        ValueError: there is no such suite, or one of its trainings cannot be.
    """
    tables = read_suites(path)
    if name not in tables:
        raise unknown("suite", name, tables)
    table, trainings = tables[name], dict[str, Training]()
    for each in _quick(table) if quick else table["trainings"]:
        for training in _trainings(each):
            trainings[_folder(training)] = training
    return Suite(name, table["about"], trainings, table.get("along"))


def _quick(suite: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "quick" in suite:
        yield {**suite["trainings"][0], **suite["quick"]}
        return
    for table in suite["trainings"]:
        few = {name: _listed(table[name])[:most] for name, most in _QUICK.items() if name in table}
        yield {**table, **few, "seeds": 2, "timesteps": 8_000}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _trainings(table: Mapping[str, Any]) -> Iterator[Training]:
    lists = {"set": [[]], "traders": None, "steps": None, "algorithm": "ppo", "alone": False} | dict(table)
    first = check_count("first_seed", table.get("first_seed", 0), least=0)
    seeds = range(first, first + check_count("seeds", table["seeds"]))
    tables = lists.pop("hyperparameters", {})
    said = " ".join(f"{name}={value}" for name, value in files.flat(tables))
    given = {name: _listed(value) for name, value in lists.items() if name not in ("seeds", "first_seed")}
    for values in itertools.product(*given.values()):
        chosen = dict(zip(given, values, strict=True))
        scenario, market = _market(chosen["scenario"], chosen["set"], chosen["traders"])
        settings = {name: chosen[name] for name in _FIELDS if name in chosen}
        engine = settings.pop("engine", "sb3")
        changed = {
            "markets": f"{settings['markets']} markets" if "markets" in settings else "",
            "hyperparameters": said,
        }
        for algorithm, learner in _algorithms(chosen["algorithm"], chosen["alone"], scenario, engine):
            first_config = RunConfig.of(
                scenario, algorithm, chosen["steps"], engine, hyperparameters=tables, seed=first, **settings
            )
            for seed in seeds:
                yield Training(first_config.with_seed(seed), market, learner, changed)


def _market(name: str, overrides: list[str], traders: int | None) -> tuple[Scenario, str]:
    """A scenario with overrides, and both in words."""
    scenario, said = read_scenario(name, overrides), list(overrides)
    if traders is not None:
        game, count = scenario.game, check_count("traders", traders, least=1)
        if not game.traders:
            raise ValueError(f"traders: expected a scenario that has some, got {name!r}")
        key = "initial_inventory" if "initial_inventory" in scenario.values else "trader_inventory"
        order = float(sum(game.start[: game.traders]))
        scenario = read_scenario(name, [*overrides, f"{key}={json.dumps([order / count] * count)}"])
        said.append(f"traders={count}")
    return scenario, " ".join([scenario.name, *said])


def _algorithms(algorithm: str, alone: bool, scenario: Scenario, engine: str) -> Iterator[tuple[str, str]]:
    """Algorithms as on the command line, and what they are called."""
    if not alone:
        yield algorithm, algorithm
        return
    game = scenario.game
    for agent in (*game.agents[: game.traders][:1], *game.agents[game.traders :][:1]):
        named = {each: algorithm if each == agent else "equilibrium" for each in game.agents}
        parse_algorithm(found := ",".join(f"{each}={what}" for each, what in named.items()), game.agents, engine)
        yield found, f"{algorithm}, {agent} alone"


def _folder(training: Training) -> str:
    """The name of a training's folder: all that tells it from others."""
    config = training.config
    parts = [training.market, config.engine, training.learner, config.information]
    parts += [f"history {config.history}"] * (config.history > 1) + [config.memory] * (config.memory != "none")
    parts += [f"spread {config.inventory_spread:g}"] * (config.inventory_spread > 0)
    parts += [each for each in training.changed.values() if each]
    parts += [f"{config.steps} steps", f"{config.timesteps}", f"{config.seed}"]
    return folder_name("-".join(parts))

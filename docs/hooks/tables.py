"""Tables that are made from the package: scenarios, hyperparameters, and how to cite."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml
from reference import ROOT

from makertaker.envs import read_scenario, scenario_names
from makertaker.training.common import jax_algorithms
from makertaker.training.sb3 import algorithms

_FOLDER = ROOT / "envs" / "scenarios"
_ENVIRONMENTS = {"acas": "acas_v0", "approximation": "approximation_v0"}
"""by the part of a scenario's name before its first dash, where the game does not say more"""


def _home(name: str, environment: str) -> str:
    found = _ENVIRONMENTS.get(name.partition("-")[0], environment)
    return f"[{found}](environments/{found}.md)"


def scenarios() -> str:
    """All scenarios in a table, and the file of each."""
    rows, sections = ["| scenario | traders, makers | steps | environment | |", "| --- | --- | --- | --- | --- |"], []
    for name in scenario_names():
        found = read_scenario(name)
        game, text = found.game, (_FOLDER / f"{name}.toml").read_text(encoding="utf-8").strip()
        home = _home(name, game.environment)
        size = f"{game.traders}, {game.makers}"
        rows.append(f"| [`{name}`](#{name}) | {size} | {found.steps} | {home} | {found.description} |")
        sections.append(f"## {name}\n\n{found.description}. Played by {home}.\n\n```toml\n{text}\n```")
    return "\n".join(rows) + "\n\n" + "\n\n".join(sections)


def _cell(value: object) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _side_by_side(each: Mapping[str, Mapping[str, object]]) -> str:
    keys = dict.fromkeys(key for settings in each.values() for key in settings)
    rows = [f"| `{key}` | " + " | ".join(_cell(settings.get(key)) for settings in each.values()) + " |" for key in keys]
    return "\n".join(
        ["| | " + " | ".join(f"`{name}`" for name in each) + " |", "| --- " * (len(each) + 1) + "|", *rows]
    )


def hyperparameters() -> str:
    """The defaults of every algorithm."""
    torch = {name: each.hyperparameters() for name, each in algorithms.ALGORITHMS.items()}
    jax = {name: each.hyperparameters() for name, each in jax_algorithms.ALGORITHMS.items()}
    return "\n\n".join(
        ["### stable-baselines3", _side_by_side(torch), "### JAX, with `--engine jax`", _side_by_side(jax)]
    )


def citation() -> str:
    """BibTeX of the software and of the paper, from ``CITATION.cff``."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = about["references"]
    authors = " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"])
    (owner,) = about["authors"]
    software = {
        "author": f"{{{owner['name']}}}",
        "title": about["title"],
        "version": about["version"],
        "license": about["license"],
    }
    article = {
        "author": authors,
        "title": paper["title"],
        "year": paper["year"],
        "eprint": paper["identifiers"][0]["value"].removeprefix("arXiv:"),
        "archivePrefix": "arXiv",
    }
    return (
        f"```bibtex\n{_entry('software', 'makertaker', software)}\n\n{_entry('misc', 'guo2025optimal', article)}\n```"
    )


def _entry(kind: str, key: str, fields: Mapping[str, object]) -> str:
    return f"@{kind}{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}"

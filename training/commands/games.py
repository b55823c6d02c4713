"""Commands that look at games: scenarios, equilibria, conditions, reference points."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import typer

from ...baselines import Equilibrium, Exploitability, exploitability
from ...baselines import check as check_conditions
from ...baselines import references as reference_points
from ...envs import Scenario, SoftmaxShare, read_scenario, scenario_names
from ...envs.scenarios.writer import toml_value
from .. import completion
from ..cli_options import Json, Overrides, ScenarioName, Steps
from ..common import progress
from ..evaluation import tables
from ..evaluation.tables import with_error
from ..task import Task
from .output import GAP, below, columns, described, err, hint, room, show, wrapped

_SOFTMAX = "'competition={kind=\"softmax\",rate=1.0,outside=0.0}'"
"""under which feedback equilibria and the makers' coalition are defined"""


def task(name: str, overrides: list[str] | None, steps: int | None) -> Task:
    """A scenario with the command line's overrides, on its grid or another."""
    return Task(read_scenario(name, overrides or []), steps)


def scenarios(
    name: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", autocompletion=completion.scenarios, help="One of them, with its keys."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the scenarios that come with the package, or the keys of one of them, as --set takes them."""
    if name is not None:
        _show_scenario(read_scenario(name), as_json)
        return
    found = [read_scenario(each) for each in scenario_names()]
    listed = {each.name: {"description": each.description, "steps": each.steps} for each in found}
    sizes = [(each.name, f"{each.game.traders}x{each.game.makers}") for each in found]
    texts = ["description", *(each.description for each in found)]
    show(listed, as_json, *described([("scenario", "size"), *sizes], texts))
    if not as_json:
        hint("size: traders x makers; 'makertaker scenarios NAME > mine.toml' says all of one, as a file to change")


def _show_scenario(found: Scenario, as_json: bool) -> None:
    """A scenario with its keys, each as ``--set`` takes it; all of it is a scenario's file."""
    values = {"steps": found.steps, **{key: each for key, each in found.values.items() if key != "description"}}
    pairs = [f"{key}={value}" for key, value in _flat(values)]
    agents = f"# traders: {found.game.traders}, makers: {found.game.makers}; every line below is one of --set"
    document = {"description": found.description, "steps": found.steps, "values": dict(found.values)}
    show({found.name: document}, as_json, f"# {found.name}: {found.description}", agents, *pairs)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Keys with dots, and values as TOML has them."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", toml_value(value)


def solve(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Solve for the Nash equilibrium and check it: residual and every agent's gain from its best response.

    In a game with noise inventories and controls are means, payoffs and gains have standard errors.
    """
    given = task(name, overrides, steps)
    with progress.shown(err):
        started = time.perf_counter()
        equilibrium = given.equilibrium
        elapsed = time.perf_counter() - started
        gains = exploitability(given.game, equilibrium.profile, given.steps)
    solved = {agent: _solved(equilibrium, gains, i) for i, agent in enumerate(given.game.agents)}
    document = {
        "scenario": name,
        "steps": given.steps,
        "agents": solved,
        "nash_conv": gains.nash_conv,
        "relative_nash_conv": gains.nash_conv / given.payoff_size if np.any(equilibrium.payoffs) else None,
        "residual": equilibrium.residual,
        "iterations": equilibrium.iterations,
        "message": equilibrium.message,
        "notes": list(equilibrium.notes),
        "solve_seconds": elapsed,
        "times": equilibrium.times.tolist(),
        "inventories": equilibrium.inventories.tolist(),
        "controls": {key: value.tolist() for key, value in equilibrium.controls._asdict().items()},
    }
    rows = [
        [
            agent,
            with_error(tables.fixed(numbers["payoff"], 4), numbers.get("payoff_se"), numbers.get("payoff_bias")),
            with_error(tables.scientific(numbers["exploitability"], 1), numbers.get("exploitability_se")),
            tables.fixed(path[0], 3),
            tables.fixed(path[-1], 3),
        ]
        for (agent, numbers), path in zip(solved.items(), equilibrium.inventories.T, strict=True)
    ]
    table = tables.Table(["agent", "payoff", "gain of best response", "inventory at 0", "at T"], rows)
    count = equilibrium.iterations
    account = f"{equilibrium.message}; residual {equilibrium.residual:.1e} after {count} iteration{'s'[: count != 1]}"
    took = f"{1e3 * elapsed:.1f} ms" if elapsed < 1 else f"{elapsed:.1f} s"
    show(document, as_json, tables.aligned(table), f"{account}, {took}")


def _solved(equilibrium: Equilibrium, gains: Exploitability, index: int) -> dict[str, float]:
    """An agent's payoff and gain, with standard errors and the estimate of a bias where they have one."""
    numbers = {"payoff": equilibrium.payoffs, "exploitability": gains.gains}
    bias = equilibrium.payoffs_bias
    errors = {
        "payoff_se": equilibrium.payoffs_se,
        "payoff_bias": bias if bias is not None and np.isfinite(bias).all() else None,  # JSON knows no infinity
        "exploitability_se": gains.gains_se,
    }
    return {name: float(each[index]) for name, each in {**numbers, **errors}.items() if each is not None}


def check(
    name: ScenarioName,
    steps: Steps = None,
    overrides: Overrides = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say of each where it stands in the paper, and what its margin is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The paper's assumptions and theorems: those that hold, by what margin; concavity of the grid's problems."""
    given = task(name, overrides, steps)
    with progress.shown(err):
        conditions = check_conditions(given.game, given.steps)
    # JSON knows no infinity
    listed = [each._asdict() | {"margin": each.margin if math.isfinite(each.margin) else None} for each in conditions]
    rows = [("holds", "margin"), *(("yes" if each.holds else "NO", f"{each.margin:.4g}") for each in conditions)]
    names, places = ["condition", *(each.name for each in conditions)], [each.reference for each in conditions]
    lines = columns([(*row, name) for row, name in zip(rows, names, strict=True)], right=[1])
    left = room(max(map(len, lines)) + GAP)
    if left is None or left >= max(map(len, places)):
        lines = columns(list(zip(lines, ["reference", *places], strict=True)))
    elif left < -GAP:
        lines = wrapped(rows, names, right=[1])
    if verbose:
        notes = [f"{each.reference}; margin: {each.note}" for each in conditions]
        lines = [lines[0], *(f"{line}\n{below(note)}" for line, note in zip(lines[1:], notes, strict=True))]
    show({"scenario": name, "steps": given.steps, "conditions": listed}, as_json, *lines)
    if not (verbose or as_json):
        hint("places in the paper, and what margins are: --verbose")


def references(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Reference points: Nash open loop and feedback, the optimum of those who could collude, rules of thumb."""
    given = task(name, overrides, steps)
    with progress.shown(err):
        points = reference_points(given.game, given.steps).values()
    listed = {}
    rows, notes = [], []
    for each in points:
        payoffs = None if each.payoffs is None else dict(zip(given.game.agents, each.payoffs, strict=True))
        numbers = {"total": each.total, "collusion_index": each.collusion_index, "nash_conv": each.nash_conv}
        listed[each.name] = {"payoffs": payoffs, **numbers, "note": each.note}
        cells = [tables.MISSING if value is None else f"{value:.4g}" for value in numbers.values()]
        rows.append([each.name, *cells])
        if each.note and each.note != "converged":
            notes.append(f"{each.name}: {each.note}")
    if notes and given.game.makers and not isinstance(getattr(given.game, "competition", None), SoftmaxShare):
        notes.append(f"under shares that sum to one: makertaker references {shlex.quote(name)} --set {_SOFTMAX}")
    header = ["profile", "total payoff", "collusion index", "NashConv, played open loop"]
    show(
        {"scenario": name, "steps": given.steps, "references": listed},
        as_json,
        tables.aligned(tables.Table(header, rows)),
        *notes,
    )

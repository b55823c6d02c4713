"""Commands that look at games: scenarios, equilibria, conditions, reference points."""

from __future__ import annotations

import math
import time

import numpy as np
from rich.table import Table

from ...baselines import Equilibrium, Exploitability, exploitability
from ...baselines import check as check_conditions
from ...baselines import references as reference_points
from ...envs import read_scenario, scenario_names
from ..cli_options import Json, Overrides, ScenarioName, Steps
from ..evaluation import tables
from ..evaluation.tables import with_error
from ..task import Task
from .output import show


def task(name: str, overrides: list[str] | None, steps: int | None) -> Task:
    """A scenario with the command line's overrides, on its grid or another."""
    return Task(read_scenario(name, overrides or []), steps)


def scenarios(as_json: Json = False) -> None:
    """List the scenarios that come with the package."""
    found = [read_scenario(name) for name in scenario_names()]
    listed = {each.name: {"description": each.description, "steps": each.steps} for each in found}
    table = Table("scenario", "traders", "makers", "steps", "description")
    for each in found:
        table.add_row(each.name, str(each.game.traders), str(each.game.makers), str(each.steps), each.description)
    show(listed, as_json, table)


def solve(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Solve for the Nash equilibrium and check it: residual and every agent's gain from its best response.

    In a game with noise inventories and controls are means, payoffs and gains have standard errors.
    """
    given = task(name, overrides, steps)
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
            with_error(f"{numbers['exploitability']:.1e}", numbers.get("exploitability_se")),
            tables.fixed(path[0], 3),
            tables.fixed(path[-1], 3),
        ]
        for (agent, numbers), path in zip(solved.items(), equilibrium.inventories.T, strict=True)
    ]
    table = tables.Table(["agent", "payoff", "gain of best response", "inventory at 0", "at T"], rows)
    account = f"{equilibrium.message}; residual {equilibrium.residual:.1e} after {equilibrium.iterations} iterations"
    show(document, as_json, tables.aligned(table), f"{account}, {1e3 * elapsed:.1f} ms")


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


def check(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """The paper's assumptions and theorems: those that hold, by what margin; concavity of the grid's problems."""
    given = task(name, overrides, steps)
    conditions = check_conditions(given.game, given.steps)
    # JSON knows no infinity
    listed = [each._asdict() | {"margin": each.margin if math.isfinite(each.margin) else None} for each in conditions]
    table = Table("condition", "holds", "margin", "reference", "margin is", show_lines=True)
    for each in conditions:
        holds = "[green]yes[/green]" if each.holds else "[red]no[/red]"
        table.add_row(each.name, holds, f"{each.margin:.4g}", each.reference, each.note)
    show({"scenario": name, "steps": given.steps, "conditions": listed}, as_json, table)


def references(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Reference points: Nash open loop and feedback, the optimum of those who could collude, rules of thumb."""
    given = task(name, overrides, steps)
    points = reference_points(given.game, given.steps).values()
    listed = {}
    table, notes = Table("profile", "total payoff", "collusion index", "NashConv, played open loop"), []
    for each in points:
        payoffs = None if each.payoffs is None else dict(zip(given.game.agents, each.payoffs, strict=True))
        numbers = {"total": each.total, "collusion_index": each.collusion_index, "nash_conv": each.nash_conv}
        listed[each.name] = {"payoffs": payoffs, **numbers, "note": each.note}
        cells = [tables.MISSING if value is None else f"{value:.4g}" for value in numbers.values()]
        table.add_row(each.name, *cells)
        if each.note and each.note != "converged":
            notes.append(f"{each.name}: {each.note}")
    show({"scenario": name, "steps": given.steps, "references": listed}, as_json, table, *notes)

"""The ``makertaker`` command. ``--json``: standard output is one JSON document, everything else goes to stderr."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..baselines import EquilibriumNotFound, exploitability, solve
from ..envs.scenarios import Scenario, read_scenario, scenario_names

app = typer.Typer(
    help="Markets of liquidity takers and makers: solve, learn, and compare the learned with the equilibrium.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

ScenarioName = Annotated[
    str, typer.Argument(help="A name that 'makertaker scenarios' lists, or a path to a .toml file.")
]
Steps = Annotated[int | None, typer.Option(help="Steps of the grid; default: the scenario's.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value with a TOML value, e.g. competition.gamma=2.0; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def main() -> None:
    """Run the command; a bad argument is one line on stderr and exit code 2."""
    try:
        app()
    except (ValueError, EquilibriumNotFound, ImportError) as error:
        err.print(f"makertaker: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


def scenario(name: str, overrides: list[str] | None) -> Scenario:
    """A scenario with the command line's overrides."""
    return read_scenario(name, overrides or [])


def print_json(document: dict[str, Any]) -> None:
    """Print a document on standard output, numbers in full precision."""
    print(json.dumps(document, indent=2))


@app.command()
def scenarios(as_json: Json = False) -> None:
    """List the scenarios that come with the package."""
    found = [read_scenario(name) for name in scenario_names()]
    if as_json:
        print_json({each.name: {"description": each.description, "steps": each.steps} for each in found})
        return
    table = Table("scenario", "traders", "makers", "steps", "description")
    for each in found:
        table.add_row(each.name, str(each.game.traders), str(each.game.makers), str(each.steps), each.description)
    out.print(table)


@app.command(name="solve")
def solve_command(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Solve for the Nash equilibrium and check it: residual and every agent's gain from its best response."""
    given = scenario(name, overrides)
    count = given.steps if steps is None else steps
    started = time.perf_counter()
    equilibrium = solve(given.game, count)
    elapsed = time.perf_counter() - started
    gains = exploitability(given.game, equilibrium.controls, count)
    if as_json:
        print_json(
            {
                "scenario": name,
                "steps": count,
                "agents": {
                    agent: {"payoff": float(equilibrium.payoffs[i]), "exploitability": float(gains.gains[i])}
                    for i, agent in enumerate(given.game.agents)
                },
                "nash_conv": gains.nash_conv,
                "relative_nash_conv": gains.relative,
                "residual": equilibrium.residual,
                "iterations": equilibrium.iterations,
                "message": equilibrium.message,
                "solve_seconds": elapsed,
                "times": equilibrium.times.tolist(),
                "inventories": equilibrium.inventories.tolist(),
                "controls": {key: value.tolist() for key, value in equilibrium.controls._asdict().items()},
            }
        )
        return
    table = Table("agent", "payoff", "gain of best response", "inventory at 0", "at T")
    for i, agent in enumerate(given.game.agents):
        path = equilibrium.inventories[:, i]
        table.add_row(
            agent, f"{equilibrium.payoffs[i]:.4f}", f"{gains.gains[i]:.1e}", f"{path[0]:.3f}", f"{path[-1]:.3f}"
        )
    out.print(table)
    out.print(
        f"{equilibrium.message}; residual {equilibrium.residual:.1e} after {equilibrium.iterations} iterations, "
        f"{1e3 * elapsed:.1f} ms"
    )


if __name__ == "__main__":
    main()

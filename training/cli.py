"""The ``makertaker`` command. ``--json``: standard output is one JSON document, everything else goes to stderr."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated

import typer

from ..baselines import EquilibriumNotFound
from . import compare as comparisons
from . import runs
from . import seeds as groups
from . import sweep as sweeps
from .cli_options import Json, RunFolder, Trust
from .commands import games, trainings
from .commands.output import err, out, show
from .commands.results import say_left_out, show_run, show_seeds
from .common.console import never_fail
from .evaluation import tables

app = typer.Typer(
    help="Markets of liquidity takers and makers: solve, learn, and compare the learned with the equilibrium.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; a bad argument is one line on stderr and exit code 2."""
    never_fail()
    try:
        app()
    except (ValueError, EquilibriumNotFound, ImportError, OSError, ArithmeticError, MemoryError) as error:
        err.print(f"makertaker: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"makertaker {importlib.metadata.version('makertaker')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # no docstring: the help is the app's
    pass


app.command()(games.scenarios)
app.command()(games.solve)
app.command()(games.check)
app.command()(games.references)
app.command()(trainings.train)
app.command()(trainings.sweep)


@app.command()
def evaluate(run: RunFolder, trust: Trust = False, as_json: Json = False) -> None:
    """Compare a run with the equilibrium: payoffs, exploitability, distances, rules of thumb; writes metrics.json.

    Of a folder of seeds all runs, with the median of NashConv. Nothing in the directory is run: models are files of
    numbers.
    """
    if groups.is_group(run):
        show_seeds(groups.evaluate_seeds(run, trust=trust), run, as_json)
        return
    show_run(runs.evaluate_run(run, trust=trust), run, as_json)


@app.command()
def report(
    run: RunFolder,
    to: Annotated[Path | None, typer.Option(help="The page's file; default: report.html in the run directory.")] = None,
    trust: Trust = False,
) -> None:
    """Write a self-contained HTML page with tables and interactive figures; of a folder of seeds or a sweep that of
    'makertaker compare'.

    Nothing in the directory is run: models are files of numbers.
    """
    if groups.is_group(run) or sweeps.is_sweep(run):
        found = comparisons.compare([run])
        say_left_out(found)
        page = comparisons.write_page(found, f"Trainings of {comparisons.name_of(run)}", to or run / "report.html")
    else:
        page = runs.write_report(run, to=to, trust=trust)
    out.print(f"wrote {page}", soft_wrap=True)


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run directories, folders of seeds, folders of sweeps.")
    ],
    to: Annotated[Path | None, typer.Option(help="Write an HTML page with figures as well.")] = None,
    as_json: Json = False,
) -> None:
    """Compare finished trainings: NashConv over seeds, the least first, and what differs in configuration.

    Runs that differ in their seeds alone are one group, wherever they stand. Nothing in the directories is run.
    """
    found = comparisons.compare(folders)
    say_left_out(found)
    same, table = found.table().without(["against"]).without_constant(comparisons.SETTINGS)
    show(found.document(), as_json, tables.aligned(table))
    if not as_json:
        if same:
            out.print(f"all: {', '.join(f'{name} {value}' for name, value in same.items())}", soft_wrap=True)
        if found.differences:
            out.print_table(tables.aligned(found.difference_table()))
        for line in (*found.against(), *found.remarks()):
            out.print(line, markup=False, soft_wrap=True)
    if to is not None:
        page = comparisons.write_page(found, f"Comparison of {', '.join(map(comparisons.name_of, folders))}", to)
        (err if as_json else out).print(f"wrote {page}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()

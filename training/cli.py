"""The ``makertaker`` command. ``--json``: standard output is one JSON document, everything else goes to stderr."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..baselines import EquilibriumNotFound
from . import compare as comparisons
from . import completion, many, runs, seed_folder
from . import render as films
from .cli_options import Json, Overrides, RunFolder, Steps, Trust, examples
from .commands import benchmarks, data, explore, games, help, trainings
from .commands.output import err, out, show
from .commands.results import say_left_out, show_run, show_seeds
from .common import progress
from .common.console import never_fail
from .evaluation import tables
from .finished_runs import name_of

EXIT_CODES = """\b
Exit codes:
  0    done
  1    a training of a sweep or a
       benchmark failed, or the reader
       of a pipe left
  2    a bad argument, a missing
       library, no equilibrium, a
       training that diverged, a file
       that cannot be read or written
  130  Ctrl-C; 143 SIGTERM; 129 SIGHUP
       ('train', 'sweep', 'benchmark'
       have saved what was learned)"""

app = typer.Typer(
    cls=help.Group,
    help="Markets of liquidity takers and makers: solve, learn, and compare the learned with the equilibrium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut names of options where a terminal is narrow
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{EXIT_CODES}\n\n{examples('makertaker solve acas', 'makertaker train acas --out runs/acas')}",
)


def main() -> None:
    """Run the command; a bad argument is one line on stderr and exit code 2."""
    never_fail()
    try:
        if completion.names_a_shell(sys.argv[1:]):
            os.environ[completion.NO_DETECTION] = "1"
        app(prog_name="makertaker")
    except (ValueError, EquilibriumNotFound, ImportError, OSError, ArithmeticError, MemoryError) as error:
        err.print(f"makertaker: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"makertaker {importlib.metadata.version('makertaker')}")
        raise typer.Exit


command = partial(app.command, cls=help.Command)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # no docstring: the help is the app's
    pass


command(
    short_help="Scenarios, or the keys of one.", epilog=examples("makertaker scenarios", "makertaker scenarios acas")
)(games.scenarios)
command(
    short_help="The Nash equilibrium, checked.",
    epilog=examples("makertaker solve acas", "makertaker solve acas --steps 50 --set competition.gamma=2.0"),
)(games.solve)
command(
    short_help="Conditions: hold, by what margin.",
    epilog=examples("makertaker check execution-2", "makertaker check acas --verbose"),
)(games.check)
command(
    short_help="Nash, colluders, rules of thumb.",
    epilog=examples("makertaker references execution-2", "makertaker references softmax-1x2 --steps 10"),
)(games.references)
command(
    short_help="A market's page, with sliders.",
    epilog=examples("makertaker explore", "makertaker explore maker-taker-3x3 --port 8051 --no-open"),
)(explore.explore)
command(
    short_help="Train, compare with equilibrium.",
    epilog=examples(
        "makertaker train acas --out runs/acas",
        "makertaker train acas --hp ppo.learning_rate=1e-3 --seeds 3 --out runs/three",
        "makertaker train acas --algorithm trader_0=sac,maker_0=equilibrium --out runs/mix",
        "makertaker train acas --resume --out runs/acas",
    ),
)(trainings.train)
command(
    short_help="Many trainings, one table.",
    epilog=examples(
        "makertaker sweep acas execution-2 --seeds 5 --out runs/sweep",
        "makertaker sweep acas --algorithm ppo --algorithm a2c --out runs/two",
    ),
)(trainings.sweep)
command(
    short_help="Suites of learners, with intervals.",
    epilog=examples(
        "makertaker benchmark --quick --out results",
        "makertaker benchmark --suite learners --suite collusion --out results",
        "makertaker benchmark --report --out results",
    ),
)(benchmarks.benchmark)
command(
    short_help="Play as data, for Minari.",
    epilog=examples(
        "makertaker record acas --episodes 100 --out data",
        "makertaker record runs/acas --perturb 0.1 --information full --out data",
    ),
)(data.record)


@command(
    short_help="A run beside the equilibrium.",
    epilog=examples("makertaker evaluate runs/acas", "makertaker evaluate runs/acas --json"),
)
def evaluate(run: RunFolder, trust: Trust = False, as_json: Json = False) -> None:
    """Compare a run with the equilibrium: payoffs, exploitability, distances, rules of thumb; writes metrics.json.

    Of a folder of seeds all runs, with the median of NashConv. Nothing in the directory is run: models are files of
    numbers.
    """
    if seed_folder.is_group(run):
        with progress.shown(err):
            seeds = seed_folder.evaluate_seeds(run, trust=trust)
        show_seeds(seeds, run, as_json)
        return
    if many.is_sweep(run):
        raise ValueError(f"run: {str(run)!r} is a sweep's folder: 'makertaker compare' reads it")
    with progress.shown(err):
        result = runs.evaluate_run(run, trust=trust)
    show_run(result, run, as_json)


@command(
    short_help="A run's page, with figures.",
    epilog=examples("makertaker report runs/acas --open", "makertaker report runs/acas --to acas.html"),
)
def report(
    run: RunFolder,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page's file; default: report.html in the run directory.")
    ] = None,
    show_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    trust: Trust = False,
) -> None:
    """Write a self-contained HTML page with tables and interactive figures; of a folder of seeds or a sweep that of
    'makertaker compare', of seeds with what they have learned as bands.

    Nothing in the directory is run: models are files of numbers.
    """
    if seed_folder.is_group(run) or many.is_sweep(run):
        found = comparisons.compare([run])
        say_left_out(found)
        title, path = f"Trainings of {name_of(run)}", to or run / "report.html"
        with progress.shown(err):
            page = comparisons.write_page(found, title, path, paths=True, trust=trust)
    else:
        with progress.shown(err):
            page = runs.write_report(run, to=to, trust=trust)
    out.print(f"wrote {page}", soft_wrap=True)
    if show_it and not webbrowser.open(page.resolve().as_uri()):
        err.print("no browser was found to open it with", style="yellow")


@command(
    short_help="A film of one episode.",
    epilog=examples("makertaker render runs/acas --out acas.gif", "makertaker render acas --out nash.gif --fps 5"),
)
def render(
    source: Annotated[
        str, typer.Argument(metavar="RUN|SCENARIO", help="A run directory; or a scenario, by name or .toml file.")
    ],
    to: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The film's file: .gif, or .mp4 where ffmpeg is installed."),
    ],
    policies: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Who plays: learned or equilibrium; default: learned of a run, otherwise equilibrium."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the noise.")] = 0,
    fps: Annotated[int, typer.Option(metavar="N", help="Frames, which are steps, per second.")] = 10,
    steps: Steps = None,
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    trust: Trust = False,
) -> None:
    """Write a film of one episode, with the equilibrium as a ghost: of a run's learned policies, or of a scenario's
    equilibrium."""
    film = films.render(
        source,
        to,
        policies=policies,
        seed=seed,
        fps=fps,
        steps=steps,
        overrides=overrides or (),
        overwrite=overwrite,
        trust=trust,
        console=err,
    )
    out.print(f"wrote {film.path}: {film.frames} frames, {film.size / 1e6:.2f} MB", markup=False, soft_wrap=True)


@command(
    short_help="Trainings beside each other.",
    epilog=examples("makertaker compare runs/acas runs/mix", "makertaker compare runs/sweep --to sweep.html"),
)
def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run directories, folders of seeds, folders of sweeps.")
    ],
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page with figures as well.")] = None,
    as_json: Json = False,
) -> None:
    """Compare finished trainings: NashConv over seeds, the least first, and what differs in configuration.

    Runs that differ in their seeds alone are one group, wherever they stand. Nothing in the directories is run.
    """
    found = comparisons.compare(folders)
    say_left_out(found)
    same, table = found.table().without(["against", comparisons.CURRENCY]).without_constant(comparisons.SETTINGS)
    show(found.document(), as_json, tables.aligned(table))
    if not as_json:
        if same:
            out.print(f"all: {', '.join(f'{name} {value}' for name, value in same.items())}", soft_wrap=True)
        if found.differences:
            out.print_table(tables.aligned(found.difference_table()))
        for line in (*found.against(), *found.remarks()):
            out.print(line, markup=False, soft_wrap=True)
    if to is not None:
        page = comparisons.write_page(found, f"Comparison of {', '.join(map(name_of, folders))}", to)
        (err if as_json else out).print(f"wrote {page}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()

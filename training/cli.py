"""The ``makertaker`` command. ``--json``: standard output is one JSON document, everything else goes to stderr."""

from __future__ import annotations

import importlib.metadata
import json
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from ..baselines import Equilibrium, EquilibriumNotFound, Exploitability, check, exploitability, references
from ..envs import read_scenario, scenario_names
from ..envs.parameters import check_count
from . import compare as comparisons
from . import render as films
from . import runs
from . import seeds as groups
from . import sweep as sweeps
from .cli_options import (
    Address,
    History,
    Hyperparameters,
    Json,
    LogNames,
    Markets,
    Memory,
    Overrides,
    RunFolder,
    ScenarioName,
    Seen,
    Spread,
    Steps,
    Timesteps,
    Trust,
)
from .common import run_folder, stops
from .common.console import Console, never_fail
from .common.hyperparameter_options import read_hyperparameters
from .evaluation import tables
from .evaluation.metrics import Group
from .evaluation.spread import in_words, spread
from .evaluation.tables import percent, remarks, with_error
from .run_config import product
from .task import Task

app = typer.Typer(
    help="Markets of liquidity takers and makers: solve, learn, and compare the learned with the equilibrium.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)


def main() -> None:
    """Run the command; a bad argument is one line on stderr and exit code 2."""
    never_fail()
    try:
        app()
    except (ValueError, EquilibriumNotFound, ImportError, OSError, ArithmeticError, MemoryError) as error:
        err.print(f"makertaker: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


def show(document: object, as_json: bool, *content: Table | str) -> None:
    """Print a document on standard output, numbers in full precision; or its content for people to read."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        for each in content:
            if isinstance(each, Table):
                out.print_table(each)
            else:
                out.print(each, soft_wrap=True)


def task(name: str, overrides: list[str] | None, steps: int | None) -> Task:
    """A scenario with the command line's overrides, on its grid or another."""
    return Task(read_scenario(name, overrides or []), steps)


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


@app.command()
def scenarios(as_json: Json = False) -> None:
    """List the scenarios that come with the package."""
    found = [read_scenario(name) for name in scenario_names()]
    listed = {each.name: {"description": each.description, "steps": each.steps} for each in found}
    table = Table("scenario", "traders", "makers", "steps", "description")
    for each in found:
        table.add_row(each.name, str(each.game.traders), str(each.game.makers), str(each.steps), each.description)
    show(listed, as_json, table)


@app.command(name="solve")
def solve_command(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
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


@app.command(name="check")
def check_command(name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """The paper's assumptions and theorems: those that hold, by what margin; concavity of the grid's problems."""
    given = task(name, overrides, steps)
    conditions = check(given.game, given.steps)
    # JSON knows no infinity
    listed = [each._asdict() | {"margin": each.margin if math.isfinite(each.margin) else None} for each in conditions]
    table = Table("condition", "holds", "margin", "reference", "margin is", show_lines=True)
    for each in conditions:
        holds = "[green]yes[/green]" if each.holds else "[red]no[/red]"
        table.add_row(each.name, holds, f"{each.margin:.4g}", each.reference, each.note)
    show({"scenario": name, "steps": given.steps, "conditions": listed}, as_json, table)


@app.command(name="references")
def references_command(
    name: ScenarioName, steps: Steps = None, overrides: Overrides = None, as_json: Json = False
) -> None:
    """Reference points: Nash open loop and feedback, the optimum of those who could collude, rules of thumb."""
    given = task(name, overrides, steps)
    points = references(given.game, given.steps).values()
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


@app.command()
def train(
    context: typer.Context,
    name: ScenarioName,
    out_folder: Annotated[Path, typer.Option("--out", help="Run directory to write.")],
    algorithm: Annotated[
        str,
        typer.Option(
            help="ppo, a2c, sac, td3, ddpg or tqc for all; or trader_0=sac,maker_0=equilibrium,... (the others: ppo)."
        ),
    ] = "ppo",
    timesteps: Timesteps = 160_000,
    seed: Annotated[int, typer.Option(help="The result is a function of it.")] = 0,
    seeds: Annotated[
        int, typer.Option(help="Number of seeds, from --seed on; several have a run directory each in --out.")
    ] = 1,
    steps: Steps = None,
    information: Seen = "time",
    history: History = 1,
    memory: Memory = "none",
    spread: Spread = 0.0,
    markets: Markets = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Library: sb3 (stable-baselines3, in this process), ray (RLlib; ppo only) or jax (ppo only)."
        ),
    ] = "sb3",
    runners: Annotated[int, typer.Option(help="With --engine ray: processes that play; 0: the one that learns.")] = 0,
    address: Address = None,
    logs: LogNames = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run directory.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume from the directory's last checkpoint: a pickle, which runs code that is in it, so only where "
            "you trust its origin.",
        ),
    ] = False,
    overrides: Overrides = None,
    hyperparameters: Hyperparameters = None,
    as_json: Json = False,
) -> None:
    """Train independent learners, then compare their policies with the equilibrium.

    Ctrl-C, SIGTERM and SIGHUP save what was learned; the exit code is 130, 143 or 129.
    """
    config: runs.RunConfig | None = None
    try:
        if resume and groups.is_group(out_folder):
            _only_resume(context, name, groups.config_of(out_folder).scenario)
            with stops.interrupting():
                found = groups.resume_seeds(out_folder, console=err, address=address, logs=logs or None)
            _show_seeds(groups.Evaluated(found, {}), out_folder, as_json)
            return
        if resume:
            config = runs.unfinished_config(out_folder)
            _only_resume(context, name, config.scenario)
            with stops.interrupting():
                result = runs.resume(out_folder, console=err, address=address, logs=logs or None)
        else:
            settings = {"timesteps": timesteps, "information": information, "markets": markets, "runners": runners}
            settings |= {"inventory_spread": spread, "history": history, "memory": memory}
            settings["hyperparameters"] = read_hyperparameters(hyperparameters or [])
            given = read_scenario(name, overrides or [])
            config = runs.RunConfig.of(given, algorithm, steps, engine, seed=seed, **settings)
            if check_count("seeds", seeds) > 1:
                asked = range(seed, seed + seeds)
                with stops.interrupting():
                    found = groups.train_seeds(
                        config,
                        asked,
                        out_folder,
                        overwrite=overwrite,
                        console=err,
                        address=address,
                        logs=logs or (),
                    )
                _show_seeds(groups.Evaluated(found, {}), out_folder, as_json)
                return
            with stops.interrupting():
                result = runs.train(
                    config, out_folder, overwrite=overwrite, console=err, address=address, logs=logs or ()
                )
    except KeyboardInterrupt as interrupt:
        advice = (
            f"; go on with --resume --out {out_folder}" if groups.is_group(out_folder) else _advice(config, out_folder)
        )
        err.print(f"interrupted{advice}", style="yellow", markup=False, soft_wrap=True)
        raise SystemExit(stops.exit_code(interrupt)) from None
    _show_run(result, out_folder, as_json)


def _advice(config: runs.RunConfig | None, out_folder: Path) -> str:
    """How an interrupted training goes on; nothing where what is in the folder is not of it."""
    with suppress(ValueError, OSError):  # no run was begun there
        if config is not None and runs.unfinished_config(out_folder) == config:
            replaces = run_folder.unfinished(out_folder) != out_folder
            stays = "; the older run stays until the new one is complete" if replaces else ""
            return f"{stays}; go on with --resume --out {out_folder}"
    return " before the training began"


@app.command()
def sweep(
    names: Annotated[list[str], typer.Argument(help="Scenarios: names that 'makertaker scenarios' lists, or paths.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder; trainings that it has are not repeated.")],
    algorithm: Annotated[
        list[str] | None, typer.Option(help="As of 'makertaker train'; repeatable; default: ppo.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.")] = 3,
    timesteps: Timesteps = 160_000,
    steps: Steps = None,
    information: Seen = "time",
    history: History = 1,
    memory: Memory = "none",
    spread: Spread = 0.0,
    markets: Markets = None,
    engine: Annotated[
        str, typer.Option(help="Library: sb3 or jax, which trains seeds that differ in nothing else as one program.")
    ] = "sb3",
    address: Address = None,
    logs: LogNames = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace trainings with other settings.")] = False,
    overrides: Overrides = None,
    hyperparameters: Hyperparameters = None,
    as_json: Json = False,
) -> None:
    """Train scenarios x algorithms x seeds side by side, in Ray tasks or, without Ray, in processes; one table.

    Exit code 1 where a training failed; interrupts as of 'makertaker train'.
    """
    check_count("seeds", seeds)
    settings: dict[str, Any] = {"timesteps": timesteps, "information": information, "markets": markets}
    settings |= {"inventory_spread": spread, "engine": engine, "history": history, "memory": memory}
    tables = read_hyperparameters(hyperparameters or [])
    given = [read_scenario(name, overrides or []) for name in names]
    configs = product(given, algorithm or ["ppo"], range(seeds), steps, hyperparameters=tables, **settings)
    try:
        with stops.interrupting():
            rows = sweeps.sweep(configs, out_folder, overwrite=overwrite, address=address, console=err, logs=logs or ())
    except KeyboardInterrupt as interrupt:
        err.print("interrupted; the same command goes on", style="yellow")
        raise SystemExit(stops.exit_code(interrupt)) from None
    groups = sweeps.summary(rows)
    show({"groups": groups, "rows": [row.cells() for row in rows]}, as_json, _by_seed(groups))
    if not as_json:
        for each in groups:
            for seed, error in each["failed"].items():
                text = f"{each['scenario']}, {each['algorithm']}, seed {seed}: {error}"
                err.print(text, style="red", markup=False, soft_wrap=True)
        said = dict.fromkeys((each["scenario"], line) for each in groups for line in remarks(each["equilibrium"]))
        for scenario, line in said:
            out.print(f"{scenario}, {line}", markup=False, soft_wrap=True)
        out.print(f"table, figure and run directories in {out_folder}", soft_wrap=True)
    if any(each["failed"] for each in groups):
        raise SystemExit(1)


def _by_seed(groups: list[Group]) -> Table:
    table = Table("scenario", "algorithm", "relative NashConv by seed", "median", "seconds")
    for each in groups:
        values = [percent(value) for value in each["relative_nash_conv"].values()]
        values += [f"seed {seed} failed" for seed in each["failed"]]
        seconds = tables.MISSING if each["seconds"] is None else f"{each['seconds']:.0f}"
        table.add_row(each["scenario"], each["algorithm"], ", ".join(values), percent(each["median"]), seconds)
    return table


def _only_resume(context: typer.Context, name: str, scenario_name: str) -> None:
    """A resumed run keeps its configuration: refuse options that would be ignored."""
    given = [
        option
        for option in context.params
        if option not in ("name", "out_folder", "resume", "address", "logs", "as_json")
        and getattr(context.get_parameter_source(option), "name", "") != "DEFAULT"
    ]
    if given:
        raise ValueError(f"--resume goes on with the run's own configuration: drop {', '.join(sorted(given))}")
    if Path(name).stem != scenario_name:
        raise ValueError(f"--resume: the run in --out is of scenario {scenario_name!r}, got {name!r}")


@app.command()
def evaluate(run: RunFolder, trust: Trust = False, as_json: Json = False) -> None:
    """Compare a run with the equilibrium: payoffs, exploitability, distances, rules of thumb; writes metrics.json.

    Of a folder of seeds all runs, with the median of NashConv. Nothing in the directory is run: models are files of
    numbers.
    """
    if groups.is_group(run):
        _show_seeds(groups.evaluate_seeds(run, trust=trust), run, as_json)
        return
    _show_run(runs.evaluate_run(run, trust=trust), run, as_json)


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
        _say_left_out(found)
        page = comparisons.write_page(found, f"Trainings of {comparisons.name_of(run)}", to or run / "report.html")
    else:
        page = runs.write_report(run, to=to, trust=trust)
    out.print(f"wrote {page}", soft_wrap=True)


@app.command()
def render(
    source: Annotated[
        str, typer.Argument(metavar="RUN|SCENARIO", help="A run directory; or a scenario, by name or .toml file.")
    ],
    to: Annotated[Path, typer.Option("--out", help="The film's file: .gif, or .mp4 where ffmpeg is installed.")],
    policies: Annotated[
        str | None,
        typer.Option(help="Who plays: learned or equilibrium; default: learned of a run, otherwise equilibrium."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    fps: Annotated[int, typer.Option(help="Frames, which are steps, per second.")] = 10,
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
    _say_left_out(found)
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


def _say_left_out(found: comparisons.Comparison) -> None:
    for reason in found.left_out.values():
        err.print(f"left out: {reason}", style="yellow", markup=False, soft_wrap=True)


def _show_seeds(found: groups.Evaluated, folder: Path, as_json: bool) -> None:
    results, left_out = found
    values = {seed: each.metrics["relative_nash_conv"] for seed, each in results.items()}
    middle = spread(values.values())
    header = ["seed", "relative NashConv", "control distance", "joint market steps"]
    rows = [
        [
            *(str(seed), percent(values[seed]), percent(each.metrics["control_distance"])),
            f"{each.metrics['timesteps_done']:,}",
        ]
        for seed, each in results.items()
    ]
    document = {
        **middle.document(),
        "seeds": {str(seed): each.metrics for seed, each in results.items()},
        "left_out": {str(seed): reason for seed, reason in left_out.items()},
    }
    against = ", ".join(dict.fromkeys(each.metrics["exploitability_against"] for each in results.values()))
    said = f"relative NashConv {in_words(middle)} against {against}; run directories in {folder}"
    for seed, reason in left_out.items():
        err.print(f"seed {seed} is left out: {reason}", style="yellow", markup=False, soft_wrap=True)
    show(document, as_json, tables.aligned(tables.Table(header, rows)))
    if not as_json:
        notes = (note for each in results.values() for note in each.metrics["equilibrium"].get("notes", ()))
        for line in (*remarks(dict.fromkeys(notes)), said):
            out.print(line, markup=False, soft_wrap=True)


def _show_run(result: runs.RunEvaluation, run: Path, as_json: bool) -> None:
    metrics = result.metrics
    if not result.written:
        err.print(f"nothing was written: {run} is read-only", style="yellow", markup=False, soft_wrap=True)
    profiles = tables.profiles(metrics).first(3 if metrics["collusion_index"] is None else 4)
    starts = [tables.aligned(each) for each in tables.random_starts(metrics)]
    show(metrics, as_json, tables.aligned(tables.agents(metrics).first(6)), tables.aligned(profiles), *starts)
    if as_json:
        return
    for table in tables.feedback(metrics):
        out.print_table(tables.aligned(table))
    for line in (*tables.feedback_remarks(metrics), *remarks(metrics["equilibrium"].get("notes", ()))):
        out.print(line, markup=False, soft_wrap=True)
    for line in tables.random_start_remarks(metrics):
        out.print(line, markup=False, soft_wrap=True)
    if metrics["timesteps_done"] < metrics["timesteps"]:
        out.print(
            f"stopped after {metrics['timesteps_done']:,} of {metrics['timesteps']:,} joint market steps; "
            "'makertaker train' goes on with --resume",
            soft_wrap=True,
        )
    out.print(
        f"relative NashConv {percent(metrics['relative_nash_conv'])} against {metrics['exploitability_against']}"
        + (f"; files in {run}" if result.written else ""),
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()

"""Commands that train."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ...envs import read_scenario, text
from ...envs.parameters import check_count
from .. import completion, runs, seed_folder
from .. import sweep as sweeps
from ..cli_options import (
    Address,
    History,
    Hyperparameters,
    Json,
    LogNames,
    Markets,
    Memory,
    Overrides,
    ScenarioName,
    Seen,
    Spread,
    Steps,
    Timesteps,
)
from ..common import run_folder, stops
from ..common.hyperparameter_options import read_hyperparameters
from ..evaluation import tables
from ..evaluation.metrics import Group
from ..evaluation.tables import percent, remarks
from ..run_config import product
from ..seeds import resume_seeds, train_seeds
from .output import err, out, show
from .results import say_next, show_run, show_seeds


def train(
    context: typer.Context,
    name: ScenarioName,
    out_folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Run directory to write.")],
    algorithm: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.algorithms,
            help="One for all: ppo, a2c, trpo, sac, td3, ddpg or tqc, of --engine jax ppo, a2c, reinforce, npg, magnet "
            "or mappo. Or agent=name with commas between, where a name may be equilibrium (agents not named: ppo).",
        ),
    ] = "ppo",
    timesteps: Timesteps = 160_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The result is a function of it.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(metavar="N", help="Number of seeds, from --seed on; several have a run directory each in --out."),
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
            metavar="NAME",
            autocompletion=completion.engines,
            help="Library: sb3 (stable-baselines3, in this process), ray (RLlib; ppo only) or jax (compiled).",
        ),
    ] = "sb3",
    runners: Annotated[
        int, typer.Option(metavar="N", help="With --engine ray: processes that play; 0: the one that learns.")
    ] = 0,
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
        if resume and seed_folder.is_group(out_folder):
            _only_resume(context, name, seed_folder.config_of(out_folder).scenario)
            with stops.interrupting():
                found = resume_seeds(out_folder, console=err, address=address, logs=logs or None)
            show_seeds(seed_folder.Evaluated(found, {}), out_folder, as_json)
            say_next(out_folder, as_json)
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
                    found = train_seeds(
                        config,
                        asked,
                        out_folder,
                        overwrite=overwrite,
                        console=err,
                        address=address,
                        logs=logs or (),
                    )
                show_seeds(seed_folder.Evaluated(found, {}), out_folder, as_json)
                say_next(out_folder, as_json)
                return
            with stops.interrupting():
                result = runs.train(
                    config, out_folder, overwrite=overwrite, console=err, address=address, logs=logs or ()
                )
    except KeyboardInterrupt as interrupt:
        again = shlex.join(["makertaker", "train", name, "--resume", "--out", text.shown(out_folder)])
        advice = f"; go on with {again}" if seed_folder.is_group(out_folder) else _advice(config, out_folder, again)
        err.print(f"interrupted{advice}", style="yellow", markup=False, soft_wrap=True)
        raise SystemExit(stops.exit_code(interrupt)) from None
    show_run(result, out_folder, as_json)
    say_next(out_folder, as_json)


def _advice(config: runs.RunConfig | None, out_folder: Path, again: str) -> str:
    """How an interrupted training goes on, by the command ``again``; nothing where what is in the folder is not of
    it."""
    with suppress(ValueError, OSError):  # no run was begun there
        if config is not None and runs.unfinished_config(out_folder) == config:
            replaces = run_folder.unfinished(out_folder) != out_folder
            stays = "; the older run stays until the new one is complete" if replaces else ""
            return f"{stays}; go on with {again}"
    return " before the training began"


def sweep(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO",
            autocompletion=completion.scenarios,
            help="Names that 'makertaker scenarios' lists, or paths.",
        ),
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder; trainings that it has are not repeated.")
    ],
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.algorithms,
            help="As of 'makertaker train'; repeatable; default: ppo.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Number of seeds, from 0.")] = 3,
    timesteps: Timesteps = 160_000,
    steps: Steps = None,
    information: Seen = "time",
    history: History = 1,
    memory: Memory = "none",
    spread: Spread = 0.0,
    markets: Markets = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.engines,
            help="Library: sb3 or jax, which trains seeds that differ in nothing else as one program.",
        ),
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
    show({"groups": groups, "rows": [sweeps.cells(row) for row in rows]}, as_json, _by_seed(groups))
    if not as_json:
        for each in groups:
            for seed, error in each["failed"].items():
                text = f"{each['scenario']}, {each['algorithm']}, seed {seed}: {error}"
                err.print(text, style="red", markup=False, soft_wrap=True)
        said = dict.fromkeys((each["scenario"], line) for each in groups for line in remarks(each["equilibrium"]))
        for scenario, line in said:
            out.print(f"{scenario}, {line}", markup=False, soft_wrap=True)
        out.print(f"table, figure and run directories in {out_folder}", soft_wrap=True)
        say_next(out_folder, as_json)
    if any(each["failed"] for each in groups):
        raise SystemExit(1)


def _by_seed(groups: list[Group]) -> Table:
    header, rows = ["scenario", "algorithm", "relative NashConv by seed", "median", "seconds"], []
    for each in groups:
        values: list[str] = [percent(value) for value in each["relative_nash_conv"].values()]
        values += [f"seed {seed} failed" for seed in each["failed"]]
        seconds = tables.MISSING if each["seconds"] is None else f"{each['seconds']:.0f}"
        rows.append([each["scenario"], each["algorithm"], ", ".join(values), percent(each["median"]), seconds])
    return tables.aligned(tables.Table(header, rows))


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

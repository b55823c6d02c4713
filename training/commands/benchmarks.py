"""The command that trains a benchmark's suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..cli_options import Address, Json
from ..common import stops
from ..common.extras import needed
from ..evaluation import tables
from ..evaluation.spread import between
from ..evaluation.tables import percent
from .output import described, err, out, show

DEFAULT = "learners"


def benchmark(
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Folder; trainings that it has are not repeated.")
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Repeatable; --list shows what there is; default: {DEFAULT}."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .toml file with suites of your own; default: the project's.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A suite's short form: minutes, or less, to see whether it works.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing: tables and figures from the files that are there.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Suites and the number of their trainings; train nothing.")
    ] = False,
    address: Address = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace trainings with other settings.")] = False,
    as_json: Json = False,
) -> None:
    """Train suites of learners x scenarios x seeds; tables with intervals and figures.

    The same command goes on where it was interrupted. A training that fails is told, the others go on, and the exit
    code is 1. Interrupts as of 'makertaker train'.
    """
    suites = needed("benchmark.suites", "train")
    if listed:
        _list(suites, file, quick, as_json)
        return
    if out_folder is None:
        raise ValueError("--out: expected a folder for the results, got none")
    chosen = [suites.load_suite(name, file, quick=quick) for name in suite or [DEFAULT]]
    if report:
        module = needed("benchmark.report", "train")
        for each in chosen:
            module.write_report(out_folder / each.name)
        _show({each.name: out_folder / each.name for each in chosen}, as_json)
        return
    module, failed = needed("benchmark.run", "train"), dict[str, str]()
    try:
        with stops.interrupting():
            for each in chosen:
                outcome = module.run_suite(each, out_folder, overwrite=overwrite, address=address, console=err)
                failed |= outcome.failed
    except KeyboardInterrupt as interrupt:
        err.print("interrupted; the same command goes on", style="yellow")
        raise SystemExit(stops.exit_code(interrupt)) from None
    _show({each.name: out_folder / each.name for each in chosen}, as_json)
    for name, reason in failed.items():
        err.print(f"{name}: {reason}", style="red", markup=False, soft_wrap=True)
    if failed:
        raise SystemExit(1)


def _list(suites: Any, file: Path | None, quick: bool, as_json: bool) -> None:
    found = {name: suites.load_suite(name, file, quick=quick) for name in suites.read_suites(file)}
    document = {name: {"about": each.about, "trainings": len(each.trainings)} for name, each in found.items()}
    rows = [("suite", "trainings"), *((name, f"{len(each.trainings):,}") for name, each in found.items())]
    show(document, as_json, *described(rows, ["about", *(each.about for each in found.values())], right=[1]))


def _show(folders: dict[str, Path], as_json: bool) -> None:
    """Print what each suite has found."""
    module = needed("benchmark.summary", "train")
    document, shown = dict[str, Any](), list[Any]()
    for name, folder in folders.items():
        if not (folder / "runs.csv").is_file():
            continue
        found = module.read_results(folder)
        markets, learners = module.market_rows(found), module.learner_rows(found)
        document[name] = {"about": found.about, "markets": markets, "learners": learners}
        shown += [f"{name}: {found.about}", tables.aligned(_markets(markets, found.along))]
        if found.common > 1:
            several = "markets" if found.along is None else f"markets and numbers of {found.along}"
            shown += [f"all {found.common} {several} together", tables.aligned(_learners(learners))]
    show(document, as_json, *shown)
    if not as_json:
        for folder in folders.values():
            out.print(f"tables and figures in {folder}", soft_wrap=True)


def _markets(rows: list[dict[str, Any]], along: str | None) -> tables.Table:
    keys = ["market", "learner", *([along] if along else [])]
    header = [*keys, "seeds", "relative NashConv, median", "95% interval", "worst"]
    return tables.Table(
        header,
        [
            [
                *(str(row[key]) for key in keys),
                f"{row['seeds']}" + (f" ({row['failed']} failed)" if row["failed"] else ""),
                *(percent(row["median"]), between(row["median_low"], row["median_high"]), percent(row["worst"])),
            ]
            for row in rows
        ],
    )


def _learners(rows: list[dict[str, Any]]) -> tables.Table:
    header = ["learner", "runs", "interquartile mean", "95% interval", "median", "worst"]
    return tables.Table(
        header,
        [
            [
                *(row["learner"], str(row["runs"]), percent(row["interquartile_mean"])),
                *(between(row["low"], row["high"]), percent(row["median"]), percent(row["worst"])),
            ]
            for row in rows
        ],
    )

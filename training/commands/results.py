"""Evaluations of finished trainings, as commands print them."""

from __future__ import annotations

import shlex
from pathlib import Path

from ...envs import text
from .. import compare as comparisons
from .. import runs, seed_folder
from ..evaluation import tables
from ..evaluation.spread import in_words, spread
from ..evaluation.tables import percent, remarks
from .output import err, out, show


def say_next(folder: Path, as_json: bool) -> None:
    """The command that shows a training."""
    if not as_json:
        name = shlex.quote(text.shown(folder))
        out.print(f"next: makertaker report {name} --open", markup=False, highlight=False, soft_wrap=True)


def say_left_out(found: comparisons.Comparison) -> None:
    for line in found.left_out_lines():
        err.print(line, style="yellow", markup=False, soft_wrap=True)


def show_seeds(found: seed_folder.Evaluated, folder: Path, as_json: bool) -> None:
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
    said = f"relative NashConv {in_words(middle, len(values))} against {against}; run directories in {folder}"
    for seed, reason in left_out.items():
        err.print(f"seed {seed} is left out: {reason}", style="yellow", markup=False, soft_wrap=True)
    show(document, as_json, tables.aligned(tables.Table(header, rows)))
    if not as_json:
        notes = (note for each in results.values() for note in each.metrics["equilibrium"].get("notes", ()))
        drawn = {each.metrics.get("drawn_markets") for each in results.values()} - {None}
        over = [f"means over {count} drawn markets" for count in drawn]
        for line in (*remarks(dict.fromkeys(notes)), *over, said):
            out.print(line, markup=False, soft_wrap=True)


def show_run(result: runs.RunEvaluation, run: Path, as_json: bool) -> None:
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
    noted = remarks(metrics["equilibrium"].get("notes", ()))
    for line in (*tables.market_remarks(metrics), *tables.feedback_remarks(metrics), *noted):
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

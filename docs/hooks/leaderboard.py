"""The benchmark's tables and figures, from ``benchmarks/results``."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from matplotlib.figure import Figure
from reference import ROOT

from makertaker.training.benchmark import figures, summary
from makertaker.training.evaluation.spread import between
from makertaker.training.evaluation.tables import percent

_FOLDER = ROOT / "benchmarks" / "results"
_SHOWN = "learners"
"""the suite that the page shows in full"""
SUITES = sorted(each.parent.name for each in _FOLDER.glob("*/suite.json"))
"""whose results are here"""


@cache
def _results(suite: str = _SHOWN) -> summary.Results:
    return summary.read_results(_FOLDER / suite)


def _cells(row: dict[str, object], middle: str, low: str, high: str) -> str:
    value, *ends = (row[name] for name in (middle, low, high))
    assert isinstance(value, float)
    lower, upper = (each if isinstance(each, float) else None for each in ends)
    interval = between(lower, upper)
    return percent(value) + (f" ({interval})" if interval else "")


def learners() -> str:
    """Learners over all markets, the best first."""
    found = _results()
    lines = [
        "| learner | runs | interquartile mean (95% interval) | median (95% interval) | worst |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in summary.learner_rows(found):
        mean = _cells(row, "interquartile_mean", "low", "high")
        middle = _cells(row, "median", "median_low", "median_high")
        lines.append(f"| `{row['learner']}` | {row['runs']} | {mean} | {middle} | {percent(row['worst'])} |")
    return "\n".join(lines)


def _told(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{_cells(row, 'median', 'median_low', 'median_high')}, {percent(row['worst'])}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def markets() -> str:
    """Every market's learners: medians, intervals, and the worst seed."""
    found = _results()
    rows = {(row["market"], row["learner"]): row for row in summary.market_rows(found)}
    cells = [[f"`{market}`", *(_told(rows.get((market, name))) for name in found.learners)] for market in found.markets]
    return _table(["market", *(f"`{name}`" for name in found.learners)], cells)


def suite(name: str) -> str:
    """A suite's table: a row for each market and learner; where it has a number along, for each market and number, with
    a column for each learner."""
    found = _results(name)
    rows, along = summary.market_rows(found), found.along
    if along is None:
        header = ["market", "learner", "median (95% interval), worst"]
        cells = [[f"`{row['market']}`", f"`{row['learner']}`", _told(row)] for row in rows]
    else:
        scenario = dict(zip(found.runs["market"], found.runs["scenario"], strict=True))
        header = ["market", along, *(f"`{learner}`" for learner in found.learners)]
        known = {(scenario[row["market"]], int(row[along]), row["learner"]): row for row in rows}
        places = sorted({(market, number) for market, number, _ in known})
        cells = [
            [f"`{market}`", f"{number:,}", *(_told(known.get((market, number, each))) for each in found.learners)]
            for market, number in places
        ]
    seeds = sorted(set(map(len, found.cells.values())))
    said = "Median (95% interval), worst; " if along else ""
    return f"{_table(header, cells)}\n\n*{said}{' or '.join(map(str, seeds))} seeds in each cell. {machine(name)}*"


def machine(name: str = _SHOWN) -> str:
    """With what the runs were made."""
    runs = _results(name).done
    processors = ", ".join(sorted({str(each) for each in runs["processor"].dropna()}))
    commits = ", ".join(sorted({str(each)[:7] for each in runs["commit"].dropna()}))
    versions = sorted({str(each) for each in runs["versions"].dropna()})
    python = ", ".join(sorted({str(each) for each in runs["python"].dropna()}))
    return f"{processors}; Python {python}; commit {commits}; {'; '.join(versions)}."


def _svg(draw: Callable[[], Figure | None]) -> bytes:
    figure, target = draw(), io.BytesIO()
    assert figure is not None  # the suite has several learners in all of its markets
    figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()


def _along(name: str) -> Figure:
    found = _results(name)
    return figures.along(found, summary.market_rows(found))


def _improvement() -> Figure | None:
    found = _results()
    best = summary.learner_rows(found)
    return figures.improvement(summary.improvement_rows(found, [str(row["learner"]) for row in best]), best)


FIGURES: dict[str, Callable[[], bytes]] = {
    "figures/built/benchmark-learners.svg": partial(
        _svg, lambda: figures.learners(summary.learner_rows(_results()), _results())
    ),
    "figures/built/benchmark-markets.svg": partial(_svg, lambda: figures.markets(_results())),
    "figures/built/benchmark-profiles.svg": partial(_svg, lambda: figures.profiles(_results())),
    "figures/built/benchmark-improvement.svg": partial(_svg, _improvement),
}
FIGURES |= {
    f"figures/built/benchmark-{name}.svg": partial(_svg, partial(_along, name))
    for name in SUITES
    if _results(name).along is not None
}

"""The benchmark's tables and figures, from ``benchmarks/results``."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, partial

from matplotlib.figure import Figure
from reference import ROOT

from makertaker.training.benchmark import figures, summary
from makertaker.training.evaluation.spread import between
from makertaker.training.evaluation.tables import percent

_FOLDER = ROOT / "benchmarks" / "results"
_SHOWN = "learners"
"""the suite that the page shows"""


@cache
def _results() -> summary.Results:
    return summary.read_results(_FOLDER / _SHOWN)


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


def markets() -> str:
    """Every market's learners: medians, intervals, and the worst seed."""
    found = _results()
    rows = {(row["market"], row["learner"]): row for row in summary.market_rows(found)}
    lines = ["| market | " + " | ".join(f"`{name}`" for name in found.learners) + " |"]
    lines.append("| --- " * (len(found.learners) + 1) + "|")
    for market in found.markets:
        cells = [rows.get((market, name)) for name in found.learners]
        told = [
            "" if row is None else f"{_cells(row, 'median', 'median_low', 'median_high')}, {percent(row['worst'])}"
            for row in cells
        ]
        lines.append(f"| `{market}` | " + " | ".join(told) + " |")
    return "\n".join(lines)


def machine() -> str:
    """With what the runs were made."""
    runs = _results().done
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

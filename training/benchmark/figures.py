"""Figures of a suite; relative NashConv is in percent, on logarithmic axes, and bands are 95% bootstrap intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...envs import text
from ...envs.arrays import Array
from ...envs.palette import MARKERS, color
from . import statistics
from .summary import ENOUGH, GAIN, Results, grid

_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g}%")
_NAME = "relative NashConv"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_LEAST = 1e-12
_ACROSS = 3
"""panels in a row"""
_FLAT = 6
"""learners whose names, in several lines, stand beside each other"""


def save(found: Results, tables: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> list[Path]:
    """Write the figures that a suite has; their paths."""
    drawn: dict[str, Callable[[], Figure | None]] = {
        "markets": lambda: markets(found) if found.along is None else along(found, tables["markets"]),
        "learners": lambda: learners(tables["learners"], found),
        "profiles": lambda: profiles(found),
        "curves": lambda: curves(found),
        "improvement": lambda: improvement(tables["improvement"], tables["learners"]),
    }
    written = []
    for name, draw in drawn.items():
        path, figure = folder / f"{name}.png", draw()
        if figure is None:
            path.unlink(missing_ok=True)  # it would be of earlier results
            continue
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=130)
        text.write(path, image.getvalue())
        written.append(path)
    return written


def _style(found: Results, name: str) -> dict[str, Any]:
    place = found.learners.index(name)
    return {"color": color(place), "linestyle": _DASHES[place % len(_DASHES)]}


def _panels(names: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    across = min(_ACROSS, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(max(6.5, 4.2 * across), height * down + 0.7), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(name if len(name) < 45 else f"{name[:42]}...", fontsize="medium")
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure, axes


def _logarithmic(axis: Any, values: Sequence[float] | Array) -> None:
    """An axis in percent, with a label at least at every power of ten."""
    few = max(values) < 300 * max(min(values), _LEAST)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(_PERCENT)
    axis.set_minor_formatter(NullFormatter())


def _known(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[float]:
    return [row[key] for row in rows for key in keys if row[key] is not None]


def markets(found: Results) -> Figure:
    """Every run as a dot, with its learner's median as a bar, by market."""
    figure, axes = _panels(found.markets, 4.7 if _upright(found.learners) else 2.9)
    everything = found.done[GAIN].to_numpy(float)
    for axis, market in zip(axes, found.markets, strict=False):
        for place, name in enumerate(found.learners):
            if (market, name, 0) not in found.cells:
                continue
            values = np.maximum(found.cells[market, name, 0][GAIN].to_numpy(float), _LEAST)
            axis.plot([place] * len(values), values, MARKERS[place % len(MARKERS)], color=color(place), ms=4, alpha=0.5)
            axis.hlines(np.median(values), place - 0.35, place + 0.35, color="0.1", linewidth=1.8, zorder=3)
        axis.set(yscale="log", xlim=(-0.6, len(found.learners) - 0.4))
        axis.set_xticks(range(len(found.learners)), **_names(found.learners))
        axis.grid(axis="y", alpha=0.25)
    _logarithmic(axes[0].yaxis, everything)
    figure.supylabel(_NAME, fontsize="medium")
    return figure


def _upright(learners: Sequence[str]) -> bool:
    """True where names in several lines would overlap."""
    return len(learners) > _FLAT and any(", " in each for each in learners)


def _names(learners: Sequence[str]) -> dict[str, Any]:
    """Labels of an axis of learners."""
    if _upright(learners):
        return {"labels": learners, "rotation": 90, "ha": "center", "fontsize": "small"}
    short = max(map(len, learners)) <= 5
    labels = [each.replace(", ", ",\n") for each in learners]
    return {"labels": labels, "rotation": 0 if short else 35, "ha": "center" if short else "right", "fontsize": "small"}


def along(found: Results, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Interquartile means over the suite's number, by market."""
    number = str(found.along)
    scenario = dict(zip(found.runs["market"], found.runs["scenario"], strict=True))
    panel = {market: market if number != "agents" else scenario[market] for market in found.markets}
    groups = list(dict.fromkeys(panel.values()))
    figure, axes = _panels(groups, 3.2)
    for axis, market in zip(axes, groups, strict=False):
        for name in found.learners:
            own = [row for row in rows if row["learner"] == name and panel[row["market"]] == market]
            own.sort(key=lambda row: int(row[number]))
            x, mean, low, high = (
                [np.nan if row[key] is None else float(row[key]) for row in own]
                for key in (number, "interquartile_mean", "low", "high")
            )
            place = found.learners.index(name)
            axis.plot(x, mean, label=name, marker=MARKERS[place % len(MARKERS)], ms=5, **_style(found, name))
            axis.fill_between(x, low, high, color=color(place), alpha=0.18, linewidth=0)
        axis.set(xscale="log", yscale="log", xlabel={"timesteps": "joint market steps"}.get(number, number))
        ticks = sorted({int(row[number]) for row in rows})
        axis.set_xticks(ticks, [_thousands(each) for each in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.25)
    _logarithmic(axes[0].yaxis, _known(rows, "interquartile_mean", "low", "high"))
    axes[0].set_ylabel(f"{_NAME}, interquartile mean")
    _legend(figure, axes[0])
    return figure


def _thousands(number: int) -> str:
    return f"{number // 1000}k" if number >= 10_000 else str(number)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False)


def learners(rows: Sequence[Mapping[str, Any]], found: Results) -> Figure | None:
    """Interquartile mean of each learner over all markets, the best first; None where no market has all learners."""
    if not rows:
        return None
    figure = Figure(figsize=(7.5, 0.42 * len(rows) + 1.3), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(rows):
        shade, mean = color(found.learners.index(row["learner"])), row["interquartile_mean"]
        if row["low"] is not None:
            axis.hlines(place, row["low"], row["high"], color=shade, linewidth=7, alpha=0.35)
        axis.plot(mean, place, "|", color=shade, markersize=16, markeredgewidth=2.5)
    few = [row["fewest"] < ENOUGH for row in rows]
    names = [f"{row['learner']}{' *' * mark}" for row, mark in zip(rows, few, strict=True)]
    axis.set_yticks(range(len(rows)), names)
    axis.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
    several = "one market" if found.common == 1 else f"{found.common} markets"
    remark = f"; * fewer than {ENOUGH} seeds" if any(few) else ""
    axis.set_xlabel(f"{_NAME}, interquartile mean of {several}, 95% interval{remark}")
    _logarithmic(axis.xaxis, _known(rows, "interquartile_mean", "high", "low"))
    axis.grid(axis="x", alpha=0.25)
    return figure


def profiles(found: Results) -> Figure | None:
    """Share of runs that are at most so far from Nash, of all markets equally."""
    if not found.samples:
        return None
    values = np.concatenate([each for samples in found.samples.values() for each in samples])
    levels = np.geomspace(max(values.min(), _LEAST) * 0.9, values.max() * 1.1, 120)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, samples in found.samples.items():
        share = statistics.profile(samples, levels)
        axis.plot(levels, share.value, label=name, **_style(found, name))
        axis.fill_between(levels, share.low, share.high, color=_style(found, name)["color"], alpha=0.15, linewidth=0)
    axis.set(xscale="log", xlabel=_NAME, ylabel="share of runs at most so far from Nash", ylim=(-0.02, 1.02))
    _logarithmic(axis.xaxis, values)
    axis.grid(alpha=0.25)
    _legend(figure, axis)
    return figure


def curves(found: Results) -> Figure | None:
    """Interquartile mean over training, by market; None where there are no curves."""
    lines = grid(found)
    shown = [market for market in found.markets if any(market == each for each, _ in lines)]
    if not shown:
        return None
    figure, axes = _panels(shown, 2.9)
    low = []
    for axis, market in zip(axes, shown, strict=False):
        for name in found.learners:
            if (market, name) in lines:
                steps, values = lines[market, name]
                middle = statistics.band(values)
                low += [float(np.min(middle.value)), float(np.max(middle.value))]
                axis.plot(steps, middle.value, label=name, linewidth=1.4, **_style(found, name))
                shade = _style(found, name)["color"]
                axis.fill_between(steps, middle.low, middle.high, color=shade, alpha=0.18, linewidth=0)
        axis.set(yscale="log", xlabel="joint market steps")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(int(value))))
        axis.grid(alpha=0.25)
    _logarithmic(axes[0].yaxis, low)
    figure.supylabel(f"{_NAME}, interquartile mean", fontsize="medium")
    most = max(axes, key=lambda axis: len(axis.get_lines()))
    _legend(figure, most)
    return figure


def improvement(rows: Sequence[Mapping[str, Any]], order: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Probability that a run of the row's learner is nearer to Nash than one of the column's."""
    names = [str(row["learner"]) for row in order]
    if len(names) < 2:
        return None
    size = 0.75 * len(names)
    figure = Figure(figsize=(max(5.0, size + 2.4), max(3.6, size + 1.4)), layout="constrained")
    axis = figure.subplots()
    matrix = np.full((len(names), len(names)), np.nan)
    for row in rows:
        i, j = names.index(row["learner"]), names.index(row["other"])
        matrix[i, j] = row["probability"]
        strong = abs(row["probability"] - 0.5) > 0.3
        axis.text(j, i, f"{row['probability']:.2f}", ha="center", va="center", fontsize="small",
                  color="white" if strong else "0.1")  # fmt: skip
    image = axis.imshow(matrix, cmap="RdBu", vmin=0, vmax=1)
    tilted = max(map(len, names)) > 6
    axis.set_xticks(range(len(names)), names, rotation=30 if tilted else 0, ha="right" if tilted else "center")
    axis.set_yticks(range(len(names)), names)
    axis.set_title("probability that the row is nearer to Nash than the column", fontsize="medium")
    figure.colorbar(image, ax=axis, shrink=0.8)
    return figure

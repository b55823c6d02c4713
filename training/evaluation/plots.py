"""Figures: learned against equilibrium, NashConv over training, sweeps. Needs matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...envs import text
from ...envs.arrays import Array
from .metrics import Group
from .panels import LEARNED, color, colors, legend, levels, panels, width
from .scoring import Evaluation
from .tables import market_remarks, remarks

_STYLES = (":", "--", "-.", (0, (1, 4)), (0, (8, 3)))


def save(result: Evaluation, history: Array, folder: Path) -> None:
    """Write ``comparison.png`` and ``learning.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("comparison", comparison(result)), ("learning", learning(history, result))):
        _write(figure, folder / f"{name}.png")


def _write(figure: Figure, path: Path) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=130)
    text.write(path, image.getvalue())


def _figure(width: float, height: float, rows: int, columns: int, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)


def _remark(figure: Figure, lines: Sequence[str]) -> None:
    """What to know of the equilibrium, above the panels; nothing where there is nothing."""
    characters = int(figure.get_figwidth() * 13)  # of this size
    wrapped = [part for each in lines for part in textwrap.wrap(each, characters)]
    if wrapped:
        figure.set_figheight(figure.get_figheight() + 0.2 * len(wrapped))  # panels keep their size
        figure.suptitle("\n".join(wrapped), fontsize="small", color="0.3")


def comparison(result: Evaluation) -> Figure:
    """The panels of :func:`~.panels.panels`; learned solid, equilibrium dashed."""
    game, times = result.equilibrium.game, result.equilibrium.times
    shade, thick = colors(game), width(game)
    shown = panels(result)
    rows = -(-len(shown) // 2)
    figure, axes = _figure(10, 3.2 * rows + (0.4 if rows == 1 else 0.0), rows, 2)
    for panel, axis in zip(shown, axes, strict=False):
        drawstyle = "steps-post" if panel.held else "default"
        for agent, kind, values in panel.lines():
            style = "-" if kind == LEARNED else "--"
            axis.plot(times, values, style, color=shade[agent], drawstyle=drawstyle, linewidth=thick)
        axis.set(title=panel.title, xlabel="time", ylabel=panel.unit, xlim=(times[0], times[-1]))
        axis.grid(alpha=0.25)
    _remark(figure, [*market_remarks(result.metrics), *remarks(result.equilibrium.notes)])
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    handles = [Line2D([], [], color=each, label=name) for name, each in legend(game).items()]
    handles += [Line2D([], [], color="0.3", label="learned"), Line2D([], [], color="0.3", ls="--", label="equilibrium")]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7), frameon=False)
    return figure


def save_sweep(groups: Sequence[Group], path: Path) -> None:
    """Relative NashConv of every scenario (panels) and algorithm (columns): a dot a seed, a bar at the median."""
    scenarios = list(dict.fromkeys(each["scenario"] for each in groups))
    algorithms = list(dict.fromkeys(each["algorithm"] for each in groups))
    shown = [max(value, 1e-12) for each in groups for value in each["relative_nash_conv"].values()]
    labelled = (1, 2, 5) if max(shown) < 1000 * min(shown) else (1,)  # few powers of ten may lie in between
    percent = FuncFormatter(lambda value, _: f"{100 * value:g}%")
    wide = max(4.5, len(scenarios) * (1.2 + 0.7 * len(algorithms)))
    figure, axes = _figure(wide, 3.8, 1, len(scenarios), sharey=True)
    for axis, scenario in zip(axes, scenarios, strict=True):
        for each in groups:
            values, median = list(each["relative_nash_conv"].values()), each["median"]
            if each["scenario"] != scenario or median is None:
                continue
            place = algorithms.index(each["algorithm"])
            shade = color(place)
            axis.plot([place] * len(values), np.maximum(values, 1e-12), "o", color=shade, alpha=0.7, markersize=5)
            axis.hlines(max(median, 1e-12), place - 0.25, place + 0.25, color=shade, linewidth=2)
        axis.set(title=scenario, xlim=(-0.6, len(algorithms) - 0.4), yscale="log")
        tilted = max(map(len, algorithms)) > 8
        axis.set_xticks(
            range(len(algorithms)), algorithms, rotation=30 if tilted else 0, ha="right" if tilted else "center"
        )
        axis.grid(alpha=0.25, which="both", axis="y")
        axis.yaxis.set_major_locator(LogLocator(subs=labelled))
        axis.yaxis.set_major_formatter(percent)
        axis.yaxis.set_minor_formatter(NullFormatter())
    said = dict.fromkeys((each["scenario"], line) for each in groups for line in remarks(each["equilibrium"]))
    _remark(figure, [f"{scenario}, {line}" for scenario, line in said])
    axes[0].set_ylabel("NashConv, % of the sum of |equilibrium payoffs|")
    _write(figure, path)


def learning(history: Array, result: Evaluation) -> Figure:
    """Relative NashConv over joint market steps, with the rules of thumb as horizontal lines."""
    figure, (axis,) = _figure(7.5, 4, 1, 1)
    axis.semilogy(
        history[:, 0], np.maximum(history[:, 2], 1e-12), color="0.1", marker="o", markersize=3, label="learned"
    )
    for i, (name, level) in enumerate(levels(result.metrics).items()):
        axis.axhline(level, color="0.5", linestyle=_STYLES[i % len(_STYLES)], label=name)  # agents have the colours
    axis.set(
        xlabel="joint market steps",
        ylabel="NashConv / sum of |equilibrium payoffs|",
        title="Exploitability over training (open-loop opponents)",
    )
    axis.grid(alpha=0.25, which="both")
    _remark(figure, [*market_remarks(result.metrics), *remarks(result.equilibrium.notes)])
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure

"""Figures: what was learned against the equilibrium, and NashConv over training. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...envs.arrays import Array
from .scoring import Evaluation

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#000000", "#999999", "#882255", "#44AA99", "#DDCC77", "#332288"),
)
"""Okabe and Ito's palette, told apart by colour-blind readers, and six more of Tol's"""
NAMED = 12
"""agents up to which a legend names them"""


def color(index: int) -> str:
    """Colour of the agent at a position."""
    return COLORS[index % len(COLORS)]


def save(result: Evaluation, history: Array, folder: Path) -> None:
    """Write ``comparison.png`` and ``learning.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("comparison", comparison(result)), ("learning", learning(history, result))):
        figure.savefig(folder / f"{name}.png", dpi=130)


def _figure(width: float, height: float, rows: int, columns: int, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def comparison(result: Evaluation) -> Figure:
    """Inventories and rates, and asks and bids where there are makers, over time; learned solid, equilibrium dashed."""
    equilibrium = result.equilibrium
    game, times = equilibrium.game, equilibrium.times
    rows = 2 if game.makers else 1
    figure, axes = _figure(10, 3.2 * rows + (0.4 if rows == 1 else 0.0), rows, 2)
    panels = axes.ravel()
    learned, exact = result.learned, equilibrium
    for i in range(len(game.agents)):
        panels[0].plot(times, learned.inventories[:, i], color=color(i))
        panels[0].plot(times, exact.inventories[:, i], color=color(i), linestyle="--")
    for i in range(game.traders):
        _steps(panels[1], times, learned.controls.rate[:, i], exact.controls.rate[:, i], color(i))
    for j in range(game.makers):
        shade = color(game.traders + j)
        _steps(panels[2], times, learned.controls.ask[:, j], exact.controls.ask[:, j], shade)
        _steps(panels[3], times, learned.controls.bid[:, j], exact.controls.bid[:, j], shade)
    mean = "mean " if game.random else ""
    titles = (
        (f"{mean}inventories".capitalize(), "shares"),
        (f"{mean}trading rates".capitalize(), "shares per unit of time"),
        ("Asks above the reference price", "currency"),
        ("Bids below the reference price", "currency"),
    )
    for panel, (title, unit) in zip(panels, titles, strict=False):
        panel.set(title=title, xlabel="time", ylabel=unit, xlim=(times[0], times[-1]))
        panel.grid(alpha=0.25)
    named = game.agents if len(game.agents) <= NAMED else ()
    handles = [Line2D([], [], color=color(i), label=agent) for i, agent in enumerate(named)]
    handles += [Line2D([], [], color="0.3", label="learned"), Line2D([], [], color="0.3", ls="--", label="equilibrium")]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7), frameon=False)
    return figure


def _steps(axes: Any, times: Array, learned: Array, exact: Array, shade: str) -> None:
    axes.stairs(learned, times, baseline=None, color=shade, linewidth=1.5)
    axes.stairs(exact, times, baseline=None, color=shade, linewidth=1.5, linestyle="--")


def save_sweep(groups: list[dict[str, Any]], path: Path) -> None:
    """Relative NashConv of every scenario (panels) and algorithm (columns): a dot a seed, a bar at the median."""
    scenarios = list(dict.fromkeys(each["scenario"] for each in groups))
    algorithms = list(dict.fromkeys(each["algorithm"] for each in groups))
    shown = [max(value, 1e-12) for each in groups for value in each["relative_nash_conv"].values()]
    labelled = (1, 2, 5) if max(shown) < 1000 * min(shown) else (1,)  # few powers of ten may lie in between
    percent = FuncFormatter(lambda value, _: f"{100 * value:g}%")
    width = max(4.5, len(scenarios) * (1.2 + 0.7 * len(algorithms)))
    figure, axes = _figure(width, 3.8, 1, len(scenarios), sharey=True)
    for axis, scenario in zip(axes[0], scenarios, strict=True):
        for each in groups:
            values = list(each["relative_nash_conv"].values())
            if each["scenario"] != scenario or not values:
                continue
            place = algorithms.index(each["algorithm"])
            shade = color(place)
            axis.plot([place] * len(values), np.maximum(values, 1e-12), "o", color=shade, alpha=0.7, markersize=5)
            axis.hlines(max(each["median"], 1e-12), place - 0.25, place + 0.25, color=shade, linewidth=2)
        axis.set(title=scenario, xlim=(-0.6, len(algorithms) - 0.4), yscale="log")
        tilt = {"rotation": 30, "ha": "right"} if max(map(len, algorithms)) > 8 else {}
        axis.set_xticks(range(len(algorithms)), algorithms, **tilt)
        axis.grid(alpha=0.25, which="both", axis="y")
        axis.yaxis.set_major_locator(LogLocator(subs=labelled))
        axis.yaxis.set_major_formatter(percent)
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("NashConv, % of the sum of |equilibrium payoffs|")
    figure.savefig(path, dpi=130)


def learning(history: Array, result: Evaluation) -> Figure:
    """Relative NashConv over joint market steps, with the rules of thumb as horizontal lines."""
    figure, axes = _figure(7.5, 4, 1, 1)
    axis = axes[0, 0]
    axis.semilogy(
        history[:, 0], np.maximum(history[:, 2], 1e-12), color=color(0), marker="o", markersize=3, label="learned"
    )
    for i, (name, values) in enumerate(result.metrics["baselines"].items()):
        if values["relative_nash_conv"]:
            axis.axhline(values["relative_nash_conv"], color=color(i + 1), linestyle=":", label=name)
    axis.set(
        xlabel="joint market steps",
        ylabel="NashConv / sum of |equilibrium payoffs|",
        title="Exploitability over training (open-loop opponents)",
    )
    axis.grid(alpha=0.25, which="both")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure

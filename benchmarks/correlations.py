"""Do quotes fall with strategic orders and rise with noise orders?

    python benchmarks/correlations.py [--paths 4000] [--steps 10] [--figure PATH]

Equilibrium play of `approximation`, and around it. The second version of the paper's abstract says so of its
simulations. Here the game is `approximation`: one buyer, two makers with noisy inventories, noise traders whose flow
follows a mean-reverting factor. In equilibrium, over paths of the noise, the best ask is correlated with the buyer's
rate and with the noise traders' flow of buy orders, each less its mean at that step; all steps together, and one
parameter at a time is changed. Intervals are of the mean over forty groups of antithetic paths.

Measured: yes, in thirteen markets of thirteen ([quotes and orders](docs/concepts/quotes.md))
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import t as student
from timing import machine

from makertaker.baselines import solve
from makertaker.envs import MakerTakerGame, read_scenario
from makertaker.envs.noise import draw_noise
from makertaker.envs.palette import MARKERS, color

GROUPS = 40
PAIRS = {"best ask and the buyer's rate": "rate", "best ask and noise traders' buy orders": "flow"}
BASE = "approximation"
RANGES: dict[str, Sequence[float]] = {
    "inventory_noise": (0.1, 0.6),
    "factor.volatility": (0.5, 2.0),
    "factor.mean_reversion": (0.5, 8.0),
    "competition.rate": (0.5, 2.0),
    "trader_running_penalty": (0.0, 0.5),
    "maker_running_penalty": (0.02, 0.5),
}
CELLS = [BASE, *(f"{key}={value:g}" for key, values in RANGES.items() for value in values)]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two arrays (paths, K), each less its mean at that step."""
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def found(cell: str, steps: int, paths: int) -> dict[str, tuple[float, float]]:
    """Correlations by pair, and half widths of their 95% intervals."""
    scenario = read_scenario(BASE, [] if cell == BASE else [cell])
    game = scenario.game
    assert isinstance(game, MakerTakerGame)
    equilibrium = solve(game, steps)
    played = equilibrium.play(draw_noise(game, steps, paths, seed=1))
    assert played.factor is not None
    ask, times = played.controls.ask.min(axis=-1), played.times[:-1]
    flow = np.stack([game.buy_flow(time, played.factor[:, k]) for k, time in enumerate(times)], axis=-1)
    beside = {"rate": played.controls.rate[..., 0], "flow": flow}
    half = paths // 2  # antithetic paths stand half a batch apart: a group has both of a pair
    groups = [np.concatenate([each, each + half]) for each in np.array_split(np.arange(half), GROUPS)]
    result = {}
    for pair, name in PAIRS.items():
        values = [correlation(ask[each], beside[name][each]) for each in groups]
        error = np.std(values, ddof=1) / np.sqrt(GROUPS)
        result[pair] = (correlation(ask, beside[name]), float(student.ppf(0.975, GROUPS - 1) * error))
    return result


def draw(results: dict[str, dict[str, tuple[float, float]]], path: Path) -> None:
    """Correlations by market."""
    figure = Figure(figsize=(9.5, 0.36 * len(results) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for i, pair in enumerate(PAIRS):
        values, errors = zip(*(each[pair] for each in results.values()), strict=True)
        axis.errorbar(values, range(len(results)), xerr=errors, fmt=MARKERS[i], color=color(i), capsize=2, label=pair)
    axis.axvline(0, color="0.3", linewidth=1)
    axis.set_yticks(range(len(results)), list(results))
    axis.set(ylim=(len(results) - 0.5, -0.5), xlim=(-1.02, 1.02), xlabel="correlation over paths, 95% interval")
    axis.grid(axis="x", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Solve, play, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--figure", type=Path, default=Path("runs/correlations.png"))
    arguments = parser.parse_args()
    console = Console(width=120)
    cells = track(CELLS, console=Console(stderr=True))
    results = {cell: found(cell, arguments.steps, arguments.paths) for cell in cells}
    table = Table("market", *PAIRS)
    for cell, numbers in results.items():
        table.add_row(cell, *(f"{value:+.2f} +- {error:.2f}" for value, error in numbers.values()))
    console.print(table)
    console.print(f"K = {arguments.steps}, {arguments.paths} paths; {machine()}")
    draw(results, arguments.figure)


if __name__ == "__main__":
    main()

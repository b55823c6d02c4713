"""How do games of finitely many traders approach that of infinitely many?

    python benchmarks/mean_field.py [--repetitions 60] [--figure PATH]

Proposition 4.5. Populations are drawn around the mean inventory; the error is that of the first trader's rates, and of
the asks, against the mean-field equilibrium at the distribution's mean.

Measured: like \\(N^{-1/2}\\) ([infinitely many traders](docs/results.md#infinitely-many-traders))
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from makertaker.baselines import mean_field, solve
from makertaker.envs import MakerTakerGame, load_scenario

SIZES = (2, 4, 8, 16, 32, 64, 128)
SPREAD = 0.6


def errors(game: MakerTakerGame, count: int, repetitions: int, steps: int) -> np.ndarray:
    """Root mean square errors of asks and of the population's mean rate, over drawn populations."""
    limit = mean_field(replace(game, trader_inventory=(-5.0,)), steps).representative.controls
    rng = np.random.default_rng(count)
    found = []
    for _ in range(repetitions):
        population = np.minimum(-5.0 + SPREAD * rng.standard_normal(count), -1.0)
        controls = solve(replace(game, trader_inventory=population), steps).controls
        rate = controls.rate.mean(axis=1) - limit.rate[:, 0]
        found.append([np.sqrt((rate**2).mean()), np.sqrt(((controls.ask - limit.ask) ** 2).mean())])
    return np.sqrt((np.array(found) ** 2).mean(axis=0))


def main() -> None:
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--figure", type=Path, default=Path("runs/mean_field.png"))
    arguments = parser.parse_args()
    game = load_scenario("mean-field")
    assert isinstance(game, MakerTakerGame)
    rows = np.array([errors(game, count, arguments.repetitions, arguments.steps) for count in SIZES])
    table = Table("traders", "error of the mean rate", "error of the asks", "times sqrt(N)")
    for count, row in zip(SIZES, rows, strict=True):
        table.add_row(
            str(count), f"{row[0]:.4f}", f"{row[1]:.4f}", f"{row[0] * count**0.5:.3f}, {row[1] * count**0.5:.3f}"
        )
    Console(width=100).print(table)
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = ("average trading rate (shares per unit of time)", "asks (currency)")
    for column, (label, shade) in enumerate(zip(labels, ("#0072B2", "#D55E00"), strict=True)):
        axes.loglog(SIZES, rows[:, column], color=shade, marker="o", label=label)
        axes.loglog(
            SIZES, rows[0, column] * (np.array(SIZES) / SIZES[0]) ** -0.5, color=shade, linestyle=":", linewidth=1
        )
    axes.set(xlabel="number of traders N", ylabel="error against the mean field (rms)")
    axes.set_title("Finite games approach the mean field like $N^{-1/2}$ (dotted)", fontsize="medium")
    axes.set_xticks(SIZES, [str(each) for each in SIZES])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    arguments.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.figure, dpi=130)


if __name__ == "__main__":
    main()

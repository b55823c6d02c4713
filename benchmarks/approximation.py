"""How exact is the decoupling field of `approximation`, and how fast?

    python benchmarks/approximation.py [--scored 100000] [--figure PATH]

Time, error estimates, gains, and the limit of vanishing noise.

Measured: its estimate of its own error is small, and deviations gain nothing beyond the noise
([noise](docs/results.md#noise))
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from timing import machine

from makertaker.baselines import FieldOptions, solve
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.baselines.noise.response import ResponseOptions, noisy_gains
from makertaker.envs import MakerTakerGame, load_scenario, ornstein_uhlenbeck

SIZES = (0.4, 0.2, 0.1, 0.05)
COLORS = ("#0072B2", "#D55E00", "#009E73")


def scenario(name: str, **changed: Any) -> MakerTakerGame:
    """A scenario with parameters changed."""
    game = load_scenario(name)
    assert isinstance(game, MakerTakerGame)
    return replace(game, **changed)


def field_of(game: MakerTakerGame, steps: int, **options: Any) -> tuple[DecouplingEquilibrium, float]:
    """The equilibrium and the seconds it took."""
    begin = time.perf_counter()
    found = solve(game, steps, field=FieldOptions(**options))
    assert isinstance(found, DecouplingEquilibrium)
    return found, time.perf_counter() - begin


def solved(console: Console) -> None:
    """Time and error estimates, by scenario and regressor."""
    table = Table("scenario", "K", "regressor", "seconds", "degree", "sample points", "one step", "adjoints at 0")
    for name, steps, regressor in (
        ("approximation", 20, None),
        ("approximation", 50, None),
        ("approximation-small-noise", 50, None),
        ("approximation-2x3", 20, None),
        ("approximation-2x3", 20, "neural"),
    ):
        found, seconds = field_of(scenario(name), steps, regressor=regressor)
        errors = found.errors
        adjoints = ", ".join(f"{each:.4f}" for each in found.adjoint(0, found.game.start))
        table.add_row(
            name,
            str(steps),
            regressor or "polynomial",
            f"{seconds:.1f}",
            *(f"{each:.1e}" for each in (errors.degree, errors.points, errors.step)),
            adjoints,
        )
    console.print(table)


def exploited(console: Console, scored: int) -> None:
    """Gains of best responses at the equilibrium, on many paths."""
    found, _ = field_of(scenario("approximation"), 20)
    _, gains = noisy_gains(found.field.system, found.profile, options=ResponseOptions(scored=scored))
    table = Table("agent", "payoff", f"gain, {scored:,} paths", "standard error")
    for agent, each in zip(found.game.agents, gains, strict=True):
        table.add_row(agent, f"{each.payoff:.4f}", f"{each.gain:.1e}", f"{each.gain_se:.1e}")
    console.print(table)


def tabulated(console: Console) -> None:
    """A fitted field beside the exact one, which solves the game that is left from every state."""
    table = Table("deterministic game", "states", "exact", "tabulated", "ratio", "rms error, of the adjoints' size")
    for name in ("acas", "maker-taker-softmax", "maker-taker-3x3"):
        exact = solve(load_scenario(name), 20)
        field = exact.tabulate(FieldOptions(refine=False))
        rng = np.random.default_rng(0)
        states = exact.inventories[5] + rng.uniform(-1.2, 1.2, (1000, len(exact.game.agents)))
        begin = time.perf_counter()
        wanted = exact.adjoint(5, states)
        middle = time.perf_counter()
        fitted = field.adjoint(5, states)
        end = time.perf_counter()
        error = np.sqrt(np.mean((fitted - wanted) ** 2)) / np.abs(exact.adjoints).max()
        slow, fast = middle - begin, end - middle
        table.add_row(
            name, f"{len(states):,}", f"{slow:.2f} s", f"{1e3 * fast:.2f} ms", f"{slow / fast:,.0f}", f"{error:.1e}"
        )
    console.print(table)


def vanishing(steps: int = 10) -> dict[str, np.ndarray]:
    """Distance of the mean path and of the adjoints at 0 to the game without noise, by its size."""
    still = ornstein_uhlenbeck(2.0, 0.0, initial=(0.3,))
    apart = scenario("approximation", maker_inventory=(4.0, -1.0), maker_terminal_penalty=0.3)
    tied = scenario("acas", maker_inventory=(0.0, 0.0))
    result: dict[str, np.ndarray] = {}
    for label, base in (("makers apart", apart), ("makers tied", tied)):
        driven = base.factor is not None
        limit = solve(replace(base, inventory_noise=0.0, factor=still if driven else None), steps)
        rows = []
        for size in SIZES:
            noise = ornstein_uhlenbeck(2.0, size, initial=(0.3,)) if driven else None
            game = replace(base, inventory_noise=0.4 * size, factor=noise)
            found, _ = field_of(game, steps, reach=min(0.3, 1.6 * size), refine=False)
            at = np.array([0.3]) if driven else None
            away = np.abs(found.adjoint(0, base.start, at) - limit.adjoint(0, base.start)).max()
            rows.append((np.abs(found.inventories - limit.inventories).max(), away))
        result[label] = np.array(rows)
    return result


def draw(path: Path) -> None:
    """Quantiles of the inventories, and the limit of vanishing noise."""
    found, _ = field_of(scenario("approximation"), 50)
    game, times = found.game, found.times
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    low, _, high = found.quantiles((0.05, 0.5, 0.95))
    for i, (agent, shade) in enumerate(zip(game.agents, COLORS, strict=True)):
        left.fill_between(times, low[:, i], high[:, i], color=shade, alpha=0.2, linewidth=0)
        left.plot(times, found.paths.inventories[:3, :, i].T, color=shade, linewidth=0.6, alpha=0.7)
        left.plot(times, found.inventories[:, i], color=shade, linewidth=2, label=agent)
    left.set(xlabel="time", ylabel="inventory (shares)", title="Equilibrium: mean, 5% to 95%, three paths")
    left.legend(frameon=False)
    sizes = 0.4 * np.array(SIZES)
    for (label, rows), shade in zip(vanishing().items(), COLORS, strict=False):
        order = 2 if label == "makers apart" else 1
        right.loglog(sizes, rows[:, 1], "o-", color=shade, label=f"{label}: adjoints at 0")
        right.loglog(sizes, rows[:, 0], "s--", color=shade, label=f"{label}: mean path", alpha=0.7)
        slope = f"$\\epsilon^{order}$" if order > 1 else "$\\epsilon$"
        right.loglog(sizes, rows[0, 1] * (sizes / sizes[0]) ** order, ":", color=shade, linewidth=3, label=slope)
    right.set(
        xlabel="inventory noise $\\epsilon$ (shares)",
        ylabel="distance (currency; shares)",
        title="Distance to the game without noise",
    )
    right.set_xticks(sizes, [f"{each:g}" for each in sizes])
    right.minorticks_off()
    right.set_ylim(bottom=1e-6)  # room for the legend
    right.legend(frameon=False, fontsize="small", ncols=2)
    for axes in (left, right):
        axes.grid(alpha=0.25)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=int, default=100_000)
    parser.add_argument("--figure", type=Path, default=Path("runs/approximation.png"))
    arguments = parser.parse_args()
    console = Console(width=120)
    console.print(machine())
    solved(console)
    tabulated(console)
    exploited(console, arguments.scored)
    draw(arguments.figure)


if __name__ == "__main__":
    main()

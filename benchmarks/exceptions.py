"""Do a few learners in a thousand collude? Many seeds of PPO in JAX, between equilibrium and collusion.

    python benchmarks/exceptions.py [--seeds 1000] [--markets execution-2 dealers] [--out runs/exceptions]
    python benchmarks/exceptions.py --report benchmarks/results/exceptions

Twenty seeds tell what learners do in the middle, not what one in a hundred does. Two equal buyers (`execution-2`) and
two dealers with an outside option (`dealers`), defaults; what learners see, from where they start, and what they
remember are those of the suite `collusion`. Each seed's learned profile is played once, without exploration and without
noise in the price: relative NashConv is by exact best responses to the schedules that are played, whether others would
react or not, and the collusion index places payoffs between the Nash equilibrium in schedules, 0, and the optimum of
those who could agree, 1.

Seeds are one axis of arrays on a GPU, where a thousand take seconds to train; on a processor they take 2 to 10 seconds
each, as many at once as there are cores. Rows are kept as cells end: the same command goes on.

Measured: no. Of 8,000, seven buyers' trainings have an index above 0.25, and none above 0.33
([a thousand seeds](docs/concepts/collusion.md#a-thousand-seeds))
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest, bootstrap
from timing import machine

from makertaker.baselines import exploitability_many, markov_nash, references
from makertaker.baselines.gains import payoff_size
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.reference_points import OPEN_LOOP, place
from makertaker.envs import Game, read_scenario, rollout
from makertaker.envs.palette import MARKERS, color

MARKETS = ("execution-2", "dealers")
KINDS: Mapping[str, Mapping[str, Any]] = {
    "the time": {"information": "time"},
    "all inventories": {"information": "full"},
    "all inventories, random starts": {"information": "full", "inventory_spread": 1.0},
    "all inventories, with a memory": {"information": "full", "memory": "gru"},
}
"""what learners see, from where they start, and what they remember"""
TIMESTEPS = 160_000
AT_ONCE = 1000
"""seeds that are trained before the next rows are written"""
COLLUSIVE = 0.25
"""an index above which somebody would speak of collusion: a quarter of the way to the optimum"""
COLUMNS = ("market", "learners see", "seed", "relative_nash_conv", "collusion_index")
Key = tuple[str, str]


class Cell(NamedTuple):
    """What seeds of one kind found in one market; a number a seed."""

    nash_conv: np.ndarray
    index: np.ndarray


def ends(game: Game, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Payoffs in the Nash equilibrium in schedules, and at the optimum of those who could agree."""
    table = references(game, steps)
    nash, best = (table[name].payoffs for name in (OPEN_LOOP, kind_of(game, steps).capabilities.optimum))
    assert nash is not None
    assert best is not None
    return nash, best


def found(game: Game, steps: int, profiles: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Relative NashConv and collusion index of learned profiles."""
    kind, (nash, best) = kind_of(game, steps), ends(game, steps)
    played = [rollout(game, each, steps) for each in profiles]
    gains = exploitability_many([game] * len(played), [each.controls for each in played], steps)
    nash_conv = np.array([each.gains.sum() for each in gains]) / payoff_size(nash)
    return nash_conv, np.array([place(kind, each.payoffs, nash, best) for each in played], dtype=float)


def train(market: str, kind: str, seeds: Sequence[int]) -> list[list[object]]:
    """A row for each seed."""
    from makertaker.training.jax.learners import JaxLearners

    scenario, settings = read_scenario(market), dict(KINDS[kind])
    first = JaxLearners(scenario, steps=scenario.steps, **settings)
    learners = [first.with_seed(seed) for seed in seeds]
    errors = first.learn_together(learners, TIMESTEPS, [TIMESTEPS] * len(seeds))
    if broken := [seed for seed, error in zip(seeds, errors, strict=True) if error is not None]:
        raise FloatingPointError(f"{market}, {kind}: seeds {broken} have diverged")
    numbers = found(scenario.game, scenario.steps, [each.policies() for each in learners])
    return [[market, kind, seed, *map(float, each)] for seed, *each in zip(seeds, *numbers, strict=True)]


def read(folder: Path) -> dict[Key, Cell]:
    """What was found, by market and kind."""
    rows: dict[Key, list[list[float]]] = {}
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = [float(row[name]) for name in COLUMNS[-2:]]
                rows.setdefault((row["market"], row["learners see"]), []).append(values)
    order = [(market, kind) for market in MARKETS for kind in KINDS]
    return {key: Cell(*np.array(rows[key]).T) for key in order if key in rows}


def written(path: Path) -> set[tuple[str, int]]:
    """Kinds and seeds that are there."""
    if not path.is_file():
        return set()
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["learners see"], int(row["seed"])) for row in csv.DictReader(file)}


def complete(folder: Path, markets: Sequence[str], seeds: int, console: Console) -> None:
    """Train what is missing, a file a market."""
    folder.mkdir(parents=True, exist_ok=True)
    for market in markets:
        path = folder / f"{market}.csv"
        for kind in KINDS:
            known = written(path)
            missing = [seed for seed in range(seeds) if (kind, seed) not in known]
            for start in range(0, len(missing), AT_ONCE):
                began, chosen = time.perf_counter(), missing[start : start + AT_ONCE]
                rows, new = train(market, kind, chosen), not path.is_file()
                with open(path, "a", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerows([COLUMNS, *rows] if new else rows)
                seconds = time.perf_counter() - began
                console.print(f"{market}, {kind}: {len(chosen)} seeds in {seconds:.0f} s")


def middle(values: np.ndarray, form: str) -> str:
    """Median and its 95% bootstrap interval."""
    found = bootstrap((values,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return f"{np.median(values):{form}} ({found.low:{form}} to {found.high:{form}})"


def told(cells: Mapping[Key, Cell]) -> list[list[str]]:
    """A row for each cell."""
    rows = []
    for (market, kind), cell in cells.items():
        seeds, above = len(cell.index), int((cell.index > COLLUSIVE).sum())
        most = binomtest(above, seeds).proportion_ci(method="exact").high
        low, high = np.quantile(cell.index, [0.01, 0.99])
        percent = [f"{100 * np.max(cell.nash_conv):.2f}%", f"{above} of {seeds:,}", f"{100 * most:.2g}%"]
        ends = [f"{low:.2f} to {high:.2f}", f"{cell.index.min():.2f} to {cell.index.max():.2f}"]
        nash_conv = middle(100 * cell.nash_conv, ".3f").replace(" (", "% (")
        rows.append([market, kind, nash_conv, percent[0], middle(cell.index, ".3f"), *ends, *percent[1:]])
    return rows


TOLD = ("market", "learners see", "relative NashConv, median", "worst", "collusion index, median", "98% of the seeds",
        "least and greatest", f"index above {COLLUSIVE}", "share of them at most")  # fmt: skip


def draw(cells: Mapping[Key, Cell], path: Path) -> None:
    """Distribution functions of the index: the share of seeds at most there."""
    markets = list(dict.fromkeys(market for market, _ in cells))
    figure = Figure(figsize=(5.2 * len(markets), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, market in zip(figure.subplots(1, len(markets), squeeze=False)[0], markets, strict=True):
        scenario = read_scenario(market)
        game, steps = scenario.game, scenario.steps
        feedback = place(kind_of(game, steps), markov_nash(game, steps).payoffs, *ends(game, steps))
        for row, kind in enumerate(KINDS):
            if (market, kind) not in cells:
                continue
            index = np.sort(cells[market, kind].index)
            share = 100 * (np.arange(len(index)) + 0.5) / len(index)
            axes.plot(index, share, color=color(row), linewidth=1.6, label=kind)
            outermost = [0, -1]
            axes.plot(index[outermost], share[outermost], MARKERS[row], color=color(row), ms=5)
        axes.axvline(0, color="0.3", linewidth=1)
        axes.axvline(feedback, color="0.3", linestyle=":", linewidth=1.4)
        axes.axvline(1, color="0.3", linestyle="--", linewidth=1)
        axes.set(ylim=(-2, 102), xlabel="collusion index", title=market)
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("share of the seeds with at most this index, %")
    beside = {"loc": "center right", "bbox_to_anchor": (0.91, 0.5)}  # the joint optimum's line
    figure.axes[-1].legend(title="learners see", fontsize="small", frameon=False, **beside)
    figure.supxlabel(
        "Nash 0 (solid), feedback Nash (dotted), joint optimum 1 (dashed); marks: the least and the greatest seed",
        fontsize="small",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train what is missing, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--markets", nargs="+", default=list(MARKETS), choices=MARKETS)
    parser.add_argument("--out", type=Path, default=Path("runs/exceptions"))
    parser.add_argument("--report", type=Path, help="train nothing: the table and the figure of a folder's files")
    parser.add_argument("--figure", type=Path, default=Path("runs/exceptions/exceptions.png"))
    arguments, console = parser.parse_args(), Console(width=200)
    if arguments.report is None:
        console.print(machine())
        complete(arguments.out, arguments.markets, arguments.seeds, console)
    cells, table = read(arguments.report or arguments.out), Table(*TOLD)
    for row in told(cells):
        table.add_row(*row)
    console.print(table)
    draw(cells, arguments.figure)


if __name__ == "__main__":
    main()

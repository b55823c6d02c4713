"""``solve`` on markets of every kind: random ones, checked by everybody's best response, and large ones, timed.

    python benchmarks/general_markets.py [--markets 200] [--steps 20]

Markets are drawn with one to five traders on either side, two to five makers, every intensity, impact and share
function, and penalties over two orders of magnitude.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from timing import machine

from makertaker.baselines import EquilibriumNotFound, exploitability, solve
from makertaker.envs import (
    BestQuote,
    Competition,
    CrowdedImpact,
    Exponential,
    Impact,
    MakerTakerGame,
    ProductShare,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
)


def draw(rng: np.random.Generator) -> MakerTakerGame:
    """A random market."""
    traders, makers = int(rng.integers(1, 6)), int(rng.integers(2, 6))

    def powers(low: float, high: float, count: int) -> tuple[float, ...]:
        return tuple(10 ** rng.uniform(np.log10(low), np.log10(high), count))

    gamma, beta = float(10 ** rng.uniform(-0.5, 0.5)), powers(0.1, 2, traders)
    offsets = tuple(rng.normal(0, 0.5, makers).tolist())
    competitions: Sequence[Competition] = (
        BestQuote(Exponential(gamma)),
        BestQuote(Softplus(gamma)),
        SoftmaxShare(gamma, offsets),
        ProductShare(Exponential(gamma), gamma, 0.4),
    )
    impacts: Sequence[Impact] = (
        QuadraticImpact(beta),
        CrowdedImpact(beta, float(rng.uniform(0, 1.9))),
        QuarticImpact(beta, float(10 ** rng.uniform(-3, -1))),
    )
    return MakerTakerGame(
        trader_inventory=rng.choice([-1, 1], traders) * rng.uniform(0.5, 10, traders),
        maker_inventory=rng.normal(0, 2, makers),
        competition=competitions[rng.integers(len(competitions))],
        impact=impacts[rng.integers(len(impacts))],
        trader_running_penalty=powers(0.01, 1, traders),
        maker_running_penalty=powers(0.01, 1, makers),
        trader_terminal_penalty=powers(0.02, 2, traders),
        maker_terminal_penalty=powers(0.02, 2, makers),
        buy_flow=float(rng.uniform(0.1, 3)),
        sell_flow=float(rng.uniform(0.1, 3)),
    )


def kind(game: MakerTakerGame) -> str:
    """Name of a market's competition."""
    name = type(game.competition).__name__
    intensity: Any = getattr(game.competition, "intensity", None)
    return name if intensity is None else f"{name}({type(intensity).__name__})"


def large(count: int, competition: Competition) -> MakerTakerGame:
    """As many traders, on both sides, as makers."""
    rng = np.random.default_rng(0)
    return MakerTakerGame(
        trader_inventory=rng.choice([-1.0, 1.0], count) * rng.uniform(1, 10, count),
        maker_inventory=rng.normal(0, 2, count),
        competition=competition,
        impact=CrowdedImpact(0.5, 1.0),
        trader_running_penalty=rng.uniform(0.01, 0.3, count),
        maker_running_penalty=0.05,
        trader_terminal_penalty=rng.uniform(0.1, 1, count),
        maker_terminal_penalty=0.1,
    )


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    drawn: Counter[str] = Counter()
    solved: Counter[str] = Counter()
    gains: defaultdict[str, list[float]] = defaultdict(list)
    iterations: defaultdict[str, list[int]] = defaultdict(list)
    console = Console(width=120)
    for seed in range(arguments.markets):
        game = draw(np.random.default_rng(seed))
        drawn[kind(game)] += 1
        try:
            found = solve(game, arguments.steps)
        except EquilibriumNotFound as error:
            console.print(f"seed {seed}, {kind(game)}: {error}")
            continue
        solved[kind(game)] += 1
        gains[kind(game)].append(float(exploitability(game, found.controls, arguments.steps).gains.max()))
        iterations[kind(game)].append(found.iterations)
    table = Table("competition", "solved", "largest gain of a best response", "Newton iterations, median and most")
    for name in sorted(drawn):
        counts = iterations[name]
        table.add_row(
            name, f"{solved[name]} of {drawn[name]}", f"{max(gains[name]):.1e}", f"{np.median(counts):g}, {max(counts)}"
        )
    console.print(table)
    table = Table("market", "competition", "K", "solve, s", "residual", "peak memory, GB")
    for count in (20, 100):
        for competition in (BestQuote(Exponential(1.0)), SoftmaxShare(1.0)):
            game = large(count, competition)
            started = time.perf_counter()
            found = solve(game, 100)
            seconds = time.perf_counter() - started
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            row = f"{seconds:.2f}", f"{found.residual:.0e}", f"{memory:.2f}"
            table.add_row(f"{count} x {count}", kind(game), "100", *row)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()

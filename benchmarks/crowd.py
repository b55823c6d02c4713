"""How do time and memory of `solve` grow with the number of different traders in the execution game?

    python benchmarks/crowd.py [--steps 50]

Both should grow linearly. Each size runs in a process of its own, so that its peak memory is its own. The peer is the
dense way to the same equilibrium, one Riccati matrix of all traders, at sizes where it fits.

Measured: linearly ([many traders](docs/results.md#many-traders))
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table
from timing import machine

from makertaker.baselines import exploitability, solve
from makertaker.baselines.execution import linear_system as linear
from makertaker.envs import ExecutionGame

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
DENSE = 1_000


def draw(count: int) -> ExecutionGame:
    """Traders with different orders and penalties, whose rates do not depend on their number."""
    rng = np.random.default_rng(0)
    return ExecutionGame(
        initial_inventory=rng.normal(0.0, 10.0, count),
        permanent_impact=0.4,
        temporary_impact=0.5,
        crowding=0.5,
        running_penalty=rng.uniform(0.1, 1.0, count) / count,
        terminal_penalty=rng.uniform(5.0, 20.0, count) / count,
        buy_flow=lambda t: (1 + t) / count,
        max_rate=1e9,
    )


def measure(count: int, steps: int) -> dict[str, float]:
    """Seconds, peak memory in GB, residual, largest gain; and seconds of the dense way where it fits."""
    game = draw(count)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = solve(game, steps)
        seconds.append(time.perf_counter() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {"seconds": min(seconds), "memory": memory / 1e6, "base": base / 1e6, "residual": found.residual}
    result["gain"] = float(exploitability(game, found.controls, steps).gains.max())
    if count <= DENSE:
        c = game.coefficients(found.times)
        push = c.permanent_impact * (c.buy_flow - c.sell_flow)
        started = time.perf_counter()
        rates = linear.rates_by_matrices(c, game.crowding, game.horizon / steps, game.start, push)
        result["dense"] = time.perf_counter() - started
        result["difference"] = float(np.abs(rates - found.controls.rate).max())
    return result


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.steps)))
        return
    table = Table(
        "traders", "solve, s", "us per trader", "peak memory, GB", "residual", "largest gain", "dense / solve"
    )
    for count in SIZES:
        command = [sys.executable, __file__, "--one", str(count), "--steps", str(arguments.steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        table.add_row(
            f"{count:,}",
            f"{found['seconds']:.3f}",
            f"{1e6 * found['seconds'] / count:.1f}",
            f"{found['memory']:.2f} (before: {found['base']:.2f})",
            f"{found['residual']:.0e}",
            f"{found['gain']:.0e}",
            f"{found['dense'] / found['seconds']:.0f}" if "dense" in found else "-",
        )
    console = Console(width=120)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()

"""Are `markov_nash`'s estimates of its error the true errors, and what do they take?

    python benchmarks/feedback_markets.py [--markets 10] [--seed 0]

On drawn softmax markets. The truth is a solution two degrees further with four times as many points. An estimate is
honest if it is between a third and thirty times the true error.

Measured: between 0.5 and 22 times them on ten drawn markets
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import machine

from makertaker.baselines import EquilibriumNotFound, MarkovOptions, markov_nash
from makertaker.envs import MakerTakerGame, SoftmaxShare

HONEST = (1 / 3, 30.0)


def draw_market(rng: np.random.Generator) -> tuple[MakerTakerGame, int]:
    """No, one or two traders, two or three makers who start apart, with an outside option or without, with inventory
    noise or without; and a number of steps."""
    traders = int(rng.integers(0, 3))
    makers = int(rng.integers(2, 4)) if traders < 2 else 2
    noise = float(rng.choice([0.0, 0.0, 0.1, 0.3]))
    game = MakerTakerGame(
        tuple(rng.choice([-1, 1], traders) * rng.uniform(2, 8, traders)),
        tuple(np.sort(rng.uniform(-3, 3, makers))),
        trader_running_penalty=rng.uniform(0, 0.4),
        trader_terminal_penalty=rng.uniform(0.2, 2),
        maker_running_penalty=rng.uniform(0.02, 0.3),
        maker_terminal_penalty=rng.uniform(0.05, 0.5),
        buy_flow=rng.uniform(0.5, 5),
        sell_flow=rng.uniform(0.5, 5),
        competition=SoftmaxShare(rng.uniform(0.5, 3), outside=None if rng.random() < 0.6 else rng.uniform(-3, 0)),
        inventory_noise=noise,
    )
    return game, int(rng.choice([5, 10, 20]))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    table = Table("market", "traders", "makers", "noise", "steps", "steps with ties", "estimated", "true", "ratio", "s")
    honest, answered = 0, 0
    console = Console(width=120)
    for number in track(range(arguments.markets), console=Console(stderr=True)):
        game, steps = draw_market(rng)
        shape = [str(number), str(game.traders), str(game.makers), f"{game.inventory_noise:g}", str(steps)]
        started = time.perf_counter()
        try:
            found = markov_nash(game, steps)
        except EquilibriumNotFound as error:
            table.add_row(*shape, "", str(error)[:60], "", "", f"{time.perf_counter() - started:.1f}")
            continue
        seconds = time.perf_counter() - started
        degree, points = found.field.surfaces[0].basis.degree, found.field.points // steps
        finer = MarkovOptions(degree=degree + 2, points=4 * points, seed=9, refine=False)
        truth = markov_nash(game, steps, finer, throw=False).values(0, game.start)
        assert found.errors is not None
        estimated, true = float(found.errors.total.max()), float(np.abs(truth - found.payoffs).max())
        ratio, answered = estimated / true, answered + 1
        honest += HONEST[0] <= ratio <= HONEST[1]
        numbers = (f"{estimated:.2g}", f"{true:.2g}", f"{ratio:.2g}", f"{seconds:.1f}")
        table.add_row(*shape, str(found.field.unsolved.ties), *numbers)
    console.print(table)
    console.print(f"{honest} of {answered} estimates are between a third and thirty times the true error; {machine()}")


if __name__ == "__main__":
    main()

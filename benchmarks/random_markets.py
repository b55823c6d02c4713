"""Are PPO's defaults tuned to one market?

    python benchmarks/random_markets.py [--markets 10] [--timesteps 160000]

Independent PPO on randomly drawn ACAS markets. Prints relative NashConv of each market, and how many are at most 1%.

Measured: no ([other markets](docs/results.md#other-markets))
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from makertaker.baselines import exploitability_many, solve_many
from makertaker.envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact, rollout

STEPS = 20


def draw_market(rng: np.random.Generator) -> MakerTakerGame:
    """One buyer, two makers; every parameter uniform over a range of 4 to 10 times."""
    running = rng.uniform(0.0, 0.3)
    return MakerTakerGame(
        trader_inventory=(-rng.uniform(2, 10),),
        maker_inventory=(rng.uniform(0, 2), rng.uniform(-2, 0)),
        competition=BestQuote(Exponential(rng.uniform(0.5, 2.5))),
        impact=QuadraticImpact(rng.uniform(0.2, 1.0)),
        trader_running_penalty=running,
        maker_running_penalty=running,
        trader_terminal_penalty=rng.uniform(0.2, 1.0),
        maker_terminal_penalty=rng.uniform(0.05, 0.5),
        buy_flow=rng.uniform(0.5, 3.0),
        sell_flow=rng.uniform(0.5, 3.0),
    )


def main() -> None:
    """Run the benchmark."""
    from makertaker.training.sb3.independent import IndependentLearners

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--algorithm", default="ppo")
    arguments = parser.parse_args()
    table = Table(
        "seed", "q trader", "q makers", "gamma", "beta", "phi", "A trader", "A maker", "flows", "rel. NashConv", "s"
    )
    games = [draw_market(np.random.default_rng(seed)) for seed in range(arguments.markets)]
    seconds, played = [], []
    for seed, game in enumerate(games):
        started = time.perf_counter()
        learners = IndependentLearners(game, steps=STEPS, algorithm=arguments.algorithm, seed=seed)
        learners.learn(arguments.timesteps)
        seconds.append(time.perf_counter() - started)
        played.append(rollout(game, learners.policies(), STEPS).controls)
    found, gains = solve_many(games, STEPS), exploitability_many(games, played, STEPS)
    values = [each.nash_conv / np.abs(nash.payoffs).sum() for each, nash in zip(gains, found, strict=True)]
    for seed, game in enumerate(games):
        table.add_row(
            str(seed),
            f"{game.trader_inventory[0]:.2f}",
            ", ".join(f"{each:.2f}" for each in game.maker_inventory),
            f"{game.competition.intensity.gamma:.2f}",
            f"{game.impact.beta:.2f}",
            f"{game.trader_running_penalty:.2f}",
            f"{game.trader_terminal_penalty:.2f}",
            f"{game.maker_terminal_penalty:.2f}",
            f"{game.buy_flow:.2f} / {game.sell_flow:.2f}",
            f"{100 * values[seed]:.3f}%",
            f"{seconds[seed]:.0f}",
        )
    console = Console(width=140)
    console.print(table)
    good = sum(value <= 0.01 for value in values)
    console.print(f"{good} of {len(values)} markets at most 1%; median {100 * float(np.median(values)):.3f}%")


if __name__ == "__main__":
    main()

"""What do independent learners of each algorithm reach on `acas`?

    python benchmarks/algorithms.py [--algorithms ppo a2c sac td3 mix] [--first 0] [--seeds 3] [--alone]

Actors see the time alone. ``mix``: the trader learns by SAC, the makers by PPO and TD3. ``--alone``: one learner at a
time, the other agents playing the equilibrium; the gain of its best response, over its equilibrium payoff's size, is
what it fell short of.

Measured: PPO comes nearest, A2C is behind it, and off-policy learners are far behind ([independent
learners](docs/results.md#independent-learners-on-acas))
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from rich.console import Console
from rich.table import Table

from makertaker.baselines import exploitability, solve
from makertaker.envs import read_scenario, rollout
from makertaker.training import IndependentLearners

MIX = {"trader_0": "sac", "maker_0": "ppo", "maker_1": "td3"}


def train(algorithm: str, seed: int, timesteps: int, alone: str | None) -> tuple[float, float, float]:
    """Gain over equilibrium payoffs (all agents' or the single learner's), its payoff gap, and seconds."""
    scenario = read_scenario("acas")
    game, steps = scenario.game, scenario.steps
    nash = solve(game, steps)
    fixed = {} if alone is None else {agent: each for agent, each in nash.open_loop().items() if agent != alone}
    started = time.perf_counter()
    learners = IndependentLearners(
        game, steps=steps, algorithm=MIX if algorithm == "mix" else algorithm, seed=seed, fixed=fixed
    )
    learners.learn(timesteps)
    seconds = time.perf_counter() - started
    gains = exploitability(game, rollout(game, learners.policies(), steps).controls, steps)
    if alone is None:
        return gains.nash_conv / float(np.abs(nash.payoffs).sum()), float("nan"), seconds
    i = game.agents.index(alone)
    size = abs(float(nash.payoffs[i]))
    return float(gains.gains[i]) / size, float(gains.payoffs[i] - nash.payoffs[i]) / size, seconds


def main() -> None:
    """Print one table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=["ppo", "a2c", "sac", "td3", "mix"])
    parser.add_argument("--first", type=int, default=0, help="first seed; settings were chosen on 0 to 2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    console = Console(width=110)
    measure = "gain / |equilibrium payoff|, by seed" if arguments.alone else "relative NashConv, by seed"
    table = Table("learner", measure, "payoff gap" if arguments.alone else "", "seconds")
    for algorithm in arguments.algorithms:
        for alone in ("trader_0", "maker_0") if arguments.alone else (None,):
            results = [
                train(algorithm, seed, arguments.timesteps, alone)
                for seed in range(arguments.first, arguments.first + arguments.seeds)
            ]
            table.add_row(
                f"{algorithm}, {alone} alone" if alone else algorithm,
                ", ".join(f"{100 * each[0]:.3f}%" for each in results),
                ", ".join(f"{100 * each[1]:+.3f}%" for each in results) if alone else "",
                f"{np.mean([each[2] for each in results]):.0f}",
            )
    console.print(table)


if __name__ == "__main__":
    main()

"""What does independent PPO reach on other scenarios with its defaults?

    python benchmarks/scenarios.py [makers-only dealers almgren-chriss-2] [--first 10] [--seeds 10]

Relative NashConv of ten seeds, with an interval. Settings were chosen on other scenarios and on seeds 0 to 2. Actors
see the time, so that gains are exact. The interval is the bootstrap's for the mean, 95%. Ctrl-C prints what is there.

Measured: a few hundredths of a percent ([other markets](docs/results.md#other-markets))
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import bootstrap
from timing import machine

from makertaker.baselines import exploitability, solve
from makertaker.envs import read_scenario, rollout
from makertaker.training import IndependentLearners

SCENARIOS = ("makers-only", "dealers", "almgren-chriss-2")


def train(name: str, seed: int, timesteps: int) -> tuple[float, float]:
    """Relative NashConv, and seconds."""
    scenario = read_scenario(name)
    game, steps = scenario.game, scenario.steps
    started = time.perf_counter()
    learners = IndependentLearners(game, steps=steps, seed=seed)
    learners.learn(timesteps)
    seconds = time.perf_counter() - started
    played = rollout(game, learners.policies(), steps).controls
    size = float(np.abs(solve(game, steps).payoffs).sum())
    return exploitability(game, played, steps).nash_conv / size, seconds


def row(values: Sequence[float]) -> tuple[str, str, str]:
    """Mean with its interval, median, worst; in percent."""
    percent = 100 * np.array(values)
    interval = "too few"
    if len(percent) > 2:
        low, high = bootstrap((percent,), np.mean, rng=np.random.default_rng(0)).confidence_interval
        interval = f"{low:.3f} to {high:.3f}"
    return f"{percent.mean():.3f}% ({interval})", f"{np.median(percent):.3f}%", f"{percent.max():.3f}%"


def main() -> None:
    """Print one table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--first", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=160_000)
    arguments = parser.parse_args()
    console, table = Console(width=110), Table("scenario", "seeds", "mean, 95%", "median", "worst", "seconds each")
    try:
        for name in arguments.scenarios:
            found: list[tuple[float, float]] = []
            seeds = range(arguments.first, arguments.first + arguments.seeds)
            try:
                for seed in track(seeds, name, console=Console(stderr=True)):
                    found.append(train(name, seed, arguments.timesteps))
            finally:
                if found:
                    values, seconds = zip(*found, strict=True)
                    table.add_row(name, str(len(found)), *row(values), f"{np.mean(seconds):.0f}")
    except KeyboardInterrupt:
        console.print("interrupted")
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()

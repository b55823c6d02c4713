"""Many seeds in JAX and how far from Nash each ends: 100 trainings in ten seconds. Needs 'jax' and 'train'."""

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from makertaker.baselines import exploitability_many
from makertaker.envs import read_scenario, rollout
from makertaker.training.common.jax_algorithms import ALGORITHMS
from makertaker.training.jax.learners import JaxLearners

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--scenario", default="acas")
parser.add_argument("--algorithm", default="reinforce", choices=list(ALGORITHMS))
parser.add_argument("--seeds", type=int, default=100)
parser.add_argument("--timesteps", type=int, default=160_000)
parser.add_argument("--out", default="nash_conv.png")
given = parser.parse_args()

scenario = read_scenario(given.scenario)
game, steps = scenario.game, scenario.steps
first = JaxLearners(game, steps=steps, algorithm=ALGORITHMS[given.algorithm])
learners = [first.with_seed(seed) for seed in range(given.seeds)]  # they share one compiled program
learners[0].learn(given.timesteps, until=1)  # which is compiled by its first call
started = perf_counter()
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(lambda each: each.learn(given.timesteps), learners))
trained = perf_counter()
played = [rollout(game, each.policies(), steps).controls for each in learners]
scores = [100 * each.relative for each in exploitability_many([game] * len(played), played, steps)]
low, middle, high = np.quantile(scores, [0.05, 0.5, 0.95])
print(f"{given.seeds} trainings in {trained - started:.1f} s, scored in {perf_counter() - trained:.1f} s")
print(f"relative NashConv: median {middle:.3f}%, nine of ten from {low:.3f} to {high:.3f}%, worst {max(scores):.3f}%")

figure = Figure(figsize=(6, 3.5), layout="constrained")
FigureCanvasAgg(figure)
axes = figure.subplots()
axes.hist(scores, bins=np.geomspace(min(scores) * 0.9, max(scores) * 1.1, 25), color="#0072B2")
axes.axvline(middle, color="black", linestyle="--", label=f"median {middle:.3f}%")
axes.set(
    xscale="log",
    xlabel="relative NashConv (%)",
    ylabel="seeds",
    title=f"{given.algorithm} on {given.scenario}, {given.timesteps:,} joint market steps",
)
axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
axes.xaxis.set_major_formatter("{x:g}")
axes.xaxis.set_minor_locator(NullLocator())
axes.legend(frameon=False)
figure.savefig(given.out, dpi=150)

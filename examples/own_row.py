"""A learner of one's own beside those of a suite: evolution strategies in NumPy, every agent on its own schedule.

python examples/own_row.py [ITERATIONS] [RESULTS]; RESULTS is the folder of 'makertaker benchmark', which gets the rows.
"""

import sys
from pathlib import Path

import numpy as np

from makertaker.envs import Controls, acas_v0, read_scenario, simulate
from makertaker.training import score
from makertaker.training.benchmark import add_score

iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 500
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "results") / "learners"
scenario, batch, size, rate = read_scenario("acas"), 64, 0.05, 0.003
game, steps = scenario.game, scenario.steps
low, high = (np.concatenate([each.rate, each.ask, each.bid]) for each in game.action_range())
columns = {"trader_0": [0], "maker_0": [1, 3], "maker_1": [2, 4]}  # of the array of controls: a rate, asks, bids

for seed in range(10):
    rng, mean, speed = np.random.default_rng(seed), (low + high) / 2 * np.ones((steps, 1)), np.zeros((steps, 5))
    for i in range(iterations):
        noise = rng.normal(size=(batch, steps, 5))
        noise = np.concatenate([noise, -noise])  # everybody tries, and looks at its own payoff alone
        played = mean + size * (high - low) / 2 * noise
        payoffs = simulate(game, Controls(played[..., :1], played[..., 1:3], played[..., 3:]), steps).payoffs
        gains = (payoffs - payoffs.mean(axis=0))[:, [0, 1, 2, 1, 2]]
        speed = 0.9 * speed + (1 - i / iterations) * rate / size * np.mean(noise * gains[:, None], axis=0)
        mean = np.clip(mean + (high - low) / 2 * speed, low, high)
    policies = {name: (lambda k, state, own=mean[:, own]: own[k]) for name, own in columns.items()}
    found = score(acas_v0.parallel_env(observation="time"), policies, information="time")
    steps_done = iterations * 2 * batch * steps
    if folder.is_dir():
        add_score(folder, found, learner="evolution", market="acas", seed=seed, timesteps=steps_done)
    print(f"seed {seed}: relative NashConv {found.relative_nash_conv:.3%}")

"""Independent PPO for every agent, scored against the equilibrium: half a minute. Needs the extra 'train'."""

import sys

from makertaker.envs import read_scenario
from makertaker.training import IndependentLearners, evaluate

timesteps = int(sys.argv[1]) if len(sys.argv) > 1 else 160_000
scenario = read_scenario("acas")
learners = IndependentLearners(scenario.game, steps=scenario.steps, algorithm="ppo", seed=0)
learners.learn(timesteps)
result = evaluate(scenario.game, learners.policies(), scenario.steps, "time")
for agent, each in result.metrics["agents"].items():
    print(f"{agent}: learned {each['learned']:.3f}, equilibrium {each['equilibrium']:.3f}")
print(f"relative NashConv {100 * result.metrics['relative_nash_conv']:.3f}%")

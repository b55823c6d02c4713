"""Step a market with random actions, then play the same controls in one call."""

import numpy as np

from makertaker.envs import Controls, acas_v0, simulate

env = acas_v0.parallel_env()
observations, infos = env.reset(seed=0)
taken, total = [], dict.fromkeys(env.agents, 0.0)
while env.agents:
    actions = {agent: 0.2 * env.action_space(agent).sample() for agent in env.agents}  # not too far from the middle
    taken.append(env.controls_from(actions))
    observations, rewards, terminations, truncations, infos = env.step(actions)
    total = {agent: total[agent] + env.game.payoff_unit(agent) * reward for agent, reward in rewards.items()}
print("step by step:", {agent: round(value, 4) for agent, value in total.items()})

controls = Controls(*(np.stack(each) for each in zip(*taken, strict=True)))
at_once = simulate(env.game, controls, env.options.steps)
print("at once:     ", dict(zip(env.possible_agents, at_once.payoffs.round(4).tolist(), strict=True)))

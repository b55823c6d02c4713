"""Agents as other libraries have them: functions of observations."""

import numpy as np

from makertaker.envs import Controls

STEPS = 5
SIZES = {"trader_0": 1, "maker_0": 2, "maker_1": 2}
"""of the agents' actions in the scenario acas"""


def schedules(env, controls):
    """Each agent's actions (K, w) that stand for controls (K, N), (K, M), (K, M)."""
    env = env.unwrapped
    each = [env.actions_from(Controls(*(part[k] for part in controls))) for k in range(len(controls.rate))]
    return {agent: np.array([one[agent] for one in each]) for agent in env.possible_agents}


def from_schedule(actions):
    """A function of one observation, or of a batch, that reads the step off the time."""

    def act(seen):
        return actions[np.rint(np.asarray(seen)[..., 0] * len(actions)).astype(int)]

    return act


class Predicting:
    """As models of stable-baselines3: an action and a state."""

    def __init__(self, act):
        self.act = act

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        return self.act(observation), state

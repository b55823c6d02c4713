"""Episodes of PettingZoo's environments: random actions, whole episodes, and comparisons to the bit."""

import numpy as np


def draw_actions(env, seed=0):
    """Random normalised actions of everyone, one dictionary a step."""
    rng = np.random.default_rng(seed)
    shapes = {agent: env.action_space(agent).shape for agent in env.possible_agents}
    return [{agent: rng.uniform(-1, 1, shape) for agent, shape in shapes.items()} for _ in range(env.market.steps)]


def play(env, actions, **reset):
    """A whole episode: everything that ``reset`` and ``step`` return."""
    return [env.reset(**reset), *(env.step(each) for each in actions)]


def same(one, other):
    """Equality of two nested results to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other)


def listed(by_agent):
    """The numbers of a dictionary of agents, in their order."""
    return np.array(list(by_agent.values()))

"""Episodes of PettingZoo's environments: random actions, whole episodes, and comparisons to the bit."""

import numpy as np
import pytest


def draw_actions(env, seed=0):
    """Random actions in [-1, 1] of everyone, one dictionary a step."""
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


def assert_a_copy_goes_on(env, duplicate):
    """A copy made within an episode, with noise still to come, ends as the original does."""
    first, *rest = draw_actions(env)
    env.reset(seed=0)
    env.step(first)
    twin = duplicate(env)
    assert same([env.step(each) for each in rest], [twin.step(each) for each in rest])


def assert_refused_and_not_played(env, untouched, changes, message):
    """Actions with these changes (None: without the agent's) are refused, and the episode goes on as the other one."""
    first, *rest = draw_actions(env)
    for each in (env, untouched):
        each.reset(seed=0)
        each.step(first)
    bad = {agent: action for agent, action in (rest[0] | changes).items() if action is not None}
    with pytest.raises(ValueError, match=message):
        env.step(bad)
    assert same([env.step(each) for each in rest], [untouched.step(each) for each in rest])

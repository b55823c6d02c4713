"""Small trainings of the ACAS market with stable-baselines3."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import load_scenario
from makertaker.training import IndependentLearners

GAME = load_scenario("acas")
STEPS = 5
MARKETS = 8
EPISODE = STEPS * MARKETS
MIX = {"trader_0": "ppo", "maker_0": "sac", "maker_1": "td3"}


def learners(**changes):
    """Everybody learns; the arguments of :class:`IndependentLearners` may be changed."""
    return IndependentLearners(GAME, **{"steps": STEPS, "markets": MARKETS, "seed": 3, **changes})


def parameters(trained):
    """Of all networks, by agent and name."""
    return {
        f"{agent}.{name}": value.numpy().copy()
        for agent, model in trained.models.items()
        for name, value in model.policy.state_dict().items()
    }


def assert_same_parameters(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def differ(first, second):
    return any((first[name] != second[name]).any() for name in first)

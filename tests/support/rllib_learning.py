"""Small trainings of the ACAS market with RLlib."""

import pytest

pytest.importorskip("ray")

from makertaker.training.rllib.learners import RLlibLearners
from support.learning import EPISODE, GAME, MARKETS, STEPS


def learners(game=GAME, **changes):
    arguments = {"steps": STEPS, "markets": MARKETS, "seed": 3, "timesteps": 8 * EPISODE, **changes}
    return RLlibLearners(game, **arguments)


def weights(trained):
    return {
        f"{agent}.{name}": value.detach().numpy().copy()
        for agent, each in trained.actors.items()
        for name, value in each.state_dict().items()
    }


def same(first, second):
    return all((first[name] == second[name]).all() for name in first)

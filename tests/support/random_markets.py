"""Random markets in which everything that can be drawn is, of every kind of game."""

import numpy as np

from makertaker.envs import Choice, LogUniform, RandomMarkets, Uniform, acas_v0, load_scenario

STEPS = 5
EVERYTHING = {
    "trader_inventory": Uniform([-10.0, 3.0], [-2.0, 8.0]),
    "maker_inventory": Uniform([0.0, 0.0, -1.0], [1.0, 1.0, 1.0]),
    "trader_running_penalty": Uniform(0.0, 1.0),
    "trader_terminal_penalty": Uniform([0.5, 0.5], [2.0, 2.0]),
    "maker_running_penalty": Uniform([0.0, 0.0, 0.0], [0.3, 0.2, 0.1]),
    "maker_terminal_penalty": Choice([0.1, 0.3, 0.5]),
    "buy_flow": Uniform(0.5, 2.0),
    "sell_flow": LogUniform(0.1, 10.0),
    "impact.beta": Uniform([0.3, 0.3], [0.8, 0.9]),
    "volatility": Uniform(0.5, 2.0),
}
SOFTMAX = {"kind": "softmax", "rate": 1.0, "offsets": [0.0, 0.1, 0.2]}
PRODUCT = {"kind": "product", "rate": 1.0, "floor": 0.5, "gamma": 1.0}
MARKETS = {
    "best quote": ({}, {"competition.gamma": LogUniform(0.5, 2.0)}),
    "softmax": (
        {"competition": SOFTMAX},
        {"competition.rate": Uniform(0.5, 2.0), "competition.offsets": Uniform([0.0] * 3, [0.5] * 3)},
    ),
    "product": ({"competition": PRODUCT}, {"competition.floor": Uniform(0.1, 0.9), "competition.gamma": Uniform(1, 2)}),
    "crowded": ({"impact": {"kind": "crowded"}}, {"impact.crowding": Uniform(0.0, 1.9)}),
    "quartic": ({"impact": {"kind": "quartic"}}, {"impact.quartic": Uniform(0.0, 0.2)}),
    "average trader": ({"flow_from": "mean"}, {"competition.gamma": Choice([0.5, 1.0])}),
    "noise": ({"inventory_noise": 0.3}, {"inventory_noise": Uniform(0.0, 1.0)}),
}
EXECUTION = {
    "initial_inventory": Uniform([-8.0, -3.0], [-2.0, 5.0]),
    "permanent_impact": Uniform(0.0, 1.0),
    "temporary_impact": LogUniform(0.1, 1.0),
    "crowding": Uniform(0.0, 1.9),
    "running_penalty": Uniform([0.0, 0.1], [1.0, 2.0]),
    "terminal_penalty": Choice([[1.0, 2.0], [3.0, 0.5]]),
    "buy_flow": Uniform(0.0, 2.0),
    "sell_flow": Uniform(0.0, 2.0),
}


def markets(name):
    """Random markets in which everything that can be drawn is."""
    if name == "execution":
        return RandomMarkets(load_scenario("execution-2"), EXECUTION, STEPS)
    changes, random = MARKETS[name]
    game = acas_v0.parallel_env(scenario="acas-2x3", maker_running_penalty=0.1, **changes).game
    return RandomMarkets(game, EVERYTHING | random, STEPS)


NAMES = [*MARKETS, "execution"]


def unequal(values):
    """True where no two markets have the same values, (B, ...)."""
    return len(np.unique(np.asarray(values).reshape(len(values), -1), axis=0)) == len(values)

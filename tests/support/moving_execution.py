"""Three traders in an execution game whose every coefficient moves with time, on four steps."""

import numpy as np

from makertaker.envs import Affine, ExecutionGame, ornstein_uhlenbeck

STEPS = 4
HORIZON = 1.5
DT = HORIZON / STEPS
NODES = np.linspace(0, HORIZON, STEPS + 1)
START = (-5.0, 3.0, 0.0)
CROWDING = 0.6
A = (0.5, 1.0, 2.0)
MOVING = {
    "permanent_impact": lambda t: 1 + 0.5 * np.sin(4 * t),
    "temporary_impact": lambda t: 0.8 + 0.3 * np.cos(3 * t),
    "buy_flow": lambda t: 2 + np.sin(5 * t),
    "sell_flow": lambda t: 1.5 * np.exp(-t),
    "running_penalty": (lambda t: 0.3 + 0 * t, lambda t: 0.2 * t, lambda t: 0.5 - 0.2 * t**2),
}
SIGNAL = {
    "factor": ornstein_uhlenbeck((2.0, 1.0), (1.5, 0.5), initial=(1.0, -0.5)),
    "buy_flow": Affine(4.0, (1.0, 2.0)),
    "sell_flow": 1.5,
}


def moving_game(**changes):
    """With changes to its parameters; ``SIGNAL`` makes its flows depend on a factor of two components."""
    parameters = MOVING | {"horizon": HORIZON, "crowding": CROWDING, "terminal_penalty": A}
    return ExecutionGame(START, **parameters | changes)


def draw_rates(seed, batch=()):
    """Random rates of everyone, (..., K, N)."""
    return np.random.default_rng(seed).uniform(-4, 4, (*batch, STEPS, 3))

"""A buyer, a seller and three makers in a market whose every coefficient moves with time, on six steps."""

import numpy as np

from makertaker.envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact

STEPS = 6
GAMMA = 0.8
HORIZON = 1.5
NODES = np.linspace(0, HORIZON, STEPS + 1)
START = (-5.0, 3.0, 1.0, 0.0, -1.0)
BETA = (lambda t: 0.5 + 0.2 * t, lambda t: 0.3 + 0 * t)
PHI = (lambda t: 0.1 + 0 * t, lambda t: 0.2 * t, lambda t: 0.3 - 0.1 * t, lambda t: 0.05 * t**2, lambda t: 0 * t)
A = (0.5, 0.7, 0.2, 0.3, 0.4)


def buy_flow(t):
    return 2 + np.sin(3 * t)


def sell_flow(t):
    return 1.5 * np.exp(-t) + 0.5 * t


def moving_game(**changes):
    parameters = {
        "trader_inventory": START[:2],
        "maker_inventory": START[2:],
        "horizon": HORIZON,
        "competition": BestQuote(Exponential(GAMMA)),
        "impact": QuadraticImpact(BETA),
        "trader_running_penalty": PHI[:2],
        "maker_running_penalty": PHI[2:],
        "trader_terminal_penalty": A[:2],
        "maker_terminal_penalty": A[2:],
        "buy_flow": buy_flow,
        "sell_flow": sell_flow,
    }
    return MakerTakerGame(**parameters | changes)

"""Markets of five steps, and environments of them."""

import numpy as np

from makertaker.envs import Affine, Noise, acas_v0, execution_v0, ornstein_uhlenbeck
from makertaker.envs.flows import Points

STEPS = 5
KINDS = ("time", "own", "market", "full")
NOT_NORMALISED = r"[\s\S]*(symmetric and normalized|normalized and symmetric)"
"""what the interfaces' checkers say of actions with other bounds than -1 and 1"""
ACAS = {
    "trader_inventory": (-5.0, 3.0),
    "maker_inventory": (1.0, 0.0, -1.0),
    "trader_running_penalty": (0.1, 0.2),
    "maker_running_penalty": 0.1,
    "trader_terminal_penalty": 0.5,
    "maker_terminal_penalty": 0.2,
    "buy_flow": lambda t: 1 + t,
    "volatility": 2.0,
}


def acas_env(**arguments):
    """A market with a buyer, a seller and three makers, of five steps; actions in [-1, 1], rewards in currency."""
    return acas_v0.parallel_env(**{"steps": STEPS, "normalize": True} | ACAS | arguments)


DT = 2.0 / STEPS
EXECUTION = {
    "initial_inventory": (-5.0, 3.0, 0.0),
    "horizon": 2.0,
    "permanent_impact": Points(((0.0, 0.5), (2.0, 1.5))),
    "temporary_impact": 0.8,
    "crowding": 0.6,
    "running_penalty": (0.3, 0.4, 0.5),
    "terminal_penalty": (0.5, 1.0, 2.0),
    "buy_flow": Points(((0.0, 1.0), (2.0, 3.0))),
    "sell_flow": 1.5,
    "volatility": 2.0,
    "initial_price": 50.0,
}
REVERSION, MEAN, SHAKE, START = np.array([[2.0, 1.0], [0.0, 0.2], [1.5, 0.5], [1.0, -0.5]])
SIGNAL = EXECUTION | {
    "factor": ornstein_uhlenbeck(REVERSION, SHAKE, mean=MEAN, initial=START),
    "buy_flow": Affine(4.0, (1.0, 2.0)),
}
EXECUTION_MARKETS = {"plain": EXECUTION, "factor": SIGNAL}
FACTOR_SCALE = np.abs(START) + SHAKE * np.sqrt(2.0)  # largest undisturbed value, plus volatility sqrt(T)


def execution_env(parameters=EXECUTION, **arguments):
    """A market with a buyer, a seller and a trader without orders, of five steps; units as in :func:`acas_env`."""
    return execution_v0.parallel_env(**{"steps": STEPS, "normalize": True} | parameters | arguments)


def episode_noise(game, seed, *, steps=STEPS, batch=()):
    """The noise of an episode that starts from the seed, or generator: every step's price, then its factor."""
    rng, price, factor = np.random.default_rng(seed), [], []
    for _ in range(steps):
        price += [rng.standard_normal(batch)]
        factor += [rng.standard_normal((*batch, game.factor.size))] if game.factor else []
    return Noise(np.stack(price, -1), np.stack(factor, -2) if factor else None)


def feed(env, noise, market):
    """The environment, in which everything random gets the increments (markets, K, ...) of one market."""
    steps = iter(range(STEPS))

    def draw(rng):
        k = next(steps)
        return Noise(*(None if each is None else each[market, k] for each in noise))

    env.market.draw = draw
    return env


def in_currency(env, rewards):
    """Rewards (n,) of an environment's agents, which may be in the game's payoff units, in currency."""
    given = env.options
    in_payoff_units = given.units == "game" or (given.units is None and given.normalize is None)
    units = [env.game.payoff_unit(agent) if in_payoff_units else 1.0 for agent in env.game.agents]
    return np.multiply(rewards, units)

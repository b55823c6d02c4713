"""A buyer, a seller and three makers with noise in inventories and a factor that drives the flows, on four steps.

:func:`by_hand` is the market's definition in plain arithmetic, one path, one step, one agent after the other.
"""

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from makertaker.envs import (
    Affine,
    BestQuote,
    Controls,
    Exponential,
    Factor,
    MakerTakerGame,
    Noise,
    SoftmaxShare,
    ornstein_uhlenbeck,
)
from makertaker.envs.arrays import as_like, namespace
from makertaker.envs.flows import Points
from makertaker.envs.parallel_env import GameParallelEnv
from support.controls import at_step

STEPS, HORIZON = 4, 1.5
DT = HORIZON / STEPS
ROOT = DT**0.5
START = (-5.0, 3.0, 1.0, 0.0, -1.0)
EPSILON, VOLATILITY = 0.4, 2.0
PHI, TERMINAL = (0.1, 0.2, 0.3, 0.0, 0.4), (0.5, 0.7, 0.2, 0.3, 0.4)
OFFSETS = (0.3, 0.0, -0.2)
COMPETITIONS = {"softmax": SoftmaxShare(0.8, OFFSETS), "best quote": BestQuote(Exponential(0.8))}
SIGMA = np.array([[0.6, 0.3], [-0.4, 0.5]])


def drift(t: Any, factor: Any) -> Any:
    """Of two factors, the second of which pulls the first; in any of the array libraries."""
    xp = namespace(factor)
    return xp.stack([factor[..., 1] - factor[..., 0], xp.sin(as_like(3 * t, factor)) - 2 * factor[..., 1]], axis=-1)


def diffusion(t: Any, factor: Any) -> Any:
    """A full matrix that depends on time and on the factor."""
    return (1 + t) * as_like(SIGMA, factor) + 0.1 * namespace(factor).tanh(factor)[..., None]


def buy_flow(t: Any, factor: Any) -> Any:
    return 3 + t + namespace(factor).tanh(factor[..., 0]) - 0.3 * factor[..., 1]


def noisy_game(kind: str = "softmax", **changes: Any) -> MakerTakerGame:
    """A buyer, a seller and three makers."""
    parameters: dict[str, Any] = {
        "trader_inventory": START[:2],
        "maker_inventory": START[2:],
        "horizon": HORIZON,
        "competition": COMPETITIONS[kind],
        "trader_running_penalty": PHI[:2],
        "maker_running_penalty": PHI[2:],
        "trader_terminal_penalty": TERMINAL[:2],
        "maker_terminal_penalty": TERMINAL[2:],
        "buy_flow": buy_flow,
        "sell_flow": Points(((0.0, 1.0), (1.5, 2.5))),  # of time alone: its mean over the step counts, not its start
        "inventory_noise": EPSILON,
        "factor": Factor((0.5, -1.0), drift, diffusion),
        "volatility": VOLATILITY,
    }
    return MakerTakerGame(**parameters | changes)


def affine_game(kind: str, **changes: Any) -> MakerTakerGame:
    """The same with a linear factor and affine flows, far from zero: under fixed controls payoffs are quadratic in all
    noise."""
    factor = ornstein_uhlenbeck((2.0, 1.0), (0.6, 0.3), mean=(0.4, 0.0), initial=(0.5, -1.0))
    return noisy_game(kind, factor=factor, buy_flow=Affine(8.0, (1.0, -0.5)), sell_flow=Affine(7.0), **changes)


def quoting(game: MakerTakerGame, steps: int = STEPS) -> Controls:
    """A profile that needs no solver: equal rates, constant quotes."""
    quotes = np.full((steps, game.makers), 1.5)
    return Controls(np.tile(-game.start[: game.traders] / game.horizon, (steps, 1)), quotes, quotes)


def by_hand(kind: str, controls: Controls, noise: Noise) -> SimpleNamespace:
    """One path of :func:`noisy_game` from the displays of Sections 3 to 5, with sums written out."""
    q, factor, mid = list(START), [0.5, -1.0], 100.0
    income, gains, penalties = [0.0] * 5, [0.0] * 5, [0.0] * 5
    found = SimpleNamespace(inventories=[list(q)], factor=[factor], mid=[mid], volumes=[])

    def share(quotes: list[float], i: int) -> float:
        if kind == "softmax":
            weights = [math.exp(-0.8 * each + offset) for each, offset in zip(quotes, OFFSETS, strict=True)]
            return weights[i] / sum(weights)
        return math.exp(-0.8 * (quotes[i] - min(quotes[j] for j in range(3) if j != i)))

    for k in range(STEPS):
        (buying, selling), ask, bid = (each[k].tolist() for each in controls)
        t = k * DT
        bought = 3 + t + math.tanh(factor[0]) - 0.3 * factor[1] + buying  # at the asks
        sold = 1 + (t + DT / 2) - selling
        income[0] -= DT * (min(ask) * buying + 0.5 * buying**2)
        income[1] -= DT * (-min(bid) * selling + 0.5 * selling**2)
        rates = [buying, selling]
        for i in range(3):
            out, into = bought * share(ask, i), sold * share(bid, i)
            rates.append(into - out)
            income[2 + i] += DT * (ask[i] * out + bid[i] * into)
        jump = VOLATILITY * ROOT * float(noise.price[k])
        for i in range(5):
            before, after = q[i], q[i] + DT * rates[i]
            penalties[i] += PHI[i] * DT * (before**2 + (before + after) ** 2 + after**2) / 6  # Simpson's rule is exact
            q[i] = after + EPSILON * ROOT * float(noise.inventory[k, i])  # noise lands at the end
            gains[i] += q[i] * jump
        mid += jump
        pull = [factor[1] - factor[0], math.sin(3 * t) - 2 * factor[1]]
        matrix = [[(1 + t) * SIGMA[i, j] + 0.1 * math.tanh(factor[i]) for j in (0, 1)] for i in (0, 1)]
        shake = [sum(matrix[i][j] * float(noise.factor[k, j]) for j in (0, 1)) for i in (0, 1)]
        factor = [factor[i] + DT * pull[i] + ROOT * shake[i] for i in (0, 1)]
        for path, value in zip(vars(found).values(), (list(q), factor, mid, [bought, sold]), strict=True):
            path.append(value)
    penalties = [each + weight * last**2 for each, weight, last in zip(penalties, TERMINAL, q, strict=True)]
    found.payoffs, found.pnl = np.subtract(income, penalties), np.add(income, gains)
    found.penalties, found.wealth = np.array(penalties), found.pnl - penalties
    return found


def episode(env: GameParallelEnv, controls: Controls, seed: int | None) -> list[Any]:
    """Observations, rewards and infos, which can be compared."""
    results = [env.reset(seed), *(env.step(env.actions_from(at_step(controls, k))) for k in range(env.market.steps))]
    return [({agent: seen.tolist() for agent, seen in each[0].items()}, each[1], each[-1]) for each in results]


def reported_noise(game: MakerTakerGame, infos: list[dict[str, Any]]) -> Noise:
    """The standard normal increments of an episode of :func:`noisy_game`, from what an agent is told."""
    path = np.array([(0.5, -1.0), *(info["factor"] for info in infos)])
    shakes = [(b - a - DT * drift(k * DT, a)) / ROOT for k, (a, b) in enumerate(pairwise(path))]
    factor = [np.linalg.solve(diffusion(k * DT, path[k]), shake) for k, shake in enumerate(shakes)]
    price = np.diff([100.0, *(info["mid"] for info in infos)]) / (VOLATILITY * ROOT)
    return Noise(price, np.array(factor), np.array([info["inventory_noise"] for info in infos]) / (EPSILON * ROOT))

"""Rung: the solved grid game approaches the paper's continuous game.

Guo and Jin's FBSDE (18)-(19) for one buyer and two makers, deterministic (``dM = 0``) and with each agent's own
penalties, is a boundary value problem in ``(Q, Y)``. It is written out here from the paper's text and solved by SciPy's
collocation; ``solve`` must approach it at second order in the length of a step.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.integrate import solve_bvp

from makertaker.baselines import solve
from makertaker.envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact
from support.convergence import assert_second_order

GAMMA = 0.8
STEPS = (20, 40, 80)


@dataclass(frozen=True)
class Market:
    """Agents in the package's order: buyer, maker 1, maker 2. Coefficients are numbers or functions of time."""

    initial: tuple[float, float, float]
    horizon: float = 1.0
    beta: object = 0.5
    phi: tuple = (0.4, 0.3, 0.6)
    terminal: tuple[float, float, float] = (1.0, 0.7, 1.2)
    buys: object = 1.0
    sells: object = 1.0
    game: MakerTakerGame = field(init=False)

    def __post_init__(self):
        game = MakerTakerGame(
            trader_inventory=self.initial[:1],
            maker_inventory=self.initial[1:],
            horizon=self.horizon,
            competition=BestQuote(Exponential(GAMMA)),
            impact=QuadraticImpact(self.beta),
            trader_running_penalty=self.phi[:1],
            trader_terminal_penalty=self.terminal[:1],
            maker_running_penalty=self.phi[1:],
            maker_terminal_penalty=self.terminal[1:],
            buy_flow=self.buys,
            sell_flow=self.sells,
        )
        object.__setattr__(self, "game", game)


MARKETS = {
    "constant": Market((-6.0, 2.0, -0.5)),
    "varying flows": Market(
        (-8.0, 1.5, 0.0),
        horizon=1.5,
        phi=(0.2, 0.3, 0.4),
        buys=lambda t: 1.0 + 0.8 * np.sin(3.0 * t),
        sells=lambda t: 1.2 * np.exp(-0.9 * t),
    ),
    "varying impact, penalties and flows": Market(
        (-7.0, 2.0, 0.5),
        beta=lambda t: 0.5 + 0.3 * np.cos(2.0 * t),
        phi=(lambda t: 0.3 + 0.5 * t, lambda t: 0.4 + 0.2 * np.sin(5.0 * t), lambda t: 0.5 * np.exp(-t)),
        buys=lambda t: 1.5 - 0.6 * t,
        sells=lambda t: 0.7 + 0.5 * np.cos(4.0 * t),
    ),
}


def continuous(market):
    """The solution of (18)-(19): a function from times to ``(Q^e, Q^1, Q^2, Y^e, Y^1, Y^2)``."""

    def at(value, t):
        return value(t) if callable(value) else np.full_like(t, value)

    def slope(t, x):
        taker, maker1, maker2, y, y1, y2 = x
        rate = (y - y1 - 1 / GAMMA) / (2 * at(market.beta, t))  # (17); epsilon has no effect, asserted below
        buys, sells = at(market.buys, t) + rate, at(market.sells, t)
        return np.stack(
            [
                rate,
                -buys * np.exp(-GAMMA * (y1 - y2)) + sells * np.exp(-GAMMA * (y2 - y1)),
                -buys * np.exp(-GAMMA * (y2 - y1)) + sells * np.exp(-GAMMA * (y1 - y2)),
                2 * at(market.phi[0], t) * taker,
                2 * at(market.phi[1], t) * maker1,
                2 * at(market.phi[2], t) * maker2,
            ]
        )

    def ends(start, end):
        return np.concatenate([start[:3] - market.initial, end[3:] + 2 * np.array(market.terminal) * end[:3]])

    mesh = np.linspace(0.0, market.horizon, 201)
    # a guess without the package: the buyer buys half of what it wants, the makers stay where they are
    still = np.outer(market.initial, np.ones_like(mesh))
    still[0] *= 1 - 0.5 * mesh / market.horizon
    guess = np.concatenate([still, -0.5 * still])
    result = solve_bvp(slope, ends, mesh, guess, tol=1e-10, max_nodes=20_000)
    assert result.success, result.message
    fine = result.sol(np.linspace(0.0, market.horizon, 501))
    assert (fine[4] < fine[5]).all()  # maker 1 holds the best ask throughout, as the trader's line of (19) has it
    assert (fine[3] - fine[4] > 1 / GAMMA).all()  # the buyer trades throughout
    return result.sol


@pytest.mark.parametrize("name", MARKETS)
def test_second_order(name):
    market = MARKETS[name]
    exact = continuous(market)
    start = exact(0.0)[3:]
    errors = {"inventories": [], "adjoints at 0": []}
    for steps in STEPS:
        equilibrium = solve(market.game, steps)
        assert equilibrium.message == "converged"  # nothing is truncated
        nodes = exact(equilibrium.times)[:3].T
        errors["inventories"].append(np.abs(equilibrium.inventories - nodes).max())
        adjoint = equilibrium.adjoint(0, market.game.initial_inventory)
        errors["adjoints at 0"].append(np.abs(adjoint - start).max())
    for each in errors.values():
        assert_second_order(each, above=1e-7)  # collocation's own error is below 1e-9

"""Rung: execution games with agents in another order, and in other units, have the same equilibrium."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import solve
from support.drawing import drawn, execution_games, number
from support.functions import value_at

DRAWN = drawn(40)


def outcome(game, steps):
    equilibrium = solve(game, steps)
    return equilibrium.controls.rate, equilibrium.payoffs


def same(game, steps, expected, **changes):
    for found, each in zip(outcome(replace(game, **changes), steps), expected, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-9, atol=1e-9)


@DRAWN
@given(execution_games(), st.integers(1, 10), st.randoms(use_true_random=False))
def test_order_of_the_agents(game, steps, random):
    order = random.sample(range(game.traders), game.traders)
    rates, payoffs = outcome(game, steps)
    names = ("initial_inventory", "running_penalty", "terminal_penalty")
    shuffled = {name: [getattr(game, name)[i] for i in order] for name in names}
    same(game, steps, (rates[:, order], payoffs[order]), **shuffled)


@DRAWN
@given(execution_games(), st.integers(1, 10), number(-3, 3))
def test_scale_and_sign_of_inventories_and_net_flow(game, steps, factor):
    """The problem is linear-quadratic: rates scale with (q, b - a), payoffs with its square; -1 mirrors everything."""
    rates, payoffs = outcome(game, steps)
    buys, sells = (game.buy_flow, game.sell_flow) if factor >= 0 else (game.sell_flow, game.buy_flow)
    scaled = {
        "initial_inventory": [factor * q for q in game.initial_inventory],
        "buy_flow": lambda t: abs(factor) * value_at(buys, t),
        "sell_flow": lambda t: abs(factor) * value_at(sells, t),
    }
    same(game, steps, (factor * rates, factor**2 * payoffs), **scaled)


@DRAWN
@given(execution_games(), st.integers(1, 10), number(0.2, 5))
def test_unit_of_time(game, steps, unit):
    """T -> c T, beta -> c beta, phi -> phi / c and flows likewise, alpha and A as they are: rates / c, same payoffs."""
    rates, payoffs = outcome(game, steps)

    def slowed(parameter, scale):
        return lambda t: scale * value_at(parameter, t / unit)

    changes = {
        "horizon": unit * game.horizon,
        "permanent_impact": slowed(game.permanent_impact, 1),
        "temporary_impact": slowed(game.temporary_impact, unit),
        "running_penalty": [phi / unit for phi in game.running_penalty],
        "buy_flow": slowed(game.buy_flow, 1 / unit),
        "sell_flow": slowed(game.sell_flow, 1 / unit),
    }
    same(game, steps, (rates / unit, payoffs), **changes)


@DRAWN
@given(execution_games(), st.integers(1, 10), number(0, 4))
def test_only_the_net_flow_matters(game, steps, more):
    changes = {name: lambda t, name=name: value_at(getattr(game, name), t) + more for name in ("buy_flow", "sell_flow")}
    same(game, steps, outcome(game, steps), **changes)

"""The grid game with agents permuted, in other units and with its sides swapped, against the original."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, QuadraticImpact, simulate
from support.controls import draw_controls
from support.drawing import drawn
from support.moving_maker_taker import STEPS

DRAWN = drawn(30)
seeds = st.integers(0, 2**32 - 1)


def draw_market(seed, traders=3, makers=3):
    """Parameters of a random market, and controls."""
    rng = np.random.default_rng(seed)
    inventory = rng.choice([-1.0, 1.0], traders) * rng.uniform(1, 5, traders)
    parameters = {
        "trader_inventory": inventory,
        "maker_inventory": rng.uniform(-2, 2, makers),
        "horizon": rng.uniform(0.5, 2),
        "gamma": rng.uniform(0.5, 2),
        "beta": rng.uniform(0.1, 1, traders),
        "trader_running_penalty": rng.uniform(0, 1, traders),
        "maker_running_penalty": rng.uniform(0, 1, makers),
        "trader_terminal_penalty": rng.uniform(0, 1, traders),
        "maker_terminal_penalty": rng.uniform(0, 1, makers),
        "buy_flow": rng.uniform(0, 3),
        "sell_flow": rng.uniform(0, 3),
    }
    return parameters, draw_controls(rng, traders=inventory, makers=makers)


def play(parameters, controls):
    rest = {name: value for name, value in parameters.items() if name not in ("gamma", "beta")}
    competition = BestQuote(Exponential(float(parameters["gamma"])))
    game = MakerTakerGame(**rest, competition=competition, impact=QuadraticImpact(parameters["beta"]))
    return simulate(game, controls, STEPS)


def scaled(parameters, **factors):
    """The parameters with some multiplied; a penalty's factor holds for traders and makers."""
    result = dict(parameters)
    for name in parameters:
        for key, factor in factors.items():
            if name == key or name.endswith(f"_{key}"):
                result[name] = parameters[name] * factor
    return result


@DRAWN
@given(seed=seeds, traders=st.permutations(range(3)), makers=st.permutations(range(3)))
def test_permuting_agents_permutes_payoffs(seed, traders, makers):
    parameters, controls = draw_market(seed)
    permuted = {
        name: value[traders if name == "beta" or name.startswith("trader") else makers] if np.ndim(value) else value
        for name, value in parameters.items()
    }
    found = play(permuted, Controls(controls.rate[:, traders], controls.ask[:, makers], controls.bid[:, makers]))
    order = [*traders, *(3 + i for i in makers)]
    np.testing.assert_allclose(found.payoffs, play(parameters, controls).payoffs[order], rtol=1e-11)


@DRAWN
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_currency_scales_payoffs(seed, unit):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, gamma=1 / unit, beta=unit, penalty=unit)
    found = play(other, controls._replace(ask=unit * controls.ask, bid=unit * controls.bid))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, unit * expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, expected.inventories, rtol=0, atol=1e-9)


@DRAWN
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_shares_scales_inventories_and_with_prices_per_share_payoffs(seed, unit):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, inventory=unit, buy_flow=unit, sell_flow=unit, beta=1 / unit, penalty=1 / unit)
    found = play(other, controls._replace(rate=unit * controls.rate))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, unit * expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, unit * expected.inventories, rtol=0, atol=1e-8)


@DRAWN
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_time_does_not_matter(seed, unit):
    parameters, controls = draw_market(seed)
    rates = {"buy_flow": 1 / unit, "sell_flow": 1 / unit, "running_penalty": 1 / unit}
    found = play(scaled(parameters, horizon=unit, beta=unit, **rates), controls._replace(rate=controls.rate / unit))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, expected.inventories, rtol=0, atol=1e-9)


@DRAWN
@given(seed=seeds)
def test_the_two_sides_of_the_market_mirror_each_other(seed):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, inventory=-1.0)
    other |= {"buy_flow": parameters["sell_flow"], "sell_flow": parameters["buy_flow"]}
    found = play(other, Controls(-controls.rate, controls.bid, controls.ask))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-11)
    np.testing.assert_allclose(found.inventories, -expected.inventories, rtol=0, atol=1e-11)

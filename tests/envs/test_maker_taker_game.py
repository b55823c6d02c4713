"""The maker-taker game refuses bad parameters."""

import pytest

from makertaker.envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact, SoftmaxShare

NAN, INF = float("nan"), float("inf")
REFUSED = [
    ({"horizon": 0.0}, r"horizon: expected a finite number > 0, got 0\.0"),
    ({"horizon": -1.0}, r"horizon: expected a finite number > 0, got -1\.0"),
    ({"horizon": NAN}, "horizon: expected a finite number > 0, got nan"),
    ({"horizon": INF}, "horizon: expected a finite number > 0, got inf"),
    ({"horizon": "1"}, "horizon: expected a number, got '1'"),
    (
        {"trader_inventory": (), "buy_flow": 0.0, "sell_flow": lambda t: 0 * t},
        "trader_inventory: expected a trader, or a positive buy_flow or sell_flow, got none: nobody would trade",
    ),
    (
        {"maker_inventory": (), "competition": SoftmaxShare(outside=0.0)},
        "maker_inventory: expected at least one maker, got none",
    ),
    ({"competition": SoftmaxShare(offsets=(0.0,), outside=0.0)}, r"competition\.offsets: expected 2, .* got 1"),
    ({"trader_inventory": (-1.0, 0.0)}, r"trader_inventory: expected nonzero inventories .* got \[-1\.0, 0\.0\]"),
    ({"trader_inventory": (NAN,)}, "trader_inventory: expected a list of finite numbers"),
    ({"trader_inventory": -1.0}, "trader_inventory: expected a list of finite numbers, got -1.0"),
    ({"trader_inventory": ("x",)}, "trader_inventory: expected a list of numbers"),
    ({"maker_inventory": (0.0,)}, "maker_inventory: best-quote competition needs at least 2 makers, got 1"),
    ({"maker_inventory": (0.0, INF)}, "maker_inventory: expected a list of finite numbers"),
    ({"competition": 1.0}, r"competition: expected an instance of Competition, got 1\.0"),
    ({"impact": 0.5}, r"impact: expected an instance of Impact, got 0\.5"),
    ({"impact": QuadraticImpact(0.0)}, r"impact\.beta: expected finite values > 0, got 0"),
    ({"impact": QuadraticImpact(-1.0)}, r"impact\.beta: expected finite values > 0, got -1"),
    ({"impact": QuadraticImpact(NAN)}, r"impact\.beta: expected finite values > 0, got nan"),
    ({"impact": QuadraticImpact((0.5, 0.5))}, r"impact\.beta: expected one value or 1, got 2"),
    ({"impact": QuadraticImpact(lambda t: 0.5 - t)}, r"impact\.beta: expected finite values > 0, got 0 at t = 0\.5"),
    ({"trader_running_penalty": -0.1}, r"trader_running_penalty: expected finite values >= 0, got -0\.1"),
    ({"trader_running_penalty": (0.1, 0.1)}, "trader_running_penalty: expected one value or 1, got 2"),
    ({"trader_terminal_penalty": NAN}, "trader_terminal_penalty: expected finite values >= 0, got nan"),
    ({"trader_terminal_penalty": lambda t: t}, "trader_terminal_penalty: expected a number .* got a callable"),
    ({"maker_running_penalty": (0.1,)}, "maker_running_penalty: expected one value or 2, got 1"),
    ({"maker_running_penalty": (0.1, NAN)}, "maker_running_penalty: expected finite values >= 0, got nan"),
    ({"maker_terminal_penalty": -1.0}, "maker_terminal_penalty: expected finite values >= 0, got -1"),
    ({"buy_flow": -1.0}, "buy_flow: expected finite values >= 0, got -1"),
    ({"sell_flow": NAN}, "sell_flow: expected finite values >= 0, got nan"),
    ({"buy_flow": lambda t: 0.25 - t}, r"buy_flow: expected finite values >= 0, got -0\.015625 at t = 0\.265625"),
    ({"sell_flow": lambda t: t[:3]}, "sell_flow: a callable of time must return the shape of its argument"),
    ({"buy_flow": lambda t: t * NAN}, "buy_flow: expected finite values >= 0, got nan at t = 0"),
    ({"min_rate": -1.0}, "min_rate: expected a finite number >= 0"),
    ({"min_rate": 100.0, "max_rate": 100.0}, "min_rate: expected less than max_rate = 100, got 100"),
    ({"max_rate": 0.0}, "max_rate: expected a number > 0, or None for no constraint"),
    ({"max_quote": NAN}, "max_quote: expected a number > 0, or None for no constraint"),
    ({"volatility": -1.0}, "volatility: expected a finite number >= 0"),
    ({"initial_price": INF}, "initial_price: expected a finite number, got inf"),
    ({"flow_from": "median"}, "flow_from: expected 'sum' or 'mean', got 'median'"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_the_game_refuses_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MakerTakerGame(**parameters)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: MakerTakerGame(buy_flow=None), "buy_flow"),
        (lambda: MakerTakerGame(buy_flow=(1.0,)), "buy_flow"),
        (lambda: MakerTakerGame(buy_flow="1"), "buy_flow"),
        (lambda: MakerTakerGame(maker_running_penalty=None), "maker_running_penalty"),
        (lambda: MakerTakerGame(trader_terminal_penalty=(lambda t: 1 + t,)), "trader_terminal_penalty"),
        (lambda: MakerTakerGame(competition=BestQuote(1.0)), "intensity"),
        (lambda: Exponential("x"), "gamma"),
    ],
)
def test_parameters_of_a_wrong_type_are_refused(build, name):
    with pytest.raises(ValueError, match=name):
        build()

"""The execution game: its equations and parameters.

Payoffs are compared with integrations of the displays of Section 2 of Guo and Jin that share no code with the package:
a loop in plain Python where coefficients are constant within steps, adaptive quadrature where they move.
"""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from makertaker.envs import Affine, Controls, ExecutionGame, Factor, Noise, ornstein_uhlenbeck, simulate
from support.arrays import array
from support.functions import averaged
from support.moving_execution import (
    CROWDING,
    DT,
    HORIZON,
    MOVING,
    NODES,
    SIGNAL,
    START,
    STEPS,
    A,
    draw_rates,
    moving_game,
)

NAN, INF = float("nan"), float("inf")
FUNCTIONS = [*list(MOVING.values())[:4], *MOVING["running_penalty"]]


# Payoffs from the definition


def integrate(rates, coefficients):
    """Terminal wealth less penalties less ``P_0 q_0`` of everyone, and the price's moves, by a Runge-Kutta method.

    ``coefficients``: functions of (time, step), in the order alpha, beta, buy flow, sell flow, phi of each trader.
    """
    a, b, buys, sells, *phi = coefficients

    def slope(t, y, k):
        price, stock, rate = y[0], y[4:7], rates[k]
        total = rate.sum()
        paid = 100 + price + b(t, k) / 3 * (rate + CROWDING * (total - rate))
        moved = a(t, k) / 3 * total + a(t, k) * (buys(t, k) - sells(t, k))
        return np.concatenate([[moved], -paid * rate - [each(t, k) for each in phi] * stock**2, rate])

    y, prices = np.concatenate([np.zeros(4), START]), [0.0]
    for k in range(STEPS):
        ends = (k * DT, (k + 1) * DT)
        y = solve_ivp(slope, ends, y, args=(k,), method="DOP853", rtol=1e-13, atol=1e-12).y[:, -1]
        prices.append(y[0])
    wealth = y[1:4] + (100 + y[0]) * y[4:7] - np.array(A) * y[4:7] ** 2
    return wealth - 100 * np.array(START), np.array(prices)


def test_payoffs_are_terminal_wealth_in_the_market_with_step_constant_coefficients():
    """Alpha and the flows are averaged separately: the mean of their product is another number."""
    rates = draw_rates(1)
    payoffs, prices = integrate(rates, [averaged(each, NODES) for each in FUNCTIONS])
    found = simulate(moving_game(), Controls(rates), STEPS)
    np.testing.assert_allclose(found.payoffs, payoffs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.mid, 100 + prices, rtol=0, atol=1e-10)


def test_averaging_coefficients_costs_second_order():
    """The same rates on finer grids, in which coefficients follow their functions more closely."""
    rates = draw_rates(2)
    exact, _ = integrate(rates, [lambda t, k, each=each: each(t) for each in FUNCTIONS])
    fine = [simulate(moving_game(), Controls(np.repeat(rates, m, axis=0)), STEPS * m).payoffs for m in (16, 32)]
    coarse, finer = (np.abs(each - exact) for each in fine)
    assert finer.max() < 1e-3
    np.testing.assert_allclose(coarse / finer, 4.0, rtol=0.005)


def test_payoffs_are_those_of_a_loop_over_the_definition():
    """Integrated by hand: within a step rates are constant, inventories and the price's drift part linear."""
    rates = draw_rates(3)
    crowd = ExecutionGame(START, HORIZON, 1.2, 0.7, CROWDING, (0.3, 0.2, 0.1), A, 2.0, 0.5)
    found = simulate(crowd, Controls(rates), STEPS)
    for i in range(3):
        payoff, stock = 0.0, START[i]
        for k in range(STEPS):
            v = [float(each) for each in rates[k]]
            end = stock + v[i] * DT
            drift = 1.2 / 3 * sum(v) + 1.2 * (2.0 - 0.5)
            payoff += drift * (stock + end) / 2 * DT
            payoff -= v[i] * 0.7 / 3 * (v[i] + CROWDING * (sum(v) - v[i])) * DT
            payoff -= (0.3, 0.2, 0.1)[i] * (stock**2 + stock * end + end**2) / 3 * DT
            stock = end
        assert found.payoffs[i] == pytest.approx(payoff - A[i] * stock**2, rel=1e-13)
        assert found.inventories[-1, i] == pytest.approx(stock, rel=1e-13)
    np.testing.assert_allclose(found.rewards.sum(axis=-2), found.payoffs, rtol=1e-13)
    bought = np.maximum(rates, 0).sum(axis=-1)
    np.testing.assert_allclose(found.activity.buy_volume, 2.0 + bought, rtol=1e-13)
    np.testing.assert_allclose(found.activity.sell_volume, 0.5 + bought - rates.sum(axis=-1), rtol=1e-13)


# Array libraries


@pytest.mark.parametrize("changes", [{}, SIGNAL], ids=["plain", "factor"])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_simulate_agrees_in_every_library_market_by_market(library, changes):
    numbers = {"horizon": np.float64(1.5), "crowding": np.float64(0.6), "volatility": np.float64(2.0)}  # not float32
    game, rates = moving_game(**numbers | changes), draw_rates(4, (2, 3))
    rng = np.random.default_rng(5)
    noise = Noise(rng.standard_normal((2, 3, STEPS)), rng.standard_normal((2, 3, STEPS, 2)) if changes else None)
    found = simulate(game, Controls(array(library, rates)), STEPS, noise)
    assert type(found.payoffs) is type(array(library, 0.0))
    for i, j in np.ndindex(2, 3):
        one = Noise(*(None if each is None else each[i, j] for each in noise))
        expected = simulate(game, Controls(rates[i, j]), STEPS, one)
        for name in ("payoffs", "inventories", "mid", "wealth"):
            np.testing.assert_allclose(np.asarray(getattr(found, name))[i, j], getattr(expected, name), rtol=1e-11)
    single = simulate(game, Controls(array(library, rates, "float32")), STEPS, noise)
    for name in ("payoffs", "inventories", "mid", "wealth"):
        assert str(getattr(single, name).dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(single.payoffs), np.asarray(found.payoffs), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, SIGNAL], ids=["plain", "factor"])
def test_gradients_flow_through_simulate(changes):
    """JAX's, compiled, against torch's, and those against finite differences."""
    game, rates = moving_game(**changes), draw_rates(7)
    torch = pytest.importorskip("torch")
    given = array("torch", rates).requires_grad_()
    assert torch.autograd.gradcheck(lambda rate: simulate(game, Controls(rate), STEPS).payoffs, given)
    (expected,) = torch.autograd.grad(simulate(game, Controls(given), STEPS).payoffs[1], given)
    values = array("jax", rates)
    jax = pytest.importorskip("jax")
    found = jax.jit(jax.grad(lambda rate: simulate(game, Controls(rate), STEPS).payoffs[1]))(values)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)


# Bad input

BAD_GAMES = [
    ({"initial_inventory": ()}, "initial_inventory: expected at least one trader, got none"),
    ({"initial_inventory": -1.0}, "initial_inventory: expected a list of finite numbers, got -1.0"),
    ({"initial_inventory": ("x",)}, "initial_inventory: expected a list of numbers"),
    ({"horizon": 0.0}, r"horizon: expected a finite number > 0, got 0\.0"),
    ({"horizon": "1"}, "horizon: expected a number, got '1'"),
    ({"permanent_impact": -1.0}, "permanent_impact: expected finite values >= 0, got -1"),
    ({"permanent_impact": (1.0,)}, "permanent_impact: expected a number or a callable of time"),
    ({"permanent_impact": lambda t: 0.5 - t}, "permanent_impact: expected finite values >= 0, got .* at t ="),
    ({"permanent_impact": lambda t: t[:3]}, "permanent_impact: a callable of time must return the shape"),
    ({"temporary_impact": 0.0}, "temporary_impact: expected finite values > 0, got 0"),
    ({"temporary_impact": lambda t: 0.5 - t}, r"temporary_impact: expected finite values > 0, got 0 at t = 0\.5"),
    ({"temporary_impact": None}, "temporary_impact: expected a number or a callable of time, got None"),
    ({"crowding": 2}, "crowding: expected a number that is finite and below 2, got 2"),
    ({"crowding": -math.inf}, "crowding: expected a number that is finite and below 2, got -inf"),
    ({"crowding": "1"}, "crowding: expected a number that is finite and below 2, got '1'"),
    (
        {"initial_inventory": (1.0,) * 5, "crowding": -0.5},
        r"crowding: expected a number above -2/\(N - 1\) = -0\.5, the edge for 5 traders, and below 2, got -0\.5",
    ),
    ({"running_penalty": -0.1}, r"running_penalty: expected finite values >= 0, got -0\.1"),
    ({"running_penalty": (0.1, 0.1)}, "running_penalty: expected one value or 1, got 2"),
    ({"running_penalty": (lambda t: t - 0.5,)}, r"running_penalty: expected finite values >= 0, got -0\.5 at t = 0"),
    ({"terminal_penalty": NAN}, "terminal_penalty: expected finite values >= 0, got nan"),
    ({"terminal_penalty": lambda t: t}, "terminal_penalty: expected a number .* got a callable"),
    ({"terminal_penalty": (1.0, 2.0)}, "terminal_penalty: expected one value or 1, got 2"),
    ({"buy_flow": -1.0}, "buy_flow: expected finite values >= 0, got -1"),
    ({"sell_flow": "1"}, "sell_flow: expected a number or a callable of time, got '1'"),
    ({"buy_flow": Affine(1.0)}, "buy_flow: expected a number or a callable of time, got Affine"),
    ({"factor": 1.0}, r"factor: expected a Factor or None, got 1\.0"),
    ({"factor": Factor(), "sell_flow": -1.0}, "sell_flow: expected finite values >= 0, got -1"),
    ({"factor": Factor(), "buy_flow": lambda t, x: x}, r"buy_flow: a callable of \(time, factor\) must return"),
    ({"factor": Factor(), "buy_flow": lambda t, x: NAN}, r"buy_flow: a callable of \(time, factor\) must return"),
    ({"max_rate": 0.0}, "max_rate: expected a number > 0, or None for no constraint"),
    ({"volatility": -1.0}, "volatility: expected a finite number >= 0"),
    ({"initial_price": NAN}, "initial_price: expected a finite number, got nan"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_GAMES)
def test_the_game_refuses_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ExecutionGame(**parameters)


WRONG_TYPES = [
    lambda: ornstein_uhlenbeck(1.0, 1.0, initial=0.0),
    lambda: ornstein_uhlenbeck(True, 1.0),
    lambda: Factor(drift=lambda t: t),
    lambda: ExecutionGame(factor=Factor(), buy_flow=lambda t: t),
    lambda: ExecutionGame(factor=Factor(), buy_flow=Affine("x")),
    lambda: ExecutionGame(factor=Factor(), buy_flow=Affine(1.0, (1.0, 2.0))),
]


@pytest.mark.parametrize("build", WRONG_TYPES)
def test_values_of_a_wrong_type_are_refused(build):
    with pytest.raises(ValueError, match=r"factor|buy_flow|constant"):
        build()

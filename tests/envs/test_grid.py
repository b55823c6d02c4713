"""The grid game of traders and makers: its pure step, open-loop simulation and policy rollout.

Payoffs are compared with an integration of the market's differential equations that shares no code with the package,
and array libraries with each other.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from makertaker.baselines import open_loop_policies
from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, Noise, rollout, simulate
from makertaker.envs.grid import grid, step
from support.arrays import LIBRARIES, arrays
from support.controls import draw_controls
from support.functions import averaged
from support.moving_maker_taker import (
    BETA,
    GAMMA,
    HORIZON,
    NODES,
    PHI,
    START,
    STEPS,
    A,
    buy_flow,
    moving_game,
    sell_flow,
)

# The market from its definitions


def integrate(controls, flows, phi, beta):
    """Inventories at the nodes and payoffs of :func:`moving_game`, from its differential equations.

    The displays of Sections 3 and 4 of Guo and Jin, one agent after the other, by a Runge-Kutta method of order 8.
    """

    def share(quotes, i):
        return np.exp(-GAMMA * (quotes[i] - min(quotes[j] for j in range(3) if j != i)))

    def slope(t, y, k):
        (buying, selling), ask, bid = controls.rate[k], controls.ask[k], controls.bid[k]
        bought_at_ask = flows[0](t, k) + buying
        sold_at_bid = flows[1](t, k) - selling
        dq, cash = [buying, selling], []
        cash.append(-min(ask) * buying - beta[0](t, k) * buying**2)
        cash.append(+min(bid) * selling - beta[1](t, k) * selling**2)
        for i in range(3):
            sold, bought = bought_at_ask * share(ask, i), sold_at_bid * share(bid, i)
            dq.append(bought - sold)
            cash.append(ask[i] * sold + bid[i] * bought)
        return np.array(dq + [cash[i] - phi[i](t, k) * y[i] ** 2 for i in range(5)])

    y = np.concatenate([START, np.zeros(5)])
    path = [y[:5]]
    for k in range(STEPS):
        result = solve_ivp(slope, NODES[k : k + 2], y, args=(k,), method="DOP853", rtol=1e-13, atol=1e-13)
        y = result.y[:, -1]
        path.append(y[:5])
    return np.array(path), y[5:] - np.array(A) * y[:5] ** 2


def test_payoffs_are_those_of_the_market_with_step_constant_coefficients():
    controls = draw_controls(np.random.default_rng(1))
    flows, phi, beta = ([averaged(f, NODES) for f in each] for each in ((buy_flow, sell_flow), PHI, BETA))
    inventories, payoffs = integrate(controls, flows, phi, beta)
    found = simulate(moving_game(), controls, STEPS)
    np.testing.assert_allclose(found.inventories, inventories, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.payoffs, payoffs, rtol=1e-11)


def test_without_running_penalty_averaging_the_coefficients_loses_nothing():
    """Only running penalties see the inventory within a step; the market integrated here has its true coefficients."""
    controls = draw_controls(np.random.default_rng(2))
    true = [[lambda t, k, f=f: f(t) for f in each] for each in ((buy_flow, sell_flow), BETA)]
    inventories, payoffs = integrate(controls, true[0], [lambda t, k: 0.0] * 5, true[1])
    found = simulate(moving_game(trader_running_penalty=0.0, maker_running_penalty=0.0), controls, STEPS)
    np.testing.assert_allclose(found.inventories, inventories, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.payoffs, payoffs, rtol=1e-11)


def test_rewards_add_up_to_payoffs():
    found = simulate(moving_game(), draw_controls(np.random.default_rng(3), (4,)), STEPS)
    np.testing.assert_allclose(found.rewards.sum(axis=-2), found.payoffs, rtol=1e-13)


# Array libraries


@pytest.mark.parametrize("library", LIBRARIES)
def test_simulate_agrees_in_every_library_with_batch_axes(library):
    game, controls = moving_game(), draw_controls(np.random.default_rng(4), (2, 3))
    one_by_one = np.array(
        [[simulate(game, Controls(*(a[i, j] for a in controls)), STEPS).payoffs for j in range(3)] for i in range(2)]
    )
    found = simulate(game, Controls(*arrays(library, *controls)), STEPS)
    assert type(found.payoffs) is type(arrays(library, 0.0)[0])
    assert tuple(found.inventories.shape) == (2, 3, STEPS + 1, 5)
    np.testing.assert_allclose(np.asarray(found.payoffs), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("library", ["numpy", "torch"])  # JAX compiles it below
def test_step_played_one_by_one_is_simulate(library):
    game, controls = moving_game(), draw_controls(np.random.default_rng(5), (2, 3))
    whole = simulate(game, controls, STEPS)
    rate, ask, bid, current = arrays(library, *controls, np.broadcast_to(game.initial_inventory, (2, 3, 5)))
    c = game.coefficients(grid(game, STEPS)).like(current)
    for k in range(STEPS):
        now = Controls(rate[..., k, :], ask[..., k, :], bid[..., k, :])
        current, reward, _ = step(game, c.at(k), HORIZON / STEPS, current, now)
        np.testing.assert_allclose(np.asarray(current), whole.inventories[..., k + 1, :], rtol=0, atol=1e-12)
        if k < STEPS - 1:
            np.testing.assert_allclose(np.asarray(reward), whole.rewards[..., k, :], rtol=0, atol=1e-12)


@pytest.mark.parametrize("library", ["numpy", "torch"])  # JAX below
def test_float32_controls_give_float32_results(library):
    controls = draw_controls(np.random.default_rng(6), (2, 3))
    found = simulate(moving_game(), Controls(*arrays(library, *controls, dtype="float32")), STEPS)
    assert {str(found.payoffs.dtype), str(found.inventories.dtype)} <= {"float32", "torch.float32"}
    exact = simulate(moving_game(), controls, STEPS).payoffs
    np.testing.assert_allclose(np.asarray(found.payoffs), exact, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"horizon": np.float64(HORIZON)},
        {"competition": BestQuote(Exponential(np.float64(GAMMA)))},
    ],
)
def test_float32_survives_parameters_that_are_numpy_numbers(changes):
    controls = Controls(*arrays("numpy", *draw_controls(np.random.default_rng(6)), dtype="float32"))
    assert simulate(moving_game(**changes), controls, STEPS).payoffs.dtype == np.float32


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-4)])
def test_jax_compiles_and_vectorises_simulate(dtype, rtol):
    controls = draw_controls(np.random.default_rng(7), (4,))
    batch = arrays("jax", *controls, dtype=dtype)
    jax = pytest.importorskip("jax")

    def payoffs(rate, ask, bid):
        return simulate(moving_game(), Controls(rate, ask, bid), STEPS).payoffs

    expected = simulate(moving_game(), controls, STEPS).payoffs
    for compiled in (jax.jit(payoffs), jax.jit(jax.vmap(payoffs))):
        found = compiled(*batch)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=rtol)


def test_jax_scans_step_with_coefficients_as_an_argument():
    game, controls = moving_game(), draw_controls(np.random.default_rng(8))
    *batch, start = arrays("jax", *controls, game.initial_inventory)
    jax = pytest.importorskip("jax")

    @jax.jit
    def scan(c, controls, start):
        def body(current, k):
            now = step(game, c.at(k), HORIZON / STEPS, current, Controls(*(each[k] for each in controls)))
            return now.inventories, now.inventories

        return jax.lax.scan(body, start, jax.numpy.arange(STEPS))[1]

    c = game.coefficients(grid(game, STEPS)).like(start)
    expected = simulate(game, controls, STEPS).inventories[1:]
    np.testing.assert_allclose(scan(c, Controls(*batch), start), expected, rtol=0, atol=1e-12)


def test_torch_differentiates_simulate():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)  # quotes without ties, where the best quote has a derivative
    values = (-np.sign(START[:2]) * rng.uniform(1, 2, (STEPS, 2)), *rng.uniform(0, 1, (2, STEPS, 3)))
    inputs = [each.requires_grad_() for each in arrays("torch", *values)]

    def payoffs(*controls):
        return simulate(moving_game(), Controls(*controls), STEPS).payoffs

    assert torch.autograd.gradcheck(payoffs, inputs)


# Policies


def test_rollout_of_open_loop_policies_is_simulate():
    game, controls = moving_game(), draw_controls(np.random.default_rng(10))
    noise = Noise(price=np.random.default_rng(11).standard_normal(STEPS))
    expected = simulate(game, controls, STEPS, noise)
    found = rollout(game, open_loop_policies(game, controls), STEPS, noise)
    for name in ("inventories", "payoffs", "rewards", "mid", "wealth"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12)
    assert found.activity.drift is expected.activity.drift is None  # no permanent impact in this game
    for name in set(expected.activity._fields) - {"drift"}:
        values = getattr(expected.activity, name)
        np.testing.assert_allclose(getattr(found.activity, name), values, rtol=1e-12, atol=1e-12)


def test_rollout_shows_policies_the_state_and_truncates_what_they_return():
    game = moving_game(max_rate=2.0, max_quote=1.0)
    seen = []

    def watch(k, state):
        seen.append((k, state))
        return np.array([9.0, -9.0])

    policies = open_loop_policies(game, draw_controls(np.random.default_rng(12)))
    start = np.array([game.initial_inventory, 2 * game.initial_inventory])
    found = rollout(game, policies | {"maker_1": watch}, STEPS, inventories=start)
    assert [k for k, _ in seen] == list(range(STEPS))
    for k, state in seen:
        assert state.time == pytest.approx(k * HORIZON / STEPS)
        np.testing.assert_array_equal(state.inventories, found.inventories[:, k])
        last = np.stack([found.controls.ask[:, k - 1], found.controls.bid[:, k - 1]], axis=1) if k else 0.0
        np.testing.assert_array_equal(state.quotes, np.broadcast_to(last, (2, 2, 3)))
    assert (found.controls.ask[..., 1] == 1.0).all()
    assert (found.controls.bid[..., 1] == -1.0).all()
    assert np.abs(found.controls.rate).max() == 2.0


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (None, "expected one entry for each of"),
        (lambda k, state: np.full(1, np.nan), "trader_0: expected numbers, got an action with NaN"),
        (lambda k, state: np.ones(2), r"trader_0: expected an action of shape \(1,\), got \(2,\)"),
    ],
)
def test_rollout_refuses(policy, message):
    game = moving_game()
    policies = open_loop_policies(game, draw_controls(np.random.default_rng(0)))
    policies = {name: each for name, each in policies.items() if name != "trader_0"}
    with pytest.raises(ValueError, match=message):
        rollout(game, policies if policy is None else policies | {"trader_0": policy}, STEPS)


# Price noise


def test_wealth_is_payoff_plus_gains_from_price_moves():
    game = moving_game(volatility=2.0, initial_price=30.0)
    noise = np.random.default_rng(13).standard_normal((2, STEPS))
    found = simulate(game, draw_controls(np.random.default_rng(14)), STEPS, Noise(price=noise))
    for path in range(2):
        price, gains = 30.0, np.zeros(5)
        for k in range(STEPS):
            change = 2.0 * np.sqrt(HORIZON / STEPS) * noise[path, k]
            price += change
            gains += found.inventories[k + 1] * change
            assert found.mid[path, k + 1] == pytest.approx(price, rel=1e-14)
        np.testing.assert_allclose(found.wealth[path], found.payoffs + gains, rtol=1e-13)
    assert (found.mid[:, 0] == 30.0).all()


def test_antithetic_noise_averages_to_the_payoff():
    noise = np.random.default_rng(15).standard_normal((50, STEPS))
    both = Noise(price=np.concatenate([noise, -noise]))
    found = simulate(moving_game(), draw_controls(np.random.default_rng(16)), STEPS, both)
    np.testing.assert_allclose(found.wealth.mean(axis=0), found.payoffs, rtol=1e-12)


def test_price_noise_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"noise\.price: expected 6 increments on the last axis, got shape \(5,\)"):
        simulate(moving_game(), draw_controls(np.random.default_rng(0)), STEPS, Noise(price=np.zeros(5)))


# Makers who face the average trader


def test_makers_who_face_the_mean_see_each_trader_at_one_nth_of_its_rate():
    traders = (-3.0, -2.0, 4.0)
    controls = draw_controls(np.random.default_rng(17), traders=traders, makers=2)
    total, mean = (MakerTakerGame(traders, (1.0, 0.0), flow_from=each, buy_flow=2.0) for each in ("sum", "mean"))
    found = simulate(mean, controls, STEPS)
    np.testing.assert_allclose(found.activity.buy_volume, 2 + controls.rate[:, :2].sum(axis=-1) / 3, rtol=1e-14)
    np.testing.assert_allclose(found.activity.sell_volume, 1 - controls.rate[:, 2] / 3, rtol=1e-14)
    diluted = simulate(total, controls._replace(rate=controls.rate / 3), STEPS)
    np.testing.assert_allclose(found.payoffs[3:], diluted.payoffs[3:], rtol=1e-12)
    undiluted = simulate(total, controls, STEPS)
    np.testing.assert_allclose(found.payoffs[:3], undiluted.payoffs[:3], rtol=1e-14)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": np.zeros((STEPS, 3))}, r"controls\.rate: expected shape \(\.\.\., 6, 2\), got \(6, 3\)"),
        ({"rate": np.zeros((STEPS + 1, 2))}, r"controls\.rate: expected shape \(\.\.\., 6, 2\), got \(7, 2\)"),
        ({"ask": np.zeros((STEPS, 2))}, r"controls\.ask: expected shape \(\.\.\., 6, 3\), got \(6, 2\)"),
        ({"bid": np.zeros(3)}, r"controls\.bid: expected shape \(\.\.\., 6, 3\), got \(3,\)"),
        ({"bid": np.full((STEPS, 3), np.nan)}, r"controls\.bid: expected finite values, got nan"),
    ],
)
def test_simulate_refuses_controls_that_do_not_fit(changes, message):
    controls = draw_controls(np.random.default_rng(0))._replace(**changes)
    with pytest.raises(ValueError, match=message):
        simulate(moving_game(), controls, STEPS)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "3"])
def test_a_grid_has_a_positive_whole_number_of_steps(steps):
    with pytest.raises(ValueError, match=f"steps: expected a positive whole number, got {steps!r}"):
        simulate(moving_game(), draw_controls(np.random.default_rng(0)), steps)

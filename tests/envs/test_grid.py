"""The grid game: its pure step, open-loop simulation and policy rollout, and the game's validation.

Payoffs are compared with an integration of the market's differential equations that shares no code with the package,
array libraries with each other, and transformed markets (agents permuted, units changed, sides swapped) with the
original.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from makertaker.baselines import open_loop_policies
from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, Noise, QuadraticImpact, rollout, simulate
from makertaker.envs.competition import best_of_others
from makertaker.envs.grid import grid, step

STEPS = 6
LIBRARIES = ("numpy", "torch", "jax")
hypothesis = settings(deadline=None, derandomize=True, max_examples=30)
seeds = st.integers(0, 2**32 - 1)

# A buyer, a seller and three makers in a market whose every coefficient may move with time.
GAMMA = 0.8
HORIZON = 1.5
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


def draw_controls(rng, batch=(), traders=(-1.0, 1.0), makers=3, steps=STEPS):
    """Random controls of traders with the signs of these inventories; ties between quotes are possible."""
    rate = -np.sign(traders) * rng.uniform(0, 4, (*batch, steps, len(traders)))
    ask, bid = np.round(rng.uniform(-0.5, 2, (2, *batch, steps, makers)), 1)
    return Controls(rate, ask, bid)


def arrays(library, *values, dtype="float64"):
    """The values as arrays of a library; skips the test where it is not installed."""
    if library == "numpy":
        return tuple(np.asarray(value, dtype=dtype) for value in values)
    if library == "torch":
        torch = pytest.importorskip("torch")
        return tuple(torch.tensor(np.asarray(value), dtype=getattr(torch, dtype)) for value in values)
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return tuple(jax.numpy.asarray(value, dtype=dtype) for value in values)


# The market from its definitions


def integrate(controls, flows, phi, beta):
    """Inventories at the nodes and payoffs of :func:`moving_game`, from its differential equations.

    The displays of Sections 3 and 4 of Guo and Jin, one agent after the other, by a Runge-Kutta method of order 8.
    """
    times = np.linspace(0, HORIZON, STEPS + 1)

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
        result = solve_ivp(slope, times[k : k + 2], y, args=(k,), method="DOP853", rtol=1e-13, atol=1e-13)
        y = result.y[:, -1]
        path.append(y[:5])
    return np.array(path), y[5:] - np.array(A) * y[:5] ** 2


def averaged(function):
    """A function of time as ``(t, step) -> mean over the step``, by adaptive quadrature."""
    width = HORIZON / STEPS
    means = [quad(function, k * width, (k + 1) * width, epsabs=1e-13)[0] / width for k in range(STEPS)]
    return lambda t, k: means[k]


def test_payoffs_are_those_of_the_market_with_step_constant_coefficients():
    controls = draw_controls(np.random.default_rng(1))
    flows, phi, beta = ([averaged(f) for f in each] for each in ((buy_flow, sell_flow), PHI, BETA))
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


# The best of the other makers' quotes


@pytest.mark.parametrize("library", LIBRARIES)
@hypothesis
@given(makers=st.sampled_from([2, 3, 5]), data=st.data())
def test_best_of_others_is_the_minimum_over_the_others(library, makers, data):
    row = st.lists(st.integers(-2, 2).map(float), min_size=makers, max_size=makers)
    quotes = np.array(data.draw(st.lists(row, min_size=2, max_size=2)))
    expected = [[min(row[:i] + row[i + 1 :]) for i in range(makers)] for row in quotes.tolist()]
    np.testing.assert_array_equal(np.asarray(best_of_others(*arrays(library, quotes))), expected)


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


# Invariants


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


@hypothesis
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


@hypothesis
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_currency_scales_payoffs(seed, unit):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, gamma=1 / unit, beta=unit, penalty=unit)
    found = play(other, controls._replace(ask=unit * controls.ask, bid=unit * controls.bid))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, unit * expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, expected.inventories, rtol=0, atol=1e-9)


@hypothesis
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_shares_scales_inventories_and_with_prices_per_share_payoffs(seed, unit):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, inventory=unit, buy_flow=unit, sell_flow=unit, beta=1 / unit, penalty=1 / unit)
    found = play(other, controls._replace(rate=unit * controls.rate))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, unit * expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, unit * expected.inventories, rtol=0, atol=1e-8)


@hypothesis
@given(seed=seeds, unit=st.floats(0.1, 10))
def test_the_unit_of_time_does_not_matter(seed, unit):
    parameters, controls = draw_market(seed)
    rates = {"buy_flow": 1 / unit, "sell_flow": 1 / unit, "running_penalty": 1 / unit}
    found = play(scaled(parameters, horizon=unit, beta=unit, **rates), controls._replace(rate=controls.rate / unit))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(found.inventories, expected.inventories, rtol=0, atol=1e-9)


@hypothesis
@given(seed=seeds)
def test_the_two_sides_of_the_market_mirror_each_other(seed):
    parameters, controls = draw_market(seed)
    other = scaled(parameters, inventory=-1.0)
    other |= {"buy_flow": parameters["sell_flow"], "sell_flow": parameters["buy_flow"]}
    found = play(other, Controls(-controls.rate, controls.bid, controls.ask))
    expected = play(parameters, controls)
    np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-11)
    np.testing.assert_allclose(found.inventories, -expected.inventories, rtol=0, atol=1e-11)


# Bad input

NAN, INF = float("nan"), float("inf")
REFUSED = [
    ({"horizon": 0.0}, r"horizon: expected a finite number > 0, got 0\.0"),
    ({"horizon": -1.0}, r"horizon: expected a finite number > 0, got -1\.0"),
    ({"horizon": NAN}, "horizon: expected a finite number > 0, got nan"),
    ({"horizon": INF}, "horizon: expected a finite number > 0, got inf"),
    ({"horizon": "1"}, "horizon: expected a number, got '1'"),
    ({"trader_inventory": ()}, "trader_inventory: expected at least one trader, got none"),
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
    ({"min_rate": 100.0}, "min_rate: expected less than max_rate = 100, got 100"),
    ({"max_rate": 0.0}, "max_rate: expected a finite number > 0"),
    ({"max_quote": NAN}, "max_quote: expected a finite number > 0"),
    ({"volatility": -1.0}, "volatility: expected a finite number >= 0"),
    ({"initial_price": INF}, "initial_price: expected a finite number, got inf"),
    ({"flow_from": "median"}, "flow_from: expected 'sum' or 'mean', got 'median'"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_the_game_refuses_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MakerTakerGame(**parameters)


@pytest.mark.parametrize("gamma", [0.0, -1.0, NAN, INF])
def test_the_intensity_refuses_a_bad_decay(gamma):
    with pytest.raises(ValueError, match="gamma: expected a positive finite number"):
        Exponential(gamma)


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": np.zeros((STEPS, 3))}, r"controls\.rate: expected shape \(\.\.\., 6, 2\), got \(6, 3\)"),
        ({"rate": np.zeros((STEPS + 1, 2))}, r"controls\.rate: expected shape \(\.\.\., 6, 2\), got \(7, 2\)"),
        ({"ask": np.zeros((STEPS, 2))}, r"controls\.ask: expected shape \(\.\.\., 6, 3\), got \(6, 2\)"),
        ({"bid": np.zeros(3)}, r"controls\.bid: expected shape \(\.\.\., 6, 3\), got \(3,\)"),
        ({"bid": np.full((STEPS, 3), NAN)}, r"controls\.bid: expected finite values, got nan"),
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

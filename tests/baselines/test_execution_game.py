"""The execution game itself: its equations and parameters, factors, scenario files, commands, and training on it.

Payoffs are compared with integrations of the displays of Section 2 of Guo and Jin that share no code with the package:
a loop in plain Python where coefficients are constant within steps, adaptive quadrature where they move.
"""

import json
import sys

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from typer.testing import CliRunner

from makertaker.baselines import exploitability, solve
from makertaker.envs import (
    Affine,
    Controls,
    ExecutionGame,
    Factor,
    Noise,
    load_scenario,
    ornstein_uhlenbeck,
    read_scenario,
    scenario_names,
    simulate,
)
from makertaker.envs.factor import Constant, MeanReversion
from makertaker.envs.flows import Points
from makertaker.training import cli

STEPS = 4
HORIZON = 1.5
DT = HORIZON / STEPS
START = (-5.0, 3.0, 0.0)
CROWDING = 0.6
A = (0.5, 1.0, 2.0)
NAN, INF = float("nan"), float("inf")
MOVING = {
    "permanent_impact": lambda t: 1 + 0.5 * np.sin(4 * t),
    "temporary_impact": lambda t: 0.8 + 0.3 * np.cos(3 * t),
    "buy_flow": lambda t: 2 + np.sin(5 * t),
    "sell_flow": lambda t: 1.5 * np.exp(-t),
    "running_penalty": (lambda t: 0.3 + 0 * t, lambda t: 0.2 * t, lambda t: 0.5 - 0.2 * t**2),
}
FUNCTIONS = [*list(MOVING.values())[:4], *MOVING["running_penalty"]]


def moving_game(**changes):
    """Three traders in a market whose every coefficient moves with time."""
    parameters = MOVING | {"horizon": HORIZON, "crowding": CROWDING, "terminal_penalty": A}
    return ExecutionGame(START, **parameters | changes)


def draw_rates(seed, batch=()):
    return np.random.default_rng(seed).uniform(-4, 4, (*batch, STEPS, 3))


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


def averaged(function):
    """A function of time as ``(t, step) -> mean over the step``, by adaptive quadrature."""
    means = [quad(function, k * DT, (k + 1) * DT, epsabs=1e-13)[0] / DT for k in range(STEPS)]
    return lambda t, k: means[k]


def test_payoffs_are_terminal_wealth_in_the_market_with_step_constant_coefficients():
    """Alpha and the flows are averaged separately: the mean of their product is another number."""
    rates = draw_rates(1)
    payoffs, prices = integrate(rates, [averaged(each) for each in FUNCTIONS])
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


def arrays(library, value, dtype="float64"):
    """The values as an array of a library; skips the test where it is not installed."""
    if library == "numpy":
        return np.asarray(value, dtype=dtype)
    if library == "torch":
        torch = pytest.importorskip("torch")
        return torch.tensor(np.asarray(value), dtype=getattr(torch, dtype))
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(value, dtype=dtype)


SIGNAL = {
    "factor": ornstein_uhlenbeck((2.0, 1.0), (1.5, 0.5), initial=(1.0, -0.5)),
    "buy_flow": Affine(4.0, (1.0, 2.0)),
    "sell_flow": 1.5,
}


@pytest.mark.parametrize("changes", [{}, SIGNAL], ids=["plain", "factor"])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_simulate_agrees_in_every_library_market_by_market(library, changes):
    numbers = {"horizon": np.float64(1.5), "crowding": np.float64(0.6), "volatility": np.float64(2.0)}  # not float32
    game, rates = moving_game(**numbers | changes), draw_rates(4, (2, 3))
    rng = np.random.default_rng(5)
    noise = Noise(rng.standard_normal((2, 3, STEPS)), rng.standard_normal((2, 3, STEPS, 2)) if changes else None)
    found = simulate(game, Controls(arrays(library, rates)), STEPS, noise)
    assert type(found.payoffs) is type(arrays(library, 0.0))
    for i, j in np.ndindex(2, 3):
        one = Noise(*(None if each is None else each[i, j] for each in noise))
        expected = simulate(game, Controls(rates[i, j]), STEPS, one)
        for name in ("payoffs", "inventories", "mid", "wealth"):
            np.testing.assert_allclose(np.asarray(getattr(found, name))[i, j], getattr(expected, name), rtol=1e-11)
    single = simulate(game, Controls(arrays(library, rates, "float32")), STEPS, noise)
    for name in ("payoffs", "inventories", "mid", "wealth"):
        assert str(getattr(single, name).dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(single.payoffs), np.asarray(found.payoffs), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, SIGNAL], ids=["plain", "factor"])
def test_gradients_flow_through_simulate(changes):
    """JAX's, compiled, against torch's, and those against finite differences."""
    game, rates = moving_game(**changes), draw_rates(7)
    torch = pytest.importorskip("torch")
    given = arrays("torch", rates).requires_grad_()
    assert torch.autograd.gradcheck(lambda rate: simulate(game, Controls(rate), STEPS).payoffs, given)
    (expected,) = torch.autograd.grad(simulate(game, Controls(given), STEPS).payoffs[1], given)
    values = arrays("jax", rates)
    jax = pytest.importorskip("jax")
    found = jax.jit(jax.grad(lambda rate: simulate(game, Controls(rate), STEPS).payoffs[1]))(values)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)


# Factors

MATRIX = np.array([[0.5, 0.2], [-0.1, 0.3]])
DIFFUSIONS = {
    "scalar": (lambda t, x: 0.7, lambda t, x, z: 0.7 * z),
    "constant": (Constant((0.5, 2.0)), lambda t, x, z: np.array([0.5, 2.0]) * z),
    "vector": (lambda t, x: 0.1 + t + np.abs(x), lambda t, x, z: (0.1 + t + np.abs(x)) * z),
    "matrix": (Constant(tuple(map(tuple, MATRIX))), lambda t, x, z: MATRIX @ z),
    "moving matrix": (
        lambda t, x: MATRIX * (1 + x[..., :1, None] ** 2),
        lambda t, x, z: MATRIX @ z * (1 + x[0] ** 2),
    ),
}


@pytest.mark.parametrize("batch", [(), (1,), (2,), (3, 2), (2, 2)], ids=str)  # lengths equal to d among them
@pytest.mark.parametrize("kind", DIFFUSIONS)
def test_a_factor_follows_its_equation_with_the_given_noise(kind, batch):
    diffusion, shake = DIFFUSIONS[kind]
    factor = Factor((1.0, -0.5), lambda t, x: np.cos(t) - x**2, diffusion)
    noise = np.random.default_rng(9).standard_normal((*batch, STEPS, 2))
    times = np.linspace(0, HORIZON, STEPS + 1)
    found = factor.path(times, noise)
    assert found.shape == (*batch, STEPS + 1, 2)
    for index in np.ndindex(batch):
        value = np.array([1.0, -0.5])
        np.testing.assert_array_equal(found[(*index, 0)], value)
        for k in range(STEPS):
            z = noise[(*index, k)]
            value = value + DT * (np.cos(times[k]) - value**2) + np.sqrt(DT) * shake(times[k], value, z)
            np.testing.assert_allclose(found[(*index, k + 1)], value, rtol=1e-13)
    still = factor.path(times)
    np.testing.assert_array_equal(still, factor.path(times, np.zeros((STEPS, 2))))


def test_without_noise_a_factor_follows_its_drift_alone():
    times = np.linspace(0, HORIZON, STEPS + 1)
    path = ornstein_uhlenbeck(2.0, 3.0, mean=0.5, initial=(1.5,)).path(times)
    np.testing.assert_allclose(path[:, 0], 0.5 + (1 - 2 * DT) ** np.arange(STEPS + 1), rtol=1e-14)
    np.testing.assert_array_equal(Factor((2.0, 1.0)).path(times), np.tile([2.0, 1.0], (STEPS + 1, 1)))


def test_a_factor_s_flows_are_those_at_the_start_of_the_step():
    def flow(t, factor):
        return 3 + t + factor[..., 0] * factor[..., 1]

    game = moving_game(**SIGNAL | {"buy_flow": flow, "permanent_impact": 2.0})
    noise = np.random.default_rng(10).standard_normal((5, STEPS, 2))
    found = simulate(game, Controls(np.zeros((STEPS, 3))), STEPS, Noise(factor=noise))
    net = 3 + found.times[:-1] + found.factor[:, :-1].prod(axis=-1) - 1.5
    np.testing.assert_allclose(found.activity.drift, 2.0 * net, rtol=1e-13)
    np.testing.assert_allclose(found.mid[:, 1:], 100 + np.cumsum(2.0 * net * DT, axis=-1), rtol=1e-13)
    np.testing.assert_array_equal(found.factor, game.factor.path(found.times, noise))


def test_flows_of_time_beside_a_factor_are_averaged_everywhere():
    from makertaker.envs.parallel_env import GameParallelEnv

    game = moving_game(**SIGNAL | {"sell_flow": Points(((0.0, 0.0), (HORIZON, 4.0)))})
    rates, rng = draw_rates(11), np.random.default_rng(0)
    noise = Noise(factor=np.stack([rng.standard_normal(2) for _ in range(STEPS)]))
    env = GameParallelEnv(game, steps=STEPS, normalize=False)
    env.reset(seed=0)
    totals = sum(np.array(list(env.step(env.actions_from(Controls(each)))[1].values())) for each in rates)
    np.testing.assert_allclose(totals, simulate(game, Controls(rates), STEPS, noise).payoffs, rtol=1e-10)


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
    ({"crowding": -0.1}, r"crowding: expected a finite number >= 0, got -0\.1"),
    ({"crowding": 2}, r"crowding: expected a number in \[0, 2\), got 2"),
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
    ({"max_rate": 0.0}, "max_rate: expected a finite number > 0"),
    ({"volatility": -1.0}, "volatility: expected a finite number >= 0"),
    ({"initial_price": NAN}, "initial_price: expected a finite number, got nan"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_GAMES)
def test_the_game_refuses_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ExecutionGame(**parameters)


BAD_FACTORS = [
    (lambda: Factor(initial=()), r"factor\.initial: expected a list of finite numbers, got \(\)"),
    (lambda: Factor(initial=1.0), r"factor\.initial: expected a list of finite numbers, got 1\.0"),
    (lambda: Factor(initial=(NAN,)), r"factor\.initial: expected a list of finite numbers"),
    (lambda: Factor(drift=1.0), r"factor\.drift: expected a callable of \(time, factor\), got 1\.0"),
    (lambda: Factor(diffusion=None), r"factor\.diffusion: expected a callable of \(time, factor\), got None"),
    (lambda: Factor(drift=lambda t, x: np.zeros(3)), r"factor\.drift: .* shape \(2, 1\), got shape \(3,\)"),
    (lambda: Factor(drift=lambda t, x: INF * x), r"factor\.drift: expected finite values"),
    (lambda: Factor(diffusion=Constant(NAN)), r"factor\.diffusion: expected finite values, got array\(nan\)"),
    (lambda: Factor(diffusion=Constant((1.0, 2.0))), r"factor\.diffusion: .* or \(\.\.\., 1, 1\), got shape \(2,\)"),
    (lambda: Factor((0.0,) * 3, diffusion=Constant(((1.0, 0.0),))), r"factor\.diffusion: .* got shape \(1, 2\)"),
    (lambda: ornstein_uhlenbeck(NAN, 1.0), r"factor\.mean_reversion: expected a finite number or 1 of them, got nan"),
    (lambda: ornstein_uhlenbeck(1.0, (1.0, 2.0)), r"factor\.volatility: expected a finite number or 1 of them"),
    (lambda: ornstein_uhlenbeck(1.0, 1.0, mean=(1.0,), initial=(0.0, 0.0)), r"factor\.mean: .* or 2 of them"),
]


@pytest.mark.parametrize(("build", "message"), BAD_FACTORS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_factors_refuse_bad_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("changes", "noise", "message"),
    [
        ({}, np.zeros((STEPS, 1)), r"noise\.factor: the game has no factor, expected None"),
        (SIGNAL, np.zeros((STEPS, 1)), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(4, 1\)"),
        (SIGNAL, np.zeros((STEPS + 1, 2)), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(5, 2\)"),
        (SIGNAL, np.zeros(2), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(2,\)"),
    ],
)
def test_noise_that_does_not_fit_is_refused(changes, noise, message):
    with pytest.raises(ValueError, match=message):
        simulate(moving_game(**changes), Controls(draw_rates(0)), STEPS, Noise(factor=noise))


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


# Scenario files

HEADER = 'game = "execution"\ninitial_inventory = [-5.0, 3.0]\n'
OU = "[factor]\nmean_reversion = 2.0\nvolatility = [1.0]\n"


def test_a_scenario_with_a_factor_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(HEADER + OU + 'initial = [0.5]\n[buy_flow]\nshape = "affine"\nconstant = 5.0\nslope = [2.0]\n')
    scenario = read_scenario(str(path), ["factor.mean=0.25", "crowding=0.5"])
    factor = Factor((0.5,), MeanReversion(2.0, 0.25), Constant((1.0,)))
    assert scenario.game == ExecutionGame((-5.0, 3.0), crowding=0.5, factor=factor, buy_flow=Affine(5.0, (2.0,)))
    assert scenario.steps == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trader_inventory = [-5.0]", "unknown key 'trader_inventory' in scenario"),
        ("factor = 1", "factor: expected a table, got 1"),
        ('[factor]\nkind = "jump"', r"factor\.kind: expected one of .*'ornstein_uhlenbeck'.*, got 'jump'"),
        (OU + "speed = 1.0", "factor: unknown key 'speed', expected some of"),
        ("[factor]\nmean_reversion = 1.0", "factor: .* missing 1 required positional argument: 'volatility'"),
        (OU + "initial = [0.0, 1.0]", r"factor\.volatility: expected a finite number or 2 of them"),
        ('buy_flow = {shape = "affine", constant = 1.0}', "buy_flow: expected a number or a callable of time"),
        ('buy_flow = {shape = "affine"}\n' + OU, "buy_flow: .* missing 1 required positional argument: 'constant'"),
        ('buy_flow = {shape = "affine", mean = 1.0}\n' + OU, "buy_flow: unknown key 'mean', expected some of"),
        ("crowding = 2.0", r"crowding: expected a number in \[0, 2\)"),
    ],
)
def test_bad_scenarios_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(HEADER + text)
    with pytest.raises(ValueError, match=message):
        read_scenario(str(path))


# Commands


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``makertaker`` with these arguments: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["makertaker", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code, *capsys.readouterr()

    return run


def strict_json(text):
    """The document; refuses what standard JSON does not have."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("name", [name for name in scenario_names() if name.startswith("execution")])
def test_solve_prints_an_equilibrium(command, name):
    code, out, err = command("solve", name, "--json")
    assert (code, err) == (0, "")
    document, scenario = strict_json(out), read_scenario(name)
    assert list(document["agents"]) == list(scenario.game.agents)
    assert np.shape(document["controls"]["rate"]) == (20, scenario.game.traders)
    assert np.shape(document["controls"]["ask"]) == (20, 0)
    payoffs = [each["payoff"] for each in document["agents"].values()]
    np.testing.assert_allclose(payoffs, solve(scenario.game, 20).payoffs, rtol=1e-12)
    assert document["nash_conv"] == pytest.approx(0.0, abs=1e-9)
    assert document["residual"] <= 1e-10


def test_references_prints_the_table(command):
    code, out, err = command("references", "execution-2", "--json")
    assert (code, err) == (0, "")
    points = strict_json(out)["references"]
    nash, best = (points[name]["total"] for name in ("Nash, open loop", "cooperative optimum"))
    for each in points.values():
        assert each["collusion_index"] == pytest.approx((each["total"] - nash) / (best - nash), abs=1e-12)
    game = load_scenario("execution-2")
    twap = simulate(game, Controls(np.full((20, 2), 5.0)), 20)  # five shares within a unit of time
    assert list(points["TWAP"]["payoffs"].values()) == pytest.approx(list(twap.payoffs), rel=1e-12)
    assert points["TWAP"]["total"] == pytest.approx(twap.payoffs.sum(), rel=1e-12)
    assert points["TWAP"]["nash_conv"] == pytest.approx(exploitability(game, twap.controls, 20).nash_conv, rel=1e-12)
    _, out, _ = command("references", "execution-2", "--set", "crowding=1.0", "--json")
    missing = strict_json(out)["references"]["cooperative optimum"]
    assert missing["payoffs"] is missing["total"] is missing["collusion_index"] is missing["nash_conv"] is None
    assert missing["note"]


def test_check_prints_the_conditions(command):
    code, out, err = command("check", "execution-2", "--json")
    assert (code, err) == (0, "")
    conditions = {each["reference"]: each for each in strict_json(out)["conditions"]}
    # alpha = 1, beta = phi = 0.5, N = 2: phi - alpha^2 / (4 N beta) = 0.25
    assert conditions["Assumption 2.4"]["holds"] is True
    assert conditions["Assumption 2.4"]["margin"] == pytest.approx(0.25)
    assert conditions["Theorem 2.7, case 1"]["holds"] is False


def test_check_prints_json_where_a_problem_is_singular(command):
    zero = ("--set", "running_penalty=0", "--set", "terminal_penalty=0", "--set", "permanent_impact=1.0")
    strict_json(command("check", "execution-2", "--steps", "1", *zero, "--json")[1])


@pytest.mark.parametrize("name", ["check", "references", "solve"])
def test_commands_print_tables_without_json(command, name):
    code, out, err = command(name, "execution-2")
    assert (code, err) == (0, "")
    assert {"check": "Assumption", "references": "TWAP", "solve": "trader_1"}[name] in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("references", "acas"), "references: expected an ExecutionGame, got a MakerTakerGame"),
        (("check", "execution-2", "--steps", "0"), "steps: expected a positive whole number, got 0"),
        (("solve", "execution-2", "--set", "max_rate=0.5"), "above max_rate = 0.5"),
        (("solve", "execution-2", "--set", "permanent_impact=100.0"), "has no maximum, whatever the others do"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(command, arguments, message):
    code, out, err = command(*arguments, "--json")
    assert (code, out) == (2, "")
    assert err.startswith("makertaker: ")
    assert message in err
    assert err.count("\n") == 1


# Training


def invoke(*arguments):
    """The command's standard output."""
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_is_placed_between_nash_and_the_cooperative_optimum(tmp_path):
    pytest.importorskip("sb3_contrib")
    run = tmp_path / "run"
    options = ("--timesteps", 2000, "--markets", 50, "--steps", 5, "--information", "own", "--out", run)
    metrics = strict_json(invoke("train", "execution-2", *options, "--json"))
    equilibrium, best = (
        solve(load_scenario("execution-2"), 5).payoffs.sum(),
        metrics["baselines"]["cooperative optimum"],
    )
    learned = sum(each["learned"] for each in metrics["agents"].values())
    share = (learned - equilibrium) / (sum(best["payoffs"].values()) - equilibrium)
    assert metrics["collusion_index"] == pytest.approx(share, rel=1e-9)
    names = {"Nash, feedback", "cooperative optimum", "Almgren-Chriss, ignoring the others", "TWAP"}
    assert metrics["baselines"].keys() == names
    assert metrics["exploitability_against"] == "open-loop opponents (exact)"
    assert all(each["exploitability"] >= 0 for each in metrics["agents"].values())
    assert metrics["nash_conv"] == metrics["open_loop_nash_conv"]
    assert strict_json(invoke("evaluate", run, "--json")) == metrics
    invoke("report", run)
    page = (run / "report.html").read_text()
    assert f"<td>{share:.3f}</td>" in page
    assert "Collusion index: the place of the total payoff" in page
    assert "Trading rates (shares / time)" in page
    assert "Asks above" not in page
    assert "Bids below" not in page


def test_a_run_with_a_factor_has_standard_errors(tmp_path):
    pytest.importorskip("sb3_contrib")
    options = ("--timesteps", 200, "--markets", 50, "--steps", 4, "--out", tmp_path / "run")
    metrics = strict_json(invoke("train", "execution-signal", *options, "--json"))
    assert "simulated paths (lower bound)" in metrics["exploitability_against"]
    assert 0 < metrics["collusion_index_se"] < 0.1 * abs(metrics["collusion_index"])
    for each in metrics["agents"].values():
        assert 0 < each["learned_se"] < 0.1 * abs(each["learned"])
        assert 0 < each["exploitability_se"] < 0.1 * abs(each["exploitability"])


@pytest.mark.parametrize("information", ["open_loop", "own", "full"])
def test_the_equilibrium_evaluates_to_itself(information):
    """Nobody's inventory is moved by others, so that actors who see their own do not react; those who see all may."""
    pytest.importorskip("sb3_contrib")
    from makertaker.training.evaluation.scoring import evaluate

    game = load_scenario("execution-2")
    metrics = evaluate(game, solve(game, 3).open_loop(), 3, information).metrics
    against = "reacting opponents (lower bound)" if information == "full" else "open-loop opponents (exact)"
    assert metrics["exploitability_against"] == against
    assert metrics["relative_nash_conv"] == pytest.approx(0, abs=1e-9)
    assert metrics["collusion_index"] == pytest.approx(0, abs=1e-9)
    assert metrics["control_distance"] == pytest.approx(0, abs=1e-12)

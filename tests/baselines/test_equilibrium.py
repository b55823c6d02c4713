"""Rung: what ``solve`` returns is a Nash equilibrium of the grid game, and the tools around it agree with brute force.

Exact properties on markets drawn by Hypothesis, derivatives against finite differences and automatic differentiation,
best responses against general-purpose optimisers, and what happens where the solver fails or the input is wrong.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from makertaker.baselines import (
    EquilibriumNotFound,
    best_response,
    best_response_to_policies,
    exploitability,
    newton,
    open_loop_policies,
    solve,
)
from makertaker.baselines.fbsde import GameSystem
from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, QuadraticImpact, simulate
from makertaker.envs.grid import grid

DRAWN = settings(max_examples=40, deadline=None, derandomize=True)
FEW = settings(DRAWN, max_examples=25)

# makers far enough apart that their quotes never cross, and a buyer who wants to trade at once: nothing is truncated
APART = MakerTakerGame(
    trader_inventory=(-6.0,),
    maker_inventory=(2.0, -0.5),
    competition=BestQuote(Exponential(0.8)),
    trader_running_penalty=0.4,
    maker_running_penalty=(0.3, 0.6),
    trader_terminal_penalty=1.0,
    maker_terminal_penalty=(0.7, 1.2),
    sell_flow=lambda t: 1 + 0.5 * np.sin(4 * t),
)
# both sides, and a third maker between the two
CROWD = replace(
    APART,
    trader_inventory=(-6.0, -3.0, 4.0),
    maker_inventory=(2.0, -2.0, 0.5),
    maker_running_penalty=0.3,
    maker_terminal_penalty=0.7,
    impact=QuadraticImpact((0.5, 0.4, 0.8)),
)
MARKETS = {"ACAS": APART, "crowd": CROWD}
MILD = BestQuote(Exponential(0.3))


def number(low, high):
    return st.floats(low, high, allow_nan=False)


@st.composite
def markets(draw, flow=(0.1, 2.0)):
    """One to three buyers and sellers, two to four makers, everyone with its own penalties and impact."""
    traders, makers = draw(st.integers(1, 3)), draw(st.integers(2, 4))

    def each(count, low, high):
        return draw(st.lists(number(low, high), min_size=count, max_size=count))

    sides = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=traders, max_size=traders))
    return MakerTakerGame(
        trader_inventory=np.multiply(sides, each(traders, 0.5, 6.0)),
        maker_inventory=each(makers, -2.0, 2.0),
        horizon=draw(number(0.3, 1.5)),
        competition=BestQuote(Exponential(draw(number(0.3, 1.5)))),
        impact=QuadraticImpact(each(traders, 0.2, 2.0)),
        trader_running_penalty=each(traders, 0.0, 1.0),
        trader_terminal_penalty=each(traders, 0.1, 2.0),
        maker_running_penalty=each(makers, 0.0, 1.0),
        maker_terminal_penalty=each(makers, 0.1, 2.0),
        buy_flow=draw(number(*flow)),
        sell_flow=draw(number(*flow)),
        min_rate=draw(st.sampled_from([0.0, 0.3])),
        flow_from=draw(st.sampled_from(["sum", "mean"])),
    )


@DRAWN
@given(markets(), st.integers(10, 20))
def test_nobody_gains_by_deviating(game, steps):
    equilibrium = solve(game, steps)
    assert equilibrium.converged
    assert equilibrium.residual <= 1e-10
    result = exploitability(game, equilibrium.controls, steps)
    np.testing.assert_allclose(result.gains, 0, atol=1e-9)
    np.testing.assert_array_equal(result.payoffs, equilibrium.payoffs)
    assert equilibrium.quotes_matter.all()


def test_adjoints_satisfy_the_first_order_condition():
    """The step-averaged adjoint, summed by hand: ``-2 A Q_K - 2 phi (integral of Q after the step + the step's part)``.

    The step's part weighs ``Q_t`` by ``(t - t_k) / dt``: for a linear path that is ``dt (Q_k / 6 + Q_{k+1} / 3)``.
    """
    equilibrium = solve(APART, 7)
    q, dt = equilibrium.inventories, APART.horizon / 7
    phi, terminal = np.array([0.4, 0.3, 0.6]), np.array([1.0, 0.7, 1.2])
    for k in range(7):
        later = sum((dt * (q[j] + q[j + 1]) / 2 for j in range(k + 1, 7)), np.zeros(3))
        expected = -2 * terminal * q[7] - 2 * phi * (later + dt * (q[k] / 6 + q[k + 1] / 3))
        np.testing.assert_allclose(equilibrium.adjoints[k], expected, atol=1e-12)
    # (17)
    taker, makers = equilibrium.adjoints[:, :1], equilibrium.adjoints[:, 1:]
    np.testing.assert_allclose(equilibrium.controls.ask, 1 / 0.8 + makers, atol=1e-12)
    np.testing.assert_allclose(equilibrium.controls.bid, 1 / 0.8 - makers, atol=1e-12)
    np.testing.assert_allclose(equilibrium.controls.rate, taker - makers[:, :1] - 1 / 0.8, atol=1e-12)  # beta = 1/2


# --- derivatives -----------------------------------------------------------------------------------------------------


def system_of(game, steps):
    return GameSystem(game, game.coefficients(grid(game, steps)), game.horizon / steps, game.initial_inventory)


@pytest.mark.parametrize("traders", [(-5.0,), (-5.0, 3.0), (4.0, -2.0, 3.0)])
@pytest.mark.parametrize("makers", [2, 3, 4])
@pytest.mark.parametrize("max_quote", [50.0, 1.5])  # 1.5: some quotes are truncated
def test_jacobian_of_the_rates(traders, makers, max_quote):
    game = replace(
        APART,
        trader_inventory=traders,
        maker_inventory=np.zeros(makers),
        maker_running_penalty=0.0,
        maker_terminal_penalty=1.0,
        max_quote=max_quote,
    )
    system = system_of(game, 30)
    adjoints = np.random.default_rng(makers).normal(0, 2.0, (30, len(game.agents)))
    step = 1e-6
    columns = [
        system.rates(adjoints + step * unit) - system.rates(adjoints - step * unit) for unit in np.eye(len(game.agents))
    ]
    difference = np.stack(columns, axis=-1) / (2 * step)
    np.testing.assert_allclose(system.jacobian(adjoints), difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 13])
@pytest.mark.parametrize("game", MARKETS.values(), ids=MARKETS)
def test_banded_and_sweep_solve_the_same_linear_system(game, steps):
    system = system_of(game, steps)
    equilibrium = solve(game, steps)
    jacobian = system.jacobian(equilibrium.adjoints)
    defect = np.random.default_rng(0).standard_normal(equilibrium.adjoints.shape)
    banded, sweep = newton.solve_banded(system, jacobian, defect), newton.solve_by_sweep(system, jacobian, defect)
    np.testing.assert_allclose(banded, sweep, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("k", [0, 4, 9, 10])
def test_slope_is_the_derivative_of_the_decoupling_field(k):
    equilibrium = solve(APART, 10)
    at, step = equilibrium.inventories[k], 1e-5
    columns = [
        equilibrium.adjoint(k, at + step * unit) - equilibrium.adjoint(k, at - step * unit) for unit in np.eye(3)
    ]
    np.testing.assert_allclose(equilibrium.slope[k], np.stack(columns, axis=-1) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("k", [0, 3, 9])
def test_the_rest_of_an_equilibrium_is_the_equilibrium_of_the_rest(k):
    """The controls of the game that starts at ``t_k`` from the equilibrium path, alone and in a batch."""
    equilibrium = solve(CROWD, 10)
    here = equilibrium.inventories[k]
    for inventory in (here, np.stack([here, here + 0.1])):
        rest = equilibrium.controls_at(k, inventory)
        for planned, now in zip(equilibrium.controls, rest, strict=True):
            np.testing.assert_allclose(now[0] if inventory.ndim == 2 else now, planned[k], atol=1e-10)


def payoff_gradients(game, controls, library):
    """Each agent's payoff gradients in its own controls, as NumPy arrays by agent."""
    index = range(len(game.agents))
    if library == "torch":
        torch = pytest.importorskip("torch")
        tensors = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in controls]
        payoffs = simulate(game, Controls(*tensors), len(controls.rate)).payoffs
        gradients = [torch.autograd.grad(payoffs[i], tensors, retain_graph=True) for i in index]
        gradients = [[each.numpy() for each in row] for row in gradients]
    else:
        jax = pytest.importorskip("jax")
        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)  # for this function only: JAX computes in single precision otherwise
        try:
            arrays = Controls(*(jax.numpy.asarray(each) for each in controls))
            jacobian = jax.jacrev(lambda c: simulate(game, c, len(controls.rate)).payoffs)(arrays)
            assert jacobian.rate.dtype == np.float64
            gradients = [[np.asarray(each[i]) for each in jacobian] for i in index]
        finally:
            jax.config.update("jax_enable_x64", before)
    own = []
    for i, (rate, ask, bid) in enumerate(gradients):
        maker = i - game.traders
        own.append(rate[:, i] if maker < 0 else np.stack([ask[:, maker], bid[:, maker]]))
    return own


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("game", MARKETS.values(), ids=MARKETS)
def test_own_gradients_vanish(game, library):
    equilibrium = solve(game, 10)
    assert equilibrium.message == "converged"  # nothing at a bound of its size,
    assert np.abs(equilibrium.controls.rate).min() > 0.01  # nor at min_rate = 0,
    assert np.diff(np.sort(equilibrium.adjoints[:, game.traders :])).min() > 0.01  # nor a tie
    for gradient in payoff_gradients(game, equilibrium.controls, library):
        np.testing.assert_allclose(gradient, 0, atol=1e-9)
    moved = Controls(*(each + 0.1 for each in equilibrium.controls))
    assert all(np.abs(each).max() > 1e-3 for each in payoff_gradients(game, moved, library))


# --- symmetries ------------------------------------------------------------------------------------------------------


def permuted(game, traders, makers):
    """The game with its agents in another order."""

    def pick(values, order):
        return tuple(np.asarray(values)[list(order)])

    return replace(
        game,
        trader_inventory=pick(game.trader_inventory, traders),
        maker_inventory=pick(game.maker_inventory, makers),
        impact=QuadraticImpact(pick(game.impact.beta, traders)),
        trader_running_penalty=pick(game.trader_running_penalty, traders),
        trader_terminal_penalty=pick(game.trader_terminal_penalty, traders),
        maker_running_penalty=pick(game.maker_running_penalty, makers),
        maker_terminal_penalty=pick(game.maker_terminal_penalty, makers),
    )


@FEW
@given(markets(), st.data())
def test_names_do_not_matter(game, data):
    """Reordering agents, traders across sides included, reorders payoffs and inventories."""
    traders = data.draw(st.permutations(range(game.traders)))
    makers = data.draw(st.permutations(range(game.makers)))
    order = [*traders, *(game.traders + i for i in makers)]
    before, after = solve(game, 10), solve(permuted(game, traders, makers), 10)
    np.testing.assert_allclose(after.payoffs, before.payoffs[order], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.inventories, before.inventories[:, order], atol=1e-9)


@FEW
@given(markets(), number(-2.0, 2.0))
def test_identical_makers_stay_identical(game, inventory):
    game = replace(
        game,
        maker_inventory=(inventory,) * game.makers,
        maker_running_penalty=0.3,
        maker_terminal_penalty=0.8,
    )
    equilibrium = solve(game, 10)
    makers = slice(game.traders, None)
    assert np.ptp(equilibrium.inventories[:, makers], axis=-1).max() <= 1e-10
    assert np.ptp(equilibrium.payoffs[makers]) <= 1e-9


@FEW
@given(markets())
def test_the_two_sides_are_mirror_images(game):
    """Turn every inventory's sign and swap the flows: rates turn their sign, asks and bids change places."""
    mirror = replace(
        game,
        trader_inventory=[-q for q in game.trader_inventory],
        maker_inventory=[-q for q in game.maker_inventory],
        buy_flow=game.sell_flow,
        sell_flow=game.buy_flow,
    )
    one, other = solve(game, 10), solve(mirror, 10)
    np.testing.assert_allclose(other.controls.rate, -one.controls.rate, atol=1e-9)
    np.testing.assert_allclose(other.controls.ask, one.controls.bid, atol=1e-9)
    np.testing.assert_allclose(other.payoffs, one.payoffs, rtol=1e-9, atol=1e-9)


# --- best responses --------------------------------------------------------------------------------------------------


def perturbed(game, steps, seed, size=0.3):
    """The equilibrium's controls with noise, within the constraints."""
    rng = np.random.default_rng(seed)
    return game.clip(Controls(*(each + size * rng.standard_normal(each.shape) for each in solve(game, steps).controls)))


def brute_force(game, controls, agent, steps):
    """The best payoff that L-BFGS-B finds over an agent's own controls, with the simulator's gradient."""
    torch = pytest.importorskip("torch")
    index = game.agents.index(agent)
    maker = index - game.traders

    def joint(own):
        rate, ask, bid = (torch.tensor(each, dtype=torch.float64) for each in controls)
        if maker < 0:
            rate[:, index] = own
        else:
            ask[:, maker], bid[:, maker] = own[:steps], own[steps:]
        return Controls(rate, ask, bid)

    def objective(x):
        own = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        loss = -simulate(game, joint(own), steps).payoffs[index]
        loss.backward()
        return loss.item(), own.grad.numpy()

    if maker < 0:
        first, bounds = controls.rate[:, index], [tuple(each[index] for each in game.rate_bounds)] * steps
    else:
        first = np.concatenate([controls.ask[:, maker], controls.bid[:, maker]])
        bounds = [(-game.max_quote, game.max_quote)] * (2 * steps)
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-10}
    return -minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("game", "agent"),
    [
        (APART, "trader_0"),
        (APART, "maker_0"),
        (APART, "maker_1"),
        (CROWD, "trader_2"),
        (CROWD, "maker_2"),
        # bounds that hold at the optimum
        (replace(APART, max_rate=1.5), "trader_0"),
        (replace(APART, min_rate=4.0), "trader_0"),
        (replace(APART, max_quote=1.0), "maker_0"),
    ],
)
def test_best_response_against_brute_force(game, agent, seed):
    controls = perturbed(game, 5, seed)
    found = best_response(game, controls, agent, 5)
    index = game.agents.index(agent)
    before = simulate(game, controls, 5).payoffs[index]
    assert found.gain > 1e-3  # there is something to find
    assert found.gain == pytest.approx(brute_force(game, controls, agent, 5) - before, abs=1e-6)
    assert found.payoff == pytest.approx(before + found.gain, abs=1e-12)
    assert exploitability(game, controls, 5).gains[index] == pytest.approx(found.gain, abs=1e-12)
    # only the agent's own controls have changed
    for i in range(game.traders):
        assert agent == f"trader_{i}" or (found.controls.rate[:, i] == controls.rate[:, i]).all()
    for i in range(game.makers):
        assert agent == f"maker_{i}" or (found.controls.ask[:, i] == controls.ask[:, i]).all()


@pytest.mark.parametrize("agent", APART.agents)
def test_best_response_to_policies_that_do_not_react(agent):
    controls = perturbed(APART, 5, 0)
    policies = open_loop_policies(APART, controls)
    searched, exact = best_response_to_policies(APART, policies, agent, 5), best_response(APART, controls, agent, 5)
    assert searched.gain == pytest.approx(exact.gain, abs=1e-6)
    assert searched.payoff == pytest.approx(exact.payoff, abs=1e-6)


@pytest.mark.parametrize("agent", APART.agents)
def test_gain_against_the_field_is_not_negative(agent):
    """The decoupling field played as feedback is no equilibrium among policies that react: gains are to be expected.

    The quotes' bound is close to the equilibrium's quotes (at most 5.1 here): shares are exponential in quotes, and the
    field is not solvable for whatever inventories a search between distant bounds may lead to.
    """
    game = replace(
        APART, trader_inventory=(-3.0,), maker_inventory=(1.0, -0.5), horizon=0.5, competition=MILD, max_quote=8.0
    )
    policies = solve(game, 4).feedback()
    result = best_response_to_policies(game, policies, agent, 4, iterations=10)
    assert result.gain > 0.01
    index = game.agents.index(agent)
    played = simulate(game, result.controls, 4).payoffs[index]
    assert result.payoff == pytest.approx(played, abs=1e-9)  # the payoff belongs to the controls


# --- markets where a side has no flow, and failures ------------------------------------------------------------------


def test_side_without_flow():
    """Guo and Jin's Theorem 4.1 needs volume on both sides to determine quotes; with one buyer nobody sells."""
    game = replace(APART, sell_flow=0.0)
    equilibrium = solve(game, 10)
    assert "bid quotes are undetermined on 10 of 10 steps" in equilibrium.message
    assert "ask" not in equilibrium.message
    assert equilibrium.quotes_matter[:, 0].all()
    assert not equilibrium.quotes_matter[:, 1].any()
    np.testing.assert_allclose(exploitability(game, equilibrium.controls, 10).gains, 0, atol=1e-9)
    # the equilibrium is not unique: other bids change no payoff and leave nobody anything to gain
    other = equilibrium.controls._replace(bid=equilibrium.controls.bid + 3.0)
    result = exploitability(game, other, 10)
    np.testing.assert_array_equal(result.payoffs, equilibrium.payoffs)
    np.testing.assert_allclose(result.gains, 0, atol=1e-9)


def test_flow_that_starts_late():
    game = replace(APART, sell_flow=lambda t: np.where(t < 0.5, 0.0, 1.0))
    equilibrium = solve(game, 10)
    assert equilibrium.quotes_matter[:, 1].tolist() == [False] * 5 + [True] * 5
    assert "bid quotes are undetermined on 5 of 10 steps" in equilibrium.message


def test_message_names_truncations():
    assert "rates are truncated at max_rate = 2" in solve(replace(APART, max_rate=2.0), 10).message
    assert "quotes are truncated at max_quote = 1" in solve(replace(APART, max_quote=1.0), 10).message


def test_failure():
    """No residual of rounding size is below 1e-30."""
    result = solve(APART, 10, tolerance=1e-30, throw=False)
    assert not result.converged
    assert result.message.startswith("not converged")
    assert 1e-30 < result.residual < 1e-10
    with pytest.raises(EquilibriumNotFound, match=r"residual .* it is largest for .* at step"):
        solve(APART, 10, tolerance=1e-30)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 10.0, 1e3])
def test_any_guess_leads_to_the_same_equilibrium(size, seed):
    guess = size * np.random.default_rng(seed).standard_normal((10, 3))
    result = solve(APART, 10, guess=guess)
    np.testing.assert_allclose(result.adjoints, solve(APART, 10).adjoints, atol=1e-10)


def test_continuation_where_newton_fails(monkeypatch):
    """Plain Newton is kept from iterating; the scaled systems of the continuation are not."""
    plain = newton.newton

    def crippled(system, start, **options):
        limit = {"iterations": 0} if isinstance(system, GameSystem) else {}
        return plain(system, start, **{**options, **limit})

    expected = solve(APART, 10)
    monkeypatch.setattr(newton, "newton", crippled)
    result = solve(APART, 10)
    assert "of continuation in the penalties" in result.message
    assert "continuation" not in expected.message
    np.testing.assert_allclose(result.adjoints, expected.adjoints, atol=1e-10)


HARD = [
    dict(trader_terminal_penalty=10.0, maker_terminal_penalty=10.0, max_quote=1e4, max_rate=1e4),
    dict(trader_terminal_penalty=20.0, maker_terminal_penalty=5.0, max_quote=500.0),
    dict(horizon=10.0, trader_running_penalty=1.0, maker_running_penalty=1.0),
    dict(trader_inventory=(-50.0,), max_quote=500.0),
]


@pytest.mark.parametrize("changes", HARD, ids=str)
def test_best_responses_are_found_where_rates_are_steep(changes):
    """Against an equilibrium with strong penalties, and against quotes that miss it by a margin or two at random."""
    game = MakerTakerGame(**changes)
    equilibrium = solve(game, 20)
    gains = exploitability(game, equilibrium.controls, 20).gains
    np.testing.assert_allclose(gains, 0, atol=1e-9 * np.abs(equilibrium.payoffs).max())
    rng = np.random.default_rng(0)
    ask, bid = (each + rng.normal(size=each.shape) for each in equilibrium.controls[1:])
    missed = exploitability(game, Controls(equilibrium.controls.rate, ask, bid), 20)
    assert (missed.gains > 0).all()


def test_makers_who_tie_but_for_rounding_count_as_tied():
    """Derivatives at a tie are one-sided with the first maker as the best, not with whoever is lower by a rounding."""
    quotes = np.array([[1.0, 1.0 - 1e-14, 2.0], [1.0, 1.0 + 1e-14, 2.0]])
    competition = BestQuote(Exponential(1.0))
    np.testing.assert_array_equal(competition.best_jacobian(quotes), [[1, 0, 0], [1, 0, 0]])
    first, second = competition.share_jacobian(quotes)
    np.testing.assert_allclose(first, second, atol=1e-12)
    np.testing.assert_allclose(first[0], [-1, 1, 0], atol=1e-12)  # the first maker's rival is the second
    np.testing.assert_allclose(first[2, [0, 2]], [np.exp(-1.0), -np.exp(-1.0)], atol=1e-12)


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: solve(APART, 0), "steps: expected a positive whole number, got 0"),
        (lambda e: solve(APART, 2.5), "steps: expected a positive whole number, got 2.5"),
        (lambda e: solve(APART, 10, guess=np.zeros((9, 3))), r"guess: expected finite adjoints of shape \(10, 3\)"),
        (lambda e: solve(APART, 10, guess=np.full((10, 3), np.nan)), "guess: expected finite adjoints"),
        (lambda e: best_response(APART, e.controls, "taker", 10), "agent: expected one of .*, got 'taker'"),
        (lambda e: best_response(APART, e.controls, "maker_0", 9), r"controls.rate: expected shape \(\.\.\., 9, 1\)"),
        (
            lambda e: best_response_to_policies(APART, {"trader_0": e.open_loop()["trader_0"]}, "trader_0", 10),
            "expected one entry for each of",
        ),
        (lambda e: best_response_to_policies(APART, e.open_loop(), "nobody", 10), "agent: expected one of"),
        (lambda e: exploitability(APART, e.controls._replace(ask=e.controls.ask[:, :1]), 10), "controls.ask: expected"),
        (lambda e: exploitability(APART, e.controls._replace(bid=e.controls.bid * np.nan), 10), "controls.bid: .*nan"),
        (lambda e: exploitability(APART, Controls(*(x[None] for x in e.controls)), 10), "without batch axes"),
        (lambda e: e.adjoint(11, APART.initial_inventory), r"k: expected a step in 0\.\.10, got 11"),
        (lambda e: e.adjoint(-1, APART.initial_inventory), "k: expected a step"),
        (lambda e: e.adjoint(0, [1.0, 2.0]), r"inventory: expected finite numbers of shape \(\.\.\., 3\)"),
        (lambda e: e.adjoint(0, [1.0, 2.0, np.inf]), "inventory: expected finite numbers"),
    ],
)
def test_bad_input(call, message):
    equilibrium = solve(APART, 10)
    with pytest.raises(ValueError, match=message):
        call(equilibrium)

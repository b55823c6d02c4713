"""Rung: what ``solve`` returns is a Nash equilibrium of the grid game, on markets that Hypothesis draws.

Derivatives are compared with finite differences and automatic differentiation.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makertaker.baselines import exploitability, solve, sweep
from makertaker.baselines.maker_taker.system import GameSystem
from makertaker.envs import Controls, MakerTakerGame, QuadraticImpact, SoftmaxShare, simulate
from makertaker.envs.grid import grid
from support.arrays import jax_precision
from support.derivatives import difference
from support.drawing import drawn, maker_taker_games, number
from support.maker_taker_games import APART, CROWD, mirrored

DRAWN = drawn(40)
FEW = drawn(25)
MARKETS = {"ACAS": APART, "crowd": CROWD}


@DRAWN
@given(maker_taker_games(), st.integers(10, 20))
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
    np.testing.assert_allclose(system.jacobian(adjoints), difference(system.rates, adjoints), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 13])
@pytest.mark.parametrize("game", MARKETS.values(), ids=MARKETS)
def test_banded_and_sweep_solve_the_same_linear_system(game, steps):
    system = system_of(game, steps)
    equilibrium = solve(game, steps)
    jacobian = system.jacobian(equilibrium.adjoints)
    defect = np.random.default_rng(0).standard_normal(equilibrium.adjoints.shape)
    banded, swept = sweep.solve_banded(system, jacobian, defect), sweep.solve_by_sweep(system, jacobian, defect)
    np.testing.assert_allclose(banded, swept, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("k", [0, 4, 9, 10])
def test_slope_is_the_derivative_of_the_decoupling_field(k):
    equilibrium = solve(APART, 10)
    field = difference(lambda at: equilibrium.adjoint(k, at), equilibrium.inventories[k], 1e-5)
    np.testing.assert_allclose(equilibrium.slope[k], field, atol=1e-8)


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
        with jax_precision():  # for this function only
            arrays = Controls(*(jax.numpy.asarray(each) for each in controls))
            jacobian = jax.jacrev(lambda c: simulate(game, c, len(controls.rate)).payoffs)(arrays)
            assert jacobian.rate.dtype == np.float64
            gradients = [[np.asarray(each[i]) for each in jacobian] for i in index]
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
@given(maker_taker_games(), st.data())
def test_names_do_not_matter(game, data):
    """Reordering agents, traders across sides included, reorders payoffs and inventories."""
    traders = data.draw(st.permutations(range(game.traders)))
    makers = data.draw(st.permutations(range(game.makers)))
    order = [*traders, *(game.traders + i for i in makers)]
    before, after = solve(game, 10), solve(permuted(game, traders, makers), 10)
    np.testing.assert_allclose(after.payoffs, before.payoffs[order], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.inventories, before.inventories[:, order], atol=1e-9)


@FEW
@given(maker_taker_games(), number(-2.0, 2.0))
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
@given(maker_taker_games())
def test_the_two_sides_are_mirror_images(game):
    """Turn every inventory's sign and swap the flows: rates turn their sign, asks and bids change places."""
    one, other = solve(game, 10), solve(mirrored(game), 10)
    np.testing.assert_allclose(other.controls.rate, -one.controls.rate, atol=1e-9)
    np.testing.assert_allclose(other.controls.ask, one.controls.bid, atol=1e-9)
    np.testing.assert_allclose(other.payoffs, one.payoffs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("limit", [50.0, 200.0, 1e4])
def test_makers_whose_values_are_thousands_of_margins_apart(limit):
    """Their quotes are no search: with one step, penalties of 1,000, 10 and 1, and little to sell to."""
    game = MakerTakerGame(
        (-7.0,),
        (-8.0,) * 3,
        competition=SoftmaxShare(1.0),
        buy_flow=6.0,
        sell_flow=0.6,
        maker_terminal_penalty=(1e3, 10.0, 1.0),
        max_quote=limit,
    )
    nash = solve(game, 1)
    assert nash.iterations < 200
    assert exploitability(game, nash.controls, 1).gains.max() <= 1e-12 * np.abs(nash.payoffs).max()

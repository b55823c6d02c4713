"""Rung: Guo and Jin's FBSDE (3) and their Riccati equation, which the execution game approaches.

They are written out here from the paper's text, with the crowding ``pi`` of Remark 2.1(3), and solved by SciPy.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_bvp, solve_ivp

from makertaker.baselines import EquilibriumNotFound, continuous, solve
from makertaker.envs import ExecutionGame
from support.convergence import assert_second_order
from support.drawing import drawn, number
from support.execution_games import GAMES, HOMOGENEOUS, UNCROWDED
from support.functions import value_at, values_at

FEW = drawn(15)
STEPS = (20, 40, 80)
VARYING = {name: game for name, game in GAMES.items() if name.startswith("varying")}


def coefficients(game, t):
    """D, E, F, G of (3): as printed where ``pi = 1``; else from (1), ``(2 - pi) v^i + pi sum v = N/beta (y + ...)``."""
    count, alpha, beta = game.traders, value_at(game.permanent_impact, t), value_at(game.temporary_impact, t)
    penalties, ones = np.diag(2 * values_at(game.running_penalty, t, count)), np.ones((count, count))
    if game.crowding == 1:
        b = (count + 1) * np.eye(count) - ones  # N on the diagonal, -1 off it
        share = alpha / ((count + 1) * beta)
        return count / ((count + 1) * beta) * b, share * b, -share * ones, penalties - alpha * share / count * ones
    rates = np.linalg.inv((2 - game.crowding) * np.eye(count) + game.crowding * ones) * count / beta
    total = alpha / count * ones @ rates  # dY = 2 phi Q - alpha/N sum v
    return rates, rates * alpha / count, -total, penalties - total * alpha / count


def integrated(game, times):
    """``R' = G + F R - R E - R D R``, ``R_T = -L`` at increasing times, by SciPy."""
    count = game.traders

    def slope(t, x):
        r, (d, e, f, g) = x.reshape(count, count), coefficients(game, t)
        return (g + f @ r - r @ e - r @ d @ r).ravel()

    end = -np.diag(2 * values_at(game.terminal_penalty, 0.0, count)).ravel()
    found = solve_ivp(slope, (game.horizon, 0.0), end, "DOP853", times[::-1], rtol=1e-12, atol=1e-13)
    return found.y.T[::-1].reshape(-1, count, count)


def spread_from_type_s(matrices):
    """How far matrices are from equal diagonal and equal off-diagonal entries."""
    count = matrices.shape[-1]
    diagonal = matrices[:, np.eye(count, dtype=bool)]
    off = matrices[:, ~np.eye(count, dtype=bool)] if count > 1 else np.zeros((1, 1))
    return max(np.ptp(diagonal, axis=1).max(), np.ptp(off, axis=1).max())


def margin_27(game):
    """Theorem 2.7, case 2: ``2 beta phi c >= alpha^2`` with ``c = 2 + pi (N - 1)``, which is ``N + 1`` in the paper."""
    c = 2 + game.crowding * (game.traders - 1)
    return 2 * game.temporary_impact * game.running_penalty * c - game.permanent_impact**2


@st.composite
def theorem_27(draw):
    """Homogeneous agents who meet case 2 of Theorem 2.7."""
    count, pi, alpha = draw(st.integers(1, 5)), draw(st.one_of(st.just(1.0), number(0, 1.9))), draw(number(0, 2))
    beta, slack = draw(number(0.2, 2)), draw(number(1e-9, 1.5))
    return ExecutionGame(
        [draw(number(-3, 3)) for _ in range(count)],
        draw(number(0.2, 1.5)),
        permanent_impact=alpha,
        temporary_impact=beta,
        crowding=pi,
        running_penalty=alpha**2 / (2 * beta * (2 + pi * (count - 1))) + slack,
        terminal_penalty=draw(number(0, 4)),
    )


@FEW
@given(theorem_27())
def test_theorem_27_and_four_ways_to_the_riccati_matrix(game):
    assert margin_27(game) > 0
    times = np.linspace(0.0, game.horizon, 6)
    r = integrated(game, times)
    for method in ("closed form", "radon", "integrate", None):
        found = continuous.riccati(game, times, method)
        np.testing.assert_allclose(found, r, rtol=0, atol=1e-8 * max(1, np.abs(r).max()))
        assert np.abs(found - np.swapaxes(found, 1, 2)).max() <= 1e-8
        assert np.linalg.eigvalsh(found).max() <= 1e-8  # negative semi-definite
        assert spread_from_type_s(found) <= 1e-8


def test_theorem_27_without_permanent_impact():
    """Case 1: penalties may differ. R is symmetric and negative semi-definite, but of type (S) no more."""
    game = replace(UNCROWDED, permanent_impact=0.0, crowding=1.0)
    times = np.linspace(0.0, game.horizon, 6)
    r = continuous.riccati(game, times)
    np.testing.assert_allclose(r, integrated(game, times), atol=1e-9)
    np.testing.assert_allclose(r, np.swapaxes(r, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(r).max() < 0
    assert spread_from_type_s(r[:-1]) > 0.1


@pytest.mark.parametrize("crowding", [0.5, 1.0])
def test_heterogeneous_penalties_and_permanent_impact_break_the_symmetry(crowding):
    game = replace(UNCROWDED, crowding=crowding)
    times = np.linspace(0.0, game.horizon, 6)
    expected = integrated(game, times)
    assert np.abs(expected - np.swapaxes(expected, 1, 2)).max() > 1e-3
    for method in ("radon", "integrate"):
        np.testing.assert_allclose(continuous.riccati(game, times, method), expected, atol=1e-8)


def test_no_bounded_riccati_matrix():
    """Where case 2 fails by far, the mean mode blows up; each method says so."""
    game = ExecutionGame((1.0, 2.0, 3.0), 2.0, permanent_impact=6.0, temporary_impact=0.3, terminal_penalty=0.1)
    assert margin_27(game) < 0
    for method in ("closed form", "radon", "integrate"):
        with pytest.raises(EquilibriumNotFound, match="no bounded solution"):
            continuous.riccati(game, [0.0, 1.0, 2.0], method)


@pytest.mark.parametrize("game", [replace(HOMOGENEOUS, crowding=1.6), *VARYING.values()])
def test_slope_approaches_the_riccati_matrix_at_second_order(game):
    times = np.linspace(0.0, game.horizon, STEPS[0] + 1)  # nodes that all grids have
    expected = integrated(game, times)
    np.testing.assert_allclose(continuous.riccati(game, times), expected, atol=1e-9)
    errors = [np.abs(solve(game, steps).slope[:: steps // STEPS[0]] - expected).max() for steps in STEPS]
    assert_second_order(errors, above=1e-7)


def boundary_value_problem(game):
    """The solution ``(Q, Y, w)`` of (3) without noise (``dM = 0``), a function of times, by SciPy's collocation."""
    count = game.traders
    inverse = np.linalg.inv((2 - game.crowding) * np.eye(count) + game.crowding * np.ones((count, count)))

    def rates(t, x):  # (2), for any crowding
        q, y, w = x[:count], x[count:-1], x[-1]
        return inverse @ (
            (count * (y - w) + value_at(game.permanent_impact, t) * q) / value_at(game.temporary_impact, t)
        )

    def slope(t, x):
        v, alpha = rates(t, x), value_at(game.permanent_impact, t)
        costs = 2 * values_at(game.running_penalty, t, count) * x[:count] - alpha / count * v.sum(axis=0)
        return np.concatenate([v, costs, [alpha * (value_at(game.buy_flow, t) - value_at(game.sell_flow, t))]])

    def ends(start, end):
        terminal = end[count:-1] + 2 * np.array(game.terminal_penalty) * end[:count] - end[-1]
        return np.concatenate([start[:count] - game.initial_inventory, terminal, [start[-1]]])

    mesh = np.linspace(0.0, game.horizon, 101)
    found = solve_bvp(slope, ends, mesh, np.zeros((2 * count + 1, len(mesh))), tol=1e-10, max_nodes=20_000)
    assert found.success, found.message
    return found.sol, lambda t: rates(t, found.sol(t))


@pytest.mark.parametrize("game", VARYING.values(), ids=VARYING)
def test_equilibrium_approaches_the_papers_at_second_order(game):
    count = game.traders
    path, rates = boundary_value_problem(game)
    start = path(0.0)
    field = continuous.field(game, np.array([0.0]))
    np.testing.assert_allclose(field.slope[0] @ start[:count] + field.offset[0], start[count:-1], atol=1e-8)
    errors = {"inventories": [], "rates": [], "adjoints": [], "adjoints at nodes": []}
    for steps in STEPS:
        equilibrium = solve(game, steps)
        times = equilibrium.times
        nodes, middle = path(times), (times[1:] + times[:-1]) / 2
        errors["inventories"].append(np.abs(equilibrium.inventories - nodes[:count].T).max())
        errors["rates"].append(np.abs(equilibrium.controls.rate - rates(middle).T).max())
        errors["adjoints"].append(np.abs(equilibrium.adjoints - path(middle)[count:-1].T).max())
        field = [equilibrium.adjoint(k, q) for k, q in enumerate(equilibrium.inventories)]
        errors["adjoints at nodes"].append(np.abs(np.array(field) - nodes[count:-1].T).max())
    for each in errors.values():
        assert_second_order(each, above=1e-7)

"""Execution games with penalties, sizes and units of any magnitude, against solutions with 60 digits."""

from dataclasses import replace

import numpy as np
import pytest
from mpmath import matrix, mp, mpf

from makertaker.baselines import exploitability, solve
from makertaker.envs import ExecutionGame


def sixty_digits(game, steps):
    """(K, N) Nash rates: everyone's derivative of the grid payoff in every rate of its own is zero. The derivatives are
    written out from Section 2's payoff, with the inventory linear within a step; solved by elimination."""
    with mp.workdps(60):
        n, h = game.traders, mpf(game.horizon) / steps
        alpha, beta, pi = (mpf(each) for each in (game.permanent_impact, game.temporary_impact, game.crowding))
        phi, end = (
            [mpf(each) for each in np.broadcast_to(value, n).tolist()]
            for value in (game.running_penalty, game.terminal_penalty)
        )
        start, net = [mpf(each) for each in game.initial_inventory], mpf(game.buy_flow) - mpf(game.sell_flow)
        size = n * steps
        left, right = matrix(size, size), matrix(size, 1)

        def inventory(row, factor, i, m):
            """Add ``factor Q^i_m`` to an equation."""
            right[row] -= factor * start[i]
            for k in range(m):
                left[row, k * n + i] += factor * h

        for k in range(steps):
            for i in range(n):
                row = k * n + i
                for m in (k, k + 1):  # trading moves the price that the inventory is held at
                    inventory(row, alpha / n / 2, i, m)
                for m in range(k, steps):
                    weight = h / 2 if m == k else h
                    right[row] -= weight * alpha * net
                    for j in range(n):
                        left[row, m * n + j] += weight * alpha / n
                    inventory(row, -phi[i] * h / 3 * (1 if m == k else 3), i, m)
                    inventory(row, -phi[i] * h / 3 * (2 if m == k else 3), i, m + 1)
                inventory(row, -2 * end[i], i, steps)
                for j in range(n):
                    left[row, k * n + j] -= beta / n * (2 if j == i else pi)
        found = mp.lu_solve(left, right)
        return np.array([float(each) for each in found]).reshape(steps, n)


BASE = ExecutionGame((-5.0, 3.0, 2.0), permanent_impact=0.3, crowding=0.5, running_penalty=0.2)
APART = replace(BASE, running_penalty=(0.2, 0.0, 1.0))
"""agents that are not alike are solved by matrices, others by two modes"""


def assert_exact(game, steps):
    game = replace(game, max_rate=1e30)
    found, expected = solve(game, steps), sixty_digits(game, steps)
    np.testing.assert_allclose(found.controls.rate, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    size = np.abs(found.payoffs).max()
    assert exploitability(game, found.controls, steps).gains.max() <= 1e-9 * size


@pytest.mark.parametrize("terminal", [1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("game", [BASE, APART], ids=["alike", "apart"])
def test_terminal_penalties(game, terminal):
    scale = terminal if game is BASE else tuple(terminal * np.array([1.0, 0.5, 2.0]))
    assert_exact(replace(game, terminal_penalty=scale), 20)


@pytest.mark.parametrize("running", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("game", [BASE, APART], ids=["alike", "apart"])
def test_running_penalties(game, running):
    scale = running if game is BASE else tuple(running * np.array([1.0, 0.5, 2.0]))
    assert_exact(replace(game, running_penalty=scale), 20)


ALMGREN_CHRISS = ExecutionGame(
    (1e6,),
    horizon=5.0,
    temporary_impact=2.5e-6,
    permanent_impact=2.5e-7,
    running_penalty=1.8e-6,
    terminal_penalty=1.0,
)
"""the example of Almgren and Chriss (2000): a million shares in five days"""


@pytest.mark.parametrize(
    "game",
    [
        ALMGREN_CHRISS,
        replace(ALMGREN_CHRISS, initial_inventory=(1e6, 5e5)),
        replace(BASE, initial_inventory=(-1e6, 3e5, 2e5)),
        replace(BASE, permanent_impact=3e-5, temporary_impact=5e-5, running_penalty=2e-5, terminal_penalty=1e-4),
        replace(BASE, horizon=23_400.0, temporary_impact=0.5 * 23_400, running_penalty=0.2 / 23_400),
        replace(APART, initial_inventory=(-1e-7, 1e-3, 1e5), buy_flow=1e3, horizon=1e-6),
    ],
    ids=["almgren-chriss", "two of them", "a million shares", "tiny prices", "seconds", "all at once"],
)
def test_units(game):
    assert_exact(game, 20)


@pytest.mark.parametrize("steps", [50, 400])
@pytest.mark.parametrize("terminal", [1e2, 1e5, 1e8, 1e12])
def test_a_constant_rate_on_long_grids(terminal, steps):
    """Without running penalty and permanent impact one trader trades at ``-A q / (beta + A T)``."""
    game = ExecutionGame((-5.0,), horizon=2.0, terminal_penalty=terminal)
    rates = solve(game, steps).controls.rate
    np.testing.assert_allclose(rates, 5.0 * terminal / (0.5 + 2 * terminal), rtol=1e-12)


def test_nothing_to_trade_is_a_solution():
    found = solve(ExecutionGame((0.0, 0.0)), 10)
    assert found.converged
    assert not found.controls.rate.any()

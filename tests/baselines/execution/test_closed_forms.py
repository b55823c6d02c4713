"""Rung: closed forms of the execution game, by Almgren and Chriss (2001) and by Carlin, Lobo and Viswanathan (2007)."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from makertaker.baselines import continuous, solve
from makertaker.envs import ExecutionGame
from support.drawing import drawn, number

DRAWN = drawn(40)


@DRAWN
@given(number(-5, 5), number(0.3, 2), number(0.2, 2), number(0.05, 3), number(0.5, 5), number(0, 1), st.integers(1, 20))
def test_almgren_chriss(start, horizon, beta, phi, terminal, alpha, steps):
    """One trader: ``beta Q'' = phi Q``, ``beta Q'_T = -A Q_T``; a constant ``alpha`` shifts A, ``int alpha Q dQ``.

    On the grid ``(2 beta / dt - phi dt / 3) (Q_{k-1} + Q_{k+1}) = (4 beta / dt + 4 phi dt / 3) Q_k`` from the
    derivative of the payoff in ``Q_k``, and the one in ``Q_K`` gives the other coefficient.
    """
    game = ExecutionGame((start,), horizon, alpha, beta, 1.0, phi, terminal, max_rate=1e4)
    net, kappa = terminal - alpha / 2, np.sqrt(phi / beta)

    def shape(left):
        return np.cosh(kappa * left) + net / (beta * kappa) * np.sinh(kappa * left)

    times = np.linspace(0.0, horizon, 9)
    path = continuous.path(game, times)
    np.testing.assert_allclose(path.inventories[:, 0], start * shape(horizon - times) / shape(horizon), atol=1e-10)

    dt = horizon / steps
    near = 2 * beta / dt - phi * dt / 3
    assume(near > 0.1)  # steps short enough for hyperbolic functions
    discrete = np.arccosh((2 * beta / dt + 2 * phi * dt / 3) / near)
    left = np.arange(steps, -1, -1)
    inventories = np.cosh(discrete * left) + 2 * net / (near * np.sinh(discrete)) * np.sinh(discrete * left)
    np.testing.assert_allclose(solve(game, steps).inventories[:, 0], start * inventories / inventories[0], atol=1e-10)


def test_almgren_chriss_with_a_hard_constraint():
    """``A -> infinity``: the trajectory ``sinh(kappa (T - t)) / sinh(kappa T)`` of Almgren and Chriss (2001)."""
    game = ExecutionGame((3.0,), 2.0, running_penalty=2.0, terminal_penalty=1e11)
    times, kappa = np.linspace(0.0, 2.0, 9), 2.0
    expected = 3 * np.sinh(kappa * (2.0 - times)) / np.sinh(kappa * 2.0)
    np.testing.assert_allclose(continuous.path(game, times).inventories[:, 0], expected, atol=1e-10)


@pytest.mark.parametrize("start", [(5.0, 0.0), (4.0, -1.0, 2.0, 0.5)])
def test_carlin_lobo_viswanathan(start):
    """Without penalties but a hard end, ``v^i = a exp(-(N-1)/(N+1) alpha t/beta) + b_i exp(alpha t/beta)``."""
    alpha, beta, horizon, count = 0.8, 0.5, 1.5, len(start)
    decay, growth = -(count - 1) / (count + 1) * alpha / beta, alpha / beta
    mean = np.mean(start)
    a = -mean * decay / np.expm1(decay * horizon)  # int v = -q_0
    b = -(np.array(start) - mean) * growth / np.expm1(growth * horizon)
    times = np.linspace(0.0, horizon, 7)
    expected = a * np.exp(decay * times)[:, None] + b * np.exp(growth * times)[:, None]
    errors = []
    for terminal in (1e4, 1e5, 1e6, 1e10):
        game = ExecutionGame(
            start, horizon, permanent_impact=alpha, temporary_impact=beta, terminal_penalty=terminal, crowding=1.0
        )
        errors.append(np.abs(continuous.path(game, times).rates - expected).max())
    ratios = np.divide(errors[:2], errors[1:3])
    assert ((ratios > 9.9) & (ratios < 10.1)).all(), errors  # an error c / A
    assert errors[-1] < 1e-7

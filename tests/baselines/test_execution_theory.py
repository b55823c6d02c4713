"""Rung: the execution game (Section 2) without a factor, its equilibria and reference points.

Guo and Jin's FBSDE (3) and their Riccati equation are written out here from the paper's text, with the crowding ``pi``
of Remark 2.1(3), and solved by SciPy; Almgren-Chriss and Carlin-Lobo-Viswanathan (2007) are closed forms. What the
grid game's solvers claim is checked by payoffs alone: they are quadratic in the rates, so differences of ``simulate``
give gradients and Hessians without truncation error. ``simulate`` itself is checked against the paper's payoff.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_bvp, solve_ivp

from makertaker.baselines import EquilibriumNotFound, best_response, continuous, exploitability, solve
from makertaker.baselines.execution import linear_system as linear
from makertaker.envs import Controls, ExecutionGame, simulate

DRAWN = settings(max_examples=40, deadline=None, derandomize=True)
FEW = settings(max_examples=15, deadline=None, derandomize=True)
STEPS = (20, 40, 80)


def number(low, high):
    return st.floats(low, high, allow_nan=False)


def wave(mean, amplitude, frequency):
    return lambda t: mean * (1 + amplitude * np.sin(frequency * t))


GAMES = {
    "one trader": ExecutionGame((-4.0,), permanent_impact=0.4, crowding=0.7, running_penalty=0.3, terminal_penalty=1.5),
    "homogeneous": ExecutionGame(
        (-5.0, 2.0, 4.0), 1.3, permanent_impact=0.5, running_penalty=0.4, terminal_penalty=0.9, buy_flow=1.5
    ),
    "heterogeneous, no crowding": ExecutionGame(
        (3.0, -1.0),
        0.8,
        permanent_impact=0.7,
        temporary_impact=0.4,
        crowding=0.0,
        running_penalty=(0.2, 1.1),
        terminal_penalty=(2.0, 0.5),
    ),
    "varying, heterogeneous, crowded": ExecutionGame(
        (-6.0, 1.0, 3.0),
        1.5,
        permanent_impact=wave(0.5, 0.6, 3.0),
        temporary_impact=wave(0.6, -0.4, 2.0),
        crowding=1.4,
        running_penalty=(wave(0.4, 0.5, 4.0), lambda t: 0.3 + 0.5 * t, 0.2),
        terminal_penalty=(1.0, 0.6, 1.8),
        buy_flow=lambda t: 2.0 * np.exp(-t),
        sell_flow=wave(0.8, 0.9, 5.0),
    ),
    "varying, heterogeneous, weakly crowded": ExecutionGame(
        (4.0, 2.5, -1.0),
        permanent_impact=lambda t: 0.8 - 0.5 * t,
        temporary_impact=lambda t: 0.3 + 0.4 * t**2,
        crowding=0.6,
        running_penalty=(0.5, wave(0.6, 0.7, 6.0), 0.1),
        terminal_penalty=(0.5, 1.2, 0.8),
        buy_flow=wave(1.0, 0.8, 2.0),
        sell_flow=lambda t: 1.5 * t,
    ),
}
VARYING = [name for name in GAMES if name.startswith("varying")]
everywhere = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


@st.composite
def games(draw, most=4):
    """Penalties of each agent's own, impacts that vary, and an equilibrium: the terminal penalty outweighs alpha."""
    count = draw(st.integers(1, most))

    def several(low, high):
        return [draw(number(low, high)) for _ in range(count)]

    return ExecutionGame(
        several(-5, 5),
        draw(number(0.3, 1.5)),
        permanent_impact=wave(draw(number(0, 0.4)), draw(number(-0.5, 0.5)), 3.0),
        temporary_impact=wave(draw(number(0.3, 2)), draw(number(-0.5, 0.5)), 2.0),
        crowding=draw(number(0, 1.9)),
        running_penalty=several(0, 2),
        terminal_penalty=several(0.5, 3),
        buy_flow=draw(number(0, 3)),
        sell_flow=wave(draw(number(0, 2)), 0.7, 4.0),
        max_rate=1e4,
    )


def at(parameter, t):
    return parameter(t) if callable(parameter) else parameter + 0.0 * t


def everyone(parameter, count):
    return parameter if isinstance(parameter, tuple | list) else [parameter] * count


def each(parameter, t, count):
    """A per-agent parameter at time ``t``, agents first."""
    return np.array([at(one, t) for one in everyone(parameter, count)])


# ---------------------------------------------------------------- payoffs: the paper's, and differences of them


def paper_payoffs(game, rates):
    """First line of the objective in Section 2, less ``P_0 q_0``: rates (K, N) and coefficients constant on steps.

    On a step Q and S are linear in time, so the integrand is quadratic and 2-point Gauss is exact.
    """
    steps, count = rates.shape
    edges = np.linspace(0.0, game.horizon, steps + 1)
    price, held, payoff = 0.0, np.array(game.initial_inventory), np.zeros(count)
    for v, start, end in zip(rates, edges[:-1], edges[1:], strict=True):
        dt = end - start

        def mean(parameter, start=start, end=end, dt=dt):
            return quad(lambda t: float(at(parameter, t)), start, end, epsabs=1e-13)[0] / dt

        alpha, beta = mean(game.permanent_impact), mean(game.temporary_impact)
        phi = np.array([mean(one) for one in everyone(game.running_penalty, count)])
        drift = alpha / count * v.sum() + alpha * (mean(game.buy_flow) - mean(game.sell_flow))
        for s in dt * (1 + np.array([-1, 1]) / np.sqrt(3)) / 2:
            transaction = price + drift * s + beta / count * (v + game.crowding * (v.sum() - v))
            payoff += dt / 2 * (-transaction * v - phi * (held + v * s) ** 2)
        price, held = price + drift * dt, held + dt * v
    return payoff + price * held - np.array(game.terminal_penalty) * held**2


class Forms(NamedTuple):
    """``J^i(x) = base^i + slope^i x + x' hessian^i x / 2`` in all rates ``x``, (K N,), step by step."""

    base: np.ndarray
    slope: np.ndarray
    hessian: np.ndarray

    def own(self, i):
        """Agent ``i``'s part of its own Hessian, (K, K)."""
        return self.hessian[i][i :: len(self.base), i :: len(self.base)]

    def gradients(self, rates):
        """Of everybody's payoff in its own rates, (N, K)."""
        count = len(self.base)
        return np.stack([(g + h @ rates.ravel())[i::count] for i, (g, h) in enumerate(zip(*self[1:], strict=True))])

    def nash(self):
        """The rates (K, N) at which all these gradients vanish, by one dense system."""
        count, size = self.slope.shape
        matrix, right = np.empty((size, size)), np.empty(size)
        for i in range(count):
            matrix[i::count], right[i::count] = self.hessian[i][i::count], -self.slope[i, i::count]
        return np.linalg.solve(matrix, right).reshape(-1, count)


def quadratic(function, size):
    """Value, gradient and Hessian at 0 of quadratic functions (points, size) -> (points, m): (m,), (m, size), ..."""
    unit = np.eye(size)
    first, second = np.triu_indices(size, 1)
    points = np.concatenate([np.zeros((1, size)), unit, -unit, unit[first] + unit[second]])
    base, plus, minus, pairs = np.split(function(points), [1, 1 + size, 1 + 2 * size])
    hessian = np.zeros((base.shape[1], size, size))
    hessian[:, np.arange(size), np.arange(size)] = (plus + minus - 2 * base).T
    hessian[:, first, second] = hessian[:, second, first] = (pairs - plus[first] - plus[second] + base).T
    return base[0], (plus - minus).T / 2, hessian


def forms(game, steps):
    def payoffs(points):
        return simulate(game, Controls(points.reshape(-1, steps, game.traders)), steps).payoffs

    return Forms(*quadratic(payoffs, steps * game.traders))


@everywhere
def test_payoffs_are_the_papers(game):
    rates = np.random.default_rng(0).uniform(-3, 3, (5, game.traders))
    np.testing.assert_allclose(simulate(game, Controls(rates), 5).payoffs, paper_payoffs(game, rates), rtol=1e-12)


# ---------------------------------------------------------------- (3) and its Riccati equation


def coefficients(game, t):
    """D, E, F, G of (3): as printed where ``pi = 1``; else from (1), ``(2 - pi) v^i + pi sum v = N/beta (y + ...)``."""
    count, alpha, beta = game.traders, at(game.permanent_impact, t), at(game.temporary_impact, t)
    penalties, ones = np.diag(2 * each(game.running_penalty, t, count)), np.ones((count, count))
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

    end = -np.diag(2 * each(game.terminal_penalty, 0.0, count)).ravel()
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
    game = replace(GAMES["heterogeneous, no crowding"], permanent_impact=0.0, crowding=1.0)
    times = np.linspace(0.0, game.horizon, 6)
    r = continuous.riccati(game, times)
    np.testing.assert_allclose(r, integrated(game, times), atol=1e-9)
    np.testing.assert_allclose(r, np.swapaxes(r, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(r).max() < 0
    assert spread_from_type_s(r[:-1]) > 0.1


@pytest.mark.parametrize("crowding", [0.5, 1.0])
def test_heterogeneous_penalties_and_permanent_impact_break_the_symmetry(crowding):
    game = replace(GAMES["heterogeneous, no crowding"], crowding=crowding)
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


def assert_second_order(errors):
    """An error ``c dt^2 + O(dt^4)`` falls by 4 where the step halves."""
    for what, sizes in errors.items():
        ratios = np.divide(sizes[:-1], sizes[1:])
        assert ((ratios > 3.8) & (ratios < 4.2)).all(), (what, sizes, ratios)
        assert sizes[-1] > 1e-7, (what, sizes)  # well above the reference's error


@pytest.mark.parametrize("game", [replace(GAMES["homogeneous"], crowding=1.6), *map(GAMES.get, VARYING)])
def test_slope_approaches_the_riccati_matrix_at_second_order(game):
    times = np.linspace(0.0, game.horizon, STEPS[0] + 1)  # nodes that all grids have
    expected = integrated(game, times)
    np.testing.assert_allclose(continuous.riccati(game, times), expected, atol=1e-9)
    errors = [np.abs(solve(game, steps).slope[:: steps // STEPS[0]] - expected).max() for steps in STEPS]
    assert_second_order({"slope": errors})


def boundary_value_problem(game):
    """The solution ``(Q, Y, w)`` of (3) without noise (``dM = 0``), a function of times, by SciPy's collocation."""
    count = game.traders
    inverse = np.linalg.inv((2 - game.crowding) * np.eye(count) + game.crowding * np.ones((count, count)))

    def rates(t, x):  # (2), for any crowding
        q, y, w = x[:count], x[count:-1], x[-1]
        return inverse @ ((count * (y - w) + at(game.permanent_impact, t) * q) / at(game.temporary_impact, t))

    def slope(t, x):
        v, alpha = rates(t, x), at(game.permanent_impact, t)
        costs = 2 * each(game.running_penalty, t, count) * x[:count] - alpha / count * v.sum(axis=0)
        return np.concatenate([v, costs, [alpha * (at(game.buy_flow, t) - at(game.sell_flow, t))]])

    def ends(start, end):
        terminal = end[count:-1] + 2 * np.array(game.terminal_penalty) * end[:count] - end[-1]
        return np.concatenate([start[:count] - game.initial_inventory, terminal, [start[-1]]])

    mesh = np.linspace(0.0, game.horizon, 101)
    found = solve_bvp(slope, ends, mesh, np.zeros((2 * count + 1, len(mesh))), tol=1e-10, max_nodes=20_000)
    assert found.success, found.message
    return found.sol, lambda t: rates(t, found.sol(t))


@pytest.mark.parametrize("name", VARYING)
def test_equilibrium_approaches_the_papers_at_second_order(name):
    game = GAMES[name]
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
    assert_second_order(errors)


# ---------------------------------------------------------------- closed forms


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


# ---------------------------------------------------------------- the grid's own equilibrium


@everywhere
def test_equilibrium_is_one(game):
    steps = 6
    equilibrium, payoffs = solve(game, steps), forms(game, steps)
    rates = equilibrium.controls.rate
    np.testing.assert_allclose(rates, payoffs.nash(), atol=1e-10)
    assert np.abs(payoffs.gradients(rates)).max() <= 1e-10
    assert all(np.linalg.eigvalsh(payoffs.own(i)).max() < 0 for i in range(game.traders))  # maxima
    result = exploitability(game, equilibrium.controls, steps)
    assert np.abs(result.gains).max() <= 1e-9
    np.testing.assert_allclose(result.payoffs, equilibrium.payoffs, rtol=1e-12)


@everywhere
def test_automatic_differentiation_agrees(game):
    torch = pytest.importorskip("torch")
    rates = torch.tensor(solve(game, 30).controls.rate, requires_grad=True)
    payoffs = simulate(game, Controls(rates), 30).payoffs
    for i in range(game.traders):
        (gradient,) = torch.autograd.grad(payoffs[i], rates, retain_graph=True)
        assert gradient[:, i].abs().max() <= 1e-11


@FEW
@given(games(most=3), st.integers(0, 99))
def test_gains_of_best_responses(game, seed):
    """``-g' H^{-1} g / 2``: what a concave quadratic function gains at its maximum."""
    steps = 5
    rates = np.random.default_rng(seed).uniform(-4, 4, (steps, game.traders))
    payoffs, result = forms(game, steps), exploitability(game, Controls(rates), steps)
    gradients = payoffs.gradients(rates)
    for i, agent in enumerate(game.agents):
        step = -np.linalg.solve(payoffs.own(i), gradients[i])
        response = best_response(game, Controls(rates), agent, steps)
        np.testing.assert_allclose(response.controls.rate[:, i], rates[:, i] + step, atol=1e-9)
        np.testing.assert_allclose([result.gains[i], response.gain], gradients[i] @ step / 2, rtol=1e-9, atol=1e-10)


@DRAWN
@given(games(most=5), st.integers(1, 12), st.booleans())
def test_three_solvers_agree(game, steps, same):
    if same:
        game = replace(game, running_penalty=game.running_penalty[0], terminal_penalty=game.terminal_penalty[0])
    c = game.coefficients(np.linspace(0.0, game.horizon, steps + 1))
    drift = c.permanent_impact * (c.buy_flow - c.sell_flow)
    arguments = c, game.crowding, game.horizon / steps, game.start, drift
    expected = linear.rates_by_matrices(*arguments)
    np.testing.assert_allclose(linear.rates_by_aggregate(*arguments), expected, atol=1e-10)
    if linear.homogeneous(c):
        np.testing.assert_allclose(linear.rates_by_modes(*arguments), expected, atol=1e-10)
    np.testing.assert_allclose(solve(game, steps).controls.rate, expected, atol=1e-10)


def test_many_agents():
    """Above 48 agents the total rate decouples them, even where an agent's pivot is not positive then.

    With hardly a penalty, that pivot in the last step is ``(2 - pi) beta - alpha dt / 2`` over N: here 0.05 - 0.45.
    """
    rng = np.random.default_rng(0)
    start, phi = rng.uniform(-5, 5, 60), rng.uniform(0.1, 2, 60)
    mild = ExecutionGame(start, permanent_impact=0.5, running_penalty=phi, terminal_penalty=phi + 0.4)
    strong = ExecutionGame(start, 1.0, 1.8, 1.0, 1.95, running_penalty=1e-5 * phi, terminal_penalty=0.0)
    for game, steps in ((mild, 8), (strong, 2)):
        equilibrium = solve(game, steps)
        assert "agents decoupled given the total rate" in equilibrium.message
        assert np.abs(exploitability(game, equilibrium.controls, steps).gains).max() <= 1e-9


# ---------------------------------------------------------------- invariants


def outcome(game, steps):
    equilibrium = solve(game, steps)
    return equilibrium.controls.rate, equilibrium.payoffs


def same(game, steps, expected, **changes):
    for found, each in zip(outcome(replace(game, **changes), steps), expected, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-9, atol=1e-9)


@DRAWN
@given(games(), st.integers(1, 10), st.randoms(use_true_random=False))
def test_order_of_the_agents(game, steps, random):
    order = random.sample(range(game.traders), game.traders)
    rates, payoffs = outcome(game, steps)
    names = ("initial_inventory", "running_penalty", "terminal_penalty")
    shuffled = {name: [getattr(game, name)[i] for i in order] for name in names}
    same(game, steps, (rates[:, order], payoffs[order]), **shuffled)


@DRAWN
@given(games(), st.integers(1, 10), number(-3, 3))
def test_scale_and_sign_of_inventories_and_net_flow(game, steps, factor):
    """The problem is linear-quadratic: rates scale with (q, b - a), payoffs with its square; -1 mirrors everything."""
    rates, payoffs = outcome(game, steps)
    buys, sells = (game.buy_flow, game.sell_flow) if factor >= 0 else (game.sell_flow, game.buy_flow)
    scaled = {
        "initial_inventory": [factor * q for q in game.initial_inventory],
        "buy_flow": lambda t: abs(factor) * at(buys, t),
        "sell_flow": lambda t: abs(factor) * at(sells, t),
    }
    same(game, steps, (factor * rates, factor**2 * payoffs), **scaled)


@DRAWN
@given(games(), st.integers(1, 10), number(0.2, 5))
def test_unit_of_time(game, steps, unit):
    """T -> c T, beta -> c beta, phi -> phi / c and flows likewise, alpha and A as they are: rates / c, same payoffs."""
    rates, payoffs = outcome(game, steps)

    def slowed(parameter, scale):
        return lambda t: scale * at(parameter, t / unit)

    changes = {
        "horizon": unit * game.horizon,
        "permanent_impact": slowed(game.permanent_impact, 1),
        "temporary_impact": slowed(game.temporary_impact, unit),
        "running_penalty": [phi / unit for phi in game.running_penalty],
        "buy_flow": slowed(game.buy_flow, 1 / unit),
        "sell_flow": slowed(game.sell_flow, 1 / unit),
    }
    same(game, steps, (rates / unit, payoffs), **changes)


@DRAWN
@given(games(), st.integers(1, 10), number(0, 4))
def test_only_the_net_flow_matters(game, steps, more):
    changes = {name: lambda t, name=name: at(getattr(game, name), t) + more for name in ("buy_flow", "sell_flow")}
    same(game, steps, outcome(game, steps), **changes)

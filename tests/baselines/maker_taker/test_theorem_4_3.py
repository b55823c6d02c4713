"""Rung: the structure that Guo and Jin prove for their model of one buyer and two makers (Section 4).

Theorem 4.3 gives, without running penalties, the Riccati matrix in closed form and a lower bound (26) on the buyer's
rate; the proof of Theorem 4.2 orders makers by inventory. Markets are drawn by Hypothesis.
"""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad

from makertaker.baselines import solve
from makertaker.baselines.maker_taker.system import GameSystem
from makertaker.envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact
from support.convergence import assert_second_order
from support.drawing import drawn, number
from support.functions import averages, wave

DRAWN = drawn(40)
WIDE = {"max_rate": 1e4, "max_quote": 1e3}  # Theorem 4.1 is about truncations large enough to have no effect

# (22) acts on (Q^{1,m}, Q^{2,m}, Q^{1,e}); the package has the trader first
PAPER_ORDER = [1, 2, 0]
COORDINATES = np.array([[1.0, 0.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 0.0, 1.0]])


WAVES = st.builds(wave, number(0.3, 2.0), number(-0.8, 0.8), number(1.0, 6.0))


@st.composite
def acas(draw, impact=None, flow=None, **fixed):
    """One buyer, two makers with ``q^1 > q^2``, a common ``A`` and no running penalty.

    Not ``q^1 = q^2``: rounding then decides which maker is the best at a step, and derivatives are one-sided.
    """
    impact = number(0.2, 2.0) if impact is None else impact
    flow = number(0.0, 2.0) if flow is None else flow
    second = draw(number(-2.0, 2.0))
    terminal = draw(number(0.2, 3.0))
    return MakerTakerGame(
        trader_inventory=[-draw(number(0.5, 8.0))],
        maker_inventory=[second + draw(number(0.01, 2.0)), second],
        horizon=draw(number(0.3, 2.0)),
        competition=BestQuote(Exponential(draw(number(0.3, 2.0)))),
        impact=QuadraticImpact(draw(impact)),
        trader_terminal_penalty=terminal,
        maker_terminal_penalty=terminal,
        buy_flow=draw(flow),
        sell_flow=draw(flow),
        **{"min_rate": draw(st.sampled_from([0.0, 0.5])), **WIDE, **fixed},
    )


def matrix_g(game, adjoints, beta, buys, sells):
    """(24), or (25) where the buyer is at its floor, for one moment; adjoints (Y^{1,e}, Y^{1,m}, Y^{2,m})."""
    gamma = game.competition.intensity.gamma
    y2, ye = adjoints[1] - adjoints[2], adjoints[0] - adjoints[1]  # calligraphic Y^{2,m}, Y^{1,e} of (22)
    up, down = np.exp(gamma * y2), np.exp(-gamma * y2)
    rate = (ye - 1 / gamma) / (2 * beta)
    free = rate > game.min_rate
    volume = buys + (rate if free else game.min_rate)
    move = 1 / (2 * beta) if free else 0.0
    return np.array(
        [
            [gamma * (volume + sells) * (up + down), -move * (down - up)],
            [-gamma * (volume * down + sells * up), move * (1 + down)],
        ]
    )


def transformed_slope(equilibrium):
    """``eq.slope`` in the coordinates of (22): both inventories and adjoints change by the same matrix."""
    slope = equilibrium.slope[:, PAPER_ORDER][:, :, PAPER_ORDER]
    return COORDINATES @ slope @ np.linalg.inv(COORDINATES)


def closed_form(game, integral):
    """Theorem 4.3: ``R = -2 A [I + 2 A int_t^T G]^{-1}``."""
    terminal = game.maker_terminal_penalty
    return -2 * terminal * np.linalg.inv(np.eye(2) + 2 * terminal * integral)


def check_slope(equilibrium, integrals, tolerance):
    """Compare with the closed form, from ``int_t^T G`` at the nodes (K+1, 2, 2).

    No rate depends on the level Y^{1,m} but only on differences, so the first column of the 3x3 matrix is (-2A, 0, 0)
    and the block of (Q^{2,m}, Q^{1,e}) is a Riccati equation of its own, the one of Theorem 4.2.
    """
    slope = transformed_slope(equilibrium)
    scale = 2 * equilibrium.game.maker_terminal_penalty
    np.testing.assert_allclose(slope[:, :, 0], np.tile([-scale, 0.0, 0.0], (len(slope), 1)), atol=1e-9 * scale)
    expected = np.stack([closed_form(equilibrium.game, each) for each in integrals])
    np.testing.assert_allclose(slope[:, 1:, 1:], expected, rtol=0, atol=tolerance * scale)
    assert (slope[:, 1:, 1:] <= 1e-12 * scale).all()


def tail_sums(steps):
    """Sums over the steps from k on, (K+1, 2, 2)."""
    return np.concatenate([np.cumsum(steps[::-1], axis=0)[::-1], np.zeros((1, 2, 2))])


def solved(game, steps):
    equilibrium = solve(game, steps)
    assert "truncated" not in equilibrium.message
    rate = equilibrium.adjoints[:, 0] - equilibrium.adjoints[:, 1] - 1 / game.competition.intensity.gamma
    floor = 2 * game.coefficients(equilibrium.times).impact[:, 0] * game.min_rate
    assume((np.abs(rate - floor) > 1e-6).all())  # (24) and (25) meet at the floor: the matrix jumps
    return equilibrium


@DRAWN
@given(acas(), st.integers(1, 30))
def test_riccati_matrix_with_constant_coefficients(game, steps):
    """Adjoints are constant, so ``int_t^T G = (T - t) G``; exact on every grid."""
    equilibrium = solved(game, steps)
    g = matrix_g(game, equilibrium.adjoints[0], game.impact.beta, game.buy_flow, game.sell_flow)
    check_slope(equilibrium, (game.horizon - equilibrium.times)[:, None, None] * g, 1e-10)


@DRAWN
@given(acas(flow=WAVES), st.integers(1, 30))
def test_riccati_matrix_with_varying_flows(game, steps):
    """G is linear in the flows, which the grid integrates exactly: the paper's integral, whatever the grid."""
    equilibrium = solved(game, steps)
    flows = [
        [quad(flow, t, game.horizon, epsabs=1e-13)[0] for t in equilibrium.times]
        for flow in (game.buy_flow, game.sell_flow)
    ]
    zero = matrix_g(game, equilibrium.adjoints[0], game.impact.beta, 0.0, 0.0)
    unit = [matrix_g(game, equilibrium.adjoints[0], game.impact.beta, *each) - zero for each in ((1, 0), (0, 1))]
    rest = game.horizon - equilibrium.times
    integrals = sum(np.multiply.outer(each, g) for each, g in ((rest, zero), (flows[0], unit[0]), (flows[1], unit[1])))
    check_slope(equilibrium, integrals, 1e-10)


@DRAWN
@given(acas(impact=WAVES, flow=WAVES), st.integers(1, 30))
def test_riccati_matrix_with_varying_impact(game, steps):
    """The grid game has the impact's mean over each step: with it, the sum of G over steps is exact."""
    equilibrium = solved(game, steps)
    parameters = (game.impact.beta, game.buy_flow, game.sell_flow)
    means = [averages(each, equilibrium.times) for each in parameters]
    dt = game.horizon / steps
    pieces = [dt * matrix_g(game, *each) for each in zip(equilibrium.adjoints, *means, strict=True)]
    check_slope(equilibrium, tail_sums(np.array(pieces)), 1e-10)


def test_riccati_matrix_approaches_the_papers_at_second_order():
    """With the paper's own integral, of ``1 / beta(t)``, the error is that of ``beta``'s step means: O(dt^2)."""
    game = MakerTakerGame(
        (-6.0,), (2.0, 0.5), impact=QuadraticImpact(wave(0.6, 0.5, 4.0)), buy_flow=wave(1.0, 0.5, 3.0), sell_flow=0.8
    )
    errors = []
    for steps in (10, 20, 40):
        equilibrium = solve(game, steps)
        adjoints = equilibrium.adjoints[0]
        integral = np.zeros((2, 2))
        for place in np.ndindex(2, 2):

            def entry(t, place=place, adjoints=adjoints):
                return matrix_g(game, adjoints, game.impact.beta(t), game.buy_flow(t), game.sell_flow)[place]

            integral[place] = quad(entry, 0.0, game.horizon, epsabs=1e-13)[0]
        errors.append(np.abs(transformed_slope(equilibrium)[0, 1:, 1:] - closed_form(game, integral)).max())
    assert_second_order(errors)


@DRAWN
@given(acas(impact=WAVES, flow=st.just(0.0), min_rate=0.0), number(0.0, 5.0), st.integers(1, 30))
def test_lower_bound_on_the_rate(game, excess, steps):
    """(26), with the constant of the proof, ``p = 2 / (1/A + T/min beta (1 + exp(2 A gamma (q^1 - q^2))))``."""
    terminal, gamma = game.maker_terminal_penalty, game.competition.intensity.gamma
    first, second = game.maker_inventory
    buyer = first - 1 / (2 * terminal * gamma) - excess
    assume(buyer < 0)
    game = replace(game, trader_inventory=(buyer,))
    equilibrium = solve(game, steps)
    assert "truncated" not in equilibrium.message
    beta = game.coefficients(equilibrium.times).impact[:, 0]
    crowd = 1 + np.exp(2 * terminal * gamma * (first - second))
    p = 2 / (1 / terminal + game.horizon / beta.min() * crowd)
    assert (equilibrium.controls.rate[:, 0] >= p / (2 * beta) * excess - 1e-12).all()


@DRAWN
@given(acas(flow=st.just(0.0), min_rate=0.0), st.one_of(st.just(0.0), number(1e-6, 3.0)), st.integers(1, 30))
def test_no_trade_up_to_the_threshold(game, below, steps):
    """At ``-q^e + q^1 = 1/(2 A gamma)`` the proof of Theorem 4.3 has a constant solution; with less, even more so."""
    terminal, gamma = game.maker_terminal_penalty, game.competition.intensity.gamma
    buyer = game.maker_inventory[0] - 1 / (2 * terminal * gamma) + below
    assume(buyer < 0)
    game = replace(game, trader_inventory=(buyer,))
    equilibrium = solve(game, steps)
    assert np.abs(equilibrium.controls.rate).max() <= 1e-12
    np.testing.assert_allclose(equilibrium.inventories, np.tile(game.initial_inventory, (steps + 1, 1)), atol=1e-12)
    np.testing.assert_allclose(equilibrium.adjoints[0], -2 * terminal * game.initial_inventory, atol=1e-10)
    assert f"bid quotes are undetermined on {steps} of {steps} steps" in equilibrium.message
    if below:  # at the threshold itself, a rate of one rounding error is a volume that arrives
        assert f"ask quotes are undetermined on {steps} of {steps} steps" in equilibrium.message
        assert not equilibrium.quotes_matter.any()


def test_no_trade_at_the_threshold_without_rounding():
    """A = gamma = 1: -q^e + q^1 = 1/2, in numbers that floating point has."""
    equilibrium = solve(MakerTakerGame((-0.25,), (0.25, 0.0), buy_flow=0.0, sell_flow=0.0), 10)
    assert (equilibrium.controls.rate == 0).all()
    for side in ("ask", "bid"):
        assert f"{side} quotes are undetermined on 10 of 10 steps" in equilibrium.message


@st.composite
def crowd(draw, penalty):
    """Up to two traders on either side and two to four makers with equal penalties, sorted by inventory."""
    buyers, sellers = draw(st.sampled_from([(1, 0), (0, 1), (1, 1), (2, 1), (2, 0)]))
    size = number(0.5, 6.0)
    return MakerTakerGame(
        [-draw(size) for _ in range(buyers)] + [draw(size) for _ in range(sellers)],
        sorted(draw(st.lists(number(-2.0, 2.0), min_size=2, max_size=4)), reverse=True),
        horizon=draw(number(0.3, 1.5)),
        competition=BestQuote(Exponential(draw(number(0.3, 1.5)))),
        impact=QuadraticImpact(draw(number(0.2, 2.0))),
        trader_running_penalty=draw(penalty),
        trader_terminal_penalty=draw(number(0.2, 2.0)),
        maker_running_penalty=draw(penalty),
        maker_terminal_penalty=draw(number(0.2, 2.0)),
        buy_flow=draw(number(0.0, 2.0)),
        sell_flow=draw(number(0.0, 2.0)),
        **WIDE,
    )


@DRAWN
@given(crowd(number(0.01, 1.0)), st.integers(1, 20))
def test_makers_keep_their_order(game, steps):
    """``q^1 >= q^2`` implies ``Q^1 >= Q^2`` and ``Y^1 <= Y^2`` throughout: proofs of Theorems 4.1 and 4.2."""
    equilibrium = solve(game, steps)
    makers = slice(game.traders, None)
    assert (np.diff(equilibrium.inventories[:, makers]) <= 1e-9).all()
    assert (np.diff(equilibrium.adjoints[:, makers]) >= -1e-9).all()
    assert (np.diff(equilibrium.adjoint(0, game.initial_inventory)[makers]) >= -1e-9).all()


@DRAWN
@given(crowd(st.just(0.0)))
def test_without_running_penalty_the_number_of_steps_does_not_matter(game):
    """phi = 0 and constant coefficients: ``dY = dM = 0`` in (18)-(19), so controls are constant."""
    coarse, fine = solve(game, 10), solve(game, 100)
    for few, many in zip(coarse.controls, fine.controls, strict=True):
        np.testing.assert_allclose(np.tile(few[0], (100, 1)), many, rtol=0, atol=1e-10)
        np.testing.assert_allclose(np.tile(few[0], (10, 1)), few, rtol=0, atol=1e-10)
    np.testing.assert_allclose(coarse.payoffs, fine.payoffs, rtol=1e-10)


@DRAWN
@given(acas(), number(-6.0, 6.0), number(-2.0, 0.0))
def test_derivative_of_the_rates(game, buyer, apart):
    """In the coordinates of (22), (24), or (25) at the floor; no rate depends on the level of the adjoints."""
    c = game.coefficients(np.array([0.0, game.horizon]))
    adjoints = np.array([buyer, apart, 0.0])
    floor = 2 * game.impact.beta * game.min_rate + 1 / game.competition.intensity.gamma + apart
    assume(abs(buyer - floor) > 1e-6)
    assume(apart < -1e-6)
    found = GameSystem(game, c, game.horizon, game.start).jacobian(adjoints[None])[0]
    found = COORDINATES @ found[PAPER_ORDER][:, PAPER_ORDER] @ np.linalg.inv(COORDINATES)
    expected = matrix_g(game, adjoints, game.impact.beta, game.buy_flow, game.sell_flow)
    size = np.abs(found).max()
    np.testing.assert_allclose(found[1:, 1:], expected, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-12 * size)

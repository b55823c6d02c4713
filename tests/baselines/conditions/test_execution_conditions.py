"""Which problems of the execution game have a solution: conditions, with margins by hand, and where they become false.

Where a problem stops being concave is known sharply: its Hessian is affine in the scale of ``alpha``, so the edge is a
generalised eigenvalue.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import eigh

from makertaker.baselines import EquilibriumNotFound, NoOptimum, check, cooperative_optimum, solve
from makertaker.baselines.execution.concavity import least_pivot
from makertaker.envs import Affine, ExecutionGame, Logistic, ornstein_uhlenbeck
from makertaker.envs.flows import Points
from support.drawing import drawn, execution_games
from support.quadratic import payoff_forms, total_hessian

DRAWN = drawn(30)


def shape(t):
    return 1 + 0.4 * np.sin(3 * t)


def with_impact(game, scale):
    return replace(game, permanent_impact=lambda t: scale * shape(t))


def edge(hessian):
    """The scale of ``alpha`` up to which a Hessian, a function of it and affine, stays negative definite."""
    return 1 / eigh(hessian(1.0) - hessian(0.0), -hessian(0.0), eigvals_only=True)[-1]


@DRAWN
@given(execution_games(most=3, crowding=0.95), st.integers(1, 5))
def test_cooperative_optimum_exists_exactly_where_the_hessian_is_negative_definite(game, steps):
    most = edge(lambda scale: total_hessian(with_impact(game, scale), steps))
    inside, outside = (with_impact(game, factor * most) for factor in (1 - 1e-6, 1 + 1e-6))
    assert np.linalg.eigvalsh(total_hessian(inside, steps)).max() < 0
    cooperative_optimum(inside, steps)
    assert np.linalg.eigvalsh(total_hessian(outside, steps)).max() > 0
    with pytest.raises(NoOptimum, match="Hessian on the grid is not negative definite"):
        cooperative_optimum(outside, steps)


@DRAWN
@given(execution_games(most=3), st.integers(1, 5))
def test_own_problems_are_concave_exactly_where_their_hessians_are(game, steps):
    times = np.linspace(0.0, game.horizon, steps + 1)
    most = []
    for i in range(game.traders):
        most.append(edge(lambda scale, i=i: payoff_forms(with_impact(game, scale), steps).own(i)))
        for factor, concave in ((1 - 1e-6, True), (1 + 1e-6, False)):
            near = with_impact(game, factor * most[-1])
            assert (np.linalg.eigvalsh(payoff_forms(near, steps).own(i)).max() < 0) == concave
            assert (least_pivot(near.coefficients(times), game.horizon / steps)[i] > 0) == concave
    first, *others = np.argsort(most)
    assume(not others or most[others[0]] > 1.0001 * most[first])
    beyond = with_impact(game, 1.00005 * most[first])
    with pytest.raises(EquilibriumNotFound, match=f"trader_{first} has no maximum"):
        solve(beyond, steps)
    assert not margins(beyond, steps)["own problems concave on the grid"][0]


def margins(game, steps=20):
    return {each.name: (each.holds, each.margin) for each in check(game, steps)}


def test_conditions_by_hand():
    """Least margins are at T, where alpha is largest and beta and phi are smallest; each by hand, at pi = 1 and not.

    alpha(T) = 0.8, beta(T) = 0.4, phi(T) = 0.5, so alpha^2 / beta = 1.6; N = 3: c = 4, d = 1 at pi = 1, and c = 3,
    d = 1.5 at pi = 0.5; max((N + 1)^2 / c, 1 / d) is 4, and 16 / 3.
    """
    game = ExecutionGame(
        (1.0, 2.0, -3.0),
        permanent_impact=lambda t: 0.2 + 0.6 * t,
        temporary_impact=lambda t: 0.8 - 0.4 * t,
        running_penalty=lambda t: 1.0 - 0.5 * t,
        terminal_penalty=0.7,
    )
    found = margins(game)
    assert found["concave Hamiltonians"] == (True, pytest.approx(0.5 - 1.6 / 12))
    assert found["no permanent impact"] == (False, pytest.approx(-0.8))
    assert found["homogeneous penalties, moderate impact"] == (True, pytest.approx(0.5 - 1.6 / 8))
    # the paper's phi - (N + 1) alpha^2 / (8 N beta)
    assert found["monotone system"] == (True, pytest.approx(0.5 - 4 * 1.6 / 24))
    assert found["terminal penalty outweighs constant impact"] == (False, pytest.approx(-0.6))
    less = margins(replace(game, crowding=0.5))
    assert less["concave Hamiltonians"] == found["concave Hamiltonians"]  # an agent's own cost has no pi
    assert less["homogeneous penalties, moderate impact"] == (True, pytest.approx(0.5 - 1.6 / 6))
    assert less["monotone system"] == (True, pytest.approx(0.5 - 16 / 3 * 1.6 / 24))
    # phi lower by 0.4: 0.1 at T
    weak = margins(replace(game, running_penalty=lambda t: 0.6 - 0.5 * t))
    assert weak["concave Hamiltonians"] == (False, pytest.approx(0.1 - 1.6 / 12))
    assert weak["homogeneous penalties, moderate impact"] == (False, pytest.approx(0.1 - 1.6 / 8))
    assert weak["monotone system"] == (False, pytest.approx(0.1 - 4 * 1.6 / 24))
    assert weak["own problems concave on the grid"][0]  # the paper's conditions are sufficient only


def test_conditions_by_hand_with_penalties_that_differ():
    """Strong crowding, N = 2, pi = 1.8: c = 3.8, d = 0.2, so 1 / d = 5 outweighs 9 / 3.8; alpha^2 / beta = 0.32."""
    game = ExecutionGame(
        (1.0, 2.0),
        permanent_impact=0.4,
        temporary_impact=0.5,
        crowding=1.8,
        running_penalty=(0.3, 0.8),
        terminal_penalty=(0.4, 1.0),
    )
    found = margins(game)
    assert found["concave Hamiltonians"] == (True, pytest.approx(0.3 - 0.32 / 8))
    assert found["homogeneous penalties, moderate impact"] == (False, pytest.approx(-0.6))
    assert found["monotone system"] == (True, pytest.approx(0.3 - 5 * 0.32 / 16))
    assert found["terminal penalty outweighs constant impact"] == (True, pytest.approx(0.4 - 0.4 / 4))
    assert found["cooperative problem concave on the grid"] == (False, pytest.approx(-0.8))
    assert margins(replace(game, terminal_penalty=(0.15, 1.0)))["monotone system"] == (True, 0.15)  # least A
    still = margins(replace(game, permanent_impact=0.0, terminal_penalty=(0.0, 1.0)))
    assert still["no permanent impact"] == (True, 0.0)
    assert still["monotone system"] == (False, 0.0)  # needs every A above zero


def test_extremes_inside_the_horizon():
    """Largest ``alpha = 0.6``, so ``alpha^2 / beta = 0.9``, and least ``phi = 0.3``, both at t = 0.4, a corner."""
    game = ExecutionGame(
        (1.0, 2.0),
        permanent_impact=lambda t: 0.4 * (1 + np.cos(17 * (t - 0.4)) / 2),
        temporary_impact=0.4,
        running_penalty=Points(((0.0, 1.0), (0.4, 0.3), (1.0, 0.8))),
        buy_flow=1.0,
        sell_flow=lambda t: 0.7 + 0.6 * np.sin(23 * t),
    )
    found = {each.name: each for each in check(game, 10)}
    assert found["concave Hamiltonians"].margin == pytest.approx(0.3 - 0.9 / 8, abs=1e-12)
    assert found["homogeneous penalties, moderate impact"].margin == pytest.approx(0.3 - 0.9 / 6, abs=1e-12)
    assert found["no permanent impact"].margin == pytest.approx(-0.6, abs=1e-12)
    assert found["terminal penalty outweighs constant impact"].margin == pytest.approx(-0.4, abs=1e-12)
    assert found["bounded, non-negative noise flows"].margin == pytest.approx(0.1, abs=1e-12)
    assert "not violated at 2,268 points" in found["concave Hamiltonians"].note  # the corner is one


@pytest.mark.parametrize(
    ("flow", "holds", "least"),
    [
        (Logistic(0.5, 2.0), True, 0.5),
        (Affine(1.0, 1.0), False, None),
        (lambda t, factor: 1 + 1.2 * np.sin(5 * factor[..., 0]), False, -0.2),
    ],
    ids=["bounded", "unbounded", "negative"],
)
def test_flows_of_a_factor(flow, holds, least):
    game = ExecutionGame((1.0, -2.0), buy_flow=flow, sell_flow=3.0, factor=ornstein_uhlenbeck(1.0, 0.5))
    found = {each.name: each for each in check(game, 5)}["bounded, non-negative noise flows"]
    assert found.holds == holds
    if least is not None:
        assert found.margin == pytest.approx(least, abs=1e-9)

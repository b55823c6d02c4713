"""Conditions of Section 5: those that games with noise satisfy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makertaker.baselines import check
from makertaker.baselines.conditions.noise import noise_conditions
from makertaker.envs import Affine, BestQuote, Exponential, Factor, MakerTakerGame
from support.maker_taker_games import scenario_game


def _holds(found: MakerTakerGame) -> dict[str, bool]:
    return {each.name: each.holds for each in noise_conditions(found)}


def test_conditions_of_section_5() -> None:
    ou = _holds(scenario_game())
    assert not ou["the factor's drift is bounded"]
    assert ou["flows are positive"]
    assert ou["flows are bounded"]
    assert not ou["(39)-(41) has one bounded solution"]
    bounded = {each.name: each.holds for each in check(scenario_game("approximation-2x3"), 4)}
    assert bounded["a decoupling field is found"]
    assert bounded["the factor's drift is bounded"]
    assert bounded["(39)-(41) has one bounded solution"]
    affine = _holds(scenario_game(buy_flow=Affine(1.0, 1.0)))
    assert not affine["flows are positive"]
    assert not affine["flows are bounded"]
    quotes = _holds(scenario_game(competition=BestQuote(Exponential(1.0))))
    assert not quotes["shares are smooth functions of all quotes"]
    wild = Factor((0.0,), lambda t, x: x**2, lambda t, x: 1.0 + 0 * x[..., 0:1])
    assert not _holds(replace(scenario_game(), factor=wild, horizon=0.1))[
        "the factor's drift and diffusion are Lipschitz"
    ]
    degenerate = Factor((1.0,), lambda t, x: 0 * x, lambda t, x: np.minimum(np.abs(x), 1.0))
    assert degenerate.random(1.0)


def _constant(t: Any, x: Any) -> Any:
    return 0.3 + 0 * x


LIPSCHITZ, ELLIPTIC = "the factor's drift and diffusion are Lipschitz", "the factor's diffusion is uniformly elliptic"
BOUNDED = "the factor's drift is bounded"
# functions of a factor, the conditions that they violate, and margins by hand where there are any: largest slopes,
# negated, and least eigenvalues
FUNCTIONS: dict[str, tuple[Any, Any, set[str], dict[str, float]]] = {
    "vanishes at 0": (_constant, lambda t, x: 0.3 * x, {ELLIPTIC}, {LIPSCHITZ: -0.3, ELLIPTIC: 0.0}),
    "vanishes elsewhere": (_constant, lambda t, x: 0.3 * (x - 2.345), {ELLIPTIC}, {ELLIPTIC: 0.0}),
    "vanishes far out": (_constant, lambda t, x: 1 / (1 + 0.1 * x**2), {ELLIPTIC}, {ELLIPTIC: 0.0}),
    "square root": (_constant, lambda t, x: 0.3 * np.sqrt(np.maximum(x, 0)), {ELLIPTIC, LIPSCHITZ}, {}),
    "cusp": (_constant, lambda t, x: 0.3 + np.sqrt(np.abs(x - 2.345)), {LIPSCHITZ}, {ELLIPTIC: 0.09}),
    "jump": (lambda t, x: 1.0 * (x > 1.777), _constant, {LIPSCHITZ}, {BOUNDED: -1.0}),
    "logarithmic": (lambda t, x: -x * np.log(np.abs(x) + 1e-300), _constant, {LIPSCHITZ, BOUNDED}, {}),
    "waves": (
        lambda t, x: np.sin(30 * x - t),
        lambda t, x: 1.5 + np.sin(7 * x),
        set(),
        {LIPSCHITZ: -30.0, ELLIPTIC: 0.25, BOUNDED: -1.0},
    ),
    "kinks": (
        lambda t, x: -np.abs(x) / (1 + np.abs(x)),
        lambda t, x: 0.3 + np.minimum(np.abs(x), 1.0),
        set(),
        {LIPSCHITZ: -1.0, ELLIPTIC: 0.09},
    ),
}


@pytest.mark.parametrize(("drift", "diffusion", "violated", "margins"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_of_a_factor(drift: Any, diffusion: Any, violated: set[str], margins: dict[str, float]) -> None:
    game = replace(scenario_game("approximation-2x3"), factor=Factor((1.0,), drift, diffusion))
    found = {each.name: each for each in noise_conditions(game)}
    assert {name for name in (LIPSCHITZ, ELLIPTIC, BOUNDED) if not found[name].holds} == violated
    assert found["(39)-(41) has one bounded solution"].holds == (not violated)
    for name, margin in margins.items():
        assert found[name].margin == pytest.approx(margin, abs=1e-6 * max(1, abs(margin)))
    for name in (LIPSCHITZ, ELLIPTIC):
        assert (" violated at t = " in found[name].note) == (name in violated)
        assert ("; not violated at 10,438 points" in found[name].note) == (name not in violated)


def test_two_factors_and_a_flow_that_touches_zero() -> None:
    """``Sigma`` is the matrix ((1, s), (s, 1)), s = 0.9 sin(L_0 + L_1): the least eigenvalue of its square is 0.01."""

    def sigma(t: Any, x: Any) -> Any:
        tilt = 0.9 * np.sin(x[..., :1, None] + x[..., 1:, None])
        return np.eye(2) + tilt * np.array([[0.0, 1.0], [1.0, 0.0]])

    game = replace(
        scenario_game("approximation-2x3"),
        factor=Factor((1.0, 0.5), lambda t, x: 0 * x, sigma),
        buy_flow=lambda t, x: np.abs(np.sin(x[..., 0] - 0.7)),
        sell_flow=1.0,
    )
    found = {each.name: each for each in noise_conditions(game)}
    assert found[ELLIPTIC].margin == pytest.approx(0.01, abs=1e-6)
    assert found[ELLIPTIC].holds
    assert found["flows are positive"].margin == pytest.approx(0.0, abs=1e-9)
    assert found["flows are Lipschitz"].margin == pytest.approx(-1.0, abs=1e-6)


def test_formulas_that_are_known_need_no_points() -> None:
    found = noise_conditions(scenario_game("approximation-2x3"))
    assert not any("not violated" in each.note for each in found)

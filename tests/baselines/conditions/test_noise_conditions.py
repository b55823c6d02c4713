"""Conditions of Section 5: those that games with noise satisfy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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

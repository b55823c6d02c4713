"""A game in other units of shares, prices and time has the same equilibrium, gains, ranges and reports."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makertaker.baselines import check, exploitability, random_controls, solve
from makertaker.envs import (
    BestQuote,
    Controls,
    CrowdedImpact,
    ExecutionGame,
    MakerTakerGame,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
    acas_v0,
)
from support.episodes import draw_actions, play
from support.units import rescaled

STEPS = 8
BASE = MakerTakerGame(
    (-5.0, 4.0), (1.0, 0.0, -1.0), maker_running_penalty=0.1, trader_running_penalty=0.2, buy_flow=2.0
)
GAMES = {
    "exponential": BASE,
    "softplus": replace(BASE, competition=BestQuote(Softplus(1.3))),
    "softmax": replace(BASE, competition=SoftmaxShare(1.2, (0.0, 0.1, 0.3))),
    "product": replace(BASE, competition=ProductShare(Softplus(1.0), 1.5, 0.4)),
    "crowded": replace(BASE, impact=CrowdedImpact(0.5, 0.7)),
    "quartic": replace(BASE, impact=QuarticImpact((0.5, 0.7), 0.05)),
    "tied makers": replace(BASE, maker_inventory=(0.0, 0.0, 0.0)),
    "bounds bind": replace(BASE, max_quote=2.0, max_rate=6.0),
    "no flow on a side": replace(BASE, trader_inventory=(-5.0,), sell_flow=0.0),
    "execution": ExecutionGame((-5.0, 3.0), permanent_impact=0.5, crowding=0.7, running_penalty=0.3, buy_flow=2.0),
    "must liquidate": replace(BASE, trader_terminal_penalty=math.inf),
    "execution, must liquidate": ExecutionGame(
        (-5.0, 3.0), permanent_impact=0.5, crowding=-0.7, running_penalty=0.3, terminal_penalty=(math.inf, 1.0)
    ),
    "apart": ExecutionGame((-5.0, 3.0), permanent_impact=0.5, running_penalty=(0.3, 2.0), terminal_penalty=(1.0, 4.0)),
}
factors = st.floats(-9, 9).map(lambda power: 10**power)


@cache
def known(name):
    """The game's own answers."""
    game = GAMES[name]
    nash, profile = solve(game, STEPS), random_controls(game, STEPS, seed=1)
    return nash, profile, exploitability(game, profile, STEPS).gains


def close(one, other, size=None):
    """Equality to 1e-8 of the largest."""
    size = np.abs(other).max(initial=0.0) if size is None else size
    np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8 * size)


@pytest.mark.parametrize("name", GAMES)
@settings(max_examples=7, deadline=None)
@given(factors, factors, factors)
def test_other_units_other_numbers_the_same_game(name, shares, prices, time):
    game = GAMES[name]
    nash, profile, gains = known(name)
    other = rescaled(game, shares, prices, time)
    rate, money = shares / time, shares * prices
    found = solve(other, STEPS)
    close(found.controls.rate / rate, nash.controls.rate)
    for side in ("ask", "bid"):
        close(getattr(found.controls, side) / prices, getattr(nash.controls, side))
    close(found.inventories / shares, nash.inventories)
    close(found.payoffs / money, nash.payoffs)
    units = np.array([game.payoff_unit(agent) for agent in game.agents])
    close([other.payoff_unit(agent) / money for agent in game.agents], units)
    assert (np.abs(exploitability(other, found.controls, STEPS).gains) <= 1e-9 * money * units).all()
    assert found.message.partition("max_")[0] == nash.message.partition("max_")[0]
    np.testing.assert_array_equal(found.quotes_matter, nash.quotes_matter)
    same = Controls(profile.rate * rate, profile.ask * prices, profile.bid * prices)
    close(exploitability(other, same, STEPS).gains / money, gains)
    for one, own in zip(other.action_range(), game.action_range(), strict=True):
        for part, factor in zip(Controls._fields, (rate, prices, prices), strict=True):
            close(getattr(one, part) / factor, getattr(own, part))
    assert [each.holds for each in check(other)] == [each.holds for each in check(game)]


@pytest.mark.parametrize("name", GAMES)
@settings(max_examples=3, deadline=None)
@given(factors, factors, factors)
def test_environments_look_the_same_in_any_unit(name, shares, prices, time):
    """Observations and rewards, price moves included, to single precision."""
    one, other = (
        acas_v0.parallel_env(each, steps=STEPS, reward="wealth")
        for each in (GAMES[name], rescaled(GAMES[name], shares, prices, time))
    )
    actions = draw_actions(one)
    for first, second in zip(play(one, actions, seed=2), play(other, actions, seed=2), strict=True):
        for agent in one.possible_agents:
            np.testing.assert_allclose(first[0][agent], second[0][agent], rtol=1e-5, atol=1e-6)
            if len(first) > 2:
                assert first[1][agent] == pytest.approx(second[1][agent], rel=1e-7, abs=1e-7)

"""A game in other units of shares, prices and time has the same equilibrium, gains, ranges and reports."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from makertaker.baselines import FieldOptions, check, exploitability, open_loop_policies, random_controls, solve
from makertaker.baselines.execution.dynamic_programming import feedback_nash, values
from makertaker.baselines.execution.regressed_response import sampled_responses
from makertaker.baselines.execution.signal import is_linear
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.noise.reacting_response import reacting_gain
from makertaker.baselines.noise.response import ResponseOptions, noisy_gains
from makertaker.envs import (
    Affine,
    BestQuote,
    Controls,
    CrowdedImpact,
    ExecutionGame,
    Logistic,
    MakerTakerGame,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
    acas_v0,
    bounded_reversion,
    load_scenario,
    ornstein_uhlenbeck,
)
from makertaker.envs.scenarios import scenario_names
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
    "outside option": replace(BASE, competition=SoftmaxShare(1.2, None, -0.5)),
    "monopolist": replace(BASE, maker_inventory=(2.0,), competition=SoftmaxShare(1.2, None, -0.5)),
    "makers alone": replace(BASE, trader_inventory=(), trader_running_penalty=0.0),
}
SCENARIOS = {name: game for name in scenario_names() if not (game := load_scenario(name)).random}
OU = ornstein_uhlenbeck(2.0, 0.6, mean=0.1, initial=(0.2,))
SIGNAL = ExecutionGame(
    (-5.0, 3.0),
    permanent_impact=1.0,
    crowding=0.5,
    running_penalty=0.3,
    terminal_penalty=2.0,
    buy_flow=Affine(10.0, 1.5),
    sell_flow=10.0,
    factor=OU,
)
SHAKEN = replace(
    BASE, trader_inventory=(-5.0,), maker_inventory=(1.0, 0.0), competition=SoftmaxShare(1.2), inventory_noise=0.3
)
DRIVEN = {"buy_flow": Logistic(0.5, 3.5, 1.0), "sell_flow": Logistic(0.5, 3.5, -1.0)}
NOISY = {
    "inventory noise": SHAKEN,
    "factor": replace(SHAKEN, inventory_noise=0.0, factor=OU, **DRIVEN),
    "both, flow cut off": replace(SHAKEN, factor=OU, sell_flow=Affine(0.3, -1.0)),
    "best quote": replace(SHAKEN, competition=BestQuote()),
    "bounded": replace(
        SHAKEN, factor=bounded_reversion(2.0, 1.0, 2.0), competition=ProductShare(Softplus(1.0)), **DRIVEN
    ),
    "signal that bends": replace(SIGNAL, buy_flow=Logistic(5.0, 15.0, 1.0)),
}
FITTED = FieldOptions(degree=3, paths=256)
SEARCHED = ResponseOptions(degree=2, paths=256, scored=256)
factors = st.floats(0, 18).map(lambda power: 10 ** (power - 9))  # the first to be tried are the smallest, not 1


@cache
def known(name):
    """The game's own answers."""
    game = (GAMES | SCENARIOS)[name]
    nash, profile = solve(game, STEPS), random_controls(game, STEPS, seed=1)
    return nash, profile, exploitability(game, profile, STEPS).gains


def close(one, other, size=None):
    """Equality to 1e-8 of the largest."""
    size = np.abs(other).max(initial=0.0) if size is None else size
    np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8 * size)


@pytest.mark.parametrize("name", GAMES)
@settings(max_examples=4, deadline=None)
@given(factors, factors, factors)
def test_other_units_other_numbers_the_same_game(name, shares, prices, time):
    assert_the_same(name, shares, prices, time)


@pytest.mark.parametrize("name", SCENARIOS)
@settings(max_examples=2, deadline=None)
@given(factors, factors, factors)
def test_scenarios_in_other_units_are_the_same(name, shares, prices, time):
    assert_the_same(name, shares, prices, time)


def assert_the_same(name, shares, prices, time):
    game = (GAMES | SCENARIOS)[name]
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


def answers(game, shares=1.0, prices=1.0, time=1.0):
    """A noisy game's own answers, in the units of the game that it was rescaled from."""
    steps, money = 3, shares * prices
    system = kind_of(game, steps).step_system()
    nash = solve(game, steps, field=FITTED)
    same = range(steps)
    factor = nash.paths.factor
    fields = [
        nash.field.adjoint(k, nash.paths.inventories[:, k], None if factor is None else factor[:, k]) for k in same
    ]
    profile = quoted(game, steps)
    pairs = [noisy_gains(system, each, options=SEARCHED)[1] for each in (profile, nash.profile)]
    pairs.append([reacting_gain(system, nash.feedback(), agent, SEARCHED) for agent in game.agents[:1]])
    found = {
        "rate": nash.controls.rate / shares * time,
        "ask": nash.controls.ask / prices,
        "bid": nash.controls.bid / prices,
        "inventories": nash.paths.inventories / shares,
        "field along paths": np.array(fields) / prices,
        "payoffs": nash.payoffs / money,
        "payoffs_se": nash.payoffs_se / money,
        "errors": np.array([nash.errors.degree, nash.errors.points, nash.errors.step, nash.errors.outside]),
        "martingale": np.array([nash.errors.martingale, nash.errors.martingale_se]) / prices,
    }
    for name, each in zip(("profile", "nash", "reacting"), pairs, strict=True):
        found[f"{name} gains"] = np.array([one.gain for one in each]) / money
        found[f"{name} gains_se"] = np.array([one.gain_se for one in each]) / money
    return found


def quoted(game, steps):
    """Equal rates and quotes of three quarters of a margin."""
    quotes = np.full((steps, game.makers), 0.75 * game.margin if game.makers else 0.0)
    return Controls(np.tile(-0.8 * game.start[: game.traders] / game.horizon, (steps, 1)), quotes, quotes)


@cache
def known_answers(name):
    return answers(NOISY[name])


@cache
def linear_answers():
    return solve(SIGNAL, STEPS), feedback_nash(SIGNAL, STEPS)


@pytest.mark.parametrize("name", NOISY)
@settings(max_examples=2, deadline=None)
@given(factors, factors, factors, factors)
def test_noise_in_other_units_is_the_same_game(name, shares, prices, time, signal):
    """Field, payoffs, gains of everyone, their errors: the same draws, the same numbers. Gains beside payoff units."""
    game = NOISY[name]
    other, wanted = rescaled(game, shares, prices, time, signal), known_answers(name)
    unit = max(game.payoff_unit(agent) for agent in game.agents)
    for what, found in answers(other, shares, prices, time).items():
        gain = "gains" in what or "se" in what
        close(found, wanted[what], unit if gain else None)


def test_a_network_finds_the_same_field_in_any_unit():
    """Its training magnifies rounding: units are powers of two, which leave digits as they are."""
    pytest.importorskip("torch")
    shares, prices, time, signal = 2.0**20, 2.0**-40, 2.0**-6, 2.0**15
    options = FieldOptions(regressor="neural", points=64, passes=0, paths=64, refine=False)
    game = NOISY["inventory noise"]
    one, other = (solve(each, 3, field=options) for each in (game, rescaled(game, shares, prices, time, signal)))
    close(other.payoffs / shares / prices, one.payoffs)
    close(other.adjoints / prices, one.adjoints)
    assert other.errors.step == pytest.approx(one.errors.step)


@cache
def known_conditions(name):
    return [each.holds for each in check(NOISY[name], 2)]


@pytest.mark.parametrize("name", NOISY)
@settings(max_examples=2, deadline=None)
@given(factors, factors, factors, factors)
def test_conditions_under_noise_hold_in_any_unit(name, shares, prices, time, signal):
    other = rescaled(NOISY[name], shares, prices, time, signal)
    assert [each.holds for each in check(other, 2)] == known_conditions(name)


@cache
def shaken_gains():
    return exploitability(SHAKEN, quoted(SHAKEN, STEPS))


@pytest.mark.parametrize("scale", [1e-9, 0.01, 0.03, 0.1, 4e4, 1e9])
def test_exploitability_under_noise_does_not_count_shares(scale):
    """One schedule in lots of other sizes."""
    one, scaled = shaken_gains(), rescaled(SHAKEN, scale, 1.0, 1.0)
    other = exploitability(scaled, quoted(scaled, STEPS))
    close(other.gains / scale, one.gains)
    close(other.gains_se / scale, one.gains_se)


@settings(max_examples=10, deadline=None)
@example(1.0, 1e-9, 1e9, 1.0)  # prices that hardly move per unit of time
@example(1.0, 1.0, 1.0, 1e-9)
@given(factors, factors, factors, factors)
def test_a_linear_signal_is_linear_in_any_unit(shares, prices, time, signal):
    """Solved exactly in every unit, its feedback Nash and values as well; the signal that bends is found to bend."""
    money, (nash, feedback) = shares * prices, linear_answers()
    other = rescaled(SIGNAL, shares, prices, time, signal)
    found = solve(other, STEPS)
    reacting = feedback_nash(other, STEPS)
    for one, own in ((found.rule, nash.rule), (reacting, feedback)):
        close(one.gain * time, own.gain)
        close(one.shift * time / shares, own.shift)
        close(one.signal * time / shares * signal, own.signal)
    close(found.payoffs / money, nash.payoffs)
    close(values(reacting) / money, values(feedback))
    for name, linear in (("linear", True), ("signal that bends", False)):
        game = rescaled({"linear": SIGNAL, **NOISY}[name], shares, prices, time, signal)
        assert is_linear(game, np.linspace(0.0, game.horizon, STEPS + 1)) is linear


@settings(max_examples=5, deadline=None)
@given(factors, factors, factors, factors)
def test_sampled_responses_do_not_depend_on_units(shares, prices, time, signal):
    """Traders who trade steadily, against whom all gain, so that to deviate or not is no matter of rounding."""
    one, other = (
        sampled_responses(each, open_loop_policies(each, quoted(each, STEPS)), each.agents, STEPS, paths=256)
        for each in (SIGNAL, rescaled(SIGNAL, shares, prices, time, signal))
    )
    for own, scaled in zip(one, other, strict=True):
        assert own.gain > 0.1
        close(scaled.gain / shares / prices, own.gain)
        close(scaled.gain_se / shares / prices, own.gain_se)


@pytest.mark.parametrize("name", [*GAMES, *NOISY])
@settings(max_examples=3, deadline=None)
@given(factors, factors, factors, factors)
def test_environments_look_the_same_in_any_unit(name, shares, prices, time, signal):
    """Observations and rewards, price moves included, to single precision."""
    game = (GAMES | NOISY)[name]
    one, other = (
        acas_v0.parallel_env(each, steps=STEPS, reward="wealth")
        for each in (game, rescaled(game, shares, prices, time, signal))
    )
    actions = draw_actions(one)
    for first, second in zip(play(one, actions, seed=2), play(other, actions, seed=2), strict=True):
        for agent in one.possible_agents:
            np.testing.assert_allclose(first[0][agent], second[0][agent], rtol=1e-5, atol=1e-6)
            if len(first) > 2:
                assert first[1][agent] == pytest.approx(second[1][agent], rel=1e-7, abs=1e-7)

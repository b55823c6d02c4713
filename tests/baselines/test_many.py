"""Many games at once: each result is what ``solve`` gives, in whatever company."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import EquilibriumNotFound, exploitability, exploitability_many, solve, solve_many
from makertaker.baselines import many as module
from makertaker.envs import (
    BestQuote,
    Controls,
    CustomIntensity,
    Exponential,
    Logistic,
    LogUniform,
    MakerTakerGame,
    Points,
    RandomMarkets,
    Softplus,
    Uniform,
    acas_v0,
    execution_v0,
    load_scenario,
    ornstein_uhlenbeck,
    read_scenario,
)
from support.random_markets import EVERYTHING

STEPS = 6
KINDS = {
    "exponential": ({}, {"competition.gamma": LogUniform(0.5, 2.0)}),
    "softplus": ({"competition": {"intensity": "softplus"}}, {"competition.gamma": LogUniform(0.5, 2.0)}),
    "softmax": (
        {"competition": {"kind": "softmax", "offsets": [0.0, 0.1, 0.2]}},
        {"competition.rate": LogUniform(0.5, 2.0), "competition.offsets": Uniform([-0.5] * 3, [0.5] * 3)},
    ),
    "product": (
        {"competition": {"kind": "product", "intensity": "softplus"}},
        {
            "competition.rate": Uniform(0.5, 2.0),
            "competition.floor": Uniform(0.2, 0.9),
            "competition.gamma": Uniform(1.0, 2.0),
        },
    ),
    "crowded": ({"impact": {"kind": "crowded"}}, {"impact.crowding": Uniform(0.0, 1.5)}),
    "quartic": ({"impact": {"kind": "quartic"}}, {"impact.quartic": Uniform(0.0, 0.1)}),
    "average trader": ({"flow_from": "mean"}, {}),
    "bounds": ({"max_rate": 6.0, "max_quote": 2.0, "min_rate": 0.5}, {}),
}


def drawn(name, count, seed=0):
    changes, random = KINDS[name]
    game = acas_v0.parallel_env(scenario="acas-2x3", maker_running_penalty=0.1, **changes).game
    return RandomMarkets(game, EVERYTHING | random).games(count, seed=seed)


def assert_the_same(found, expected):
    assert found.game == expected.game
    assert found.status is expected.status
    unit = 1 + np.abs(expected.adjoints).max()
    for name in ("inventories", "adjoints", "payoffs", "quotes_matter", "times"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10 * unit)
    for one, other in zip(found.controls, expected.controls, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * unit)
    assert found.message.partition(";")[0] == expected.message.partition(";")[0]


@pytest.mark.parametrize("count", [STEPS, 9])  # as many games as steps: no axis is taken for another
@pytest.mark.parametrize("name", KINDS)
def test_each_is_what_solve_gives(name, count, monkeypatch):
    games = drawn(name, count)
    expected = [solve(game, STEPS) for game in games]
    alone = []
    monkeypatch.setattr(module, "_alone", lambda *given, **named: alone.append(given))
    found = solve_many(games, STEPS)
    assert not alone, "all are solved together"
    for one, other in zip(found, expected, strict=True):
        assert_the_same(one, other)
    for each in found[:2]:
        assert exploitability(each.game, each.controls, STEPS).relative < 1e-12


def test_games_of_all_shapes_are_found_in_their_order():
    intensity = CustomIntensity(
        lambda x: np.exp(-1.3 * x), lambda x: -1.3 * np.exp(-1.3 * x), lambda x: 1.69 * np.exp(-1.3 * x)
    )
    acas = load_scenario("acas")
    games = [
        acas,
        load_scenario("execution-2"),
        drawn("softmax", 2)[1],
        replace(acas, competition=BestQuote(intensity)),
        replace(acas, competition=BestQuote(intensity)),
        replace(acas, trader_inventory=(4.0,)),
        replace(acas, horizon=2.0),
        replace(acas, buy_flow=Points(((0.0, 1.0), (1.0, 3.0)))),
        load_scenario("execution-signal"),
        drawn("softmax", 1)[0],
        replace(acas, competition=BestQuote(Softplus(2.0))),
        acas,
    ]
    for found, game in zip(solve_many(games, STEPS), games, strict=True):
        assert_the_same(found, solve(game, STEPS))
    mixed = ["acas", read_scenario("acas-2x3"), acas, acas_v0.parallel_env(steps=4), execution_v0.parallel_env()]
    assert [each.steps for each in solve_many(mixed)] == [read_scenario("acas").steps, 20, 20, 4, 20]
    assert solve_many([], 5) == []


def test_what_is_not_solved_is_raised_or_returned():
    """An execution game whose rates are out of bounds, and a maker-taker game with absurd penalties, among others."""
    slow = replace(load_scenario("execution-2"), max_rate=1e-3)
    games = [*drawn("exponential", 3), slow, load_scenario("acas")]
    with pytest.raises(EquilibriumNotFound, match="above max_rate"):
        solve_many(games, STEPS)
    found = solve_many(games, STEPS, errors="return")
    assert isinstance(found[3], EquilibriumNotFound)
    for i in (0, 1, 2, 4):
        assert_the_same(found[i], solve(games[i], STEPS))
    with pytest.raises(ValueError, match="games: expected several games, got one"):
        solve_many(games[0], STEPS)
    with pytest.raises(ValueError, match="errors: expected 'raise' or 'return', got 'ignore'"):
        solve_many(games, STEPS, errors="ignore")
    with pytest.raises(ValueError, match="expected one game, got a distribution"):
        solve_many([RandomMarkets(load_scenario("acas"), {"competition.gamma": Uniform(1, 2)})], STEPS)


def test_one_that_the_batch_does_not_find_is_solved_alone():
    """Its penalties are so large that Newton's method needs a continuation; the others' results stay what they are."""
    hard = MakerTakerGame((-10.0,), (9.0, -9.0), maker_terminal_penalty=60.0, trader_terminal_penalty=200.0)
    easy = [replace(hard, maker_terminal_penalty=0.1 * i, trader_terminal_penalty=1.0) for i in range(1, 4)]
    games = [easy[0], hard, *easy[1:]]
    for found, game in zip(solve_many(games, STEPS), games, strict=True):
        assert_the_same(found, solve(game, STEPS))


def jittered(game, seed, size=0.2):
    """Schedules near the equilibrium, for deviations to gain from."""
    rng, found = np.random.default_rng(seed), solve(game, STEPS).controls
    return Controls(*(each * rng.uniform(1 - size, 1 + size, each.shape) for each in found))


@pytest.mark.parametrize("name", KINDS)
def test_gains_of_many_games_are_those_of_each(name):
    games = drawn(name, 5)
    profiles = [jittered(game, i) for i, game in enumerate(games)]
    for game, profile, found in zip(games, profiles, exploitability_many(games, profiles), strict=True):
        alone = exploitability(game, profile)
        assert (found.game, found.steps) == (game, STEPS)
        assert alone.nash_conv > 0
        np.testing.assert_allclose(found.gains, alone.gains, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.payoffs, alone.payoffs, rtol=1e-12)


def test_gains_in_games_of_all_kinds():
    """Alone, or together, in the order of the games."""
    games = [load_scenario("acas"), load_scenario("execution-2"), *drawn("exponential", 2), load_scenario("acas")]
    profiles = [jittered(game, i) for i, game in enumerate(games)]
    for game, profile, found in zip(games, profiles, exploitability_many(games, profiles, STEPS), strict=True):
        np.testing.assert_allclose(found.gains, exploitability(game, profile, STEPS).gains, rtol=1e-10)
    with pytest.raises(ValueError, match="profiles: expected 5, one for each game, got 4"):
        exploitability_many(games, profiles[:4])
    with pytest.raises(ValueError, match=r"controls.rate: expected shape \(\.\.\., 7, 1\)"):
        exploitability_many(games, profiles, 7)


@pytest.mark.parametrize("name", ["approximation", "inventory_noise", "factor"])
def test_noise_and_factors_are_not_lost_in_company(name):
    noisy = {
        "approximation": load_scenario("approximation"),
        "inventory_noise": replace(load_scenario("acas"), inventory_noise=0.2),
        "factor": replace(load_scenario("acas"), factor=ornstein_uhlenbeck(2.0, 1.0), buy_flow=Logistic(0.5, 3.5)),
    }[name]
    for found in solve_many([noisy, noisy], 2):
        assert_the_same(found, solve(noisy, 2))


def test_a_part_that_takes_numbers_only_is_solved_alone():
    class Branching(Exponential):
        @property
        def constant_markup(self):
            return 1 / self.gamma if self.gamma > 0 else None

    games = [replace(load_scenario("acas"), competition=BestQuote(Branching(gamma))) for gamma in (0.8, 1.0)]
    for found, game in zip(solve_many(games, STEPS), games, strict=True):
        assert_the_same(found, solve(game, STEPS))


def test_batches_have_a_bound(monkeypatch):
    games = drawn("exponential", 7)
    whole = solve_many(games, STEPS)
    monkeypatch.setattr(module, "_TOGETHER", 3)
    for one, other in zip(solve_many(games, STEPS), whole, strict=True):
        assert_the_same(one, other)

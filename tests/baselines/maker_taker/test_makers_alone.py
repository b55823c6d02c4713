"""Makers without traders: the equilibrium and best responses, by independent computations and limits."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines import (
    FieldOptions,
    best_response,
    check,
    exploitability,
    exploitability_many,
    solve,
    solve_many,
)
from makertaker.baselines.maker_taker.system import GameSystem
from makertaker.envs import (
    BestQuote,
    Controls,
    Exponential,
    MakerTakerGame,
    ProductShare,
    SoftmaxShare,
    Softplus,
    load_scenario,
    simulate,
)
from makertaker.envs.grid import grid

ALONE, DEALERS = load_scenario("makers-only"), load_scenario("dealers")
STIFF = replace(ALONE, maker_running_penalty=(3.0, 0.2, 0.0), maker_terminal_penalty=(0.0, 5.0, 0.4), buy_flow=0.5)
GAMES = {
    "makers-only": ALONE,
    "dealers": DEALERS,
    "stiff": STIFF,
    "one side": replace(ALONE, sell_flow=0.0),
    "monopolist": replace(DEALERS, maker_inventory=(1.5,)),
    "exponential": replace(DEALERS, competition=BestQuote(Exponential(2.0)), sell_flow=4.0),
    "softplus, three": replace(ALONE, competition=BestQuote(Softplus(2.0))),
    "product": replace(ALONE, competition=ProductShare(Exponential(2.0), 1.0, 0.4)),
    "truncated": replace(ALONE, max_quote=0.7),
}
SOFTMAX = ("makers-only", "dealers", "stiff", "monopolist")
each_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


@each_game
def test_the_equilibrium_has_no_gains(game):
    found = solve(game, 8)
    assert found.converged
    assert found.controls.rate.shape == (8, 0)
    unit = max(game.payoff_unit(agent) for agent in game.agents)
    assert np.abs(exploitability(game, found.profile, 8).gains).max() <= 1e-10 * unit


@each_game
def test_best_responses_against_brute_force(game):
    """Payoffs of an optimiser that knows nothing but the simulation, on the quotes of one maker."""
    steps, rng = 3, np.random.default_rng(4)
    nash, agent = solve(game, steps), game.agents[-1]
    shift = 0.3 * game.margin * rng.standard_normal((2, *nash.controls.ask.shape))
    profile = Controls(nash.controls.rate, nash.controls.ask + shift[0], nash.controls.bid + shift[1])
    profile = game.clip(profile)
    found = best_response(game, profile, agent, steps)

    def loss(own):
        ask, bid = profile.ask.copy(), profile.bid.copy()
        ask[:, -1], bid[:, -1] = own.reshape(2, steps)
        return -simulate(game, Controls(profile.rate, ask, bid), steps).payoffs[-1]

    start = np.concatenate([profile.ask[:, -1], profile.bid[:, -1]])
    bound = None if game.max_quote is None else [(-game.max_quote, game.max_quote)] * len(start)
    brute = minimize(loss, start, method="L-BFGS-B", bounds=bound, options={"ftol": 1e-16, "gtol": 1e-9})
    assert found.payoff == pytest.approx(-brute.fun, abs=1e-8)
    assert found.payoff >= -brute.fun - 1e-12
    assert found.gain > 1e-4


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_has_one_equilibrium(name):
    """From 20 random starts, levels and paths of adjoints ten margins apart."""
    game, rng = GAMES[name], np.random.default_rng(7)
    first = solve(game, 8)
    for _ in range(20):
        level, path = rng.standard_normal((1, game.makers)), rng.standard_normal((8, game.makers))
        other = solve(game, 8, guess=10 * game.margin * (level + 0.3 * path))
        np.testing.assert_allclose(other.adjoints, first.adjoints, atol=1e-9 * game.margin)


def test_makers_have_no_order():
    order = [2, 0, 1]
    offsets, running, terminal = np.array([0.0, 0.5, -0.2]), np.array([0.1, 0.3, 0.2]), np.array([0.2, 0.1, 0.4])

    def game(who):
        return replace(
            ALONE,
            maker_inventory=np.array(ALONE.maker_inventory)[who],
            maker_running_penalty=running[who],
            maker_terminal_penalty=terminal[who],
            competition=SoftmaxShare(2.0, tuple(offsets[who]), -1.0),
        )

    first, second = solve(game([0, 1, 2]), 10), solve(game(order), 10)
    np.testing.assert_allclose(second.controls.ask, first.controls.ask[:, order], rtol=1e-11)
    np.testing.assert_allclose(second.payoffs, first.payoffs[order], rtol=1e-10)


@pytest.mark.parametrize("outside", [None, -1.0])
def test_the_only_trader_leaves(outside):
    """An order of ``q`` shares, all of which are traded, moves quotes in proportion to ``q``; without it they are those
    of makers alone."""
    game = replace(ALONE, competition=SoftmaxShare(2.0, outside=outside))
    alone, distances = solve(game, 10), []
    for order in (1e-3, 1e-4):
        market = replace(game, trader_inventory=(-order,), trader_terminal_penalty=20 / order)
        found = solve(market, 10)
        assert abs(found.inventories[-1, 0]) < 0.1 * order
        distances.append(np.abs(found.controls.ask - alone.controls.ask).max())
    assert distances[0] / distances[1] == pytest.approx(10, rel=0.02)
    idle = solve(replace(game, trader_inventory=(-1e-3,)), 10)  # the penalty is not worth the spread
    assert not idle.controls.rate.any()
    np.testing.assert_array_equal(idle.controls.ask, alone.controls.ask)


@pytest.mark.parametrize("name", ["makers-only", "dealers", "stiff", "exponential"])
def test_the_grid_converges_at_second_order(name):
    """Errors of payoffs fall by 4 when steps are halved."""
    payoffs = [solve(GAMES[name], steps).payoffs for steps in (16, 32, 64)]
    falls = (payoffs[0] - payoffs[1]) / (payoffs[1] - payoffs[2])
    np.testing.assert_allclose(falls, 4, rtol=0.05)


def test_one_side_without_flow_is_undetermined():
    found = solve(GAMES["one side"], 8)
    assert found.quotes_matter[:, 0].all()
    assert not found.quotes_matter[:, 1].any()
    assert "bid quotes are undetermined" in found.message


def test_many_together_are_as_alone():
    games = [replace(game, maker_inventory=np.array(game.maker_inventory) + 0.1 * i) for game in (ALONE, DEALERS)
             for i in range(3)]  # fmt: skip
    together = solve_many(games, 8)
    gains = exploitability_many(games, [each.profile for each in together], 8)
    for game, found, given in zip(games, together, gains, strict=True):
        np.testing.assert_allclose(found.adjoints, solve(game, 8).adjoints, atol=1e-10)
        assert np.abs(given.gains).max() < 1e-10


def claim(game):
    return next(each for each in check(game, 4) if each.name == "makers alone have one equilibrium")


@pytest.mark.parametrize(
    ("name", "holds", "said"),
    [
        ("makers-only", True, "for all penalties and grids"),
        ("dealers", True, "for all penalties and grids"),
        ("monopolist", True, "for all penalties and grids"),
        ("exponential", True, "one difference of adjoints"),
        ("softplus, three", False, "monotonicity fails"),
        ("product", False, "not proved"),
        ("truncated", False, "truncated at max_quote"),
    ],
)
def test_uniqueness_is_claimed_where_it_is_proved(name, holds, said):
    found = claim(GAMES[name])
    assert found.holds is holds
    assert said in found.note


def test_noise_leaves_the_claim_for_softmax_alone():
    for name, holds in (("dealers", True), ("exponential", False)):
        assert claim(replace(GAMES[name], inventory_noise=0.05)).holds is holds


def least_eigenvalue(game, adjoints):
    """Of the symmetric part of the inventory rates' derivative in the adjoints."""
    system = GameSystem(game, game.coefficients(grid(game, 1)), game.horizon, game.start)
    jacobian = system.jacobian(adjoints[:, None])[:, 0]
    return np.linalg.eigvalsh((jacobian + np.swapaxes(jacobian, -1, -2)) / 2).min()


def test_monotonicity_is_as_the_claim_says():
    rng = np.random.default_rng(0)
    for name in SOFTMAX:
        game = GAMES[name]
        assert least_eigenvalue(game, rng.normal(0, 2, (200, game.makers))) > -1e-12
    three = replace(ALONE, competition=BestQuote(Exponential(2.0)))
    assert least_eigenvalue(three, np.zeros((1, 3))) < -0.1
    truncated = GAMES["truncated"]
    assert least_eigenvalue(truncated, rng.normal(0, 2, (200, 3))) < -0.1


def test_a_decoupling_field_with_little_noise():
    """Mean paths approach those without noise at the rate of its variance."""
    still, distances = solve(DEALERS, 6), []
    for noise in (0.4, 0.2):
        game = replace(DEALERS, inventory_noise=noise)
        found = solve(game, 6, field=FieldOptions(degree=3, paths=512))
        assert found.converged
        distances.append(np.abs(found.controls.ask - still.controls.ask).max())
    assert distances[0] < 0.05 * DEALERS.margin
    assert distances[0] > 1.5 * distances[1]


def test_there_is_nothing_without_flow():
    with pytest.raises(ValueError, match="expected a trader, or a positive buy_flow or sell_flow, got none"):
        MakerTakerGame((), (1.0, 0.0), buy_flow=0.0, sell_flow=0.0)

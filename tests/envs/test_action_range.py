"""Action ranges and units: found from parameters, wide enough for what is worth playing, harmless to explore."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from makertaker.baselines import best_response, solve
from makertaker.envs import (
    BestQuote,
    ExecutionGame,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    load_scenario,
    scenario_names,
    simulate,
)
from makertaker.envs.grid import agent_controls
from makertaker.envs.market import Setting
from makertaker.envs.packing import join_controls, split_controls
from support.drawing import drawn, execution_games
from support.env_markets import EXECUTION
from support.maker_taker_games import draw_market

STEPS = 20
ROOT = Path(__file__).parents[2]
draw_acas = runpy.run_path(str(ROOT / "benchmarks" / "random_markets.py"))["draw_market"]
SEEDS = range(1000, 1060)
ACAS_MARKETS = pytest.mark.parametrize("seed", SEEDS)
STILL = [name for name in scenario_names() if not load_scenario(name).random]


def acas_market(seed):
    """One buyer and two makers, drawn as for the benchmark."""
    return draw_acas(np.random.default_rng(seed))


# Wide enough


def quotes_of(controls):
    """Asks, then bids, side by side."""
    return np.stack([controls.ask, controls.bid], axis=-2)


@ACAS_MARKETS
def test_quotes_have_room_around_the_equilibrium(seed):
    """The range is two margins wide at least, half a margin of it on either side of what is played."""
    game = acas_market(seed)
    low, high = game.action_range()
    assert (quotes_of(high) - quotes_of(low) >= (2 - 1e-12) * game.margin).all()
    played = solve(game, STEPS).controls
    quotes = quotes_of(played)
    assert (quotes - quotes_of(low) >= game.margin / 2).all()
    assert (quotes_of(high) - quotes >= game.margin / 2).all()
    assert (low.rate <= played.rate).all()
    assert (played.rate <= high.rate).all()


def uniform(game, rng):
    """Controls (K, N + 2M) drawn from the range, in every step anew."""
    low, high = (join_controls(game, each) for each in game.action_range())
    return low + (high - low) * rng.uniform(size=(STEPS, low.size))


def straight(game, rng):
    """Straight lines between two points of the range."""
    first, *_, last = uniform(game, rng)
    return np.linspace(first, last, STEPS)


@pytest.mark.parametrize("draw", [uniform, straight])
@ACAS_MARKETS
def test_best_responses_to_schedules_of_the_range_are_inside(seed, draw):
    game = acas_market(seed)
    schedules = split_controls(game, draw(game, np.random.default_rng(seed)))
    for agent in game.agents:
        low, high = (agent_controls(game, each, agent) for each in game.action_range())
        response = agent_controls(game, best_response(game, schedules, agent, STEPS).controls, agent)
        assert (low - 1e-9 <= response).all()
        assert (response <= high + 1e-9).all()


# Harmless


def losses(game, episodes=200):
    """(episodes, n) losses, in payoff units, where everybody plays normal noise, clipped to the action space."""
    setting, rng, played = Setting(game, STEPS), np.random.default_rng(0), []
    for agent in game.agents:
        space = setting.action_space(agent)
        noise = rng.standard_normal((episodes, STEPS, *space.shape)).clip(space.low, space.high)
        low, high = (agent_controls(game, each, agent) for each in game.action_range())
        played.append((low + high) / 2 + game.control_unit(agent) * noise)
    controls = split_controls(game, np.concatenate(played, axis=-1))
    return -simulate(game, controls, STEPS).payoffs / [game.payoff_unit(agent) for agent in game.agents]


def assert_harmless(found):
    assert found.mean(axis=0).max() <= 100
    assert found.max() <= 2000


@ACAS_MARKETS
def test_noise_of_one_unit_does_little_harm(seed):
    assert_harmless(losses(acas_market(seed)))


@pytest.mark.parametrize("name", STILL)
def test_noise_of_one_unit_does_little_harm_in_a_scenario(name):
    assert_harmless(losses(load_scenario(name)))


# By hand


def test_the_numbers_of_acas_by_hand():
    """A buyer of 5 shares, beta = 0.5, phi = 0.1, A = 0.5; makers with 1 and 0 shares, margin 1, phi = 0.1, A = 0.2."""
    game = load_scenario("acas")
    assert [game.control_unit(agent) for agent in game.agents] == pytest.approx([5 / 3, 1 / 3, 1 / 3], rel=1e-14)
    assert game.price_unit == 1.0
    assert game.volume_unit == pytest.approx((5 + 1 + 1) / 2, rel=1e-14)
    urgency = math.sqrt(0.1 / 0.5)
    first = urgency / math.tanh(urgency)
    closing, keeping = 5 * (1 + 0.5 * 5 * first), (0.5 + 0.1 / 3) * 25
    assert closing > keeping
    # makers who quote alike get everything: the first ends at -4 shares, which is cheaper than a margin on 7 shares
    assert [game.payoff_unit(agent) for agent in game.agents] == pytest.approx([closing, 7, 7], rel=1e-14)
    # the buyer pays 2 (A + phi) |Q| for the next share at most: at a margin v shares with 6 (1 - v / 5) = 1
    traded = 5 * (6 - 1) / 6
    # makers start with half a share on average and sell that: y is worth 0.6 for a share that is held to the end, and
    # 0.3 more for who has half a share less or more than the other; half a margin more on either side
    least, most = -0.5 * 0.6 - 0.3, (traded - 0.5) * 0.6 + 0.3
    low, high = game.action_range()
    np.testing.assert_allclose(low.ask, 1 + least - 0.5, rtol=1e-12)
    np.testing.assert_allclose(high.ask, 1 + most + 0.5, rtol=1e-12)
    np.testing.assert_allclose(low.bid, 1 - most - 0.5, rtol=1e-12)
    np.testing.assert_allclose(high.bid, 1 - least + 0.5, rtol=1e-12)
    fast = (first + 1) * (5 + 0.5 / 2)  # more than what is worth while at the cheapest ask
    assert fast > (2 * (0.5 + 0.1) * 5 - low.ask[0]) / (2 * 0.5)
    np.testing.assert_allclose([low.rate, high.rate], [[0], [fast]], rtol=1e-12)


def test_the_units_of_execution_by_hand():
    """Two buyers of 5 shares, alpha = 1, beta = 0.5, pi = 0.5, who trade them at a constant rate."""
    game = load_scenario("execution-2")
    paid = 0.5 / 2 * (5 + 0.5 * 5) + 1.0 / 2 * 10 / 2
    for agent in game.agents:
        assert game.control_unit(agent) == pytest.approx(5 / 3, rel=1e-14)
        assert game.payoff_unit(agent) == pytest.approx(5 * paid, rel=1e-14)
    assert game.price_unit == pytest.approx(math.hypot(1.0, 1.0 / 2 * 10), rel=1e-14)
    assert game.volume_unit == pytest.approx(5.0, rel=1e-14)


def test_the_units_of_execution_with_noise_traders_by_hand():
    """Impact 0.5 (1 + t) and a net flow t - 0.5 until T = 2; three traders with 5, 3 and no shares."""
    game = ExecutionGame(**EXECUTION)
    middle = (np.arange(64) + 0.5) / 32
    push = np.abs(0.5 * (1 + middle) * (middle - 0.5)).mean()
    signal = min(push * 2 * 3 / (2 * 0.8) * 2, push / (2 * 0.4))
    rates = np.maximum([5, 3, 0], max(8 / 3, signal)) / 2
    found = [game.control_unit(agent) for agent in game.agents]
    np.testing.assert_allclose(found, rates / 3, rtol=1e-12)
    assert game.price_unit == pytest.approx(math.hypot(2 * math.sqrt(2), (rates.sum() / 3 + push) * 2), rel=1e-12)
    assert game.volume_unit == pytest.approx((8 + 2 * (2 + 1.5)) / 2, rel=1e-12)


# Symmetries


def scaled(parameter, factor):
    """A number, a function of time, or several of them, times a factor."""
    if isinstance(parameter, tuple | list):
        return tuple(scaled(each, factor) for each in parameter)
    return (lambda t: factor * parameter(t)) if callable(parameter) else factor * parameter


def costlier(competition, prices):
    """The same competition where every price is so many times what it was."""
    if isinstance(competition, SoftmaxShare):
        return replace(competition, rate=competition.rate / prices)
    intensity = replace(competition.intensity, gamma=competition.intensity.gamma / prices)
    if isinstance(competition, ProductShare):
        return replace(competition, intensity=intensity, rate=competition.rate / prices)
    return BestQuote(intensity)


def larger(impact, shares, prices):
    """The same impact where shares and prices are so many times what they were."""
    result = replace(impact, beta=scaled(impact.beta, prices / shares))
    if isinstance(impact, QuarticImpact):
        return replace(result, quartic=scaled(impact.quartic, prices / shares**3))
    return result


def in_other_units(game, shares, prices):
    """The game where shares and prices are so many times what they were."""
    common = {
        "buy_flow": scaled(game.buy_flow, shares),
        "sell_flow": scaled(game.sell_flow, shares),
        "max_rate": None if game.max_rate is None else shares * game.max_rate,
        "volatility": prices * game.volatility,
    }
    per_share = prices / shares
    if not game.makers:
        return replace(
            game,
            initial_inventory=scaled(game.initial_inventory, shares),
            **{
                name: scaled(getattr(game, name), per_share)
                for name in ("permanent_impact", "temporary_impact", "running_penalty", "terminal_penalty")
            },
            **common,
        )
    return replace(
        game,
        competition=costlier(game.competition, prices),
        impact=larger(game.impact, shares, prices),
        min_rate=shares * game.min_rate,
        max_quote=None if game.max_quote is None else prices * game.max_quote,
        inventory_noise=shares * game.inventory_noise,
        **{f"{role}_inventory": scaled(getattr(game, f"{role}_inventory"), shares) for role in ("trader", "maker")},
        **{
            f"{role}_{kind}_penalty": scaled(getattr(game, f"{role}_{kind}_penalty"), per_share)
            for role in ("trader", "maker")
            for kind in ("running", "terminal")
        },
        **common,
    )


def assert_rescaled(game, shares, prices):
    other, close = in_other_units(game, shares, prices), {"rtol": 1e-9}
    for own, found in zip(game.action_range(), other.action_range(), strict=True):
        np.testing.assert_allclose(found.rate, shares * own.rate, **close)
        np.testing.assert_allclose(quotes_of(found), prices * quotes_of(own), **close)
    for i, agent in enumerate(game.agents):
        unit = shares if i < game.traders else prices
        assert other.control_unit(agent) == pytest.approx(unit * game.control_unit(agent), rel=1e-9)
        assert other.payoff_unit(agent) == pytest.approx(shares * prices * game.payoff_unit(agent), rel=1e-9)
    assert other.price_unit == pytest.approx(prices * game.price_unit, rel=1e-9)
    assert other.volume_unit == pytest.approx(shares * game.volume_unit, rel=1e-9)


SCALES = [(1e-3, 1.0), (7.0, 1.0), (1e4, 1.0), (1.0, 1e-3), (1.0, 7.0), (1e4, 1e-3)]


@pytest.mark.parametrize(("shares", "prices"), SCALES)
@pytest.mark.parametrize("seed", range(12))
def test_units_of_shares_and_prices_do_not_matter(seed, shares, prices):
    game = replace(draw_market(np.random.default_rng(seed)), inventory_noise=0.1 * (seed % 2), min_rate=0.1)
    assert_rescaled(game, shares, prices)


@drawn(25)
@given(game=execution_games(), shares=st.floats(1e-3, 1e4), prices=st.floats(1e-3, 1e4))
def test_units_do_not_matter_to_takers_alone(game, shares, prices):
    assume(game.start.any())
    assert_rescaled(game, shares, prices)


def permuted(game, traders, makers):
    """The game with its agents in another order."""

    def of(values, order):
        return tuple(np.asarray(values)[order].tolist())

    competition, impact = game.competition, game.impact
    if isinstance(competition, SoftmaxShare):
        competition = replace(competition, offsets=of(competition.offsets, makers))
    orders = {"trader": traders, "maker": makers}
    return replace(
        game,
        competition=competition,
        impact=replace(impact, beta=of(impact.beta, traders)),
        **{
            f"{role}_{name}": of(getattr(game, f"{role}_{name}"), order)
            for role, order in orders.items()
            for name in ("inventory", "running_penalty", "terminal_penalty")
        },
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_order_of_agents_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    game = draw_market(rng)
    traders, makers = rng.permutation(game.traders), rng.permutation(game.makers)
    other = permuted(game, traders, makers)
    for own, found in zip(game.action_range(), other.action_range(), strict=True):
        np.testing.assert_allclose(found.rate, own.rate[traders], rtol=1e-12)
        for quotes, expected in ((found.ask, own.ask), (found.bid, own.bid)):
            np.testing.assert_allclose(quotes, expected[makers], rtol=1e-12)
            assert (quotes == quotes[0]).all(), "everybody has one range"
    order = [*traders, *(game.traders + makers)]
    for unit in ("control_unit", "payoff_unit"):
        own, found = ([getattr(each, unit)(agent) for agent in each.agents] for each in (game, other))
        np.testing.assert_allclose(found, np.array(own)[order], rtol=1e-12)

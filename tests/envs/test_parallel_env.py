"""The environment of traders and makers: the interfaces' checkers, and that it plays the grid game and nothing else.

What it reports is compared with ``simulate``, with the solver, or with the definition in plain arithmetic.
"""

import copy
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from makertaker.baselines import random_controls, solve
from makertaker.envs import (
    Controls,
    Noise,
    acas_v0,
    execution_v0,
    load_scenario,
    read_scenario,
    scenario_names,
    simulate,
)
from makertaker.envs.parallel_env import GameParallelEnv
from support.controls import at_step
from support.env_markets import ACAS, KINDS, NOT_NORMALISED, STEPS, acas_env, in_currency
from support.episodes import assert_a_copy_goes_on, assert_refused_and_not_played, draw_actions, play, same


def reward_sums(episode, agents):
    return np.array([sum(result[1][agent] for result in episode[1:]) for agent in agents])


# The interfaces' own checkers


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False, None])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is one number, and zero at first
def test_pettingzoo_checks_pass(observation, normalize, reward):
    arguments = {"observation": observation, "normalize": normalize, "reward": reward, "inventory_spread": 1.0}
    parallel_api_test(acas_env(**arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: acas_env(**arguments), num_cycles=STEPS)
    for form in (acas_v0.env, acas_v0.raw_env):
        api_test(form(steps=STEPS, **ACAS, **arguments), num_cycles=20)


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_gymnasium_check_passes(agent, normalize):
    options = {"agent": agent, "steps": STEPS, "inventory_spread": 1.0, "reward": "wealth", "normalize": normalize}
    env = gymnasium.make("makertaker/Acas-v0", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if normalize is None:  # actions in control units have bounds of their own
            warnings.filterwarnings("ignore", message=NOT_NORMALISED)
        check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_stable_baselines3_check_passes(agent, normalize):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if normalize is None:
            warnings.filterwarnings("ignore", message=NOT_NORMALISED)
        checker.check_env(gymnasium.make("makertaker/Acas-v0", agent=agent, steps=STEPS, normalize=normalize))


# An episode is the grid game


@pytest.mark.parametrize("normalize", [True, False, None])
def test_rewards_add_up_to_the_payoffs_of_the_grid_game(normalize):
    env = acas_env(normalize=normalize)
    controls = random_controls(env.game, STEPS, seed=1)
    episode = play(env, [env.actions_from(at_step(controls, k)) for k in range(STEPS)])
    expected = simulate(env.game, controls, STEPS)
    found = in_currency(env, reward_sums(episode, env.possible_agents))
    np.testing.assert_allclose(found, expected.payoffs, rtol=1e-9)
    np.testing.assert_allclose(env.market.inventories, expected.inventories[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False, None])
@pytest.mark.parametrize("name", [name for name in scenario_names() if load_scenario(name).factor is None])
def test_the_equilibrium_played_in_the_environment_is_the_solver_s(name, normalize):
    scenario = read_scenario(name)
    equilibrium = solve(scenario.game, scenario.steps)
    env = GameParallelEnv(scenario.game, steps=scenario.steps, normalize=normalize)
    env.reset()
    payoffs = np.zeros(len(env.possible_agents))
    for k in range(scenario.steps):
        rewards = env.step(env.actions_from(at_step(equilibrium.controls, k)))[1]
        payoffs += [rewards[agent] for agent in env.possible_agents]
        np.testing.assert_allclose(env.market.inventories, equilibrium.inventories[k + 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(in_currency(env, payoffs), equilibrium.payoffs, rtol=0, atol=1e-12)


def test_wealth_is_pnl_less_penalties_and_pnl_is_the_traded_cash():
    env = acas_env(reward="wealth", inventory_spread=1.0)
    play(env, draw_actions(env), seed=3)  # the second episode must not remember the first
    actions = draw_actions(env, seed=1)
    env.reset()
    inventories, mid = [env.market.inventories], 100.0
    cash, rewards = np.zeros(5), np.zeros(5)
    for each in actions:
        rate, ask, bid = env.controls_from(each)
        _, reward, _, _, info = env.step(each)
        rewards += [reward[agent] for agent in env.possible_agents]
        before, after = inventories[-1], env.market.inventories
        inventories.append(after)
        # a buyer pays the lowest ask, a seller receives the highest bid, and both bear the impact 0.5 v^2
        cash[0] -= ((mid + ask.min()) * rate[0] + 0.5 * rate[0] ** 2) / STEPS
        cash[1] -= ((mid - bid.min()) * rate[1] + 0.5 * rate[1] ** 2) / STEPS
        buy_flow = 1 + (len(inventories) - 1.5) / STEPS  # the mean of 1 + t over the step
        volume = np.array([buy_flow + rate[0], 1 - rate[1]])
        for i in range(3):
            share = [np.exp(-(side[i] - np.delete(side, i).min())) for side in (ask, bid)]
            sold, bought = volume * share / STEPS
            cash[2 + i] += (mid + ask[i]) * sold - (mid - bid[i]) * bought
            assert after[2 + i] - before[2 + i] == pytest.approx(bought - sold, abs=1e-12)
        assert info["trader_0"]["volume"] == pytest.approx(volume.sum() / STEPS, rel=1e-12)
        assert info["trader_0"]["price"] == pytest.approx(mid + ask.min() + 0.5 * rate[0], rel=1e-12)
        assert info["trader_1"]["price"] == pytest.approx(mid - bid.min() + 0.5 * rate[1], rel=1e-12)
        assert info["trader_0"]["spread"] == pytest.approx(ask.min() + bid.min(), rel=1e-12)
        mid = info["trader_0"]["mid"]
    assert mid != 100.0
    common = {"mid", "inventory", "cash", "pnl", "spread", "volume"}
    own = {agent: {"price"} if agent.startswith("trader") else set() for agent in info}
    assert all(each.keys() == common | own[agent] for agent, each in info.items())
    path = np.array(inventories)
    pnl = np.array([info[agent]["pnl"] for agent in env.possible_agents])
    np.testing.assert_allclose([info[agent]["cash"] for agent in env.possible_agents], cash, rtol=1e-11)
    np.testing.assert_allclose(pnl, cash + mid * path[-1] - 100.0 * path[0], rtol=0, atol=1e-9)
    # Simpson's rule is exact: squares of inventories that are linear within a step
    squares = (path[:-1] ** 2 + (path[:-1] + path[1:]) ** 2 + path[1:] ** 2).sum(axis=0) / 6 / STEPS
    penalties = [0.1, 0.2, 0.1, 0.1, 0.1] * squares + [0.5, 0.5, 0.2, 0.2, 0.2] * path[-1] ** 2
    np.testing.assert_allclose(rewards, pnl - penalties, rtol=0, atol=1e-9)


def test_everyone_terminates_at_the_horizon_and_nobody_is_truncated():
    env = acas_env()
    episode = play(env, draw_actions(env))
    for k, (_, _, terminated, truncated, _) in enumerate(episode[1:], start=1):
        assert terminated == dict.fromkeys(env.possible_agents, k == STEPS)
        assert truncated == dict.fromkeys(env.possible_agents, False)
    assert env.agents == []


# Randomness


def test_an_episode_is_a_function_of_its_seed():
    one, other = (acas_env(reward="wealth", inventory_spread=1.0) for _ in range(2))
    actions = draw_actions(one)
    first = play(one, actions, seed=0)
    assert same(first, play(other, actions, seed=0))
    assert not same(first, play(other, actions, seed=1))
    assert not same(first, play(one, actions)), "without a seed the stream goes on"
    assert same(first, play(one, actions, seed=0)), "seed 0 is a seed"


def test_payoff_rewards_without_spread_are_deterministic():
    """But for the market price, and what is worth more or less for it, nothing depends on the seed."""
    one, other = acas_env(), acas_env()
    actions, price = draw_actions(one), 4  # the place of the price, after time, inventory, best ask, best bid
    first, second = play(one, actions, seed=0), play(other, actions, seed=1)
    assert not same(first, second)
    for found, expected in zip(first, second, strict=True):
        assert same(found[1:-1], expected[1:-1])
        for agent, told in found[-1].items():
            assert same(*(np.delete(each[0][agent], price) for each in (found, expected)))
            assert all(expected[-1][agent][key] == told[key] for key in told.keys() - {"mid", "cash", "pnl", "price"})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_as_the_original(duplicate):
    env = acas_env(reward="wealth", inventory_spread=1.0, buy_flow=1.0)  # a lambda would not pickle
    assert_a_copy_goes_on(env, duplicate)


# Observations


def test_observations_are_prefixes_of_what_the_module_documents():
    envs = {kind: acas_env(observation=kind) for kind in KINDS}
    full = envs["full"]
    actions = draw_actions(full)
    episodes = {kind: play(env, actions, seed=0) for kind, env in envs.items()}
    low, high = full.game.action_range()
    full.reset(seed=0)
    shown, quotes = np.zeros(5), np.zeros(6)  # best quotes, price, volumes; all quotes
    for k in range(STEPS + 1):
        stock = np.clip(full.market.inventories / 5.0, -10, 10)  # in units of the largest initial inventory
        np.testing.assert_allclose(full.state(), [k / STEPS, *stock, *shown, *quotes], atol=1e-6)
        for i, agent in enumerate(full.possible_agents):
            expected = [k / STEPS, stock[i], *shown, *np.delete(stock, i), *quotes]
            for kind, width in zip(KINDS, (1, 2, 7, 17), strict=True):
                found = episodes[kind][k][0][agent]
                assert found.dtype == np.float32
                assert found.shape == (width,)
                np.testing.assert_allclose(found, expected[:width], atol=1e-6)
        if k < STEPS:
            rate, ask, bid = full.controls_from(actions[k])
            infos = full.step(actions[k])[-1]
            normal = [
                (2 * each - a - b) / (b - a) for each, a, b in ((ask, low.ask, high.ask), (bid, low.bid, high.bid))
            ]
            quotes = np.concatenate(normal)
            best = [each.min() for each in normal]
            moved = (infos["maker_0"]["mid"] - 100.0) / 2.0  # volatility 2, horizon 1
            # the traders want 8 shares, noise traders 1.5 and 1: half of that in five steps is the unit of volumes
            volumes = np.array([1 + (k + 0.5) / STEPS + rate[0], 1 - rate[1]]) / 5.25
            shown = np.array([*best, moved, *volumes])


@pytest.mark.parametrize("size", [1.0, 1e9, np.inf])
@pytest.mark.parametrize("normalize", [True, False, None])
def test_observations_stay_in_their_spaces(normalize, size):
    env = acas_env(normalize=normalize)
    env.market.draw = lambda rng: Noise(price=np.array(1e3))
    extreme = {agent: size * np.array([1.0, -1.0][: env.action_space(agent).shape[0]]) for agent in env.possible_agents}
    for observations, *_ in play(env, [extreme] * STEPS, options={"inventory": [-1e6, 1e6, 1e6, 0, -1e6]}):
        assert all(env.observation_space(agent).contains(each) for agent, each in observations.items())
    assert env.state_space.contains(env.state())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_observations_stay_in_their_spaces_where_only_the_highest_quote_is_worth_exploring():
    env = acas_env(max_quote=0.5, maker_inventory=(-100.0, -100.0))
    for observations, *_ in play(env, draw_actions(env)):
        assert all(env.observation_space(agent).contains(each) for agent, each in observations.items())


# Actions


def test_actions_and_controls_are_inverse():
    ways = [{}, {"normalize": False}, {"normalize": None}, {"rate_range": (0.0, 5.0), "quote_range": (-1.0, 2.0)}]
    for env in (acas_env(**arguments) for arguments in ways):
        controls = Controls(np.array([2.0, -1.5]), np.array([0.5, 1.0, 1.5]), np.array([0.2, 0.0, 1.9]))
        found = env.controls_from(env.actions_from(controls))
        np.testing.assert_allclose(np.concatenate(found), np.concatenate(controls), rtol=0, atol=1e-14)


def test_normalised_actions_span_the_range():
    env = acas_env(rate_range=(0.5, 5.0), quote_range=(-1.0, 2.0))
    ones = {agent: np.ones(env.action_space(agent).shape) for agent in env.possible_agents}
    low = env.controls_from({agent: -each for agent, each in ones.items()})
    high = env.controls_from(ones)
    # a seller's range is the mirror image of a buyer's
    np.testing.assert_array_equal([low.rate, high.rate], [[0.5, -5.0], [5.0, -0.5]])
    np.testing.assert_array_equal([low.ask, high.ask, low.bid, high.bid], [[-1.0] * 3, [2.0] * 3] * 2)


def test_float64_actions_keep_their_precision():
    env = acas_env(quote_range=(0.0, 3.0))
    tenths = {agent: np.full(env.action_space(agent).shape, 0.1) for agent in env.possible_agents}
    assert env.controls_from(tenths).ask[0] == pytest.approx(1.65, abs=1e-15)
    single = env.controls_from({agent: each.astype(np.float32) for agent, each in tenths.items()})
    assert 1e-9 < abs(float(single.ask[0]) - 1.65) < 1e-6


@pytest.mark.parametrize("size", [1e6, np.inf])
def test_actions_out_of_bounds_are_clipped(size):
    """At the ends of the range; in physical units, at the game's constraints."""
    env, counted = acas_env(), acas_env(normalize=None)
    physical = acas_env(normalize=False, min_rate=0.5, max_rate=20.0, max_quote=3.0)
    shapes, (low, high) = (
        {agent: env.action_space(agent).shape for agent in env.possible_agents},
        env.game.action_range(),
    )
    # a buyer only buys, a seller only sells
    for sign, end, rate in ((1, high, [20.0, -0.5]), (-1, low, [0.5, -20.0])):
        one, beyond = ({agent: np.full(shape, sign * x) for agent, shape in shapes.items()} for x in (1.0, size))
        assert same(env.controls_from(beyond), end)
        assert same(counted.controls_from(beyond), end)
        np.testing.assert_allclose(np.concatenate(env.controls_from(one)), np.concatenate(end), rtol=1e-15, atol=1e-15)
        found = physical.controls_from(beyond)
        assert same(found, Controls(np.array(rate), *np.full((2, 3), sign * 3.0)))


BAD_ACTIONS = [
    ({"trader_0": np.array([np.nan])}, r"trader_0: expected numbers, got an action with NaN: \[nan\]"),
    ({"maker_1": np.array([0.0, np.nan])}, r"maker_1: expected numbers, got an action with NaN"),
    ({"trader_1": np.zeros(2)}, r"trader_1: expected an action of shape \(1,\), got \(2,\)"),
    ({"maker_0": np.zeros(1)}, r"maker_0: expected an action of shape \(2,\), got \(1,\)"),
    ({"maker_0": 0.0}, r"maker_0: expected an action of shape \(2,\), got \(\)"),
    ({"maker_0": None}, "expected one entry for each of"),
    ({"maker_9": np.zeros(2)}, "expected one entry for each of"),
    ({"trader_0": np.zeros((3, 1))}, r"trader_0: expected an action of shape"),
    ({"maker_0": np.zeros((2, 2))}, r"maker_0: expected an action of shape \(2,\), got \(2, 2\)"),
    ({"maker_0": [0.0, "wide"]}, r"maker_0: expected numbers, got \[0.0, 'wide'\]"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ACTIONS)
def test_bad_actions_are_refused_and_nothing_is_played(changes, message):
    env, untouched = (acas_env(reward="wealth") for _ in range(2))
    assert_refused_and_not_played(env, untouched, changes, message)


def test_a_step_before_reset_or_after_the_end_is_refused():
    env = acas_env()
    actions = draw_actions(env)
    with pytest.raises(ValueError, match="the episode has ended, or not begun"):
        env.step(actions[0])
    play(env, actions)
    with pytest.raises(ValueError, match="the episode has ended, or not begun"):
        env.step(actions[0])
    env.reset()
    env.step(actions[0])


# Arguments


def test_reset_starts_from_given_inventories():
    env = acas_env()
    start = [-1.0, 0.0, 2.0, -2.0, 7.0]
    observations, _ = env.reset(options={"inventory": start})
    np.testing.assert_array_equal(env.market.inventories, start)
    assert observations["maker_2"][1] == np.float32(7.0 / 5.0)
    env.reset()
    np.testing.assert_array_equal(env.market.inventories, env.game.initial_inventory)


def test_reset_starts_from_given_inventories_whatever_the_spread():
    env = acas_env(inventory_spread=1.0)
    env.reset(seed=0, options={"inventory": [-1.0, 1.0, 2.0, -2.0, 7.0]})
    np.testing.assert_array_equal(env.market.inventories, [-1.0, 1.0, 2.0, -2.0, 7.0])


def test_random_inventories_keep_traders_on_their_side():
    env = acas_env(inventory_spread=4.0)
    starts = np.array([env.reset(seed=seed) and env.market.inventories for seed in range(300)])
    assert (starts[:, 0] <= 0).all()
    assert (starts[:, 1] >= 0).all()
    # standard error of a standard deviation: 4 / sqrt(2 * 300) = 0.16
    np.testing.assert_allclose(starts[:, 2:].std(axis=0), 4.0, atol=0.6)


@pytest.mark.parametrize(
    ("inventory", "message"),
    [
        ([5.0, 3.0, 0.0, 0.0, 0.0], "inventory: a buyer starts at 0 or below, a seller at 0 or above"),
        ([-5.0, -3.0, 0.0, 0.0, 0.0], "inventory: a buyer starts at 0 or below, a seller at 0 or above"),
        ([-5.0, 3.0, 0.0, 0.0], r"inventory: expected finite numbers of shape \(5,\)"),
        ([-5.0, 3.0, 0.0, 0.0, np.nan], r"inventory: expected finite numbers of shape \(5,\)"),
    ],
)
def test_reset_refuses_inventories_that_do_not_fit(inventory, message):
    with pytest.raises(ValueError, match=message):
        acas_env().reset(options={"inventory": inventory})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: expected a positive whole number, got 0"),
        ({"steps": 2.5}, r"steps: expected a positive whole number, got 2\.5"),
        ({"observation": "all"}, r"unknown observation 'all': .*expected one of \['time', 'own', 'market', 'full'\]"),
        ({"reward": "utility"}, "reward: expected 'payoff' or 'wealth', got 'utility'"),
        ({"render_mode": "ansi"}, "unknown render_mode 'ansi': .*expected one of"),
        ({"rate_range": (2.0, 1.0)}, r"rate_range: expected two increasing numbers within \[0, inf\]"),
        (
            {"quote_range": (-60.0, 1.0), "max_quote": 50.0},
            r"quote_range: expected two increasing numbers within \[-50, 50\]",
        ),
        ({"inventory_spread": -1.0}, "inventory_spread: expected a finite number >= 0"),
        ({"gamma": 1.0}, "unexpected keyword argument 'gamma': .*expected .* some of"),
        ({"horizon": -1.0}, "horizon: expected a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        acas_env(**arguments)


@pytest.mark.parametrize("module", [acas_v0, execution_v0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cash_is_of_the_shares_that_moved_whatever_the_precision_of_actions(module, dtype):
    """At a price of 100 a rounding error of an action would be seen."""
    env = module.parallel_env(steps=5)
    env.reset(seed=0)
    rng, before, cash = np.random.default_rng(0), env.market.inventories, np.zeros(len(env.possible_agents))
    jumps = env.game.volatility * np.sqrt(env.market.dt) * np.random.default_rng(0).standard_normal(5)
    for jump in jumps:  # of the price, at the end of each step: what is traded in it does not see it
        actions = {agent: rng.uniform(-1, 1, env.action_space(agent).shape).astype(dtype) for agent in env.agents}
        start = env.market.price
        _, _, _, _, infos = env.step(actions)
        market = env.market
        mean, moved = (start + market.price - jump) / 2, market.inventories - before
        cash, before = cash + market.dt * market.activity.income - mean * moved, market.inventories
        np.testing.assert_allclose([infos[agent]["cash"] for agent in env.possible_agents], cash, atol=1e-11)
    assert env.agents == []

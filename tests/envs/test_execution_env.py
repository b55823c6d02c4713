"""The environment of the execution game: the interfaces' checkers, and that it plays the grid game and nothing else.

What it reports is compared with ``simulate``, with the solver, or with the definition of Section 2 of Guo and Jin in
plain arithmetic; with a factor, on the same noise, drawn in the order in which a market draws it.
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
from makertaker.envs import Controls, ExecutionGame, Noise, execution_v0, read_scenario, rollout, simulate
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from support.env_markets import (
    DT,
    EXECUTION,
    FACTOR_SCALE,
    KINDS,
    MEAN,
    NOT_NORMALISED,
    REVERSION,
    SHAKE,
    SIGNAL,
    START,
    STEPS,
    episode_noise,
    execution_env,
    in_currency,
)
from support.episodes import assert_a_copy_goes_on, assert_refused_and_not_played, draw_actions, listed, play, same

# The interfaces' own checkers


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False, None])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is one number, and zero at first
def test_pettingzoo_checks_pass(execution_market, observation, normalize, reward):
    arguments = {"observation": observation, "normalize": normalize, "reward": reward, "inventory_spread": 1.0}
    parallel_api_test(execution_env(execution_market, **arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: execution_env(execution_market, **arguments), num_cycles=STEPS)
    for form in (execution_v0.env, execution_v0.raw_env):
        api_test(form(steps=STEPS, **execution_market, **arguments), num_cycles=20)


@pytest.mark.parametrize("normalize", [True, None])
def test_gymnasium_and_stable_baselines3_checks_pass(execution_market, normalize):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    options = {"agent": "trader_1", "steps": STEPS, "inventory_spread": 1.0, "reward": "wealth", "normalize": normalize}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if normalize is None:  # actions in control units have bounds of their own
            warnings.filterwarnings("ignore", message=NOT_NORMALISED)
        env = gymnasium.make("makertaker/Execution-v0", **options, **execution_market)
        check_env(env.unwrapped, skip_render_check=True)
        checker.check_env(env)


# An episode is the grid game


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False, None])
def test_rewards_add_up_to_what_simulate_says(execution_market, normalize, reward):
    if "factor" in execution_market:
        execution_market = execution_market | {"sell_flow": lambda t, factor: 1 + t + factor[..., 0] ** 2}
    env = execution_env(execution_market, normalize=normalize, reward=reward)
    controls = random_controls(env.game, STEPS, seed=1)
    expected = simulate(env.game, controls, STEPS, episode_noise(env.game, 7))
    totals, agents = np.zeros(3), env.possible_agents
    env.reset(seed=7)
    for k in range(STEPS):
        _, rewards, terminated, truncated, infos = env.step(env.actions_from(Controls(controls.rate[k])))
        totals += listed(rewards)
        np.testing.assert_allclose(env.market.inventories, expected.inventories[k + 1], rtol=0, atol=1e-12)
        assert infos["trader_0"]["mid"] == pytest.approx(expected.mid[k + 1], rel=1e-12)
        if "factor" in execution_market:
            np.testing.assert_allclose(infos["trader_0"]["factor"], expected.factor[k + 1], rtol=1e-12)
        assert terminated == dict.fromkeys(agents, k == STEPS - 1)
        assert truncated == dict.fromkeys(agents, False)
    assert env.agents == []
    wanted = expected.payoffs if reward == "payoff" else expected.wealth
    np.testing.assert_allclose(in_currency(env, totals), wanted, rtol=1e-9)


def test_a_market_without_noise_follows_the_factor_s_drift():
    market = Market(ExecutionGame(**SIGNAL), STEPS, normalize=False)
    controls = random_controls(market.game, STEPS, seed=1)
    totals = sum(market.advance(Controls(*(each[k] for each in controls))) for k in range(STEPS))
    expected = simulate(market.game, controls, STEPS)
    np.testing.assert_allclose(totals, expected.payoffs, rtol=1e-12)
    np.testing.assert_allclose(market.factor, expected.factor[-1], rtol=1e-12)


def test_the_equilibrium_with_a_factor_played_in_the_environment_is_the_solver_s():
    """Scenarios without a factor are played beside those of the maker-taker game."""
    scenario = read_scenario("execution-signal")
    game, steps = scenario.game, scenario.steps
    equilibrium = solve(game, steps)
    noise = episode_noise(game, 3, steps=steps)
    expected = equilibrium.rule.play(noise)
    for policies in (equilibrium.open_loop(), equilibrium.feedback()):
        rolled = rollout(game, policies, steps, noise)
        env = GameParallelEnv(game, steps=steps, reward="wealth", normalize=False)
        env.reset(seed=3)
        wealth = np.zeros(2)
        for k in range(steps):
            state = env.market.state
            wealth += listed(env.step({agent: policy(k, state) for agent, policy in policies.items()})[1])
            np.testing.assert_allclose(env.market.inventories, expected.inventories[k + 1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(wealth, expected.wealth, rtol=1e-12)
        np.testing.assert_allclose(rolled.wealth, expected.wealth, rtol=1e-12)
        np.testing.assert_allclose(rolled.payoffs, expected.payoffs, rtol=1e-12)
    draws = np.random.default_rng(0).standard_normal((2000, steps, 1))  # antithetic pairs
    pairs = rollout(game, equilibrium.open_loop(), steps, Noise(factor=np.stack([draws, -draws]))).payoffs.mean(axis=0)
    assert (np.abs(pairs.mean(axis=0) - equilibrium.payoffs) < 4 * pairs.std(axis=0) / len(pairs) ** 0.5).all()


def test_wealth_is_pnl_less_penalties_and_pnl_is_the_traded_cash(execution_market):
    """Every number of ``info``, from the displays of Section 2: ``S`` moves linearly within a step."""
    env = execution_env(execution_market, reward="wealth", inventory_spread=1.0)
    play(env, draw_actions(env), seed=3)  # the second episode must not remember the first
    actions, rng = draw_actions(env, seed=1), np.random.default_rng(7)
    env.reset(seed=7)
    inventories = [np.array(EXECUTION["initial_inventory"]) + rng.standard_normal(3)]
    price, cash, rewards, factor = 50.0, np.zeros(3), np.zeros(3), START
    for k, each in enumerate(actions):
        rate = env.controls_from(each).rate
        _, reward, _, _, info = env.step(each)
        rewards += listed(reward)
        middle = (k + 0.5) * DT
        alpha = 0.5 + 0.5 * middle  # its mean over the step, being linear
        buys = 4 + factor[0] + 2 * factor[1] if "factor" in execution_market else 1 + middle
        moved = (alpha / 3 * rate.sum() + alpha * (buys - 1.5)) * DT
        for i in range(3):
            paid = price + moved / 2 + 0.8 / 3 * (rate[i] + 0.6 * (rate.sum() - rate[i]))
            cash[i] -= paid * rate[i] * DT
            assert info[f"trader_{i}"]["price"] == pytest.approx(paid, rel=1e-12)
            assert info[f"trader_{i}"]["cash"] == pytest.approx(cash[i], rel=1e-11)
        inventories.append(inventories[-1] + rate * DT)
        price += moved + 2.0 * np.sqrt(DT) * rng.standard_normal()
        if "factor" in execution_market:
            shake = SHAKE * np.sqrt(DT) * rng.standard_normal(2)
            factor = factor + REVERSION * (MEAN - factor) * DT + shake
            assert info["trader_2"]["factor"] == pytest.approx(factor, rel=1e-12)
        assert info["trader_1"]["mid"] == pytest.approx(price, rel=1e-12)
        assert info["trader_0"]["volume"] == pytest.approx((buys + 1.5 + np.abs(rate).sum()) * DT, rel=1e-12)
        pnl = cash + price * inventories[-1] - 50.0 * inventories[0]
        np.testing.assert_allclose([one["pnl"] for one in info.values()], pnl, rtol=0, atol=1e-9)
    keys = {"mid", "volume", "inventory", "cash", "pnl", "price"} | {"factor"} & execution_market.keys()
    assert all(each.keys() == keys for each in info.values())
    path = np.array(inventories)
    # Simpson's rule is exact: squares of inventories that are linear within a step
    squares = (path[:-1] ** 2 + (path[:-1] + path[1:]) ** 2 + path[1:] ** 2).sum(axis=0) / 6 * DT
    penalties = [0.3, 0.4, 0.5] * squares + [0.5, 1.0, 2.0] * path[-1] ** 2
    np.testing.assert_allclose(rewards, pnl - penalties, rtol=0, atol=1e-9)


# Randomness


@pytest.mark.parametrize("arguments", [{"reward": "wealth", "inventory_spread": 1.0}, {}], ids=["noisy", "default"])
def test_an_episode_is_a_function_of_its_seed(execution_market, arguments):
    one, other = (execution_env(execution_market, **arguments) for _ in range(2))
    actions = draw_actions(one)
    first = play(one, actions, seed=0)
    assert same(first, play(other, actions, seed=0))
    random = bool(arguments) or "factor" in execution_market
    for name, another in (("another seed", play(other, actions, seed=1)), ("the stream goes on", play(one, actions))):
        assert not same(first, another), name  # the price that is shown, at least
        assert same(*([each[1] for each in episode[1:]] for episode in (first, another))) != random, name
    assert same(first, play(one, actions, seed=0)), "seed 0 is a seed"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_as_the_original(execution_market, duplicate):
    env = execution_env(execution_market, reward="wealth", inventory_spread=1.0)
    assert_a_copy_goes_on(env, duplicate)


# Observations


def test_observations_are_prefixes_of_what_the_module_documents(execution_market):
    envs = {kind: execution_env(execution_market, observation=kind) for kind in KINDS}
    env, d = envs["full"], 2 if "factor" in execution_market else 0
    actions = draw_actions(env)
    episodes = {kind: play(each, actions, seed=0) for kind, each in envs.items()}
    env.reset(seed=0)
    shown = np.zeros(3)  # the price, and what is bought and sold
    for k in range(STEPS + 1):
        stock = env.market.inventories / 5.0  # the largest initial inventory
        signal = env.market.factor
        factor = signal / FACTOR_SCALE if d else []
        np.testing.assert_allclose(env.state(), [k / STEPS, *factor, *stock, *shown], atol=1e-6)
        for i, agent in enumerate(env.possible_agents):
            expected = [k / STEPS, *factor, stock[i], *shown, *np.delete(stock, i)]
            for kind, width in zip(KINDS, (1 + d, 2 + d, 5 + d, 7 + d), strict=True):
                found = episodes[kind][k][0][agent]
                assert found.dtype == np.float32
                assert found.shape == (width,)
                np.testing.assert_allclose(found, expected[:width], atol=1e-6)
        if k < STEPS:
            rate = env.controls_from(actions[k]).rate
            infos = env.step(actions[k])[-1]
            buys = 4 + signal @ [1, 2] if d else 1 + (k + 0.5) * DT
            bought, sold = buys + rate[rate > 0].sum(), 1.5 - rate[rate < 0].sum()
            moved = (infos["trader_0"]["mid"] - 50.0) / env.game.price_unit
            shown = np.array([moved, *(np.array([bought, sold]) * 2.0 / env.game.volume_unit)])  # dt cancels, T = 2


@pytest.mark.parametrize("size", [1.0, 1e9, np.inf])
@pytest.mark.parametrize("normalize", [True, False, None])
def test_observations_stay_in_their_spaces(execution_market, normalize, size):
    env = execution_env(execution_market, normalize=normalize)
    wild = None if env.game.factor is None else np.array([1e3, -1e3])
    env.market.draw = lambda rng: Noise(price=np.array(-1e3), factor=wild)
    extreme = {agent: np.array([(-1) ** i * size]) for i, agent in enumerate(env.possible_agents)}
    for observations, *_ in play(env, [extreme] * STEPS, options={"inventory": [-1e6, 1e6, 0]}):
        assert all(env.observation_space(agent).contains(each) for agent, each in observations.items())
    assert env.state_space.contains(env.state())


# Actions


def test_actions_and_controls_are_inverse_in_double_precision():
    rate = np.array([2.0, -1.5, 0.5])
    ways = [{}, {"normalize": False}, {"normalize": None}, {"rate_range": (-1.0, 5.0)}]
    for env in (execution_env(**arguments) for arguments in ways):
        actions = env.actions_from(Controls(rate))
        np.testing.assert_allclose(env.controls_from(actions).rate, rate, rtol=0, atol=1e-14)
        single = env.controls_from({agent: (each / 3).astype(np.float32) for agent, each in actions.items()})
        double = env.controls_from({agent: each / 3 for agent, each in actions.items()})
        assert 1e-9 < np.abs(single.rate - double.rate).max() < 1e-6


def test_normalised_actions_span_the_range():
    """A range is counted in the direction that closes the inventory; who has none counts as a buyer."""
    env = execution_env(rate_range=(-1.0, 5.0))
    low, high = (env.controls_from(dict.fromkeys(env.possible_agents, np.full(1, sign))).rate for sign in (-1.0, 1.0))
    np.testing.assert_array_equal([low, high], [[-1.0, -5.0, -1.0], [5.0, 1.0, 5.0]])
    low, high = (bound.rate for bound in env.game.action_range())
    assert (low < 0).all() and (high > 0).all(), "everybody may trade in both directions"  # noqa: PT018


@pytest.mark.parametrize("size", [1e6, np.inf])
def test_actions_out_of_bounds_are_clipped(size):
    """At the ends of the range; in physical units, at the game's constraints."""
    env, counted = execution_env(), execution_env(normalize=None)
    physical = execution_env(normalize=False, max_rate=20.0, rate_range=(0.0, 1.0))
    for sign, end in zip((-1, 1), env.game.action_range(), strict=True):
        one, beyond = (dict.fromkeys(env.possible_agents, np.full(1, sign * x)) for x in (1.0, size))
        assert same(env.controls_from(beyond), end)
        assert same(counted.controls_from(beyond), end)
        np.testing.assert_allclose(env.controls_from(one).rate, end.rate, rtol=1e-15)
        np.testing.assert_array_equal(physical.controls_from(beyond).rate, np.full(3, 20.0 * sign))


BAD_ACTIONS = [
    ({"trader_0": np.array([np.nan])}, r"trader_0: expected numbers, got an action with NaN: \[nan\]"),
    ({"trader_1": np.zeros(2)}, r"trader_1: expected an action of shape \(1,\), got \(2,\)"),
    ({"trader_1": []}, r"trader_1: expected an action of shape \(1,\), got \(0,\)"),
    ({"trader_1": "fast"}, "trader_1: expected numbers, got 'fast'"),
    ({"trader_2": None}, "expected one entry for each of"),
    ({"maker_0": np.zeros(2)}, "expected one entry for each of"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ACTIONS)
def test_bad_actions_are_refused_and_nothing_is_played(execution_market, changes, message):
    env, untouched = (execution_env(execution_market, reward="wealth") for _ in range(2))
    assert_refused_and_not_played(env, untouched, changes, message)


def test_a_step_before_reset_or_after_the_end_is_refused():
    env = execution_env()
    for _ in range(2):
        with pytest.raises(ValueError, match="the episode has ended, or not begun"):
            env.step(draw_actions(env)[0])
        play(env, draw_actions(env))


# Arguments


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_reset_starts_from_given_inventories_on_either_side(spread):
    env = execution_env(inventory_spread=spread)
    observations, _ = env.reset(seed=0, options={"inventory": [4.0, -1.0, 7.0]})
    np.testing.assert_array_equal(env.market.inventories, [4.0, -1.0, 7.0])
    assert observations["trader_2"][1] == np.float32(7.0 / 5.0)
    env.reset()
    assert np.array_equal(env.market.inventories, env.game.start) == (spread == 0)


def test_random_inventories_spread_around_the_game_s_on_both_sides():
    env = execution_env(inventory_spread=4.0)
    starts = np.array([env.reset(seed=seed) and env.market.inventories for seed in range(300)])
    # standard errors: of a mean 4 / sqrt(300) = 0.23, of a standard deviation 4 / sqrt(600) = 0.16
    np.testing.assert_allclose(starts.mean(axis=0), [-5, 3, 0], atol=0.9)
    np.testing.assert_allclose(starts.std(axis=0), 4.0, atol=0.6)
    assert (starts[:, 0] > 0).any(), "a buyer may start with shares"


@pytest.mark.parametrize("inventory", [[-5.0, 3.0], [-5.0, 3.0, np.nan], 1.0, [[-5.0, 3.0, 0.0]]])
def test_reset_refuses_inventories_that_do_not_fit(inventory):
    with pytest.raises(ValueError, match=r"inventory: expected finite numbers of shape \(3,\)"):
        execution_env().reset(options={"inventory": inventory})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: expected a positive whole number, got 0"),
        ({"observation": "all"}, r"unknown observation 'all': .*expected one of \['time', 'own', 'market', 'full'\]"),
        ({"reward": "utility"}, "reward: expected 'payoff' or 'wealth', got 'utility'"),
        ({"render_mode": "ansi"}, "unknown render_mode 'ansi': .*expected one of"),
        ({"rate_range": (2.0, 1.0)}, r"rate_range: expected two increasing numbers within \[-inf, inf\]"),
        (
            {"rate_range": (-101.0, 1.0), "max_rate": 100.0},
            r"rate_range: expected two increasing numbers within \[-100, 100\]",
        ),
        ({"quote_range": (-1.0, 1.0)}, "quote_range: nobody quotes in this game, expected None"),
        ({"inventory_spread": -1.0}, "inventory_spread: expected a finite number >= 0"),
        (
            {"maker_inventory": (0.0,)},
            "unexpected keyword argument 'maker_inventory': did you mean 'initial_inventory'",
        ),
        ({"crowding": 2.0}, r"crowding: expected a number above .* and below 2, got 2\.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        execution_env(**arguments)

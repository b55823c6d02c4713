"""The environment of the execution game: the interfaces' checkers, and that it plays the grid game and nothing else.

Whatever the environment reports is compared with ``simulate``, with the solver, or with the definition of Section 2 of
Guo and Jin in plain arithmetic; with a factor, on the same noise, drawn in the order in which a market draws it.
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
    Affine,
    Controls,
    ExecutionGame,
    MarketVectorEnv,
    Noise,
    execution_v0,
    ornstein_uhlenbeck,
    read_scenario,
    rollout,
    simulate,
)
from makertaker.envs.flows import Points
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.single_agent_env import SingleAgentEnv

STEPS = 5
DT = 2.0 / STEPS
KINDS = ("time", "own", "full")
PLAIN = {
    "initial_inventory": (-5.0, 3.0, 0.0),
    "horizon": 2.0,
    "permanent_impact": Points(((0.0, 0.5), (2.0, 1.5))),
    "temporary_impact": 0.8,
    "crowding": 0.6,
    "running_penalty": (0.3, 0.4, 0.5),
    "terminal_penalty": (0.5, 1.0, 2.0),
    "buy_flow": Points(((0.0, 1.0), (2.0, 3.0))),
    "sell_flow": 1.5,
    "volatility": 2.0,
    "initial_price": 50.0,
}
REVERSION, MEAN, SHAKE, START = np.array([[2.0, 1.0], [0.0, 0.2], [1.5, 0.5], [1.0, -0.5]])
SIGNAL = PLAIN | {
    "factor": ornstein_uhlenbeck(REVERSION, SHAKE, mean=MEAN, initial=START),
    "buy_flow": Affine(4.0, (1.0, 2.0)),
}
MARKETS = {"plain": PLAIN, "factor": SIGNAL}
FACTOR_SCALE = np.abs(START) + SHAKE * np.sqrt(2.0)  # largest undisturbed value, plus volatility sqrt(T)


@pytest.fixture(params=MARKETS)
def parameters(request):
    """A market with a buyer, a seller and a trader without orders; the second has a factor of two components."""
    return MARKETS[request.param]


def make(parameters=PLAIN, **arguments):
    return execution_v0.parallel_env(**{"steps": STEPS} | parameters | arguments)


def draw_actions(env, seed=0):
    """Random normalised actions of everyone, one dictionary a step."""
    rng = np.random.default_rng(seed)
    return [{agent: rng.uniform(-1, 1, 1) for agent in env.possible_agents} for _ in range(STEPS)]


def draw_noise(game, seed, *, steps=STEPS, wealth=False, batch=()):
    """The noise of an episode that starts from the seed, or generator: every step's price, then its factor."""
    rng, price, factor = np.random.default_rng(seed), [], []
    for _ in range(steps):
        price += [rng.standard_normal(batch)] if wealth else []
        factor += [rng.standard_normal((*batch, game.factor.size))] if game.factor else []
    return Noise(np.stack(price, -1) if price else None, np.stack(factor, -2) if factor else None)


def play(env, actions, **reset):
    """A whole episode: everything that ``reset`` and ``step`` return."""
    return [env.reset(**reset), *(env.step(each) for each in actions)]


def same(one, other):
    """Whether two nested results are bitwise the same."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other)


def listed(by_agent):
    return np.array(list(by_agent.values()))


# The interfaces' own checkers


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is one number, and zero at first
def test_pettingzoo_checks_pass(parameters, observation, normalize, reward):
    arguments = {"observation": observation, "normalize": normalize, "reward": reward, "inventory_spread": 1.0}
    parallel_api_test(make(parameters, **arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: make(parameters, **arguments), num_cycles=STEPS)
    for form in (execution_v0.env, execution_v0.raw_env):
        api_test(form(steps=STEPS, **parameters, **arguments), num_cycles=20)


def test_gymnasium_and_stable_baselines3_checks_pass(parameters):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    options = {"agent": "trader_1", "steps": STEPS, "inventory_spread": 1.0, "reward": "wealth"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("makertaker/Execution-v0", **options, **parameters)
        check_env(env.unwrapped, skip_render_check=True)
        checker.check_env(env)


# An episode is the grid game


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False])
def test_rewards_add_up_to_what_simulate_says(parameters, normalize, reward):
    if "factor" in parameters:
        parameters = parameters | {"sell_flow": lambda t, factor: 1 + t + factor[..., 0] ** 2}
    env = make(parameters, normalize=normalize, reward=reward)
    controls = random_controls(env.game, STEPS, seed=1)
    expected = simulate(env.game, controls, STEPS, draw_noise(env.game, 7, wealth=reward == "wealth"))
    totals, agents = np.zeros(3), env.possible_agents
    env.reset(seed=7)
    for k in range(STEPS):
        _, rewards, terminated, truncated, infos = env.step(env.actions_from(Controls(controls.rate[k])))
        totals += listed(rewards)
        np.testing.assert_allclose(env.market.inventories, expected.inventories[k + 1], rtol=0, atol=1e-12)
        assert infos["trader_0"]["mid"] == pytest.approx(expected.mid[k + 1], rel=1e-12)
        if "factor" in parameters:
            np.testing.assert_allclose(infos["trader_0"]["factor"], expected.factor[k + 1], rtol=1e-12)
        assert terminated == dict.fromkeys(agents, k == STEPS - 1)
        assert truncated == dict.fromkeys(agents, False)
    assert env.agents == []
    np.testing.assert_allclose(totals, expected.payoffs if reward == "payoff" else expected.wealth, rtol=1e-9)


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
    noise = draw_noise(game, 3, steps=steps, wealth=True)
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


def test_wealth_is_pnl_less_penalties_and_pnl_is_the_traded_cash(parameters):
    """Every number of ``info``, from the displays of Section 2: ``S`` moves linearly within a step."""
    env = make(parameters, reward="wealth", inventory_spread=1.0)
    play(env, draw_actions(env), seed=3)  # the second episode must not remember the first
    actions, rng = draw_actions(env, seed=1), np.random.default_rng(7)
    env.reset(seed=7)
    inventories = [np.array(PLAIN["initial_inventory"]) + rng.standard_normal(3)]
    price, cash, rewards, factor = 50.0, np.zeros(3), np.zeros(3), START
    for k, each in enumerate(actions):
        rate = env.controls_from(each).rate
        _, reward, _, _, info = env.step(each)
        rewards += listed(reward)
        middle = (k + 0.5) * DT
        alpha = 0.5 + 0.5 * middle  # its mean over the step, being linear
        buys = 4 + factor[0] + 2 * factor[1] if "factor" in parameters else 1 + middle
        moved = (alpha / 3 * rate.sum() + alpha * (buys - 1.5)) * DT
        for i in range(3):
            paid = price + moved / 2 + 0.8 / 3 * (rate[i] + 0.6 * (rate.sum() - rate[i]))
            cash[i] -= paid * rate[i] * DT
            assert info[f"trader_{i}"]["price"] == pytest.approx(paid, rel=1e-12)
            assert info[f"trader_{i}"]["cash"] == pytest.approx(cash[i], rel=1e-11)
        inventories.append(inventories[-1] + rate * DT)
        price += moved + 2.0 * np.sqrt(DT) * rng.standard_normal()
        if "factor" in parameters:
            shake = SHAKE * np.sqrt(DT) * rng.standard_normal(2)
            factor = factor + REVERSION * (MEAN - factor) * DT + shake
            assert info["trader_2"]["factor"] == pytest.approx(factor, rel=1e-12)
        assert info["trader_1"]["mid"] == pytest.approx(price, rel=1e-12)
        assert info["trader_0"]["volume"] == pytest.approx((buys + 1.5 + np.abs(rate).sum()) * DT, rel=1e-12)
        pnl = cash + price * inventories[-1] - 50.0 * inventories[0]
        np.testing.assert_allclose([one["pnl"] for one in info.values()], pnl, rtol=0, atol=1e-9)
    keys = {"mid", "volume", "cash", "pnl", "price"} | ({"factor"} if "factor" in parameters else set())
    assert all(each.keys() == keys for each in info.values())
    path = np.array(inventories)
    # Simpson's rule is exact: squares of inventories that are linear within a step
    squares = (path[:-1] ** 2 + (path[:-1] + path[1:]) ** 2 + path[1:] ** 2).sum(axis=0) / 6 * DT
    penalties = [0.3, 0.4, 0.5] * squares + [0.5, 1.0, 2.0] * path[-1] ** 2
    np.testing.assert_allclose(rewards, pnl - penalties, rtol=0, atol=1e-9)


# Randomness


@pytest.mark.parametrize("arguments", [{"reward": "wealth", "inventory_spread": 1.0}, {}], ids=["noisy", "default"])
def test_an_episode_is_a_function_of_its_seed(parameters, arguments):
    one, other = (make(parameters, **arguments) for _ in range(2))
    actions = draw_actions(one)
    first = play(one, actions, seed=0)
    assert same(first, play(other, actions, seed=0))
    random = bool(arguments) or "factor" in parameters
    assert same(first, play(other, actions, seed=1)) != random
    assert same(first, play(one, actions)) != random, "without a seed the stream goes on"
    assert same(first, play(one, actions, seed=0)), "seed 0 is a seed"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_as_the_original(parameters, duplicate):
    env = make(parameters, reward="wealth", inventory_spread=1.0)
    first, *rest = draw_actions(env)
    env.reset(seed=0)
    env.step(first)
    twin = duplicate(env)
    assert same([env.step(each) for each in rest], [twin.step(each) for each in rest])


# Observations


def test_observations_are_prefixes_of_what_the_module_documents(parameters):
    envs = {kind: make(parameters, observation=kind) for kind in KINDS}
    env, d = envs["full"], 2 if "factor" in parameters else 0
    actions = draw_actions(env)
    episodes = {kind: play(each, actions, seed=0) for kind, each in envs.items()}
    env.reset(seed=0)
    for k in range(STEPS + 1):
        stock = env.market.inventories / 5.0  # the largest initial inventory
        factor = env.market.factor / FACTOR_SCALE if d else []
        np.testing.assert_allclose(env.state(), [k / STEPS, *factor, *stock], atol=1e-6)
        for i, agent in enumerate(env.possible_agents):
            expected = [k / STEPS, *factor, stock[i], *np.delete(stock, i)]
            for kind, width in zip(KINDS, (1 + d, 2 + d, 4 + d), strict=True):
                found = episodes[kind][k][0][agent]
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, expected[:width], atol=1e-6)
        if k < STEPS:
            env.step(actions[k])


@pytest.mark.parametrize("size", [1.0, 1e9, np.inf])
@pytest.mark.parametrize("normalize", [True, False])
def test_observations_stay_in_their_spaces(parameters, normalize, size):
    env = make(parameters, normalize=normalize)
    if env.game.factor is not None:
        env.market.draw = lambda rng: Noise(factor=np.array([1e3, -1e3]))
    extreme = {agent: np.array([(-1) ** i * size]) for i, agent in enumerate(env.possible_agents)}
    for observations, *_ in play(env, [extreme] * STEPS, options={"inventory": [-1e6, 1e6, 0]}):
        assert all(env.observation_space(agent).contains(each) for agent, each in observations.items())
    assert env.state_space.contains(env.state())


# Actions


def test_actions_and_controls_are_inverse_in_double_precision():
    rate = np.array([2.0, -1.5, 0.5])
    for env in (make(), make(normalize=False), make(rate_range=(-1.0, 5.0))):
        actions = env.actions_from(Controls(rate))
        np.testing.assert_allclose(env.controls_from(actions).rate, rate, rtol=0, atol=1e-14)
        single = env.controls_from({agent: (each / 3).astype(np.float32) for agent, each in actions.items()})
        double = env.controls_from({agent: each / 3 for agent, each in actions.items()})
        assert 1e-9 < np.abs(single.rate - double.rate).max() < 1e-6


def test_normalised_actions_span_the_range():
    """A range is counted in the direction that closes the inventory; who has none counts as a buyer."""
    env = make(rate_range=(-1.0, 5.0))
    low, high = (env.controls_from(dict.fromkeys(env.possible_agents, np.full(1, sign))).rate for sign in (-1.0, 1.0))
    np.testing.assert_array_equal([low, high], [[-1.0, -5.0, -1.0], [5.0, 1.0, 5.0]])
    low, high = (bound.rate for bound in env.game.action_range())
    assert (low < 0).all() and (high > 0).all(), "everybody may trade in both directions"  # noqa: PT018


@pytest.mark.parametrize("size", [1e6, np.inf])
def test_actions_out_of_bounds_are_clipped(size):
    env, physical = make(), make(normalize=False, max_rate=20.0, rate_range=(0.0, 1.0))
    for sign in (1, -1):
        one, beyond = (dict.fromkeys(env.possible_agents, np.full(1, sign * x)) for x in (1.0, size))
        assert same(env.controls_from(beyond), env.controls_from(one))
        np.testing.assert_array_equal(physical.controls_from(beyond).rate, np.full(3, 20.0 * sign))


BAD_ACTIONS = [
    ({"trader_0": np.array([np.nan])}, r"trader_0: expected numbers, got an action with NaN: \[nan\]"),
    ({"trader_1": np.zeros(2)}, r"trader_1: expected an action of shape \(1,\), got \(2,\)"),
    ({"trader_1": 0.0}, r"trader_1: expected an action of shape \(1,\), got \(\)"),
    ({"trader_2": None}, "expected one entry for each of"),
    ({"maker_0": np.zeros(2)}, "expected one entry for each of"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ACTIONS)
def test_bad_actions_are_refused_and_nothing_is_played(parameters, changes, message):
    env, untouched = (make(parameters, reward="wealth") for _ in range(2))
    first, *rest = draw_actions(env)
    for each in (env, untouched):
        each.reset(seed=0)
        each.step(first)
    bad = {agent: action for agent, action in (rest[0] | changes).items() if action is not None}
    with pytest.raises(ValueError, match=message):
        env.step(bad)
    assert same([env.step(each) for each in rest], [untouched.step(each) for each in rest])


def test_a_step_before_reset_or_after_the_end_is_refused():
    env = make()
    for _ in range(2):
        with pytest.raises(ValueError, match="the episode has ended, or not begun"):
            env.step(draw_actions(env)[0])
        play(env, draw_actions(env))


# Arguments


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_reset_starts_from_given_inventories_on_either_side(spread):
    env = make(inventory_spread=spread)
    observations, _ = env.reset(seed=0, options={"inventory": [4.0, -1.0, 7.0]})
    np.testing.assert_array_equal(env.market.inventories, [4.0, -1.0, 7.0])
    assert observations["trader_2"][1] == np.float32(7.0 / 5.0)
    env.reset()
    assert np.array_equal(env.market.inventories, env.game.start) == (spread == 0)


def test_random_inventories_spread_around_the_game_s_on_both_sides():
    env = make(inventory_spread=4.0)
    starts = np.array([env.reset(seed=seed) and env.market.inventories for seed in range(300)])
    # standard errors: of a mean 4 / sqrt(300) = 0.23, of a standard deviation 4 / sqrt(600) = 0.16
    np.testing.assert_allclose(starts.mean(axis=0), [-5, 3, 0], atol=0.9)
    np.testing.assert_allclose(starts.std(axis=0), 4.0, atol=0.6)
    assert (starts[:, 0] > 0).any(), "a buyer may start with shares"


@pytest.mark.parametrize("inventory", [[-5.0, 3.0], [-5.0, 3.0, np.nan], 1.0, [[-5.0, 3.0, 0.0]]])
def test_reset_refuses_inventories_that_do_not_fit(inventory):
    with pytest.raises(ValueError, match=r"inventory: expected finite numbers of shape \(3,\)"):
        make().reset(options={"inventory": inventory})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: expected a positive whole number, got 0"),
        ({"observation": "all"}, r"observation: expected one of \['time', 'own', 'full'\], got 'all'"),
        ({"reward": "utility"}, "reward: expected 'payoff' or 'wealth', got 'utility'"),
        ({"render_mode": "ansi"}, "render_mode: expected one of .* got 'ansi'"),
        ({"rate_range": (2.0, 1.0)}, r"rate_range: expected two increasing numbers within \[-100, 100\]"),
        ({"rate_range": (-101.0, 1.0)}, r"rate_range: expected two increasing numbers within \[-100, 100\]"),
        ({"quote_range": (-1.0, 1.0)}, "quote_range: nobody quotes in this game, expected None"),
        ({"inventory_spread": -1.0}, "inventory_spread: expected a finite number >= 0"),
        ({"maker_inventory": (0.0,)}, r"unknown argument \['maker_inventory'\]: expected .* some of"),
        ({"crowding": 2.0}, r"crowding: expected a number in \[0, 2\), got 2\.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


# Pictures


def test_pictures_show_inventories_and_prices(parameters):
    pytest.importorskip("matplotlib")
    env = make(parameters, render_mode="rgb_array")
    env.reset(seed=0)
    frames, infos = [env.render()], []
    for actions in draw_actions(env)[:2]:
        infos.append(env.step(actions)[4])
        frames.append(env.render())
    assert all(frame.dtype == np.uint8 and frame.shape == (*frames[0].shape[:2], 3) for frame in frames)
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])
    assert np.array_equal(frames[2], env.render()), "looking twice shows the same"
    left, right = env._renderer._figure.axes
    assert (left.get_title(), right.get_title()) == ("Inventories", "Prices")
    market, *trades = (line.get_xydata() for line in right.lines)
    mids = [50.0, *(info["trader_0"]["mid"] for info in infos)]
    np.testing.assert_allclose(market, np.transpose([[0.0, DT, 2 * DT], mids]))
    for agent, marks in zip(env.possible_agents, trades, strict=True):
        paid = [info[agent]["price"] for info in infos]
        np.testing.assert_allclose(marks, np.transpose([[DT / 2, 3 * DT / 2], paid]))
    env.reset()
    assert np.array_equal(env.render(), frames[0]), "the episode before is forgotten"
    env.close()
    with pytest.raises(ValueError, match="render: construct the environment with render_mode in"):
        make().render()


# One learner, many markets


def state_policies(game):
    """Policies that look at the market's state, so that a mix-up between markets or agents would show."""
    low, high = (bound.rate for bound in game.action_range())

    def trader(i):
        def act(k, state):
            signal = 0.0 if state.factor is None else state.factor @ [0.5, -0.2]
            rate = 0.2 * signal - state.inventories @ np.roll([0.5 + 0.1 * k, 0.2, 0.1], i)
            return np.clip(rate, low[i], high[i])[..., None]

        return act

    return {agent: trader(i) for i, agent in enumerate(game.agents)}


def feed(env, noise, market):
    """The environment, in which the factor gets the increments (markets, K, d) of one market."""
    if noise.factor is not None:
        rows = iter(noise.factor[market])
        env.market.draw = lambda rng: Noise(factor=next(rows))
    return env


@pytest.mark.parametrize("normalize", [True, False])
def test_learners_views_agree_with_the_parallel_environment_market_by_market(parameters, normalize):
    agent, game = "trader_1", ExecutionGame(**parameters)
    starts = np.array([[-5.0, 3.0, 1.0], [1.0, -2.0, 0.0], [-8.0, 0.0, 3.0]])
    others = state_policies(game)
    batch = MarketVectorEnv(game, 3, agent, others, steps=STEPS, normalize=normalize)
    noise = draw_noise(game, 4, batch=(3,))
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 3, 1))
    found = [batch.reset(seed=4, options={"inventory": starts}), *map(batch.step, actions)]
    for market, start in enumerate(starts):
        parallel, single = (feed(make(parameters, normalize=normalize), noise, market) for _ in range(2))
        alone, options = SingleAgentEnv(single, agent, others), {"inventory": start}
        expected = parallel.reset(options=options)[0][agent]
        np.testing.assert_array_equal(alone.reset(options=options)[0], expected)
        np.testing.assert_array_equal(found[0][0][market], expected)
        for k, action in enumerate(actions[:, market]):
            rate = np.concatenate([others[name](k, parallel.market.state) for name in game.agents])
            everyone = parallel.actions_from(Controls(rate)) | {agent: action}
            seen, paid, *ends, told = (each[agent] for each in parallel.step(everyone))
            observation, reward, *ended, info = alone.step(action)
            np.testing.assert_allclose(observation, seen, atol=1e-6)
            assert reward == pytest.approx(paid, rel=1e-12)
            assert ended == ends == [k == STEPS - 1, False]
            assert info.keys() == told.keys()
            assert all(info[key] == pytest.approx(told[key], rel=1e-12) for key in info)
            observations, rewards, _, _, infos = found[k + 1]
            np.testing.assert_allclose(infos.get("final_obs", observations)[market], seen, atol=1e-6)
            assert rewards[market] == pytest.approx(paid, rel=1e-12)


def test_the_hub_agrees_with_the_parallel_environment_market_by_market(parameters):
    pytest.importorskip("sb3_contrib")
    from makertaker.training.sb3.hub import Hub

    game = ExecutionGame(**parameters)
    follow, scale = state_policies(game)["trader_2"], {"trader_0": 0.5, "trader_1": 2.0}
    market = Market(game, STEPS, batch=(3,))
    hub = Hub(market, list(scale), {"trader_2": follow}, seed=5, inventory_spread=1.0, reward_scale=scale)
    rng = np.random.default_rng(5)
    starts, noise = game.start + rng.standard_normal((3, 3)), draw_noise(game, rng, batch=(3,))
    first = hub.observations()
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 2, 3, 1))
    found = [hub.advance(dict(zip(scale, each, strict=True))) for each in actions]
    for i, start in enumerate(starts):
        env, returns = feed(make(parameters), noise, i), np.zeros(2)
        np.testing.assert_array_equal(first[i], listed(env.reset(options={"inventory": start})[0]))
        for k in range(STEPS):
            own = env.actions_from(Controls(np.repeat(follow(k, env.market.state), 3)))["trader_2"]
            observations, rewards, *_ = env.step(dict(zip(env.agents, [*actions[k, :, i], own], strict=True)))
            for j, (agent, unit) in enumerate(scale.items()):
                seen, reward, done, infos = found[k][agent]
                assert reward[i] == pytest.approx(unit * rewards[agent], rel=1e-6)
                assert done[i] == (k == STEPS - 1)
                last = infos[i].get("terminal_observation", seen[i])
                np.testing.assert_allclose(last, observations[agent], atol=1e-6)
                returns[j] += unit * rewards[agent]
        np.testing.assert_allclose([found[-1][agent][3][i]["episode"]["r"] for agent in scale], returns, rtol=1e-12)


def test_the_vec_env_of_training_is_the_vector_environment(parameters):
    pytest.importorskip("sb3_contrib")
    from makertaker.training import MarketVecEnv

    game = ExecutionGame(**parameters)
    options = {"steps": STEPS, "inventory_spread": 1.0, "reward": "wealth", "observation": "own"}
    one, other = (
        kind(game, 4, "trader_0", state_policies(game), **options) for kind in (MarketVecEnv, MarketVectorEnv)
    )
    one.seed(6)
    np.testing.assert_array_equal(one.reset(), other.reset(seed=6)[0])
    for action in np.random.default_rng(0).uniform(-1, 1, (2 * STEPS, 4, 1)):
        expected = other.step(action)
        assert same(one.step(action)[:3], (expected[0], expected[1].astype(np.float32), expected[2]))


def test_the_default_opponents_follow_the_equilibrium_and_the_factor_and_do_not_react(parameters):
    options = {"agent": "trader_0", "steps": STEPS, "normalize": False}
    env = gymnasium.make("makertaker/Execution-v0", **options, **parameters).unwrapped
    game = ExecutionGame(**parameters)
    for seed in (1, 2):
        noise = draw_noise(game, seed)
        rate = solve(game, STEPS).rule.play(noise).controls.rate
        for played in (rate, rate * [2.0, 1.0, 1.0]):
            env.reset(seed=seed)
            total = sum(env.step(played[k, :1])[1] for k in range(STEPS))
            assert total == pytest.approx(simulate(game, Controls(played), STEPS, noise).payoffs[0], rel=1e-11)


def test_markets_cannot_share_opponents_who_follow_a_factor():
    others = solve(ExecutionGame(**SIGNAL), STEPS).open_loop()
    one, other = (SingleAgentEnv(make(SIGNAL), "trader_0", others) for _ in range(2))
    for seed, env in enumerate((one, other)):
        env.reset(seed=seed)
        env.step(np.zeros(1))
    one.step(np.zeros(1))
    with pytest.raises(ValueError, match="markets cannot share it"):
        other.step(np.zeros(1))


ENTRY = {"id": "makertaker/Execution-v0", "vectorization_mode": "vector_entry_point", "steps": STEPS}


def test_every_market_of_a_batch_has_its_own_factor_which_its_opponents_follow(parameters):
    env = gymnasium.make_vec(num_envs=4, **ENTRY, normalize=False, observation="time", **parameters)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    game = ExecutionGame(**parameters)
    noise = draw_noise(game, 8, batch=(4,))
    rate = np.array(np.broadcast_to(solve(game, STEPS).rule.play(noise).controls.rate, (4, STEPS, 3)))
    rate[..., 0] = np.arange(4)[:, None]
    expected = simulate(game, Controls(rate), STEPS, noise)
    start, _ = env.reset(seed=8)
    for k in range(STEPS):
        observations, rewards, terminated, truncated, infos = env.step(rate[:, k, :1])
        np.testing.assert_allclose(rewards, expected.rewards[:, k, 0], rtol=1e-10, atol=1e-10)
        assert (terminated == (k == STEPS - 1)).all()
        assert not truncated.any()
        if game.factor is not None:
            seen = infos.get("final_obs", observations)[:, 1:]
            np.testing.assert_allclose(seen, expected.factor[:, k + 1] / FACTOR_SCALE, atol=1e-6)
            assert len(np.unique(seen)) == 8
    np.testing.assert_array_equal(observations, start)  # already the next episode's: reset in the same step
    np.testing.assert_allclose(infos["final_info"]["inventory"], expected.inventories[:, -1, 0], rtol=1e-12)


def test_a_batch_is_a_function_of_its_seed(parameters):
    env = gymnasium.make_vec(num_envs=3, **ENTRY, inventory_spread=1.0, reward="wealth", **parameters)
    actions = np.random.default_rng(0).uniform(-1, 1, (2 * STEPS, 3, 1))
    runs = [[env.reset(seed=seed), *map(env.step, actions)] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    assert len(np.unique([runs[0][k][0][:, -3:] for k in (0, STEPS, 2 * STEPS)])) == 27, "every episode draws anew"
    sync = gymnasium.make_vec(num_envs=2, **ENTRY | {"vectorization_mode": "sync"}, **parameters)
    assert sync.reset(seed=0)[0].shape == (2, runs[0][0][0].shape[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agent": "maker_0"}, "agent: expected one of .* got 'maker_0'"),
        ({"others": {}}, r"others: expected policies of \['trader_1', 'trader_2'\], got \[\]"),
        ({"quote_range": (0.0, 1.0)}, "quote_range: nobody quotes in this game"),
        ({"num_envs": 0}, "num_envs: expected a positive whole number, got 0"),
        ({"render_mode": "rgb_array"}, "render_mode: a batch of markets is not drawn"),
    ],
)
def test_make_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        gymnasium.make_vec(**{"num_envs": 2} | ENTRY | PLAIN | arguments)
    if not arguments.keys() & {"num_envs", "render_mode"}:
        with pytest.raises(ValueError, match=message):
            gymnasium.make(ENTRY["id"], **{"steps": STEPS} | PLAIN | arguments)


@pytest.mark.parametrize("action", [np.zeros(2), np.full(1, np.nan), np.zeros(()), np.zeros((2, 1))])
def test_a_learner_s_bad_action_is_refused_and_nothing_is_played(parameters, action):
    game = ExecutionGame(**parameters)
    alone = SingleAgentEnv(make(parameters), "trader_0", solve(game, STEPS).open_loop())
    batch = MarketVectorEnv(game, 3, "trader_0", solve(game, STEPS).open_loop(), steps=STEPS)
    for env, bad, good in ((alone, action, np.zeros(1)), (batch, np.stack([action] * 3), np.zeros((3, 1)))):
        env.reset(seed=0)
        expected = [env.step(good)[:2] for _ in range(STEPS)]
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"shape|NaN"):
            env.step(bad)
        assert same([env.step(good)[:2] for _ in range(STEPS)], expected)
    with pytest.raises(ValueError, match=r"the episode (has )?ended"):
        alone.step(np.zeros(1))

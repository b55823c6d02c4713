"""Noise in inventories and a factor that drives the flows: the approximation game of Section 5 of Guo and Jin.

A market with noise is compared with its definition in plain arithmetic, one path, one step, one agent after the other;
environments with simulations on the noise that they report; means with closed forms.
"""

import math
import warnings
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from makertaker.baselines import OpenLoop, open_loop_policies, random_controls
from makertaker.envs import (
    Affine,
    BestQuote,
    Controls,
    Exponential,
    Factor,
    Logistic,
    MakerTakerGame,
    MarketVectorEnv,
    Noise,
    Policy,
    SoftmaxShare,
    State,
    approximation_v0,
    bounded_reversion,
    draw_noise,
    load_scenario,
    ornstein_uhlenbeck,
    read_scenario,
    rollout,
    simulate,
)
from makertaker.envs.flows import Points
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.single_agent_env import SingleAgentEnv

STEPS, HORIZON = 4, 1.5
DT = HORIZON / STEPS
ROOT = DT**0.5
START = (-5.0, 3.0, 1.0, 0.0, -1.0)
EPSILON, VOLATILITY = 0.4, 2.0
PHI, TERMINAL = (0.1, 0.2, 0.3, 0.0, 0.4), (0.5, 0.7, 0.2, 0.3, 0.4)
OFFSETS = (0.3, 0.0, -0.2)
COMPETITIONS = {"softmax": SoftmaxShare(0.8, OFFSETS), "best quote": BestQuote(Exponential(0.8))}
KINDS = ("time", "own", "full")
SIGMA = np.array([[0.6, 0.3], [-0.4, 0.5]])
hypothesis = settings(deadline=None, derandomize=True, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
either_competition = pytest.mark.parametrize("competition", COMPETITIONS)


def drift(t: Any, factor: np.ndarray) -> np.ndarray:
    """Of two factors, the second of which pulls the first."""
    return np.stack([factor[..., 1] - factor[..., 0], np.sin(3 * t) - 2 * factor[..., 1]], axis=-1)


def diffusion(t: Any, factor: np.ndarray) -> np.ndarray:
    """A full matrix that depends on time and on the factor."""
    return (1 + t) * SIGMA + 0.1 * np.tanh(factor)[..., None]


def buy_flow(t: Any, factor: np.ndarray) -> np.ndarray:
    return np.asarray(3 + t + np.tanh(factor[..., 0]) - 0.3 * factor[..., 1])


def noisy_game(kind: str = "softmax", **changes: Any) -> MakerTakerGame:
    """A buyer, a seller and three makers."""
    parameters: dict[str, Any] = {
        "trader_inventory": START[:2],
        "maker_inventory": START[2:],
        "horizon": HORIZON,
        "competition": COMPETITIONS[kind],
        "trader_running_penalty": PHI[:2],
        "maker_running_penalty": PHI[2:],
        "trader_terminal_penalty": TERMINAL[:2],
        "maker_terminal_penalty": TERMINAL[2:],
        "buy_flow": buy_flow,
        "sell_flow": Points(((0.0, 1.0), (1.5, 2.5))),  # of time alone: its mean over the step counts, not its start
        "inventory_noise": EPSILON,
        "factor": Factor((0.5, -1.0), drift, diffusion),
        "volatility": VOLATILITY,
    }
    return MakerTakerGame(**parameters | changes)


def affine_game(kind: str, **changes: Any) -> MakerTakerGame:
    """The same with a linear factor and affine flows: under fixed controls payoffs are quadratic in all noise."""
    factor = ornstein_uhlenbeck((2.0, 1.0), (0.6, 0.3), mean=(0.4, 0.0), initial=(0.5, -1.0))
    return noisy_game(kind, factor=factor, buy_flow=Affine(3.0, (1.0, -0.5)), sell_flow=Affine(2.0), **changes)


def quoting(game: MakerTakerGame, steps: int = STEPS) -> Controls:
    """A profile that needs no solver: equal rates, constant quotes."""
    quotes = np.full((steps, game.makers), 1.5)
    return Controls(np.tile(-game.start[: game.traders] / game.horizon, (steps, 1)), quotes, quotes)


def at(controls: Controls, k: int) -> Controls:
    return Controls(*(each[k] for each in controls))


def by_hand(kind: str, controls: Controls, noise: Noise) -> SimpleNamespace:
    """One path of :func:`noisy_game` from the displays of Sections 3 to 5, with sums written out."""
    q, factor, mid = list(START), [0.5, -1.0], 100.0
    income, gains, penalties = [0.0] * 5, [0.0] * 5, [0.0] * 5
    found = SimpleNamespace(inventories=[list(q)], factor=[factor], mid=[mid], volumes=[])

    def share(quotes: list[float], i: int) -> float:
        if kind == "softmax":
            weights = [math.exp(-0.8 * each + offset) for each, offset in zip(quotes, OFFSETS, strict=True)]
            return weights[i] / sum(weights)
        return math.exp(-0.8 * (quotes[i] - min(quotes[j] for j in range(3) if j != i)))

    for k in range(STEPS):
        (buying, selling), ask, bid = (each[k].tolist() for each in controls)
        t = k * DT
        bought = 3 + t + math.tanh(factor[0]) - 0.3 * factor[1] + buying  # at the asks
        sold = 1 + (t + DT / 2) - selling
        income[0] -= DT * (min(ask) * buying + 0.5 * buying**2)
        income[1] -= DT * (-min(bid) * selling + 0.5 * selling**2)
        rates = [buying, selling]
        for i in range(3):
            out, into = bought * share(ask, i), sold * share(bid, i)
            rates.append(into - out)
            income[2 + i] += DT * (ask[i] * out + bid[i] * into)
        jump = VOLATILITY * ROOT * float(noise.price[k])
        for i in range(5):
            before, after = q[i], q[i] + DT * rates[i]
            penalties[i] += PHI[i] * DT * (before**2 + (before + after) ** 2 + after**2) / 6  # Simpson's rule is exact
            q[i] = after + EPSILON * ROOT * float(noise.inventory[k, i])  # noise lands at the end
            gains[i] += q[i] * jump
        mid += jump
        pull = [factor[1] - factor[0], math.sin(3 * t) - 2 * factor[1]]
        matrix = [[(1 + t) * SIGMA[i, j] + 0.1 * math.tanh(factor[i]) for j in (0, 1)] for i in (0, 1)]
        shake = [sum(matrix[i][j] * float(noise.factor[k, j]) for j in (0, 1)) for i in (0, 1)]
        factor = [factor[i] + DT * pull[i] + ROOT * shake[i] for i in (0, 1)]
        for path, value in zip(vars(found).values(), (list(q), factor, mid, [bought, sold]), strict=True):
            path.append(value)
    penalties = [each + weight * last**2 for each, weight, last in zip(penalties, TERMINAL, q, strict=True)]
    found.payoffs, found.pnl = np.subtract(income, penalties), np.add(income, gains)
    found.penalties, found.wealth = np.array(penalties), found.pnl - penalties
    return found


def episode(env: GameParallelEnv, controls: Controls, seed: int | None) -> list[Any]:
    """Observations, rewards and infos, which can be compared."""
    results = [env.reset(seed), *(env.step(env.actions_from(at(controls, k))) for k in range(env.market.steps))]
    return [({agent: seen.tolist() for agent, seen in each[0].items()}, each[1], each[-1]) for each in results]


def reported_noise(game: MakerTakerGame, infos: list[dict[str, Any]]) -> Noise:
    """The standard normal increments of an episode of :func:`noisy_game`, from what an agent is told."""
    path = np.array([(0.5, -1.0), *(info["factor"] for info in infos)])
    shakes = [(b - a - DT * drift(k * DT, a)) / ROOT for k, (a, b) in enumerate(pairwise(path))]
    factor = [np.linalg.solve(diffusion(k * DT, path[k]), shake) for k, shake in enumerate(shakes)]
    price = np.diff([100.0, *(info["mid"] for info in infos)]) / (VOLATILITY * ROOT)
    return Noise(price, np.array(factor), np.array([info["inventory_noise"] for info in infos]) / (EPSILON * ROOT))


# The game on given noise


@either_competition
def test_simulations_and_rollouts_are_the_definition_step_by_step(competition: str) -> None:
    game = noisy_game(competition)
    controls, noise = random_controls(game, STEPS, seed=1), draw_noise(game, STEPS, 6, seed=2, price=True)
    simulated = simulate(game, controls, STEPS, noise)
    rolled = rollout(game, open_loop_policies(game, controls), STEPS, noise)
    for path in range(6):
        expected = by_hand(competition, controls, Noise(*(each[path] for each in noise)))
        for found in (simulated, rolled):
            for name in ("inventories", "factor", "mid", "payoffs", "wealth"):
                close = {"rtol": 1e-12, "atol": 1e-12}
                np.testing.assert_allclose(getattr(found, name)[path], getattr(expected, name), **close)
            volumes = found.activity.buy_volume[path], found.activity.sell_volume[path]
            np.testing.assert_allclose(volumes, np.transpose(expected.volumes), rtol=1e-12)
            np.testing.assert_allclose(found.rewards[path].sum(axis=0), expected.payoffs, rtol=1e-12)


def test_noise_may_come_in_lists() -> None:
    game = noisy_game()
    noise = draw_noise(game, STEPS, 2, seed=16, price=True)
    found = simulate(game, quoting(game), STEPS, Noise(*(each.tolist() for each in noise)))
    np.testing.assert_array_equal(found.wealth, simulate(game, quoting(game), STEPS, noise).wealth)


@hypothesis
@given(seed=seeds, makers=st.integers(2, 5), steps=st.integers(1, 6), epsilon=st.floats(0.01, 10.0))
def test_softmax_conserves_shares_up_to_the_noise(seed: int, makers: int, steps: int, epsilon: float) -> None:
    """Makers take exactly what traders and noise traders leave; best-quote shares need not sum to one."""
    alike = {"maker_inventory": (1.0,) * makers, "maker_running_penalty": 0.1, "maker_terminal_penalty": 0.1}
    game = noisy_game(**alike, inventory_noise=epsilon, competition=SoftmaxShare(0.8))
    controls, noise = random_controls(game, steps, seed), draw_noise(game, steps, 2, seed)

    def missing(game: MakerTakerGame) -> np.ndarray:
        found, dt = simulate(game, controls, steps, noise), HORIZON / steps
        received = np.diff(found.inventories, axis=1) - epsilon * dt**0.5 * noise.inventory
        return received[..., 2:].sum(axis=-1) - dt * (found.activity.sell_volume - found.activity.buy_volume)

    np.testing.assert_allclose(missing(game), 0.0, atol=1e-12 * (1 + epsilon) * steps)
    assert np.abs(missing(replace(game, competition=BestQuote()))).max() > 1e-6


@either_competition
def test_noise_of_zero_is_no_noise(competition: str) -> None:
    game, quiet = noisy_game(competition), noisy_game(competition, inventory_noise=0.0)
    controls = random_controls(game, STEPS, seed=7)
    zero = Noise(np.zeros(STEPS), np.zeros((STEPS, 2)), np.zeros((STEPS, 5)))
    expected = simulate(quiet, controls, STEPS)
    for found in (simulate(game, controls, STEPS, zero), simulate(game, controls, STEPS)):
        np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-13)
        np.testing.assert_array_equal(found.factor, expected.factor)
    np.testing.assert_allclose(simulate(game, controls, STEPS, zero).wealth, expected.payoffs, rtol=1e-13)


# Draws and means


def test_draws_are_antithetic_and_a_function_of_their_seed() -> None:
    game = noisy_game()
    noise, again, other = (draw_noise(game, STEPS, 200, seed, price=True) for seed in (0, 0, 1))
    for name, shape in (("factor", (200, STEPS, 2)), ("inventory", (200, STEPS, 5)), ("price", (200, STEPS))):
        draws = getattr(noise, name)
        assert draws.shape == shape
        np.testing.assert_array_equal(draws[:100], -draws[100:])
        np.testing.assert_array_equal(draws, getattr(again, name))
        assert not np.isclose(draws, getattr(other, name)).all()
    assert len(np.unique(np.concatenate([each[:100].ravel() for each in noise]))) == 100 * STEPS * 8, "all differ"
    without = draw_noise(game, STEPS, 200, 0)
    assert without.price is None
    np.testing.assert_array_equal(without.inventory, noise.inventory)
    plain = noisy_game(inventory_noise=0.0, factor=None, buy_flow=1.0)
    assert draw_noise(plain, STEPS, 2, 0) is None
    assert draw_noise(plain, STEPS, 2, 0, price=True).price.shape == (2, STEPS)


def cubature(game: MakerTakerGame, steps: int) -> Noise:
    """Points whose plain mean is exact for polynomials of degree 3 in all increments: ``+-sqrt(D)`` on every axis."""
    sizes = (steps, 2 * steps, 5 * steps)
    points = np.concatenate([np.eye(8 * steps), -np.eye(8 * steps)]) * math.sqrt(8 * steps)
    price, factor, inventory = np.split(points, np.cumsum(sizes)[:-1], axis=1)
    return Noise(price, factor.reshape(-1, steps, 2), inventory.reshape(-1, steps, 5))


@hypothesis
@given(seeds, st.integers(1, 5), st.floats(0.01, 3.0), st.floats(0.5, 3.0), st.sampled_from(list(COMPETITIONS)))
def test_the_mean_cost_of_noise(seed: int, steps: int, epsilon: float, horizon: float, competition: str) -> None:
    """In step ``k`` an inventory has the variance ``k dt epsilon^2`` and costs ``phi_k dt`` of it: for a constant
    penalty ``phi epsilon^2 T^2 (1 - 1 / K) / 2``. At the end it costs ``A epsilon^2 T``."""
    changes = {"horizon": horizon, "trader_running_penalty": (lambda t: 0.1 + 0.2 * t, PHI[1])}
    quiet, noisy = (affine_game(competition, inventory_noise=size, **changes) for size in (0.0, epsilon))
    noise, dt = cubature(noisy, steps), horizon / steps
    controls = random_controls(quiet, steps, seed)
    without = simulate(quiet, controls, steps, noise._replace(inventory=None)).payoffs.mean(axis=0)
    running = np.array(PHI) * horizon**2 * (1 - 1 / steps) / 2
    running[0] += sum(0.2 * (k + 0.5) * dt * k * dt * dt for k in range(steps))
    expected = without - epsilon**2 * (running + np.array(TERMINAL) * horizon)
    found = simulate(noisy, controls, steps, noise)
    for mean in (found.payoffs.mean(axis=0), found.wealth.mean(axis=0)):
        np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-9)


def test_drawn_noise_has_the_same_mean_cost() -> None:
    game = noisy_game(factor=None, buy_flow=2.0)
    controls = random_controls(game, STEPS, seed=8)
    payoffs = simulate(game, controls, STEPS, draw_noise(game, STEPS, 4000, seed=9)).payoffs
    pairs = (payoffs[:2000] + payoffs[2000:]) / 2  # antithetic
    cost = EPSILON**2 * (np.array(PHI) * HORIZON**2 * (1 - 1 / STEPS) / 2 + np.array(TERMINAL) * HORIZON)
    error = pairs.mean(axis=0) - (simulate(game, controls, STEPS).payoffs - cost)
    assert (np.abs(error) < 4 * pairs.std(axis=0) / 2000**0.5).all()


@either_competition
def test_without_penalties_noise_leaves_the_mean_payoffs_alone(competition: str) -> None:
    game = replace(affine_game(competition), trader_terminal_penalty=0.0, maker_terminal_penalty=0.0)
    game = replace(game, trader_running_penalty=0.0, maker_running_penalty=0.0)
    controls, noise = random_controls(game, STEPS, seed=10), draw_noise(game, STEPS, 20, seed=11)
    expected = simulate(game, controls, STEPS).payoffs
    shaken = simulate(game, controls, STEPS, Noise(inventory=noise.inventory)).payoffs
    np.testing.assert_allclose(shaken, np.broadcast_to(expected, (20, 5)), rtol=1e-12)
    both = simulate(game, controls, STEPS, noise).payoffs
    assert np.ptp(both[:, 2:], axis=0).min() > 0.1, "the flows are random"
    np.testing.assert_allclose(both.mean(axis=0), expected, rtol=1e-11)
    wealth = simulate(game, controls, STEPS, cubature(game, STEPS)).wealth
    np.testing.assert_allclose(wealth.mean(axis=0), expected, rtol=1e-10)


# Environments


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is zero at first
def test_pettingzoo_checks_pass(observation: str, reward: str) -> None:
    arguments: dict[str, Any] = {"observation": observation, "reward": reward, "steps": STEPS}
    parallel_api_test(approximation_v0.parallel_env(**arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: approximation_v0.parallel_env(**arguments), num_cycles=STEPS)
    for form in (approximation_v0.env, approximation_v0.raw_env):
        api_test(form(normalize=False, **arguments), num_cycles=20)


@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_gymnasium_s_check_passes_and_markets_of_a_batch_differ(agent: str) -> None:
    game = approximation_v0.make_game()
    options = {"agent": agent, "steps": STEPS, "others": open_loop_policies(game, quoting(game))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("makertaker/Approximation-v0", **options).unwrapped, skip_render_check=True)
    entry = {"num_envs": 3, "vectorization_mode": "vector_entry_point", **options}
    env = gymnasium.make_vec("makertaker/Approximation-v0", **entry)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    action = np.zeros(env.action_space.shape, dtype=np.float32)
    runs = [[env.reset(seed=seed)[0], *(env.step(action)[0] for _ in range(2 * STEPS))] for seed in (0, 0, 1)]
    assert np.shape(runs) == (3, 2 * STEPS + 1, 3, 1 + 1 + 3 + 4)
    np.testing.assert_array_equal(runs[0], runs[1])
    moved = np.delete(runs, [0, STEPS, 2 * STEPS], axis=1)[1:, ..., 1:5]  # but for the first observations of episodes
    assert len(np.unique(moved)) == moved.size, "every market, agent, step, episode and seed has noise of its own"


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@either_competition
def test_an_episode_is_the_grid_game_on_the_noise_it_reports(competition: str, reward: str) -> None:
    env = GameParallelEnv(noisy_game(competition), steps=STEPS, reward=reward)
    controls = random_controls(env.game, STEPS, seed=12)
    _, *results = episode(env, controls, seed=13)
    infos = [infos["maker_1"] for _, _, infos in results]
    noise = reported_noise(env.game, infos)
    assert noise.price.any() == (reward == "wealth")
    assert len(np.unique(np.round(noise.inventory, 9))) == STEPS * 5, "everyone has noise of their own"
    expected, hand = simulate(env.game, controls, STEPS, noise), by_hand(competition, controls, noise)
    rewards = np.array([list(rewards.values()) for _, rewards, _ in results])
    np.testing.assert_allclose(env.market.inventories, expected.inventories[-1], rtol=1e-11)
    np.testing.assert_allclose([info["volume"] for info in infos], DT * np.sum(hand.volumes, axis=1), rtol=1e-9)
    jumps = expected.inventories[1:] * np.diff(expected.mid)[:, None]
    np.testing.assert_allclose(rewards, expected.rewards + jumps, rtol=1e-9, atol=1e-9)
    pnl, cash = (np.array([info[name] for info in results[-1][2].values()]) for name in ("pnl", "cash"))
    np.testing.assert_allclose(pnl, hand.pnl, rtol=1e-9)
    np.testing.assert_allclose(pnl - hand.penalties, rewards.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(cash + hand.mid[-1] * np.array(hand.inventories[-1]) - 100 * np.array(START), pnl)


def reacting(game: MakerTakerGame) -> dict[str, Policy]:
    """Policies that look at the noise that has just landed, and at the factor."""

    def act(i: int, k: int, state: State) -> np.ndarray:
        assert (state.shock is None) == (k == 0)
        shock = 0.0 * state.inventories if state.shock is None else state.shock
        seen = 3 * shock[..., [i]] + 0.3 * state.factor[..., [1]] - 0.1 * state.inventories[..., [i]]
        return 2.0 + seen if i < 2 else 1.0 + np.concatenate([seen, -seen], axis=-1)

    return {agent: lambda k, state, i=i: act(i, k, state) for i, agent in enumerate(game.agents)}


@pytest.mark.parametrize("agent", ["trader_1", "maker_2"])
def test_opponents_see_the_noise_that_has_just_landed(agent: str) -> None:
    game = noisy_game()
    index, noise = game.positions[agent], draw_noise(game, STEPS, 4, seed=14, price=True)
    schedule = np.linspace(0.5, -2.0, STEPS)[:, None] * np.ones(1 if index < 2 else 2)
    policies = reacting(game) | {agent: OpenLoop(schedule)}
    batch = MarketVectorEnv(game, 4, agent, policies, steps=STEPS, normalize=False)
    increments = iter(range(STEPS))
    batch.market.draw = lambda rng: Noise(*(each[:, k] for k in [next(increments)] for each in noise))
    rewards = np.array([batch.step(np.tile(each, (4, 1)))[1] for each in schedule])
    expected = rollout(game, policies, STEPS, noise)
    jumps = VOLATILITY * ROOT * noise.price * expected.inventories[:, 1:, index]
    np.testing.assert_allclose(rewards.T, expected.rewards[..., index] + jumps, rtol=1e-9, atol=1e-9)
    single = SingleAgentEnv(GameParallelEnv(game, steps=STEPS, normalize=False), agent, policies)
    single.reset(seed=0)
    single.step(schedule[0])
    single.reset(seed=15)  # forgets what has landed
    results = [single.step(each) for each in schedule]
    expected = rollout(game, policies, STEPS, reported_noise(game, [result[4] for result in results]))
    np.testing.assert_allclose([each[1] for each in results], expected.rewards[:, index], rtol=1e-9, atol=1e-9)


def test_a_step_without_noise_leaves_no_shock() -> None:
    market = Market(noisy_game(), STEPS)
    for noise, expected in ((Noise(inventory=np.ones(5)), EPSILON * ROOT), (None, 0.0)):
        market.advance(at(quoting(market.game), 0), noise)
        np.testing.assert_allclose(0.0 if market.state.shock is None else market.state.shock, expected)


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
def test_an_episode_is_a_function_of_its_seed(reward: str) -> None:
    one, other = (approximation_v0.parallel_env(steps=STEPS, reward=reward) for _ in range(2))
    controls = quoting(one.game)
    first = episode(one, controls, 0)
    assert first == episode(other, controls, 0)
    assert first != episode(other, controls, 1)
    assert first != episode(one, controls, None), "without a seed the stream goes on"
    assert first == episode(one, controls, 0)


@pytest.mark.parametrize(("observation", "width"), [("time", 2), ("own", 3), ("full", 9)])
def test_observations_stay_in_their_spaces_and_show_the_noise(observation: str, width: int) -> None:
    wild = {"inventory_noise": 1e3, "factor": Factor(diffusion=lambda t, factor: 0.1 + 100 * np.abs(factor))}
    for changes in (wild, {}):
        env = approximation_v0.parallel_env(steps=STEPS, observation=observation, **changes)
        for observations, _, _ in episode(env, quoting(env.game), seed=15):
            for agent, each in observations.items():
                assert env.observation_space(agent).contains(np.array(each, dtype=np.float32))
    # scales are 1, of a factor that stays at 0 with volatility sqrt(T) = 1, and the largest initial inventory
    shown = [1.0, *env.market.factor, *env.market.inventories[[2, 0, 1]] / 5.0][:width]
    np.testing.assert_allclose(observations["maker_1"][: len(shown)], shown, rtol=1e-6)
    assert len(observations["maker_1"]) == width


@pytest.mark.parametrize("changes", [{"inventory_noise": 0}, {"factor": None}, {"inventory_noise": 0, "factor": None}])
def test_noise_can_be_switched_off(changes: dict[str, Any]) -> None:
    """As the module's docstring says."""
    flows = {"buy_flow": 1.0, "sell_flow": 1.0} if "factor" in changes else {}
    env = approximation_v0.parallel_env(steps=STEPS, **changes, **flows)
    first, second = (episode(env, quoting(env.game), seed) for seed in (0, 1))
    assert (first == second) == (len(changes) == 2)
    assert first[1][2]["maker_0"].keys() & {"factor", "inventory_noise"} == {"factor", "inventory_noise"} - set(changes)


# Scenarios and bad input


def test_scenarios_say_what_the_shapes_and_factors_are() -> None:
    assert load_scenario("approximation") == approximation_v0.make_game()
    assert load_scenario("approximation-small-noise").inventory_noise == 0.03
    game = load_scenario("approximation-2x3", ["buy_flow.low=1", "factor.mean=0.25", "factor.mean_reversion=[3.0]"])
    assert game.buy_flow == Logistic(1, 2.5, 1.0)
    assert game.factor == bounded_reversion((3.0,), 1.0, 2.0, mean=0.25, initial=(0.5,))
    for level in (-1e3, -2.0, 0.0, 0.7, 1e3):
        share = 0.5 + math.tanh(level / 2) / 2  # 1 / (1 + exp(-level))
        flows = game.flows(np.zeros(()), np.full((2, 1), level))
        np.testing.assert_allclose(flows, [[1.0 + 1.5 * share] * 2, [2.5 - 2.0 * share] * 2], rtol=1e-12)
        moved = game.factor.move(0.0, np.array([level]), 0.1, np.zeros(1)) - level
        np.testing.assert_allclose(moved, 0.1 * 3.0 * 2.0 * math.tanh((0.25 - level) / 2.0), atol=1e-12)


BOUNDED = ['factor.kind="bounded_reversion"', "factor.bound=1.0"]
BAD_SCENARIOS = [
    (["inventory_noise=-0.1"], r"inventory_noise: expected a finite number >= 0, got -0\.1"),
    (["inventory_noise=true"], "inventory_noise: expected a number"),
    (["buy_flow.low=-1.0"], r"buy_flow: low: expected a finite number >= 0, got -1\.0"),
    (["sell_flow.high=-1.0"], r"sell_flow: high: expected a finite number >= 0, got -1\.0"),
    (["sell_flow.high=inf"], "sell_flow: high: expected a finite number >= 0, got inf"),
    (["buy_flow.middle=1.0"], r"buy_flow: unknown key 'middle', expected some of \['low', 'high', 'slope'\]"),
    (['buy_flow.slope="steep"'], "buy_flow: slope: expected a number or a tuple of numbers, got 'steep'"),
    (["sell_flow.slope=[1.0, 2.0]"], "sell_flow: slope: expected 1"),
    (['buy_flow={shape="logistic", low=1.0}'], "buy_flow: .* missing 1 required positional argument: 'high'"),
    (['buy_flow.shape="cubic"'], r"buy_flow\.shape: expected one of .*'affine', 'logistic'\], got 'cubic'"),
    (['factor.kind="levy"'], r"factor\.kind: expected one of .*'bounded_reversion'\], got 'levy'"),
    (BOUNDED[:1], "factor: .* missing 1 required positional argument: 'bound'"),
    (BOUNDED[1:], "factor: unknown key 'bound', expected some of"),
    ([*BOUNDED, "factor.bound=-1.0"], r"factor\.bound: expected positive numbers, got -1\.0"),
    ([*BOUNDED, "factor.bound=[1.0, 1.0]"], r"factor\.bound: expected a finite number or 1 of them"),
    ([*BOUNDED, "factor.initial=1.0"], r"factor\.initial: expected a list of numbers, got 1\.0"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD_SCENARIOS)
def test_bad_scenarios_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_scenario("approximation", overrides)


BAD_GAMES = [
    ({"inventory_noise": -1.0}, r"inventory_noise: expected a finite number >= 0, got -1\.0"),
    ({"inventory_noise": np.inf}, "inventory_noise: expected a finite number >= 0, got inf"),
    ({"inventory_noise": (0.1,) * 5}, "inventory_noise: expected a number, got"),
    ({"factor": 1.0}, r"factor: expected a Factor or None, got 1\.0"),
    ({"factor": None}, "buy_flow: expected a number or a callable of time, got"),
    ({"buy_flow": lambda t, factor: factor}, r"buy_flow: .* finite values .* batch shape, .*; got shape \(3, 2\)"),
    ({"sell_flow": lambda t, factor: factor[..., 0, None]}, "sell_flow: .* must return finite values"),
    ({"sell_flow": lambda t, factor: np.nan * factor[..., 0]}, "sell_flow: .* must return finite values"),
    ({"sell_flow": lambda t: 1.0}, r"sell_flow: expected a number or a callable of \(time, factor\), got"),
    ({"sell_flow": -1.0}, "sell_flow: expected finite values >= 0, got -1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_GAMES)
def test_bad_games_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noisy_game(**changes)


BAD_NOISE = [
    ({}, {"inventory": (5, 5)}, r"noise\.inventory: expected shape \(\.\.\., 4, 5\), got \(5, 5\)"),
    ({}, {"inventory": (2, 4, 4)}, r"noise\.inventory: expected shape .* got \(2, 4, 4\)"),
    ({}, {"inventory": (5,)}, r"noise\.inventory: expected shape .* got \(5,\)"),
    ({}, {"factor": (4, 1)}, r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(4, 1\)"),
    ({}, {"factor": (3, 2)}, r"noise\.factor: expected shape .* got \(3, 2\)"),
    ({"inventory_noise": 0.0}, {"inventory": (4, 5)}, r"noise\.inventory: the game has no"),
    ({"factor": None, "buy_flow": 1.0}, {"factor": (4, 2)}, r"noise\.factor: the game has no"),
]


@pytest.mark.parametrize(("changes", "shapes", "message"), BAD_NOISE)
def test_noise_that_does_not_fit_is_refused(changes: dict[str, Any], shapes: dict[str, Any], message: str) -> None:
    game, noise = noisy_game(**changes), Noise(**{name: np.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(ValueError, match=message):
        simulate(game, quoting(game), STEPS, noise)
    with pytest.raises(ValueError, match=message):
        rollout(game, open_loop_policies(game, quoting(game)), STEPS, noise)


@pytest.mark.parametrize("paths", [0, 1, 3, -2, 2.0, True, "2"])
def test_paths_that_make_no_pairs_are_refused(paths: Any) -> None:
    with pytest.raises(ValueError, match="paths: expected a positive even number, got"):
        draw_noise(noisy_game(), STEPS, paths, seed=0)

"""Noise in inventories and a factor that drives the flows: the approximation game of Section 5 of Guo and Jin.

A market with noise is compared with its definition in plain arithmetic, one path, one step, one agent after the other;
environments with simulations on the noise that they report; means with closed forms.
"""

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

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
    ExecutionGame,
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
from makertaker.envs.flow import Points
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.single_agent_env import SingleAgentEnv

STEPS, HORIZON = 4, 1.5
DT = HORIZON / STEPS
START = (-5.0, 3.0, 1.0, 0.0, -1.0)
EPSILON, VOLATILITY = 0.4, 2.0
PHI, TERMINAL = (0.1, 0.2, 0.3, 0.0, 0.4), (0.5, 0.7, 0.2, 0.3, 0.4)
OFFSETS = (0.3, 0.0, -0.2)
COMPETITIONS = {"softmax": SoftmaxShare(0.8, OFFSETS), "best quote": BestQuote(Exponential(0.8))}
KINDS = ("time", "own", "full")
hypothesis = settings(deadline=None, derandomize=True, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def drift(t: Any, factor: np.ndarray) -> np.ndarray:
    """Of two factors, the second of which pulls the first."""
    return np.stack([factor[..., 1] - factor[..., 0], np.sin(3 * t) - 2 * factor[..., 1]], axis=-1)


def diffusion(t: Any, factor: np.ndarray) -> np.ndarray:
    """A full matrix that depends on time and on the factor."""
    return (1 + t) * np.array([[0.6, 0.3], [-0.4, 0.5]]) + 0.1 * np.tanh(factor)[..., None]


def buy_flow(t: Any, factor: np.ndarray) -> np.ndarray:
    return np.asarray(3 + t + np.tanh(factor[..., 0]) - 0.3 * factor[..., 1])


def noisy_game(competition: str = "softmax", **changes: Any) -> MakerTakerGame:
    """A buyer, a seller and three makers."""
    parameters: dict[str, Any] = {
        "trader_inventory": START[:2],
        "maker_inventory": START[2:],
        "horizon": HORIZON,
        "competition": COMPETITIONS[competition],
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


def affine_game(competition: str = "softmax", **changes: Any) -> MakerTakerGame:
    """The same with a linear factor and affine flows: under fixed controls payoffs are quadratic in all noise."""
    factor = ornstein_uhlenbeck((2.0, 1.0), (0.6, 0.3), mean=(0.4, 0.0), initial=(0.5, -1.0))
    return noisy_game(
        competition, **{"factor": factor, "buy_flow": Affine(3.0, (1.0, -0.5)), "sell_flow": Affine(2.0)} | changes
    )


def step_of(controls: Controls, k: int) -> Controls:
    return Controls(*(each[k] for each in controls))


class ByHand(NamedTuple):
    """One path of :func:`noisy_game`."""

    inventories: np.ndarray
    factor: np.ndarray
    mid: np.ndarray
    volumes: np.ndarray
    """(K, 2) bought and sold by traders and noise traders, a unit of time"""
    income: np.ndarray
    gains: np.ndarray
    """of the inventories from price moves"""
    penalties: np.ndarray


def by_hand(competition: str, controls: Controls, noise: Noise) -> ByHand:
    """The displays of Sections 3 to 5, for noise without batch axes, with sums over agents written out."""
    q, factor, price, root = list(START), [0.5, -1.0], 100.0, math.sqrt(DT)
    income, gains, penalties = [0.0] * 5, [0.0] * 5, [0.0] * 5
    paths: tuple[list, ...] = ([list(q)], [factor], [price], [])

    def share(quotes: list[float], i: int) -> float:
        if competition == "softmax":
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
        jump = VOLATILITY * root * float(noise.price[k])
        for i in range(5):
            before, after = q[i], q[i] + DT * rates[i]
            penalties[i] += PHI[i] * DT * (before**2 + (before + after) ** 2 + after**2) / 6  # Simpson's rule is exact
            q[i] = after + EPSILON * root * float(noise.inventory[k, i])  # noise lands at the end
            gains[i] += q[i] * jump
        price += jump
        z, old = noise.factor[k].tolist(), factor
        pull = [old[1] - old[0], math.sin(3 * t) - 2 * old[1]]
        base = [[0.6, 0.3], [-0.4, 0.5]]
        factor = [
            old[i] + DT * pull[i] + root * sum(((1 + t) * base[i][j] + 0.1 * math.tanh(old[i])) * z[j] for j in (0, 1))
            for i in (0, 1)
        ]
        for path, value in zip(paths, (list(q), factor, price, [bought, sold]), strict=True):
            path.append(value)
    for i in range(5):
        penalties[i] += TERMINAL[i] * q[i] ** 2
    return ByHand(*map(np.array, (*paths, income, gains, penalties)))


def episode(env: GameParallelEnv, controls: Controls, seed: int) -> list[Any]:
    """Everything that ``reset`` and ``step`` return."""
    return [env.reset(seed), *(env.step(env.actions_from(step_of(controls, k))) for k in range(env.market.steps))]


def reported_noise(game: MakerTakerGame, infos: list[dict[str, Any]]) -> Noise:
    """The standard normal increments of an episode, from what an agent is told after every step."""
    dt, assumed = game.horizon / len(infos), game.factor
    assert assumed is not None
    factor = np.array([assumed.initial, *(info["factor"] for info in infos)])
    moves = []
    for k, (before, after) in enumerate(zip(factor[:-1], factor[1:], strict=True)):
        shake = (after - before - dt * np.asarray(assumed.drift(k * dt, before))) / dt**0.5
        sigma = np.asarray(assumed.diffusion(k * dt, before))
        moves.append(np.linalg.solve(sigma, shake) if sigma.ndim == 2 else shake / sigma)
    price = np.diff([game.initial_price, *(info["mid"] for info in infos)]) / (game.volatility * dt**0.5)
    inventory = np.array([info["inventory_noise"] for info in infos]) / (game.inventory_noise * dt**0.5)
    return Noise(price, np.array(moves), inventory)


def same(one: Any, other: Any) -> bool:
    """Whether two nested results are bitwise the same."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other)


# The game on given noise


@pytest.mark.parametrize("competition", COMPETITIONS)
def test_a_simulation_is_the_definition_step_by_step(competition: str) -> None:
    game = noisy_game(competition)
    controls, noise = random_controls(game, STEPS, seed=1), draw_noise(game, STEPS, 6, seed=2, price=True)
    found = simulate(game, controls, STEPS, noise)
    for path in range(6):
        expected = by_hand(competition, controls, Noise(*(each[path] for each in noise)))
        volumes = np.stack([found.activity.buy_volume[path], found.activity.sell_volume[path]], axis=-1)
        payoffs = expected.income - expected.penalties
        for one, other in [
            (found.inventories[path], expected.inventories),
            (found.factor[path], expected.factor),
            (found.mid[path], expected.mid),
            (volumes, expected.volumes),
            (found.payoffs[path], payoffs),
            (found.rewards[path].sum(axis=0), payoffs),
            (found.wealth[path], payoffs + expected.gains),
        ]:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("competition", COMPETITIONS)
def test_a_simulation_is_a_rollout_and_a_batch_of_markets(competition: str) -> None:
    game = noisy_game(competition)
    controls, noise = random_controls(game, STEPS, seed=3), draw_noise(game, STEPS, 4, seed=4, price=True)
    expected = simulate(game, controls, STEPS, noise)
    rolled = rollout(game, open_loop_policies(game, controls), STEPS, noise)
    for name in ("inventories", "payoffs", "rewards", "factor", "mid", "wealth"):
        np.testing.assert_allclose(getattr(rolled, name), getattr(expected, name), rtol=1e-12, atol=1e-12)
    market = Market(game, STEPS, batch=(4,), reward="wealth")
    wealth = np.zeros((4, 5))
    for k in range(STEPS):
        wealth += market.advance(step_of(controls, k), Noise(*(each[:, k] for each in noise)))
        np.testing.assert_allclose(market.inventories, expected.inventories[:, k + 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(market.shock, EPSILON * DT**0.5 * noise.inventory[:, k], rtol=1e-12)
    np.testing.assert_allclose(wealth, expected.wealth, rtol=1e-11)
    np.testing.assert_allclose(market.factor, expected.factor[:, -1], rtol=1e-12)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_noise_works_with_arrays_of_other_libraries(library: str) -> None:
    xp = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
    if library == "jax":
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
    game = noisy_game()
    controls, noise = random_controls(game, STEPS, seed=5), draw_noise(game, STEPS, 2, seed=6, price=True)
    foreign = Controls(*map(xp.asarray, controls)), Noise(*map(xp.asarray, noise))
    expected, found = simulate(game, controls, STEPS, noise), simulate(game, foreign[0], STEPS, foreign[1])
    assert type(found.payoffs) is type(foreign[0].rate)
    np.testing.assert_allclose(np.asarray(found.wealth), expected.wealth, rtol=1e-12)


@hypothesis
@given(seed=seeds, makers=st.integers(2, 5), steps=st.integers(1, 6), epsilon=st.floats(0.01, 10.0))
def test_softmax_conserves_shares_up_to_the_noise(seed: int, makers: int, steps: int, epsilon: float) -> None:
    """Makers take exactly what traders and noise traders leave; best-quote shares need not sum to one."""
    changes = {"maker_inventory": np.linspace(-2, 2, makers), "inventory_noise": epsilon}
    penalties = {"maker_running_penalty": 0.1, "maker_terminal_penalty": 0.1}
    game = noisy_game(**changes, **penalties, competition=SoftmaxShare(0.8))
    controls, noise = random_controls(game, steps, seed), draw_noise(game, steps, 2, seed)
    dt = HORIZON / steps
    injected = epsilon * dt**0.5 * noise.inventory[..., 2:].sum(axis=(-1, -2))

    def missing(game: MakerTakerGame) -> np.ndarray:
        found = simulate(game, controls, steps, noise)
        received = found.inventories[:, -1, 2:].sum(axis=-1) - np.sum(game.maker_inventory) - injected
        return received - dt * (found.activity.sell_volume - found.activity.buy_volume).sum(axis=-1)

    np.testing.assert_allclose(missing(game), 0.0, atol=1e-11 * (1 + epsilon))
    assert np.abs(missing(replace(game, competition=BestQuote()))).min() > 1e-3


@pytest.mark.parametrize("competition", COMPETITIONS)
def test_noise_of_zero_is_no_noise(competition: str) -> None:
    game, quiet = noisy_game(competition), noisy_game(competition, inventory_noise=0.0)
    controls = random_controls(game, STEPS, seed=7)
    zero = Noise(np.zeros(STEPS), np.zeros((STEPS, 2)), np.zeros((STEPS, 5)))
    expected = simulate(quiet, controls, STEPS)
    for found in (simulate(game, controls, STEPS, zero), simulate(game, controls, STEPS)):
        np.testing.assert_allclose(found.payoffs, expected.payoffs, rtol=1e-13)
        np.testing.assert_array_equal(found.factor, expected.factor)
    assert simulate(game, controls, STEPS, zero).wealth == pytest.approx(expected.payoffs, rel=1e-13)
    assert (game.random, quiet.random) == (True, True)
    assert not replace(quiet, factor=ornstein_uhlenbeck(1.0, 0.0, initial=(0.5, 1.0))).random


# Draws


def test_draws_are_antithetic_and_a_function_of_their_seed() -> None:
    game = noisy_game()
    noise, again, other = (draw_noise(game, STEPS, 200, seed) for seed in (0, 0, 1))
    assert noise.price is None
    priced = draw_noise(game, STEPS, 200, 0, price=True)
    for name, shape in (("factor", (200, STEPS, 2)), ("inventory", (200, STEPS, 5)), ("price", (200, STEPS))):
        draws = getattr(priced, name)
        assert draws.shape == shape
        np.testing.assert_array_equal(draws[:100], -draws[100:])
        # of independent standard normal numbers; the standard error of a mean of squares is sqrt(2 / count)
        assert np.mean(draws**2) == pytest.approx(1.0, abs=4 * (2 / draws[:100].size) ** 0.5)
        if name != "price":
            assert same([getattr(noise, name)] * 2, [getattr(again, name), draws]), "prices leave the others alone"
            assert not np.isclose(getattr(noise, name), getattr(other, name)).any()
    assert not np.isclose(priced.factor[..., 0], priced.price).any()
    plain = noisy_game(inventory_noise=0.0, factor=None, buy_flow=1.0)
    assert draw_noise(plain, STEPS, 2, 0) is None
    assert draw_noise(plain, STEPS, 2, 0, price=True).price.shape == (2, STEPS)


# Means


def cubature(game: MakerTakerGame, steps: int) -> Noise:
    """Points whose plain mean is exact for polynomials of degree 3 in all increments: ``+-sqrt(D)`` on every axis."""
    assert game.factor is not None
    sizes = (steps, steps * game.factor.size, steps * len(game.agents))
    points = np.eye(sum(sizes)) * math.sqrt(sum(sizes))
    price, factor, inventory = np.split(np.concatenate([points, -points]), np.cumsum(sizes)[:-1], axis=1)
    count = 2 * len(points)
    return Noise(price, factor.reshape(count, steps, -1), inventory.reshape(count, steps, -1))


@hypothesis
@given(
    seed=seeds,
    steps=st.integers(1, 5),
    epsilon=st.floats(0.01, 3.0),
    horizon=st.floats(0.5, 3.0),
    competition=st.sampled_from(list(COMPETITIONS)),
)
def test_the_mean_cost_of_inventory_noise(
    seed: int, steps: int, epsilon: float, horizon: float, competition: str
) -> None:
    """In step ``k`` an inventory has the variance ``k dt epsilon^2`` and costs ``phi_k dt`` of it: for a constant penalty
    ``phi epsilon^2 T^2 (1 - 1 / K) / 2``. At the end it costs ``A epsilon^2 T``."""
    slope = 0.2  # of the first trader's penalty 0.1 + 0.2 t
    changes = {"horizon": horizon, "trader_running_penalty": (lambda t: 0.1 + slope * t, PHI[1])}
    quiet, noisy = (affine_game(competition, inventory_noise=size, **changes) for size in (0.0, epsilon))
    noise = cubature(noisy, steps)
    controls = random_controls(quiet, steps, seed)
    without = simulate(quiet, controls, steps, noise._replace(inventory=None))
    with_noise = simulate(noisy, controls, steps, noise)
    dt = horizon / steps
    running = np.array(PHI) * horizon**2 * (1 - 1 / steps) / 2
    running[0] += sum(slope * (k + 0.5) * dt * k * dt * dt for k in range(steps))
    expected = -(epsilon**2) * (running + np.array(TERMINAL) * horizon)
    tolerance = 1e-10 * np.abs(with_noise.payoffs).max()
    for payoffs, others in ((with_noise.payoffs, without.payoffs), (with_noise.wealth, without.payoffs)):
        np.testing.assert_allclose(payoffs.mean(axis=0) - others.mean(axis=0), expected, atol=tolerance)


def test_drawn_noise_has_the_same_mean_cost() -> None:
    game = noisy_game(factor=None, buy_flow=2.0)
    controls = random_controls(game, STEPS, seed=8)
    payoffs = simulate(game, controls, STEPS, draw_noise(game, STEPS, 4000, seed=9)).payoffs
    pairs = (payoffs[:2000] + payoffs[2000:]) / 2  # antithetic
    cost = EPSILON**2 * (np.array(PHI) * HORIZON**2 * (1 - 1 / STEPS) / 2 + np.array(TERMINAL) * HORIZON)
    error = pairs.mean(axis=0) - (simulate(game, controls, STEPS).payoffs - cost)
    assert (np.abs(error) < 4 * pairs.std(axis=0) / 2000**0.5).all()


@pytest.mark.parametrize("competition", COMPETITIONS)
def test_without_penalties_noise_leaves_the_mean_payoffs_alone(competition: str) -> None:
    free = {f"{role}_{kind}_penalty": 0.0 for role in ("trader", "maker") for kind in ("running", "terminal")}
    game = affine_game(competition, **free)
    controls = random_controls(game, STEPS, seed=10)
    undisturbed = simulate(game, controls, STEPS).payoffs
    antithetic, points = draw_noise(game, STEPS, 20, seed=11), cubature(game, STEPS)
    each = simulate(game, controls, STEPS, Noise(inventory=antithetic.inventory)).payoffs
    np.testing.assert_allclose(each, np.broadcast_to(undisturbed, each.shape), rtol=1e-12)
    on_pairs, on_points = (simulate(game, controls, STEPS, noise) for noise in (antithetic, points))
    assert np.ptp(on_pairs.payoffs[:, 2:], axis=0).min() > 0.1, "the flows are random"
    np.testing.assert_allclose(on_pairs.payoffs.mean(axis=0), undisturbed, rtol=1e-11)
    np.testing.assert_allclose(on_points.wealth.mean(axis=0), undisturbed, rtol=1e-10)


# Environments


def quoting(game: MakerTakerGame, steps: int) -> Controls:
    """A profile that needs no solver: equal rates, constant quotes."""
    rates = -game.start[: game.traders] / game.horizon
    quotes = np.full((steps, game.makers), 1.5)
    return Controls(np.tile(rates, (steps, 1)), quotes, quotes)


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is zero at first
def test_pettingzoo_checks_pass(observation: str, normalize: bool, reward: str) -> None:
    arguments: dict[str, Any] = {"observation": observation, "normalize": normalize, "reward": reward, "steps": STEPS}
    parallel_api_test(approximation_v0.parallel_env(**arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: approximation_v0.parallel_env(**arguments), num_cycles=STEPS)
    for form in (approximation_v0.env, approximation_v0.raw_env):
        api_test(form(**arguments), num_cycles=20)


@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_gymnasium_s_check_passes_and_make_vec_batches(agent: str) -> None:
    game = approximation_v0.make_game()
    options = {"agent": agent, "steps": STEPS, "others": open_loop_policies(game, quoting(game, STEPS))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("makertaker/Approximation-v0", **options).unwrapped, skip_render_check=True)
    vector = {"id": "makertaker/Approximation-v0", "vectorization_mode": "vector_entry_point", **options}
    env = gymnasium.make_vec(num_envs=3, **vector)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    assert env.observation_space.shape == (3, 1 + 1 + 3 + 4)
    action = np.zeros(env.action_space.shape, dtype=np.float32)
    runs = [[env.reset(seed=seed), *(env.step(action) for _ in range(2 * STEPS))] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    seen = np.array([runs[0][k][0][:, 1:5] for k in range(2 * STEPS + 1) if k % STEPS])
    assert len(np.unique(seen)) == seen.size, "every market, agent, step and episode has noise of its own"


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("competition", COMPETITIONS)
def test_an_episode_is_the_grid_game_on_the_noise_it_reports(competition: str, reward: str) -> None:
    env = GameParallelEnv(noisy_game(competition), steps=STEPS, reward=reward)
    controls = random_controls(env.game, STEPS, seed=12)
    _, *results = episode(env, controls, seed=13)
    infos = [result[4]["maker_1"] for result in results]
    noise = reported_noise(env.game, infos)
    expected = simulate(env.game, controls, STEPS, noise)
    rewards = np.array([list(result[1].values()) for result in results])
    np.testing.assert_allclose(env.market.inventories, expected.inventories[-1], rtol=1e-11)
    np.testing.assert_allclose([info["volume"] for info in infos], DT * np.sum(expected.activity[3:5], axis=0))
    hand = by_hand(competition, controls, noise)
    pnl, cash = (np.array([each[name] for each in results[-1][4].values()]) for name in ("pnl", "cash"))
    held = expected.mid[-1] * hand.inventories[-1] - 100.0 * np.array(START)
    np.testing.assert_allclose(pnl, hand.income + hand.gains, rtol=1e-9)
    np.testing.assert_allclose(cash + held, pnl, rtol=1e-9)
    if reward == "payoff":
        assert not noise.price.any()
        np.testing.assert_allclose(rewards, expected.rewards, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_allclose(rewards.sum(axis=0), expected.wealth, rtol=1e-9)
    np.testing.assert_allclose(rewards.sum(axis=0), pnl - hand.penalties, rtol=1e-9)


def reacting(game: MakerTakerGame) -> dict[str, Policy]:
    """Policies that look at the noise that has just landed, and at the factor."""

    def policy(i: int) -> Policy:
        def act(k: int, state: State) -> np.ndarray:
            assert (state.shock is None) == (k == 0)
            shock = 0.0 * state.inventories if state.shock is None else state.shock
            seen = 3 * shock[..., [i]] + 0.3 * state.factor[..., [1]] - 0.1 * state.inventories[..., [i]]
            return 2.0 + seen if i < game.traders else 1.0 + np.concatenate([seen, -seen], axis=-1)

        return act

    return {agent: policy(i) for i, agent in enumerate(game.agents)}


@pytest.mark.parametrize("agent", ["trader_1", "maker_2"])
def test_opponents_see_the_noise_that_has_just_landed(agent: str) -> None:
    game = noisy_game()
    others, schedule = reacting(game), np.linspace(0.5, -2.0, STEPS)[:, None] * np.ones(2 - (agent == "trader_1"))
    single = SingleAgentEnv(GameParallelEnv(game, steps=STEPS, normalize=False), agent, others)
    vector = MarketVectorEnv(game, 1, agent, others, steps=STEPS, normalize=False)
    assert np.array_equal([single.reset(seed=14)[0]], vector.reset(seed=14)[0])
    alone, batch = [single.step(each) for each in schedule], [vector.step(each[None]) for each in schedule]
    noise = reported_noise(game, [result[4] for result in alone])._replace(price=None)
    expected = rollout(game, others | {agent: OpenLoop(schedule)}, STEPS, noise)
    for rewards in ([result[1] for result in alone], [result[1][0] for result in batch]):
        np.testing.assert_allclose(rewards, expected.rewards[:, game.agents.index(agent)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_an_episode_is_a_function_of_its_seed(duplicate: Callable[[Any], Any], reward: str) -> None:
    one, other = (approximation_v0.parallel_env(steps=STEPS, reward=reward) for _ in range(2))
    controls = quoting(one.game, STEPS)
    first = episode(one, controls, seed=0)
    assert same(first, episode(other, controls, seed=0))
    assert not same(first, episode(other, controls, seed=1))
    assert not same(first, episode(one, controls, seed=None)), "without a seed the stream goes on"
    assert same(first, episode(one, controls, seed=0))
    one.reset(0)
    actions = [one.actions_from(step_of(controls, k)) for k in range(STEPS)]
    one.step(actions[0])
    twin = duplicate(one)
    assert same([one.step(each) for each in actions[1:]], [twin.step(each) for each in actions[1:]])


@pytest.mark.parametrize("observation", KINDS)
def test_observations_stay_in_their_spaces_and_show_the_noise(observation: str) -> None:
    wild = {"inventory_noise": 1e3, "factor": ornstein_uhlenbeck(0.5, 5.0)}
    for changes in (wild, {}):
        env = approximation_v0.parallel_env(steps=STEPS, observation=observation, **changes)
        for observations, *_ in episode(env, quoting(env.game, STEPS), seed=15):
            assert all(env.observation_space(agent).contains(each) for agent, each in observations.items())
            assert env.state_space.contains(env.state())
    last = observations["maker_1"]  # time, factor, own inventory, others', quotes
    inventories = np.roll(env.market.inventories, 1) / 5.0
    scale = 0.0 + 1.0  # undisturbed path 0, volatility sqrt(T) = 1
    shown = [1.0, *env.market.factor / scale, *inventories][: {"time": 2, "own": 3, "full": 5}[observation]]
    np.testing.assert_allclose(last[: len(shown)], shown, rtol=1e-6)
    assert set(episode(env, quoting(env.game, STEPS), seed=0)[1][4]["maker_0"]) >= {"factor", "inventory_noise"}


def test_noise_can_be_switched_off() -> None:
    """As the module's docstring says."""
    env = approximation_v0.parallel_env(steps=STEPS, inventory_noise=0, factor=None, buy_flow=1.0, sell_flow=1.0)
    episodes = [episode(env, quoting(env.game, STEPS), seed) for seed in (0, 1)]
    assert same(*episodes)
    assert not set(episodes[0][1][4]["maker_0"]) & {"factor", "inventory_noise"}
    assert approximation_v0.parallel_env(inventory_noise=0, factor=None).game.factor is None


def test_a_market_forgets_a_shock_after_a_step_without_noise() -> None:
    market = Market(noisy_game(), STEPS)
    controls = quoting(market.game, 1)
    market.advance(step_of(controls, 0), Noise(inventory=np.ones(5)))
    np.testing.assert_allclose(market.state.shock, EPSILON * DT**0.5)
    market.advance(step_of(controls, 0))
    assert market.state.shock is None or not market.state.shock.any()


# Flows, factors and scenarios


def test_scenarios_say_what_the_shapes_and_factors_are() -> None:
    assert load_scenario("approximation") == approximation_v0.make_game()
    assert load_scenario("approximation-small-noise").inventory_noise == 0.03
    game = load_scenario("approximation-2x3", ["buy_flow.low=1", "factor.mean=0.25", "factor.mean_reversion=[3.0]"])
    assert game.buy_flow == Logistic(1, 2.5, 1.0)
    assert game.factor == bounded_reversion((3.0,), 1.0, 2.0, mean=0.25, initial=(0.5,))
    for level in (-1e3, -2.0, 0.0, 0.7, 1e3):
        share = 0.5 + math.tanh(level / 2) / 2  # 1 / (1 + exp(-level))
        buys, sells = game.flows(np.zeros(()), np.full((2, 1), level))
        np.testing.assert_allclose([buys, sells], [[1.0 + 1.5 * share] * 2, [2.5 - 2.0 * share] * 2], rtol=1e-12)
        moved = game.factor.move(0.0, np.array([level]), 0.1, np.zeros(1)) - level
        np.testing.assert_allclose(moved, 0.1 * 3.0 * 2.0 * math.tanh((0.25 - level) / 2.0), atol=1e-12)


BOUNDED = ['factor.kind="bounded_reversion"', "factor.bound=1.0"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["inventory_noise=-0.1"], r"inventory_noise: expected a finite number >= 0, got -0\.1"),
        (["inventory_noise=[0.1, 0.2, 0.3]"], "inventory_noise: expected a number, got"),
        (["inventory_noise=true"], "inventory_noise: expected a number"),
        (["buy_flow.low=-1.0"], r"buy_flow: low: expected a finite number >= 0, got -1\.0"),
        (["sell_flow.high=-1.0"], r"sell_flow: high: expected a finite number >= 0, got -1\.0"),
        (["sell_flow.high=inf"], "sell_flow: high: expected a finite number >= 0, got inf"),
        (["buy_flow.middle=1.0"], r"buy_flow: unknown key 'middle', expected some of \['low', 'high', 'slope'\]"),
        (['buy_flow.slope="steep"'], "buy_flow: slope: expected a number or a tuple of numbers, got 'steep'"),
        (["sell_flow.slope=[1.0, 2.0]"], "sell_flow: slope: expected 1"),
        (['buy_flow={shape="logistic", low=1.0}'], "buy_flow: .* missing 1 required positional argument: 'high'"),
        (['buy_flow.shape="cubic"'], r"buy_flow\.shape: expected one of .*'affine', 'logistic'\], got 'cubic'"),
        (["buy_flow=-1.0"], "buy_flow: expected finite values >= 0, got -1"),
        (["factor=1.0"], r"factor: expected a table, got 1\.0"),
        (['factor.kind="levy"'], r"factor\.kind: expected one of .*'bounded_reversion'\], got 'levy'"),
        (BOUNDED[:1], "factor: .* missing 1 required positional argument: 'bound'"),
        (BOUNDED[1:], "factor: unknown key 'bound', expected some of"),
        ([*BOUNDED, "factor.bound=-1.0"], r"factor\.bound: expected positive numbers, got -1\.0"),
        ([*BOUNDED, "factor.bound=[1.0, 1.0]"], r"factor\.bound: expected a finite number or 1 of them"),
        ([*BOUNDED, "factor.initial=1.0"], r"factor\.initial: expected a list of numbers, got 1\.0"),
    ],
)
def test_bad_scenarios_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_scenario("approximation", overrides)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inventory_noise": -1.0}, r"inventory_noise: expected a finite number >= 0, got -1\.0"),
        ({"inventory_noise": np.inf}, "inventory_noise: expected a finite number >= 0, got inf"),
        ({"inventory_noise": (0.1,) * 5}, "inventory_noise: expected a number, got"),
        ({"factor": 1.0}, r"factor: expected a Factor or None, got 1\.0"),
        ({"factor": None}, "buy_flow: expected a number or a callable of time, got"),
        ({"buy_flow": lambda t, factor: factor}, r"buy_flow: .* must return finite values of .* shape .*got shape"),
        ({"sell_flow": lambda t, factor: factor[..., 0, None]}, "sell_flow: .* must return finite values"),
        ({"sell_flow": lambda t, factor: np.nan * factor[..., 0]}, "sell_flow: .* must return finite values"),
        ({"sell_flow": lambda t: 1.0}, r"sell_flow: expected a number or a callable of \(time, factor\), got"),
        ({"sell_flow": -1.0}, "sell_flow: expected finite values >= 0, got -1"),
        ({"sell_flow": Affine(1.0, (1.0, 2.0, 3.0))}, "sell_flow: slope: expected 2"),
    ],
)
def test_bad_games_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noisy_game(**changes)


@pytest.mark.parametrize(
    ("changes", "noise", "message"),
    [
        (
            {},
            Noise(inventory=np.zeros((STEPS + 1, 5))),
            r"noise\.inventory: expected shape \(\.\.\., 4, 5\), got \(5, 5\)",
        ),
        ({}, Noise(inventory=np.zeros((2, STEPS, 4))), r"noise\.inventory: expected shape .* got \(2, 4, 4\)"),
        ({}, Noise(inventory=np.zeros(5)), r"noise\.inventory: expected shape .* got \(5,\)"),
        ({}, Noise(factor=np.zeros((STEPS, 1))), r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(4, 1\)"),
        ({}, Noise(factor=np.zeros((3, 2))), r"noise\.factor: expected shape .* got \(3, 2\)"),
        ({}, Noise(price=np.zeros(3)), r"noise\.price: expected 4 increments on the last axis, got shape \(3,\)"),
        ({"inventory_noise": 0.0}, Noise(inventory=np.zeros((STEPS, 5))), r"noise\.inventory: the game has no"),
        ({"factor": None, "buy_flow": 1.0}, Noise(factor=np.zeros((STEPS, 2))), r"noise\.factor: the game has no"),
    ],
)
def test_noise_that_does_not_fit_is_refused(changes: dict[str, Any], noise: Noise, message: str) -> None:
    game = noisy_game(**changes)
    controls = quoting(game, STEPS)
    with pytest.raises(ValueError, match=message):
        simulate(game, controls, STEPS, noise)
    with pytest.raises(ValueError, match=message):
        rollout(game, open_loop_policies(game, controls), STEPS, noise)


def test_noise_may_be_given_as_lists() -> None:
    game = noisy_game()
    controls, noise = quoting(game, STEPS), draw_noise(game, STEPS, 2, seed=16, price=True)
    found = simulate(game, controls, STEPS, Noise(*(each.tolist() for each in noise)))
    np.testing.assert_array_equal(found.wealth, simulate(game, controls, STEPS, noise).wealth)


@pytest.mark.parametrize("paths", [0, 1, 3, -2, 2.0, True, "2"])
def test_paths_that_make_no_pairs_are_refused(paths: Any) -> None:
    with pytest.raises(ValueError, match="paths: expected a positive even number, got"):
        draw_noise(noisy_game(), STEPS, paths, seed=0)
    with pytest.raises(ValueError, match="steps: expected a positive whole number, got 0"):
        draw_noise(noisy_game(), 0, 2, seed=0)


def test_a_game_without_makers_has_no_noise_in_inventories() -> None:
    with pytest.raises(TypeError, match="inventory_noise"):
        ExecutionGame((1.0, 2.0), inventory_noise=0.1)  # type: ignore[call-arg]

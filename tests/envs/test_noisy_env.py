"""Environments of games with noise, compared with simulations on the noise that they report."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from makertaker.baselines import OpenLoop, open_loop_policies, random_controls
from makertaker.envs import (
    Factor,
    MakerTakerGame,
    MarketVectorEnv,
    Noise,
    Policy,
    State,
    approximation_v0,
    draw_noise,
    load_scenario,
    rollout,
    simulate,
)
from makertaker.envs.market import Market
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.single_agent_env import SingleAgentEnv
from support.controls import at_step
from support.env_markets import KINDS, NOT_NORMALISED, in_currency
from support.episodes import same
from support.noisy_market import (
    COMPETITIONS,
    DT,
    EPSILON,
    ROOT,
    START,
    STEPS,
    TERMINAL,
    VOLATILITY,
    by_hand,
    episode,
    noisy_game,
    quoting,
    reported_noise,
)

either_competition = pytest.mark.parametrize("competition", COMPETITIONS)


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@pytest.mark.parametrize("normalize", [True, False, None])
@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.filterwarnings("ignore:Observation")  # the time alone is zero at first
def test_pettingzoo_checks_pass(observation: str, normalize: bool | None, reward: str) -> None:
    arguments: dict[str, Any] = {"observation": observation, "reward": reward, "steps": STEPS, "normalize": normalize}
    parallel_api_test(approximation_v0.parallel_env(**arguments), num_cycles=3 * STEPS)
    parallel_seed_test(lambda: approximation_v0.parallel_env(**arguments), num_cycles=STEPS)
    for form in (approximation_v0.env, approximation_v0.raw_env):
        api_test(form(**arguments), num_cycles=20)


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_gymnasium_s_check_passes_and_markets_of_a_batch_differ(agent: str, normalize: bool | None) -> None:
    game = load_scenario("approximation")
    others = open_loop_policies(game, quoting(game))
    options = {"agent": agent, "steps": STEPS, "others": others, "normalize": normalize}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if normalize is None:  # actions in control units have bounds of their own
            warnings.filterwarnings("ignore", message=NOT_NORMALISED)
        check_env(gymnasium.make("makertaker/Approximation-v0", **options).unwrapped, skip_render_check=True)
    entry = {"num_envs": 3, "vectorization_mode": "vector_entry_point", **options}
    env = gymnasium.make_vec("makertaker/Approximation-v0", **entry)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    action = np.zeros(env.action_space.shape, dtype=np.float32)
    runs = [[env.reset(seed=seed)[0], *(env.step(action)[0] for _ in range(2 * STEPS))] for seed in (0, 0, 1)]
    assert np.shape(runs) == (3, 2 * STEPS + 1, 3, 1 + 1 + 1 + 5 + 2 + 4)
    np.testing.assert_array_equal(runs[0], runs[1])
    random = [1, 2, 5, 8, 9]  # the factor, the own inventory, the price, the others' inventories
    moved = np.delete(runs, [0, STEPS + 1], axis=1)[1:, ..., random]  # but for the first ones of episodes
    assert len(np.unique(moved)) == moved.size, "every market, agent, step, episode and seed has noise of its own"


@pytest.mark.parametrize("normalize", [True, None])
@pytest.mark.parametrize("reward", ["payoff", "wealth"])
@either_competition
def test_an_episode_is_the_grid_game_on_the_noise_it_reports(
    competition: str, reward: str, normalize: bool | None
) -> None:
    """In currency the terminal penalty is in the last reward, in the game's units it is charged as it changes."""
    env = GameParallelEnv(noisy_game(competition), steps=STEPS, reward=reward, normalize=normalize)
    controls = random_controls(env.game, STEPS, seed=12)
    _, *results = episode(env, controls, seed=13)
    infos = [infos["maker_1"] for _, _, infos in results]
    noise = reported_noise(env.game, infos)
    assert len(np.unique(np.round(noise.price, 9))) == STEPS
    assert len(np.unique(np.round(noise.inventory, 9))) == STEPS * 5, "everyone has noise of their own"
    expected, hand = simulate(env.game, controls, STEPS, noise), by_hand(competition, controls, noise)
    rewards = in_currency(env, [list(rewards.values()) for _, rewards, _ in results])
    np.testing.assert_allclose(env.market.inventories, expected.inventories[-1], rtol=1e-11)
    np.testing.assert_allclose([info["volume"] for info in infos], DT * np.sum(hand.volumes, axis=1), rtol=1e-9)
    jumps = expected.inventories[1:] * np.diff(expected.mid)[:, None]
    wanted = expected.rewards + (reward == "wealth") * jumps
    if normalize is None:
        charged = TERMINAL * np.square(expected.inventories[1:])
        wanted[-1] += charged[-1]
        wanted -= np.diff(charged, axis=0, prepend=0.0)
    rounding = 1e-15 * float(np.abs(wanted).max())  # absurd quotes bring absurd penalties, whose changes cancel
    np.testing.assert_allclose(rewards, wanted, rtol=1e-9, atol=1e-9 + rounding)
    pnl, cash = (np.array([info[name] for info in results[-1][2].values()]) for name in ("pnl", "cash"))
    np.testing.assert_allclose(pnl, hand.pnl, rtol=1e-9)
    total = hand.payoffs if reward == "payoff" else pnl - hand.penalties
    np.testing.assert_allclose(rewards.sum(axis=0), total, rtol=1e-9)
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
    expected = rollout(game, policies, STEPS, noise)
    jumps = VOLATILITY * ROOT * noise.price * expected.inventories[:, 1:, index]
    for reward, gains in (("payoff", 0 * jumps), ("wealth", jumps)):
        batch = MarketVectorEnv(game, 4, agent, policies, steps=STEPS, normalize=False, reward=reward)
        increments = iter(range(STEPS))
        batch.market.draw = lambda rng, rows=increments: Noise(*(each[:, k] for k in [next(rows)] for each in noise))
        rewards = np.array([batch.step(np.tile(each, (4, 1)))[1] for each in schedule])
        np.testing.assert_allclose(rewards.T, expected.rewards[..., index] + gains, rtol=1e-9, atol=1e-9)
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
        market.advance(at_step(quoting(market.game), 0), noise)
        np.testing.assert_allclose(0.0 if market.state.shock is None else market.state.shock, expected)


@pytest.mark.parametrize("reward", ["payoff", "wealth"])
def test_an_episode_is_a_function_of_its_seed(reward: str) -> None:
    one, other = (approximation_v0.parallel_env(steps=STEPS, reward=reward) for _ in range(2))
    controls = quoting(one.game)
    first = episode(one, controls, 0)
    assert same(first, episode(other, controls, 0))
    assert not same(first, episode(other, controls, 1))
    assert not same(first, episode(one, controls, None)), "without a seed the stream goes on"
    assert same(first, episode(one, controls, 0))


@pytest.mark.parametrize(("observation", "width"), [("time", 2), ("own", 3), ("market", 8), ("full", 14)])
def test_observations_stay_in_their_spaces_and_show_the_noise(observation: str, width: int) -> None:
    wild = {"inventory_noise": 1e3, "factor": Factor(diffusion=lambda t, factor: 0.1 + 100 * np.abs(factor))}
    for changes in (wild, {}):
        env = approximation_v0.parallel_env(steps=STEPS, observation=observation, **changes)
        results = episode(env, quoting(env.game), seed=15)
        for observations, _, _ in results:
            for agent, each in observations.items():
                assert env.observation_space(agent).contains(np.array(each, dtype=np.float32))
    # scales are 1, of a factor that stays at 0 with volatility sqrt(T) = 1, and of the price, and the largest initial
    # inventory; flows are 2 at a factor of 0, so that 5 + 2 + 2 shares want to be traded
    own, *others = env.market.inventories[[2, 0, 1]] / 5.0
    low, high = (np.concatenate(each[1:]) for each in env.game.action_range())
    quotes = (2 * 1.5 - low - high) / (high - low)
    (factor,) = results[-2][2]["maker_1"]["factor"]
    volumes = 0.5 + 3 / (1 + np.exp([-factor, factor])) + [5.0, 0.0]
    market = [quotes[0], quotes[2], env.market.price - 100, *(volumes / 4.5)]
    shown = [1.0, *env.market.factor, own, *market, *others, *quotes][:width]
    np.testing.assert_allclose(observations["maker_1"], shown, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{"inventory_noise": 0}, {"factor": None}, {"inventory_noise": 0, "factor": None}])
def test_noise_can_be_switched_off(changes: dict[str, Any]) -> None:
    """As the module's docstring says; the price's is left, which is shown and moves no payoff, until it is still."""
    flows = {"buy_flow": 1.0, "sell_flow": 1.0} if "factor" in changes else {}
    for volatility in (1.0, 0.0):
        env = approximation_v0.parallel_env(steps=STEPS, volatility=volatility, **changes, **flows)
        first, second = (episode(env, quoting(env.game), seed) for seed in (0, 1))
        assert same([each[1] for each in first], [each[1] for each in second]) == (len(changes) == 2)
        assert same(first, second) == (len(changes) == 2 and volatility == 0)
        noises = {"factor", "inventory_noise"}
        assert first[1][2]["maker_0"].keys() & noises == noises - set(changes)

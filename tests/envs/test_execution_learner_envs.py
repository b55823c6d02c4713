"""One learner in the execution game, alone and in a batch of markets, whose opponents may follow a factor."""

from functools import partial

import gymnasium
import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.envs import Controls, ExecutionGame, MarketVectorEnv, simulate
from makertaker.envs.market import Market
from makertaker.envs.single_agent_env import SingleAgentEnv
from support.env_markets import EXECUTION, FACTOR_SCALE, SIGNAL, STEPS, episode_noise, execution_env, feed
from support.episodes import listed, same


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


@pytest.mark.parametrize("normalize", [True, False, None])
def test_learners_views_agree_with_the_parallel_environment_market_by_market(execution_market, normalize):
    agent, game = "trader_1", ExecutionGame(**execution_market)
    starts = np.array([[-5.0, 3.0, 1.0], [1.0, -2.0, 0.0], [-8.0, 0.0, 3.0]])
    others = state_policies(game)
    batch = MarketVectorEnv(game, 3, agent, others, steps=STEPS, normalize=normalize)
    noise = episode_noise(game, 4, batch=(3,))
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 3, 1))
    found = [batch.reset(seed=4, options={"inventory": starts}), *map(batch.step, actions)]
    for market, start in enumerate(starts):
        parallel, single = (feed(execution_env(execution_market, normalize=normalize), noise, market) for _ in range(2))
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


@pytest.mark.parametrize("normalize", [True, None])
def test_the_hub_agrees_with_the_parallel_environment_market_by_market(execution_market, normalize):
    pytest.importorskip("sb3_contrib")
    from makertaker.training.sb3.hub import Hub

    game = ExecutionGame(**execution_market)
    follow, learners = state_policies(game)["trader_2"], ["trader_0", "trader_1"]
    market = Market(game, STEPS, batch=(3,), normalize=normalize)
    hub = Hub(market, learners, {"trader_2": follow}, seed=5, inventory_spread=1.0)
    rng = np.random.default_rng(5)
    starts, noise = game.start + rng.standard_normal((3, 3)), episode_noise(game, rng, batch=(3,))
    first = hub.observations()
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 2, 3, 1))
    found = [hub.advance(dict(zip(learners, each, strict=True))) for each in actions]
    for i, start in enumerate(starts):
        env, returns = feed(execution_env(execution_market, normalize=normalize), noise, i), np.zeros(2)
        np.testing.assert_array_equal(first[i], listed(env.reset(options={"inventory": start})[0]))
        for k in range(STEPS):
            own = env.actions_from(Controls(np.repeat(follow(k, env.market.state), 3)))["trader_2"]
            observations, rewards, *_ = env.step(dict(zip(env.agents, [*actions[k, :, i], own], strict=True)))
            for j, agent in enumerate(learners):
                seen, reward, done, infos = found[k][agent]
                assert reward[i] == pytest.approx(rewards[agent], rel=1e-6)
                assert done[i] == (k == STEPS - 1)
                last = infos[i].get("terminal_observation", seen[i])
                np.testing.assert_allclose(last, observations[agent], atol=1e-6)
                returns[j] += rewards[agent]
        np.testing.assert_allclose([found[-1][agent][3][i]["episode"]["r"] for agent in learners], returns, rtol=1e-12)


def test_the_vec_env_of_training_is_the_vector_environment(execution_market):
    pytest.importorskip("sb3_contrib")
    from makertaker.training import MarketVecEnv

    game = ExecutionGame(**execution_market)
    options = {"steps": STEPS, "inventory_spread": 1.0, "reward": "wealth", "observation": "own"}
    one, other = (
        kind(game, 4, "trader_0", state_policies(game), **options)
        for kind in (MarketVecEnv, partial(MarketVectorEnv, autoreset_mode="SameStep"))
    )
    one.seed(6)
    np.testing.assert_array_equal(one.reset(), other.reset(seed=6)[0])
    for action in np.random.default_rng(0).uniform(-1, 1, (2 * STEPS, 4, 1)):
        expected = other.step(action)
        assert same(one.step(action)[:3], (expected[0], expected[1].astype(np.float32), expected[2]))


def test_the_default_opponents_follow_the_equilibrium_and_the_factor_and_do_not_react(execution_market):
    options = {"agent": "trader_0", "steps": STEPS, "normalize": False}
    env = gymnasium.make("makertaker/Execution-v0", **options, **execution_market).unwrapped
    game = ExecutionGame(**execution_market)
    for seed in (1, 2):
        noise = episode_noise(game, seed)
        rate = solve(game, STEPS).rule.play(noise).controls.rate
        for played in (rate, rate * [2.0, 1.0, 1.0]):
            env.reset(seed=seed)
            total = sum(env.step(played[k, :1])[1] for k in range(STEPS))
            assert total == pytest.approx(simulate(game, Controls(played), STEPS, noise).payoffs[0], rel=1e-11)


def test_markets_cannot_share_opponents_who_follow_a_factor():
    others = solve(ExecutionGame(**SIGNAL), STEPS).open_loop()
    one, other = (SingleAgentEnv(execution_env(SIGNAL), "trader_0", others) for _ in range(2))
    for seed, env in enumerate((one, other)):
        env.reset(seed=seed)
        env.step(np.zeros(1))
    one.step(np.zeros(1))
    with pytest.raises(ValueError, match="markets cannot share it"):
        other.step(np.zeros(1))


ENTRY = {"id": "makertaker/Execution-v0", "vectorization_mode": "vector_entry_point", "steps": STEPS}


def test_every_market_of_a_batch_has_its_own_factor_which_its_opponents_follow(execution_market):
    same_step = {"autoreset_mode": "SameStep", "observation": "time"}
    env = gymnasium.make_vec(num_envs=4, **ENTRY, normalize=False, **same_step, **execution_market)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    game = ExecutionGame(**execution_market)
    noise = episode_noise(game, 8, batch=(4,))
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


def test_a_batch_is_a_function_of_its_seed(execution_market):
    env = gymnasium.make_vec(num_envs=3, **ENTRY, inventory_spread=1.0, reward="wealth", **execution_market)
    actions = np.random.default_rng(0).uniform(-1, 1, (2 * STEPS, 3, 1))
    runs = [[env.reset(seed=seed), *map(env.step, actions)] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    own = 3 if "factor" in execution_market else 1
    starts = [runs[0][k][0][:, [own, -2, -1]] for k in (0, STEPS + 1)]
    assert len(np.unique(starts)) == 18, "every episode draws anew"
    sync = gymnasium.make_vec(num_envs=2, **ENTRY | {"vectorization_mode": "sync"}, **execution_market)
    assert sync.reset(seed=0)[0].shape == (2, runs[0][0][0].shape[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agent": "maker_0"}, "unknown agent 'maker_0': .*expected one of"),
        ({"others": {}}, r"others: expected policies of \['trader_1', 'trader_2'\], got \[\]"),
        ({"quote_range": (0.0, 1.0)}, "quote_range: nobody quotes in this game"),
        ({"num_envs": 0}, "num_envs: expected a positive whole number, got 0"),
        ({"render_mode": "rgb_array"}, "render_mode: a batch of markets is not drawn"),
    ],
)
def test_make_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        gymnasium.make_vec(**{"num_envs": 2} | ENTRY | EXECUTION | arguments)
    if not arguments.keys() & {"num_envs", "render_mode"}:
        with pytest.raises(ValueError, match=message):
            gymnasium.make(ENTRY["id"], **{"steps": STEPS} | EXECUTION | arguments)


@pytest.mark.parametrize("action", [np.zeros(2), np.full(1, np.nan), np.zeros((2, 1))])
def test_a_learner_s_bad_action_is_refused_and_nothing_is_played(execution_market, action):
    game = ExecutionGame(**execution_market)
    alone = SingleAgentEnv(execution_env(execution_market), "trader_0", solve(game, STEPS).open_loop())
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

"""One learner among makers and traders who follow policies: alone, in Gymnasium's form, and in a batch of markets."""

import gymnasium
import numpy as np
import pytest

from makertaker.baselines import open_loop_policies, random_controls, solve
from makertaker.envs import Controls, MakerTakerGame, MarketVectorEnv, simulate
from makertaker.envs.single_agent_env import SingleAgentEnv
from support.env_markets import ACAS, STEPS, acas_env, episode_noise, feed
from support.episodes import same


def state_policies(game):
    """Policies that look at the market's state, so that a mix-up between markets or agents would show."""
    low, high = game.action_range()

    def trader(i):
        return lambda k, state: np.clip(-(0.5 + 0.1 * k) * state.inventories[..., [i]], low.rate[i], high.rate[i])

    def maker(i):
        bounds = [low.ask[i], low.bid[i]], [high.ask[i], high.bid[i]]
        own = [game.traders + i]
        return lambda k, state: np.clip(0.5 + 0.2 * (state.quotes[..., i] - state.inventories[..., own]), *bounds)

    policies = [*map(trader, range(game.traders)), *map(maker, range(game.makers))]
    return dict(zip(game.agents, policies, strict=True))


@pytest.mark.parametrize("agent", ["trader_1", "maker_1"])
@pytest.mark.parametrize("normalize", [True, False, None])
def test_learners_views_agree_with_the_parallel_environment_market_by_market(agent, normalize):
    game = MakerTakerGame(**ACAS)
    others = state_policies(game)
    batch = MarketVectorEnv(game, 3, agent, others, steps=STEPS, normalize=normalize)
    starts = np.array([[-5, 3, 1, 0, -1], [-1, 2, 0, 0, 0], [-8, 0, 3, -3, 1]], dtype=float)
    noise = episode_noise(game, 4, batch=(3,))
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 3, *batch.single_action_space.shape))
    found = [batch.reset(seed=4, options={"inventory": starts}), *map(batch.step, actions)]
    for market, start in enumerate(starts):
        parallel, single = (feed(acas_env(normalize=normalize), noise, market) for _ in range(2))
        alone, options = SingleAgentEnv(single, agent, others), {"inventory": start}
        expected = parallel.reset(options=options)[0][agent]
        np.testing.assert_array_equal(alone.reset(options=options)[0], expected)
        np.testing.assert_array_equal(found[0][0][market], expected)
        for k, action in enumerate(actions[:, market]):
            state = parallel.market.state
            controls = np.concatenate([others[name](k, state) for name in game.agents])
            everyone = parallel.actions_from(Controls(controls[:2], controls[2::2], controls[3::2]))
            expected = tuple(each[agent] for each in parallel.step(everyone | {agent: action}))
            observation, reward, terminated, truncated, info = alone.step(action)
            np.testing.assert_allclose(observation, expected[0], atol=1e-6)
            assert reward == pytest.approx(expected[1], rel=1e-12)
            assert (terminated, truncated) == expected[2:4] == (k == STEPS - 1, False)
            assert info == pytest.approx(expected[4], rel=1e-12)
            observations, rewards, _, _, infos = found[k + 1]
            np.testing.assert_allclose(infos.get("final_obs", observations)[market], expected[0], atol=1e-6)
            assert rewards[market] == pytest.approx(expected[1], rel=1e-12)


def test_the_default_opponents_play_the_equilibrium_and_do_not_react():
    env = gymnasium.make("makertaker/Acas-v0", agent="trader_0", steps=STEPS, normalize=False, **ACAS).unwrapped
    game = MakerTakerGame(**ACAS)
    controls = solve(game, STEPS).controls
    deviation = controls._replace(rate=controls.rate * [2.0, 1.0])
    for played in (controls, deviation):
        env.reset()
        total = sum(env.step(played.rate[k, :1])[1] for k in range(STEPS))
        assert total == pytest.approx(simulate(game, played, STEPS).payoffs[0], rel=1e-12)


@pytest.mark.parametrize("name", ["Acas", "Execution", "MakerTaker"])
def test_an_id_is_found_through_its_module(name):
    """As scripts want it that know an id and nothing to import."""
    assert gymnasium.make(f"makertaker.envs:makertaker/{name}-v0").unwrapped.game.agents


def test_make_vec_builds_the_array_environment():
    entry = {"vectorization_mode": "vector_entry_point", "agent": "maker_0", "steps": STEPS, "observation": "own"}
    env = gymnasium.make_vec("makertaker/Acas-v0", num_envs=4, inventory_spread=1.0, reward="wealth", **entry)
    assert isinstance(env.unwrapped, MarketVectorEnv)
    assert env.observation_space.shape == (4, 2)
    assert env.action_space.shape == (4, 2)
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    first, _ = env.reset(seed=0)
    assert env.observation_space.contains(first)
    assert len(np.unique(first[:, 1])) == 4, "every market draws its own inventories"
    actions = np.random.default_rng(0).uniform(-1, 1, (2 * STEPS, 4, 2))
    runs = [[env.reset(seed=seed), *map(env.step, actions)] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    starts = [runs[0][k][0][:, 1] for k in (0, STEPS + 1)]
    assert len(np.unique(starts)) == 8, "every episode draws anew"
    twins = gymnasium.make_vec("makertaker/Acas-v0", num_envs=2, vectorization_mode="sync", steps=STEPS)
    assert twins.reset(seed=0)[0].shape == (2, 13)


def test_wealth_in_a_batch_has_the_mean_and_the_spread_of_the_price_gains():
    game, count = MakerTakerGame(**ACAS), 4000
    controls = random_controls(game, STEPS, seed=3)
    others = open_loop_policies(game, controls)
    env = MarketVectorEnv(game, count, "trader_0", others, steps=STEPS, reward="wealth", normalize=False)
    env.reset(seed=0)
    wealth = sum(env.step(np.tile(controls.rate[k, :1], (count, 1)))[1] for k in range(STEPS))
    expected = simulate(game, controls, STEPS)
    # sum Q_{k+1} dP, dP independent and normal with standard deviation volatility sqrt(dt)
    deviation = 2.0 * np.sqrt((expected.inventories[1:, 0] ** 2).sum() / STEPS)
    assert wealth.mean() == pytest.approx(expected.payoffs[0], abs=4 * deviation / count**0.5)
    assert wealth.std() == pytest.approx(deviation, rel=4 / (2 * count) ** 0.5)


def test_markets_that_end_are_reset_in_the_same_step():
    game = MakerTakerGame(**ACAS)
    env = MarketVectorEnv(game, 2, "maker_1", state_policies(game), steps=STEPS, autoreset_mode="SameStep")
    start, _ = env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 2, 2))
    totals = np.zeros((2, 2))
    for episode in range(2):
        for k, each in enumerate(actions):
            observations, rewards, terminated, truncated, infos = env.step(each)
            totals[episode] += rewards
            assert (terminated == (k == STEPS - 1)).all()
            assert not truncated.any()
            assert ("final_obs" in infos) == (k == STEPS - 1)
        np.testing.assert_array_equal(observations, start)  # already the next episode's
        np.testing.assert_array_equal(infos["_final_obs"], [True, True])
        np.testing.assert_array_equal(infos["final_obs"][:, 0], [1.0, 1.0])
        np.testing.assert_allclose(infos["final_obs"][:, 1] * 5.0, infos["final_info"]["inventory"], rtol=1e-6)
    np.testing.assert_array_equal(totals[0], totals[1])


def test_episode_statistics_of_gymnasium_see_the_payoff():
    game = MakerTakerGame(**ACAS)
    controls = random_controls(game, STEPS, seed=2)
    market = MarketVectorEnv(game, 2, "trader_0", open_loop_policies(game, controls), steps=STEPS, normalize=False)
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(market)
    env.reset()
    for k in range(STEPS):
        infos = env.step(np.tile(controls.rate[k, :1], (2, 1)))[-1]
    payoff = simulate(game, controls, STEPS).payoffs[0]
    np.testing.assert_allclose(infos["episode"]["r"], [payoff, payoff], rtol=1e-12)
    np.testing.assert_array_equal(infos["episode"]["l"], [STEPS, STEPS])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agent": "taker_0"}, "unknown agent 'taker_0': .*expected one of"),
        ({"others": {}}, r"others: expected policies of \['maker_0', 'maker_1'\], got \[\]"),
        ({"others": {"maker_0": None, "maker_1": None, "maker_2": None}}, "others: expected policies of"),
        ({"num_envs": 0}, "num_envs: expected a positive whole number, got 0"),
        ({"render_mode": "rgb_array"}, "render_mode: a batch of markets is not drawn"),
        ({"gamma": 2.0}, "unexpected keyword argument 'gamma'"),
    ],
)
def test_make_refuses_bad_arguments(arguments, message):
    entry = {"num_envs": 2, "vectorization_mode": "vector_entry_point", "steps": STEPS}
    with pytest.raises(ValueError, match=message):
        gymnasium.make_vec("makertaker/Acas-v0", **entry | arguments)
    if not arguments.keys() & {"num_envs", "render_mode"}:
        with pytest.raises(ValueError, match=message):
            gymnasium.make("makertaker/Acas-v0", steps=STEPS, **arguments)


@pytest.mark.parametrize(
    ("agent", "action"),
    [
        ("trader_0", np.zeros(2)),
        ("trader_0", np.full(1, np.nan)),
        ("maker_0", np.zeros(3)),
        ("maker_0", np.array([0.0, np.nan])),
        ("maker_0", np.zeros(1)),
    ],
)
def test_a_learner_s_bad_action_is_refused_and_nothing_is_played(agent, action):
    env = gymnasium.make("makertaker/Acas-v0", agent=agent, steps=STEPS).unwrapped
    env.reset()
    with pytest.raises(ValueError, match=r"shape|NaN"):
        env.step(action)
    assert env.parallel.market.k == 0


def test_a_learner_s_step_after_the_end_is_refused():
    env = gymnasium.make("makertaker/Acas-v0", steps=STEPS).unwrapped
    env.reset()
    for _ in range(STEPS):
        env.step(np.zeros(1))
    with pytest.raises(ValueError, match=r"the episode (has )?ended"):
        env.step(np.zeros(1))


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros((2, 2)),
        np.zeros((3, 3)),
        np.full((3, 2), np.nan),
        (np.zeros(2)),
        (np.zeros((1, 2))),
        (np.zeros((3, 1))),
    ],
)
def test_a_batch_of_bad_actions_is_refused_and_nothing_is_played(actions):
    game = MakerTakerGame(**ACAS)
    env = MarketVectorEnv(game, 3, "maker_0", state_policies(game), steps=STEPS)
    env.reset()
    with pytest.raises(ValueError, match=r"shape|NaN"):
        env.step(actions)
    assert env.market.k == 0

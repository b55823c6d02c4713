"""Environments of games without traders: who is there, what is seen, who learns, and what it pays."""

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from makertaker.baselines import exploitability, solve
from makertaker.envs import MarketVectorEnv, load_scenario, maker_taker_v0
from makertaker.envs.grid import rollout
from makertaker.envs.roles import RoleView
from makertaker.training import IndependentLearners

NAMES = ("makers-only", "dealers")
each_name = pytest.mark.parametrize("name", NAMES)


@each_name
def test_the_parallel_environment(name):
    env = maker_taker_v0.parallel_env(scenario=name)
    parallel_api_test(env, 45)
    makers = env.game.makers
    assert env.possible_agents == [f"maker_{i}" for i in range(makers)]
    seen, infos = env.reset(seed=0)
    # time, own inventory, best quotes, price, volumes, others' inventories, quotes
    assert {each.shape for each in seen.values()} == {(7 + makers - 1 + 2 * makers,)}
    assert all("price" not in each for each in infos.values())
    assert env.action_space("maker_0").shape == (2,)
    assert RoleView(env.game).names == ("maker",)


@each_name
def test_the_equilibrium_pays_its_payoff_in_the_environment(name):
    env = maker_taker_v0.parallel_env(scenario=name, units="currency")
    nash = solve(env)
    env.reset(seed=0)
    total = dict.fromkeys(env.possible_agents, 0.0)
    for k in range(20):
        ask, bid = nash.controls.ask[k], nash.controls.bid[k]
        rewards = env.step({f"maker_{i}": np.array([ask[i], bid[i]]) for i in range(len(ask))})[1]
        total = {agent: total[agent] + rewards[agent] for agent in total}
    np.testing.assert_allclose(list(total.values()), nash.payoffs, rtol=1e-9)


@each_name
def test_the_first_agent_learns_by_default(name):
    env = gymnasium.make("makertaker/MakerTaker-v0", scenario=name)
    assert env.unwrapped.agent == "maker_0"
    env.reset(seed=0)
    assert np.isfinite(env.step(env.action_space.sample())[1])
    game = load_scenario(name)
    batch = MarketVectorEnv(game, 3, others=solve(game, 20).open_loop())
    assert batch.agent == "maker_0"
    assert batch.reset(seed=0)[0].shape[0] == 3
    assert gymnasium.make("makertaker/Acas-v0").unwrapped.agent == "trader_0"


@each_name
def test_learners_improve(name):
    """20,000 steps of independent PPO: 122% and 32% of relative NashConv for random quotes, about 1% and .2% after."""
    learners, game = IndependentLearners(name, seed=0), load_scenario(name)
    learners.learn(20_000)
    learned = rollout(game, learners.policies(), 20).controls
    assert exploitability(game, learned, 20).relative < 0.02

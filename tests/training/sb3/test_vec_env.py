"""The market in the form of stable-baselines3."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecEnv

from makertaker.baselines import solve
from makertaker.training import MarketVecEnv
from support.learning import GAME, STEPS


def test_market_vec_env_follows_the_conventions():
    env = MarketVecEnv(GAME, 3, "maker_0", solve(GAME, STEPS).open_loop(), steps=STEPS, inventory_spread=0.1)
    assert isinstance(env, VecEnv)
    env.seed(5)
    first = env.reset()
    total = np.zeros(3)
    for k in range(STEPS):
        seen, rewards, done, infos = env.step(np.zeros((3, 2), dtype=np.float32))
        total += rewards
        assert done.all() == (k == STEPS - 1)
    for i, info in enumerate(infos):
        assert info["terminal_observation"][0] == 1  # time
        assert info["TimeLimit.truncated"] is False
        assert info["episode"]["r"] == pytest.approx(total[i], rel=1e-5)
    assert (seen[:, 0] == 0).all()
    env.seed(5)
    np.testing.assert_array_equal(env.reset(), first)
    assert env.env_is_wrapped(object) == [False] * 3


def test_single_agent_view_passes_the_checker_of_stable_baselines3():
    import gymnasium

    check_env(gymnasium.make("makertaker/Acas-v0", steps=STEPS).unwrapped)

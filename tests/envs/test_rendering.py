"""Pictures of episodes."""

import numpy as np
import pytest

from support.env_markets import DT, acas_env, execution_env
from support.episodes import draw_actions


def test_pictures_change_as_the_episode_goes():
    pytest.importorskip("matplotlib")
    env = acas_env(render_mode="rgb_array")
    env.reset()
    frames = [env.render()]
    for actions in draw_actions(env)[:2]:
        env.step(actions)
        frames.append(env.render())
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.shape == frames[0].shape == (*frame.shape[:2], 3)
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])
    env.reset()
    for actions in draw_actions(env)[:3]:
        env.step(actions)
    again = acas_env(render_mode="rgb_array")
    again.reset()
    for actions in draw_actions(env)[:3]:
        again.step(actions)
    assert np.array_equal(env.render(), again.render()), "the episode before is forgotten"
    env.close()


def test_looking_twice_shows_the_same_picture():
    pytest.importorskip("matplotlib")
    env = acas_env(render_mode="rgb_array")
    env.reset()
    env.render()
    env.step(draw_actions(env)[0])
    assert np.array_equal(env.render(), env.render())


def test_render_needs_a_mode():
    with pytest.warns(UserWarning, match="render: nothing is drawn without a render_mode"):
        assert acas_env().render() is None


def test_pictures_show_inventories_and_prices(execution_market):
    pytest.importorskip("matplotlib")
    env = execution_env(execution_market, render_mode="rgb_array")
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

"""Pictures of episodes."""

import copy

import numpy as np
import pytest

from makertaker.envs import acas_v0, execution_v0
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


@pytest.mark.parametrize("looked", ["once", "again and again", "after another episode", "by a copy"])
def test_the_whole_episode_is_shown_whenever_it_is_looked_at(looked):
    """Each agent's inventories and quotes at every time, from what ``info`` and the observations' market say."""
    pytest.importorskip("matplotlib")
    env = acas_env(render_mode="rgb_array")
    env.reset(seed=0)
    if looked == "after another episode":
        for actions in draw_actions(env)[:2]:
            env.step(actions)
        env.render()
        env.reset(seed=0)
    inventories, quotes = [env.market.inventories.copy()], []
    for actions in draw_actions(env):
        if looked == "again and again":
            env.render()
        env.step(actions)
        inventories.append(env.market.inventories.copy())
        quotes.append(env.market.quotes.copy())
    if looked == "by a copy":
        env = copy.deepcopy(env)
    env.render()
    left, right = env._renderer._figure.axes
    game, times = env.game, env.market.times
    for i in range(len(game.agents)):
        np.testing.assert_array_equal(left.lines[i].get_xydata(), np.column_stack([times, np.array(inventories)[:, i]]))
    sides = np.concatenate([quotes, quotes[-1:]])
    for j in range(game.makers):
        for line, path in zip(right.lines[2 * j : 2 * j + 2], (sides[:, 0, j], -sides[:, 1, j]), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), np.column_stack([times, path]))


@pytest.mark.parametrize(
    ("traders", "makers", "entries"),
    [
        (0, 2, ["maker_0", "maker_1", "ask", "bid"]),
        (2, 0, ["trader_0", "trader_1", "market price", "price of a trade"]),
        (2, 3, ["trader_0", "trader_1", "maker_0", "maker_1", "maker_2", "ask", "bid"]),
        (2, 10, [f"trader_{i}" for i in range(2)] + [f"maker_{i}" for i in range(10)] + ["ask", "bid"]),
        (1, 20, ["1 trader", "20 makers", "ask", "bid"]),
        (20, 20, ["20 traders", "20 makers", "ask", "bid"]),
        (0, 40, ["40 makers", "ask", "bid"]),
        (40, 0, ["40 traders", "market price", "price of a trade"]),
    ],
)
@pytest.mark.filterwarnings("error:constrained_layout not applied")
def test_a_legend_has_room_however_many_agents_there_are(traders, makers, entries):
    """The panels keep their place: the legend is below them and within the picture."""
    pytest.importorskip("matplotlib")
    if makers:
        inventories = {"trader_inventory": [-1.0] * traders, "maker_inventory": [0.5] * makers}
        env = acas_v0.parallel_env(**inventories, steps=3, render_mode="rgb_array")
    else:
        env = execution_v0.parallel_env(initial_inventory=[-1.0] * traders, steps=3, render_mode="rgb_array")
    env.reset(seed=0)
    for actions in draw_actions(env):
        env.step(actions)
    picture = env.render()
    figure = env._renderer._figure
    (legend,), (left, right) = figure.legends, figure.axes
    assert [each.get_text() for each in legend.get_texts()] == entries
    box, boxes = legend.get_window_extent(), [axes.get_tightbbox() for axes in (left, right)]
    height, width = picture.shape[:2]
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= min(each.y0 for each in boxes) + 1
    assert boxes[0].x1 <= boxes[1].x0
    assert all(axes.get_window_extent().height > 0.55 * height for axes in (left, right))
    assert all(axes.get_window_extent().width > 0.3 * width for axes in (left, right))


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

"""Pictures of episodes."""

import copy
from itertools import pairwise

import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.envs import Controls, acas_v0, execution_v0, load_scenario, simulate
from makertaker.envs.single_agent_env import SingleAgentEnv
from support.env_markets import DT, STEPS, acas_env, execution_env
from support.episodes import draw_actions

pytest.importorskip("matplotlib")


def pictures(env, seed=0, looked=(0, 1, -1)):
    """The frames of an episode of random actions, at some of its steps."""
    env.reset(seed=seed)
    steps = [each % (env.market.steps + 1) for each in looked]
    found = [env.render()] if 0 in steps else []
    for k, actions in enumerate(draw_actions(env), start=1):
        env.step(actions)
        found += [env.render()] if k in steps else []
    return found


def axes_of(env):
    """The panels by their titles."""
    return {each.get_title(): each for each in env._renderer._figure.axes}


def line(axes, name):
    """The points of a line by its name."""
    return next(each for each in axes.lines if each.get_label() == name).get_xydata()


def test_pictures_change_as_the_episode_goes():
    env, again = (acas_env(render_mode="rgb_array") for _ in range(2))
    frames = pictures(env)
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.shape == frames[0].shape == (*frame.shape[:2], 3)
    assert all(not np.array_equal(*pair) for pair in pairwise(frames))
    assert np.array_equal(env.render(), frames[-1]), "looking twice shows the same"
    env.reset(seed=0)
    assert np.array_equal(env.render(), frames[0]), "the episode before is forgotten"
    assert np.array_equal(pictures(again, looked=(-1,))[0], frames[-1])
    env.close()


@pytest.mark.parametrize("looked", ["once", "again and again", "after another episode", "by a copy"])
def test_the_whole_episode_is_shown_whenever_it_is_looked_at(looked):
    """Each agent's inventories and quotes at every time, from what ``info`` and the observations' market say."""
    env = acas_env(render_mode="rgb_array", quote_range=(-0.5, 0.5), rate_range=(0.0, 1.0))
    if looked == "after another episode":
        pictures(env, looked=(2,))
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
    panels, game, times = axes_of(env), env.game, env.market.times
    low, high = panels["Inventories"].get_ylim()
    for i, agent in enumerate(game.agents):
        path = np.clip(np.array(inventories)[:, i], low, high)
        np.testing.assert_array_equal(line(panels["Inventories"], agent), np.column_stack([times, path]))
    sides = np.concatenate([quotes, quotes[-1:]])
    for j in range(game.makers):
        for side, path in (("ask", sides[:, 0, j]), ("bid", -sides[:, 1, j])):
            drawn = line(panels["Quotes"], f"maker_{j}, {side}")
            np.testing.assert_array_equal(drawn, np.column_stack([times, path]))


@pytest.mark.parametrize("options", [{}, {"units": "currency"}, {"units": "currency", "reward": "wealth"}], ids=str)
def test_bars_are_payoffs_were_the_episode_to_end_now(options):
    """Rewards so far, with ``-A Q^2`` of the inventories as they are; in the end the sum of rewards."""
    game = load_scenario("acas")
    env = acas_v0.parallel_env(game, steps=STEPS, render_mode="rgb_array", **options)
    controls = Controls(np.full((STEPS, 1), 2.0), np.full((STEPS, 2), 1.5), np.full((STEPS, 2), 0.5))
    env.reset(seed=0)
    found, total = [], 0.0
    for k in range(STEPS + 1):
        if k in (0, 1, STEPS):
            env.render()
            found.append([float(text.get_text()) for text in env._renderer._earned._values])
        if k < STEPS:
            rewards = env.play(Controls(*(each[k] for each in controls)))[1]
            total = total + np.array(list(rewards.values()))
    penalties = np.array([0.5, 0.2, 0.2])
    np.testing.assert_allclose(found[0], -penalties * game.start**2)
    if options:
        np.testing.assert_allclose(found[-1], total, rtol=1e-3)
    else:
        played = simulate(game, controls, STEPS)
        np.testing.assert_allclose(found[-1], played.payoffs, rtol=1e-3)
        one = played.rewards[0] - penalties * played.inventories[1] ** 2
        np.testing.assert_allclose(found[1], one, rtol=1e-3)


def test_the_ladder_shows_quotes_with_what_was_traded_at_them():
    """A maker fills the flow times ``exp(-(own quote - the other's))``: best quote, exponential, ``gamma = 1``."""
    env = acas_v0.parallel_env(steps=STEPS, render_mode="rgb_array")
    env.reset(seed=0)
    env.play(Controls(np.array([2.0]), np.array([1.0, 1.3]), np.array([0.5, 0.8])))
    env.render()
    ladder = axes_of(env)["Ladder of the last step"]
    bought, sold = env.market.volumes
    assert bought == pytest.approx(sold + 2.0 / STEPS)  # both noise flows are alike
    drawn = [each.get_xydata() for each in ladder.lines if each.get_label() in ("maker_0", "maker_1")]
    said = "".join(each.get_text() for each in ladder.texts)
    for i, (quotes, volume) in enumerate((((1.0, 1.3), bought), ((-0.5, -0.8), sold))):
        filled = volume * np.exp([0.3, -0.3])
        np.testing.assert_allclose(env.market.fills[i], filled)
        for points, at, share in zip(drawn[2 * i : 2 * i + 2], quotes, filled, strict=True):
            np.testing.assert_allclose(points, [[0.0, at], [share, at]])
        assert f"best {('ask', 'bid')[i]} {quotes[0]:#.3g}, {volume:#.3g}" in said
    sold_by_each, bought_by_each = env.market.fills
    np.testing.assert_allclose(env.market.inventories[1:] - env.game.start[1:], bought_by_each - sold_by_each)


@pytest.mark.parametrize("makers", [True, False])
@pytest.mark.parametrize("ghost", [True, False])
def test_axes_do_not_move_and_a_first_frame_is_complete(makers, ghost):
    """Limits, places and ghost are those of the first frame, in which every agent's start is."""
    env = (
        acas_v0.parallel_env(steps=STEPS, render_mode="rgb_array") if makers else execution_env(render_mode="rgb_array")
    )
    nash = solve(env)
    if ghost:
        env.set_ghost(nash)

    def seen():
        figure = env._renderer._figure
        boxes = [(*each.get_xlim(), *each.get_ylim(), *each.get_position().bounds) for each in figure.axes]
        return boxes, figure.legends[0].get_window_extent().bounds

    env.reset(seed=0)
    env.render()
    first, panels = seen(), axes_of(env)
    below = panels["Quotes" if makers else "Trading rates"]
    for i, agent in enumerate(env.possible_agents):
        np.testing.assert_array_equal(line(panels["Inventories"], agent), [[0.0, env.game.start[i]]])
        drawn = line(panels["Inventories"], f"_{agent}, ghost")
        assert len(drawn) == (STEPS + 1 if ghost else 0)
        if ghost:
            np.testing.assert_array_equal(drawn[:, 1], nash.inventories[:, i])
    if ghost:
        name, path = ("maker_0, bid", -nash.controls.bid) if makers else ("trader_0", nash.controls.rate)
        np.testing.assert_array_equal(line(below, f"_{name}, ghost")[:-1, 1], path[:, 0])
    if ghost and not makers:
        expected = simulate(env.game, nash.controls, STEPS).mid
        np.testing.assert_array_equal(line(panels["Prices"], "_market price, ghost")[:, 1], expected)
    named = [each.get_text() for each in env._renderer._figure.legends[0].get_texts()]
    assert ("equilibrium" in named) == ghost
    assert f"step 0 of {STEPS}" in env._renderer._clock.get_text()
    for k, actions in enumerate(draw_actions(env)):
        env.step(actions)
        if k in (0, STEPS - 1):
            env.render()
            assert seen() == first
    assert f"step {STEPS} of {STEPS}" in env._renderer._clock.get_text()


def test_what_is_beyond_the_axes_is_marked_at_their_edge():
    env = execution_v0.parallel_env(steps=2, render_mode="rgb_array", units="currency")
    env.reset(seed=0)
    env.step({"trader_0": [4.0], "trader_1": [30.0]})
    env.render()
    axes = axes_of(env)["Inventories"]
    low, high = axes.get_ylim()
    assert low < -3.0 < high < 10.0  # -5 + 4 / 2 and -5 + 30 / 2
    marks = {each.get_marker(): each.get_xydata() for each in axes.lines if each.get_linestyle() == "None"}
    np.testing.assert_allclose(marks["^"], [[0.5, high]])
    assert not len(marks["v"])
    np.testing.assert_allclose(line(axes, "trader_1")[-1], [0.5, high])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nash: 3, "ghost: expected an equilibrium or a trajectory, with inventories and controls, got 3"),
        (lambda nash: nash.controls, "ghost: expected an equilibrium or a trajectory"),
        (lambda nash: solve("acas", STEPS + 1), r"ghost: expected inventories of shape \(6, 3\), .* got \(7, 3\)"),
        (lambda nash: solve("acas-2x3", STEPS), r"ghost: expected inventories of shape \(6, 3\), .* got \(6, 5\)"),
    ],
)
def test_a_ghost_is_of_the_same_game_and_grid(change, message):
    env = acas_v0.parallel_env(steps=STEPS)
    with pytest.raises(ValueError, match=message):
        env.set_ghost(change(solve(env)))


def test_a_ghost_may_be_any_trajectory_and_be_taken_away():
    parallel = acas_v0.parallel_env(steps=STEPS, render_mode="rgb_array")
    nash = solve(parallel)
    env = SingleAgentEnv(parallel, "trader_0", nash.open_loop())
    env.reset(seed=0)
    plain = env.render()
    env.unwrapped.set_ghost(simulate(parallel.game, nash.controls, STEPS), "schedule")
    with_ghost = env.render()
    assert not np.array_equal(plain, with_ghost)
    assert "schedule" in [each.get_text() for each in parallel._renderer._figure.legends[0].get_texts()]
    env.unwrapped.set_ghost(None)
    assert np.array_equal(env.render(), plain)


@pytest.mark.parametrize(
    ("traders", "makers", "entries"),
    [
        (1, 0, ["trader_0", "market price", "price of a trade"]),
        (0, 2, ["maker_0", "maker_1", "ask", "bid"]),
        (2, 10, [f"trader_{i}" for i in range(2)] + [f"maker_{i}" for i in range(10)] + ["ask", "bid"]),
        (1, 20, ["1 trader", "20 makers", "ask", "bid"]),
        (20, 20, ["20 traders", "20 makers", "ask", "bid"]),
        (0, 40, ["40 makers", "ask", "bid"]),
        (40, 0, ["40 traders", "market price", "price of a trade"]),
    ],
)
@pytest.mark.filterwarnings("error:constrained_layout not applied")
def test_a_legend_has_room_however_many_agents_there_are(traders, makers, entries):
    """The panels keep their place: the legend is below them and within the picture, the clock above."""
    if makers:
        inventories = {"trader_inventory": [-1.0] * traders, "maker_inventory": [0.5] * makers}
        env = acas_v0.parallel_env(**inventories, steps=3, render_mode="rgb_array")
    else:
        env = execution_v0.parallel_env(initial_inventory=[-1.0] * traders, steps=3, render_mode="rgb_array")
    picture = pictures(env, looked=(-1,))[0]
    figure = env._renderer._figure
    (legend,), panels = figure.legends, list(axes_of(env).values())
    ladder = ["best quote", "all trades"] if makers else []
    assert sorted(each.get_text() for each in legend.get_texts()) == sorted(entries + ladder)
    box, boxes = legend.get_window_extent(), [axes.get_tightbbox() for axes in panels]
    height, width = picture.shape[:2]
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= min(each.y0 for each in boxes) + 1
    for text in (figure._suptitle, env._renderer._clock):
        above = text.get_window_extent()
        assert 0 <= above.x0 < above.x1 <= width
        assert max(each.y1 for each in boxes) - 1 <= above.y0 < above.y1 <= height
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(axes.get_window_extent().height > 0.28 * height for axes in panels)
    assert all(axes.get_window_extent().width > 0.25 * width for axes in panels)


def test_render_needs_a_mode():
    with pytest.warns(UserWarning, match="render: nothing is drawn without a render_mode"):
        assert acas_env().render() is None


def test_a_window_needs_a_display(monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "backend", "agg")
    with pytest.warns(UserWarning, match=r"render_mode: 'human' .* render_mode='rgb_array' .* 'makertaker render'"):
        env = acas_env(render_mode="human")
    env.reset(seed=0)  # and everything else is as ever
    env.step(draw_actions(env)[0])
    assert env.render() is None
    env.close()


def test_a_window_shows_every_frame_from_the_first(monkeypatch):
    """On a backend without windows, in which what is shown is counted."""
    from matplotlib import pyplot

    from makertaker.envs import parallel_env

    shown, others = [], pyplot.get_fignums()
    monkeypatch.setattr(pyplot, "pause", shown.append)
    monkeypatch.setattr(parallel_env, "has_display", lambda: True)
    env = acas_env(render_mode="human")
    env.reset(seed=0)
    for actions in draw_actions(env):
        env.step(actions)
    assert shown == [1 / env.metadata["render_fps"]] * (STEPS + 1)
    assert len(pyplot.get_fignums()) == len(others) + 1
    env.close()
    assert pyplot.get_fignums() == others


def test_pictures_show_rates_and_prices(execution_market):
    env = execution_env(execution_market, render_mode="rgb_array")
    env.reset(seed=0)
    infos, rates = [], []
    for actions in draw_actions(env)[:2]:
        infos.append(env.step(actions)[4])
        rates.append(env.controls_from(actions).rate)
    env.render()
    panels = axes_of(env)
    assert list(panels) == ["Inventories", "Payoffs, were the episode to end now", "Trading rates", "Prices"]
    mids = [50.0, *(info["trader_0"]["mid"] for info in infos)]
    low, high = panels["Prices"].get_ylim()
    np.testing.assert_allclose(
        line(panels["Prices"], "market price"), np.transpose([[0.0, DT, 2 * DT], np.clip(mids, low, high)])
    )
    bottom, top = panels["Trading rates"].get_ylim()
    for i, agent in enumerate(env.possible_agents):
        paid = np.clip([info[agent]["price"] for info in infos], low, high)
        np.testing.assert_allclose(line(panels["Prices"], agent), np.transpose([[DT / 2, 3 * DT / 2], paid]))
        played = np.clip([rates[0][i], rates[1][i], rates[1][i]], bottom, top)
        np.testing.assert_allclose(line(panels["Trading rates"], agent)[:, 1], played)

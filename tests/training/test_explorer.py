"""``makertaker explore``: sliders, what a page is told of a market, exports, the server, the page in a browser."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

from makertaker.baselines import exploitability, references, solve
from makertaker.envs import load_scenario, read_scenario, scenario_names
from makertaker.envs.scenarios.loader import build_scenario
from makertaker.training.common.extras import needed
from makertaker.training.explorer.export import as_python, as_toml
from makertaker.training.explorer.market import Asked, Market, collusion, document, parse
from makertaker.training.explorer.sliders import changed, full_values, numbers, sliders
from support.browser import chromium, page

DRAG = {"maker_0.ask": (0.0, 0.5, 0.8, 0.2, 0.0)}


def market(name="acas", changes=None, drags=None):
    return Market(read_scenario(name), Asked(name, changes or {}, drags or {}))


def dragged(name, key, offsets, overrides=()):
    """Gains of a profile that is dragged, by a loop over steps."""
    scenario = read_scenario(name, overrides)
    game, steps = scenario.game, scenario.steps
    controls = game.complete(solve(game, steps).controls)
    agent, kind = key.split(".")
    column = game.agents.index(agent) - (game.traders if kind != "rate" else 0)
    curve = np.array(getattr(controls, kind))
    for k in range(steps):
        at = (k + 0.5) / steps * (len(offsets) - 1)
        left = min(int(at), len(offsets) - 2)
        curve[k, column] += offsets[left] + (at - left) * (offsets[left + 1] - offsets[left])
    return exploitability(game, controls._replace(**{kind: curve}), steps)


@pytest.mark.parametrize("name", scenario_names())
def test_every_number_has_a_slider_that_begins_at_the_scenarios_value(name):
    scenario = read_scenario(name)
    found = {each.path: each for each in sliders(scenario)}
    assert set(found) == {path for path, _ in numbers(full_values(scenario))} - {"factor"}  # None: there is no factor
    for each in found.values():
        assert each.value in each.stops, each.path
        assert len(set(map(str, each.stops))) == len(each.stops) >= 10, each.path
        finite = [stop for stop in each.stops if stop is not None and stop != "inf"]
        assert finite == sorted(finite), each.path
    assert build_scenario(name, changed(scenario, {})).game == scenario.game


def test_a_number_is_changed_by_its_path():
    values = changed(
        read_scenario("acas"), {"trader_inventory.0": "-6", "max_rate": "3", "trader_terminal_penalty": "inf"}
    )
    assert values["trader_inventory"] == [-6]
    assert (values["max_rate"], values["trader_terminal_penalty"]) == (3, "inf")
    assert "max_quote" not in values  # no constraint is no entry of a file


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"competition.gamma": "-1"}, "competition.gamma: expected a positive finite number, got -1"),
        ({"competition.gamma": "much"}, "competition.gamma: expected a number, got 'much'"),
        ({"competition.gama": "1"}, "did you mean 'competition.gamma'"),
        ({"trader_inventory.0": "0"}, "expected nonzero inventories"),
        ({"steps": "100000"}, "steps: expected at most 500 in this page, got 100000"),
        ({"drag.maker_0.ask": "1,much"}, "expected finite numbers with commas between them"),
    ],
)
def test_what_cannot_be_is_refused(query, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Market(read_scenario("acas"), parse(query.items(), "acas"))


def test_a_market_is_what_solve_gives():
    found = document(market(changes={"competition.gamma": "2"}))
    nash = solve(load_scenario("acas", ["competition.gamma=2.0"]), 20)
    assert found["payoffs"] == nash.payoffs.tolist()
    assert np.array_equal(np.array(found["inventories"]).T, nash.inventories)
    assert np.array_equal(np.array(found["controls"]["ask"]).T, nash.controls.ask)
    assert abs(found["profile"]["nash_conv"]) < 1e-12
    assert not found["dragged"]


@pytest.mark.parametrize(
    ("name", "key", "offsets"),
    [("acas", "maker_0.ask", DRAG["maker_0.ask"]), ("execution-2", "trader_1.rate", (1.0, 0.0, -2.0))],
)
def test_gains_of_a_dragged_profile(name, key, offsets):
    found = document(market(name, drags={key: offsets}))["profile"]
    expected = dragged(name, key, offsets)
    assert found["gains"] == pytest.approx(expected.gains.tolist(), rel=1e-9, abs=1e-12)
    assert found["payoffs"] == pytest.approx(expected.payoffs.tolist(), rel=1e-12)
    assert found["relative"] == pytest.approx(expected.relative, rel=1e-9)
    assert found["nash_conv"] > 0.01


def test_what_is_dragged_stays_within_the_constraints():
    """A buyer's rate is at least ``min_rate``, here zero."""
    found = document(market(drags={"trader_0.rate": (-50.0, 0.0)}))["profile"]
    assert min(found["controls"]["rate"][0]) == 0.0


def test_an_unknown_curve_does_not_hide_the_equilibrium():
    found = document(market(drags={"maker_7.ask": (1.0, 0.0)}))
    assert "unknown curve 'maker_7.ask'" in found["profile"]["error"]
    assert len(found["payoffs"]) == 3


def test_the_collusion_index_where_it_is_defined():
    drags = {"trader_0.rate": (0.0, 1.0, 0.0)}
    points = references(read_scenario("execution-2"))
    nash, best = points["Nash, open loop"].payoffs.sum(), points["cooperative optimum"].payoffs.sum()
    played = dragged("execution-2", "trader_0.rate", drags["trader_0.rate"]).payoffs.sum()
    assert collusion(market("execution-2", drags=drags))["index"] == pytest.approx((played - nash) / (best - nash))
    under_best_quotes = collusion(market())
    assert under_best_quotes["index"] is None
    assert "no optimum under BestQuote" in under_best_quotes["note"]


def test_an_exported_file_is_a_scenario(tmp_path):
    asked = market("acas-noise-flow", {"sell_flow.mean": "3", "max_quote": "9", "trader_terminal_penalty": "inf"})
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(asked), encoding="utf-8")
    assert read_scenario(path).game == asked.game
    assert read_scenario(path).steps == asked.steps
    assert tomllib.loads(path.read_text(encoding="utf-8"))["sell_flow"]["mean"] == 3


def test_exported_python_prints_the_numbers_of_the_page(capsys):
    asked = market(changes={"horizon": "1.5"}, drags=DRAG)
    exec(compile(as_python(asked), "exported", "exec"), {})
    found = document(asked)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"trader_0: {found['payoffs'][0]:.4f}"
    assert said[-1] == f"NashConv, dragged: {found['profile']['nash_conv']:.4f}"


@pytest.fixture(scope="module")
def server():
    """Where the page is served."""
    pytest.importorskip("uvicorn")
    module = pytest.importorskip("makertaker.training.explorer.server")
    running = module.server_of(module.Explorer(read_scenario("acas")))
    with module.listen(0) as at:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [at]})
        thread.start()
        yield "http://{}:{}/".format(*at.getsockname())
        running.should_exit = True
        thread.join(10)


def get(address, host=None):
    """Status and text of an answer."""
    request = urllib.request.Request(address, headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_answers_this_machine_alone(server):
    assert server.startswith("http://127.0.0.1:")
    assert get(server)[0] == 200
    assert get(server, host="elsewhere.example")[0] == 400  # of a page that has its name lead here
    assert get(f"{server}api/market?scenario=acas")[0] == 200
    status, said = get(f"{server}api/market?scenario=/etc/passwd.toml")
    assert (status, "unknown scenario" in json.loads(said)["error"]) == (422, True)


def test_a_port_that_is_taken_is_one_line(server):
    module = sys.modules["makertaker.training.explorer.server"]
    port = urllib.parse.urlsplit(server).port
    with pytest.raises(OSError, match=rf"--port {port}: .*; 0 takes one that is free"):
        module.listen(port)
    with pytest.raises(ValueError, match=r"--port: expected a number in 0\.\.65535, got 70000"):
        module.listen(70000)


def test_ctrl_c_ends_the_command_quietly():
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "makertaker.training.cli", "explore", "acas", "--port", "0", "--no-open"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    address = running.stdout.readline().split(" is at ")[1].split()[0]
    assert get(address)[0] == 200
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=30) == ("", "")
    assert running.returncode == 0


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "makertaker.training.explorer.server", raising=False)
    with pytest.raises(ImportError, match=r"this needs uvicorn: .*\[explore\]"):
        needed("explorer.server", "explore")


@contextlib.contextmanager
def opened(browser, address, **options):
    with page(browser, **options) as found:
        found.goto(address)
        found.wait_for_selector("[data-redrawn]")
        yield found


def until(condition, seconds=10.0):
    """Wait for a condition that a page meets by and by."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def payoffs(found, place=0):
    return found.locator(".market").nth(place).locator(".agents tbody tr td:nth-of-type(1)").all_inner_texts()


def link(found):
    return found.evaluate("location.href")


def expected(nash):
    return [f"{each:.4f}" for each in nash.payoffs]


def test_the_page_in_a_browser(server):
    """A slider is moved, a point is dragged by key and by pointer, a bad number is typed, and the link is opened again:
    every number is that of ``solve`` and ``exploitability`` to the digits that are shown."""
    with chromium() as browser, opened(browser, server) as found:
        assert payoffs(found) == expected(solve("acas"))
        stops = next(each.stops for each in sliders(read_scenario("acas")) if each.path == "competition.gamma")
        bar = found.locator("[data-path='competition.gamma']")
        bar.focus()
        for _ in range(3):
            found.keyboard.press("ArrowRight")
        gamma = stops[stops.index(1.0) + 3]
        nash = solve(load_scenario("acas", [f"competition.gamma={gamma}"]), 20)
        until(lambda: payoffs(found) == expected(nash))

        found.locator(".handle").nth(2).focus()
        found.keyboard.press("PageUp")
        found.keyboard.press("PageUp")  # before the first is drawn
        offset = 2 * nash.game.control_unit("maker_0")
        gains = dragged("acas", "maker_0.ask", (0, 0, offset, 0, 0), [f"competition.gamma={gamma}"])
        until(lambda: found.locator(".nash-conv").inner_text() == f"{gains.nash_conv:.4f}")
        until(lambda: "drag.maker_0.ask" in link(found))

        found.locator("#A-horizon").evaluate("each => each.closest('details').open = true")
        found.locator("#A-horizon").fill("-1")
        found.keyboard.press("Enter")
        until(lambda: "horizon: expected" in found.locator(".error").inner_text())
        found.locator("#A-horizon").fill("1")
        found.keyboard.press("Enter")
        until(lambda: not found.locator(".error").is_visible())
        assert payoffs(found) == expected(nash)

        found.locator("#compare").click()
        until(lambda: len(payoffs(found, 1)) == 3)
        found.locator("#B-competition\\.gamma").fill("1")
        found.keyboard.press("Enter")
        until(lambda: payoffs(found, 1) == expected(solve("acas")))
        until(lambda: "b.scenario" in link(found) and "b.competition.gamma" not in link(found))
        with opened(browser, link(found)) as again:
            until(lambda: len(payoffs(again)) == len(payoffs(again, 1)) == 3)  # whichever is solved last
            assert (payoffs(again), payoffs(again, 1)) == (expected(nash), expected(solve("acas")))
            until(lambda: again.locator(".nash-conv").first.inner_text() == f"{gains.nash_conv:.4f}")

        handle = found.locator(".handle").first
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        found.mouse.move(x, y)
        found.mouse.down()
        found.mouse.move(x, y - 30)
        until(lambda: abs(handle.bounding_box()["y"] - (box["y"] - 30)) < 2)
        found.mouse.up()

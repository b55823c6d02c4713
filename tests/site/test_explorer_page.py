"""The documentation's explorer, from a file, in a browser."""

import re
import sys
from pathlib import Path

import pytest

from makertaker.baselines import solve
from makertaker.envs import load_scenario
from support.browser import chromium, page

ROOT = Path(__file__).parents[2]
SMALL = {
    "trader_inventory": (-2.5, -5.0),
    "competition.gamma": (0.7, 1.0),
    "impact.beta": (0.5, 2.0),
    "trader_terminal_penalty": (0.5, 5.0),
}


@pytest.fixture(scope="module")
def hook():
    sys.path.insert(0, str(ROOT / "docs/hooks"))
    import explorer

    yield explorer
    sys.path.remove(str(ROOT / "docs/hooks"))


@pytest.fixture(scope="module")
def site(hook, tmp_path_factory):
    """The page's HTML alone, with its files where the site has them, and a small grid."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "explore").mkdir()
    (folder / "js").mkdir()
    (folder / "explore/acas.js").write_text(hook.data(SMALL), encoding="utf-8")
    (folder / "explore/charts.js").write_text(hook.FILES["explore/charts.js"](), encoding="utf-8")
    (folder / "js/explore.js").write_bytes((ROOT / "docs/js/explore.js").read_bytes())
    text = (ROOT / "docs/explore.md").read_text(encoding="utf-8")
    lines = re.findall(r"^<.*$", text, flags=re.M)
    assert len(lines) == 4  # the place, and three scripts
    (folder / "explore.html").write_text("<!doctype html><meta charset=utf-8>" + "\n".join(lines), encoding="utf-8")
    return folder / "explore.html"


def test_the_grid_holds_the_scenario(hook):
    """So that the page begins with it; and the file stays small: four bytes a number, in base64."""
    nash = solve(hook.SCENARIO)
    count = 1
    for values in hook.GRID.values():
        count *= len(values)
    assert count * len(hook._numbers(nash)) * 4 * 4 / 3 < 1.5e6
    assert hook.data(SMALL).count('"start":[1,1,0,0]') == 1
    for key, values in hook.GRID.items():
        assert nash.game in [load_scenario("acas", [hook.setting(key, each)]) for each in values]
        assert list(values) == sorted(values)  # sliders go up to the right


def test_shown_numbers_are_those_of_solve(site):
    with chromium() as browser, page(browser) as found:
        found.goto(site.as_uri())

        def shown():
            return [row.split("\t") for row in found.locator("#explorer tbody").inner_text().splitlines()]

        def expected(*overrides):
            nash = solve(load_scenario("acas", overrides), 20)
            ends = zip(nash.game.agents, nash.payoffs, nash.inventories[-1], strict=True)
            return [[agent, f"{payoff:.4f}", f"{end:.4f}"] for agent, payoff, end in ends]

        assert shown() == expected()
        found.locator("#explore-1").focus()
        found.keyboard.press("ArrowLeft")
        found.locator("#explore-2").focus()
        found.keyboard.press("ArrowRight")
        assert shown() == expected("competition.gamma=0.7", "impact.beta=2.0")
        command = found.locator("#explorer code").inner_text()
        assert '--set "competition.gamma=0.7" --set "impact.beta=2.0"' in command
        box = found.locator("#explorer svg.swatch").first.bounding_box()
        assert box["width"] > 0
        chart = found.locator("#explorer .chart svg").nth(2)
        box = chart.bounding_box()
        found.mouse.move(box["x"] + 49, box["y"] + 100)  # the first step, right of the axis
        ask = solve(load_scenario("acas", ["competition.gamma=0.7", "impact.beta=2.0"]), 20).controls.ask[0]
        said = found.locator("#explorer .readout").nth(2).inner_text()
        assert said == f"t = 0.025: maker_0 {ask[0]:.4f}, maker_1 {ask[1]:.4f}"

"""The pages of reports: what is on them and, in a browser, whether one can read, hover, hide and save it."""

import csv
import io
import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import best_response
from makertaker.envs import read_scenario, rollout
from makertaker.envs.palette import COLORS
from makertaker.training import compare, runs
from makertaker.training.evaluation import html_report
from makertaker.training.record import load_gains
from support.browser import chromium, violations


@pytest.fixture(scope="module")
def pages(undisturbed, tmp_path_factory):
    """Pages by what they are of: a run, its seeds."""
    group = tmp_path_factory.mktemp("seeds")
    for seed, folder in undisturbed.items():
        shutil.copytree(folder, group / f"seed-{seed}")
    (group / "seeds.json").write_text('{"seeds": [0, 1]}')
    seeds = compare.write_page(compare.compare([group]), "Seeds", group / "report.html", paths=True)
    return {"run": runs.write_report(group / "seed-0"), "seeds": seeds}


def played(folder):
    """What a run has learned to do."""
    config = runs.load_config(folder)
    return rollout(config.task.game, runs.load_policies(folder), config.steps).controls


def figures_of(page):
    """Plotly's documents by title."""
    found = re.findall(r'<figure [^>]*data-title="([^"]*)".*?<script type="application/json">(.*?)</script>', page)
    return {title: json.loads(document) for title, document in found}


def saved(page):
    """Rows of the CSV files that a page holds, by name."""
    links = re.findall(r'<a download="([^"]+)\.csv" href="data:text/csv;charset=utf-8,([^"]*)">', page)
    return {name: list(csv.reader(io.StringIO(unquote(content)))) for name, content in links}


def test_the_history_has_everyones_gain(undisturbed):
    history, gains = runs.load_history(undisturbed[0]), load_gains(undisturbed[0])
    assert gains.shape == (len(history), 3)
    np.testing.assert_allclose(gains.sum(axis=1), history[:, 1], rtol=1e-12)


def test_histories_of_an_earlier_version_have_no_gains(run):
    rows = [line.split(",")[:3] for line in (run / "history.csv").read_text().splitlines()]
    (run / "history.csv").write_text("\n".join(map(",".join, rows)))
    assert load_gains(run) is None
    assert "does not have every agent&#x27;s gain" in runs.write_report(run).read_text().replace("'", "&#x27;")


def test_the_market_is_described_as_it_was_changed(tmp_path, pages):
    described = read_scenario("acas").description
    assert f"{described}. Algorithm" in pages["run"].read_text()
    changed = read_scenario("acas", ["trader_inventory=[-8.0]", "competition.gamma=2.0"])
    runs.train(runs.RunConfig.of(changed, "ppo", 5, "sb3", timesteps=40, markets=8), tmp_path / "run")
    page = runs.write_report(tmp_path / "run").read_text()
    assert f"{described}. Changed: trader_inventory = [-8.0], competition.gamma = 2.0. Algorithm" in page


def test_tables_are_saved_in_full(pages):
    tables, metrics = saved(pages["run"].read_text()), json.loads((pages["run"].parent / "metrics.json").read_text())
    header, *agents, total = tables["agents"]
    assert [float(row[header.index("gain by a best response")]) for row in agents] == [
        each["exploitability"] for each in metrics["agents"].values()
    ]
    conv = header.index("gain by a best response")
    assert [float(each) for each in total[conv : conv + 2]] == [metrics["nash_conv"], metrics["relative_nash_conv"]]
    for row in tables["payoff-parts"][1:]:
        agent, profile = row[0].split(", ")
        assert sum(map(float, row[1:-1])) == pytest.approx(float(row[-1]), rel=1e-12)
        assert float(row[-1]) == pytest.approx(metrics["agents"][agent][profile], rel=1e-12)


def test_best_responses_are_drawn_over_what_was_learned(pages):
    folder = pages["run"].parent
    config, learned = runs.load_config(folder), played(folder)
    drawn = figures_of(pages["run"].read_text())["Asks above the reference price (currency)"]["data"]
    lines = {each["name"]: each["y"] for each in drawn}
    found = best_response(config.task.game, learned, "maker_1", config.steps)
    np.testing.assert_array_equal(lines["maker_1, best response"][:-1], found.controls.ask[:, 1])
    np.testing.assert_array_equal(lines["maker_1, learned"][:-1], learned.ask[:, 1])


def test_only_agents_have_the_agents_colours(pages):
    for page in pages.values():
        for title, figure in figures_of(page.read_text()).items():
            for line in figure["data"]:
                used = {line.get("line", {}).get("color"), line.get("marker", {}).get("color")} & set(COLORS)
                assert not used or "agent" in line["meta"], (title, line["name"])


def test_bands_go_from_the_least_seed_to_the_greatest(pages):
    learned = [played(pages["seeds"].parent / f"seed-{seed}").bid for seed in (0, 1)]
    drawn = figures_of(pages["seeds"].read_text())["Bids below the reference price (currency)"]["data"]
    lines = {each["name"]: each["y"][:-1] for each in drawn}
    for name, of in (("least of seeds", np.min), ("greatest of seeds", np.max), ("learned", np.median)):
        np.testing.assert_allclose(lines[f"maker_0, {name}"], of(learned, axis=0)[:, 0], rtol=1e-12)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def show(browser, pages):
    """Opens a page: what it is of, a width, a colour scheme; without a network."""
    shown = []

    def go(name, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        shown.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(pages[name].as_uri())
        drawn = "[...document.querySelectorAll('.chart')].every(each => each.querySelector('.main-svg'))"
        page.wait_for_function(drawn)
        return page

    yield go
    for context in shown:
        context.close()


CUT = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"


@pytest.mark.parametrize(("name", "scheme"), [("run", "light"), ("seeds", "dark")])
def test_pages_fit_and_axe_finds_no_fault(name, scheme, show):
    page = show(name, 1600, scheme)
    for width in (1600, 1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")  # figures follow a moment later
        assert width < 1280 or page.evaluate(CUT) == []
    cued = "[...document.querySelectorAll('.scroll-cue')].map(each => each.nextElementSibling.ariaLabel)"
    assert page.evaluate(cued) == page.evaluate(CUT) != []  # where there is more to the right a line says so
    assert violations(page) == {}


def test_seeds_have_all_that_a_run_has(pages):
    """Payoffs in parts, means that add up; best responses, medians; settings and versions."""
    page, folder = pages["seeds"].read_text(), pages["seeds"].parent
    tables = saved(page)
    ends = [json.loads((folder / f"seed-{seed}" / "metrics.json").read_text())["agents"] for seed in (0, 1)]
    for row in tables["payoff-parts"][1:]:
        agent, profile = row[0].split(", ")
        assert sum(map(float, row[1:-1])) == pytest.approx(float(row[-1]), rel=1e-12)
        assert float(row[-1]) == pytest.approx(np.mean([each[agent][profile] for each in ends]), rel=1e-12)
    lines = {each["name"]: each["y"] for each in figures_of(page)["Asks above the reference price (currency)"]["data"]}
    found = []
    for seed in (0, 1):
        config = runs.load_config(folder / f"seed-{seed}")
        learned = played(folder / f"seed-{seed}")
        found.append(best_response(config.task.game, learned, "maker_1", config.steps).controls.ask[:, 1])
    np.testing.assert_allclose(lines["maker_1, best response"][:-1], np.median(found, axis=0), rtol=1e-12)
    assert {"hyperparameters", "training", "market", "versions-and-machine"} <= set(tables)
    assert ["ppo.clip_range", "0.2"] in tables["hyperparameters"]


def test_one_line_is_hovered_anywhere_and_says_where(show):
    page = show("seeds")
    figure = page.locator("figure[data-name=relative-nashconv]")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.02 * box["height"])  # far above the line
    page.wait_for_selector("figure[data-name=relative-nashconv] .hoverlayer text")
    head, label = figure.locator(".hoverlayer text").all_text_contents()
    assert head.startswith("joint market steps ")
    assert re.search(r"%.* \(.*% to .*%\)", label)


def test_a_bar_s_part_is_what_the_pointer_is_on(show, pages):
    page = show("run")
    figure = page.locator("figure[data-name^=payoffs-in-parts]")
    figure.scroll_into_view_if_needed()
    bars = figure.locator(".barlayer .trace").first.locator(".point")  # the first part, of everyone
    parts = {row[0]: row[1:] for row in saved(pages["run"].read_text())["payoff-parts"]}
    names = list(parts)[1:]
    for i in (0, len(names) - 1):
        box = bars.nth(i).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        said = f"{names[i]}{parts['agent'][0]}: {float(parts[names[i]][0]):.4f}".replace("-", "\u2212")
        page.wait_for_function(
            "said => document.querySelector('figure[data-name^=payoffs-in-parts] .hoverlayer')"
            ".textContent.replaceAll('-', '\u2212').includes(said)",
            arg=said,
        )


@pytest.mark.parametrize(
    ("curve", "place"),
    [
        ([10.0, 3.0, 1.1], (False, False)),  # ends at the line: the name is at its other end, below the curve
        ([0.9, 3.0, 10.0], (True, False)),
        ([0.9, 0.3, 0.1], (True, True)),
        ([np.nan], (True, True)),
    ],
)
def test_a_name_stands_where_the_curve_is_not(curve, place):
    assert html_report.beside(np.array(curve), 1.0) == place


def test_hover_labels_have_whole_names_and_the_numbers(show, pages):
    page = show("run")
    figure = page.locator("figure[data-name^=asks]")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 0.41 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_selector("figure[data-name^=asks] .hoverlayer text")
    head, *labels = figure.locator(".hoverlayer text").all_text_contents()
    assert head == "time 0.4"
    rows = saved(pages["run"].read_text())["asks-above-the-reference-price-currency"][1:]
    expected = [f"{line} : {float(value):.4f}" for line, time, value in rows if float(time) == pytest.approx(0.4)]
    assert len(expected) == 6
    assert [label.replace("−", "-") for label in labels] == expected  # noqa: RUF001  # plotly's minus


def test_the_legend_hides_lines_of_all_panels_by_keyboard_too(show):
    page = show("run")
    count = "document.querySelectorAll('figure[data-legend=paths] .scatterlayer .trace').length"
    assert page.evaluate(count) == (3 * 2) + 3 + 2 * (2 * 3)  # inventories, a rate, asks and bids
    page.get_by_role("button", name="maker_0").first.click()
    assert page.evaluate(count) == (2 * 2) + 3 + 2 * 3
    kind = page.get_by_role("button", name="best response")
    kind.focus()
    page.keyboard.press("Enter")
    assert kind.get_attribute("aria-pressed") == "false"
    assert page.evaluate(count) == (2 * 2) + 2 + 2 * 2


def test_figures_and_tables_are_saved_without_a_network(show, pages, tmp_path):
    page = show("run", scheme="dark")
    figure = page.locator("figure[data-name=trading-rates-shares-time]")
    for kind, begins in (("csv", b"line,time,shares / time"), ("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as waited:
            figure.locator("a[download]" if kind == "csv" else f"button[data-save={kind}]").click()
        assert waited.value.suggested_filename == f"trading-rates-shares-time.{kind}"
        waited.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begins)
    drawn = (tmp_path / "svg").read_text()
    assert "Trading rates (shares / time)" in drawn
    assert "trader_0, best response" in drawn


def test_light_and_dark_can_be_switched(show):
    page = show("run", scheme="dark")
    ground, ink = (
        "getComputedStyle(document.body).backgroundColor",
        "getComputedStyle(document.querySelector('.xtick text')).fill",
    )
    dark = page.evaluate(ground), page.evaluate(ink)
    page.get_by_role("button", name="Switch to light colours").click()
    assert (page.evaluate(ground), page.evaluate(ink)) == ("rgb(255, 255, 255)", "rgb(26, 26, 26)")
    assert dark == ("rgb(20, 22, 26)", "rgb(236, 236, 236)")

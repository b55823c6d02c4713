"""Trainings beside each other: what is one group, in which order, what differs, and what is not compared."""

import csv
import html
import io
import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines.kind import QUICK_PATHS
from makertaker.envs import draw_noise, read_scenario, rollout, simulate
from makertaker.training import compare
from makertaker.training.evaluation.comparison_page import over_seeds
from makertaker.training.run_config import RunConfig
from makertaker.training.runs import train
from support.commands import assert_one_line, strict_json
from support.run_folders import BUDGET


@pytest.fixture
def make(undisturbed):
    """A finished run of a seed in a folder, with changes of its files' entries."""

    def run(folder, seed=0, hyperparameters=None, metrics=None, **config):
        shutil.copytree(undisturbed[seed % 2], folder)
        for name, changes in (("config", {**config, "seed": seed}), ("metrics", {**(metrics or {}), "seed": seed})):
            path = folder / f"{name}.json"
            document = json.loads(path.read_text()) | changes
            if name == "config":
                document["hyperparameters"]["ppo"] |= hyperparameters or {}
            path.write_text(json.dumps(document))
        return folder

    return run


@pytest.fixture
def three(tmp_path, make):
    """Two runs that stand alone, of one group; a folder of three seeds, with another setting; one with another grid."""
    for seed, value in enumerate((0.03, 0.01)):
        make(tmp_path / f"alone-{seed}", seed, metrics={"relative_nash_conv": value})
    for seed, value in enumerate((0.1, 0.4, 0.2)):
        make(tmp_path / "tuned" / f"seed-{seed}", seed, {"gamma": 0.9}, {"relative_nash_conv": value})
    (tmp_path / "tuned" / "seeds.json").write_text('{"seeds": [0, 1, 2]}')
    make(tmp_path / "coarse", 0, metrics={"relative_nash_conv": 0.001, "collusion_index": 0.25}, steps=4)
    return [tmp_path / name for name in ("tuned", "alone-0", "coarse", "alone-1")]


def test_runs_that_differ_in_seed_alone_are_a_group_and_the_least_nash_conv_comes_first(three):
    found = compare.compare(three)
    assert [(each.name, [run.config.seed for run in each.runs]) for each in found.groups] == [
        ("coarse", [0]),
        ("alone-0, alone-1", [0, 1]),
        ("tuned", [0, 1, 2]),
    ]
    assert [each.nash_conv.median for each in found.groups] == pytest.approx([0.001, 0.02, 0.2])
    assert found.groups[2].nash_conv[1:3] == (0.1, 0.4)  # of three values the least and the greatest
    assert [each.numbers()["collusion_index"] for each in found.groups] == [0.25, None, None]
    assert not found.left_out


def test_only_what_differs_is_listed_with_dotted_names(three):
    found = compare.compare(three)
    assert found.differences == {"steps": ["4", "5", "5"], "hyperparameters.ppo.gamma": ["1.0", "1.0", "0.9"]}
    assert found.remarks() == ["markets differ: relative NashConv alone compares them"]
    assert compare.compare(three[:1]).differences == {}


def test_what_only_some_have_comes_after_what_all_have(tmp_path, make):
    make(tmp_path / "a", 0, {"clip_range": 0.1})
    make(tmp_path / "b", 0, {"clip_range": 0.2})
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    config["values"] = {"quote_range": [0.0, 1.0], **config["values"]}
    (tmp_path / "b" / "config.json").write_text(json.dumps(config))
    found = compare.compare([tmp_path / "a", tmp_path / "b"])
    names = [each.name for each in found.groups]
    assert list(found.differences) == ["hyperparameters.ppo.clip_range", "values.quote_range"]
    assert dict(zip(names, found.differences["values.quote_range"], strict=True)) == {"a": None, "b": "[0.0, 1.0]"}


def test_names_and_settings_are_printed_whole(three, command):
    _, out, _ = command("compare", *map(str, three))
    assert "hyperparameters.ppo.gamma" in out
    assert "…" not in out


def test_columns_that_nobody_has_are_left_out(three):
    shown = compare.compare(three).table()
    assert {"group", "collusion index", "95% interval"} <= set(shown.header)
    assert not {"interquartile mean", "over random starts", "against open-loop opponents"} & set(shown.header)
    same, folded = shown.without_constant(compare.SETTINGS)
    assert same == {
        **{"scenario": "acas", "algorithm": "ppo", "engine": "sb3"},
        **{"information": "time", "joint market steps": str(BUDGET)},
    }
    assert not set(same) & set(folded.header)


def test_reacting_opponents_and_other_scenarios_are_said(tmp_path, make):
    make(tmp_path / "a", metrics={"exploitability_against": "reacting opponents", "open_loop_relative_nash_conv": 0.5})
    make(tmp_path / "b", scenario="other", metrics={"open_loop_relative_nash_conv": 0.25})
    found = compare.compare([tmp_path / "a", tmp_path / "b"])
    assert sorted(found.against()) == [
        "NashConv of a is against reacting opponents",
        "NashConv of b is against open-loop opponents (exact)",
    ]
    assert "scenarios differ: relative NashConv alone compares them" in found.remarks()
    columns = dict(zip(found.table().header, zip(*found.table().rows, strict=True), strict=True))
    by_name = dict(zip(columns["group"], columns["against open-loop opponents"], strict=True))
    assert by_name == {"a": "50%", "b": "25%"}


def test_what_is_to_know_of_an_equilibrium_stands_beside_its_nash_conv(tmp_path, make):
    equilibrium = {"residual": 0.0, "message": "", "notes": ["rates are truncated"]}
    make(tmp_path / "a", metrics={"equilibrium": equilibrium})
    assert compare.compare([tmp_path / "a"]).remarks() == ["acas, equilibrium: rates are truncated"]


def test_cells_of_a_sweep_are_groups(tmp_path, make, command):
    names = ("acas-ppo-0", "acas-ppo-1", "acas-a2c-0")
    for name in names[:2]:
        make(tmp_path / "swept" / "runs" / name, int(name[-1]))
    (tmp_path / "swept" / "sweep.json").write_text(json.dumps({"token": "t", "runs": {name: {} for name in names}}))
    found = compare.compare([tmp_path / "swept"])
    assert [(each.name, len(each.runs)) for each in found.groups] == [("acas-ppo", 2)]
    assert list(found.left_out) == [str(tmp_path / "swept" / "runs" / "acas-a2c-0")]
    assert_one_line(command("evaluate", str(tmp_path / "swept")), "is a sweep's folder: 'makertaker compare' reads it")
    (tmp_path / "swept" / "sweep.json").write_text('{"runs": {"../x": {}}}')
    with pytest.raises(ValueError, match="expected trainings by name"):
        compare.compare([tmp_path / "swept"])


def test_a_training_counts_once(three, tmp_path):
    shutil.copytree(three[1], tmp_path / "copy")
    found = compare.compare([*three, three[0] / "seed-1", three[0], tmp_path / "copy"])
    assert [len(each.runs) for each in found.groups] == [1, 2, 3]
    assert found.left_out == {
        str(tmp_path / "copy"): f"{str(tmp_path / 'copy')!r} is the same training as {str(three[1])!r}"
    }


def test_groups_of_one_name_are_told_apart_by_their_places(tmp_path, make):
    for place, gamma in (("x", 0.9), ("y", 0.8)):
        make(tmp_path / place / "run", 0, {"gamma": gamma})
    names = {each.name for each in compare.compare([tmp_path / "x" / "run", tmp_path / "y" / "run"]).groups}
    assert names == {f"run ({tmp_path / 'x'})", f"run ({tmp_path / 'y'})"}


def test_unfinished_runs_of_a_folder_are_left_out_and_said(three, command):
    (three[0] / "seed-1" / "metrics.json").unlink()
    metrics = json.loads((three[0] / "seed-2" / "metrics.json").read_text())
    (three[0] / "seed-2" / "metrics.json").write_text(json.dumps(metrics | {"timesteps_done": 80}))
    code, out, err = command("compare", str(three[0]), "--json")
    assert code == 0
    document = strict_json(out)
    assert document["groups"][0]["seeds"] == {"0": 0.1}
    assert err.count("left out: ") == 2
    assert "is unfinished, it has no metrics.json" in document["left_out"][str(three[0] / "seed-1")]
    assert f"is unfinished, 80 of {BUDGET} joint market steps" in document["left_out"][str(three[0] / "seed-2")]


def test_bad_input_is_one_line(three, tmp_path, command):
    (three[1] / "metrics.json").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "seeds.json").write_text('{"seeds": [0]}')
    for path, message in (
        ("alone-0", "alone-0' is unfinished, it has no metrics.json; 'makertaker train' goes on with --resume"),
        ("empty", "empty' is not a run directory"),
        ("nowhere", "nowhere' is not a run directory"),
        ("group", "group' is finished: "),
    ):
        assert_one_line(command("compare", str(three[0]), str(tmp_path / path)), message)


def test_the_page_has_both_tables_and_their_numbers(three, tmp_path, command):
    code, out, err = command("compare", *map(str, three), "--to", str(tmp_path / "page.html"))
    assert (code, err) == (0, "")
    assert "hyperparameters.ppo.gamma" in out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    found = compare.compare(three)
    for content in (found.table(), found.difference_table()):
        for cell in (*content.header, *(cell for row in content.rows for cell in row)):
            assert f">{html.escape(cell)}</t" in page
    links = dict(re.findall(r'<a download="(\w+)\.csv" href="data:text/csv;charset=utf-8,([^"]*)">', page))
    rows = {name: list(csv.reader(io.StringIO(unquote(content)))) for name, content in links.items()}
    assert rows["runs"][0][:4] == ["group", "run", "seed", "relative_nash_conv"]
    assert [float(row[3]) for row in rows["runs"][1:]] == [0.001, 0.03, 0.01, 0.1, 0.4, 0.2]
    header, *groups = rows["groups"]
    assert [float(row[header.index("median")]) for row in groups] == pytest.approx([0.001, 0.02, 0.2])
    assert rows["settings"] == [found.difference_table().header, *found.difference_table().rows]
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)


def test_the_report_of_a_folder_of_seeds_compares_them(three, command):
    code, out, _ = command("report", str(three[0]))
    assert code == 0
    assert out == f"wrote {three[0] / 'report.html'}\n"
    page = (three[0] / "report.html").read_text(encoding="utf-8")
    assert "<h1>Trainings of tuned</h1>" in page
    assert "Nothing but the seed" in page


def test_bands_are_quartiles_of_what_was_evaluated():
    """Evaluations at other steps are interpolated, a missing best response too; nobody is extrapolated."""
    first = np.array([[0, 0, 1.0], [10, 0, 3.0], [20, 0, 5.0]])
    second = np.array([[0, 0, 2.0], [10, 0, np.nan], [20, 0, 6.0]])
    third = np.array([[10, 0, 7.0]])
    steps, (low, median, high) = over_seeds([first, second, third])
    np.testing.assert_array_equal(steps, [0, 10, 20])
    np.testing.assert_allclose(median, [1.5, 4.0, 5.5])  # of (1, 2), (3, 4, 7) and (5, 6)
    np.testing.assert_allclose(low, [1.25, 3.5, 5.25])
    np.testing.assert_allclose(high, [1.75, 5.5, 5.75])
    steps, quartiles = over_seeds([second[1:2]])
    assert (steps.shape, quartiles.shape) == ((0,), (3, 0))


def test_of_many_runs_that_are_left_out_the_first_are_named():
    few, many = ({str(i): f"run: {i} is unfinished" for i in range(count)} for count in (5, 120))
    assert compare.Comparison([], few).left_out_lines() == [f"left out: run: {i} is unfinished" for i in range(5)]
    assert compare.Comparison([], many).left_out_lines()[-2:] == ["left out: run: 4 is unfinished", "and 115 others"]


def test_every_agent_s_gain_stands_beside(three, tmp_path):
    """Medians over seeds, relative to what NashConv is relative to; on the page, and in a file with numbers in full."""
    found = compare.compare(three)
    for group in found.groups:
        rows = [run.metrics for run in group.runs]
        sizes = [sum(abs(each["equilibrium"]) for each in own["agents"].values()) for own in rows]
        for agent, numbers in group.agents().items():
            gains = [own["agents"][agent]["exploitability"] / size for own, size in zip(rows, sizes, strict=True)]
            assert numbers["relative_gain"] == pytest.approx(np.median(gains), rel=1e-12)
    page = compare.write_page(found, "three", tmp_path / "page.html").read_text(encoding="utf-8")
    own = found.groups[1].agents()["maker_0"]["relative_gain"]
    assert f"alone-0, alone-1,maker_0,{own!r}" in unquote(page).replace('"', "")
    assert '<h2 id="agents">' in page


def test_numbers_are_in_currency_too_and_steps_are_those_that_were_played(tmp_path, make):
    """An algorithm rounds up to whole rollouts."""
    for seed, conv, done in ((0, 0.5, BUDGET), (1, 0.7, BUDGET + 8)):
        make(tmp_path / f"a-{seed}", seed, metrics={"nash_conv": conv, "timesteps_done": done})
    (group,) = compare.compare([tmp_path / "a-0", tmp_path / "a-1"]).groups
    assert group.numbers()["nash_conv"] == pytest.approx(0.6)
    assert group.played == BUDGET + 8
    gains = [run.metrics["agents"]["trader_0"]["exploitability"] for run in group.runs]
    assert group.agents()["trader_0"]["gain"] == pytest.approx(np.median(gains), rel=1e-12)
    shown = compare.compare([tmp_path / "a-0", tmp_path / "a-1"]).table()
    assert dict(zip(shown.header, shown.rows[0], strict=True))[compare.CURRENCY] == "0.600"


def test_settings_are_those_that_all_share_and_circumstances_are_listed(three):
    found = compare.compare(three)
    assert found.shared["hyperparameters.ppo.clip_range"] == "0.2"
    assert not {"steps", "hyperparameters.ppo.gamma", "seed"} & set(found.shared)
    for name, seconds in (("alone-0", 1.5), ("coarse", 12.0)):
        path = three[0].parent / name / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": seconds, "cores": int(seconds)}))
    ran = compare.compare(three[1:3]).circumstances()
    assert (ran["seconds"], ran["cores"]) == ("1.5 to 12.0", "1; 12")
    assert ran["versions.numpy"] == np.__version__


def test_parts_of_payoffs_are_those_of_an_equilibrium_that_reacts_to_the_noise(tmp_path):
    """Of paths of a factor, which a schedule of mean rates would not follow."""
    config = RunConfig.of(read_scenario("execution-signal"), "ppo", 4, "sb3", timesteps=32, markets=8)
    train(config, tmp_path / "run")
    paths = compare._paths(compare.compare([tmp_path / "run"]).groups[0], trust=False)
    task, noise = config.task, draw_noise(config.task.game, 4, QUICK_PATHS, seed=0)
    played = rollout(task.game, task.equilibrium.open_loop(), 4, noise).payoffs.mean(axis=0)
    np.testing.assert_allclose(paths.parts["equilibrium"].total, played, rtol=1e-9)
    schedule = simulate(task.game, task.equilibrium.controls, 4, noise).payoffs.mean(axis=0)
    assert np.abs(schedule - played).max() > 1e-4

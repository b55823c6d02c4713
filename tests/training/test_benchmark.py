"""The files that a suite leaves, what is told and drawn of them, and rows of others' learners."""

import csv
import json
import runpy
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import solve  # noqa: E402
from makertaker.envs import acas_v0, execution_v0  # noqa: E402
from makertaker.training import score  # noqa: E402
from makertaker.training.benchmark import add_score, statistics, summary  # noqa: E402
from makertaker.training.benchmark.report import write_report  # noqa: E402
from makertaker.training.common import workers  # noqa: E402
from support.run_folders import NOBODY_TRADES  # noqa: E402

OWN = """
[small]
about = "two seeds of a market, and one that cannot be scored"

[[small.trainings]]
scenario = ["acas", "NOBODY"]
timesteps = 160
steps = 5
markets = 8
seeds = 2

[[small.trainings]]
scenario = "acas"
timesteps = 160
steps = 5
markets = 8
algorithm = "a2c"
seeds = 2
"""


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class Here(workers.Workers):
    """Tasks in this process: quick."""

    def processors(self, tasks):
        return 1

    @contextmanager
    def run(self, function, tasks, processors):
        yield ((i, function(*task)) for i, task in enumerate(tasks))


@contextmanager
def here(address=None):
    yield Here()


@pytest.fixture(scope="module")
def benched(tmp_path_factory):
    """A folder of results, and what the command said."""
    from typer.testing import CliRunner

    from makertaker.training import cli

    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "nobody.toml").write_text(NOBODY_TRADES)
    (folder / "own.toml").write_text(OWN.replace("NOBODY", str(folder / "nobody.toml")))
    asked = ["benchmark", "--file", str(folder / "own.toml"), "--suite", "small", "--out", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers, "opened", here)
        result = CliRunner().invoke(cli.app, [*asked, "--json"], catch_exceptions=False)
    return folder / "out", asked, result


def test_a_suite_leaves_a_row_a_run_and_tells_failures(benched):
    out, _, result = benched
    assert result.exit_code == 1
    rows = rows_of(out / "small" / "runs.csv")
    assert [(row["market"], row["learner"], row["seed"], row["status"]) for row in rows] == [
        *(("acas", "ppo", seed, "done") for seed in "01"),
        *(("nobody", "ppo", seed, "failed") for seed in "01"),
        *(("acas", "a2c", seed, "done") for seed in "01"),
    ]
    for row in rows[:2] + rows[4:]:
        metrics = json.loads((out / "runs" / row["run"] / "metrics.json").read_text())
        assert float(row["relative_nash_conv"]) == metrics["relative_nash_conv"]
        assert row["commit"]
        assert "numpy=" in row["versions"]
        agents = [each for each in rows_of(out / "small" / "agents.csv") if each["run"] == row["run"]]
        assert sum(float(each["exploitability"]) for each in agents) == pytest.approx(metrics["nash_conv"], rel=1e-12)
    assert len({row["configuration"] for row in rows}) == 3
    assert "all equilibrium payoffs are zero" in rows[2]["note"]
    assert "all equilibrium payoffs are zero" in result.stderr


def test_what_is_printed_and_drawn_comes_from_the_files_alone(benched, tmp_path, command):
    out, asked, result = benched
    found = json.loads(result.stdout)["small"]
    (tmp_path / "small").mkdir()
    for name in ("runs.csv", "curves.csv", "suite.json"):
        (tmp_path / "small" / name).write_bytes((out / "small" / name).read_bytes())
    code, printed, _ = command(*asked[:-1], str(tmp_path), "--report", "--json")
    assert code == 0
    assert json.loads(printed)["small"] == found
    for name in ("markets", "learners", "improvement"):
        assert (tmp_path / "small" / f"{name}.csv").read_bytes() == (out / "small" / f"{name}.csv").read_bytes()
    for name in ("markets", "learners", "profiles", "curves", "improvement"):
        assert (tmp_path / "small" / f"{name}.png").stat().st_size > 5_000


def test_numbers_are_those_of_runs(benched):
    out, _, _ = benched
    runs = pd.read_csv(out / "small" / "runs.csv")
    by = {name: runs[runs["learner"] == name]["relative_nash_conv"].dropna() for name in ("ppo", "a2c")}
    for row in rows_of(out / "small" / "markets.csv"):
        assert float(row["median"]) == pytest.approx(by[row["learner"]].median(), rel=1e-12)
        assert float(row["worst"]) == by[row["learner"]].max()
    (failed,) = {row["failed"] for row in rows_of(out / "small" / "markets.csv")}
    assert failed == "0"  # those of the market of nobody have no row
    rows = rows_of(out / "small" / "improvement.csv")
    chance = {(row["learner"], row["other"]): float(row["probability"]) for row in rows}
    pairs = np.less.outer(by["ppo"].to_numpy(), by["a2c"].to_numpy())
    assert chance["ppo", "a2c"] == pytest.approx(pairs.mean())
    assert chance["ppo", "a2c"] + chance["a2c", "ppo"] == pytest.approx(1)


def test_what_is_done_is_not_done_again(benched, monkeypatch, command):
    out, asked, result = benched
    monkeypatch.setattr(workers, "opened", here)
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/metrics.json")}
    assert len(before) == 4
    code, printed, _ = command(*asked, "--json")
    assert (code, printed) == (1, result.stdout)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_curves_are_marl_eval_s(benched):
    """Environment, task, algorithm, seed, steps; https://github.com/instadeepai/marl-eval says so."""
    out, _, _ = benched
    document = json.loads((out / "small" / "marl_eval.json").read_text())
    learners = document["makertaker"]["acas"]
    assert list(learners) == ["ppo", "a2c"]
    curves = rows_of(out / "small" / "curves.csv")
    for name, seeds in learners.items():
        for seed, run in seeds.items():
            end = f"-{seed.removeprefix('seed_')}"
            own = [each for each in curves if f"-{name}-" in each["run"] and each["run"].endswith(end)]
            steps = [run[f"step_{i}"] for i in range(len(run) - 1)]
            assert [each["step_count"] for each in steps] == [int(each["timesteps"]) for each in own]
            assert [each["relative_nash_conv"] for each in steps] == [[float(e["relative_nash_conv"])] for e in own]
            assert run["absolute_metrics"]["relative_nash_conv"] == steps[-1]["relative_nash_conv"]


def test_results_that_are_not_there_are_said(tmp_path, command):
    code, _, error = command("benchmark", "--report", "--out", str(tmp_path))
    assert code == 2
    assert "suite.json" in error
    (tmp_path / "suite.json").write_text("{}")
    (tmp_path / "runs.csv").write_text("run,name\na,b\n")
    (tmp_path / "curves.csv").write_text("run\n")
    with pytest.raises(ValueError, match=r"has no columns \['market'"):
        summary.read_results(tmp_path)


def test_a_learner_that_fails_everywhere_takes_nothing_from_the_others(benched, tmp_path):
    out, _, _ = benched
    runs = pd.read_csv(out / "small" / "runs.csv")
    runs = runs[runs["market"] == "acas"]
    lost = runs["learner"] == "a2c"
    runs.loc[lost, "status"] = "failed"
    runs.to_csv(tmp_path / "runs.csv", index=False)
    (tmp_path / "suite.json").write_bytes((out / "small" / "suite.json").read_bytes())
    assert [row["learner"] for row in summary.learner_rows(summary.read_results(tmp_path))] == ["ppo"]


@pytest.mark.parametrize("name", ["1", "007", "nan", "True", "1e5", "a, b", "[red]"])
def test_a_learner_s_name_is_a_text(benched, tmp_path, name):
    out, _, _ = benched
    for each in ("runs.csv", "suite.json"):
        (tmp_path / each).write_bytes((out / "small" / each).read_bytes())
    env = acas_v0.parallel_env(observation="time", steps=5)
    add_score(tmp_path, score(env, solve(env).open_loop()), learner=name, market="acas", seed=0, timesteps=10)
    assert name in [row["learner"] for row in summary.learner_rows(summary.read_results(tmp_path))]


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("runs.csv", ("done", "done,"), "runs.csv.*expected numbers"),
        ("runs.csv", ("relative_nash_conv", "other"), r"runs.csv.*no columns \['relative_nash_conv'\]"),
        ("runs.csv", (",acas,", ",,"), "market: expected names|name: expected names"),
        ("curves.csv", ("timesteps", "other"), r"curves.csv.*no columns \['timesteps'\]"),
        ("curves.csv", ("0.", "text"), "curves.csv.*relative_nash_conv: expected numbers"),
        ("suite.json", ("null", '"name"'), "along: expected one of"),
    ],
)
def test_a_damaged_file_is_said_in_one_line(benched, tmp_path, file, change, said):
    out, _, _ = benched
    for each in ("runs.csv", "curves.csv", "suite.json"):
        (tmp_path / each).write_bytes((out / "small" / each).read_bytes())
    (tmp_path / file).write_text((tmp_path / file).read_text().replace(*change))
    with pytest.raises(ValueError, match=said):
        summary.read_results(tmp_path)


def test_a_learner_of_one_s_own_gets_its_row(benched, tmp_path, command):
    """Beside the suite's, whose markets it need not have done; what is done again replaces its row."""
    out, asked, _ = benched
    (tmp_path / "small").mkdir()
    for name in ("runs.csv", "curves.csv", "suite.json"):
        (tmp_path / "small" / name).write_bytes((out / "small" / name).read_bytes())
    env = acas_v0.parallel_env(observation="time", steps=5)
    found = score(env, solve(env).open_loop())
    for market, seed in (("acas", 0), ("acas", 1), ("acas", 0), ("acas-2x3", 0)):
        add_score(tmp_path / "small", found, learner="mine", market=market, seed=seed, timesteps=10)
    code, printed, _ = command(*asked[:-1], str(tmp_path), "--report", "--json")
    assert code == 0
    rows = [row for row in json.loads(printed)["small"]["markets"] if row["learner"] == "mine"]
    assert [(row["market"], row["seeds"]) for row in rows] == [("acas", 2), ("acas-2x3", 1)]
    assert rows[0]["median"] == pytest.approx(0, abs=1e-9)
    learners = [row["learner"] for row in json.loads(printed)["small"]["learners"]]
    assert learners[0] == "mine"
    assert set(learners) == {"mine", "ppo", "a2c"}
    with pytest.raises(ValueError, match=r"has no runs\.csv"):
        add_score(tmp_path, found, learner="mine", market="acas", seed=0, timesteps=10)
    for name in ("ppo", "", 3):
        with pytest.raises(ValueError, match="learner: expected"):
            add_score(tmp_path / "small", found, learner=name, market="acas", seed=0, timesteps=10)
    (tmp_path / "small" / "agents.csv").write_bytes((out / "small" / "agents.csv").read_bytes())
    strange = {
        "has 3 agents, the score is of 2": execution_v0.parallel_env(steps=5),
        "has 5 steps, the score is of 4": acas_v0.parallel_env(steps=4),
        "has the equilibrium payoff": acas_v0.parallel_env(steps=5, buy_flow=2.0),
    }
    for said, other in strange.items():
        of_other = score(other, solve(other).open_loop())
        with pytest.raises(ValueError, match=said):
            add_score(tmp_path / "small", of_other, learner="mine", market="acas", seed=0, timesteps=10)
    with pytest.raises(ValueError, match="score: expected"):
        add_score(tmp_path / "small", 0.1, learner="mine", market="acas", seed=0, timesteps=10)
    with pytest.raises(ValueError, match="seed: expected"):
        add_score(tmp_path / "small", found, learner="mine", market="acas", seed=-1, timesteps=10)
    assert command(*asked[:-1], str(tmp_path), "--report")[0] == 0


def test_nothing_is_drawn_of_nothing(benched, tmp_path):
    out, _, _ = benched
    for name in ("runs.csv", "curves.csv", "suite.json"):
        (tmp_path / name).write_bytes((out / "small" / name).read_bytes())
    runs = pd.read_csv(tmp_path / "runs.csv")
    runs[runs["status"] == "failed"].to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(ValueError, match=r"no run in .* is finished"):
        write_report(tmp_path)


def test_the_example_of_a_learner_of_one_s_own_runs(benched, tmp_path, monkeypatch, capsys):
    out, _, _ = benched
    (tmp_path / "learners").mkdir()
    for name in ("runs.csv", "curves.csv", "suite.json"):
        (tmp_path / "learners" / name).write_bytes((out / "small" / name).read_bytes())
    path = tmp_path / "learners" / "runs.csv"
    pd.read_csv(path).assign(steps=20).to_csv(path, index=False)  # as in the suite that it is made for
    script = Path(__file__).parents[2] / "examples" / "own_row.py"
    monkeypatch.setattr("sys.argv", [str(script), "40", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    assert len(rows_of(tmp_path / "learners" / "others.csv")) == len(capsys.readouterr().out.splitlines()) == 10


@pytest.mark.slow
def test_the_short_form_has_the_order_of_the_published_results(tmp_path, command):
    """Of learners that are nearly always in one order there, in the two markets of the short form."""
    pytest.importorskip("optax")
    code, printed, _ = command("benchmark", "--quick", "--out", str(tmp_path), "--json")
    assert code == 0
    quick = {row["learner"]: row["interquartile_mean"] for row in json.loads(printed)["learners"]["learners"]}
    published = summary.read_results(Path(__file__).parents[2] / "benchmarks" / "results" / "learners")
    markets = {row["market"] for row in json.loads(printed)["learners"]["markets"]}
    samples = {
        name: [published.cells[market, name, 0]["relative_nash_conv"].to_numpy() for market in sorted(markets)]
        for name in quick
    }
    ordered = [
        (one, two)
        for one in quick
        for two in quick
        if one != two and statistics.improvement(samples[one], samples[two]).value > 0.9
    ]
    assert len(ordered) >= 5
    for one, two in ordered:
        assert quick[one] < quick[two]

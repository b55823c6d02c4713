"""Sweeps: one table of scenarios, algorithms and seeds; what fails, what is resumed, what is refused."""

import csv
import json
import os
import shutil
import signal
import sys
import time

import pytest
from typer.testing import CliRunner

ray = pytest.importorskip("ray")
pytest.importorskip("stable_baselines3")

from makertaker.envs import read_scenario  # noqa: E402
from makertaker.training import IndependentLearners, cli, many, runs, sweep  # noqa: E402
from makertaker.training.common import cluster, files, run_folder  # noqa: E402
from support.interruptions import interrupt_after  # noqa: E402
from support.run_folders import NOBODY_TRADES  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")

BUDGET = 640


def config(scenario="acas", seed=0, **changes):
    given = read_scenario(scenario)
    arguments = {"timesteps": BUDGET, "steps": 5, "markets": 8, "seed": seed, **changes}
    return runs.RunConfig(scenario=given.name, values=dict(given.values), **arguments)


def command(out, *extra):
    arguments = ["sweep", "--timesteps", str(BUDGET), "--steps", "5", "--markets", "8", "--out", str(out), *extra]
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def table(out):
    with open(out / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two scenarios, two algorithms, two seeds."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    asked = ("acas", "execution-2", "--algorithm", "ppo", "--algorithm", "a2c", "--seeds", "2", "--hp", "a2c.gamma=0.9")
    result = command(out, *asked, "--json")
    assert result.exit_code == 0, result.output
    return out, asked, json.loads(result.stdout)


def test_a_sweep_is_one_table(swept):
    out, _, printed = swept
    rows = table(out)
    assert [(row["scenario"], row["algorithm"], row["seed"]) for row in rows] == [
        (scenario, algorithm, seed)
        for scenario in ("acas", "execution-2")
        for algorithm in ("ppo", "a2c")
        for seed in "01"
    ]
    assert {row["status"] for row in rows} == {"done"}
    for row, group in zip(rows[::2], printed["groups"], strict=True):
        assert group["relative_nash_conv"]["0"] == float(row["relative_nash_conv"])
        assert runs.load_policies(out / row["run"])
    for name, asked in json.loads((out / "sweep.json").read_text())["runs"].items():
        assert runs.load_config(out / "runs" / name).hyperparameters == asked["hyperparameters"]
        assert [table["gamma"] for table in asked["hyperparameters"].values()] == [0.9 if "a2c" in name else 1.0]
    assert (out / "sweep.png").stat().st_size > 10_000


def test_a_sweep_starts_at_random_and_is_evaluated_over_starts(tmp_path):
    asked = ("execution-2", "--seeds", "1", "--information", "full", "--inventory-spread", "0.5", "--json")
    result = command(tmp_path / "out", *asked)
    assert result.exit_code == 0, result.output
    run = tmp_path / "out" / "runs" / "execution-2-ppo-0"
    metrics = json.loads((run / "metrics.json").read_text())
    assert runs.load_config(run).inventory_spread == metrics["random_starts"]["inventory_spread"] == 0.5
    for each in (metrics, metrics["random_starts"]):
        assert each["exploitability_against"] == "reacting opponents on simulated paths (lower bound)"


def test_a_sweep_says_what_is_to_know_of_its_equilibria(tmp_path):
    """An order that nothing but the largest rate can follow, in both of two seeds, and an ordinary market."""
    bound = tmp_path / "bound.toml"
    bound.write_text('description = "bound"\ntrader_inventory = [-1e6]\nmax_rate = 100.0\n')
    out = tmp_path / "out"
    result = command(out, str(bound), "acas", "--seeds", "2")
    said = "rates are truncated at max_rate = 100 (trader_0 in 5 of 5 steps), where NashConv says little"
    assert result.stdout.count(f"bound, equilibrium: {said}\n") == 1
    assert result.stdout.count("equilibrium: ") == 1
    assert [row["equilibrium"] for row in table(out)] == [said, said, "", ""]
    again = json.loads(command(out, str(bound), "acas", "--seeds", "2", "--json").stdout)
    assert [each["equilibrium"] for each in again["groups"]] == [[said], []]


def test_a_task_trains_what_a_process_would(swept, tmp_path):
    out, _, _ = swept
    runs.train(config(seed=1), tmp_path / "alone")
    alone = (tmp_path / "alone" / "metrics.json").read_bytes()
    assert (out / "runs" / "acas-ppo-1" / "metrics.json").read_bytes() == alone


def test_only_what_is_missing_is_done(swept, tmp_path):
    source, asked, printed = swept
    out = tmp_path / "copy"
    shutil.copytree(source, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/metrics.json")}
    assert len(before) == 8
    again = command(out, *asked, "--json")
    assert json.loads(again.stdout) == printed
    more = command(out, "acas", "--seeds", "3")
    assert more.exit_code == 0, more.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "runs" / "acas-ppo-2" / "metrics.json").is_file()
    assert len(table(out)) == 3


def test_an_interrupted_training_goes_on_from_its_checkpoint(swept, tmp_path, monkeypatch):
    out, _, _ = swept
    interrupt_after(monkeypatch, IndependentLearners, "save_checkpoint", 3)
    folder = tmp_path / "runs" / "acas-ppo-0"
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(), folder)
    monkeypatch.undo()
    (tmp_path / "sweep.json").write_text('{"token": "t"}')
    with monkeypatch.context() as patched:
        patched.setattr(runs, "train", lambda *_, **__: pytest.fail("trained from the start"))
        assert many._train_cell({"acas-ppo-0": config()}, str(tmp_path), "t") == {"acas-ppo-0": (None, "")}
    (row,) = sweep.sweep([config()], tmp_path)
    assert not row.note
    expected = (out / "runs" / "acas-ppo-0" / "metrics.json").read_bytes()
    assert (folder / "metrics.json").read_bytes() == expected


def test_every_training_of_a_sweep_logs_where_it_is_told_to(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(runs, "train", lambda *_, logs, **__: asked.append(("train", logs)))
    monkeypatch.setattr(runs, "resume", lambda *_, logs: asked.append(("resume", logs)))
    (tmp_path / "b" / "checkpoint").mkdir(parents=True)
    files.write_json(tmp_path / "b" / "config.json", config().document())
    for name, logs in (("a", ["wandb"]), ("b", ["wandb"]), ("b", [])):
        many._train_or_go_on({name: config()}, {name: tmp_path / name}, logs)
    assert asked == [("train", ["wandb"]), ("resume", ["wandb"]), ("resume", None)]  # None: as it began
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"this needs wandb: pip install '\.\[logs\]'"):
        command(tmp_path / "out", "acas", "--log", "wandb")
    assert not (tmp_path / "out").exists()


def test_a_failed_training_is_reported_and_the_others_go_on(tmp_path):
    path = tmp_path / "hopeless.toml"
    path.write_text(NOBODY_TRADES)
    out = tmp_path / "out"
    result = command(out, str(path), "acas", "--seeds", "1")
    assert result.exit_code == 1
    assert "all equilibrium payoffs are zero" in result.stderr
    failed, done = table(out)
    assert (failed["status"], failed["relative_nash_conv"]) == ("failed", "")
    assert "all equilibrium payoffs are zero" in failed["note"]
    assert done["status"] == "done"


def test_a_worker_that_does_not_see_the_folder_sends_the_run_back(swept, tmp_path):
    out, _, _ = swept
    packed, error = many._train_cell({"acas-ppo-0": config()}, str(tmp_path / "elsewhere"), "token")["acas-ppo-0"]
    assert not error
    assert packed is not None
    many._unpack(packed, tmp_path / "acas-ppo-0")
    for file in ("metrics.json", "history.csv", "config.json"):
        assert (tmp_path / "acas-ppo-0" / file).read_bytes() == (out / "runs" / "acas-ppo-0" / file).read_bytes()
    assert runs.load_policies(tmp_path / "acas-ppo-0")


@pytest.mark.parametrize("file", ["metrics.json", "run.json", "checkpoint/state.pkl"])
def test_what_cannot_be_read_is_done_again(swept, tmp_path, file):
    source, _, _ = swept
    out = tmp_path / "copy"
    shutil.copytree(source, out)
    folder = out / "runs" / "acas-ppo-0"
    expected = (folder / "metrics.json").read_bytes()
    (folder / "metrics.json").write_text("{")
    if file == "checkpoint/state.pkl":  # which is not read where the training is complete
        (folder / "run.json").unlink()
    (folder / file).write_text('{"cut off": ')
    (row,) = sweep.sweep([config()], out)
    assert (folder / "metrics.json").read_bytes() == expected
    assert row.metrics == json.loads(expected)
    assert bool(row.note) == (file == "checkpoint/state.pkl")


def test_nothing_is_lost_by_what_is_refused(swept, tmp_path):
    source, _, _ = swept
    out = tmp_path / "copy"
    shutil.copytree(source, out)
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    for extra in (["--information", "all"], ["--markets", "0"], ["--address", "127.0.0.1:1", "--markets", "4"]):
        with pytest.raises(ValueError, match="expected"):
            command(out, "acas", "--seeds", "1", "--overwrite", *extra)
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before


def test_tasks_end_with_the_sweep(tmp_path, monkeypatch):
    """In a session that goes on, nothing may go on writing."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster.ray, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep([config(timesteps=10**6)], tmp_path / "out")
    monkeypatch.undo()
    deadline = time.monotonic() + 30
    while ray.available_resources().get("CPU") != 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray.available_resources()["CPU"] == 2


def test_seeds_that_an_engine_trains_together_are_one_task(tmp_path):
    pytest.importorskip("jax")
    asked = ("acas", "execution-2", "--engine", "jax", "--seeds", "2", "--hp", "ppo.net_arch=[8]")
    result = command(tmp_path / "out", *asked, "--json")
    assert result.exit_code == 0, result.output
    rows = table(tmp_path / "out")
    assert [(row["scenario"], row["seed"], row["status"]) for row in rows] == [
        (scenario, seed, "done") for scenario in ("acas", "execution-2") for seed in "01"
    ]
    configs = [runs.load_config(tmp_path / "out" / row["run"]) for row in rows]
    named = {row["run"]: each for row, each in zip(rows, configs, strict=True)}
    assert [list(cell) for cell in many._cells(named)] == [
        [row["run"] for row in rows[:2]],
        [row["run"] for row in rows[2:]],
    ]


def test_many_agents_have_a_short_name():
    names = dict.fromkeys((f"trader_{i}" for i in range(100)), "ppo")
    (name,) = sweep._named([config(algorithm=names)])
    (other,) = sweep._named([config(algorithm={**names, "trader_99": "a2c"})])
    assert len(name) <= 100
    assert name != other


def test_other_settings_are_refused_or_replaced(swept, tmp_path):
    out = tmp_path / "out"
    sweep.sweep([config()], out)
    before = (out / "table.csv").read_bytes()
    with pytest.raises(ValueError, match=r"holds trainings with other settings, \['acas-ppo-0'\]"):
        sweep.sweep([config(hyperparameters={"ppo": {"gamma": 0.9}})], out)
    with pytest.raises(ValueError, match=r"holds trainings with other settings, \['acas-ppo-0'\]"):
        sweep.sweep([config(steps=4)], out)
    assert (out / "table.csv").read_bytes() == before
    (row,) = sweep.sweep([config(steps=4)], out, overwrite=True)
    assert row.metrics is not None
    assert row.metrics["steps"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acas", "--seeds", "0"], "seeds: expected a positive whole number, got 0"),
        (["acas", "acas"], "expected different trainings, got 'acas-ppo-0' twice"),
        (["acas", "--algorithm", "dqn"], "unknown algorithm 'dqn': .*expected one of"),
        (["acas", "--hp", "sac.tau=0.1"], r"unknown name 'sac' in hyperparameters: expected some of \['ppo', "),
        (["nowhere"], "unknown scenario 'nowhere': .*expected one of"),
        (["acas", "--engine", "ray"], r"unknown engine 'ray' in a sweep: .*expected one of \['sb3', 'jax'\]"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        command(tmp_path / "x", *arguments)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not a sweep's folder"):
        command(tmp_path, "acas")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_one_sweep_at_a_time_writes_a_folder(tmp_path):
    with run_folder.made(tmp_path / "out"), pytest.raises(ValueError, match=f"in use by process {os.getpid()} on host"):
        sweep.sweep([config()], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_a_run_is_not_replaced(swept, tmp_path):
    source, _, _ = swept
    out = tmp_path / "copy"
    shutil.copytree(source, out)
    shutil.rmtree(out / "runs" / "acas-ppo-0")
    (out / "runs" / "acas-ppo-0").mkdir()
    (out / "runs" / "acas-ppo-0" / "precious.txt").write_text("keep")
    (row,) = sweep.sweep([config()], out, overwrite=True)
    assert "is not a run directory" in row.note
    assert "precious.txt" in row.note
    packed, _ = many._train_cell({"acas-ppo-0": config()}, str(tmp_path / "elsewhere"), "token")["acas-ppo-0"]
    with pytest.raises(ValueError, match="is not a run directory"):
        many._unpack(packed, out / "runs" / "acas-ppo-0")
    assert [path.name for path in (out / "runs" / "acas-ppo-0").iterdir()] == ["precious.txt"]


def test_a_replacement_that_was_interrupted_goes_on(swept, tmp_path, monkeypatch):
    source, _, _ = swept
    out = tmp_path / "copy"
    shutil.copytree(source, out)
    folder, other = out / "runs" / "acas-ppo-0", config(checkpoints=2)
    with monkeypatch.context() as patched:
        interrupt_after(patched, IndependentLearners, "save_checkpoint", 2)
        with pytest.raises(KeyboardInterrupt):
            runs.train(other, folder, overwrite=True)
    assert runs.load_config(folder) == config()
    with monkeypatch.context() as patched:
        patched.setattr(runs, "train", lambda *_, **__: pytest.fail("trained from the start"))
        token = json.loads((out / "sweep.json").read_text())["token"]
        assert many._train_cell({"acas-ppo-0": other}, str(out), token) == {"acas-ppo-0": (None, "")}
    assert runs.load_config(folder) == other


def test_ray_leaves_the_handler_of_sigterm(monkeypatch):
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster.ray, "init", lambda *_, **__: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    before = signal.getsignal(signal.SIGTERM)
    with cluster.connected():
        assert signal.getsignal(signal.SIGTERM) is before

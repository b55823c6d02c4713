"""Run directories, and what the commands on them print."""

import errno
import functools
import html
import json
import os
import re
import shutil

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import EquilibriumNotFound
from makertaker.training import IndependentLearners, cli, run_evaluation, runs, task
from makertaker.training.evaluation.html_report import percent
from support.interruptions import interrupt_after
from support.learning import GAME

pytestmark = pytest.mark.usefixtures("undrawn")
COMMAND = ["train", "acas", "--timesteps", "200", "--steps", "5", "--markets", "8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A short finished run, with its figures, and what was printed."""
    folder = tmp_path_factory.mktemp("made") / "run"
    result = CliRunner().invoke(cli.app, [*COMMAND, "--out", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


@pytest.fixture
def run(made, tmp_path):
    """The same, for one test, with the command that makes it."""
    folder = shutil.copytree(made[0], tmp_path / "run")
    return folder, [*COMMAND, "--out", str(folder)], made[1]


def test_a_run_directory_has_everything_and_repeats_bit_for_bit(run):
    folder, command, metrics = run
    for name in (
        "config.json",
        "run.json",
        "history.csv",
        "metrics.json",
        "figures/comparison.png",
        "figures/learning.png",
    ):
        assert (folder / name).stat().st_size > 0, name
    last = float((folder / "history.csv").read_text().splitlines()[-1].split(",")[2])
    assert last == metrics["relative_nash_conv"]
    written = (folder / "metrics.json").read_bytes()
    assert json.loads(written) == metrics
    assert set(metrics["agents"]["trader_0"]) >= {"learned", "equilibrium", "gap", "exploitability"}
    assert CliRunner().invoke(cli.app, [*command, "--overwrite"]).exit_code == 0
    assert (folder / "metrics.json").read_bytes() == written
    again = CliRunner().invoke(cli.app, ["evaluate", str(folder), "--json"])
    assert json.loads(again.stdout) == metrics


def test_report_is_one_page(run, monkeypatch):
    folder, _, metrics = run
    monkeypatch.chdir(folder)
    assert CliRunner().invoke(cli.app, ["report", "."]).exit_code == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script src=" not in text
    assert percent(metrics["relative_nash_conv"]) in text
    assert all(agent in text for agent in GAME.agents)
    assert f"<title>makertaker: {folder.name}</title>" in text


@pytest.mark.parametrize("name", ["two words", "a<b>&\"c'", "Zürich-市場", "trailing"])
@pytest.mark.parametrize("path", ["{}", "{}/", "{}/.", "{}/models/..", ".", "..", "./"])
def test_a_page_is_named_after_its_folder_whichever_way_it_is_found(path, name, undisturbed, tmp_path, monkeypatch):
    folder = shutil.copytree(undisturbed[0], tmp_path / name)
    monkeypatch.chdir({".": folder, "./": folder, "..": folder / "models"}.get(path, tmp_path))
    result = evaluated(undisturbed[0])
    monkeypatch.setattr(run_evaluation, "_compared", lambda *_: result)
    text = runs.write_report(path.format(name)).read_text(encoding="utf-8")
    title = re.search("^<title>(.*?)</title>", text, flags=re.M).group(1)
    assert html.unescape(title) == f"makertaker: {name}"
    assert not set("<>\"'") & set(title)


@functools.cache
def evaluated(folder):
    return runs.evaluate_run(folder)


def test_a_page_is_replaced_by_a_whole_one_only(run, monkeypatch):
    folder, _, _ = run
    (folder / "report.html").write_bytes(b"old")
    replace = os.replace

    def fail(source, target):
        if str(target).endswith("report.html"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*report\.html"):
        runs.write_report(folder)
    assert (folder / "report.html").read_bytes() == b"old"
    assert not list(folder.rglob("*.new"))


def test_folders_are_paths_or_texts(run, tmp_path):
    folder, _, metrics = run
    config = runs.load_config(str(folder))
    assert config == runs.load_config(folder)
    out = f"{tmp_path}/again"
    assert runs.train(config, out).metrics == runs.resume(out).metrics == runs.evaluate_run(out).metrics == metrics
    assert runs.write_report(out) == tmp_path / "again" / "report.html"
    assert runs.load_history(out).tolist() == runs.load_history(folder).tolist()
    assert runs.load_circumstances(out)["joint_market_steps"] == metrics["timesteps_done"]
    assert list(runs.load_policies(out)) == list(GAME.agents)


def test_existing_directories_are_not_overwritten(run, tmp_path):
    folder, command, _ = run
    before = (folder / "run.json").read_bytes()
    with pytest.raises(ValueError, match="exists"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert (folder / "run.json").read_bytes() == before
    other = tmp_path / "precious"
    other.mkdir()
    (other / "file.txt").write_text("keep")
    for text in (None, '{"name": "another project"}'):
        if text:
            (other / "config.json").write_text(text)
        with pytest.raises(ValueError, match="not a run directory"):
            runs.train(runs.load_config(folder), other, overwrite=True)
        assert (other / "file.txt").read_text() == "keep"


def test_a_run_is_not_removed_for_one_that_cannot_start(run, monkeypatch):
    folder, command, _ = run
    before = (folder / "metrics.json").read_bytes()

    def fail(*_, **__):
        raise EquilibriumNotFound("no")

    monkeypatch.setattr(task, "solve", fail)
    with pytest.raises(EquilibriumNotFound):
        CliRunner().invoke(cli.app, [*command, "--overwrite"], catch_exceptions=False)
    assert (folder / "metrics.json").read_bytes() == before


def test_resume_refuses_options_it_would_ignore(run):
    folder, _, _ = run
    for extra, message in (["--seed", "9"], "drop seed"), (["--overwrite"], "drop overwrite"):
        with pytest.raises(ValueError, match=message):
            CliRunner().invoke(
                cli.app, ["train", "acas", "--resume", "--out", str(folder), *extra], catch_exceptions=False
            )
    with pytest.raises(ValueError, match="is of scenario 'acas', got 'acas-2x3'"):
        CliRunner().invoke(cli.app, ["train", "acas-2x3", "--resume", "--out", str(folder)], catch_exceptions=False)


def test_a_run_interrupted_at_once_can_be_resumed(run, tmp_path, monkeypatch):
    folder, _, metrics = run
    out = tmp_path / "early"

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(IndependentLearners, "learn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(runs.load_config(folder), out)
    with pytest.raises(ValueError, match="ended before its first episode"):
        runs.evaluate_run(out)
    monkeypatch.undo()
    assert runs.resume(out).metrics == metrics


def test_an_interrupted_run_resumes_to_the_same_metrics(run, tmp_path, monkeypatch):
    folder, _, metrics = run
    config = runs.load_config(folder)
    out = tmp_path / "interrupted"
    # in the third chunk, with work done since the last checkpoint
    interrupt_after(monkeypatch, IndependentLearners, "save_checkpoint", 3)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config, out)
    assert (out / "models" / "trader_0.zip").is_file()
    assert (out / "models" / "trader_0.safetensors").is_file()
    assert len((out / "history.csv").read_text().splitlines()) > 1
    monkeypatch.undo()
    runs.resume(out)
    assert (out / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert (out / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()


NOTHING = [
    *("--set", "trader_running_penalty=0", "--set", "maker_running_penalty=0"),
    *("--set", "buy_flow=0", "--set", "sell_flow=0", "--out", "x"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "acas", "--algorithm", "dqn", "--out", "x"], "unknown algorithm 'dqn': .*expected one of"),
        (
            ["train", "acas", "--algorithm", "maker_7=sac", "--out", "x"],
            "unknown agent 'maker_7' in algorithm: did you mean 'maker_1' or 'maker_0'",
        ),
        (["train", "acas", "--information", "all", "--out", "x"], "unknown information 'all': .*expected one of"),
        (["train", "acas", "--timesteps", "0", "--out", "x"], "timesteps: expected a positive whole number, got 0"),
        (["train", "acas", "--markets", "0", "--out", "x"], "markets: expected a positive whole number, got 0"),
        (["train", "nowhere", "--out", "x"], "unknown scenario 'nowhere': .*expected one of"),
        (["train", "acas", "--resume", "--out", "x"], "'x' is not a run directory"),
        (
            ["train", "acas", "--steps", "1", "--markets", "1", "--out", "x"],
            "PPO needs at least 4 steps .* got 1",
        ),
        (
            ["train", "acas", "--set", "trader_terminal_penalty=0", "--set", "maker_terminal_penalty=0", *NOTHING],
            "all equilibrium payoffs are zero",
        ),
        (["evaluate", "x"], "'x' is not a run directory"),
        (["report", "x"], "'x' is not a run directory"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert not (tmp_path / "x").exists()


def test_a_corrupt_model_is_refused(run):
    folder, _, _ = run
    (folder / "models" / "maker_1.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"maker_1.safetensors': missing, corrupt or of another run"):
        runs.evaluate_run(folder)
    shutil.rmtree(folder / "models")
    with pytest.raises(ValueError, match="missing, corrupt or of another run"):
        runs.evaluate_run(folder)

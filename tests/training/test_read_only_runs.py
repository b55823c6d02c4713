"""Runs that nobody can write, and runs that are complete: they are read, and stay as they are."""

import errno
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import text
from makertaker.training import IndependentLearners, cli, record, runs
from makertaker.training.common import run_folder
from support.interruptions import interrupt_after
from support.run_folders import config, contents, result_of, without_digests

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(params=[errno.EROFS, errno.EACCES, errno.EPERM], ids=errno.errorcode.get)
def archive(request, run, monkeypatch):
    """A finished run on a file system that is read-only: its lock, folders and files cannot be made."""

    def refused(path):
        raise OSError(request.param, os.strerror(request.param), str(path))

    write, mkdir = text.write, Path.mkdir

    def writing(path, content):
        if Path(path).is_relative_to(run):
            refused(path)
        write(path, content)

    def making(path, *arguments, **keywords):
        if path.is_relative_to(run) and not path.exists():
            refused(path)
        mkdir(path, *arguments, **keywords)

    monkeypatch.setattr(text, "write", writing)
    monkeypatch.setattr(Path, "mkdir", making)
    monkeypatch.setattr(run_folder, "locked", refused)
    return run


def test_a_run_that_cannot_be_written_is_evaluated_as_it_is(archive):
    before = contents(archive)
    expected = json.loads((archive / "metrics.json").read_bytes())
    result = CliRunner().invoke(cli.app, ["evaluate", str(archive), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == expected
    assert result.stderr == f"nothing was written: {archive} is read-only\n"
    result = CliRunner().invoke(cli.app, ["evaluate", str(archive)])
    assert result.exit_code == 0, result.output
    assert result.stderr == f"nothing was written: {archive} is read-only\n"
    assert "relative NashConv" in result.stdout
    assert "files in" not in result.stdout
    found = runs.evaluate_run(archive)
    assert (found.metrics, found.written) == (expected, False)
    assert contents(archive) == before


def test_a_page_is_written_elsewhere(archive, tmp_path):
    before = contents(archive)
    with pytest.raises(OSError, match=r"--to \(to=\) writes the page elsewhere: .*report.html"):
        runs.write_report(archive)
    page = tmp_path / "page.html"
    result = CliRunner().invoke(cli.app, ["report", str(archive), "--to", str(page)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {page}\n"
    assert "NashConv" in page.read_text(encoding="utf-8")
    assert contents(archive) == before
    with pytest.raises(FileNotFoundError, match="nowhere"):
        runs.write_report(archive, to=tmp_path / "nowhere" / "page.html")


def test_a_disk_that_is_full_is_no_archive(run, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(text, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        runs.evaluate_run(run)


def test_a_page_elsewhere_leaves_the_one_in_the_run(run, tmp_path):
    assert runs.evaluate_run(run).written
    runs.write_report(run, to=str(tmp_path / "page.html"))
    assert not (run / "report.html").exists()
    assert runs.write_report(run) == run / "report.html"


@pytest.mark.parametrize("left", ["all", "no files of numbers"])
def test_a_complete_training_stays_when_it_is_resumed(left, run, monkeypatch):
    monkeypatch.setattr(IndependentLearners, "learn", lambda *_, **__: pytest.fail("it learned"))
    runs.write_report(run)
    before = contents(run)
    if left == "all":
        (run / "checkpoint" / "state.pkl").write_bytes(b"")  # which is not read
    else:
        without_digests(run)
        for path in run.glob("*/*.safetensors"):
            path.unlink()
    result = CliRunner().invoke(cli.app, ["train", "acas", "--resume", "--out", str(run)])
    assert result.exit_code == 0, result.output
    assert "the training was complete: nothing was trained" in result.stderr
    after = contents(run)
    kept = ("config.json", "report.html", "metrics.json", "history.csv", "models/maker_0.safetensors")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["run.json"] == before["run.json"] or left != "all"


@pytest.mark.parametrize("call", ["in its last checkpoint", "after it"])
def test_a_training_that_was_interrupted_at_its_last_step_is_not_complete(call, tmp_path, finished, monkeypatch):
    """Its last evaluation, after the last gradient step, is missing."""
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        if call == "after it":
            add = record._History.add
            patched.setattr(record._History, "add", lambda *given, last=False: interrupted() if last else add(*given))
        else:
            interrupt_after(patched, IndependentLearners, "save_checkpoint", 4)
        with pytest.raises(KeyboardInterrupt):
            runs.train(config(), out)
    assert not runs.load_circumstances(out)["complete"]
    assert runs.load_circumstances(out)["joint_market_steps"] == 160
    runs.resume(out)
    assert result_of(out) == finished[0]
    assert runs.load_circumstances(out)["complete"]


def interrupted():
    raise KeyboardInterrupt

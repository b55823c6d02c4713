"""Run directories lose nothing and mix nothing: claims, locks, replacements, links."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("filelock")
pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from filelock import FileLock

from makertaker.training import runs, task
from makertaker.training.common import lock, run_folder
from support.run_folders import ARGUMENTS, config, contents, during_training, result_of

pytestmark = pytest.mark.usefixtures("undrawn")


def holder():
    return f"in use by process {os.getpid()} on host {socket.gethostname()} since "


def test_what_somebody_puts_into_a_directory_meanwhile_stays(tmp_path, finished, monkeypatch):
    out = tmp_path / "X"

    def act():
        with pytest.raises(FileExistsError):  # claimed from the beginning
            out.mkdir()
        (out / "precious.txt").write_text("a")

    during_training(monkeypatch, act)
    runs.train(config(), out)
    assert (out / "precious.txt").read_text() == "a"
    assert result_of(out) == finished[0]


@pytest.mark.parametrize("before", ["nothing", "a run"])
def test_others_are_refused_while_a_training_runs(before, tmp_path, undisturbed, finished, monkeypatch):
    out = tmp_path / "X"
    if before == "a run":
        shutil.copytree(undisturbed[0], out)
    refused = []

    def act():
        for other in (
            lambda: runs.train(config(0), out, overwrite=True),
            lambda: runs.train(config(0), out),
            lambda: runs.resume(out),
            lambda: runs.evaluate_run(out),
            lambda: runs.write_report(out),
        ):
            with pytest.raises(ValueError, match=holder()):
                other()
            refused.append(1)

    during_training(monkeypatch, act)
    runs.train(config(1), out, overwrite=True)
    assert len(refused) == 5
    assert result_of(out) == finished[1]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_directory_is_claimed_before_any_work(tmp_path, monkeypatch):
    out, solve = tmp_path / "X", task.solve

    def solving(*arguments, **keywords):
        with pytest.raises(ValueError, match=holder()):
            runs.train(config(1), out, overwrite=True)
        return solve(*arguments, **keywords)

    monkeypatch.setattr(task, "solve", solving)
    runs.train(config(), out)


@pytest.mark.slow  # those of test_fault_injection.py that run at once are processes that have imported everything
def test_two_at_once_make_one_run(tmp_path, finished):
    out = tmp_path / "X"
    command = [sys.executable, "-c", "from makertaker.training.cli import main; main()", "train", *ARGUMENTS]
    both = [
        subprocess.Popen([*command, "--seed", str(seed), "--out", str(out)], stderr=subprocess.PIPE, text=True)
        for seed in (0, 1)
    ]
    said = [each.communicate(timeout=100)[1] for each in both]
    codes = [each.returncode for each in both]
    assert sorted(codes) == [0, 2], said
    # the slower one comes during the training, or after it
    assert "in use by process" in said[codes.index(2)] or "exists; choose another" in said[codes.index(2)]
    assert result_of(out) == finished[codes.index(0)]


@pytest.mark.parametrize("end", [FloatingPointError, KeyboardInterrupt])
def test_the_old_run_stays_until_the_new_one_is_complete(end, run, finished, monkeypatch):
    for name in ("notes.txt", "models/notes.txt", "figures/mine.png", "tensorboard/notes.txt"):
        (run / name).write_text("mine")
    (run / "report.html").write_text("of the old run")
    before = contents(run)

    def act():
        assert before.items() <= contents(run).items()
        raise end

    during_training(monkeypatch, act)
    with pytest.raises(end):
        runs.train(config(1), run, overwrite=True)
    assert before.items() <= contents(run).items()
    assert json.loads(json.dumps(runs.evaluate_run(run).metrics)) == json.loads(finished[0]["metrics.json"])
    assert runs.unfinished_config(run).seed == 1
    runs.resume(run)
    assert result_of(run) == finished[1]
    for name in ("notes.txt", "models/notes.txt", "figures/mine.png", "tensorboard/notes.txt"):
        assert (run / name).read_text() == "mine"
    assert not (run / "report.html").exists()
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_replacement_that_is_begun_again_is_that_of_a_fresh_training(run, finished, monkeypatch):
    during_training(monkeypatch, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(1), run, overwrite=True)
    runs.train(config(0), run, overwrite=True)
    assert result_of(run) == finished[0]
    assert not (run / ".partial").exists()


OLD = (
    "config.json",
    "report.html",
    "models/trader_0.zip",
    "models/trader_0.safetensors",
    "checkpoint/state.pkl",
    "tensorboard/trader_0_1/events.out.tfevents.1",
    "tensorboard/evaluation/events.out.tfevents.1",
    "logs.json",
    "mlflow.db",
    "wandb/offline-run-20200101_000000-abc/files/output.log",
    "wandb/run-20200101_000000-abc/run-abc.wandb",
    "wandb/debug.log",
)
NEW = ("config.json", "metrics.json", "models/trader_0.zip", "models/maker_0.zip", "checkpoint/state.pkl")
FOREIGN = ("notes.txt", "models/notes.txt", "tensorboard/trader_0_1/notes.txt", "wandb/notes.txt", "mlruns/notes.txt")


def cut_off(function, left):
    """The function, which can be called as often as the list is long; it is shared."""

    def operation(*arguments, **keywords):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return function(*arguments, **keywords)

    return operation


def test_a_replacement_that_is_cut_off_anywhere_is_finished_by_the_next_command(tmp_path, monkeypatch):
    """Killed before each of its operations on files in turn, until it has none left."""
    originals = {name: getattr(Path, name) for name in ("unlink", "rename", "replace", "rmdir")}
    for count in range(100):
        folder = tmp_path / str(count)
        for text, names in (("old", OLD), ("foreign", FOREIGN), ("new", [f".partial/{name}" for name in NEW])):
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        with monkeypatch.context() as patched:
            left = [None] * count
            for name, function in originals.items():
                patched.setattr(Path, name, cut_off(function, left))
            try:
                run_folder.finish(folder, folder / ".partial")
                whole = True
            except KeyboardInterrupt:
                whole = False
        if count == 0:
            assert not run_folder.begun(folder)
            continue
        assert run_folder.begun(folder) != whole
        with pytest.raises(ValueError, match=r"config\.json"):  # 'new' is no JSON: it is read from its place
            runs.load_config(folder)
        expected = dict.fromkeys(NEW, b"new") | dict.fromkeys(FOREIGN, b"foreign")
        assert contents(folder) == expected
        if whole:
            break
    assert whole
    assert count > len(OLD)


def link(tmp_path, run):
    (tmp_path / "link").symlink_to(run)
    return tmp_path / "link"


def test_a_link_to_a_run_is_the_run(tmp_path, run, finished):
    out = link(tmp_path, run)
    with pytest.raises(ValueError, match="exists; choose another"):
        runs.train(config(1), out)
    runs.train(config(1), out, overwrite=True)
    assert out.is_symlink()
    assert result_of(run) == finished[1]
    assert runs.resume(out).metrics["seed"] == 1


def test_a_folder_that_cannot_be_moved_or_removed_is_written_into(run, finished, monkeypatch):
    """As a mount point."""
    for name in ("rename", "rmdir", "replace"):
        function = getattr(Path, name)

        def busy(path, *arguments, function=function):
            if path == run:
                raise OSError(16, "Device or resource busy")
            return function(path, *arguments)

        monkeypatch.setattr(Path, name, busy)
    runs.train(config(1), run, overwrite=True)
    assert result_of(run) == finished[1]


@pytest.mark.parametrize("kind", ["empty", "link to an empty one", "left by a process that was killed"])
def test_a_folder_with_nothing_in_it_needs_no_overwrite(kind, tmp_path, finished):
    out = tmp_path / "X"
    out.mkdir()
    if kind == "link to an empty one":
        out = link(tmp_path, out)
    if kind == "left by a process that was killed":
        (out / lock.LOCK).touch()
        (out / lock.HOLDER).write_text('{"process": 1, "host": "elsewhere", "started": "2020-01-01"}')
        (out / "config.json.new").write_text("{")
        (out / f"{lock.HOLDER}.new").write_text("{")
    runs.train(config(), out)
    assert result_of(out) == finished[0]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["dangling link", "link to itself", "file", "below a file", "other files"])
def test_what_is_no_run_is_refused_in_one_line_and_stays(kind, overwrite, tmp_path, monkeypatch):
    out = tmp_path / "X"
    monkeypatch.setattr(task, "solve", lambda *_, **__: pytest.fail("solved"))
    if kind == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
        message = "is a link to .*nowhere.*, which does not exist"
    elif kind == "link to itself":
        out.symlink_to(out)
        message = "is a link to .*X.*, which does not exist"
    elif kind == "file":
        out.write_text("keep")
        message = "exists and is not a folder"
    elif kind == "below a file":
        (tmp_path / "file").write_text("keep")
        out = tmp_path / "file" / "X"
        message = "cannot be made: Not a directory"
    else:
        out.mkdir()
        (out / "precious.txt").write_text("keep")
        message = "is not a run directory, .* it has precious.txt" if overwrite else "exists; choose another directory"
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=message) as raised:
        runs.train(config(), out, overwrite=overwrite)
    assert "\n" not in str(raised.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((each, "folder") for each in ("report.html", "run.json", ".lock", "models/trader_0.zip", "sweep.json")),
        *((each, "file") for each in ("models", "figures", "tensorboard", "checkpoint", ".partial")),
        *((each, "pipe") for each in ("metrics.json", ".holder.json", "models/maker_0.zip")),
    ],
)
def test_what_stands_in_the_place_of_a_run_s_file_or_folder_is_named_and_stays(name, kind, run, monkeypatch):
    """Before any work: what it takes the place of could not be replaced at the end."""
    path = run / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    {"folder": path.mkdir, "file": path.touch, "pipe": lambda: os.mkfifo(path)}[kind]()
    monkeypatch.setattr(task, "solve", lambda *_, **__: pytest.fail("solved"))
    before = contents(run)
    for act in (
        lambda: runs.train(config(1), run, overwrite=True),
        lambda: runs.resume(run),
        lambda: runs.evaluate_run(run),
        lambda: runs.write_report(run),
    ):
        with pytest.raises(ValueError, match=f"{name}' is no {'folder' if kind == 'file' else 'file'}, as a run has"):
            act()
    assert contents(run) == before


@pytest.mark.parametrize("after", ["nothing", "another folder"])
def test_a_run_that_is_moved_meanwhile_stays_whole(after, tmp_path, finished, monkeypatch):
    out, moved = tmp_path / "X", tmp_path / "moved"

    def act():
        out.rename(moved)
        if after == "another folder":
            out.mkdir()

    during_training(monkeypatch, act)
    with pytest.raises(ValueError, match="X' was moved or removed meanwhile"):
        runs.train(config(), out)
    assert not out.exists() or not list(out.iterdir())
    runs.resume(moved)
    assert result_of(moved) == finished[0]


def test_empty_folders_of_somebody_else_stay(run):
    """Only a run's own are removed with it."""
    mine = [run / name / "mine" for name in ("models", "figures", "tensorboard", ".")]
    for each in mine:
        each.mkdir()
    run_folder.clear(run)
    assert sorted(path for path in run.rglob("*") if path.name != "mine") == sorted(each.parent for each in mine[:-1])
    assert all(each.is_dir() for each in mine)


def test_parents_that_were_made_for_nothing_are_removed(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no equilibrium")

    monkeypatch.setattr(task, "solve", fail)
    with pytest.raises(ValueError, match="no equilibrium"):
        runs.train(config(), tmp_path / "a" / "b" / "X")
    assert not list(tmp_path.iterdir())


def test_one_that_has_just_locked_a_folder_is_waited_for(tmp_path):
    """It is held from the lock on, and says by whom a moment later."""
    said = json.dumps({"process": 7, "host": "there", "started": "now"})
    later = threading.Timer(0.3, (tmp_path / lock.HOLDER).write_text, (said,))
    with FileLock(tmp_path / lock.LOCK):
        later.start()
        with pytest.raises(ValueError, match="in use by process 7 on host there since now"), lock.locked(tmp_path):
            pass
        later.join()

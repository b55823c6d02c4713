"""Run directories lose nothing and mix nothing: claims, locks, replacements, links, signals, kills."""

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import read_scenario
from makertaker.training import IndependentLearners, cli, runs, task
from makertaker.training.common import lock, run_folder, stops
from support.interruptions import interrupt_after

BUDGET = 160
ARGUMENTS = ["acas", "--timesteps", str(BUDGET), "--steps", "5", "--markets", "8"]


def config(seed=0):
    given = read_scenario("acas")
    arguments = {"timesteps": BUDGET, "steps": 5, "markets": 8, "seed": seed}
    return runs.RunConfig(scenario=given.name, values=dict(given.values), **arguments)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Run directories by seed."""
    folders = {seed: tmp_path_factory.mktemp("undisturbed") / "run" for seed in (0, 1)}
    for seed, folder in folders.items():
        runs.train(config(seed), folder)
    return folders


@pytest.fixture
def finished(undisturbed):
    """What undisturbed trainings write, by seed."""
    return {seed: result_of(folder) for seed, folder in undisturbed.items()}


def result_of(folder):
    return {name: (folder / name).read_bytes() for name in ("config.json", "metrics.json", "history.csv")}


@pytest.fixture
def run(tmp_path, undisturbed):
    """A finished run of seed 0."""
    return shutil.copytree(undisturbed[0], tmp_path / "run")


def during_training(monkeypatch, act):
    """Do something in the middle of a training, once."""
    learn = IndependentLearners.learn

    def disturbed(*arguments, **keywords):
        monkeypatch.setattr(IndependentLearners, "learn", learn)
        learn(*arguments, **keywords)
        act()

    monkeypatch.setattr(IndependentLearners, "learn", disturbed)


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
    "checkpoint/state.pkl",
    "tensorboard/trader_0_1/events.out.tfevents.1",
)
NEW = ("config.json", "metrics.json", "models/trader_0.zip", "models/maker_0.zip", "checkpoint/state.pkl")
FOREIGN = ("notes.txt", "models/notes.txt", "tensorboard/trader_0_1/notes.txt")


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


def test_parents_that_were_made_for_nothing_are_removed(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no equilibrium")

    monkeypatch.setattr(task, "solve", fail)
    with pytest.raises(ValueError, match="no equilibrium"):
        runs.train(config(), tmp_path / "a" / "b" / "X")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def listening():
    """Signals as a shell leaves them: whoever runs the tests with nohup has SIGHUP ignored."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    for each in before:
        signal.signal(each, signal.SIG_DFL)
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_signals_save_what_was_learned(name, code, tmp_path, finished, monkeypatch):
    out, before = tmp_path / "X", signal.getsignal(signal.SIGTERM)
    during_training(monkeypatch, lambda: os.kill(os.getpid(), getattr(signal, name)))
    result = CliRunner().invoke(cli.app, ["train", *ARGUMENTS, "--out", str(out)])
    assert result.exit_code == code, result.output
    assert f"interrupted; go on with --resume --out {out}" in result.stderr
    assert signal.getsignal(signal.SIGTERM) is before
    shown = CliRunner().invoke(cli.app, ["evaluate", str(out), "--json"])
    assert json.loads(shown.stdout)["timesteps_done"] == 40, shown.output
    done = CliRunner().invoke(cli.app, ["train", "acas", "--resume", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert result_of(out) == finished[0]


KILLED = """
import os, signal, sys
from makertaker.training import IndependentLearners
from makertaker.training.cli import main
save, calls = IndependentLearners.save_checkpoint, []
def saving(*arguments):
    save(*arguments)
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
IndependentLearners.save_checkpoint = saving
main()
"""


def test_a_killed_run_is_evaluated_at_its_checkpoint_and_resumed(tmp_path, finished):
    out = tmp_path / "X"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "train", *ARGUMENTS, "--out", str(out)], timeout=100, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert (out / lock.HOLDER).exists()  # the lock of a dead process is taken over
    assert not (out / "models").exists()
    shown = CliRunner().invoke(cli.app, ["evaluate", str(out), "--json"])
    assert json.loads(shown.stdout)["timesteps_done"] == 80, shown.output
    assert CliRunner().invoke(cli.app, ["report", str(out)]).exit_code == 0
    runs.resume(out)
    assert result_of(out) == finished[0]


@stops.interrupting()
def hung_up_and_terminated_twice():
    os.kill(os.getpid(), signal.SIGHUP)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_so_and_a_second_one_does_not_interrupt_the_saving(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(stops.Stop) as raised:
            hung_up_and_terminated_twice()
        assert stops.exit_code(raised.value) == 143
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("file", "content", "act", "message"),
    [
        ("run.json", b"{}", runs.evaluate_run, "joint_market_steps: expected a number, got None"),
        ("run.json", b'{"joint_market_steps": "640"}', runs.evaluate_run, "expected a number, got '640'"),
        ("run.json", b"null", runs.evaluate_run, "run.json.* cannot be read"),
        ("config.json", b'{"scenario": "acas", "values": null}', runs.evaluate_run, "config.json.* cannot be read"),
        (
            "config.json",
            b'{"scenario": "acas", "values": {}, "algorithm": 5}',
            runs.resume,
            "config.json.*cannot be read",
        ),
        ("history.csv", b"timesteps\nmany", runs.evaluate_run, "history.csv.* cannot be read"),
        ("checkpoint/state.pkl", b"", runs.resume, "is corrupt"),
        ("checkpoint/state.pkl", pickle.dumps({}), runs.resume, r"is corrupt .* expected \['extra', .* got \[\]"),
        ("checkpoint/state.pkl", pickle.dumps([1]), runs.resume, "is corrupt .* got list"),
        ("checkpoint/record.json", b"{}", runs.evaluate_run, "record.json.* is of something else"),
        ("checkpoint/record.json", b'{"steps_done": 999, "extra": {}}', runs.evaluate_run, "record of .* 'history'"),
    ],
)
def test_files_of_other_types_are_one_line(run, file, content, act, message):
    (run / file).write_bytes(content)
    before = contents(run)
    with pytest.raises(ValueError, match=message) as raised:
        act(run)
    assert "\n" not in str(raised.value)
    assert contents(run) == before


@pytest.mark.parametrize("name", ["market", "hub", "spaces", "python"])
def test_a_checkpoint_with_a_part_of_another_type_is_refused(run, name):
    state = pickle.loads((run / "checkpoint" / "state.pkl").read_bytes())
    (run / "checkpoint" / "state.pkl").write_bytes(pickle.dumps({**state, name: 5}))
    with pytest.raises(ValueError, match=r"checkpoint .* is corrupt"):
        runs.resume(run)


def test_a_model_that_is_missing_is_named(run):
    (run / "models" / "trader_0.zip").unlink()
    with pytest.raises(ValueError, match=r"models/trader_0.zip': missing, .*: there is no such file$"):
        runs.evaluate_run(run)


@stops.interrupting()
def terminated_with_another_exception():
    """As Ray's waiting does."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


def test_the_signal_is_known_whatever_interrupt_comes_of_it():
    with pytest.raises(KeyboardInterrupt) as raised:
        terminated_with_another_exception()
    assert stops.exit_code(raised.value) == 143


def test_models_without_a_record_are_not_evaluated_under_an_older_one(tmp_path, undisturbed, monkeypatch):
    """Cut off between models and record, with models of step 120, a checkpoint and an older record of step 80."""
    out = tmp_path / "X"
    with monkeypatch.context() as patched:
        interrupt_after(patched, IndependentLearners, "save_checkpoint", 2)
        with pytest.raises(KeyboardInterrupt):
            runs.train(config(), out)
    expected = runs.evaluate_run(out).metrics
    assert expected["timesteps_done"] == 80
    models = contents(out / "models")
    with monkeypatch.context() as patched:
        interrupt_after(patched, IndependentLearners, "save_checkpoint", 1)
        patched.setattr(runs.files, "write_csv", lambda *_: (_ for _ in ()).throw(OSError("cut off")))
        with pytest.raises(OSError, match="cut off"):
            runs.resume(out)
    assert contents(out / "models") != models
    assert runs.evaluate_run(out).metrics == expected

"""Runs that were ended: by signals, by kills, and what is left of them when files are not what they were."""

import json
import os
import pickle
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.training import IndependentLearners, cli, runs
from makertaker.training.common import lock, stops
from support.interruptions import interrupt_after
from support.run_folders import ARGUMENTS, config, contents, during_training, result_of, without_digests

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def listening():
    """Signals as at a prompt: under nohup SIGHUP is ignored, and SIGINT in what a script runs in the background."""
    usual = {
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
    }
    before = {each: signal.signal(each, handler) for each, handler in usual.items()}
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
    assert f"interrupted; go on with makertaker train acas --resume --out {out}" in result.stderr
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
        ("run.json", b"{}", runs.evaluate_run, "run.json.* missing required field"),
        (
            "run.json",
            b'{"joint_market_steps": "640"}',
            runs.evaluate_run,
            r"Expected `int`, got `str` - at `\$.joint_market_steps`",
        ),
        ("run.json", b"null", runs.evaluate_run, "run.json.* cannot be read"),
        ("config.json", b'{"scenario": "acas", "values": null}', runs.evaluate_run, "config.json.* cannot be read"),
        (
            "config.json",
            b'{"scenario": "acas", "values": {}, "algorithm": 5}',
            runs.resume,
            "config.json.*cannot be read",
        ),
        ("config.json", b"[" * 10_000, runs.evaluate_run, "config.json.* cannot be read: maximum recursion depth"),
        ("history.csv", b"timesteps\nmany", runs.evaluate_run, "history.csv.* cannot be read"),
        ("history.csv", b"t,n,r\n" + b"1" * 200_000, runs.evaluate_run, "history.csv.* cannot be read: field larger"),
        ("checkpoint/state.pkl", b"", runs.resume, "is corrupt"),
        ("checkpoint/state.pkl", pickle.dumps({}), runs.resume, "is corrupt .*: state.pkl is not what was written"),
        ("checkpoint/maker_0.zip", b"PK", runs.resume, "is corrupt .*: maker_0.zip is not what was written"),
        ("checkpoint/record.json", b"{}", runs.evaluate_run, "record.json.* missing required field `extra`"),
        (
            "checkpoint/record.json",
            b'{"steps_done": 999, "extra": {}}',
            runs.evaluate_run,
            "its record.* missing required field `history`",
        ),
    ],
)
def test_files_of_other_types_are_one_line(run, file, content, act, message):
    if act is runs.resume:
        (run / "run.json").unlink()  # killed: what is complete is not resumed
    (run / file).write_bytes(content)
    before = contents(run)
    with pytest.raises(ValueError, match=message) as raised:
        act(run)
    assert "\n" not in str(raised.value)
    assert contents(run) == before


@pytest.mark.parametrize("name", ["market", "hub", "spaces", "python"])
def test_a_checkpoint_with_a_part_of_another_type_is_refused(run, name):
    state = pickle.loads((run / "checkpoint" / "state.pkl").read_bytes())
    (without_digests(run) / "state.pkl").write_bytes(pickle.dumps({**state, name: 5}))
    (run / "run.json").unlink()
    with pytest.raises(ValueError, match=r"checkpoint .* is corrupt"):
        runs.resume(run)


class Unreadable:
    """A pickle of it raises an error when it is read."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return raising, (self.error,)


def raising(error):
    raise error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({}), r"is corrupt .* expected \['extra', .* got \[\]"),
        (pickle.dumps([1]), "is corrupt .* got list"),
        (b"cnowhere\nnothing\n.", "is corrupt .* No module named 'nowhere'"),
        (b"cos\nnothing\n.", "is corrupt .* 'nothing'"),
        (b"h\xff.", "is corrupt .* 255"),
        *((pickle.dumps(Unreadable(each("reason"))), "is corrupt .* reason") for each in (MemoryError, OverflowError)),
    ],
)
def test_a_checkpoint_that_says_nothing_of_its_files_is_read_with_care(run, content, message):
    (run / "run.json").unlink()  # it is not complete
    (without_digests(run) / "state.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        runs.resume(run)


def test_a_checkpoint_without_digests_is_resumed(tmp_path, finished, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_after(patched, IndependentLearners, "save_checkpoint", 3)
        with pytest.raises(KeyboardInterrupt):
            runs.train(config(), tmp_path / "X")
    without_digests(tmp_path / "X")
    runs.resume(tmp_path / "X")
    assert result_of(tmp_path / "X") == finished[0]


@pytest.mark.parametrize("bit", [0, 40_000, 200_001])
def test_each_bit_of_a_checkpoint_counts(run, bit):
    """Also where what is read would only be other numbers."""
    (run / "run.json").unlink()  # it is not complete
    path = run / "checkpoint" / "state.pkl"
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is corrupt .*: state\.pkl is not what was written"):
        runs.resume(run)


def test_a_history_of_numbers_that_no_float_holds_is_one_line(run):
    """Of a run that was killed, whose checkpoint has its history."""
    (run / "run.json").unlink()
    record = json.loads((run / "checkpoint" / "record.json").read_text())
    record["extra"]["history"][0][1] = 10**400
    (run / "checkpoint" / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="cannot be read: Number out of range"):
        runs.evaluate_run(run)


@pytest.mark.parametrize(
    ("file", "read", "message"),
    [
        ("history.csv", runs.load_history, "expected a file, got a pipe or a device"),
        ("run.json", runs.load_circumstances, "expected a file, got a pipe or a device"),
        ("models/trader_0.safetensors", runs.load_policies, "trader_0.zip': of an earlier version"),
        ("checkpoint/trader_0.zip", runs.resume, "trader_0.zip is not what was written"),
    ],
)
def test_a_pipe_in_place_of_a_file_is_refused(run, file, read, message):
    """Nothing would ever come out of it."""
    (run / file).unlink()
    os.mkfifo(run / file)
    if read is runs.resume:
        (run / "run.json").unlink()  # it is not complete
    with pytest.raises(ValueError, match=message):
        read(run)


def test_a_model_that_is_missing_is_named(run):
    for suffix in ("zip", "safetensors"):
        (run / "models" / f"trader_0.{suffix}").unlink()
    with pytest.raises(ValueError, match=r"models/trader_0.safetensors': missing, .*: there is no such file$"):
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

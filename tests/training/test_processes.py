"""Tasks in processes of this machine, and sweeps on them, where there is no Ray."""

import json
import multiprocessing
import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("filelock")

from makertaker.training.common import workers
from makertaker.training.common.processes import Processes
from support.run_folders import ARGUMENTS, BUDGET, NOBODY_TRADES


def test_every_task_has_its_result():
    with Processes().run(operator.mul, [(2, 3), (5, 7), (11, 13)], 1) as ended:
        assert dict(ended) == {0: 6, 1: 35, 2: 143}
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("processors", [1, 4])
def test_a_process_that_dies_takes_nothing_along(processors, monkeypatch):
    """However many run beside it, no other task is blamed; what died once is done at the second try."""
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    dies = "__import__('os')._exit(1)"
    beside = "__import__('time').sleep(.2) or 42"
    tasks = [(dies,), (beside,), ("__import__('os').environ['OMP_NUM_THREADS']",), (beside,), (dies,), (beside,)]
    with Processes().run(eval, tasks, 1) as ended:
        found = dict(ended)
    assert [found[k] for k in (1, 3, 5)] == [42, 42, 42]
    assert int(found[2]) >= 1
    for task in (0, 4):
        assert isinstance(found[task], workers.Crashed)
        assert found[task].reason.startswith("its process died 3 times")
    assert not multiprocessing.active_children()


def test_a_task_whose_process_died_is_tried_again(tmp_path):
    first = tmp_path / "tried"
    task = f"__import__('os').path.exists({str(first)!r}) or (open({str(first)!r}, 'w'), __import__('os')._exit(1))"
    with Processes().run(eval, [(task,)], 1) as ended:
        assert dict(ended) == {0: True}


def test_an_interrupt_ends_the_processes():
    """They are asked to end, and would sleep for ten minutes."""

    def interrupted():
        with Processes().run(time.sleep, [(0,), (600,), (600,)], 1) as ended:
            next(ended)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not multiprocessing.active_children()


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Though it is killed, and cannot say so."""
    wait = (
        f"open({str(tmp_path)!r} + '/' + str(__import__('os').getpid()), 'w').close() or __import__('time').sleep(600)"
    )
    code = f"""
if __name__ == "__main__":
    from makertaker.training.common.processes import Processes
    with Processes().run(eval, [({wait!r},), ({wait!r},)], 1) as ended:
        list(ended)
"""
    (tmp_path / "driver.py").write_text(code)
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py")])
    until(lambda: any(path.name.isdigit() for path in tmp_path.iterdir()))
    driver.kill()
    driver.wait()
    until(lambda: not any(running(int(path.name)) for path in tmp_path.iterdir() if path.name.isdigit()))


def until(holds):
    """Wait for it, for half a minute."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def running(process):
    """True for one that has not ended; it may wait for somebody to ask how."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    told = Path(f"/proc/{process}/stat")
    return not (told.is_file() and ") Z " in told.read_text())


def test_processors_are_shared(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert [Processes().processors(tasks) for tasks in (1, 3, 8, 100)] == [8, 2, 1, 1]


def test_an_address_needs_ray(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    monkeypatch.delitem(__import__("sys").modules, "makertaker.training.common.cluster", raising=False)
    with (
        pytest.raises(ImportError, match=r"this needs ray: pip install '\.\[ray\]'"),
        workers.opened("10.0.0.1:6379"),
    ):
        pass


def test_a_sweep_without_ray_is_the_same_table(tmp_path, monkeypatch, command, finished):
    """What fails is told, and the exit code says so; what is done is not done again."""
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    (tmp_path / "nobody.toml").write_text(NOBODY_TRADES)
    out = tmp_path / "out"
    asked = ("sweep", str(tmp_path / "nobody.toml"), *ARGUMENTS, "--seeds", "1", "--out", str(out), "--json")
    code, printed, _ = command(*asked)
    assert code == 1
    failed, done = json.loads(printed)["rows"]
    assert (failed["status"], done["status"], done["timesteps"]) == ("failed", "done", BUDGET)
    assert "all equilibrium payoffs are zero" in failed["note"]
    assert (out / "runs" / "acas-ppo-0" / "metrics.json").read_bytes() == finished[0]["metrics.json"]
    assert json.loads(finished[0]["metrics.json"])["relative_nash_conv"] == done["relative_nash_conv"]
    before = (out / "runs" / "acas-ppo-0" / "metrics.json").stat().st_mtime_ns
    code, again, _ = command(*asked)
    assert (code, again) == (1, printed)
    assert (out / "runs" / "acas-ppo-0" / "metrics.json").stat().st_mtime_ns == before

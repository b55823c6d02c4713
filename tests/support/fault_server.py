"""A process that has imported everything, and forks for each command: what a command does to files can be disturbed.

It reads jobs from standard input, one JSON document a line, and answers each with one line. A job has

- ``folder``: what is watched, and the working folder;
- ``commands``: arguments of ``makertaker``, one list for each, run in one process in turn;
- ``at_once``: true if each of them has a process of its own, all at the same time; the answer is then a list;
- ``fault``: kind and place, see :class:`Watch`; None: nothing happens;
- ``limit``: of the size of a file in bytes; None: there is none.

The answer has the exit ``code`` (negative: the signal) of the process, the exit ``codes`` of its commands, what it
``said`` on standard error and standard output, and the ``points`` at which it changed files, in order.
"""

import builtins
import errno
import fcntl
import io
import json
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import types
from collections import Counter
from functools import partial
from importlib.machinery import ModuleSpec

SMALL = ("--timesteps", "64", "--steps", "5", "--markets", "4", "--hp", "ppo.net_arch=[4]", "--hp", "ppo.n_epochs=1")
HANGS_AFTER = 120
"""seconds"""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NEEDS_SPACE = ("open", "write", "fsync", "mkdir")
_KEPT = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", "os.link", "os.symlink")


class Watch:
    """Calls that change files below a folder, and what happens at one of them.

    A point is an operation, a path and the number of times that this was done to it: ``write checkpoint/state.pkl 0``.
    Parts of names that differ from run to run are ``*``. The fault's kind is a signal's name: it comes before the
    operation, in the middle of a write; or the name of an error of the system: the operation fails so once, and with
    ``ENOSPC`` everything after it that needs space.
    """

    def __init__(self, folder, fault):
        self.folder, self.kind, self.place = os.path.realpath(folder), *(fault or (None, None))
        self.points, self.seen, self.full, self.active = [], Counter(), False, True

    def install(self):
        """In this process, for good."""
        sys.addaudithook(self._audit)
        fsync, opened = os.fsync, io.open
        watch = self

        class Raw(io.FileIO):
            def write(self, data):
                inner = super()
                watch.at("write", self.name, cut=lambda: inner.write(bytes(data)[: len(data) // 2]))
                return inner.write(data)

        def synced(file):
            watch.at("fsync", file)
            return fsync(file)

        def watched(file, mode="r", buffering=-1, *arguments, **keywords):
            binary = "b" in mode and mode != "rb" and isinstance(file, str | os.PathLike)
            if not binary or buffering == 0 or watch.within(file) is None:
                return opened(file, mode, buffering, *arguments, **keywords)
            raw = Raw(os.fspath(file), mode.replace("b", ""))
            return (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)

        os.fsync, builtins.open, io.open = synced, watched, watched

    def within(self, path, folder=-1):
        """The path within the folder, without what differs from run to run; None elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        if isinstance(folder, int) and folder >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
        path = os.path.abspath(os.fsdecode(path))
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if not path.startswith(self.folder + os.sep):
            return None
        found = os.path.relpath(path, self.folder)
        return re.sub(r"\b[0-9a-f]{12}\b", "*", re.sub(r"tfevents\..*", "tfevents.*", found))

    def _audit(self, event, arguments):
        if not self.active:
            return
        if event == "open":
            path, _, flags = arguments
            if (flags & _WRITING) and not isinstance(path, int):
                self.at("open", path)
        elif event in _KEPT:
            path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
            folder = arguments[-1] if event in ("os.mkdir", "os.rmdir", "os.remove") else -1
            self.at(event.removeprefix("os."), path, folder)

    def at(self, operation, path, folder=-1, cut=None):
        """Note a point; do there what is asked for."""
        if not self.active or (name := self.within(path, folder)) is None:
            return
        number = self.seen[operation, name]
        self.seen[operation, name] += 1
        point = f"{operation} {name} {number}"
        self.points.append(point)
        if point == self.place:
            if cut is not None:
                cut()
            if self.kind.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, self.kind))
                return
            self.full = self.kind == "ENOSPC"
            raise OSError(getattr(errno, self.kind), os.strerror(getattr(errno, self.kind)), str(path))
        if self.full and operation in _NEEDS_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _ray():
    """In place of Ray: tasks that are done in this process when they are waited for."""
    ray = types.ModuleType("ray")
    ray.__spec__ = ModuleSpec("ray", None)
    ray.nodes = lambda: [{"Alive": True, "Resources": {"CPU": 1}}]
    ray.cluster_resources = lambda: {"CPU": 1}
    ray.is_initialized = lambda: True
    ray.get_runtime_context = lambda: types.SimpleNamespace(gcs_address="here")
    ray.remote = lambda **_: lambda function: types.SimpleNamespace(remote=lambda *given: partial(function, *given))
    ray.wait = lambda running: (running[:1], running[1:])
    ray.get = lambda task: task()
    ray.cancel = lambda *_, **__: None
    ray.exceptions = types.SimpleNamespace(RayError=RuntimeError)
    return ray


class _Drawn:
    """In place of a figure, whose drawing takes most of a command's time."""

    def savefig(self, file, **_):
        file.write(b"drawn")


def _warm():
    """All imports, and what they do at first use."""
    from makertaker.envs import text
    from makertaker.training.evaluation import plots

    sys.modules["ray"] = _ray()
    plots.comparison = plots.learning = lambda *_: _Drawn()
    plots.save_sweep = lambda _, path: text.write(path, b"drawn")
    with tempfile.TemporaryDirectory() as folder:
        said, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), (told := io.StringIO())
        run = f"{folder}/run"
        try:
            codes = [_command(["train", "acas", *SMALL, "--out", run]), _command(["report", run])]
            codes += [_command(["sweep", "acas", *SMALL, "--seeds", "1", "--out", f"{folder}/sweep"])]
        finally:
            sys.stdout, sys.stderr = said
    assert codes == [0, 0, 0], told.getvalue()


def _command(arguments):
    from makertaker.training import cli

    sys.argv = ["makertaker", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _child(job, out):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    signal.alarm(HANGS_AFTER)
    os.chdir(job["folder"])
    for stream in (1, 2):
        os.dup2(out.fileno(), stream)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8", write_through=True)
    if job.get("limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    watch = Watch(job["folder"], job.get("fault"))
    watch.install()
    answer = {"codes": [], "points": watch.points}
    for arguments in job["commands"]:
        answer["codes"].append(_command(arguments))
    watch.active = False
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    return answer


def _started(job):
    """A process that does the job: its number, and the pipes on which it tells and says."""
    told, said = os.pipe(), os.pipe()
    for each in (told, said):  # it ends although nobody reads
        fcntl.fcntl(each[1], fcntl.F_SETPIPE_SZ, 2**20)
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(said[1], "wb", 0) as out, os.fdopen(told[1], "wb") as file:
                file.write(json.dumps(_child(job, out)).encode())
        finally:
            os._exit(0)
    for each in (told, said):
        os.close(each[1])
    return child, told[0], said[0]


def _ended(child, told, said):
    _, status = os.waitpid(child, 0)
    with os.fdopen(told, "rb") as file, os.fdopen(said, "rb") as out:
        found = json.loads(file.read() or '{"codes": [], "points": []}')
        return {**found, "code": os.waitstatus_to_exitcode(status), "said": out.read().decode()}


def _run(job):
    if not job.get("at_once"):
        return _ended(*_started(job))
    return [_ended(*each) for each in [_started({**job, "commands": [one]}) for one in job["commands"]]]


def main():
    """Until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _warm()
    deadline = time.monotonic() + 30  # a thread that draws progress ends a little after its command
    while threading.active_count() > 1:  # only then may a process be forked
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Commands on run directories that are disturbed at one of the places where they change files."""

import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

from . import fault_server

SHORT = ("acas", *fault_server.SMALL, "--out", "X")
TRAIN = ("train", *SHORT)
OTHER = ("train", *SHORT, "--seed", "1")
REPLACE = (*TRAIN, "--overwrite")
RESUME = ("train", "acas", "--resume", "--out", "X")
SWEEP = ("sweep", *SHORT[:-1], "S", "--seeds", "2")
EVALUATE, REPORT = ("evaluate", "X"), ("report", "X")
CODES = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
FOREIGN = ("notes.txt", "models/notes.txt", "figures/mine.png", "tensorboard/notes.txt")
HALF_WAY = "open X/checkpoint.new/trader_0.zip 3"
"""the last but one checkpoint is about to be written; two have been"""


class Server:
    """A :mod:`fault_server`, to be closed after use."""

    def __init__(self):
        command = [sys.executable, fault_server.__file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, folder, *commands, **others):
        """What a process said and did that ran these commands in turn; see :mod:`fault_server`."""
        job = {"folder": str(folder), "commands": commands, **others}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def files_of(folder):
    """Contents by path, without locks."""
    found = {str(path.relative_to(folder.parent)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if Path(name).name not in (".lock", ".holder.json")}


def result_of(run):
    """What a training computes: the same bits whatever happened to it."""
    files = {name: (run / name).read_bytes() for name in ("config.json", "metrics.json", "history.csv")}
    models = {path.name: zipfile.ZipFile(path).read("policy.pth") for path in sorted((run / "models").glob("*.zip"))}
    return files | models


def left_over(run):
    """Names of files that are there for a moment only."""
    ends, names = (".new", ".old", "writing"), [str(path.relative_to(run)) for path in run.rglob("*")]
    return [name for name in names if name.endswith(ends) or "/." in f"/{name}"]


class Situations:
    """Folders in which commands begin, by name, and what they lead to.

    A ``fresh`` folder is empty; a ``finished`` run is of seed 0, an ``older`` one of seed 1, with files of somebody
    else; an ``interrupted`` one of seed 0 has half of its checkpoints, a ``replacing`` one half of seed 0 within the
    older one.
    """

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        for name in ("fresh", "finished", "older", "interrupted", "replacing"):
            (folder / name).mkdir(parents=True)
        done(server(folder / "finished", TRAIN))
        done(server(folder / "older", OTHER, REPORT))
        self.results = {seed: result_of(folder / name / "X") for seed, name in enumerate(("finished", "older"))}
        for name in FOREIGN:
            (folder / "older" / "X" / name).write_text("mine")
        shutil.copytree(folder / "older", folder / "replacing", dirs_exist_ok=True)
        assert server(folder / "interrupted", TRAIN, fault=("SIGKILL", HALF_WAY))["code"] == -9
        partial = HALF_WAY.replace("X/", "X/.partial/")
        assert server(folder / "replacing", REPLACE, fault=("SIGKILL", partial))["code"] == -9

    def copy(self, name, folder):
        """A folder to begin in."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / name, folder)
        return folder


def done(answer):
    """The answer of commands that succeeded."""
    assert not any([answer["code"], *answer["codes"]]), answer["said"]
    return answer


def disturbed(situations, name, command, folder, fault=None, limit=None):
    """Disturb a command; then evaluate, train and resume: what is left is whole, and leads to the undisturbed end."""
    server, run = situations.server, situations.copy(name, folder) / "X"
    before = files_of(run)
    answer = server(folder, command, fault=fault, limit=limit)
    said, (code,) = answer["said"], answer["codes"] or [answer["code"]]
    assert "Traceback" not in said, said[-700:]
    assert fault is None or not answer["codes"] or fault[1] in answer["points"], "it never came there"
    if fault is not None and fault[0].startswith("SIG"):
        allowed = [0, CODES[fault[0]]] if command[0] == "train" else [0, CODES[fault[0]], -getattr(signal, fault[0])]
        assert code in allowed, (code, said)
    else:
        assert code in (0, 2), (code, said)
        assert code == 0 or "makertaker: " in said.splitlines()[-1], said
    foreign = {each: (run / each).read_bytes() for each in FOREIGN if (run / each).exists()}
    assert len(foreign) == (len(FOREIGN) if name in ("older", "replacing") else 0)
    if code == 0:
        assert result_of(run) == situations.results[0 if name != "older" or "--overwrite" in command else 1]

    after, looked = files_of(run), server(folder, EVALUATE)
    one_line(looked)
    if name in ("older", "replacing"):
        assert looked["codes"] == [0], looked["said"]
        if json.loads((run / "config.json").read_bytes())["seed"] == 1:
            stay = {each for each in before if ".partial" not in each}
            if command == REPORT:
                stay.remove("X/report.html")
            assert [each for each in stay if after.get(each) != before[each]] == []
        else:
            assert result_of(run) == situations.results[0]
            assert not {each for each in before if "report.html" in each} & set(files_of(run))
    if name in ("finished", "interrupted"):
        assert looked["codes"] == [0], looked["said"]

    again = server(folder, RESUME)
    one_line(again)
    if again["codes"] != [0]:
        assert "--resume --out" not in said
        assert name in ("fresh", "older", "replacing")
        assert not (run / "config.json").exists() or "--overwrite" in again["said"], again["said"]
        done(server(folder, REPLACE))
    if json.loads((run / "config.json").read_bytes())["seed"] == 1:
        assert "--resume --out" not in said, said
        assert result_of(run) == situations.results[1]
        if "--overwrite" in command:
            done(server(folder, REPLACE))
    if command[0] == "train" or name != "older":
        assert result_of(run) == situations.results[0]
    assert {each: (run / each).read_bytes() for each in foreign} == foreign
    assert not left_over(run), left_over(run)


def sweep_disturbed(situations, folder, fault):
    """Disturb a sweep of two seeds; the same command then completes it."""
    server, run = situations.server, situations.copy("fresh", folder) / "S"
    answer = server(folder, SWEEP, fault=fault)
    code = (answer["codes"] or [answer["code"]])[0]
    assert "Traceback" not in answer["said"], answer["said"][-700:]
    assert code in ((0, CODES[fault[0]]) if fault[0].startswith("SIG") else (0, 1, 2)), (code, answer["said"])
    done(server(folder, SWEEP))
    for seed, expected in situations.results.items():
        assert result_of(run / "runs" / f"acas-ppo-{seed}") == expected
    rows = (run / "table.csv").read_text().splitlines()
    assert [row.split(",")[2:4] for row in rows[1:]] == [["0", "done"], ["1", "done"]]
    assert not left_over(run), left_over(run)


def both(situations, name, commands, folder):
    """Two commands at once: each succeeds or says in one line why not, and what is there is of one run."""
    run = situations.copy(name, folder) / "X"
    answers = situations.server(folder, *commands, at_once=True)
    for each in answers:
        assert each["code"] == 0, each
        assert each["codes"][0] in (0, 2), each["said"]
        assert "Traceback" not in each["said"], each["said"][-700:]
        if each["codes"] == [2]:
            assert re.search("makertaker: .* (in use by process|exists; choose)", each["said"]), each["said"]
    assert [0] in [each["codes"] for each in answers], answers
    assert result_of(run) in list(situations.results.values())
    assert not left_over(run), left_over(run)
    assert not [path for path in run.iterdir() if path.name.startswith(".")]
    for each in FOREIGN if name in ("older", "replacing") else ():
        assert (run / each).read_text() == "mine"


def one_line(answer):
    """The command succeeded or says in one line what is wrong."""
    assert answer["code"] == 0, answer
    assert "Traceback" not in answer["said"], answer["said"][-700:]
    assert answer["codes"][0] in (0, 2), answer["said"]
    if answer["codes"] == [2]:
        assert answer["said"].startswith("makertaker: "), answer["said"]
        assert answer["said"].count("\n") == 1, answer["said"]

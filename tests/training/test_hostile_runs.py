"""Run directories that somebody else made: to evaluate and report runs nothing in them, and writes nowhere else."""

import base64
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.training import runs
from support.run_folders import contents, without_digests

WORD = "HOSTILE"
PROGRAM = """
import json, sys
seen = []
def hook(event, arguments):
    if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn"):
        seen.append([event, repr(arguments)[:200]])
    elif event in ("exec", "compile", "subprocess.Popen", "import"):
        text = repr([getattr(each, "co_consts", each) for each in arguments])
        if "HOSTILE" in text:
            seen.append([event, text[:200]])
sys.addaudithook(hook)
from makertaker.training import runs
from makertaker.training.evaluation import plots
class Drawn:  # in place of a figure, whose drawing takes most of the time
    def savefig(self, file, **_):
        file.write(b"drawn")
plots.comparison = plots.learning = lambda *_: Drawn()
found = {}
for act, folder in json.loads(sys.argv[1]):
    seen.clear()
    try:
        if act == "report":
            said = str(runs.write_report(folder))
        elif act == "resume":
            said = runs.resume(folder).metrics
        else:
            said = runs.evaluate_run(folder, trust=act == "trust").metrics
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    found[f"{act} {folder}"] = [said, list(seen)]
print(json.dumps(found))
"""


class Payload:
    """Makes a file when it is loaded, in one of two ways."""

    def __init__(self, marker, way):
        self.marker, self.way = str(marker), way

    def __reduce__(self):
        if self.way == "exec":
            return exec, (f"open({self.marker!r}, 'w').write({WORD!r})",)
        return os.system, (f"echo {WORD} > {self.marker}",)


def zipped(path, payload):
    """A model of stable-baselines3 with the payload wherever a pickle can be."""
    with zipfile.ZipFile(path) as archive:
        stored = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(stored["data"])
    for entry in data.values():
        if isinstance(entry, dict) and ":serialized:" in entry:
            entry[":serialized:"] = base64.b64encode(payload).decode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in {**stored, "data": json.dumps(data).encode()}.items():
            archive.writestr(name, payload if name.endswith(".pth") else content)
    return written.getvalue()


def pickles(run, payload):
    """Put the payload into every file of a run that is a pickle, or could be one."""
    for path in run.glob("*/*.zip"):
        path.write_bytes(zipped(path, payload))
    beside = [f"{folder}/{name}.{suffix}" for folder in ("models", "checkpoint") for name in ("trader_0", "maker_0")
              for suffix in ("pt", "pkl", "replay.pkl")]  # fmt: skip
    others = ["checkpoint/state.pkl", "tensorboard/trader_0_1/events.out.tfevents.1", "checkpoint/rllib/state.pkl"]
    for name in [*beside, *others]:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(payload)
    for name in ("checkpoint.new", "checkpoint.old", ".partial"):
        shutil.copytree(run / "checkpoint", run / name)


def numbers(run, payload):
    for path in run.glob("*/*.safetensors"):
        path.write_bytes(payload)


def killed(run, payload):
    (run / "run.json").unlink()
    shutil.rmtree(run / "models")


def between(run, payload):
    """A killed exchange of checkpoints."""
    killed(run, payload)
    (run / "checkpoint").rename(run / "checkpoint.gone")


def replacement(name):
    def damage(run, payload):
        shutil.copytree(run, run.parent / "copy")
        (run.parent / "copy").rename(run / name)

    return damage


def text(name):
    return lambda run, payload: (run / name).write_bytes(payload)


def older(run, payload):
    without_digests(run)
    for path in run.glob("*/*.safetensors"):
        path.unlink()


DAMAGES = {
    "pickles": (lambda *_: None, None),
    "numbers": (numbers, "no file of numbers"),
    "older": (older, "--trust"),
    "killed": (killed, None),
    "between": (between, None),
    "complete": (replacement(".complete"), None),
    "moving": (replacement(".moving"), None),
    **{name: (text(name), name) for name in ("config.json", "run.json", "history.csv")},
    "record": (text("checkpoint/record.json"), "record.json"),
}


WAYS = ("exec", "system")
ACTS = ("evaluate", "report")


def performed(*asked):
    """Results, or errors, and what a process under watch did for them, by act and folder."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([(act, str(folder)) for act, folder in asked])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def hostile(undisturbed, tmp_path_factory):
    """A folder with a directory for each damage and payload, and what became of them."""
    folder, asked = tmp_path_factory.mktemp("hostile"), []
    for damage, (act, _) in DAMAGES.items():
        for way in WAYS:
            run = shutil.copytree(undisturbed[0], folder / damage / way)
            content = pickle.dumps(Payload(folder / f"{damage}.{way}.marker", way))
            pickles(run, content)
            act(run, content)
            asked += [(each, run) for each in ACTS]
    return folder, performed(*asked)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_in_a_directory_is_run(damage, way, hostile, finished):
    folder, found = hostile
    message = DAMAGES[damage][1]
    for act in ACTS:
        said, events = found[f"{act} {folder / damage / way}"]
        assert events == []
        if message is not None:
            assert said.startswith("ValueError: ")
            assert message in said
            assert "\n" not in said
        elif act == "evaluate":
            assert said == json.loads(finished[0]["metrics.json"])
        else:
            assert said.endswith("report.html")
    assert not (folder / f"{damage}.{way}.marker").exists()


def test_the_payloads_are_some(undisturbed, tmp_path):
    """With trust, and when a training is resumed, they are run: what is tested above could happen."""
    asked = []
    for act in ("trust", "resume"):
        for way in WAYS:
            run = shutil.copytree(undisturbed[0], tmp_path / act / way)
            content = pickle.dumps(Payload(tmp_path / f"{act}.{way}.marker", way))
            pickles(run, content)
            older(run, content)
            asked.append((act, run))
    for (act, run), (said, events) in zip(asked, performed(*asked).values(), strict=True):
        assert "ValueError" in said  # it was no model either
        assert "pickle.find_class" in {name for name, _ in events}
        assert (tmp_path / f"{act}.{run.name}.marker").exists()


LINKED = ("metrics.json", "report.html", "figures", "figures/comparison.png", ".lock", ".holder.json")


@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_through_a_link_out_of_the_directory(name, run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    target = outside if name == "figures" else outside / "precious"
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    before = contents(tmp_path)
    for act in (runs.evaluate_run, runs.write_report):
        with pytest.raises(ValueError, match=rf"run: .*{name}' is a link") as raised:
            act(run)
        assert "\n" not in str(raised.value)
        assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".complete", ".moving", ".moving/models"])
def test_nothing_is_moved_through_a_link(name, run, tmp_path):
    """Neither what a link leads to, nor what would come into its place."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(outside)
    with suppress(ValueError, OSError):
        runs.evaluate_run(run)
    assert contents(outside) == {"precious": b"keep"}


def test_a_replacement_moves_nothing_to_where_a_link_leads(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(run / "models")
    (run / "models").symlink_to(outside)
    (tmp_path / "copy").rename(run / ".moving")
    runs.evaluate_run(run)
    assert list(outside.iterdir()) == []
    assert (run / "models" / "trader_0.safetensors").is_file()


def test_files_are_not_removed_through_a_link(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "events.out.tfevents.1").write_text("keep")
    shutil.copytree(run, tmp_path / "copy")
    (run / "tensorboard").mkdir(exist_ok=True)
    (run / "tensorboard" / "linked").symlink_to(outside)
    (tmp_path / "copy").rename(run / ".complete")
    runs.evaluate_run(run)
    assert contents(outside) == {"events.out.tfevents.1": b"keep"}

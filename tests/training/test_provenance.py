"""The commit of the source, and changes beside it."""

import importlib.util
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from makertaker.training.common import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def copied(tmp_path):
    """A folder like the package's, with the module that finds its commit, which is what it returns and git."""
    path = tmp_path / "training" / "common" / "provenance.py"
    path.parent.mkdir(parents=True)
    shutil.copy(provenance.__file__, path)
    (tmp_path / "envs").mkdir()
    spec = importlib.util.spec_from_file_location("copied", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def git(*arguments):
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return module.origin, git, tmp_path


def commit(found):
    return found["commit"], found["dirty"]


def test_the_commit_is_that_of_the_source(copied):
    origin, git, folder = copied
    assert commit(origin()) == (None, None)
    git("init")
    (folder / "notes.txt").write_text("of somebody who has the package in an environment within a repository")
    git("add", "notes.txt")
    git("commit", "-m", "first")
    assert commit(origin()) == (None, None)
    git("add", "training")
    git("commit", "-m", "second")
    (folder / "notes.txt").write_text("not the source")
    assert commit(origin()) == (git("rev-parse", "HEAD"), False)
    (folder / "envs" / "new.py").write_text("")
    assert commit(origin()) == (git("rev-parse", "HEAD"), True)


def test_a_gpu_is_named_where_jax_computes(monkeypatch):
    jax = pytest.importorskip("jax")
    kinds = [("gpu", "NVIDIA H100"), ("gpu", "NVIDIA H100"), ("cpu", "cpu")]
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform=p, device_kind=k) for p, k in kinds])
    alone = provenance.origin()["processor"]
    assert "NVIDIA" not in alone
    assert provenance.origin(["jax"])["processor"] == f"{alone}, NVIDIA H100"


def test_without_git_there_is_no_commit(copied, monkeypatch):
    origin, git, _ = copied
    git("init")
    git("add", "training")
    git("commit", "-m", "first")
    monkeypatch.setenv("PATH", "")
    assert commit(origin()) == (None, None)


def test_the_machine_is_told():
    found = provenance.origin(["rich"])
    assert found["processor"].strip()
    assert found["cores"] >= 1
    assert {"makertaker", "numpy", "rich"} <= found["versions"].keys()

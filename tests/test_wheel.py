"""A wheel built from the tree holds every module, scenario and py.typed, and works in an empty environment."""

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("envs", "baselines", "training")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no stale ``build`` folder gets in and none is left behind."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(source / "dist"),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_whole_tree(wheel):
    expected = {
        f"makertaker/{path.relative_to(ROOT).as_posix()}"
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".toml") or path.name == "py.typed"
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("makertaker/")}
    assert names == expected


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    run = tmp_path / "venv" / "bin"
    subprocess.run([run / "pip", "install", "--quiet", wheel], check=True, cwd=tmp_path)
    solved = subprocess.run(
        [run / "makertaker", "solve", "acas", "--json"], check=True, capture_output=True, cwd=tmp_path
    )
    assert json.loads(solved.stdout)["residual"] < 1e-10
    program = (
        "import importlib.util; from makertaker.envs import acas_v0; env = acas_v0.parallel_env(steps=2);"
        "env.reset(seed=0); env.step({a: env.action_space(a).sample() for a in env.agents});"
        "assert importlib.util.find_spec('torch') is None"
    )
    subprocess.run([run / "python", "-c", program], check=True, cwd=tmp_path)
    refused = subprocess.run(
        [run / "makertaker", "train", "acas", "--out", "x"], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "pip install 'makertaker[train]'" in refused.stderr

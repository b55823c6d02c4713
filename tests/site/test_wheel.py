"""A wheel built from the tree holds every module, scenario and py.typed, and works in an empty environment."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
        if path.suffix in (".py", ".toml", ".html", ".css", ".js") or path.name == "py.typed"
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("makertaker/")}
    assert names == expected


NO_TORCH = "import importlib.util; assert importlib.util.find_spec('torch') is None;"
PLAY = (
    "from makertaker.envs import acas_v0; env = acas_v0.parallel_env(steps=2, render_mode='rgb_array');"
    "env.reset(seed=0); env.step({a: env.action_space(a).sample() for a in env.agents});"
)
GAME = "from makertaker.envs import load_scenario; game = load_scenario('acas');"
BUDGET = "--timesteps 2560 --out"
FEATURES = {
    "": ["makertaker solve acas --json", f"python -c {shlex.quote(NO_TORCH + PLAY)}"],
    "plots": [f"python -c {shlex.quote(NO_TORCH + PLAY + 'assert env.render().ndim == 3')}"],
    "train": [
        f"makertaker train acas {BUDGET} run",
        "makertaker evaluate run --json",
        "makertaker report run",
        f"makertaker sweep acas --seeds 2 {BUDGET} swept",
        "makertaker compare run swept --to page.html",
    ],
    "jax": [
        "python -c "
        + shlex.quote(
            f"{NO_TORCH} {GAME} import jax; from makertaker.envs.jax_env import JaxMarket;"
            "env = JaxMarket(game, steps=5);"
            "print(jax.jit(env.reset)(jax.random.key(0), env.default_params)[0])"
        )
    ],
    "torchrl": [
        "python -c "
        + shlex.quote(
            f"{GAME} from makertaker.envs.torchrl_env import TorchMarket;"
            "print(TorchMarket(game, 4, steps=5).rollout(5)['next', 'maker', 'reward'].shape)"
        )
    ],
    "ray": [
        f"makertaker train acas --engine ray {BUDGET} run --json",
        "makertaker report run",
        f"makertaker sweep acas --algorithm ppo --seeds 1 {BUDGET} swept",
    ],
}
"""what each extra is for, with nothing installed but itself"""
HINTS = {
    "plots": [f"python -c {shlex.quote(PLAY + 'env.render()')}"],
    "train": [
        "makertaker train acas --out x",
        "makertaker sweep acas --out x",
        "makertaker evaluate x",
        "python -m makertaker.training.cli report x",
    ],
    "jax": ["python -c 'import makertaker.envs.jax_env'"],
    "torchrl": ["python -c 'import makertaker.envs.torchrl_env'"],
    "ray": [
        "makertaker train acas --engine ray --out x",
        "python -c 'import makertaker.training.rllib'",
    ],
}
"""what is said where an extra is missing"""


def installed(wheel, folder, extra):
    """Run commands in an environment that holds the wheel with one extra, and no more."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip = [programs / "python", "-m", "pip", "install", "--quiet"]
    if extra in ("train", "torchrl", "ray"):  # first: pip then leaves the build it has
        torch = os.environ.get("TORCH", "torch==2.13.0").split()
        subprocess.run([*pip, *torch], check=True, cwd=folder)
    subprocess.run([*pip, f"{wheel}[{extra}]" if extra else wheel], check=True, cwd=folder)

    def run(command):
        program, *arguments = shlex.split(command)
        environment = os.environ | {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [programs / program, *arguments], check=False, capture_output=True, text=True, cwd=folder, env=environment
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("extra", list(FEATURES), ids=lambda extra: extra or "core")
def test_each_extra_works_by_itself(wheel, tmp_path, extra):
    run = installed(wheel, tmp_path, extra)
    for command in FEATURES[extra]:
        done = run(command)
        assert done.returncode == 0, done.stderr
    if not extra:
        assert json.loads(run(FEATURES[""][0]).stdout)["residual"] < 1e-10
        for missing, commands in HINTS.items():
            for command in commands:
                refused = run(command)
                assert refused.returncode != 0
                last = refused.stderr.strip().splitlines()[-1]
                assert f"pip install '.[{missing}]'" in last, command
                if command.startswith("makertaker"):
                    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)

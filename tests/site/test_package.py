"""The package's shape: what imports what, and what is shipped."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("envs", "baselines", "training")  # each may import itself and those before it
SKIPPED = {"build", "dist", "runs", "__pycache__"}


def files(*patterns, under=ROOT):
    """Files of the repository, without hidden and generated folders."""
    found = [path for pattern in patterns for path in under.rglob(pattern)]
    return [
        path
        for path in sorted(found)
        if not any(part.startswith(".") or part in SKIPPED for part in path.relative_to(ROOT).parts)
    ]


def imported(path):
    """Full names of the modules that a file of the package imports, wherever in the file."""
    package = ["makertaker", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = [*base, node.module] if node.module else base
            yield from (".".join([*module, alias.name]) for alias in node.names)


@pytest.mark.parametrize("module", ["makertaker.envs", "makertaker.baselines"])
def test_importing_loads_no_heavy_library(module):
    heavy = {"torch", "stable_baselines3", "sb3_contrib", "matplotlib", "jax", "plotly", "ray", "torchrl", "benchmarl"}
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer):
    above = {f"makertaker.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]}
    modules = files("*.py", under=ROOT / layer)
    assert modules
    upward = {
        (str(path.relative_to(ROOT)), name)
        for path in modules
        for name in imported(path)
        if ".".join(name.split(".")[:2]) in above
    }
    assert upward == set()


def test_nobody_imports_the_folders_by_their_bare_names():
    """``import envs`` would collide with half of the field's repositories; the package is ``makertaker.envs``."""
    bare = re.compile(rf"^\s*(?:>>> )?(?:from ({'|'.join(LAYERS)})[\w.]* import|import ({'|'.join(LAYERS)})\b)", re.M)
    checked = files("*.py", "*.md")
    assert Path(__file__).resolve() in checked
    assert [str(path.relative_to(ROOT)) for path in checked if bare.search(path.read_text(encoding="utf-8"))] == []
    assert bare.search("import envs")
    assert bare.search("    from training.cli import main")


@pytest.mark.parametrize("layer", LAYERS)
def test_every_folder_with_code_or_data_is_a_package_and_typed(layer):
    folders = {path.parent for path in files("*.py", "*.toml", under=ROOT / layer)}
    assert ROOT / layer in folders
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
    assert (ROOT / layer / "py.typed").is_file()


@pytest.mark.parametrize("module", ["makertaker.envs", "makertaker.baselines"])
def test_public_names_exist_and_are_sorted(module):
    package = importlib.import_module(module)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert package.__all__ == sorted(package.__all__)


PROMISED = (
    *("Noise", "Policy", "State", "Step", "Trajectory", "advance", "agent_controls", "agent_index", "check_controls"),
    *("check_names", "check_steps", "factor_path", "grid", "inventory_shocks", "join_actions", "join_controls"),
    *("rollout", "simulate", "split_controls", "squared_integral", "step", "step_reward", "terminal_reward"),
)


@pytest.mark.parametrize("name", PROMISED)
def test_the_kernel_keeps_its_names(name):
    """Whoever writes an environment takes them from here, wherever they are written down."""
    assert hasattr(importlib.import_module("makertaker.envs.grid"), name)


@pytest.mark.parametrize("module", ["makertaker.envs", "makertaker.baselines", "makertaker.training.task"])
def test_an_old_numpy_gets_one_line(module):
    code = f"import numpy; numpy.__version__ = '2.0.2'; import {module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last == "ImportError: makertaker needs NumPy 2.1 or later, got 2.0.2: pip install 'numpy>=2.1'"

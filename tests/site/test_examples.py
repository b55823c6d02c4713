"""Examples run as they stand, those that learn with a small budget, and are short."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
LEARNING = {"train_and_score": "2560", "trpo": "2000", "cleanrl_ppo": "2560", "torchrl_ppo": "2560"}
"""joint market steps to run with; these need the extra 'train', or 'torchrl'"""
LONG = {"cleanrl_ppo", "torchrl_ppo"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    if path.stem in LEARNING:
        pytest.importorskip("torchrl" if path.stem == "torchrl_ppo" else "sb3_contrib")
    if path.stem not in LONG:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
    command = [sys.executable, str(path), *([LEARNING[path.stem]] if path.stem in LEARNING else [])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert "equilibrium" in result.stdout or "gain" in result.stdout or "at once" in result.stdout


def test_step_by_step_is_at_once() -> None:
    """The first example prints the same payoffs twice."""
    command = [sys.executable, str(FOLDER / "simulate.py")]
    first, second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    a, b = (eval(line.split(":", 1)[1]) for line in (first, second))
    assert a == pytest.approx(b, abs=2e-3)  # rates are float32 in the environment

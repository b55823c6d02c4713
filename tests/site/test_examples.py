"""Examples run as they stand, those that learn with a small budget, and are short."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
LEARNING = {
    "train_and_score": ["2560"],
    "trpo": ["2000"],
    "cleanrl_ppo": ["2560"],
    "torchrl_ppo": ["2560"],
    "own_row": ["20"],
    "jax_seeds": ["--timesteps", "2560", "--seeds", "3"],
}
"""how few joint market steps to run with; these need the extra 'train', or that of :data:`OTHERS`"""
OTHERS = {"torchrl_ppo": "torchrl", "jax_seeds": "optax"}
LONG = {"cleanrl_ppo": 1000, "torchrl_ppo": 1000, "jax_seeds": 80}
"""lines, where they are not at most 40"""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if path.stem in LEARNING:
        pytest.importorskip(OTHERS.get(path.stem, "sb3_contrib"))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONG.get(path.stem, 40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), *LEARNING.get(path.stem, [])])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert any(word in said for word in ("equilibrium", "gain", "at once", "NashConv"))


def test_step_by_step_is_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The first example prints the same payoffs twice."""
    runpy.run_path(str(FOLDER / "simulate.py"), run_name="__main__")
    first, second = capsys.readouterr().out.splitlines()
    a, b = (eval(line.split(":", 1)[1]) for line in (first, second))
    assert a == pytest.approx(b, abs=2e-3)  # rates are float32 in the environment

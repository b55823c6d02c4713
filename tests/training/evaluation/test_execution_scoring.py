"""Scores of policies in an execution game."""

import pytest

from makertaker.baselines import solve
from makertaker.envs import load_scenario


@pytest.mark.parametrize("information", ["open_loop", "own", "full"])
def test_the_equilibrium_evaluates_to_itself(information):
    """Nobody's inventory is moved by others, so that actors who see their own do not react; those who see all may."""
    pytest.importorskip("sb3_contrib")
    from makertaker.training.evaluation.scoring import evaluate

    game = load_scenario("execution-2")
    metrics = evaluate(game, solve(game, 3).open_loop(), 3, information).metrics
    against = "reacting opponents (lower bound)" if information == "full" else "open-loop opponents (exact)"
    assert metrics["exploitability_against"] == against
    assert metrics["relative_nash_conv"] == pytest.approx(0, abs=1e-9)
    assert metrics["collusion_index"] == pytest.approx(0, abs=1e-9)
    assert metrics["control_distance"] == pytest.approx(0, abs=1e-12)

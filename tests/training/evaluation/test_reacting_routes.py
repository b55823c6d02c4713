"""Actors who see more than the time, whichever kind of game they play: against whom are they evaluated?"""

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from makertaker.envs import load_scenario
from makertaker.training import IndependentLearners
from makertaker.training.evaluation import starts as starts_module
from makertaker.training.evaluation.scoring import evaluate

STEPS = 3
GAMES = {
    "execution": ("execution-2", []),
    "execution, factor": ("execution-signal", []),
    "execution, must liquidate": ("almgren-chriss-2", []),
    "makers": ("acas", []),
    "makers, noise": ("approximation", []),
}
PRICED = "reacting opponents on simulated paths (lower bound)"
EXACT, PATHS = "open-loop opponents (exact)", "open-loop opponents on simulated paths (lower bound)"


def against(name, information):
    """What stands beside the gains: those who see the price are played on its paths, and own inventories are moved by
    others where there are makers."""
    if information in ("market", "full"):
        return PRICED
    random = "factor" in name or "noise" in name
    if information == "own" and "makers" in name:
        return PRICED if random else "reacting opponents (lower bound)"
    return PATHS if random else EXACT


@pytest.mark.parametrize("information", ["time", "own", "market", "full"])
@pytest.mark.parametrize("name", GAMES)
def test_opponents_react_where_they_can(name, information, monkeypatch):
    monkeypatch.setattr(starts_module, "PAIRS", 4)
    monkeypatch.setattr(starts_module, "_FEWEST", 2)
    game = load_scenario(*GAMES[name])
    with IndependentLearners(game, information=information, steps=STEPS, markets=2) as learners:
        metrics = evaluate(game, learners.policies(), STEPS, information, inventory_spread=0.1).metrics
    starts = metrics["random_starts"]
    assert metrics["exploitability_against"] == starts["exploitability_against"] == against(name, information)
    assert ("feedback" in metrics) == ("reacting" in metrics["exploitability_against"])
    gains = [each["exploitability"] for each in metrics["agents"].values()]
    over = [each["exploitability"] for each in starts["agents"].values()]
    assert np.isfinite(gains).all()
    assert starts["note"] == ""
    assert over == pytest.approx(gains, rel=0.25, abs=0.25 * np.abs(gains).max())
    assert ("learned_se" in metrics["agents"][game.agents[0]]) == ("simulated" in metrics["exploitability_against"])

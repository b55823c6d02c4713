"""Short trainings whose directories are looked at."""

import json

from makertaker.envs import read_scenario
from makertaker.training import IndependentLearners, runs

BUDGET = 160
NOBODY_TRADES = """
description = "all payoffs are zero"
steps = 5
trader_terminal_penalty = 0.0
maker_terminal_penalty = 0.0
buy_flow = 0.0
sell_flow = 0.0
"""
"""a scenario that cannot be scored"""
ARGUMENTS = ["acas", "--timesteps", str(BUDGET), "--steps", "5", "--markets", "8"]


def config(seed=0):
    given = read_scenario("acas")
    arguments = {"timesteps": BUDGET, "steps": 5, "markets": 8, "seed": seed}
    return runs.RunConfig(scenario=given.name, values=dict(given.values), **arguments)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def result_of(folder):
    return {name: (folder / name).read_bytes() for name in ("config.json", "metrics.json", "history.csv")}


def during_training(monkeypatch, act):
    """Do something in the middle of a training, once."""
    learn = IndependentLearners.learn

    def disturbed(*arguments, **keywords):
        monkeypatch.setattr(IndependentLearners, "learn", learn)
        learn(*arguments, **keywords)
        act()

    monkeypatch.setattr(IndependentLearners, "learn", disturbed)


def without_digests(run):
    """Its checkpoint, as of an earlier version."""
    record = json.loads((run / "checkpoint" / "record.json").read_text())
    del record["sha256"]
    (run / "checkpoint" / "record.json").write_text(json.dumps(record))
    return run / "checkpoint"

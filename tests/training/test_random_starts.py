"""Trainings whose episodes start from random inventories, on the command line, in run directories and when resumed."""

import json

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from makertaker.training import IndependentLearners, runs
from makertaker.training.evaluation import starts as module
from support.commands import invoke
from support.learning import EPISODE, assert_same_parameters, differ, learners, parameters
from support.run_folders import config as plain_config
from support.run_folders import during_training

pytestmark = pytest.mark.usefixtures("undrawn")

SHORT = ["--timesteps", "320", "--steps", "5", "--markets", "8"]


def test_without_a_spread_nothing_is_drawn():
    """The option's default, 0, and nothing said are the same training; the generator of noise is where it was."""
    found = []
    for given in ({}, {"inventory_spread": 0.0}, {"inventory_spread": 1.0}):
        trained = learners(**given)
        trained.learn(2 * EPISODE)
        found.append((parameters(trained), trained.hub.rng.bit_generator.state))
    assert_same_parameters(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] != found[2][1]
    assert differ(found[0][0], found[2][0])


def test_markets_start_around_the_games_inventories():
    trained = IndependentLearners("execution-2", steps=5, markets=4000, inventory_spread=2.0)
    assert trained.market.inventories.std(axis=0) == pytest.approx([2.0, 2.0], rel=0.05)
    assert trained.market.inventories.mean(axis=0) == pytest.approx(trained.game.start, abs=0.15)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_resumed_training_goes_on_from_the_starts_that_were_drawn(tmp_path, algorithm):
    straight = learners(algorithm=algorithm, inventory_spread=1.0)
    straight.learn(4 * EPISODE, until=2 * EPISODE)
    straight.save_checkpoint(tmp_path / "checkpoint")
    drawn = straight.market.inventories
    straight.learn(4 * EPISODE)
    resumed = learners(algorithm=algorithm, inventory_spread=1.0)
    resumed.load_checkpoint(tmp_path / "checkpoint")
    assert np.array_equal(resumed.market.inventories, drawn)
    resumed.learn(4 * EPISODE)
    assert_same_parameters(parameters(straight), parameters(resumed))


def test_a_run_is_evaluated_over_random_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 8)
    out = tmp_path / "run"
    told = invoke("train", "execution-2", "--information", "full", "--inventory-spread", "0.5", *SHORT, "--out", out)
    metrics = json.loads((out / "metrics.json").read_text())
    starts = metrics["random_starts"]
    assert runs.load_config(out).inventory_spread == starts["inventory_spread"] == 0.5
    assert starts["feedback_pairs"] == starts["pairs"] == 8
    assert starts["nash_conv"] == pytest.approx(sum(each["exploitability"] for each in starts["agents"].values()))
    for said in ("over random starts", "16 random starts, standard deviation 0.5 shares", "the deviator knows"):
        assert said in told
        assert said in runs.write_report(out).read_text()
    assert runs.evaluate_run(out).metrics == metrics
    assert json.loads(invoke("evaluate", out, "--json"))["random_starts"] == starts


@pytest.mark.parametrize("scenario", ["acas", "almgren-chriss-2"])
def test_starts_end_where_traders_can_begin(tmp_path, scenario):
    """Where a trader keeps its side, and where it must liquidate what is drawn."""
    given = ["--inventory-spread", "6", *SHORT]
    starts = json.loads(invoke("train", scenario, *given, "--out", tmp_path / "run", "--json"))["random_starts"]
    assert starts["note"] == ""
    assert starts["exploitability_against"] == "open-loop opponents (exact)"
    assert min(each["exploitability"] for each in starts["agents"].values()) > 0


def test_an_interrupted_run_with_a_spread_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    asked = runs.RunConfig(**{**vars(plain_config()), "inventory_spread": 0.5, "hyperparameters": {}})
    runs.train(asked, tmp_path / "straight")

    def interrupt():
        raise KeyboardInterrupt

    during_training(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(asked, tmp_path / "stopped")
    monkeypatch.undo()
    runs.resume(tmp_path / "stopped")
    for name in ("history.csv", "metrics.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_runs_of_earlier_versions_always_started_alike(run):
    path = run / "config.json"
    written = json.loads(path.read_text())
    assert written.pop("inventory_spread") == 0.0
    path.write_text(json.dumps(written))
    assert runs.load_config(run).inventory_spread == 0.0
    assert "random_starts" not in runs.evaluate_run(run).metrics

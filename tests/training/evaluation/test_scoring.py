"""Scores of policies: gaps, gains, distances and baselines."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import FieldOptions, exploitability, open_loop_policies, solve
from makertaker.baselines.kinds import Execution
from makertaker.envs import Factor, Logistic, MakerTakerGame, draw_noise, load_scenario
from makertaker.training.evaluation.distances import agent_distances, along
from makertaker.training.evaluation.scoring import control_distance, evaluate
from support.learning import GAME, STEPS


def test_the_equilibrium_evaluates_to_itself():
    equilibrium = solve(GAME, STEPS)
    metrics = evaluate(GAME, equilibrium.open_loop(), STEPS, "open_loop").metrics
    assert metrics["relative_nash_conv"] == pytest.approx(0, abs=1e-12)
    assert metrics["control_distance"] == pytest.approx(0, abs=1e-12)
    assert all(each["gap"] == pytest.approx(0, abs=1e-12) for each in metrics["agents"].values())
    assert metrics["baselines"]["TWAP, constant spread"]["relative_nash_conv"] > 0.01
    json.dumps(metrics)


def test_the_search_against_reacting_opponents_finds_the_exact_gain_against_those_who_do_not_react():
    controls = solve(GAME, STEPS).controls
    missed = controls._replace(rate=0.7 * controls.rate, ask=controls.ask + 0.3)
    metrics = evaluate(GAME, open_loop_policies(GAME, missed), STEPS, "own").metrics
    assert "lower bound" in metrics["exploitability_against"]
    assert metrics["open_loop_nash_conv"] > 0.1
    assert metrics["nash_conv"] == pytest.approx(metrics["open_loop_nash_conv"], abs=1e-6)


def test_reacting_opponents_can_be_exploited_where_their_schedule_cannot():
    """The decoupling field played as feedback is an equilibrium among schedules, not among policies that react."""
    metrics = evaluate(GAME, solve(GAME, 3).feedback(), 3, "full").metrics
    assert metrics["open_loop_relative_nash_conv"] == pytest.approx(0, abs=1e-12)
    assert metrics["relative_nash_conv"] > 1e-3


def test_quotes_on_a_side_without_flow_do_not_count_in_the_distance():
    game = load_scenario("acas", ["sell_flow=0.0"])
    equilibrium = solve(game, STEPS)
    moved = equilibrium.controls._replace(bid=equilibrium.controls.bid + 1)
    assert exploitability(game, moved, STEPS).nash_conv == pytest.approx(0, abs=1e-9)
    assert control_distance(moved, equilibrium) == 0
    assert control_distance(equilibrium.controls._replace(ask=equilibrium.controls.ask + 1), equilibrium) > 0


def test_an_execution_game_that_is_not_linear_is_evaluated():
    """Its linear reference points do not exist; TWAP does, and the equilibrium has nothing to gain."""

    game = replace(load_scenario("execution-signal"), buy_flow=Logistic(8.0, 12.0, 1.0), sell_flow=10.0)
    metrics = evaluate(game, solve(game, 5).open_loop(), 5, "open_loop").metrics
    assert abs(metrics["relative_nash_conv"]) < 1e-3
    assert metrics["collusion_index"] is None
    known = {name for name, each in metrics["baselines"].items() if each["payoffs"] is not None}
    assert known == {"TWAP"}
    assert metrics["baselines"]["TWAP"]["relative_nash_conv"] > 0.01


def test_each_agents_distance_is_that_of_its_own_controls_along_all_paths():
    """With noise controls have an axis of paths before that of steps."""
    game = load_scenario("approximation-small-noise")
    equilibrium = solve(game, 4, field=FieldOptions(degree=2, refine=False, paths=64))
    exact = along(equilibrium, draw_noise(game, 4, 64, seed=3))
    moved = exact.controls._replace(ask=exact.controls.ask + np.array([0.0, 0.5]))
    distances = agent_distances(game, moved, exact)
    quotes = np.stack([exact.controls.ask[..., 1], exact.controls.bid[..., 1]])
    assert quotes.ndim == 3
    assert distances["trader_0"] == distances["maker_0"] == 0
    assert distances["maker_1"] == pytest.approx(0.5 * np.sqrt(quotes.size / 2) / np.linalg.norm(quotes))


def test_a_factor_without_noise_leaves_the_gains_of_schedules_exact():
    game = MakerTakerGame(
        factor=Factor((0.5,), diffusion=lambda t, factor: 0 * factor), buy_flow=Logistic(0.5, 3.5, 1.0)
    )
    controls = solve(game, STEPS).controls
    missed = controls._replace(rate=0.7 * controls.rate)
    metrics = evaluate(game, open_loop_policies(game, missed), STEPS, "open_loop").metrics
    assert metrics["exploitability_against"] == "open-loop opponents (exact)"
    assert metrics["nash_conv"] == pytest.approx(exploitability(game, missed, STEPS).nash_conv, abs=1e-12)


def test_reference_points_of_one_equilibrium_are_found_once_and_stay_what_they_are(monkeypatch):
    """Seeds share theirs; what is done with the metrics of one is not seen in the next."""
    nash, asked = solve("execution-2"), []
    original = Execution.references
    monkeypatch.setattr(Execution, "references", lambda self, own: asked.append(own) or original(self, own))
    first = evaluate("execution-2", nash.open_loop(), equilibrium=nash).metrics["baselines"]
    known = copy.deepcopy(first)
    first.clear()
    assert evaluate("execution-2", nash.open_loop(), equilibrium=nash).metrics["baselines"] == known
    assert len(asked) == 1
    other = solve("execution-2")  # an equal one is another
    assert other != nash
    evaluate("execution-2", other.open_loop(), equilibrium=other)
    assert [each is nash for each in asked] == [True, False]

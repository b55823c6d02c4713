"""Commands on execution games: equilibria, conditions, reference points, training."""

import numpy as np
import pytest

from makertaker.baselines import exploitability, solve
from makertaker.envs import Controls, load_scenario, read_scenario, scenario_names, simulate
from support.commands import assert_one_line, invoke, strict_json

# Commands


@pytest.mark.parametrize("name", [name for name in scenario_names() if name.startswith("execution")])
def test_solve_prints_an_equilibrium(command, name):
    code, out, err = command("solve", name, "--json")
    assert (code, err) == (0, "")
    document, scenario = strict_json(out), read_scenario(name)
    assert list(document["agents"]) == list(scenario.game.agents)
    assert np.shape(document["controls"]["rate"]) == (20, scenario.game.traders)
    assert np.shape(document["controls"]["ask"]) == (20, 0)
    payoffs = [each["payoff"] for each in document["agents"].values()]
    np.testing.assert_allclose(payoffs, solve(scenario.game, 20).payoffs, rtol=1e-12)
    assert document["nash_conv"] == pytest.approx(0.0, abs=1e-9)
    assert document["residual"] <= 1e-10


def test_references_prints_the_table(command):
    code, out, err = command("references", "execution-2", "--json")
    assert (code, err) == (0, "")
    points = strict_json(out)["references"]
    nash, best = (points[name]["total"] for name in ("Nash, open loop", "cooperative optimum"))
    for each in points.values():
        assert each["collusion_index"] == pytest.approx((each["total"] - nash) / (best - nash), abs=1e-12)
    game = load_scenario("execution-2")
    twap = simulate(game, Controls(np.full((20, 2), 5.0)), 20)  # five shares within a unit of time
    assert list(points["TWAP"]["payoffs"].values()) == pytest.approx(list(twap.payoffs), rel=1e-12)
    assert points["TWAP"]["total"] == pytest.approx(twap.payoffs.sum(), rel=1e-12)
    assert points["TWAP"]["nash_conv"] == pytest.approx(exploitability(game, twap.controls, 20).nash_conv, rel=1e-12)
    _, out, _ = command("references", "execution-2", "--set", "crowding=1.0", "--json")
    missing = strict_json(out)["references"]["cooperative optimum"]
    assert missing["payoffs"] is missing["total"] is missing["collusion_index"] is missing["nash_conv"] is None
    assert missing["note"]


def test_check_prints_the_conditions(command):
    code, out, err = command("check", "execution-2", "--json")
    assert (code, err) == (0, "")
    conditions = {each["reference"]: each for each in strict_json(out)["conditions"]}
    # alpha = 1, beta = phi = 0.5, N = 2: phi - alpha^2 / (4 N beta) = 0.25
    assert conditions["Assumption 2.4"]["holds"] is True
    assert conditions["Assumption 2.4"]["margin"] == pytest.approx(0.25)
    assert conditions["Theorem 2.7, case 1"]["holds"] is False


def test_check_prints_json_where_a_problem_is_singular(command):
    zero = ("--set", "running_penalty=0", "--set", "terminal_penalty=0", "--set", "permanent_impact=1.0")
    strict_json(command("check", "execution-2", "--steps", "1", *zero, "--json")[1])


@pytest.mark.parametrize("name", ["check", "references", "solve"])
def test_commands_print_tables_without_json(command, name):
    code, out, err = command(name, "execution-2")
    assert (code, err) == (0, "")
    assert {"check": "concave Hamiltonians", "references": "TWAP", "solve": "trader_1"}[name] in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "execution-2", "--steps", "0"), "steps: expected a positive whole number, got 0"),
        (("solve", "execution-2", "--set", "max_rate=0.5"), "above max_rate = 0.5"),
        (("solve", "execution-2", "--set", "permanent_impact=100.0"), "has no maximum, whatever the others do"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(command, arguments, message):
    assert_one_line(command(*arguments, "--json"), message)


# Training


def test_a_run_is_placed_between_nash_and_the_cooperative_optimum(tmp_path):
    pytest.importorskip("sb3_contrib")
    run = tmp_path / "run"
    options = ("--timesteps", 2000, "--markets", 50, "--steps", 5, "--information", "own", "--out", run)
    metrics = strict_json(invoke("train", "execution-2", *options, "--json"))
    equilibrium, best = (
        solve(load_scenario("execution-2"), 5).payoffs.sum(),
        metrics["baselines"]["cooperative optimum"],
    )
    learned = sum(each["learned"] for each in metrics["agents"].values())
    share = (learned - equilibrium) / (sum(best["payoffs"].values()) - equilibrium)
    assert metrics["collusion_index"] == pytest.approx(share, rel=1e-9)
    names = {"Nash, feedback", "cooperative optimum", "Almgren-Chriss, ignoring the others", "TWAP"}
    assert metrics["baselines"].keys() == names
    assert metrics["exploitability_against"] == "open-loop opponents (exact)"
    assert all(each["exploitability"] >= 0 for each in metrics["agents"].values())
    assert metrics["nash_conv"] == metrics["open_loop_nash_conv"]
    assert strict_json(invoke("evaluate", run, "--json")) == metrics
    invoke("report", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"<td>{share:.3f}</td>" in page
    assert "Collusion index: the place of the total payoff" in page
    assert "Trading rates (shares / time)" in page
    assert "Asks above" not in page
    assert "Bids below" not in page


def test_a_run_with_a_factor_has_standard_errors(tmp_path):
    pytest.importorskip("sb3_contrib")
    options = ("--timesteps", 200, "--markets", 50, "--steps", 4, "--out", tmp_path / "run")
    metrics = strict_json(invoke("train", "execution-signal", *options, "--json"))
    assert "simulated paths (lower bound)" in metrics["exploitability_against"]
    assert 0 < metrics["collusion_index_se"] < 0.1 * abs(metrics["collusion_index"])
    for each in metrics["agents"].values():
        assert 0 < each["learned_se"] < 0.1 * abs(each["learned"])
        assert 0 < each["exploitability_se"] < 0.1 * abs(each["exploitability"])

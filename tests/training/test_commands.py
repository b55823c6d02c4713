"""The commands that list and solve scenarios."""

import json
import subprocess
import sys

import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.envs import load_scenario, read_scenario, scenario_names
from makertaker.training.commands import games
from support.commands import assert_one_line


def test_scenarios_lists_them(command):
    code, out, err = command("scenarios", "--json")
    assert (code, err) == (0, "")
    listed = json.loads(out)
    assert list(listed) == scenario_names()
    assert listed["acas"] == {"description": read_scenario("acas").description, "steps": 20}
    code, out, err = command("scenarios")
    assert (code, err) == (0, "")
    assert "acas-risk-neutral" in out


def test_solve_prints_an_equilibrium():
    """As users run it, in a process of its own."""
    run = [sys.executable, "-m", "makertaker.training.cli", "solve", "acas", "--steps", "100", "--json"]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    document = json.loads(result.stdout)
    assert document["residual"] <= 1e-10
    assert list(document["agents"]) == ["trader_0", "maker_0", "maker_1"]
    assert all(abs(agent["exploitability"]) <= 1e-9 for agent in document["agents"].values())
    assert document["nash_conv"] == pytest.approx(0.0, abs=1e-9)
    assert np.shape(document["inventories"]) == (101, 3)
    assert {key: np.shape(value) for key, value in document["controls"].items()} == {
        "rate": (100, 1),
        "ask": (100, 2),
        "bid": (100, 2),
    }
    equilibrium = solve(load_scenario("acas"), 100)
    assert document["agents"]["trader_0"]["payoff"] == pytest.approx(equilibrium.payoffs[0], rel=1e-12)


def test_solve_takes_steps_and_values(command):
    arguments = ("--set", "competition.gamma=2.0", "--set", "trader_inventory=[-6.0]", "--json")
    code, out, err = command("solve", "acas", "--steps", "7", *arguments)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["steps"] == 7
    assert document["inventories"][0] == [-6.0, 1.0, 0.0]
    game = load_scenario("acas", ["competition.gamma=2.0", "trader_inventory=[-6.0]"])
    np.testing.assert_allclose(document["controls"]["ask"], solve(game, 7).controls.ask, rtol=1e-12)


def test_solve_prints_what_a_field_leaves_open(command):
    """Standard errors, and the estimate of the field's bias beside them; none in a game without noise."""
    noisy = ("--steps", "4", "--set", "inventory_noise=0.2")
    code, out, err = command("solve", "acas", *noisy, "--json")
    assert (code, err) == (0, "")
    agents = json.loads(out)["agents"].values()
    assert all(each["payoff_se"] > 0 and each["payoff_bias"] > 0 for each in agents)
    code, out, err = command("solve", "acas", *noisy)
    assert (code, err) == (0, "")
    assert " bias" in out
    code, out, err = command("solve", "acas", "--json")
    assert all("payoff_bias" not in each for each in json.loads(out)["agents"].values())


def test_solve_prints_a_table_without_json(command):
    code, out, err = command("solve", "acas")
    assert (code, err) == (0, "")
    assert all(word in out for word in ("trader_0", "maker_1", "converged", "residual"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("solve", "akas"), "unknown scenario 'akas': did you mean 'acas'? expected one of"),
        (("solve", "nowhere.toml"), "there is no file 'nowhere.toml'"),
        (("solve", "acas", "--steps", "0"), "steps: expected a positive whole number, got 0"),
        (
            ("solve", "acas", "--set", "gamma=1"),
            "unknown key 'gamma' in scenario 'acas': did you mean 'competition.gamma'? expected",
        ),
        (("solve", "acas", "--set", "horizon"), "--set: expected key=value"),
        (("solve", "acas", "--set", "horizon=-1", "--json"), "horizon: expected a finite number > 0, got -1"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(command, arguments, message):
    assert_one_line(command(*arguments), message)


@pytest.mark.parametrize("error", [MemoryError, OverflowError, FloatingPointError, PermissionError])
def test_what_a_machine_cannot_do_is_one_line_and_exit_code_2(command, error, monkeypatch):
    def fail(*_):
        raise error("more than there is")

    monkeypatch.setattr(games, "task", fail)
    assert_one_line(command("solve", "acas"), "makertaker: more than there is")


def test_an_unknown_option_is_a_usage_error(command):
    code, out, err = command("solve", "acas", "--stepz", "3")
    assert (code, out) == (2, "")
    assert "No such option" in err
    assert "Traceback" not in err


OF_EXTRAS = (
    "torch",
    "stable_baselines3",
    "ray",
    "safetensors",
    "msgspec",
    "filelock",
    "matplotlib",
    "plotly",
    "jax",
    "optax",
)


def test_commands_that_solve_need_no_extra():
    program = f"import sys; import makertaker.training.cli; print([x for x in {OF_EXTRAS} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("library", "extra"), [("ray", "ray"), ("stable_baselines3", "train")])
def test_a_library_that_is_missing_is_said_with_its_extra(library, extra, monkeypatch):
    from makertaker.training.common import extras

    monkeypatch.setitem(sys.modules, library, None)
    hint = rf"^this needs {library}: pip install '\.\[{extra}\]' in the folder of makertaker's source$"
    with pytest.raises(ImportError, match=hint):
        extras.check_installed(library, extra)

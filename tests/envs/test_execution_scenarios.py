"""Scenario files of execution games with a factor."""

import pytest

from makertaker.envs import Affine, ExecutionGame, Factor, read_scenario
from makertaker.envs.factor import Constant, MeanReversion

HEADER = 'game = "execution"\ninitial_inventory = [-5.0, 3.0]\n'
OU = "[factor]\nmean_reversion = 2.0\nvolatility = [1.0]\n"


def test_a_scenario_with_a_factor_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(HEADER + OU + 'initial = [0.5]\n[buy_flow]\nshape = "affine"\nconstant = 5.0\nslope = [2.0]\n')
    scenario = read_scenario(str(path), ["factor.mean=0.25", "crowding=0.5"])
    factor = Factor((0.5,), MeanReversion(2.0, 0.25), Constant((1.0,)))
    assert scenario.game == ExecutionGame((-5.0, 3.0), crowding=0.5, factor=factor, buy_flow=Affine(5.0, (2.0,)))
    assert scenario.steps == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trader_inventory = [-5.0]", "unknown key 'trader_inventory' in scenario"),
        ("factor = 1", "factor: expected a table, got 1"),
        ('[factor]\nkind = "jump"', r"unknown factor\.kind 'jump': .*expected one of .*'ornstein_uhlenbeck'.*"),
        (OU + "speed = 1.0", "unknown key 'speed' in factor: .*expected some of"),
        ("[factor]\nmean_reversion = 1.0", "factor: .* missing 1 required positional argument: 'volatility'"),
        (OU + "initial = [0.0, 1.0]", r"factor\.volatility: expected a finite number or 2 of them"),
        ('buy_flow = {shape = "affine", constant = 1.0}', "buy_flow: expected a number or a callable of time"),
        ('buy_flow = {shape = "affine"}\n' + OU, "buy_flow: .* missing 1 required positional argument: 'constant'"),
        ('buy_flow = {shape = "affine", mean = 1.0}\n' + OU, "unknown key 'mean' in buy_flow: .*expected some of"),
        ("crowding = 2.0", r"crowding: expected a number above .* and below 2, got 2\.0"),
    ],
)
def test_bad_scenarios_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(HEADER + text)
    with pytest.raises(ValueError, match=message):
        read_scenario(str(path))

"""Scenarios: those of the package, overrides, and files of the user."""

import numpy as np
import pytest

from makertaker.baselines import FieldOptions, exploitability, solve
from makertaker.envs import BestQuote, Exponential, MakerTakerGame, load_scenario, read_scenario, scenario_names
from makertaker.envs.flows import Decay, Points, Sine

# Packaged scenarios


def test_the_packaged_scenarios_are_these():
    assert scenario_names() == sorted(scenario_names())
    assert {"acas", "acas-2x3", "acas-competitive", "acas-noise-flow", "acas-risk-neutral"} <= set(scenario_names())


@pytest.mark.parametrize("name", scenario_names())
def test_a_packaged_scenario_is_described_and_solved(name):
    scenario = read_scenario(name)
    assert scenario.name == name
    assert len(scenario.description) > 20
    assert load_scenario(name) == scenario.game
    fitted = scenario.game.random and scenario.game.makers  # a decoupling field; its gains are tested with it
    equilibrium = solve(scenario.game, scenario.steps, field=FieldOptions(degree=2, paths=256) if fitted else None)
    assert equilibrium.converged
    assert equilibrium.residual <= 1e-9 if fitted else equilibrium.residual <= 1e-10
    assert equilibrium.quotes_matter.all()
    if not fitted:
        assert np.abs(exploitability(scenario.game, equilibrium.profile, scenario.steps).gains).max() <= 1e-9


def test_acas_is_the_model_of_section_4():
    """One buyer, two makers, exponential best quotes, ``beta v^2``, equal penalties within a role (Guo and Jin)."""
    game = load_scenario("acas")
    assert (game.traders, game.makers) == (1, 2)
    assert game.trader_inventory == (-5.0,)
    assert game.maker_inventory == (1.0, 0.0)
    assert game.competition.intensity.gamma == 1.0
    assert game.impact.beta == 0.5


def test_risk_neutral_quotes_are_constant_in_time():
    """Theorem 4.3 of Guo and Jin: without running penalty the adjoints, hence the quotes, do not move."""
    scenario = read_scenario("acas-risk-neutral")
    for control in solve(scenario.game, scenario.steps).controls:
        np.testing.assert_allclose(control, np.broadcast_to(control[0], control.shape), rtol=1e-10)


# Overrides and files


@pytest.mark.parametrize(
    ("override", "found", "expected"),
    [
        ("competition.gamma=2.0", lambda s: s.game.competition.intensity.gamma, 2.0),
        ("trader_inventory=[-6.0]", lambda s: s.game.trader_inventory, (-6.0,)),
        ("impact.beta = [0.25]", lambda s: s.game.impact.beta, (0.25,)),
        ("impact={beta = 0.125}", lambda s: s.game.impact.beta, 0.125),
        ("steps=7", lambda s: s.steps, 7),
        ('description="mine"', lambda s: s.description, "mine"),
        ('flow_from="mean"', lambda s: s.game.flow_from, "mean"),
        ("horizon=2", lambda s: s.game.horizon, 2),
        ("maker_running_penalty=[0.1, 0.2]", lambda s: s.game.maker_running_penalty, (0.1, 0.2)),
        ("buy_flow.points=[[0, 1], [1, 2]]", lambda s: s.game.buy_flow, Points(((0, 1), (1, 2)))),
        ('buy_flow={shape="decay", scale=2.0, decay=1.0}', lambda s: s.game.buy_flow, Decay(2.0, 1.0)),
        (
            'trader_running_penalty=[{shape="sine", mean=1.0, amplitude=0.5}]',
            lambda s: s.game.trader_running_penalty,
            (Sine(1.0, 0.5),),
        ),
    ],
)
def test_overrides_reach_the_game(override, found, expected):
    overrides = ["buy_flow={}", override] if override.startswith("buy_flow.") else [override]
    assert found(read_scenario("acas", overrides)) == expected


def test_later_overrides_win_and_leave_the_package_alone():
    assert read_scenario("acas", ["steps=3", "steps=4"]).steps == 4
    assert read_scenario("acas").steps == 20
    assert read_scenario("acas").values["competition"]["gamma"] == 1.0


def test_a_file_of_the_user_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        description = "a seller"
        steps = 4
        trader_inventory = [3.0]
        maker_inventory = [0.0, 0.0, 1.0]
        [sell_flow]
        shape = "sine"
        mean = 1.0
        amplitude = 0.5
        """
    )
    scenario = read_scenario(str(path), ["sell_flow.phase=0.25", "competition.gamma=3.0"])
    assert (scenario.name, scenario.description, scenario.steps) == ("mine", "a seller", 4)
    assert scenario.game == MakerTakerGame(
        trader_inventory=(3.0,),
        maker_inventory=(0.0, 0.0, 1.0),
        sell_flow=Sine(1.0, 0.5, phase=0.25),
        competition=BestQuote(Exponential(3.0)),
    )


REFUSED = [
    ([], "steps = ", "scenario .* is not valid TOML"),
    ([], 'game = "chess"', r"unknown game 'chess': .*expected one of \['maker_taker', 'execution'\]"),
    ([], "gamma = 1.0", "unknown key 'gamma' in scenario"),
    ([], "steps = 0", "steps: expected a positive whole number, got 0"),
    ([], "steps = 2.5", r"steps: expected a positive whole number, got 2\.5"),
    ([], "horizon = true", "horizon: expected a number, a list or a table, got True"),
    ([], 'buy_flow = "1"', "buy_flow: expected a number, a list or a table, got '1'"),
    ([], "competition = 1", "competition: expected a table, got 1"),
    (
        [],
        'competition.kind = "auction"',
        r"unknown competition\.kind .*expected one of \['best_quote', 'softmax', 'product'\]",
    ),
    (
        [],
        'competition.intensity = "cubic"',
        r"unknown competition\.intensity .*expected one of \['exponential', 'softplus'\]",
    ),
    (
        [],
        "competition.decay = 1",
        r"unknown key 'decay' in competition: .*expected some of \['gamma', 'intensity', 'kind'\]",
    ),
    ([], "competition.gamma = -1", "gamma: expected a positive finite number, got -1"),
    (
        [],
        'impact.kind = "cubic"',
        r"unknown impact\.kind 'cubic': .*expected one of \['quadratic', 'crowded', 'quartic'\]",
    ),
    ([], "impact.gamma = 1", r"unknown key 'gamma' in impact: .*expected some of \['beta', 'kind'\]"),
    ([], 'buy_flow.shape = "square"', r"unknown buy_flow\.shape 'square': .*expected one of .*'affine'.*"),
    ([], "buy_flow.mean = 1.0", r"unknown buy_flow\.shape None: .*expected one of .*'affine'.*"),
    ([], 'buy_flow = {shape = "sine", height = 1}', "unknown key 'height' in buy_flow: .*expected some of"),
    ([], 'buy_flow = {shape = "decay", scale = 1}', "buy_flow: .* missing 1 required positional argument: 'decay'"),
    ([], 'buy_flow = {shape = "sine", mean = 0.0, amplitude = 1.0}', "buy_flow: expected finite values >= 0"),
    ([], 'buy_flow = {shape = "sine", mean = "x", amplitude = 1.0}', "buy_flow.mean: expected a number, got 'x'"),
    ([], 'buy_flow = {shape = "sine", mean = [{}], amplitude = 1.0}', "buy_flow.mean: expected a number, got "),
    ([], 'sell_flow = {shape = "decay", scale = 1.0, decay = {}}', "sell_flow.decay: expected a number, got {}"),
    ([], "description = 07:32:00", "description: expected a text, got datetime"),
    (
        [],
        "trader_inventory = []\nmaker_inventory = [1.0, 0.0]\ntrader_terminal_penalty.points = [[0.0, 1.0]]",
        "trader_terminal_penalty: expected a number or one for each trader, got a callable",
    ),
    ([], "buy_flow.points = [[0.0, 1.0], [0.0, 2.0]]", "points: expected strictly increasing times"),
    ([], "buy_flow.points = [1.0, 2.0]", "points: expected pairs of finite numbers"),
    ([], "buy_flow.points = [[0.0, nan]]", "points: expected pairs of finite numbers"),
    (["steps"], "", "--set: expected key=value with a TOML value, got 'steps'"),
    (["=1"], "", "--set: expected key=value with a TOML value, got '=1'"),
    (["flow_from=mean"], "", "--set 'flow_from=mean': 'mean' is not a TOML value"),
    (["horizon.x=1"], "horizon = 1.0", "--set 'horizon.x=1': 'horizon' is a value, not a table"),
    (["colour=1"], "", "unknown key 'colour' in scenario"),
    (["horizon=5e-324"], "", "horizon: expected one in which average rates are finite, got 4.94066e-324 with "),
    (["horizon=-1.0"], "", r"horizon: expected a finite number > 0, got -1\.0"),
]


@pytest.mark.parametrize(("overrides", "text", "message"), REFUSED)
def test_bad_scenarios_are_refused(tmp_path, overrides, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_scenario(str(path), overrides)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("akas", r"unknown scenario 'akas': .*expected one of \['acas', .* or a path to a \.toml file"),
        ("nowhere.toml", r"scenario: there is no file 'nowhere\.toml'"),
    ],
)
def test_unknown_scenarios_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        read_scenario(name)


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ('competition.gamma="x"', "gamma"),
        ("buy_flow=[1.0]", "buy_flow"),
        ('trader_terminal_penalty=[{shape="decay", scale=1.0, decay=1.0}]', "trader_terminal_penalty"),
    ],
)
def test_values_of_a_wrong_type_are_refused(override, name):
    with pytest.raises(ValueError, match=name):
        read_scenario("acas", [override])

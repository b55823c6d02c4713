"""Tables of competition and impact in scenario files."""

import tomllib

import pytest

from makertaker.envs import (
    BestQuote,
    CrowdedImpact,
    Exponential,
    ProductShare,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
    load_scenario,
    scenario_names,
)
from makertaker.envs.scenarios.loader import build_scenario
from makertaker.envs.scenarios.writer import game_values, toml


@pytest.mark.parametrize(
    ("part", "table", "expected"),
    [
        ("competition", {"kind": "softmax", "rate": 2.0, "offsets": [0.1, 0.2]}, SoftmaxShare(2.0, (0.1, 0.2))),
        ("competition", {"kind": "product", "rate": 2.0, "floor": 0.3}, ProductShare(Exponential(1.0), 2.0, 0.3)),
        ("competition", {"intensity": "softplus", "gamma": 0.7}, BestQuote(Softplus(0.7))),
        ("competition", {}, BestQuote(Exponential(1.0))),
        ("impact", {"kind": "crowded", "beta": 0.3, "crowding": 0.2}, CrowdedImpact(0.3, 0.2)),
        ("impact", {"kind": "quartic", "beta": 0.3, "quartic": 0.2}, QuarticImpact(0.3, 0.2)),
    ],
)
def test_scenario_tables(part, table, expected):
    assert getattr(build_scenario("own", {part: table}).game, part) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"competition": {"kind": "cournot"}},
            r"unknown competition\.kind .*expected one of \['best_quote', 'softmax', 'product'\]",
        ),
        ({"competition": {"intensity": "linear"}}, r"unknown competition\.intensity .*expected one of"),
        ({"competition": {"kind": "softmax", "gamma": 1.0}}, "unknown key 'gamma' in competition"),
        ({"competition": {"kind": "softmax", "offsets": [0.0, 0.0, 0.0]}}, r"competition\.offsets: expected 2"),
        ({"competition": {"kind": "softmax", "rate": -1.0}}, r"competition\.rate: expected a positive finite number"),
        ({"competition": {"kind": "product", "floor": 1.0}}, r"competition\.floor: expected a number in \(0, 1\)"),
        ({"competition": {"gamma": 0.0}}, "gamma: expected a positive finite number"),
        ({"competition": 1.0}, "competition: expected a table"),
        (
            {"impact": {"kind": "linear"}},
            r"unknown impact\.kind .*expected one of \['quadratic', 'crowded', 'quartic'\]",
        ),
        ({"impact": {"kind": "crowded", "crowding": 2.0}}, r"impact\.crowding: expected a number in \(-2, 2\)"),
        ({"impact": {"kind": "crowded", "crowding": -2.0}}, r"impact\.crowding: expected a number in \(-2, 2\)"),
        ({"impact": {"kind": "quartic", "quartic": -1.0}}, r"impact\.quartic: expected a finite number >= 0"),
        ({"impact": {"crowding": 1.0}}, "unknown key 'crowding' in impact"),
        ({"impact": {"beta": 0.0}}, r"impact\.beta"),
    ],
)
def test_bad_scenario_tables_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        build_scenario("own", values)


@pytest.mark.parametrize("defaults", [False, True])
@pytest.mark.parametrize("name", scenario_names())
def test_a_game_is_written_and_read_again(name, defaults):
    """With all its defaults as well, but for constraints that are not there, which are no entry of a file."""
    game = load_scenario(name)
    values = game_values(game, defaults=defaults)
    given = {key: each for key, each in values.items() if each is not None}
    for table in (each for each in given.values() if isinstance(each, dict)):
        for key in [key for key, each in table.items() if each is None]:
            del table[key]
    read = tomllib.loads(toml(given))
    assert read == given
    assert build_scenario(name, read).game == game


def test_a_text_is_written_as_toml_holds_it():
    text = 'a "quoted" \\ name, \x7f, \n and é\U0001f600'
    assert tomllib.loads(toml({"description": text})) == {"description": text}

"""Names that are not of a known set, and what is suggested in their place."""

import pytest

from makertaker.envs import acas_v0, load_scenario, scenario_names
from makertaker.envs.names import near, suggestion, unknown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acass", ["acas"]),
        ("ACAS", ["acas"]),
        ("aproximation", ["approximation"]),
        ("mean_field", ["mean-field"]),
        ("dealer", ["dealers"]),
        ("maker-taker", ["maker-taker-3x3"]),
        ("softmax", ["softmax-1x2"]),
        ("xyz", []),
        ("", []),
        (None, []),
    ],
)
def test_a_name_that_is_meant_comes_first(given, expected):
    assert near(given, scenario_names())[: len(expected) or None] == expected


@pytest.mark.parametrize(("given", "expected"), [("ppp", ["ppo"]), ("sac", []), ("npq", ["npg"]), ("dqn", [])])
def test_of_three_letters_two_that_agree_are_no_suggestion(given, expected):
    """``sac`` and ``a2c`` share two letters of three, and are two algorithms."""
    assert near(given, ["ppo", "a2c", "npg"]) == expected


def test_a_name_behind_a_dot_is_found_without_it():
    assert near("gamma", ["game", "competition.gamma"]) == ["competition.gamma"]


def test_a_word_of_names_is_found_where_no_name_is_near():
    known = ["game", "permanent_impact", "temporary_impact", "impacted"]
    assert near("impact", known) == ["impacted"]
    assert near("impact", known[:3]) == ["permanent_impact", "temporary_impact"]


def test_several_suggestions_are_one_question():
    assert suggestion("maker_7", ["maker_0", "maker_1", "trader_0"]) == "did you mean 'maker_1' or 'maker_0'? "
    assert str(unknown("agent", "x", ("a", "b"), " in algorithm", some=True)) == (
        "unknown agent 'x' in algorithm: expected some of ['a', 'b']"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gamma=2", "'gamma' in scenario 'acas': did you mean 'competition.gamma'? expected some of ['description'"),
        ("beta=2", "'beta' in scenario 'acas': did you mean 'impact.beta'?"),
        ("horizn=2", "'horizn' in scenario 'acas': did you mean 'horizon'?"),
        (
            "competition.gama=2",
            "'gama' in competition: did you mean 'gamma'? expected some of ['gamma', 'intensity', 'kind']",
        ),
        ("competition.kid=2", "'kid' in competition: did you mean 'kind'?"),
        ("colour=2", "'colour' in scenario 'acas': expected some of"),
    ],
)
def test_a_key_is_suggested_with_the_table_that_has_it(override, message):
    with pytest.raises(ValueError, match="unknown key ") as error:
        load_scenario("acas", [override])
    assert message in str(error.value)


def test_a_key_of_a_part_is_that_of_its_own_kind():
    with pytest.raises(ValueError, match=r"did you mean 'competition\.rate'\?"):
        load_scenario("acas", ['competition={kind="softmax",rate=1.0}', "rate=2.0"])


def test_a_file_that_is_named_like_a_scenario_is_one():
    with pytest.raises(ValueError, match=r"there is no file 'acas\.toml'; did you mean 'acas'\?$"):
        load_scenario("acas.toml")


def test_an_argument_of_an_environment_is_suggested():
    with pytest.raises(TypeError, match=r"argument 'obsrvation': did you mean 'observation'\? expected"):
        acas_v0.parallel_env(obsrvation="time")

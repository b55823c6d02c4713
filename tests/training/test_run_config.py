"""What a training depends on is plain numbers and names, whatever it was given as."""

import json
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from makertaker.training.common import files
from makertaker.training.run_config import RunConfig, load_config, parse_algorithm

VALUES = {"trader_inventory": [-5.0], "maker_inventory": [1.0, 0.0]}
COUNTS = ("timesteps", "steps", "seed", "markets", "checkpoints")
AGENTS = ("trader_0", "maker_0")


def plain(document):
    """True if a document has nothing but Python's own types."""
    if type(document) in (dict, list):
        inner = document.values() if type(document) is dict else document
        return all(map(plain, inner))
    return document is None or type(document) in (bool, int, float, str)


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16])
@pytest.mark.parametrize("name", COUNTS)
def test_whole_numbers_of_numpy_are_stored_as_numbers(tmp_path, name, kind):
    config = RunConfig("mine", VALUES, **{name: kind(12)})
    assert (getattr(config, name), type(getattr(config, name))) == (12, int)
    files.write_json(tmp_path / "config.json", asdict(config))
    assert json.loads((tmp_path / "config.json").read_bytes())[name] == 12
    assert load_config(tmp_path) == config == RunConfig("mine", VALUES, **{name: 12})


def test_values_become_plain(tmp_path):
    given = {
        "trader_inventory": np.array([-5.0]),
        "maker_inventory": (np.float32(1.0), np.int64(0)),
        "trader_terminal_penalty": np.float64(np.inf),
        "maker_running_penalty": Fraction(1, 2),
        "buy_flow": {"points": np.array([[0.0, 1.0], [1.0, 2.0]])},
        "description": np.str_("größer"),
        "steps": np.int32(5),
    }
    config = RunConfig(
        np.str_("mine"),
        given,
        algorithm={np.str_(agent): np.str_("ppo") for agent in ("trader_0", "maker_0", "maker_1")},
        engine=np.str_("sb3"),
        information=np.str_("time"),
        hyperparameters={"ppo": {"gamma": np.float32(0.5), "n_epochs": np.int64(3), "net_arch": (8, np.int64(8))}},
    )
    assert plain(asdict(config))
    assert config.values == {
        "trader_inventory": [-5.0],
        "maker_inventory": [1.0, 0],
        "trader_terminal_penalty": "inf",
        "maker_running_penalty": 0.5,
        "buy_flow": {"points": [[0.0, 1.0], [1.0, 2.0]]},
        "description": "größer",
        "steps": 5,
    }
    files.write_json(tmp_path / "config.json", asdict(config))
    assert load_config(tmp_path) == config
    assert config.load().game.maker_running_penalty == 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        *(({name: value}, f"{name}: expected .* got") for name in COUNTS for value in ("640", 64.0, True, -1, [1])),
        ({"timesteps": np.float64(640.0)}, r"timesteps: expected a positive whole number, got np.float64\(640.0\)"),
        ({"values": [1]}, r"values: expected the contents of a scenario file, got \[1\]"),
        (
            {"values": {"description": date(2020, 1, 1)}},
            "values.description: expected a number, .* got datetime",
        ),
        ({"values": {"buy_flow": {"mean": Decimal(1)}}}, r"values.buy_flow.mean: expected .* got Decimal\('1'\)"),
        ({"values": {1: 2}}, "values: expected keys that are text, got 1"),
        ({"values": {"trader_inventory": [1j]}}, "values.trader_inventory: expected .* got 1j"),
        ({"scenario": Path("mine.toml")}, "scenario: expected a name, got PosixPath"),
        ({"algorithm": 5}, "algorithm: expected a name, or names by agent, got 5"),
        ({"algorithm": {}}, "algorithm: expected a name, or names by agent, got {}"),
        ({"algorithm": {"trader_0": None}}, "algorithm.trader_0: expected a name, got None"),
        ({"engine": ["sb3"]}, r"engine: expected a name, got \['sb3'\]"),
        ({"information": None}, "unknown information None: .*expected one of"),
        ({"inventory_spread": -1.0}, r"inventory_spread: expected a finite number >= 0, got -1\.0"),
        ({"inventory_spread": "wide"}, "inventory_spread: expected a finite number >= 0, got 'wide'"),
    ],
)
def test_anything_else_is_refused_in_one_line(changed, message):
    with pytest.raises(ValueError, match=message) as error:
        RunConfig(**{"scenario": "mine", "values": VALUES, **changed})
    assert "\n" not in str(error.value)


def test_what_is_no_json_is_not_written(tmp_path):
    """Not as a text that reads like it."""
    with pytest.raises(TypeError, match="int64"):
        files.write_json(tmp_path / "run.json", {"steps": np.int64(3)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ppo", "ppo"),
        (" sac ", "sac"),
        ("trader_0=sac", {"trader_0": "sac", "maker_0": "ppo"}),
        (" trader_0 = sac , maker_0= equilibrium ", {"trader_0": "sac", "maker_0": "equilibrium"}),
    ],
)
def test_algorithms_are_named_with_or_without_spaces(text, expected):
    assert parse_algorithm(text, AGENTS) == expected


@pytest.mark.parametrize("text", ["trader_0=sac,trader_0=ppo", "maker_0=ppo,trader_0=sac, trader_0 =ppo"])
def test_an_agent_has_one_algorithm(text):
    with pytest.raises(ValueError, match="expected one for each agent, got 'sac' and 'ppo' for 'trader_0'"):
        parse_algorithm(text, AGENTS)

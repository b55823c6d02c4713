"""Functions of the user's that fail, and numbers of unusual kinds: what is said, and what is taken."""

import math
from fractions import Fraction

import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.envs import (
    Affine,
    CustomImpact,
    CustomIntensity,
    Decay,
    ExecutionGame,
    Factor,
    Logistic,
    MakerTakerGame,
    Points,
    Sine,
    Uniform,
    load_scenario,
    ornstein_uhlenbeck,
)

SINGLE = "it takes single numbers only: use NumPy's functions, such as np.sin and np.where, or np.vectorize"


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (lambda t: math.sin(t), f"which raised TypeError: only .*; {SINGLE}"),
        (lambda t: 1 if t < 0.5 else 2, f"which raised ValueError: The truth value .*; {SINGLE}"),
        (lambda t: {}["key"], "which raised KeyError: 'key'$"),
        (lambda t: 1 / 0, "which raised ZeroDivisionError: division by zero$"),
        (lambda t, factor: t, "which raised TypeError: .* missing 1 required positional argument: 'factor'$"),
        (lambda t: "much", "which returned 'much'$"),
        (lambda t: [1.0, [2.0]], r"which returned \[1.0, \[2.0\]\]$"),
    ],
)
@pytest.mark.parametrize("name", ["buy_flow", "trader_running_penalty"])
def test_a_function_of_time_that_fails_is_refused_with_the_cause(name, function, cause):
    with pytest.raises(ValueError, match=f"^{name}: expected a number or a callable of time, got <function.*{cause}"):
        MakerTakerGame((4.0,), **{name: function})


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (lambda t, factor: math.sin(factor), f"TypeError: only .*; {SINGLE}"),
        (lambda t, factor: {}["key"], "KeyError: 'key'$"),
        (lambda t: t, "TypeError: .* takes 1 positional argument but 2 were given$"),
    ],
)
def test_so_is_one_of_a_factor(function, cause):
    raised = f"got <function .*, which raised {cause}"
    for name in ("drift", "diffusion"):
        with pytest.raises(ValueError, match=rf"^factor.{name}: expected a callable of \(time, factor\), {raised}"):
            Factor((0.0, 0.0), **{name: function})
    with pytest.raises(ValueError, match=rf"^sell_flow: expected a number or a callable of \(time, factor\), {raised}"):
        MakerTakerGame((4.0,), factor=Factor((0.0, 0.0)), sell_flow=function)


def test_so_is_a_part_of_the_market():
    fine = (lambda x: np.exp(-x), lambda x: -np.exp(-x), lambda x: np.exp(-x))
    for i, name in enumerate(("function", "first", "second")):
        given = [*fine[:i], lambda x: math.exp(-x), *fine[i + 1 :]]
        with pytest.raises(ValueError, match=f"^intensity.{name}: expected a callable of distances, got .*{SINGLE}"):
            CustomIntensity(*given)
    impact = CustomImpact(lambda v: v**2, lambda v: 2 * v, lambda v: {}["key"])
    with pytest.raises(ValueError, match=r"^impact.hessian: expected a callable of rates, got .* KeyError: 'key'$"):
        MakerTakerGame((4.0,), impact=impact)


SHAPES = [{"shape": "affine", "constant": 1.0}, {"shape": "logistic", "low": 1.0, "high": 2.0}]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("game", "key"), [("maker_taker", "buy_flow"), ("execution", "sell_flow"), ("execution", "running_penalty")]
)
def test_a_shape_of_a_factor_asks_for_one(game, key, shape):
    orders = {"initial_inventory": [4.0]} if game == "execution" else {"trader_inventory": [4.0]}
    said = rf"^{key}: .* got (Affine|Logistic)\(.*\), a function of a factor: only flows may be one, in a game that has"
    with pytest.raises(ValueError, match=said):
        load_scenario({"game": game, **orders, key: shape})


@pytest.mark.parametrize("name", [5, b"acas", None, ["acas"]])
def test_a_scenario_is_a_name_a_path_or_a_mapping(name):
    with pytest.raises(ValueError, match="scenario: expected a name, a path or a mapping, got"):
        load_scenario(name)


HALF = Fraction(1, 2)
KEYS = ("horizon", "trader_running_penalty", "trader_terminal_penalty", "inventory_noise", "buy_flow", "max_rate")


@pytest.mark.parametrize("name", KEYS)
def test_fractions_are_the_numbers_that_they_are(name):
    assert MakerTakerGame((4.0,), **{name: HALF}) == MakerTakerGame((4.0,), **{name: 0.5})


def test_a_game_of_fractions_is_solved():
    given = {"trader_terminal_penalty": HALF, "trader_running_penalty": (HALF,), "buy_flow": Sine(HALF, Fraction(1, 4))}
    plain = {"trader_terminal_penalty": 0.5, "trader_running_penalty": (0.5,), "buy_flow": Sine(0.5, 0.25)}
    payoffs = [solve(MakerTakerGame((4 * HALF,), **each), 4).payoffs for each in (given, plain)]
    assert payoffs[0].tolist() == payoffs[1].tolist()


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("power", [63, 64, 500])
def test_integers_of_any_size_that_floats_hold_are_taken(name, power):
    assert MakerTakerGame((4.0,), **{name: 2**power}) == MakerTakerGame((4.0,), **{name: 2.0**power})


@pytest.mark.parametrize("value", [10**400, Fraction(10**400)])
@pytest.mark.parametrize(
    "make",
    [
        *(lambda value, name=name: MakerTakerGame((4.0,), **{name: value}) for name in KEYS),
        lambda value: MakerTakerGame((value,)),
        lambda value: ExecutionGame((value,)),
        lambda value: MakerTakerGame((4.0,), trader_running_penalty=(value,)),
        lambda value: MakerTakerGame((4.0,), buy_flow=Sine(value, 1.0)),
        lambda value: MakerTakerGame((4.0,), buy_flow=Decay(value, 1.0)),
        lambda value: Affine(value),
        lambda value: Affine(1.0, (value,)),
        lambda value: Logistic(0.0, value),
        lambda value: Points(((0, value),)),
        lambda value: Uniform(value, value),
        lambda value: ornstein_uhlenbeck(value, 1.0),
        lambda value: ornstein_uhlenbeck(1.0, 1.0, initial=(value,)),
    ],
)
def test_larger_ones_are_refused(make, value):
    with pytest.raises(ValueError, match="expected"):
        make(value)

"""Scenarios of games with noise, and games and noise that are refused."""

import math
from typing import Any

import numpy as np
import pytest

from makertaker.baselines import open_loop_policies
from makertaker.envs import (
    Logistic,
    Noise,
    approximation_v0,
    bounded_reversion,
    draw_noise,
    load_scenario,
    read_scenario,
    rollout,
    simulate,
)
from support.noisy_market import STEPS, noisy_game, quoting


def test_scenarios_say_what_the_shapes_and_factors_are() -> None:
    assert load_scenario("approximation") == approximation_v0.parallel_env().game
    assert load_scenario("approximation-small-noise").inventory_noise == 0.03
    game = load_scenario("approximation-2x3", ["buy_flow.low=1", "factor.mean=0.25", "factor.mean_reversion=[3.0]"])
    assert game.buy_flow == Logistic(1, 2.5, 1.0)
    assert game.factor == bounded_reversion((3.0,), 1.0, 2.0, mean=0.25, initial=(0.5,))
    for level in (-1e3, -2.0, 0.0, 0.7, 1e3):
        share = 0.5 + math.tanh(level / 2) / 2  # 1 / (1 + exp(-level))
        flows = game.flows(np.zeros(()), np.full((2, 1), level))
        np.testing.assert_allclose(flows, [[1.0 + 1.5 * share] * 2, [2.5 - 2.0 * share] * 2], rtol=1e-12)
        moved = game.factor.move(0.0, np.array([level]), 0.1, np.zeros(1)) - level
        np.testing.assert_allclose(moved, 0.1 * 3.0 * 2.0 * math.tanh((0.25 - level) / 2.0), atol=1e-12)


BOUNDED = ['factor.kind="bounded_reversion"', "factor.bound=1.0"]
BAD_SCENARIOS = [
    (["inventory_noise=-0.1"], r"inventory_noise: expected a finite number >= 0, got -0\.1"),
    (["inventory_noise=true"], "inventory_noise: expected a number"),
    (["buy_flow.low=-1.0"], r"buy_flow.low: expected a finite number >= 0, got -1\.0"),
    (["sell_flow.high=-1.0"], r"sell_flow.high: expected a finite number >= 0, got -1\.0"),
    (["sell_flow.high=inf"], "sell_flow.high: expected a finite number >= 0, got inf"),
    (["buy_flow.middle=1.0"], r"unknown key 'middle' in buy_flow: .*expected some of \['low', 'high', 'slope'\]"),
    (['buy_flow.slope="steep"'], "buy_flow.slope: expected a number or a tuple of numbers, got 'steep'"),
    (["sell_flow.slope=[1.0, 2.0]"], "sell_flow: .*slope: expected 1"),
    (['buy_flow={shape="logistic", low=1.0}'], "buy_flow: .* missing 1 required positional argument: 'high'"),
    (['buy_flow.shape="cubic"'], r"unknown buy_flow\.shape 'cubic': .*expected one of .*'affine', 'logistic'\]"),
    (['factor.kind="levy"'], r"unknown factor\.kind 'levy': .*expected one of .*'bounded_reversion'\]"),
    (BOUNDED[:1], "factor: .* missing 1 required positional argument: 'bound'"),
    (BOUNDED[1:], "unknown key 'bound' in factor: .*expected some of"),
    ([*BOUNDED, "factor.bound=-1.0"], r"factor\.bound: expected positive numbers, got -1\.0"),
    ([*BOUNDED, "factor.bound=[1.0, 1.0]"], r"factor\.bound: expected a finite number or 1 of them"),
    ([*BOUNDED, "factor.initial=1.0"], r"factor\.initial: expected a list of numbers, got 1\.0"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD_SCENARIOS)
def test_bad_scenarios_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_scenario("approximation", overrides)


BAD_GAMES = [
    ({"inventory_noise": -1.0}, r"inventory_noise: expected a finite number >= 0, got -1\.0"),
    ({"inventory_noise": np.inf}, "inventory_noise: expected a finite number >= 0, got inf"),
    ({"inventory_noise": (0.1,) * 5}, "inventory_noise: expected a number, got"),
    ({"factor": 1.0}, r"factor: expected a Factor or None, got 1\.0"),
    ({"factor": None}, "buy_flow: expected a number or a callable of time, got"),
    ({"buy_flow": lambda t, factor: factor}, r"buy_flow: .* finite values .* batch shape, .*; got shape \(3, 2\)"),
    ({"sell_flow": lambda t, factor: factor[..., 0, None]}, "sell_flow: .* must return finite values"),
    ({"sell_flow": lambda t, factor: np.nan * factor[..., 0]}, "sell_flow: .* must return finite values"),
    ({"sell_flow": lambda t: 1.0}, r"sell_flow: expected a number or a callable of \(time, factor\), got"),
    ({"sell_flow": -1.0}, "sell_flow: expected finite values >= 0, got -1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_GAMES)
def test_bad_games_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noisy_game(**changes)


BAD_NOISE = [
    ({}, {"inventory": (5, 5)}, r"noise\.inventory: expected shape \(\.\.\., 4, 5\), got \(5, 5\)"),
    ({}, {"inventory": (2, 4, 4)}, r"noise\.inventory: expected shape .* got \(2, 4, 4\)"),
    ({}, {"inventory": (5,)}, r"noise\.inventory: expected shape .* got \(5,\)"),
    ({}, {"factor": (4, 1)}, r"noise\.factor: expected shape \(\.\.\., 4, 2\), got \(4, 1\)"),
    ({}, {"factor": (3, 2)}, r"noise\.factor: expected shape .* got \(3, 2\)"),
    ({"inventory_noise": 0.0}, {"inventory": (4, 5)}, r"noise\.inventory: the game has no"),
    ({"factor": None, "buy_flow": 1.0}, {"factor": (4, 2)}, r"noise\.factor: the game has no"),
]


@pytest.mark.parametrize(("changes", "shapes", "message"), BAD_NOISE)
def test_noise_that_does_not_fit_is_refused(changes: dict[str, Any], shapes: dict[str, Any], message: str) -> None:
    game, noise = noisy_game(**changes), Noise(**{name: np.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(ValueError, match=message):
        simulate(game, quoting(game), STEPS, noise)
    with pytest.raises(ValueError, match=message):
        rollout(game, open_loop_policies(game, quoting(game)), STEPS, noise)


@pytest.mark.parametrize("paths", [0, 1, 3, -2, 2.0, True, "2"])
def test_paths_that_make_no_pairs_are_refused(paths: Any) -> None:
    with pytest.raises(ValueError, match="paths: expected a positive even number, got"):
        draw_noise(noisy_game(), STEPS, paths, seed=0)

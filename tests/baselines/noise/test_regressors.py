"""The decoupling field by a network, from other points, and where it is hard to find; options that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from makertaker.baselines import EquilibriumNotFound, FieldOptions, solve
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.envs import Logistic, SoftmaxShare, ornstein_uhlenbeck
from support.maker_taker_games import scenario_game

STEPS = 10


def test_a_network_finds_the_same_field(noisy: DecouplingEquilibrium) -> None:
    pytest.importorskip("torch")
    found = solve(
        noisy.game, STEPS, field=FieldOptions(regressor="neural", points=512, refine=False, passes=1, paths=512)
    )
    assert isinstance(found, DecouplingEquilibrium)
    np.testing.assert_allclose(found.adjoint(0, noisy.game.start), noisy.adjoint(0, noisy.game.start), atol=5e-3)
    np.testing.assert_allclose(found.payoffs, noisy.payoffs, atol=5e-3)
    k, at = 5, noisy.inventories[5]
    np.testing.assert_allclose(found.slope[k], noisy.slope[k], atol=0.05)
    assert found.adjoint(k, at).shape == (3,)


def test_sample_points_hardly_matter(noisy: DecouplingEquilibrium) -> None:
    """Across seeds the adjoints at the start agree to 0.2% of their size."""
    values = [
        solve(noisy.game, STEPS, field=FieldOptions(seed=seed, refine=False, paths=256)).adjoint(0, noisy.game.start)
        for seed in (1, 2)
    ]
    for each in values:
        np.testing.assert_allclose(each, noisy.adjoint(0, noisy.game.start), atol=2e-3 * 4.2 / 10)


@pytest.mark.parametrize(
    "changed",
    [
        {"horizon": 8.0},
        {"inventory_noise": 6.0},
        {"trader_running_penalty": 20.0, "maker_running_penalty": 20.0},
        {"trader_terminal_penalty": 8.0, "maker_terminal_penalty": 8.0},
        {"buy_flow": Logistic(0.0, 60.0, 8.0), "sell_flow": Logistic(0.0, 60.0, -8.0)},
        {"factor": ornstein_uhlenbeck(2.0, 20.0)},
        {"competition": SoftmaxShare(8.0)},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_stress(changed: dict[str, Any]) -> None:
    """A result with an error estimate, or a diagnosis; never NaN."""
    try:
        found = solve(scenario_game(**changed), STEPS, field=FieldOptions(degree=3, paths=256, passes=1))
    except EquilibriumNotFound as error:
        assert "decoupling field" in str(error)  # noqa: PT017
        return
    assert isinstance(found, DecouplingEquilibrium)
    assert 0 < found.errors.relative <= 0.05
    for each in (found.payoffs, found.inventories, found.adjoints, *found.controls):
        assert np.isfinite(each).all()


def test_unreliable_fields_are_returned_only_if_asked_for() -> None:
    crude = scenario_game("acas", inventory_noise=8.0, trader_terminal_penalty=5.0, maker_terminal_penalty=5.0)
    options = FieldOptions(degree=1, points=64, passes=0, paths=64)
    with pytest.raises(EquilibriumNotFound, match=r"not (accurate|found)"):
        solve(crude, STEPS, field=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 0}, "degree: expected a positive whole number"),
        ({"points": 1.5}, "points: expected a whole number >= 2"),
        ({"paths": 3}, "paths: expected an even number"),
        ({"regressor": "forest"}, "regressor: expected 'polynomial', 'neural' or None"),
        ({"reach": -1.0}, "reach: expected a positive finite number"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FieldOptions(**options)


def test_a_single_maker_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax competition needs at least 2 makers"):
        scenario_game(maker_inventory=(1.0,))

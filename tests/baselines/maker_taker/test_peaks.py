"""Parts outside of the paper's classes, whose first-order conditions may hold at a minimum: what solvers say of them.

The functions pass no check of their own here, so that the solvers alone have to notice.
"""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import EquilibriumNotFound, FieldOptions, best_response, exploitability, solve
from makertaker.baselines.equilibrium import Status
from makertaker.envs import BestQuote, Controls, CustomImpact, CustomIntensity, MakerTakerGame, QuarticImpact
from support.market_parts import bumpy, diagonal


class UncheckedImpact(CustomImpact):
    def validate(self, horizon, usual, max_rate):
        pass


class UncheckedIntensity(CustomIntensity):
    def __post_init__(self):
        pass


def dented(height=0.35, at=4.0):
    """``v^2 / 2 + height exp(-4 (v - at)^2)``, whose second derivative at ``at`` is ``1 - 8 height``."""

    def dent(v):
        return height * np.exp(-4 * (v - at) ** 2)

    return UncheckedImpact(
        lambda v: v**2 / 2 + dent(v),
        lambda v: v - 8 * (v - at) * dent(v),
        lambda v: diagonal(1 + (64 * (v - at) ** 2 - 8) * dent(v)),
    )


DENTED = MakerTakerGame(trader_inventory=(-10.0,), impact=dented(), max_rate=1000.0)
BUMPY = MakerTakerGame(trader_inventory=(-5.0,), competition=BestQuote(UncheckedIntensity(*bumpy(0.0, 0.02, 0.05))))


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (DENTED, "trader_0 does better with the rate .* the impact is not in the class of Definition 3.2"),
        (BUMPY, "maker_0 does better with the ask .* outside of Definitions 3.4 and 5.1"),
        (
            replace(DENTED, trader_inventory=(-8.0,), inventory_noise=0.2),
            r"in step \d trader_0 does better with the rate",
        ),
    ],
    ids=["impact", "intensity", "noise"],
)
def test_no_minimum_counts_as_an_equilibrium(game, message):
    options = FieldOptions(degree=2, paths=256, refine=False)  # without noise rates are 3.17: past the dent
    with pytest.raises(EquilibriumNotFound, match=message):
        solve(game, 3, field=options)
    found = solve(game, 3, throw=False, field=options)
    assert found.status is Status.NO_MAXIMUM
    assert "does better with the" in found.message


def test_what_the_better_rate_is_worth():
    """The condition ``lambda'(v) = y - s`` holds, and ``(y - s) v - lambda(v)`` is larger elsewhere, by as much as is
    said."""
    found = solve(DENTED, 3, throw=False)
    rate, marginal = found.controls.rate[0, 0], found.adjoints[0, 0] - found.controls.ask[0].min()
    cost = DENTED.impact.function
    assert DENTED.impact.gradient(rate) == pytest.approx(marginal, rel=1e-9)
    tried = np.linspace(3, 6, 3001)
    gain = (marginal * tried - cost(tried)).max() - (marginal * rate - cost(rate))
    said = float(found.message.split(" by ")[1].split(" per ")[0])
    assert 0.5 * gain < said < 1.01 * gain  # the best of those that were tried


def test_a_best_response_is_a_maximum_or_an_error():
    """At the rates that the equations lead to a gain of 0 would be reported."""
    played = solve(DENTED, 3, throw=False).controls
    with pytest.raises(EquilibriumNotFound, match="a best response was not found: trader_0 does better"):
        exploitability(DENTED, played, 3)
    quotes = solve(BUMPY, 3, throw=False).controls
    # its markup jumps where the bump is, which is seen wherever a search comes by
    refusal = "a best response was not found: maker_0 does better|intensity: expected a markup"
    with pytest.raises((EquilibriumNotFound, ValueError), match=refusal):
        best_response(BUMPY, quotes, "maker_0", 3)


def test_one_agent_s_response_does_not_fail_with_another_s():
    """The trader's is no maximum; the makers' are found, and gain nothing in what solves their conditions."""
    played = solve(DENTED, 3, throw=False).controls
    for agent in ("maker_0", "maker_1"):
        assert abs(best_response(DENTED, played, agent, 3).gain) < 1e-9
    with pytest.raises(EquilibriumNotFound, match="trader_0"):
        best_response(DENTED, played, "trader_0", 3)


def test_parts_in_the_class_are_left_alone():
    """A function of the user's own and the same part built in: one equilibrium, also with limits that bind."""
    own = CustomImpact(
        lambda v: v**2 / 2 + 0.02 * v**4,
        lambda v: v + 0.08 * v**3,
        lambda v: diagonal(1 + 0.24 * v**2),
    )
    unit = CustomIntensity(lambda x: np.exp(-x), lambda x: -np.exp(-x), lambda x: np.exp(-x))
    for limits in ({}, {"max_rate": 2.5, "max_quote": 1.2, "min_rate": 0.5}):
        game = MakerTakerGame((-10.0, 4.0, -0.2), (1.0, -2.0, 0.3), impact=QuarticImpact(0.5, 0.02), **limits)
        same = replace(game, impact=own, competition=BestQuote(unit))
        for mine, built_in in zip(solve(same, 6).controls, solve(game, 6).controls, strict=True):
            np.testing.assert_allclose(mine, built_in, atol=1e-9)
        middling = Controls(np.full((6, 3), [1.0, -1.0, 0.6]), np.ones((6, 3)), np.ones((6, 3)))
        gains = (exploitability(each, middling, 6).gains for each in (same, game))
        np.testing.assert_allclose(*gains, atol=1e-9)

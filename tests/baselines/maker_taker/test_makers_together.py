"""The coalition of makers without traders: a concave problem, against its own first-order conditions by differences."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import NoOptimum, coalition_optimum, solve
from makertaker.baselines.maker_taker.makers_alone import MakersTogether
from makertaker.envs import Controls, MakerTakerGame, SoftmaxShare, load_scenario, simulate
from makertaker.envs.grid import grid


def makers(inventory, competition, running, terminal, buys, sells, horizon):
    return MakerTakerGame(
        trader_inventory=(),
        maker_inventory=inventory,
        horizon=horizon,
        competition=competition,
        maker_running_penalty=running,
        maker_terminal_penalty=terminal,
        buy_flow=buys,
        sell_flow=sells,
    )


# far from each other, with flow on one side: a search for quotes ends early there, or at its bounds
GAMES = {
    "dealers": (load_scenario("dealers"), 20),
    "one step": (makers((3.37, 3.43, -1.45), SoftmaxShare(2.77, (-2, 2, 2.8), 0.7), 0.09, 2.39, 3.21, 0.17, 3.12), 1),
    "four": (makers((-3.51, -8.21, -2.85, -4.26), SoftmaxShare(3.12, None, -2.4), 2.46, 0.15, 0.18, 9.14, 0.49), 3),
    "far apart": (makers((-5, 5), SoftmaxShare(1.0, None, -2.0), 1.0, 1.0, 1.0, 1.0, 1.0), 10),
    "monopolist": (makers((2.0,), SoftmaxShare(1.0, None, 0.0), 0.3, 0.5, 2.0, 1.0, 1.0), 5),
}


def total(game, steps, ask, bid):
    """The makers' payoff (...,) at quotes (..., K, M)."""
    rate = np.zeros((*ask.shape[:-1], 0))
    return simulate(game, Controls(rate, ask, bid), steps).payoffs.sum(axis=-1)


@pytest.mark.parametrize(("game", "steps"), GAMES.values(), ids=GAMES)
def test_no_quotes_are_better(game, steps):
    """Neither small nor large changes of quotes, in random directions, pay more: the problem is concave in shares."""
    found = coalition_optimum(game, steps)
    ask, bid = found.controls.ask, found.controls.bid
    best, rng = total(game, steps, ask, bid), np.random.default_rng(0)
    assert best == pytest.approx(found.payoffs.sum(), rel=1e-12)
    assert best >= solve(game, steps).payoffs.sum() - 1e-12
    for size in 10.0 ** np.arange(-3, 2):
        moves = size * game.margin * rng.standard_normal((2, 300, *ask.shape))
        assert total(game, steps, ask + moves[0], bid + moves[1]).max() <= best + 1e-12 * abs(best)
    assert "the only optimum" in found.message


def test_totals_that_were_computed_in_shares():
    """By damped Newton on the total as a function of shares, another program."""
    for name, expected in (("one step", -6.364080), ("four", -101.33402), ("dealers", 13.646878)):
        assert coalition_optimum(*GAMES[name]).payoffs.sum() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("game", "steps"), GAMES.values(), ids=GAMES)
def test_the_jacobian_is_the_derivative(game, steps):
    system = MakersTogether(game, game.coefficients(grid(game, steps)), game.horizon / steps)
    values, width = np.random.default_rng(1).normal(0, 2, (steps, game.makers)), 1e-5
    for j, unit in enumerate(width * np.eye(game.makers)):
        slope = (system.rates(values + unit) - system.rates(values - unit)) / (2 * width)
        np.testing.assert_allclose(system.jacobian(values)[..., j], slope, rtol=1e-6, atol=1e-8)


def test_a_bound_below_the_optimum_is_named():
    game, steps = GAMES["dealers"]
    largest = np.abs(coalition_optimum(game, steps).controls.ask).max()
    with pytest.raises(NoOptimum, match="beyond max_quote"):
        coalition_optimum(replace(game, max_quote=0.9 * largest), steps)


def test_descriptions_are_taken_as_elsewhere():
    assert coalition_optimum("dealers").payoffs.sum() == pytest.approx(13.646878, rel=1e-7)
    with pytest.raises(ValueError, match="expected makers, got ExecutionGame without any"):
        coalition_optimum("execution-2")

"""Derivatives of a step's activity and of stage payoffs, against differences along imaginary and real steps."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import MarkovOptions, markov_nash
from makertaker.baselines.closed_loop.stage import StageGames, separated
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.noise.field import inventory_sd, next_factors
from makertaker.envs import MakerTakerGame, SoftmaxShare
from support.market_parts import COMPETITIONS, IMPACTS
from support.moving_execution import SIGNAL, moving_game

GAME = MakerTakerGame(
    (-5.0, 4.0, -2.0),
    (1.0, 0.0, -1.0),
    maker_running_penalty=0.1,
    trader_running_penalty=0.2,
    buy_flow=2.0,
    sell_flow=1.5,
)
GAMES = (
    {f"{name} shares": replace(GAME, competition=part[0]) for name, part in COMPETITIONS.items()}
    | {f"{name} impact": replace(GAME, impact=part[0]) for name, part in IMPACTS.items()}
    | {"mean flow": replace(GAME, flow_from="mean"), "execution": moving_game(), "signal": moving_game(**SIGNAL)}
)


def derivative(function, point, width):
    """(..., m) derivatives of (...,) values at a point (m,), by central differences of fourth order."""
    columns = []
    for unit in width * np.eye(len(point)):
        near, far = (function(point + each) - function(point - each) for each in (unit, 2 * unit))
        columns.append((8 * near - far) / (12 * width))
    return np.stack(columns, axis=-1)


def draw(game, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(1.0, 3.0, game.traders) * -np.sign(game.start[: game.traders])
    return np.concatenate([rate, rng.uniform(0.5, 2.5, 2 * game.makers)])


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_marginals_are_the_derivatives_of_activity(game):
    system = kind_of(game, 4).step_system()
    factor = None if game.factor is None else np.array([game.factor.initial])
    c = system.coefficients(1, factor)
    point = draw(game)

    found = system.marginals(c, separated(system, point[None]))

    def activity(values):
        return game.activity(c, separated(system, values[None]))

    rates = derivative(lambda values: activity(values).inventory_rate[0], point, 1e-3)
    np.testing.assert_allclose(found.rate[0].T, rates, rtol=1e-8, atol=1e-9)
    incomes = derivative(lambda values: activity(values).income[0], point, 1e-3)
    owner = np.concatenate([np.arange(game.traders), *2 * [game.traders + np.arange(game.makers)]])
    np.testing.assert_allclose(found.income[0], incomes[owner, np.arange(len(owner))], rtol=1e-8, atol=1e-9)
    if found.drift is not None:
        drift = derivative(lambda values: np.ravel(activity(values).drift)[0], point, 1e-3)
        np.testing.assert_allclose(found.drift[0], drift, rtol=1e-8)


STAGES = {
    "softmax": replace(GAME, competition=SoftmaxShare(1.0)),
    "execution": moving_game(),
    "signal": moving_game(**SIGNAL),
    "noise": replace(GAME, competition=SoftmaxShare(1.0), inventory_noise=0.3),
}


@pytest.mark.parametrize(
    "game",
    [
        replace(each, competition=SoftmaxShare(1.0)) if hasattr(each, "competition") else each
        for each in STAGES.values()
    ],
    ids=STAGES,
)
def test_the_gradient_is_the_derivative_of_what_an_agent_is_paid(game):
    """Running penalty, drift of the price and what comes later included."""
    steps = 3
    found = markov_nash(game, steps, MarkovOptions(refine=False, degree=2, paths=2), throw=False).field
    system, n = found.system, len(game.start)
    inventory = game.start[None] * 0.8
    factor = np.zeros((1, 0)) if game.factor is None else np.array([game.factor.initial])
    nodes, weights = found.cubature
    ahead = found.surfaces[2].expected(next_factors(system, 1, factor, nodes), weights, inventory_sd(system)).first(n)
    stages = StageGames(system, 1, factor, inventory, ahead, np.arange(n))
    point, one = draw(game, 1), np.zeros(1, dtype=int)

    gradient = stages.gradient(one, point[None])[0]
    values = derivative(lambda controls: stages.values(one, controls[None])[0], point, 1e-3)
    owner = stages.controlled.owner
    np.testing.assert_allclose(gradient, values[owner, np.arange(len(owner))], rtol=1e-7, atol=1e-8)

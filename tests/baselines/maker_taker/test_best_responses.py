"""Rung: best responses and gains, against optimisers for any function."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from makertaker.baselines import best_response, best_response_to_policies, exploitability, open_loop_policies, solve
from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, simulate
from support.maker_taker_games import APART, CROWD

MILD = BestQuote(Exponential(0.3))


def perturbed(game, steps, seed, size=0.3):
    """The equilibrium's controls with noise, within the constraints."""
    rng = np.random.default_rng(seed)
    return game.clip(Controls(*(each + size * rng.standard_normal(each.shape) for each in solve(game, steps).controls)))


def brute_force(game, controls, agent, steps):
    """The best payoff that L-BFGS-B finds over an agent's own controls, with the simulator's gradient."""
    torch = pytest.importorskip("torch")
    index = game.agents.index(agent)
    maker = index - game.traders

    def joint(own):
        rate, ask, bid = (torch.tensor(each, dtype=torch.float64) for each in controls)
        if maker < 0:
            rate[:, index] = own
        else:
            ask[:, maker], bid[:, maker] = own[:steps], own[steps:]
        return Controls(rate, ask, bid)

    def objective(x):
        own = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        loss = -simulate(game, joint(own), steps).payoffs[index]
        loss.backward()
        return loss.item(), own.grad.numpy()

    if maker < 0:
        first, bounds = controls.rate[:, index], [tuple(each[index] for each in game.rate_bounds)] * steps
    else:
        first = np.concatenate([controls.ask[:, maker], controls.bid[:, maker]])
        bounds = [(-game.quote_bound, game.quote_bound)] * (2 * steps)
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-10}
    return -minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("game", "agent"),
    [
        (APART, "trader_0"),
        (APART, "maker_0"),
        (APART, "maker_1"),
        (CROWD, "trader_2"),
        (CROWD, "maker_2"),
        # bounds that hold at the optimum
        (replace(APART, max_rate=1.5), "trader_0"),
        (replace(APART, min_rate=4.0), "trader_0"),
        (replace(APART, max_quote=1.0), "maker_0"),
    ],
)
def test_best_response_against_brute_force(game, agent, seed):
    controls = perturbed(game, 5, seed)
    found = best_response(game, controls, agent, 5)
    index = game.agents.index(agent)
    before = simulate(game, controls, 5).payoffs[index]
    assert found.gain > 1e-3  # there is something to find
    assert found.gain == pytest.approx(brute_force(game, controls, agent, 5) - before, abs=1e-6)
    assert found.payoff == pytest.approx(before + found.gain, abs=1e-12)
    assert exploitability(game, controls, 5).gains[index] == pytest.approx(found.gain, abs=1e-12)
    # only the agent's own controls have changed
    for i in range(game.traders):
        assert agent == f"trader_{i}" or (found.controls.rate[:, i] == controls.rate[:, i]).all()
    for i in range(game.makers):
        assert agent == f"maker_{i}" or (found.controls.ask[:, i] == controls.ask[:, i]).all()


@pytest.mark.parametrize("agent", APART.agents)
def test_best_response_to_policies_that_do_not_react(agent):
    controls = perturbed(APART, 5, 0)
    policies = open_loop_policies(APART, controls)
    searched, exact = best_response_to_policies(APART, policies, agent, 5), best_response(APART, controls, agent, 5)
    assert searched.gain == pytest.approx(exact.gain, abs=1e-6)
    assert searched.payoff == pytest.approx(exact.payoff, abs=1e-6)


@pytest.mark.parametrize("agent", APART.agents)
def test_gain_against_the_field_is_not_negative(agent):
    """The decoupling field played as feedback is no equilibrium among policies that react: gains are to be expected.

    The quotes' bound is close to the equilibrium's quotes (at most 5.1 here): shares are exponential in quotes, and the
    field is not solvable for whatever inventories a search between distant bounds may lead to.
    """
    game = replace(
        APART, trader_inventory=(-3.0,), maker_inventory=(1.0, -0.5), horizon=0.5, competition=MILD, max_quote=8.0
    )
    policies = solve(game, 4).feedback()
    result = best_response_to_policies(game, policies, agent, 4, iterations=10)
    assert result.gain > 0.01
    index = game.agents.index(agent)
    played = simulate(game, result.controls, 4).payoffs[index]
    assert result.payoff == pytest.approx(played, abs=1e-9)  # the payoff belongs to the controls


HARD = [
    dict(trader_terminal_penalty=10.0, maker_terminal_penalty=10.0, max_quote=1e4, max_rate=1e4),
    dict(trader_terminal_penalty=20.0, maker_terminal_penalty=5.0, max_quote=500.0),
    dict(horizon=10.0, trader_running_penalty=1.0, maker_running_penalty=1.0),
    dict(trader_inventory=(-50.0,), max_quote=500.0),
]


@pytest.mark.parametrize("changes", HARD, ids=str)
def test_best_responses_are_found_where_rates_are_steep(changes):
    """Against an equilibrium with strong penalties, and against quotes that miss it by a margin or two at random."""
    game = MakerTakerGame(**changes)
    equilibrium = solve(game, 20)
    gains = exploitability(game, equilibrium.controls, 20).gains
    np.testing.assert_allclose(gains, 0, atol=1e-9 * np.abs(equilibrium.payoffs).max())
    rng = np.random.default_rng(0)
    ask, bid = (each + rng.normal(size=each.shape) for each in equilibrium.controls[1:])
    missed = exploitability(game, Controls(equilibrium.controls.rate, ask, bid), 20)
    assert (missed.gains > 0).all()

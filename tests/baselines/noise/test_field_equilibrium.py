"""The equilibrium of a game with noise, its policies and their gains, against simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makertaker.baselines import FieldOptions, best_response, best_response_to_policies, exploitability, solve
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.baselines.noise.response import ResponseOptions, noisy_gains
from makertaker.envs import (
    Controls,
    MakerTakerGame,
    SoftmaxShare,
    State,
    approximation_v0,
    draw_noise,
    load_scenario,
    ornstein_uhlenbeck,
    rollout,
)
from support.maker_taker_games import scenario_game

STEPS = 10


# the equilibrium and its policies


def test_what_the_result_says(noisy: DecouplingEquilibrium) -> None:
    n = len(noisy.game.agents)
    assert noisy.converged
    assert "relative error about" in noisy.message
    assert noisy.inventories.shape == (STEPS + 1, n)
    assert noisy.adjoints.shape == (STEPS, n)
    assert noisy.slope.shape == (STEPS + 1, n, n)
    assert noisy.payoffs_se is not None
    assert (noisy.payoffs_se < 1e-3).all()
    low, middle, high = noisy.quantiles()
    assert (low[1:] < middle[1:]).all()
    assert (middle[1:] < high[1:]).all()
    with pytest.raises(ValueError, match=r"levels: expected numbers in \[0, 1\]"):
        noisy.quantiles([2.0])
    with pytest.raises(ValueError, match="factor: expected finite numbers of shape"):
        noisy.adjoint(0, noisy.game.start, np.zeros(3))
    # by default the factor's mean
    np.testing.assert_allclose(noisy.adjoint(0, noisy.game.start), noisy.adjoint(0, noisy.game.start, np.zeros(1)))
    end = np.array([[1.0, -2.0, 0.5]])
    c = noisy.game.coefficients(noisy.times)
    np.testing.assert_allclose(noisy.adjoint(STEPS, end), -2 * c.terminal_penalty * end, atol=1e-9)


def test_payoffs_are_those_of_a_plain_simulation(noisy: DecouplingEquilibrium) -> None:
    """The value along paths as a control variate changes the standard error, not the mean."""
    played = rollout(noisy.game, noisy.feedback(), STEPS, draw_noise(noisy.game, STEPS, 20_000, 11))
    error = played.payoffs.std(axis=0) / np.sqrt(20_000)
    assert noisy.payoffs_se is not None
    assert (np.abs(played.payoffs.mean(axis=0) - noisy.payoffs) < 4 * error + 1e-4).all()
    assert (noisy.payoffs_se < error / 4).all()


BIASED: dict[str, MakerTakerGame] = {
    "factor": scenario_game(horizon=2.0),
    "best quotes": MakerTakerGame((-5.0,), (1.0, 0.0), inventory_noise=0.4),
    "softmax": MakerTakerGame((-5.0,), (1.0, 0.0), inventory_noise=0.4, competition=SoftmaxShare(1.0)),
}


@pytest.mark.parametrize("degree", [3, None])
@pytest.mark.parametrize("game", BIASED.values(), ids=BIASED)
def test_standard_error_and_bias_cover_the_distance_to_a_finer_field(game: MakerTakerGame, degree: int | None) -> None:
    """Of degree 7 on other, and more, sample points and paths."""
    found = solve(game, 4, field=FieldOptions(degree=degree, paths=1024))
    finer = solve(game, 4, field=FieldOptions(degree=7, points=1024, paths=4096, seed=5, refine=False))
    assert found.payoffs_se is not None
    assert found.payoffs_bias is not None
    assert finer.payoffs_se is not None
    assert finer.payoffs_bias is None  # no refinement tells
    error = 3 * np.hypot(found.payoffs_se, finer.payoffs_se)
    assert (np.abs(found.payoffs - finer.payoffs) <= error + found.payoffs_bias).all()
    assert (found.payoffs_bias < 5e-3 * np.abs(found.payoffs).max()).all()  # and says something


def test_the_standard_error_alone_does_not_cover_a_rough_field() -> None:
    """Of degree 2: the distance is many standard errors."""
    game = BIASED["softmax"]
    rough = solve(game, 4, field=FieldOptions(degree=2, paths=1024))
    finer = solve(game, 4, field=FieldOptions(paths=4096, refine=False))
    assert rough.payoffs_se is not None
    assert rough.payoffs_bias is not None
    distance = np.abs(rough.payoffs - finer.payoffs)
    assert (distance > 5 * rough.payoffs_se).any()
    assert (distance <= 3 * rough.payoffs_se + rough.payoffs_bias).all()


def test_open_loop_and_feedback_agree_if_nobody_deviates(noisy: DecouplingEquilibrium) -> None:
    """For 10,000 markets at once; open-loop opponents do not react to a deviation, feedback does."""
    noise = draw_noise(noisy.game, STEPS, 10_000, 3)
    same = [rollout(noisy.game, each, STEPS, noise) for each in (noisy.open_loop(), noisy.feedback())]
    np.testing.assert_allclose(same[0].inventories, same[1].inventories, atol=1e-10)

    def sit(k: int, state: Any) -> Any:
        return np.zeros((*np.shape(state.inventories)[:-1], 1))

    deviated = [
        rollout(noisy.game, {**each, "trader_0": sit}, STEPS, noise) for each in (noisy.open_loop(), noisy.feedback())
    ]
    np.testing.assert_allclose(deviated[0].controls.ask, same[0].controls.ask, atol=1e-10)
    assert np.abs(deviated[1].controls.ask - same[0].controls.ask).max() > 1e-2


def test_open_loop_policies_cannot_be_shared_by_markets(noisy: DecouplingEquilibrium) -> None:
    policies = noisy.open_loop()
    rollout(noisy.game, policies, STEPS, draw_noise(noisy.game, STEPS, 2, 0))
    state = {"time": 0.0, "inventories": noisy.game.start, "quotes": np.zeros((2, 2))}
    for k in (0, 1):
        policies["trader_0"](k, State(factor=np.zeros(1), **state))
    with pytest.raises(ValueError, match="another factor or noise at the same step"):
        policies["maker_0"](1, State(factor=np.ones(1), **state))
    with pytest.raises(ValueError, match="expected step 2 of one market, got step 5"):
        policies["maker_0"](5, State(factor=np.ones(1), **state))


def test_environment_and_policies(noisy: DecouplingEquilibrium) -> None:
    """Open-loop policies in a single environment: their copy follows the market if nobody deviates."""
    env = approximation_v0.parallel_env(steps=STEPS, normalize=False, observation="full")
    assert env.unwrapped.game == noisy.game
    env.reset(seed=4)
    policies, reacting = noisy.open_loop(), noisy.feedback()
    for k in range(STEPS):
        state = env.market.state
        actions = {agent: policy(k, state) for agent, policy in policies.items()}
        for agent, action in actions.items():
            np.testing.assert_allclose(action, reacting[agent](k, state), atol=1e-5)
        env.step(actions)


# exploitability


def test_equilibrium_gains_are_zero_and_perturbed_profiles_are_caught(noisy: DecouplingEquilibrium) -> None:
    options = ResponseOptions(paths=1024, scored=4096)
    _, found = noisy_gains(noisy.field.system, noisy.profile, options=options)
    for each in found:
        assert abs(each.gain) <= 2 * each.gain_se + 2e-6
    controls = noisy.controls
    worse = Controls(0.8 * controls.rate, controls.ask + 0.3, controls.bid - 0.2)
    _, caught = noisy_gains(noisy.field.system, worse, options=options)
    for each in caught:
        assert each.gain > 20 * each.gain_se > 0
    single = best_response(noisy.game, worse, "maker_1", STEPS)
    assert single.gain == pytest.approx(caught[2].gain, rel=0.05)


def test_gains_with_hardly_any_noise_are_the_deterministic_ones() -> None:
    base = scenario_game(factor=None, buy_flow=1.0, sell_flow=2.0, inventory_noise=0.0)
    exact = solve(base, STEPS)
    c = exact.controls
    worse = Controls(0.7 * c.rate, c.ask + 0.2, c.bid + 0.4)
    wanted = exploitability(base, worse, STEPS).gains
    shaken = kind_of(replace(base, inventory_noise=0.01), STEPS).step_system()
    _, found = noisy_gains(shaken, worse, options=ResponseOptions(paths=512, scored=256))
    np.testing.assert_allclose([each.gain for each in found], wanted, rtol=2e-3)


def test_the_field_as_feedback_can_be_exploited(noisy: DecouplingEquilibrium) -> None:
    """A deviator who knows that the others react gains a little; against open-loop copies of the same field nobody
    does."""
    found = best_response_to_policies(noisy.game, noisy.feedback(), "trader_0", STEPS)
    assert found.gain > 10 * found.gain_se > 0
    still = best_response_to_policies(noisy.game, noisy.open_loop(), "trader_0", STEPS)
    assert abs(still.gain) < 1e-4


def test_rules_in_a_game_without_noise_are_scored_exactly() -> None:
    """As the schedules that they play: a policy for every agent, and a tabulated field."""
    still = load_scenario("acas")
    exact = solve(still, STEPS)
    np.testing.assert_allclose(exploitability(still, exact.feedback(), STEPS).gains, 0.0, atol=1e-12)
    field = exact.tabulate(FieldOptions(refine=False))
    wanted = exploitability(still, field.play(None).controls, STEPS).gains
    np.testing.assert_array_equal(exploitability(still, field, STEPS).gains, wanted)
    assert best_response(still, exact.open_loop(), "maker_0", STEPS).gain == pytest.approx(0.0, abs=1e-12)


def test_a_factor_without_noise_is_where_it_is() -> None:
    still = ornstein_uhlenbeck(2.0, 0.0, initial=(0.3,))
    quiet = scenario_game(inventory_noise=0.0, factor=still)
    found = solve(quiet, STEPS)
    path = still.path(found.times)
    np.testing.assert_array_equal(found.adjoint(3, quiet.start, path[3]), found.adjoint(3, quiet.start))
    with pytest.raises(ValueError, match=r"factor: it has no noise, expected .* at step 3"):
        found.adjoint(3, quiet.start, np.array([9.0]))


# other games


def test_best_quote_competition_with_noise() -> None:
    found = solve(scenario_game("acas", inventory_noise=0.3), STEPS)
    assert isinstance(found, DecouplingEquilibrium)
    assert found.errors.relative < 2e-3
    _, gains = noisy_gains(found.field.system, found.profile, options=ResponseOptions(paths=512, scored=1024))
    for each in gains:
        assert abs(each.gain) <= 3 * each.gain_se + 1e-5


@pytest.mark.slow
def test_two_traders_three_makers_and_many_paths() -> None:
    """Six state dimensions to 1%; gains at 100,000 paths within two standard errors."""
    found = solve(scenario_game("approximation-2x3"), 20)
    assert isinstance(found, DecouplingEquilibrium)
    assert found.errors.relative < 1e-3
    small = solve(scenario_game(), 20)
    _, gains = noisy_gains(small.field.system, small.profile, options=ResponseOptions(scored=100_000))
    for each in gains:
        assert abs(each.gain) <= 2 * each.gain_se


def test_a_constraint_that_holds_on_simulated_paths_is_said() -> None:
    """An order that nothing but the largest rate can follow, whatever the noise."""
    game = load_scenario("approximation", ["max_rate=0.5"])
    (note,) = solve(game, 4).notes
    assert note.startswith("rates are truncated at max_rate = 0.5 (trader_0 in 100% of steps and paths)")

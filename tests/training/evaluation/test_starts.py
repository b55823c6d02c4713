"""Policies over random starts: against exact gains from every one of them, and against other searches."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import MarkovOptions, exploitability, feedback_gains, feedback_nash, markov_nash, solve
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.profiles import Reference
from makertaker.baselines.remembered import remembered_feedback
from makertaker.baselines.responses import best_response_to_policies
from makertaker.baselines.sampling import pair_mean
from makertaker.envs import ExecutionGame, load_scenario, simulate
from makertaker.envs.market import Market
from makertaker.training.evaluation import starts as module
from makertaker.training.evaluation.scoring import evaluate
from makertaker.training.evaluation.starts import drawn_starts, random_starts

EXECUTION, ACAS = load_scenario("execution-2"), load_scenario("acas")
STEPS, FEW = 6, 4
NOTHING = Reference("none")


def started(game, start):
    if isinstance(game, ExecutionGame):
        return replace(game, initial_inventory=tuple(start))
    return replace(game, trader_inventory=tuple(start[:1]), maker_inventory=tuple(start[1:]))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(module, "PAIRS", FEW)
    monkeypatch.setattr(module, "_FEWEST", FEW)


def test_starts_are_antithetic_and_those_of_the_environments():
    drawn = drawn_starts(EXECUTION, 3.0, 5000)
    first, second = np.split(drawn - EXECUTION.start, 2)
    assert first == pytest.approx(-second)
    assert drawn.std(axis=0) == pytest.approx([3.0, 3.0], rel=0.03)
    assert np.array_equal(drawn_starts(EXECUTION, 3.0, 5000), drawn)
    wide = drawn_starts(ACAS, 20.0, 500)
    assert wide[:, 0].max() == 0
    market = Market(ACAS, steps=STEPS, batch=(1000,), inventory_spread=20.0)
    market.reset(np.random.default_rng(0))
    assert (market.inventories[:, 0] == 0).mean() == pytest.approx((wide[:, 0] == 0).mean(), abs=0.06)


@pytest.mark.parametrize("game", [EXECUTION, ACAS], ids=["execution", "acas"])
def test_gains_against_schedules_are_the_mean_of_exact_ones(game):
    """From every start the equilibrium's schedules are a profile of another game, whose gains are exact."""
    spread = 1.0
    policies = solve(game, STEPS).open_loop()
    metrics = evaluate(game, policies, STEPS, "time", inventory_spread=spread).metrics["random_starts"]
    drawn = drawn_starts(game, spread, FEW)
    profile = solve(game, STEPS).controls
    found = [exploitability(started(game, each), profile, STEPS) for each in drawn]
    gains = pair_mean(np.array([each.gains for each in found]))
    payoffs = pair_mean(np.array([simulate(started(game, each), profile, STEPS).payoffs for each in drawn]))
    for i, agent in enumerate(game.agents):
        own = metrics["agents"][agent]
        assert own["exploitability"] == pytest.approx(gains.value[i], abs=1e-9)
        assert own["exploitability_se"] == pytest.approx(gains.error[i], abs=1e-9)
        assert own["learned"] == pytest.approx(payoffs.value[i])
        assert own["over_feedback"] is None
    assert metrics["exploitability_against"] == "open-loop opponents (exact)"
    assert metrics["nash_conv"] == pytest.approx(gains.value.sum(), abs=1e-9)
    assert metrics["relative_nash_conv"] == pytest.approx(
        gains.value.sum() / np.abs(solve(game, STEPS).payoffs).sum(), abs=1e-9
    )


def test_a_trader_who_starts_with_nothing_stays_on_its_side():
    wide = evaluate(ACAS, solve(ACAS, STEPS).open_loop(), STEPS, "time", inventory_spread=20.0).metrics["random_starts"]
    assert (drawn_starts(ACAS, 20.0, FEW)[:, 0] == 0).any()
    assert wide["note"] == ""
    assert wide["nash_conv"] > 0


def test_gains_against_affine_reactions_are_the_mean_of_exact_ones():
    """Reactions that are no equilibrium: the linear-quadratic best response to them is exact, from every start."""
    rule = feedback_nash(EXECUTION, STEPS)
    rule = replace(rule, gain=rule.gain + np.array([[0.0, 0.6], [-0.4, 0.0]]))
    spread = 2.0
    kind = kind_of(EXECUTION, STEPS)
    found = random_starts(kind, rule.feedback(), spread, 10.0, NOTHING, reacting=True)
    drawn = drawn_starts(EXECUTION, spread, FEW)
    exact = pair_mean(np.array([feedback_gains(replace(rule, game=started(EXECUTION, each)))[1] for each in drawn]))
    gains = [each["exploitability"] for each in found["agents"].values()]
    assert min(exact.value) > 0.1
    assert gains == pytest.approx(exact.value, rel=1e-6)
    assert [each["exploitability_se"] for each in found["agents"].values()] == pytest.approx(exact.error, rel=1e-5)
    assert found["relative_nash_conv"] == pytest.approx(exact.value.sum() / 10, rel=1e-6)
    assert found["exploitability_against"] == "reacting opponents (lower bound)"
    assert "everyone's initial inventories" in found["deviator"]


def test_the_feedback_equilibrium_is_one_from_every_start():
    metrics = evaluate(
        EXECUTION, feedback_nash(EXECUTION, STEPS).feedback(), STEPS, "full", inventory_spread=1.0
    ).metrics["random_starts"]
    assert abs(metrics["relative_nash_conv"]) < 1e-8
    assert metrics["feedback_pairs"] == FEW
    for each in metrics["agents"].values():
        assert each["over_feedback"] == pytest.approx(0, abs=1e-12)
        assert each["over_feedback_se"] == pytest.approx(0, abs=1e-12)


def test_reactions_on_one_path_alone_are_seen_over_starts():
    """v_i = path + kappa (Q_j - path_j) with the equilibrium's own path: on the path nothing is to be gained, whatever
    kappa, but for what the others' reactions are worth; from other starts the path is not even followed."""
    rule = feedback_nash(EXECUTION, STEPS)
    path = rule.play()
    gain = np.broadcast_to(0.5 * (np.ones((2, 2)) - np.eye(2)), rule.gain.shape)
    shift = path.controls.rate - np.einsum("kij,kj->ki", gain, path.inventories[:-1])
    other = replace(rule, gain=gain, shift=shift)
    reference = remembered_feedback(EXECUTION, STEPS)
    found = random_starts(kind_of(EXECUTION, STEPS), other.feedback(), 1.0, 10.0, reference, reacting=True)
    assert simulate(EXECUTION, path.controls, STEPS).payoffs == pytest.approx(other.play().payoffs)
    assert all(each["over_feedback"] < -0.01 for each in found["agents"].values())


def test_quotes_that_react():
    """Makers who widen their quotes with others' inventories: as good as the search of one start at a time."""
    game, nash = ACAS, solve(ACAS, STEPS)

    def maker(index):
        def quote(k, state):
            own = nash.controls.ask[k, index], nash.controls.bid[k, index]
            lean = 0.05 * (state.inventories[..., 0] - nash.inventories[k, 0])
            return np.stack([own[0] + lean, own[1] - lean], axis=-1)

        return quote

    policies = {**nash.open_loop(), "maker_0": maker(0), "maker_1": maker(1)}
    found = random_starts(kind_of(game, STEPS), policies, 0.5, 10.0, NOTHING, reacting=True)
    drawn = drawn_starts(game, 0.5, FEW)
    for agent in game.agents:
        alone = [best_response_to_policies(started(game, each), policies, agent, STEPS).gain for each in drawn]
        mean = found["agents"][agent]["exploitability"]
        assert mean >= np.mean(alone) - 1e-4
        assert mean == pytest.approx(np.mean(alone), rel=0.05, abs=1e-3)


def test_the_price_that_actors_look_at_is_drawn():
    """A rate that follows the martingale part of the price as well adds noise of mean zero: the other's gain is about
    what it is without."""
    rule = feedback_nash(EXECUTION, STEPS)
    rule = replace(rule, gain=rule.gain + np.array([[0.0, 0.6], [-0.4, 0.0]]))
    plain = rule.feedback()

    def noisy(k, state):
        return plain["trader_1"](k, state) + 0.02 * (state.price - EXECUTION.initial_price)[..., None]

    kind = kind_of(EXECUTION, STEPS)
    quiet, loud = (
        random_starts(kind, policies, 1.0, 10.0, NOTHING, reacting=True, price=price)
        for policies, price in ((plain, False), ({**plain, "trader_1": noisy}, True))
    )
    assert loud["exploitability_against"] == "reacting opponents on simulated paths (lower bound)"
    one, other = (each["agents"]["trader_0"] for each in (quiet, loud))
    assert other["exploitability"] == pytest.approx(one["exploitability"], rel=0.02)
    assert other["learned"] < one["learned"]  # its own reaction to the other's rate has become noise


def test_with_a_factor_gains_are_those_without():
    """Payoffs are linear-quadratic: the factor moves what everyone plays, and what a deviator from another start does
    about its own inventory is a schedule, worth as much as in the game without the factor."""
    game = load_scenario("execution-signal")
    plain = replace(game, factor=None, buy_flow=10.0)
    found = random_starts(kind_of(game, STEPS), solve(game, STEPS).open_loop(), 2.0, 10.0, None, reacting=False)
    profile = solve(plain, STEPS).controls
    exact = np.array(
        [exploitability(started(plain, each), profile, STEPS).gains for each in drawn_starts(game, 2.0, FEW)]
    )
    mean = pair_mean(exact)
    assert [each["exploitability"] for each in found["agents"].values()] == pytest.approx(mean.value, rel=1e-4)
    assert found["exploitability_against"] == "open-loop opponents on simulated paths (lower bound)"


def test_without_a_spread_there_are_none_and_a_bad_one_is_refused():
    policies = solve(EXECUTION, STEPS).open_loop()
    assert "random_starts" not in evaluate(EXECUTION, policies, STEPS).metrics
    with pytest.raises(ValueError, match=r"inventory_spread: expected a finite number >= 0, got -1\.0"):
        evaluate(EXECUTION, policies, STEPS, inventory_spread=-1.0)


def test_only_starts_in_its_tube_are_compared_with_a_fitted_equilibrium():
    """Its own policies lose nothing to it there; from wide starts nothing is known of it."""
    game = load_scenario("softmax-1x2")
    rule = markov_nash(game, 3, MarkovOptions(degree=3, refine=False))
    reference, kind = Reference("feedback", rule), kind_of(game, 3)
    policies = rule.feedback()
    near, wide = (random_starts(kind, policies, each, 10.0, reference, reacting=True) for each in (0.004, 5.0))
    assert near["feedback_pairs"] > 0
    assert [each["over_feedback"] for each in near["agents"].values()] == pytest.approx([0.0] * 3, abs=1e-12)
    assert wide["feedback_pairs"] == 0
    assert all(each["over_feedback"] is None for each in wide["agents"].values())

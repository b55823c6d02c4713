"""Flows of a factor that would be negative: in the maker-taker game they are zero there, for solvers and deviators."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from makertaker.baselines import FieldOptions, check, exploitability, solve
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.envs import (
    Affine,
    BestQuote,
    Controls,
    Factor,
    MakerTakerGame,
    SoftmaxShare,
    draw_noise,
    ornstein_uhlenbeck,
    rollout,
    simulate,
)
from makertaker.envs.factor import Constant

STEPS = 3
CUT = MakerTakerGame(
    trader_inventory=(-1.0,),
    maker_inventory=(0.5, -0.5),
    factor=Factor((0.0,), diffusion=Constant(0.0)),
    buy_flow=Affine(-3.0, 1.0),
    maker_terminal_penalty=0.3,
    max_quote=3.0,
)


@pytest.mark.parametrize("competition", [SoftmaxShare(1.0), BestQuote()], ids=["softmax", "best quote"])
def test_a_flow_below_zero_is_no_flow(competition):
    """The equilibrium of the game whose noise traders do not buy; no quote on a grid of its own is better there."""
    game = replace(CUT, competition=competition)
    none = replace(game, buy_flow=0.0, factor=None)
    found, wanted = solve(game, STEPS), solve(none, STEPS)
    for own, other in zip(found.controls, wanted.controls, strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.payoffs, wanted.payoffs, rtol=1e-12)
    tried = np.linspace(-3.0, 3.0, 241)
    for maker in range(game.makers):
        for side in (1, 2):
            for k in range(STEPS):
                joint = [np.repeat(each[None], len(tried), axis=0) for each in found.controls]
                joint[side][:, k, maker] = tried
                payoffs = simulate(none, Controls(*joint), STEPS).payoffs[:, game.traders + maker]
                assert payoffs.max() <= found.payoffs[game.traders + maker] + 1e-9
    quotes = np.full((STEPS, game.makers), 0.7)
    profile = Controls(np.full((STEPS, 1), 0.5), quotes, quotes)
    gains = exploitability(game, profile, STEPS).gains
    np.testing.assert_allclose(gains, exploitability(none, profile, STEPS).gains, rtol=1e-12)
    assert gains.min() >= 0


@pytest.fixture(scope="module")
def driven() -> DecouplingEquilibrium:
    """A game in which nobody sells at times."""
    game = replace(
        CUT,
        trader_inventory=(-5.0,),
        competition=SoftmaxShare(1.0),
        factor=ornstein_uhlenbeck(2.0, 0.6),
        buy_flow=1.0,
        sell_flow=Affine(0.3, -1.0),
        inventory_noise=0.2,
        max_quote=50.0,
    )
    found = solve(game, 5, field=FieldOptions(degree=4, paths=1024))
    assert isinstance(found, DecouplingEquilibrium)
    return found


def test_nobody_gains_where_nobody_sells(driven):
    """A maker that bids -10 where the factor's function is negative buys nothing, and is paid nothing."""
    game, steps, bids = driven.game, driven.steps, []
    policies = driven.open_loop()
    noise = draw_noise(game, steps, 512, seed=5)
    before = rollout(game, policies, steps, noise)

    def worse(k, state):
        ask, bid = before.controls.ask[:, k, 0], before.controls.bid[:, k, 0]
        idle = state.factor[:, 0] > 0.3
        bids.append(idle)
        return np.stack([ask, np.where(idle, -10.0, bid)], axis=-1)

    after = rollout(game, {**driven.open_loop(), "maker_0": worse}, steps, noise)
    assert np.mean(bids) > 0.1
    np.testing.assert_allclose(after.payoffs, before.payoffs, atol=1e-12)
    assert (before.activity.sell_volume >= 0).all()


def test_the_field_is_good_where_flows_are_cut_off(driven):
    """Deviators find nothing on fresh paths, and the estimate of the error is no larger than it has to be."""
    assert driven.errors.relative < 0.01
    found = exploitability(driven.game, driven.profile, driven.steps)
    units = np.array([driven.game.payoff_unit(agent) for agent in driven.game.agents])
    assert (np.abs(found.gains) <= 4 * found.gains_se + 1e-5 * units).all()


def test_check_says_how_often_a_flow_is_cut_off(driven):
    """Against the normal distribution of the factor at the start of 64 steps."""
    dt, variance, shares = 1 / 64, 0.0, []
    for _ in range(64):
        shares.append(norm.sf(0.3 / np.sqrt(variance)) if variance else 0.0)
        variance = (1 - 2.0 * dt) ** 2 * variance + 0.6**2 * dt
    notes = {each.name: each.note for each in check(driven.game, driven.steps)}
    for name in ("volume on both sides", "flows are positive"):
        said = notes[name].partition("sell_flow in ")[2].partition("%")[0]
        assert float(said) / 100 == pytest.approx(np.mean(shares), abs=0.02)
        assert "buy_flow" not in notes[name]
    always = {each.name: each.note for each in check(CUT, STEPS)}
    assert "buy_flow in 100% of all steps" in always["volume on both sides"]

"""Sides without flow, truncations, far starts, solvers that fail, and wrong input: what comes back and what is said."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import (
    EquilibriumNotFound,
    best_response,
    best_response_to_policies,
    exploitability,
    newton,
    solve,
)
from makertaker.envs import BestQuote, Controls, Exponential, MakerTakerGame, QuadraticImpact
from support.maker_taker_games import APART

# --- markets where a side has no flow, and failures ------------------------------------------------------------------


def test_side_without_flow():
    """Guo and Jin's Theorem 4.1 needs volume on both sides to determine quotes; with one buyer nobody sells."""
    game = replace(APART, sell_flow=0.0)
    equilibrium = solve(game, 10)
    assert "bid quotes are undetermined on 10 of 10 steps" in equilibrium.message
    assert "ask" not in equilibrium.message
    assert equilibrium.quotes_matter[:, 0].all()
    assert not equilibrium.quotes_matter[:, 1].any()
    np.testing.assert_allclose(exploitability(game, equilibrium.controls, 10).gains, 0, atol=1e-9)
    # the equilibrium is not unique: other bids change no payoff and leave nobody anything to gain
    other = equilibrium.controls._replace(bid=equilibrium.controls.bid + 3.0)
    result = exploitability(game, other, 10)
    np.testing.assert_array_equal(result.payoffs, equilibrium.payoffs)
    np.testing.assert_allclose(result.gains, 0, atol=1e-9)


def test_flow_that_starts_late():
    game = replace(APART, sell_flow=lambda t: np.where(t < 0.5, 0.0, 1.0))
    equilibrium = solve(game, 10)
    assert equilibrium.quotes_matter[:, 1].tolist() == [False] * 5 + [True] * 5
    assert "bid quotes are undetermined on 5 of 10 steps" in equilibrium.message


def test_message_names_truncations():
    assert "rates are truncated at max_rate = 2" in solve(replace(APART, max_rate=2.0), 10).message
    assert "quotes are truncated at max_quote = 1" in solve(replace(APART, max_quote=1.0), 10).message


def test_failure():
    """No residual of rounding size is below 1e-30."""
    result = solve(APART, 10, tolerance=1e-30, throw=False)
    assert not result.converged
    assert result.message.startswith("not converged")
    assert 1e-30 < result.residual < 1e-10
    with pytest.raises(EquilibriumNotFound, match=r"residual .* it is largest for .* at step"):
        solve(APART, 10, tolerance=1e-30)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 10.0, 1e3])
def test_any_guess_leads_to_the_same_equilibrium(size, seed):
    guess = size * np.random.default_rng(seed).standard_normal((10, 3))
    result = solve(APART, 10, guess=guess)
    np.testing.assert_allclose(result.adjoints, solve(APART, 10).adjoints, atol=1e-10)


def test_continuation_where_newton_fails(monkeypatch):
    """The first two attempts, plain Newton, are kept from iterating; those of the continuation are not."""
    plain, calls = newton.newton, itertools.count()

    def crippled(system, start, **options):
        limit = {} if next(calls) > 1 else {"iterations": 0}
        return plain(system, start, **{**options, **limit})

    expected = solve(APART, 10)
    monkeypatch.setattr(newton, "newton", crippled)
    result = solve(APART, 10)
    assert "of continuation in the penalties" in result.message
    assert "continuation" not in expected.message
    np.testing.assert_allclose(result.adjoints, expected.adjoints, atol=1e-10)


HARD = MakerTakerGame(
    trader_inventory=(-0.53, -1.1),
    maker_inventory=(-0.54, 0.6),
    horizon=17.0,
    competition=BestQuote(Exponential(8.0)),
    impact=QuadraticImpact((8.3, 7.4)),
    trader_running_penalty=(0.18, 6.0),
    trader_terminal_penalty=(260.0, 720.0),
    maker_running_penalty=(1.9, 0.99),
    maker_terminal_penalty=(0.28, 21.0),
    buy_flow=0.021,
    sell_flow=0.076,
)


def test_a_budget_is_kept_and_named():
    """A game that needs dozens of iterations, with fewer, and with too little time for one."""
    needed = solve(HARD, 30).iterations
    assert needed > 20
    few = needed // 2
    with pytest.raises(EquilibriumNotFound, match=rf"when {few} iterations are over; .* tried: Newton's method \("):
        solve(HARD, 30, iterations=few)
    found = solve(HARD, 30, iterations=few, throw=False)
    assert not found.converged
    assert found.iterations == few
    with pytest.raises(EquilibriumNotFound, match="when 1e-09 seconds are over"):
        solve(HARD, 30, seconds=1e-9)
    assert solve(HARD, 30, iterations=needed, seconds=60.0).converged


def test_a_failure_names_the_parameter_that_is_extreme():
    """2 A q / margin = 2 * 200 * 10 / 1 of the trader, 2 * 60 * 9 of the makers, and 2 * .5 * 10 of the impact."""
    hard = MakerTakerGame((-10.0,), (9.0, -9.0), maker_terminal_penalty=60.0, trader_terminal_penalty=200.0)
    with pytest.raises(EquilibriumNotFound) as raised:
        solve(hard, 10, iterations=1)
    said = "Most extreme is the terminal_penalty of trader_0: it makes a share worth 4e+03 margins, the median of all"
    assert said in str(raised.value)


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: solve(APART, 0), "steps: expected a positive whole number, got 0"),
        (lambda e: solve(APART, 10, iterations=0), "iterations: expected a positive whole number, got 0"),
        (lambda e: solve(APART, 10, seconds=-1.0), "seconds: expected a finite number > 0, got -1.0"),
        (lambda e: solve(APART, 2.5), "steps: expected a positive whole number, got 2.5"),
        (lambda e: solve(APART, 10, guess=np.zeros((9, 3))), r"guess: expected finite adjoints of shape \(10, 3\)"),
        (lambda e: solve(APART, 10, guess=np.full((10, 3), np.nan)), "guess: expected finite adjoints"),
        (lambda e: best_response(APART, e.controls, "taker", 10), "unknown agent 'taker': .*expected one of"),
        (lambda e: best_response(APART, e.controls, "maker_0", 9), r"controls.rate: expected shape \(\.\.\., 9, 1\)"),
        (
            lambda e: best_response_to_policies(APART, {"trader_0": e.open_loop()["trader_0"]}, "trader_0", 10),
            "expected one entry for each of",
        ),
        (lambda e: best_response_to_policies(APART, e.open_loop(), "nobody", 10), "unknown agent .*expected one of"),
        (lambda e: exploitability(APART, e.controls._replace(ask=e.controls.ask[:, :1]), 10), "controls.ask: expected"),
        (lambda e: exploitability(APART, e.controls._replace(bid=e.controls.bid * np.nan), 10), "controls.bid: .*nan"),
        (lambda e: exploitability(APART, Controls(*(x[None] for x in e.controls)), 10), "without batch axes"),
        (lambda e: e.adjoint(11, APART.initial_inventory), r"k: expected a step in 0\.\.10, got 11"),
        (lambda e: e.adjoint(-1, APART.initial_inventory), "k: expected a step"),
        (lambda e: e.adjoint(True, APART.initial_inventory), r"k: expected a step in 0\.\.10, got True"),
        (lambda e: e.adjoint(0, [1.0, 2.0]), r"inventory: expected finite numbers of shape \(\.\.\., 3\)"),
        (lambda e: e.adjoint(0, [1.0, 2.0, np.inf]), "inventory: expected finite numbers"),
    ],
)
def test_bad_input(call, message):
    equilibrium = solve(APART, 10)
    with pytest.raises(ValueError, match=message):
        call(equilibrium)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ()),
        ({"max_rate": 1e3, "max_quote": 1e3}, ()),
        ({"trader_inventory": (-1e6,), "max_rate": 2.0}, ("max_rate = 2 (trader_0 in 10 of 10 steps)",)),
        ({"max_quote": 1.0}, ("max_quote = 1 (maker_0 in ",)),
        ({"trader_inventory": (-1e6,) * 3, "max_rate": 2.0}, ("trader_2 in 10 of 10 steps)",)),
        (
            {"trader_inventory": (-1e6,) * 4, "max_rate": 2.0},
            ("max_rate = 2 (4 of 4 traders in up to 10 of 10 steps)",),
        ),
        ({"trader_inventory": (-1e-9,), "min_rate": 0.5}, ()),  # it may trade faster, at a cost
    ],
)
def test_notes_say_who_is_held_and_how_often(changes, said):
    found = solve(replace(APART, **changes), 10)
    assert len(found.notes) == len(said)
    for note, part in zip(found.notes, said, strict=True):
        assert part in note
        assert note.endswith(", where NashConv says little")
        assert found.message.endswith("; ".join(found.notes))


def test_steps_that_are_held_are_counted():
    free = solve(APART, 10)
    sizes = np.sort(np.abs(free.controls.rate[:, 0]))
    limit = float(sizes[5:7].mean())
    held = solve(replace(APART, max_rate=limit), 10)
    count = int((np.abs(held.controls.rate[:, 0]) == limit).sum())
    assert 0 < count < 10
    assert f"(trader_0 in {count} of 10 steps)" in held.notes[0]

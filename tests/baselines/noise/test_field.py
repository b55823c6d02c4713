"""The decoupling field of games with noise, against exact solutions, an independent loop and limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from makertaker.baselines import FieldOptions, exploitability, references, solve
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from makertaker.baselines.noise.polynomials import cubature
from makertaker.baselines.noise.scheme import decoupling_field
from makertaker.envs import Factor, Logistic, MakerTakerGame, draw_noise, load_scenario, ornstein_uhlenbeck
from support.convergence import falls
from support.maker_taker_games import scenario_game

STEPS = 10


# the field against exact solutions


@pytest.mark.parametrize("steps", [7, 20])
def test_a_linear_signal_is_reproduced_exactly(steps: int) -> None:
    """Ornstein-Uhlenbeck signal: ``Y - w = R Q + h0 + h1 L`` lies in the span of the polynomials."""
    signal = load_scenario("execution-signal")
    exact = solve(signal, steps)
    kind = kind_of(signal, steps)
    field, errors, paths = decoupling_field(kind.step_system(), kind.without_noise(), FieldOptions(degree=2, paths=512))
    rng = np.random.default_rng(0)
    for k in range(steps + 1):
        box = field.tube.box(k)
        states = box.center + box.half * rng.uniform(-1, 1, (20, 3))
        wanted = exact.adjoint(k, states[:, 1:], states[:, :1], noise_price=0.0)  # type: ignore[call-arg]
        np.testing.assert_allclose(field.adjoint(k, states[:, 1:], states[:, :1]), wanted, atol=1e-11)
    assert errors.relative < 1e-12
    assert (np.abs(errors.martingale) <= 2 * errors.martingale_se + 1e-12).all()
    np.testing.assert_allclose(paths.inventories.mean(axis=0), exact.inventories, atol=1e-10)  # antithetic and linear
    k, at = steps // 2, exact.inventories[steps // 2]
    assert field.slope(k, at, np.zeros(1)) == pytest.approx(exact.slope[k], abs=1e-10)


def test_an_execution_game_that_is_not_linear_is_solved_by_the_field() -> None:
    bent = replace(load_scenario("execution-signal"), buy_flow=Logistic(8.0, 12.0, 1.0), sell_flow=10.0)
    coarse = solve(bent, STEPS, field=FieldOptions(degree=3, paths=512))
    fine = solve(bent, STEPS, field=FieldOptions(degree=7, paths=512))
    assert isinstance(coarse, DecouplingEquilibrium)
    assert isinstance(fine, DecouplingEquilibrium)
    assert fine.errors.step < coarse.errors.step / 4  # refinement in the degree shrinks the error
    gains = exploitability(bent, fine.profile, STEPS)
    assert gains.gains_se is not None
    assert (np.abs(gains.gains) < 1e-4).all()
    assert (exploitability(bent, fine.controls, STEPS).gains > 1e-2).all()  # a schedule ignores the signal
    assert "only where the factor enters linearly" in references(bent, STEPS)["cooperative optimum"].note


def _remaining(found: DecouplingEquilibrium, k: int) -> np.ndarray:
    """What the adjoint at node k is by definition: mean of -2 A Q_K - 2 sum phi dt (Q + r dt / 2) along paths from
    the mean state, with the field played; by an independent loop."""
    system = kind_of(found.game, found.steps).step_system()
    noise = draw_noise(found.game, found.steps, 20_000, 5)
    assert noise is not None
    rng_factor, rng_inventory = noise.factor, noise.inventory
    inventory = np.tile(found.inventories[k], (20_000, 1))
    factor = np.tile(np.zeros(1), (20_000, 1))
    total = np.zeros_like(inventory)
    dt, known = system.dt, found.game.factor
    assert known is not None
    for j in range(k, found.steps):
        controls = found.controls_at(j, inventory, factor)
        c = found.game.with_factor(found.game.coefficients(found.times).at(j), found.times[j], factor)
        rate = found.game.activity(c, controls).inventory_rate
        total -= 2 * c.running_penalty * dt * (inventory + rate * dt / 2)
        inventory = inventory + dt * rate + found.game.inventory_noise * dt**0.5 * rng_inventory[:, j]
        factor = known.move(found.times[j], factor, dt, rng_factor[:, j])
    return (total - 2 * system.terminal * inventory).mean(axis=0)


@pytest.mark.parametrize("k", [0, 6])
def test_the_field_is_the_mean_of_what_it_leads_to(noisy: DecouplingEquilibrium, k: int) -> None:
    """``p_k = E[-2 A Q_T - 2 int phi Q dt]`` along the paths that follow."""
    wanted = noisy.adjoint(k, noisy.inventories[k], np.zeros(1))
    np.testing.assert_allclose(_remaining(noisy, k), wanted, atol=2e-3)


def test_first_order_conditions_on_a_tree() -> None:
    """Two steps, noise of +-1 in place of normal: a finite game whose conditions a general solver can check.

    The field's equations hold for any noise; here at every node of the tree the adjoints are recomputed by hand from
    what follows, and everyone's control must be the optimum of the profit rate at them.
    """
    small = scenario_game(inventory_noise=0.4)
    found = solve(small, 2, field=FieldOptions(degree=5, refine=False, paths=512))
    system = kind_of(small, 2).step_system()
    dt = system.dt
    start, factor = small.start[None], np.zeros((1, 1))
    c = system.coefficients(0, factor)
    average = found.field.average(0, start, factor)  # type: ignore[attr-defined]
    rate = system.everyone(c).rates(slice(None), average, start)
    nodes, weights = cubature(4, 9)
    known = small.factor
    assert known is not None
    after = start + dt * rate + small.inventory_noise * dt**0.5 * nodes[:, 1:]
    moved = known.move(0.0, np.broadcast_to(factor, (len(nodes), 1)), dt, nodes[:, :1])
    last_step = system.everyone(system.coefficients(1, moved))
    adjoint = -2 * system.terminal * after
    for _ in range(200):  # the last step's fixed point, damped: an iteration that shares nothing with the solver
        last = last_step.rates(slice(None), adjoint, after)
        target = -2 * system.terminal * (after + dt * last) - 2 * system.running(1) * (
            dt * after / 2 + last * dt**2 / 3
        )
        adjoint = adjoint + 0.3 * (target - adjoint)
    end = after + dt * last
    node = -2 * system.terminal * end - 2 * system.running(1) * dt * (after + last * dt / 2)
    ahead = weights @ node
    wanted = ahead - 2 * system.running(0) * (dt * start[0] / 2 + rate[0] * dt**2 / 3)
    np.testing.assert_allclose(average[0], wanted, atol=5e-4)


# limits


@pytest.mark.parametrize("name", ["acas", "maker-taker-softmax"])
def test_without_noise_the_field_is_newtons(name: str) -> None:
    """On the path to 1e-3, in the tube to a few thousandths of the adjoints' size: kinks are rounded off."""
    exact = solve(load_scenario(name), STEPS)
    field = exact.tabulate(FieldOptions(refine=False))
    size = np.abs(exact.adjoints).max()
    rng = np.random.default_rng(0)
    for k in (0, 5, 9):
        on_path = field.adjoint(k, exact.inventories[k]) - exact.adjoint(k, exact.inventories[k])
        assert np.abs(on_path).max() < 1e-3 * size
        around = exact.inventories[k] + rng.uniform(-1, 1, (50, len(exact.game.agents))) * field.tube.half[k]
        away = field.adjoint(k, around) - exact.adjoint(k, around)
        assert np.sqrt(np.mean(away**2)) < 6e-3 * size


def _shrunk(base: MakerTakerGame, size: float) -> MakerTakerGame:
    return replace(base, inventory_noise=0.4 * size, factor=ornstein_uhlenbeck(2.0, 1.0 * size, initial=(0.3,)))


def test_vanishing_noise() -> None:
    """Makers apart: mean paths and the field at the start approach Newton's at rate epsilon^2."""
    # narrow: kinks, where makers tie, stay outside of the tube
    options = FieldOptions(reach=0.06, refine=False, paths=4096, degree=5)
    base = scenario_game(maker_inventory=(4.0, -1.0), maker_terminal_penalty=0.3)
    still = solve(replace(_shrunk(base, 1.0), inventory_noise=0.0, factor=_still()), STEPS)
    errors = []
    for size in (0.4, 0.2, 0.1):
        found = solve(_shrunk(base, size), STEPS, field=options)
        path = np.abs(found.inventories - still.inventories).max()
        adjoint = np.abs(found.adjoint(0, base.start, np.array([0.3])) - still.adjoint(0, base.start)).max()
        errors.append((path, adjoint))
    ratios = falls(errors)
    assert (ratios > 3.4).all(), ratios
    assert (ratios < 4.6).all(), ratios


def _still() -> Factor:
    return ornstein_uhlenbeck(2.0, 0.0, initial=(0.3,))


def _falls_with_noise(game: MakerTakerGame, still: Any) -> np.ndarray:
    """By how much the distances of path and adjoints from the equilibrium without noise fall where noise is halved."""
    errors = []
    for epsilon in (0.2, 0.1, 0.05):
        options = FieldOptions(reach=4 * epsilon / np.abs(game.start).max(), refine=False, paths=1024)
        found = solve(replace(game, inventory_noise=epsilon), STEPS, field=options)
        path = np.abs(found.inventories - still.inventories).max()
        errors.append((path, *np.abs(found.adjoint(0, game.start) - still.adjoint(0, game.start))))
    return falls(errors)


def test_at_ties_noise_matters_to_first_order() -> None:
    """Identical makers: the trader pays the lower quote, whose mean is lower by an amount of order epsilon."""
    tied = scenario_game("acas", maker_inventory=(0.0, 0.0))
    ratios = _falls_with_noise(tied, solve(tied, STEPS))
    assert (ratios > 1.8).all(), ratios
    assert (ratios < 2.3).all(), ratios


def test_at_truncations_noise_matters_to_first_order() -> None:
    """The buyer's best rate is exactly 0, its least one, all the time: noise one way trades, the other way does not."""
    edge = MakerTakerGame((-0.5,), (0.5, -1.0), trader_terminal_penalty=0.5, maker_terminal_penalty=0.5)
    edge = replace(edge, buy_flow=0.0, sell_flow=0.0)
    still = solve(edge, STEPS)
    assert np.abs(still.controls.rate).max() < 1e-12
    np.testing.assert_allclose(_falls_with_noise(edge, still), 2.0, atol=0.1)

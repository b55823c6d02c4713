"""The decoupling field of games with noise, against exact solutions, independent quadrature, limits and simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from makertaker.baselines import (
    EquilibriumNotFound,
    FieldOptions,
    best_response,
    best_response_to_policies,
    check,
    exploitability,
    references,
    solve,
)
from makertaker.baselines.conditions.noise import noise_conditions
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium, decoupling_field
from makertaker.baselines.noise.polynomials import Basis, Box, Polynomial, cubature, fit
from makertaker.baselines.noise.response import ResponseOptions, noisy_gains
from makertaker.baselines.noise.step_system import markov_system
from makertaker.envs import (
    Affine,
    BestQuote,
    Controls,
    Exponential,
    Factor,
    Logistic,
    MakerTakerGame,
    SoftmaxShare,
    State,
    approximation_v0,
    draw_noise,
    load_scenario,
    ornstein_uhlenbeck,
    rollout,
)

STEPS = 10
QUICK = FieldOptions(degree=3, paths=512, refine=False)


def game(name: str = "approximation", **changed: Any) -> MakerTakerGame:
    """A scenario of the maker-taker game with parameters changed."""
    found = load_scenario(name)
    assert isinstance(found, MakerTakerGame)
    return replace(found, **changed)


@pytest.fixture(scope="module")
def noisy() -> DecouplingEquilibrium:
    """The equilibrium of the approximation game on a coarse grid."""
    found = solve(game(), STEPS, field=FieldOptions(paths=2048))
    assert isinstance(found, DecouplingEquilibrium)
    return found


# polynomials


@given(st.integers(1, 3), st.integers(0, 5), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_polynomials_and_their_slopes(size: int, degree: int, seed: int) -> None:
    """A fit reproduces any polynomial of its degree inside the box; slopes are those of differences everywhere."""
    rng = np.random.default_rng(seed)
    basis, box = Basis(size, degree), Box(rng.normal(size=size), rng.uniform(0.5, 2, size))
    truth = Polynomial(basis, box, rng.normal(size=(len(basis.index), 2)))
    inside = box.center + box.half * rng.uniform(-1, 1, (4 * len(basis.index) + 8, size))
    found = fit(basis, box, inside, truth(inside), rng.uniform(1, 3, len(inside)))
    np.testing.assert_allclose(found(inside), truth(inside), atol=1e-8)
    anywhere = box.center + box.half * rng.uniform(-3, 3, (20, size))
    h = 1e-6
    steps = h * np.eye(size)
    numeric = np.stack([(truth(anywhere + e) - truth(anywhere - e)) / (2 * h) for e in steps], axis=-1)
    np.testing.assert_allclose(truth.slope(anywhere), numeric, atol=1e-4 * (1 + np.abs(numeric).max()))


def test_beyond_the_box_polynomials_grow_linearly() -> None:
    basis = Basis(2, 4)
    found = Polynomial(basis, Box(np.zeros(2), np.ones(2)), np.random.default_rng(0).normal(size=(len(basis.index), 1)))
    line = np.array([[x, 0.3] for x in (1.5, 2.5, 3.5, 9.5)])
    values = found(line)[:, 0]
    np.testing.assert_allclose(np.diff(values[:3]), values[1] - values[0], rtol=1e-12)
    np.testing.assert_allclose(values[3] - values[2], 6 * (values[1] - values[0]), rtol=1e-12)


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.7])
def test_expectations_of_polynomials(sd: float) -> None:
    """The heat map of coefficients and the cubature over the factor, against quadrature of the density."""
    rng = np.random.default_rng(1)
    basis, box = Basis(2, 4), Box(np.array([0.2, -0.4]), np.array([40.0, 40.0]))  # so wide that tails do not matter
    surface = Polynomial(basis, box, rng.normal(size=(len(basis.index), 1)))
    nodes, weights = cubature(1, 5)
    move, spread = 0.3, 0.8
    expected = surface.expected((move + spread * nodes)[None], weights, np.array([sd]))(np.array([[1.1]]))[0, 0]

    def over_factor(q: float) -> float:
        density = lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return float(quad(lambda z: surface(np.array([move + spread * z, q]))[0] * density(z), -12, 12)[0])

    if sd == 0:
        assert expected == pytest.approx(over_factor(1.1), rel=1e-9)
    else:
        outer = quad(lambda z: over_factor(1.1 + sd * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -9, 9, epsabs=1e-9)[
            0
        ]
        assert expected == pytest.approx(outer, rel=1e-7)


# the field against exact solutions


@pytest.mark.parametrize("steps", [7, 20])
def test_a_linear_signal_is_reproduced_exactly(steps: int) -> None:
    """Ornstein-Uhlenbeck signal: ``Y - w = R Q + h0 + h1 L`` lies in the span of the polynomials."""
    signal = load_scenario("execution-signal")
    exact = solve(signal, steps)
    field, errors, paths = decoupling_field(signal, steps, FieldOptions(degree=2, paths=512))
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
    with pytest.raises(ValueError, match="needs an affine function of the factor"):
        references(bent, STEPS)


def _remaining(found: DecouplingEquilibrium, k: int) -> np.ndarray:
    """What the adjoint at node k is by definition: mean of -2 A Q_K - 2 sum phi dt (Q + r dt / 2) along paths from
    the mean state, with the field played; by an independent loop."""
    system = markov_system(found.game, found.steps)
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
    small = game(inventory_noise=0.4)
    found = solve(small, 2, field=FieldOptions(degree=5, refine=False, paths=512))
    system = markov_system(small, 2)
    dt = system.dt
    start, factor = small.start[None], np.zeros((1, 1))
    c = system.coefficients(0, factor)
    average = found.field.average(0, start, factor)  # type: ignore[attr-defined]
    rate = system.rates(c, start, average)
    nodes, weights = cubature(4, 9)
    known = small.factor
    assert known is not None
    after = start + dt * rate + small.inventory_noise * dt**0.5 * nodes[:, 1:]
    moved = known.move(0.0, np.broadcast_to(factor, (len(nodes), 1)), dt, nodes[:, :1])
    c_last = system.coefficients(1, moved)
    adjoint = -2 * system.terminal * after
    for _ in range(200):  # the last step's fixed point, damped: an iteration that shares nothing with the solver
        last = system.rates(c_last, after, adjoint)
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
        around = exact.inventories[k] + rng.uniform(-1.2, 1.2, (50, len(exact.game.agents)))
        away = field.adjoint(k, around) - exact.adjoint(k, around)
        assert np.sqrt(np.mean(away**2)) < 6e-3 * size


def _shrunk(base: MakerTakerGame, size: float) -> MakerTakerGame:
    return replace(base, inventory_noise=0.4 * size, factor=ornstein_uhlenbeck(2.0, 1.0 * size, initial=(0.3,)))


def test_vanishing_noise() -> None:
    """Makers apart: mean paths and the field at the start approach Newton's at rate epsilon^2."""
    # narrow: kinks, where makers tie, stay outside of the tube
    options = FieldOptions(reach=0.3, refine=False, paths=4096, degree=5)
    base = game(maker_inventory=(4.0, -1.0), maker_terminal_penalty=0.3)
    still = solve(replace(_shrunk(base, 1.0), inventory_noise=0.0, factor=_still()), STEPS)
    errors = []
    for size in (0.4, 0.2, 0.1):
        found = solve(_shrunk(base, size), STEPS, field=options)
        path = np.abs(found.inventories - still.inventories).max()
        adjoint = np.abs(found.adjoint(0, base.start, np.array([0.3])) - still.adjoint(0, base.start)).max()
        errors.append((path, adjoint))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert (ratios > 3.4).all(), ratios
    assert (ratios < 4.6).all(), ratios


def _still() -> Factor:
    return ornstein_uhlenbeck(2.0, 0.0, initial=(0.3,))


def test_at_ties_noise_matters_to_first_order() -> None:
    """Identical makers: the trader pays the lower quote, whose mean is lower by an amount of order epsilon."""
    tied = game("acas", maker_inventory=(0.0, 0.0))
    still = solve(tied, STEPS)
    errors = []
    for epsilon in (0.2, 0.1, 0.05):
        options = FieldOptions(reach=4 * epsilon, refine=False, paths=1024)
        found = solve(replace(tied, inventory_noise=epsilon), STEPS, field=options)
        path = np.abs(found.inventories - still.inventories).max()
        errors.append((path, *np.abs(found.adjoint(0, tied.start) - still.adjoint(0, tied.start))))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert (ratios > 1.8).all(), ratios
    assert (ratios < 2.3).all(), ratios


def test_at_truncations_noise_matters_to_first_order() -> None:
    """The buyer's best rate is exactly 0, its least one, all the time: noise one way trades, the other way does not."""
    edge = MakerTakerGame((-0.5,), (0.5, -1.0), trader_terminal_penalty=0.5, maker_terminal_penalty=0.5)
    edge = replace(edge, buy_flow=0.0, sell_flow=0.0)
    still = solve(edge, STEPS)
    assert np.abs(still.controls.rate).max() < 1e-12
    errors = []
    for epsilon in (0.2, 0.1, 0.05):
        options = FieldOptions(reach=4 * epsilon, refine=False, paths=1024)
        found = solve(replace(edge, inventory_noise=epsilon), STEPS, field=options)
        path = np.abs(found.inventories - still.inventories).max()
        errors.append((path, *np.abs(found.adjoint(0, edge.start) - still.adjoint(0, edge.start))))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.1)


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
    policies = noisy.open_loop()
    for k in range(STEPS):
        env.step({agent: policy(k, env.market.state) for agent, policy in policies.items()})
        inventories = env.market.inventories
    copy = policies["trader_0"].copy  # type: ignore[attr-defined]
    expected = noisy.controls_at(STEPS - 1, copy._inventory, env.market.factor)
    assert np.isfinite(expected.rate).all()
    before = inventories - env.market.shock - env.market.dt * env.market.activity.inventory_rate
    np.testing.assert_allclose(copy._inventory, before, atol=1e-5)


# exploitability


def test_equilibrium_gains_are_zero_and_perturbed_profiles_are_caught(noisy: DecouplingEquilibrium) -> None:
    options = ResponseOptions(paths=1024, scored=4096)
    _, found = noisy_gains(noisy.game, noisy.profile, STEPS, options=options)
    for each in found:
        assert abs(each.gain) <= 2 * each.gain_se + 2e-6
    controls = noisy.controls
    worse = Controls(0.8 * controls.rate, controls.ask + 0.3, controls.bid - 0.2)
    _, caught = noisy_gains(noisy.game, worse, STEPS, options=options)
    for each in caught:
        assert each.gain > 20 * each.gain_se > 0
    single = best_response(noisy.game, worse, "maker_1", STEPS)
    assert single.gain == pytest.approx(caught[2].gain, rel=0.05)


def test_gains_with_hardly_any_noise_are_the_deterministic_ones() -> None:
    base = game(factor=None, buy_flow=1.0, sell_flow=2.0, inventory_noise=0.0)
    exact = solve(base, STEPS)
    c = exact.controls
    worse = Controls(0.7 * c.rate, c.ask + 0.2, c.bid + 0.4)
    wanted = exploitability(base, worse, STEPS).gains
    _, found = noisy_gains(
        replace(base, inventory_noise=0.01), worse, STEPS, options=ResponseOptions(paths=512, scored=256)
    )
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
    quiet = game(inventory_noise=0.0, factor=_still())
    found = solve(quiet, STEPS)
    path = _still().path(found.times)
    np.testing.assert_array_equal(found.adjoint(3, quiet.start, path[3]), found.adjoint(3, quiet.start))
    with pytest.raises(ValueError, match=r"factor: it has no noise, expected .* at step 3"):
        found.adjoint(3, quiet.start, np.array([9.0]))


# other games, other regressors, stress


def test_best_quote_competition_with_noise() -> None:
    found = solve(game("acas", inventory_noise=0.3), STEPS)
    assert isinstance(found, DecouplingEquilibrium)
    assert found.errors.relative < 2e-3
    _, gains = noisy_gains(found.game, found.profile, STEPS, options=ResponseOptions(paths=512, scored=1024))
    for each in gains:
        assert abs(each.gain) <= 3 * each.gain_se + 1e-5


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
        found = solve(game(**changed), STEPS, field=FieldOptions(degree=3, paths=256, passes=1))
    except EquilibriumNotFound as error:
        assert "decoupling field" in str(error)  # noqa: PT017
        return
    assert isinstance(found, DecouplingEquilibrium)
    assert 0 < found.errors.relative <= 0.05
    for each in (found.payoffs, found.inventories, found.adjoints, *found.controls):
        assert np.isfinite(each).all()


def test_unreliable_fields_are_returned_only_if_asked_for() -> None:
    crude = game("acas", inventory_noise=8.0, trader_terminal_penalty=5.0, maker_terminal_penalty=5.0)
    options = FieldOptions(degree=1, points=64, passes=0, paths=64)
    with pytest.raises(EquilibriumNotFound, match=r"not (accurate|found)"):
        solve(crude, STEPS, field=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 0}, "degree: expected a whole number >= 1"),
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
        game(maker_inventory=(1.0,))


# conditions


def _holds(found: MakerTakerGame) -> dict[str, bool]:
    return {each.name: each.holds for each in noise_conditions(found)}


def test_conditions_of_section_5() -> None:
    ou = _holds(game())
    assert not ou["the factor's drift is bounded"]
    assert ou["flows are positive"]
    assert ou["flows are bounded"]
    assert not ou["(39)-(41) has one bounded solution"]
    bounded = {each.name: each.holds for each in check(game("approximation-2x3"), 4)}
    assert bounded["a decoupling field is found"]
    assert bounded["the factor's drift is bounded"]
    assert bounded["(39)-(41) has one bounded solution"]
    affine = _holds(game(buy_flow=Affine(1.0, 1.0)))
    assert not affine["flows are positive"]
    assert not affine["flows are bounded"]
    quotes = _holds(game(competition=BestQuote(Exponential(1.0))))
    assert not quotes["shares are smooth functions of all quotes"]
    wild = Factor((0.0,), lambda t, x: x**2, lambda t, x: 1.0 + 0 * x[..., 0:1])
    assert not _holds(replace(game(), factor=wild, horizon=0.1))["the factor's drift and diffusion are Lipschitz"]
    degenerate = Factor((1.0,), lambda t, x: 0 * x, lambda t, x: np.minimum(np.abs(x), 1.0))
    assert degenerate.random(1.0)


def test_the_gap_of_38_is_one() -> None:
    """``d(quote - markup) / d quote`` on the diagonal less the sum of the others, at drawn quotes, is exactly 1."""
    share = SoftmaxShare(1.7, (0.3, -0.2, 0.0))
    quotes = np.random.default_rng(0).normal(size=(100, 3))
    jacobian = share.markup_jacobian(quotes)
    own = np.einsum("...ii->...i", jacobian)
    gap = 1 - own - (np.abs(jacobian).sum(axis=-1) - np.abs(own))
    np.testing.assert_allclose(gap, 1.0, atol=1e-12)
    np.testing.assert_allclose(share.fill(quotes).share.sum(axis=-1), 1.0, atol=1e-15)


@pytest.mark.slow
def test_two_traders_three_makers_and_many_paths() -> None:
    """Six state dimensions to 1%; gains at 100,000 paths within two standard errors."""
    found = solve(game("approximation-2x3"), 20)
    assert isinstance(found, DecouplingEquilibrium)
    assert found.errors.relative < 1e-3
    small = solve(game(), 20)
    _, gains = noisy_gains(small.game, small.profile, 20, options=ResponseOptions(scored=100_000))
    for each in gains:
        assert abs(each.gain) <= 2 * each.gain_se

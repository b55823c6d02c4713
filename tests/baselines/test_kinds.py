"""Kinds of games: which one a game is, and that nobody else asks."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from makertaker.baselines import (
    EquilibriumNotFound,
    Status,
    best_response,
    best_response_to_policies,
    check,
    exploitability,
    open_loop_policies,
    references,
    solve,
)
from makertaker.baselines.kinds import BentExecution, Execution, MakerTaker, NoisyMakerTaker, kind_of
from makertaker.envs import (
    Affine,
    ExecutionGame,
    Factor,
    Logistic,
    MakerTakerGame,
    draw_noise,
    load_scenario,
    rollout,
    scenario_names,
)
from makertaker.envs.factor import Constant

ROOT = Path(__file__).parents[2]
SIGNAL = load_scenario("execution-signal")
BENT = replace(SIGNAL, buy_flow=Logistic(8.0, 12.0, 1.0), sell_flow=10.0)
STILL = MakerTakerGame(
    trader_inventory=(-3.0,),
    maker_inventory=(1.0, 0.5),
    factor=Factor((0.5,), diffusion=lambda t, factor: 0 * factor),
    buy_flow=Logistic(0.5, 3.5, 1.0),
)


@pytest.mark.parametrize(
    ("game", "kind"),
    [
        (load_scenario("acas"), MakerTaker),
        (STILL, MakerTaker),
        (load_scenario("approximation"), NoisyMakerTaker),
        (replace(load_scenario("acas"), inventory_noise=0.1), NoisyMakerTaker),
        (load_scenario("execution-2"), Execution),
        (SIGNAL, Execution),
        (BENT, BentExecution),
    ],
)
def test_the_kind_of_a_game(game, kind):
    found = kind_of(game, 5)
    assert type(found) is kind
    assert (found.game, found.steps) == (game, 5)


@pytest.mark.parametrize("name", scenario_names())
def test_capabilities_are_those_of_the_game(name):
    game = load_scenario(name)
    capabilities = kind_of(game, 5).capabilities
    assert capabilities.inventories_apart == (game.makers == 0)
    assert capabilities.optimum == ("makers' coalition" if game.makers else "cooperative optimum")


CALLS = {
    "solve": solve,
    "check": check,
    "references": references,
    "exploitability": lambda game, steps: exploitability(game, None, steps),
    "best response": lambda game, steps: best_response(game, None, "trader_0", steps),
    "against policies": lambda game, steps: best_response_to_policies(game, {}, "trader_0", steps),
}


@pytest.mark.parametrize("market", [3, None, [], object()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_anything_else_is_refused(call, market):
    expected = r"game: expected a game, a scenario, its name, the path of its \.toml file, or a mapping .*, got "
    for steps in (5, None):
        with pytest.raises(ValueError, match=expected + re.escape(repr(market))):
            call(market, steps)


def test_a_game_of_another_class_is_refused():
    with pytest.raises(ValueError, match="expected an ExecutionGame or a MakerTakerGame, got a NoneType"):
        kind_of(None, 5)


def test_nobody_else_asks_for_the_class_of_a_game():
    """A new kind of game is then a change in one file."""
    games = {ExecutionGame.__name__, MakerTakerGame.__name__}
    asking = set()
    for folder in ("envs", "baselines", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                    named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
                    if named & games:
                        asking.add(path.relative_to(ROOT).as_posix())
    assert asking == {"baselines/kinds.py"}


def test_the_status_says_why_there_is_no_equilibrium():
    solved = load_scenario("execution-2")
    fast, unbounded = replace(solved, max_rate=1.0), replace(solved, permanent_impact=50.0)
    for game, status in ((solved, Status.CONVERGED), (fast, Status.BEYOND_BOUNDS), (unbounded, Status.UNBOUNDED)):
        found = solve(game, 10, throw=False)
        assert found.status is status
        assert found.converged == (status is Status.CONVERGED)
        if not found.converged:
            with pytest.raises(EquilibriumNotFound):
                solve(game, 10)
    assert solve(load_scenario("acas"), 10, throw=False, tolerance=1e-300).status is Status.NOT_CONVERGED


def test_a_factor_without_noise_leaves_everything_exact():
    found = solve(STILL, 6)
    assert found.payoffs_se is None
    np.testing.assert_allclose(exploitability(STILL, found.controls, 6).gains, 0, atol=1e-12)


@pytest.mark.parametrize("flow", [Affine(10.0, 1.0), Logistic(8.0, 12.0, 1.0)], ids=["linear", "bent"])
def test_an_execution_game_whose_factor_has_no_noise_is_that_with_a_flow_of_time(flow):
    """Gains are exact, against schedules and, by search, against policies."""
    driven = replace(SIGNAL, factor=replace(SIGNAL.factor, initial=(0.7,), diffusion=Constant(0.0)), buy_flow=flow)
    path = driven.factor.path(np.linspace(0, driven.horizon, 6))[:-1]
    flows = np.array([flow(0.0, each) for each in path])
    timed = replace(driven, factor=None, buy_flow=lambda t: flows[np.minimum((t * 5 / driven.horizon).astype(int), 4)])
    schedule = solve(timed, 5).controls
    missed = schedule._replace(rate=0.8 * schedule.rate)
    np.testing.assert_allclose(exploitability(driven, schedule, 5).gains, 0, atol=1e-12)
    wanted = exploitability(timed, missed, 5).gains
    np.testing.assert_allclose(exploitability(driven, missed, 5).gains, wanted, rtol=1e-10)
    policies = open_loop_policies(driven, missed)
    assert best_response(driven, missed, "trader_0", 5).gain == pytest.approx(wanted[0], rel=1e-10)
    assert best_response_to_policies(driven, policies, "trader_0", 5).gain == pytest.approx(wanted[0], rel=1e-6)
    played = rollout(driven, policies, 5)
    found = kind_of(driven, 5).open_loop_gains(policies, played)
    assert found.against == "open-loop opponents (exact)"
    np.testing.assert_allclose(found.gains, wanted, rtol=1e-10)


@pytest.mark.parametrize("name", ["acas", "execution-2"])
def test_gains_are_the_same_where_the_price_is_drawn_and_nobody_looks_at_it(name):
    game = load_scenario(name)
    schedule = solve(game, 5).controls
    policies = open_loop_policies(game, schedule._replace(rate=0.8 * schedule.rate))
    plain, priced = (kind_of(game, 5).reacting_gains(policies, price=price) for price in (False, True))
    assert (plain.simulated, priced.simulated) == (False, True)
    assert plain.gains.max() > 0.01
    np.testing.assert_allclose(priced.gains, plain.gains, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(priced.errors, 0, atol=1e-12)


def test_opponents_who_look_at_the_price_are_played_on_paths_of_it():
    """The gain is a mean over paths, which other paths confirm."""
    game = load_scenario("execution-2")
    policies = open_loop_policies(game, solve(game, 5).controls)
    rule = policies["trader_1"]
    policies["trader_1"] = lambda k, state: rule(k, state) + np.clip(state.price - 100.0, -3, 3)[..., None]
    found = kind_of(game, 5).response_to_policies(policies, "trader_0", price=True)
    noise = draw_noise(game, 5, 4000, seed=99, price=True)
    own = found.controls.rate[:, :1]
    deviation = policies | {"trader_0": lambda k, state: np.broadcast_to(own[k], (*state.price.shape, 1))}
    before, after = (rollout(game, each, 5, noise).payoffs[:, 0] for each in (policies, deviation))
    assert found.gain_se > 0
    spread = np.hypot(found.gain_se, (after - before).std() / 4000**0.5)
    assert found.gain == pytest.approx((after - before).mean(), abs=5 * spread)

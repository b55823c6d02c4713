"""One step with everything in it: played again and again it is the simulation of all steps at once."""

from typing import Any

import numpy as np
import pytest

from makertaker.envs import Controls, Game, Noise, load_scenario, rollout, scenario_names, simulate
from makertaker.envs.grid import Advance, Position, State, advance, agent_controls, grid
from makertaker.envs.market import Market
from makertaker.envs.noise import scaled

STEPS, PATHS = 6, 3
KINDS = [(), ("price",), ("factor",), ("inventory",), ("price", "factor", "inventory")]
FIELDS = ("inventories", "payoffs", "rewards", "mid", "factor", "wealth")


def shapes(game: Game) -> dict[str, tuple[int, ...]]:
    """Shapes of one path's increments, of those kinds of noise that the game knows."""
    factor = {} if game.factor is None else {"factor": (STEPS, game.factor.size)}
    inventory = {"inventory": (STEPS, len(game.agents))} if game.inventory_noise else {}
    return {"price": (STEPS,), **factor, **inventory}


CASES = [
    pytest.param(name, kinds, id=f"{name}-{'-'.join(kinds) or 'still'}")
    for name in scenario_names()
    for kinds in KINDS
    if set(kinds) <= set(shapes(load_scenario(name)))
]


def drawn(name: str, kinds: tuple[str, ...], *batch: int) -> tuple[Game, Controls, Noise]:
    """A scenario's game, controls (K, .) within its action range, and increments of some kinds."""
    game, rng = load_scenario(name), np.random.default_rng(7)
    ends = zip(*game.action_range(), strict=True)
    controls = Controls(*(low + (high - low) * rng.uniform(size=(STEPS, low.size)) for low, high in ends))
    if game.must_close:  # here by the last step alone: no scenario has a bound that would ask for more
        controls.rate[-1] = -game.start * STEPS / game.horizon - controls.rate[:-1].sum(axis=0)
    return game, controls, Noise(**{kind: rng.standard_normal((*batch, *shapes(game)[kind])) for kind in kinds})


def begun(game: Game) -> Position:
    """The game before its first step."""
    return Position(game.start, None if game.factor is None else np.array(game.factor.initial), game.initial_price)


def at(noise: Noise, k: int) -> Noise:
    """The increments of a step of one path."""
    return Noise(*(None if each is None else each[k] for each in noise))


def played(game: Game, controls: Controls, noise: Noise) -> dict[str, Any]:
    """One path, step after step, as :func:`simulate` reports it."""
    times, dt, c = grid(game, STEPS), game.horizon / STEPS, game.coefficients(grid(game, STEPS))
    start, ends = begun(game), []
    for k in range(STEPS):
        shocks = scaled(at(noise, k), dt, game.volatility, game.inventory_noise)
        own = Controls(*(each[k] for each in controls))
        ends.append(advance(game, c.at(k), times[k], dt, start, own, shocks, k + 1 == STEPS))
        start = ends[-1].position
    inventories, factors, prices = zip(begun(game), *(end.position for end in ends), strict=True)
    rewards = np.stack([end.reward for end in ends])
    return {
        "inventories": np.stack(inventories),
        "payoffs": rewards.sum(axis=0),
        "rewards": rewards,
        "mid": np.stack(prices),
        "factor": None if game.factor is None else np.stack(factors),
        "wealth": None if noise.price is None else sum(end.gross for end in ends),
    }


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_all_steps_at_once_are_the_steps_one_by_one(name, kinds):
    game, controls, noise = drawn(name, kinds)
    found, expected = simulate(game, controls, STEPS, noise), played(game, controls, noise)
    for field in FIELDS:
        if expected[field] is None:
            assert getattr(found, field) is None
        else:
            np.testing.assert_allclose(getattr(found, field), expected[field], rtol=1e-12, atol=1e-12, err_msg=field)


class Schedule:
    """Plays its part of given controls."""

    def __init__(self, game: Game, controls: Controls, agent: str) -> None:
        self.own = agent_controls(game, controls, agent)

    def __call__(self, k: int, state: State) -> np.ndarray:
        return self.own[k]


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_policies_are_played_by_the_same_steps_on_every_path(name, kinds):
    """A rollout of many paths is the steps of each; a batch of markets ends where it ends."""
    game, controls, noise = drawn(name, kinds, PATHS)
    policies = {agent: Schedule(game, controls, agent) for agent in game.agents}
    start = np.broadcast_to(game.start, (PATHS, len(game.agents)))
    found = rollout(game, policies, STEPS, noise, inventories=start)
    market = Market(game, STEPS, batch=(PATHS,), normalize=False)
    for k in range(STEPS):
        own = Controls(*(np.broadcast_to(each[k], (PATHS, each.shape[-1])) for each in controls))
        market.advance(own, Noise(*(None if each is None else each[:, k] for each in noise)))
    np.testing.assert_allclose(market.inventories, found.inventories[..., -1, :], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(market.price, found.mid[..., -1], rtol=1e-14)
    for path in range(PATHS):
        expected = played(game, controls, Noise(*(None if each is None else each[path] for each in noise)))
        for field in FIELDS:
            value = getattr(found, field)
            if expected[field] is None:
                assert value is None
            else:
                np.testing.assert_allclose(value[path], expected[field], rtol=1e-12, atol=1e-12, err_msg=field)


def test_a_step_says_what_it_consists_of():
    """The premium and the mean price are what a trader pays; shares from noise are settled before the price jumps."""
    game, controls, noise = drawn("approximation", ("price", "factor", "inventory"))
    dt, time, c = game.horizon / STEPS, 0.0, game.coefficients(grid(game, STEPS)).at(0)
    shocks = scaled(at(noise, 0), dt, game.volatility, game.inventory_noise)
    own = Controls(*(each[0] for each in controls))
    ends = [advance(game, c, time, dt, begun(game), own, shocks, last) for last in (False, True)]
    assert [type(end) for end in ends] == [Advance, Advance]
    end, last = ends
    assert end.mean_price == end.settlement == 100.0
    assert end.position.price == pytest.approx(100.0 + game.volatility * dt**0.5 * noise.price[0], rel=1e-15)
    np.testing.assert_array_equal(end.shock, game.inventory_noise * dt**0.5 * noise.inventory[0])
    np.testing.assert_allclose(
        end.position.inventories, game.start + dt * end.activity.inventory_rate + end.shock, rtol=1e-14
    )
    after, _, price = end.position
    np.testing.assert_allclose(end.gross, end.reward + after * (price - 100.0), rtol=1e-12)
    penalty = c.terminal_penalty * after**2
    np.testing.assert_allclose(last.reward, end.reward - penalty, rtol=1e-12)


def test_trades_take_place_at_the_mean_of_a_price_that_moves_linearly():
    game, controls, _ = drawn("execution-2", ())
    c, dt = game.coefficients(grid(game, STEPS)).at(0), game.horizon / STEPS
    own = Controls(*(each[0] for each in controls))
    shocks = scaled(None, dt, game.volatility, game.inventory_noise)
    end = advance(game, c, 0.0, dt, begun(game), own, shocks, False)
    drift = dt * c.permanent_impact / 2 * own.rate.sum()
    assert drift != 0
    assert end.mean_price == pytest.approx(100.0 + drift / 2, rel=1e-15)
    assert end.position.price == end.settlement == pytest.approx(100.0 + drift, rel=1e-15)
    assert end.gain is None
    np.testing.assert_array_equal(end.gross, end.reward)


def test_compiled_code_may_ask_whether_a_step_is_the_last():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        game, controls, noise = drawn("acas", ("price",))
        c, dt = game.coefficients(grid(game, STEPS)).at(0), game.horizon / STEPS
        own, shocks = (
            Controls(*(jax.numpy.asarray(each[0]) for each in controls)),
            scaled(at(noise, 0), dt, game.volatility, 0.0),
        )

        def reward(last: Any, inventories: Any) -> Any:
            start = Position(inventories, None, jax.numpy.asarray(100.0))
            return advance(game, c.like(inventories), 0.0, dt, start, own, shocks, last).gross

        for last in (False, True):
            compiled = jax.jit(reward)(jax.numpy.asarray(last), jax.numpy.asarray(game.start))
            plain = Controls(*(each[0] for each in controls))
            expected = advance(game, c, 0.0, dt, begun(game), plain, shocks, last).gross
            np.testing.assert_allclose(compiled, expected, rtol=1e-12)

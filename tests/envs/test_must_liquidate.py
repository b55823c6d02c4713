"""Environments where traders must liquidate, ``A = inf``: rates are truncated so that the rest stays closable."""

import json
import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from makertaker.baselines import solve
from makertaker.envs import (
    Controls,
    ExecutionGame,
    MakerTakerGame,
    MarketVectorEnv,
    RandomMarkets,
    Uniform,
    execution_v0,
    load_scenario,
    maker_taker_v0,
    rollout,
    simulate,
)
from makertaker.envs.grid import agent_controls, closing_rates
from makertaker.envs.market import Market
from makertaker.envs.scenarios.writer import game_values
from support.arrays import LIBRARIES, array, jax_precision

EXECUTION = ExecutionGame(
    (-5.0, 3.0, 2.0), permanent_impact=0.3, crowding=-0.4, terminal_penalty=(math.inf, 1.0, "inf")
)
MAKERS = MakerTakerGame(
    (-4.0, 3.0, -2.0),
    (1.0, 0.0),
    min_rate=0.5,
    max_rate=7.0,
    max_quote=3.0,
    trader_terminal_penalty=(math.inf, 0.5, "inf"),
)
GAMES = {"execution": EXECUTION, "bounded": replace(EXECUTION, max_rate=6.0), "makers": MAKERS}
STEPS = 6
each_game = pytest.mark.parametrize("name", GAMES)


def spelled_out(game, rates):
    """The rule of one step after the other, trader by trader: kept in ``[max(low, (|Q| - n dt v_max) / dt), min(high,
    (|Q| - n dt low) / dt)]`` in the direction that closes, for ``n`` steps to come."""
    dt, played = game.horizon / STEPS, np.array(rates, dtype=float)
    for i in range(game.traders):
        if not game.closing[i]:
            continue
        left, side = abs(game.start[i]), -np.sign(game.start[i])
        slow, fast = game.rate_limits if game.one_sided else (-game.rate_bound, game.rate_bound)
        for k in range(STEPS):
            rest = (STEPS - k - 1) * dt
            least, most = (
                (left / dt - fast * rest / dt, left / dt - slow * rest / dt) if rest else (left / dt, left / dt)
            )
            rate = min(max(side * played[k, i], slow, least), fast, most)
            played[k, i] = side * rate
            left -= dt * rate
    return played


def drawn(game, seed=0):
    """Controls within the constraints that do not close."""
    rng = np.random.default_rng(seed)
    quotes = rng.uniform(-1, 2, (2, STEPS, game.makers))
    low, high = game.action_range()[0].rate, game.action_range()[1].rate
    rate = np.clip(rng.normal(0, 6, (STEPS, game.traders)), low, high)
    return Controls(rate, *quotes)


@each_game
@pytest.mark.parametrize("seed", range(4))
def test_the_rule_spelled_out(name, seed):
    game, asked = GAMES[name], drawn(GAMES[name], seed)
    market, total = Market(game, steps=STEPS, units="currency"), 0.0
    expected = spelled_out(game, asked.rate)
    for k in range(STEPS):
        total = total + market.advance(Controls(*(each[k] for each in asked)))
        np.testing.assert_allclose(market.rate, expected[k], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(market.clipped, expected[k] - asked.rate[k], rtol=1e-9, atol=1e-12)
    assert np.abs(market.inventories[: game.traders][game.closing]).max() < 1e-14
    low, high = game.rate_bounds
    slack = 1e-12
    assert (expected >= low - slack).all()
    assert (expected <= high + slack).all()
    # what was played is a schedule that closes, and earns as much; nothing is charged at the end
    played = simulate(game, asked._replace(rate=expected), STEPS)
    np.testing.assert_allclose(total, played.payoffs, rtol=1e-11)
    assert np.isfinite(played.payoffs).all()


@each_game
def test_rollouts_are_truncated_alike(name):
    game, asked = GAMES[name], drawn(GAMES[name])
    controls = {agent: agent_controls(game, asked, agent) for agent in game.agents}
    policies = {agent: lambda k, state, own=own: own[k] for agent, own in controls.items()}
    played = rollout(game, policies, STEPS)
    np.testing.assert_allclose(played.controls.rate, spelled_out(game, asked.rate), rtol=1e-12, atol=1e-12)


@each_game
@pytest.mark.parametrize("library", LIBRARIES)
def test_one_function_for_every_library(name, library):
    game, asked = GAMES[name], drawn(GAMES[name])
    inventories = game.start + np.array([[0.5] * len(game.start), [-0.5] * len(game.start)])
    for k in (0, 3, STEPS - 1):
        rates = np.stack([asked.rate[k]] * 2)
        expected = closing_rates(game, Controls(rates), inventories, game.horizon / STEPS, STEPS - k - 1).rate
        for left in (STEPS - k - 1, array(library, STEPS - k - 1)):
            if library == "torch" and not isinstance(left, int):
                continue
            found = closing_rates(
                game, Controls(array(library, rates)), array(library, inventories), game.horizon / STEPS, left
            )
            np.testing.assert_allclose(np.asarray(found.rate), expected, rtol=1e-14)


def module(game):
    return execution_v0 if isinstance(game, ExecutionGame) else maker_taker_v0


@each_game
def test_parallel_environments_say_what_was_truncated(name):
    game, asked = GAMES[name], drawn(GAMES[name])
    env = module(game).parallel_env(game, steps=STEPS, units="currency")
    other = module(game).parallel_env(replace(game, **{game.closing_parameter: 1.0}), steps=STEPS, units="currency")
    _, info = env.reset(seed=0)
    assert info["trader_0"]["rate"] == info["trader_0"]["clipped"] == 0
    assert {agent: env.observation_space(agent) for agent in game.agents} == {
        agent: other.observation_space(agent) for agent in game.agents
    }
    expected, total = spelled_out(game, asked.rate), dict.fromkeys(game.agents, 0.0)
    for k in range(STEPS):
        now = Controls(*(each[k] for each in asked))
        actions = {agent: agent_controls(game, now, agent) for agent in game.agents}
        _, rewards, ended, _, info = env.step(actions)
        total = {agent: total[agent] + rewards[agent] for agent in game.agents}
        for i in range(game.traders):
            assert info[f"trader_{i}"]["rate"] == pytest.approx(expected[k, i], abs=1e-12)
            assert info[f"trader_{i}"]["clipped"] == pytest.approx(expected[k, i] - asked.rate[k, i], abs=1e-12)
        assert not any("clipped" in info[agent] for agent in game.agents[game.traders :])
    assert all(ended.values())
    payoffs = simulate(game, asked._replace(rate=expected), STEPS).payoffs
    np.testing.assert_allclose(list(total.values()), payoffs, rtol=1e-10)


@each_game
def test_vector_and_single_environments(name):
    game = GAMES[name]
    kind = "Execution" if isinstance(game, ExecutionGame) else "MakerTaker"
    single = gymnasium.make(f"makertaker/{kind}-v0", game=game, agent="trader_0", steps=STEPS)
    vector = MarketVectorEnv(game, 3, "trader_0", single.unwrapped.others, steps=STEPS)
    single.reset(seed=0)
    vector.reset(seed=0)
    for _ in range(STEPS):
        *_, info = single.step(single.action_space.high)
        *_, infos = vector.step(np.stack([single.action_space.high] * 3))
        np.testing.assert_allclose(infos["rate"], info["rate"], rtol=1e-12)
        np.testing.assert_allclose(infos["clipped"], info["clipped"], rtol=1e-9, atol=1e-12)
    assert abs(info["inventory"]) < 1e-14


@each_game
@pytest.mark.filterwarnings("ignore")  # of the checks' own
def test_conformance(name):
    """The libraries' own checks."""
    game = GAMES[name]
    env = module(game).parallel_env(game, steps=STEPS)
    parallel_api_test(env, num_cycles=3 * STEPS)
    parallel_seed_test(lambda: module(game).parallel_env(game, steps=STEPS))
    api_test(module(game).env(game, steps=STEPS), num_cycles=3 * STEPS)
    kind = "Execution" if isinstance(game, ExecutionGame) else "MakerTaker"
    check_env(gymnasium.make(f"makertaker/{kind}-v0", game=game, agent="trader_0", steps=STEPS).unwrapped)


@each_game
def test_jax(name):
    with jax_precision():
        jax = pytest.importorskip("jax")
        from makertaker.envs.jax_env import JaxMarket

        game, asked = GAMES[name], drawn(GAMES[name])
        env = JaxMarket(game, steps=STEPS, units="currency")
        _, state = env.reset(jax.random.key(0))
        step, expected, total = jax.jit(env.step_env), spelled_out(game, asked.rate), 0.0
        for k in range(STEPS):
            actions = {"trader": asked.rate[k][:, None]}
            if game.makers:
                actions["maker"] = np.stack([asked.ask[k], asked.bid[k]], axis=-1)
            _, state, rewards, _, info = step(jax.random.key(k), state, actions, env.default_params)
            total = total + np.concatenate([rewards[role] for role in env.roles])
            np.testing.assert_allclose(info["rate"], expected[k], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(info["clipped"], expected[k] - asked.rate[k], rtol=1e-9, atol=1e-12)
        payoffs = simulate(game, asked._replace(rate=expected), STEPS).payoffs
        np.testing.assert_allclose(total, payoffs, rtol=1e-10)


@each_game
def test_torch(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from torchrl.envs import check_env_specs

    from makertaker.envs.torchrl_env import TorchMarket

    game, asked = GAMES[name], drawn(GAMES[name])
    check_env_specs(TorchMarket(game, 2, steps=STEPS))
    env = TorchMarket(game, 2, steps=STEPS, units="currency", dtype=torch.float64)
    now, expected, total = env.reset(), spelled_out(game, asked.rate), 0.0
    for k in range(STEPS):
        now["trader", "action"] = torch.tensor(asked.rate[k])[:, None].expand(2, -1, 1)
        if game.makers:
            quotes = np.stack([asked.ask[k], asked.bid[k]], axis=-1)
            now["maker", "action"] = torch.tensor(quotes).expand(2, -1, 2)
        now = env.step(now)["next"]
        total = total + np.concatenate([now[group, "reward"][0, :, 0].numpy() for group in env.group_map])
        np.testing.assert_allclose(now["rate"][1].numpy(), expected[k], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(now["clipped"][1].numpy(), expected[k] - asked.rate[k], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(total, simulate(game, asked._replace(rate=expected), STEPS).payoffs, rtol=1e-10)


@each_game
def test_the_equilibrium_is_played_as_it_is(name):
    game = GAMES[name]
    found = solve(game, STEPS)
    market = Market(game, steps=STEPS, units="currency")
    for k in range(STEPS):
        market.advance(Controls(*(each[k] for each in found.controls)))
        assert np.abs(market.clipped).max() < 1e-9
    played = rollout(game, found.open_loop(), STEPS)
    np.testing.assert_allclose(played.payoffs, found.payoffs, rtol=1e-9, atol=1e-9)


@each_game
def test_sizes_are_finite(name):
    game = GAMES[name]
    low, high = game.action_range()
    assert all(np.isfinite(each).all() for each in (*low, *high))
    units = [unit(agent) for agent in game.agents for unit in (game.control_unit, game.payoff_unit)]
    assert np.isfinite(units).all()
    assert min(units) > 0


def test_random_starts_and_markets_can_be_closed():
    market = Market(GAMES["makers"], steps=STEPS, batch=(500,), inventory_spread=5.0)
    market.reset(np.random.default_rng(0))
    own = np.abs(market.inventories[:, [0, 2]])
    assert own.min() == 0.5  # min_rate T
    assert own.max() == 7.0  # max_rate T
    assert np.abs(market.inventories[:, 1]).max() > 7  # need not be closed
    assert (np.sign(market.inventories[:, :3]) * np.sign(GAMES["makers"].start[:3]) >= 0).all()
    random = RandomMarkets(EXECUTION, {"initial_inventory": Uniform([-8.0, 1.0, 1.0], [-2.0, 2.0, 3.0])})
    market = Market(EXECUTION, steps=STEPS, random=random, batch=(20,))
    market.reset(np.random.default_rng(1))
    for _ in range(STEPS):
        market.advance(market.controls(np.random.default_rng(2).normal(size=(20, 3))))
    assert np.abs(market.inventories[:, [0, 2]]).max() < 1e-13


def test_files_and_words():
    for game in GAMES.values():
        values = json.loads(json.dumps(game_values(game), allow_nan=False))
        assert load_scenario(values) == game
    assert load_scenario("almgren-chriss-2").must_close
    assert load_scenario("execution-2", ["terminal_penalty=inf"]).closing.all()
    assert load_scenario("acas", ["trader_terminal_penalty=[inf]"]) == load_scenario(
        "acas", ['trader_terminal_penalty=["inf"]']
    )


BAD = [
    (
        lambda: replace(MAKERS, maker_terminal_penalty=math.inf),
        "maker_terminal_penalty: expected finite values >= 0, got inf",
    ),
    (lambda: replace(EXECUTION, running_penalty=math.inf), "running_penalty: expected finite values >= 0, got inf"),
    (lambda: replace(EXECUTION, terminal_penalty=-math.inf), "terminal_penalty: expected finite values >= 0, got -inf"),
    (lambda: replace(EXECUTION, terminal_penalty="many"), "terminal_penalty"),
    (
        lambda: replace(MAKERS, inventory_noise=0.1),
        "inventory_noise: expected 0 where a trader must liquidate, who cannot close the last shock, got 0.1",
    ),
    (
        lambda: replace(MAKERS, max_rate=3.5),
        r"trader_inventory: trader_0 must liquidate -4 shares, expected a size between min_rate T = 0\.5 and max_rate "
        r"T = 3\.5",
    ),
    (
        lambda: replace(MAKERS, min_rate=2.5),
        "trader_inventory: trader_2 must liquidate -2 shares, expected a size between",
    ),
    (
        lambda: replace(EXECUTION, max_rate=4.0),
        "initial_inventory: trader_0 must liquidate -5 shares, expected a size of at most max_rate T = 4",
    ),
    (
        lambda: Market(MAKERS, steps=3).reset(np.random.default_rng(0), [-8.0, 3.0, -2.0, 0.0, 0.0]),
        "inventory: trader_0 must liquidate -8 shares, expected a size between",
    ),
    (
        lambda: rollout(
            GAMES["bounded"], dict.fromkeys(EXECUTION.agents, lambda k, state: np.zeros(1)), 3, inventories=[7, 0, 0]
        ),
        "inventories: trader_0 must liquidate 7 shares, expected a size of at most max_rate T = 6",
    ),
    (
        lambda: RandomMarkets(replace(EXECUTION, terminal_penalty=math.inf), {"terminal_penalty": Uniform(1.0, 2.0)}),
        r"random\.terminal_penalty: who must liquidate is not drawn",
    ),
    (
        lambda: RandomMarkets(MAKERS, {"trader_inventory": Uniform([-8.0, 1.0, -2.0], [-4.0, 2.0, -1.0])}),
        "trader_inventory: trader_0 must liquidate -8 shares",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)

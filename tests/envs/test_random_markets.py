"""Random markets: every episode, and every market of a batch, is a game of its own, in NumPy, PyTorch and JAX."""

import json
import pickle

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from makertaker.baselines import exploitability, random_controls, solve
from makertaker.envs import (
    Choice,
    Controls,
    ExecutionGame,
    LogUniform,
    MarketVectorEnv,
    Noise,
    Options,
    RandomMarkets,
    Uniform,
    acas_v0,
    execution_v0,
    load_scenario,
    read_scenario,
    simulate,
)
from makertaker.envs.market import Market
from makertaker.envs.random_markets import drawable
from makertaker.envs.scenarios.loader import Scenario
from support.arrays import jax_precision
from support.episodes import draw_actions, play, same

STEPS = 5
EVERYTHING = {
    "trader_inventory": Uniform([-10.0, 3.0], [-2.0, 8.0]),
    "maker_inventory": Uniform([0.0, 0.0, -1.0], [1.0, 1.0, 1.0]),
    "trader_running_penalty": Uniform(0.0, 1.0),
    "trader_terminal_penalty": Uniform([0.5, 0.5], [2.0, 2.0]),
    "maker_running_penalty": Uniform([0.0, 0.0, 0.0], [0.3, 0.2, 0.1]),
    "maker_terminal_penalty": Choice([0.1, 0.3, 0.5]),
    "buy_flow": Uniform(0.5, 2.0),
    "sell_flow": LogUniform(0.1, 10.0),
    "impact.beta": Uniform([0.3, 0.3], [0.8, 0.9]),
    "volatility": Uniform(0.5, 2.0),
}
SOFTMAX = {"kind": "softmax", "rate": 1.0, "offsets": [0.0, 0.1, 0.2]}
PRODUCT = {"kind": "product", "rate": 1.0, "floor": 0.5, "gamma": 1.0}
MARKETS = {
    "best quote": ({}, {"competition.gamma": LogUniform(0.5, 2.0)}),
    "softmax": (
        {"competition": SOFTMAX},
        {"competition.rate": Uniform(0.5, 2.0), "competition.offsets": Uniform([0.0] * 3, [0.5] * 3)},
    ),
    "product": ({"competition": PRODUCT}, {"competition.floor": Uniform(0.1, 0.9), "competition.gamma": Uniform(1, 2)}),
    "crowded": ({"impact": {"kind": "crowded"}}, {"impact.crowding": Uniform(0.0, 1.9)}),
    "quartic": ({"impact": {"kind": "quartic"}}, {"impact.quartic": Uniform(0.0, 0.2)}),
    "average trader": ({"flow_from": "mean"}, {"competition.gamma": Choice([0.5, 1.0])}),
    "noise": ({"inventory_noise": 0.3}, {"inventory_noise": Uniform(0.0, 1.0)}),
}
EXECUTION = {
    "initial_inventory": Uniform([-8.0, -3.0], [-2.0, 5.0]),
    "permanent_impact": Uniform(0.0, 1.0),
    "temporary_impact": LogUniform(0.1, 1.0),
    "crowding": Uniform(0.0, 1.9),
    "running_penalty": Uniform([0.0, 0.1], [1.0, 2.0]),
    "terminal_penalty": Choice([[1.0, 2.0], [3.0, 0.5]]),
    "buy_flow": Uniform(0.0, 2.0),
    "sell_flow": Uniform(0.0, 2.0),
}


def markets(name):
    """Random markets in which everything that can be drawn is."""
    if name == "execution":
        return RandomMarkets(load_scenario("execution-2"), EXECUTION, STEPS)
    changes, random = MARKETS[name]
    game = acas_v0.parallel_env(scenario="acas-2x3", maker_running_penalty=0.1, **changes).game
    return RandomMarkets(game, EVERYTHING | random, STEPS)


NAMES = [*MARKETS, "execution"]


def unequal(values):
    """True where no two markets have the same values, (B, ...)."""
    return len(np.unique(np.asarray(values).reshape(len(values), -1), axis=0)) == len(values)


# The same as each alone


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_different_games_pay_what_each_pays_alone(name):
    """To rounding; noise included."""
    random, count = markets(name), 1000
    market = Market(random.game, STEPS, random, batch=(count,), normalize=True)
    rng = np.random.default_rng(0)
    market.reset(rng)
    games, taken, noises, total = market.games(), [], [], 0.0
    assert set(random.distributions) == {each for each in drawable(random.game) if each in random.distributions}
    for _ in range(STEPS):
        width = random.game.traders + 2 * random.game.makers
        taken.append(market.controls(rng.uniform(-1, 1, (count, width))))
        noises.append(market.draw(rng))
        total = total + market.advance(taken[-1], noises[-1])
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    units = 1.0 + np.abs(total).max()
    for i, game in enumerate(games):
        own = Controls(*(each[i] for each in played))
        noise = None
        if game.inventory_noise:
            noise = Noise(inventory=np.stack([each.inventory[i] for each in noises]))
        expected = simulate(game, own, STEPS, noise)
        np.testing.assert_allclose(total[i], expected.payoffs, rtol=1e-9, atol=1e-12 * units)
        np.testing.assert_allclose(market.inventories[i], expected.inventories[-1], rtol=1e-9, atol=1e-12)
    assert unequal([game.start for game in games])


@pytest.mark.parametrize("name", NAMES)
def test_torch_plays_the_same_games(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from makertaker.envs.torchrl_env import TorchMarket

    random, count = markets(name), 100
    env = TorchMarket(random, count, dtype=torch.float64, seed=0, units="currency", normalize=True)
    env._played, game = None, random.game
    start = env.reset()
    rows = random.drawn(env._drawn.uniform.numpy()).uniform
    games = [random.game_of(random.drawn(each)) for each in rows]
    rng, taken, total = np.random.default_rng(1), [], 0.0
    noise_free = dict.fromkeys(env.group_map)
    for _ in range(STEPS):
        for group in noise_free:
            shape = env.full_action_spec[group, "action"].shape
            start.set((group, "action"), torch.as_tensor(rng.uniform(-1, 1, shape)))
        taken.append([each.numpy() for each in env.controls(start)])
        start = env.step(start)["next"]
        total = total + np.concatenate([start[group, "reward"][..., 0].numpy() for group in noise_free], axis=-1)
        start = start.exclude(*[(group, "reward") for group in noise_free])
    if game.inventory_noise:
        return  # its draws are the generator's own
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    for i, each in enumerate(games):
        own = Controls(*(part[i] for part in played))
        np.testing.assert_allclose(total[i], simulate(each, own, STEPS).payoffs, rtol=1e-9)
    for key, shown in start["drawn"].items():
        np.testing.assert_allclose(shown.numpy(), [random.drawn(each).values[key] for each in rows])
    assert not torch.equal(env.reset()["drawn"][key], shown), "every episode draws anew"


@pytest.mark.parametrize("name", NAMES)
def test_jax_plays_the_same_games(name):
    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket, JaxNoise

    random, count = markets(name), 20
    with jax_precision():
        env = JaxMarket(random, units="currency", normalize=True)
        params = jax.vmap(env.draw_params)(jax.random.split(jax.random.key(0), count))
        _, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), count))
        np.testing.assert_array_equal(state.context, params.context)
        games = [game_of(random, jax.tree.map(lambda each, i=i: each[i], params)) for i in range(count)]
        assert unequal(params.initial)
        rng, taken, total = np.random.default_rng(1), [], 0.0
        n, d = len(random.game.agents), 0
        still = JaxNoise(np.zeros(count), np.zeros((count, d)), np.zeros((count, n)))
        advance, usual = jax.jit(jax.vmap(env.advance, in_axes=(0, 0, 0, None))), env.default_params
        for _ in range(STEPS):
            sizes = {"trader": (random.game.traders, 1), "maker": (random.game.makers, 2)}
            acted = {role: rng.uniform(-1, 1, (count, *sizes[role])) for role in env.roles}
            taken.append(jax.vmap(env.controls)(acted))
            state, reward, _ = advance(state, taken[-1], still, usual)
            total = total + np.asarray(reward)
    played = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
    for i, game in enumerate(games):
        own = Controls(*(each[i] for each in played))
        np.testing.assert_allclose(total[i], simulate(game, own, STEPS).payoffs, rtol=1e-9)


def game_of(random, params):
    """The game of a market's context: everything here is uniform in it, or a choice."""
    return random.game_of(random.drawn(np.clip((np.asarray(params.context) + 1) / 2, 0.0, 1 - 1e-12)))


def test_jax_draws_anew_at_every_start_and_says_what():
    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    env = JaxMarket(markets("best quote"), context=True, observation="time")
    key = jax.random.key(0)
    seen, state = env.reset(key)
    first = state.context
    np.testing.assert_allclose(seen["maker"][0, 1:], first, rtol=1e-6)
    still, told = {"trader": np.zeros((2, 1)), "maker": np.zeros((3, 2))}, []
    for k in range(STEPS):
        seen, state, _, done, info = env.step(jax.random.key(k + 1), state, still)
        np.testing.assert_array_equal(seen["maker"][0, 1:], state.context if k + 1 == STEPS else first)
        told.append(info["drawn"]["competition.gamma"])
    assert done["__all__"]
    assert len(np.unique(told)) == 1
    assert not np.allclose(state.context, first)
    with pytest.raises(ValueError, match="params: expected in all of an episode, reset included, or nowhere"):
        env.step(key, state, still, env.default_params)
    params = env.draw_params(key)
    _, state = env.reset(key, params)
    for _ in range(STEPS):
        seen, state, _, done, _ = env.step(key, state, still, params)
        np.testing.assert_array_equal(seen["maker"][0, 1:], params.context)
    assert done["__all__"]
    with pytest.raises(ValueError, match="draw_params: expected random markets, got a game"):
        JaxMarket("acas").draw_params(key)


# Environments


@pytest.mark.parametrize("options", [{}, {"context": True}, {"context": True, "identity": True, "observation": "own"}])
def test_pettingzoo_s_tests_pass(options):
    env = acas_v0.parallel_env(markets("best quote"), **options)
    parallel_api_test(env)
    parallel_seed_test(lambda: acas_v0.parallel_env(markets("softmax"), **options))
    api_test(acas_v0.env(markets("best quote"), **options))
    assert env.state_space.contains(env.state())


@pytest.mark.parametrize("name", NAMES)
def test_every_episode_draws_says_and_shows_its_game(name):
    random = markets(name)
    env = acas_v0.parallel_env(random, context=True, observation="time", identity=True)
    seen = []
    for seed in (0, 0, 1, None):
        observations, infos = env.reset(seed=seed)
        (game,) = env.market.games()
        for agent in env.possible_agents:
            told = {key.removeprefix("drawn."): each for key, each in infos[agent].items() if key.startswith("drawn.")}
            assert told.keys() == random.distributions.keys()
            shown = observations[agent][1 : -len(game.agents)]
            np.testing.assert_allclose(shown, env.market.drawn.context, rtol=1e-6)
            assert env.observation_space(agent).contains(observations[agent])
        start = [told[each] for each in ("trader_inventory", "maker_inventory", "initial_inventory") if each in told]
        np.testing.assert_array_equal(game.start, np.concatenate(start))
        np.testing.assert_array_equal(env.market.inventories, game.start)
        seen.append(game)
        env.step({agent: np.zeros(space.shape) for agent, space in env.action_spaces.items()})
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_a_single_market_pays_what_its_game_does():
    env = acas_v0.parallel_env(markets("softmax"), units="currency")
    env.reset(seed=3)
    (game,) = env.market.games()
    controls = random_controls(game, STEPS, seed=1)
    total = 0.0
    for k in range(STEPS):
        total = total + np.array(list(env.play(Controls(*(each[k] for each in controls)))[1].values()))
    np.testing.assert_allclose(total, simulate(game, controls, STEPS).payoffs, rtol=1e-12)


def test_copies_and_pickles_go_on():
    env = acas_v0.parallel_env(markets("best quote"), context=True)
    actions = draw_actions(env)
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    assert same([env.step(each) for each in actions], [twin.step(each) for each in actions])
    assert same(play(env, actions), play(twin, actions))


@pytest.mark.parametrize("kind", ["single", "vector", "sync"])
def test_opponents_play_the_equilibrium_of_what_was_drawn(kind):
    """A learner that follows its own equilibrium earns its payoff, in every market."""
    random = {"trader_inventory": Uniform([-8.0], [-2.0]), "competition.gamma": Uniform(0.5, 2.0)}
    given = {"random": random, "steps": STEPS, "units": "currency", "agent": "trader_0"}
    for _ in range(2):
        if kind == "single":
            env = gymnasium.make("makertaker/Acas-v0", **given).unwrapped
            env.reset(seed=1)
            games = env.parallel.market.games()
        else:
            mode = "sync" if kind == "sync" else "vector_entry_point"
            env = gymnasium.make_vec("makertaker/Acas-v0", 3, mode, **given)
            env.reset(seed=1)
            games = (
                env.unwrapped.market.games()
                if kind == "vector"
                else [each.unwrapped.parallel.market.games()[0] for each in env.envs]
            )
        found = [solve(game, STEPS) for game in games]
        rates = np.stack([each.controls.rate for each in found])  # (B, K, 1)
        total = sum(env.step(rates[0, k] if kind == "single" else rates[:, k])[1] for k in range(STEPS))
        np.testing.assert_allclose(np.ravel(total), [each.payoffs[0] for each in found], rtol=1e-9)


def test_a_batch_draws_in_every_mode_and_tells():
    random = markets("best quote")
    others = dict.fromkeys(random.game.agents[:2], lambda k, state: np.ones(1))
    others |= dict.fromkeys(random.game.agents[2:], lambda k, state: np.ones(2))
    for mode in ("NextStep", "SameStep", "Disabled"):
        env = MarketVectorEnv(random, 4, "maker_1", others, context=True, autoreset_mode=mode)
        seen, infos = env.reset(seed=0)
        before = infos["drawn.competition.gamma"]
        assert before.shape == (4,)
        assert unequal(before)
        assert unequal(infos["drawn.trader_inventory"])
        for _ in range(STEPS + (mode == "NextStep")):
            seen, *_, infos = env.step(np.zeros((4, 2)))
        if mode == "Disabled":
            seen, infos = env.reset()
        assert not np.isclose(infos["drawn.competition.gamma"], before).any()
        context = seen[:, -random.width :]
        expected = env.market.drawn.context
        np.testing.assert_allclose(context, expected, rtol=1e-6)


# Descriptions


FILE = """
steps = 7
trader_inventory = [-5.0]
maker_inventory = [1.0, 0.0]

[random]
trader_inventory = {uniform = [[-10.0], [-2.0]]}
maker_terminal_penalty = {choice = [0.1, 0.3]}
competition.gamma = {log_uniform = [0.5, 2.0]}
"""


def test_a_file_a_mapping_and_an_object_describe_the_same_markets(tmp_path):
    (tmp_path / "drawn.toml").write_text(FILE)
    found = read_scenario(tmp_path / "drawn.toml")
    assert isinstance(found, Scenario)
    assert (found.random.steps, found.random.name) == (7, "drawn")
    expected = {
        "trader_inventory": Uniform([-10.0], [-2.0]),
        "maker_terminal_penalty": Choice([0.1, 0.3]),
        "competition.gamma": LogUniform(0.5, 2.0),
    }
    assert found.random.distributions == expected
    by_hand = acas_v0.parallel_env(found.game, random=expected, steps=7)
    for env in (
        acas_v0.parallel_env(scenario=tmp_path / "drawn.toml"),
        acas_v0.parallel_env(found),
        acas_v0.parallel_env(found.random),
        acas_v0.parallel_env({**found.values}),
        acas_v0.parallel_env(found.game, random=found.random.table(), steps=7),
    ):
        assert same(play(env, draw_actions(env), seed=5), play(by_hand, draw_actions(env), seed=5))
    with pytest.raises(ValueError, match="scenario 'drawn': expected one game, got a table 'random'"):
        load_scenario(tmp_path / "drawn.toml")


def test_what_is_given_is_not_drawn():
    env = acas_v0.parallel_env(markets("best quote"), competition={"gamma": 3.0}, maker_running_penalty=0.2)
    names = set(env.market.random.distributions)
    assert names == set(EVERYTHING) - {"maker_running_penalty"}
    with pytest.raises(ValueError, match=r"random\.volatility: expected a value or a distribution, got both"):
        acas_v0.parallel_env(random={"volatility": Uniform(1, 2)}, volatility=3.0)


def test_a_reset_that_is_refused_changes_nothing():
    env, other = (acas_v0.parallel_env(markets("best quote")) for _ in range(2))
    first, *rest = draw_actions(env)
    for each in (env, other):
        each.reset(seed=0)
        each.step(first)
    with pytest.raises(ValueError, match="inventory: a buyer starts at 0 or below"):
        env.reset(options={"inventory": np.ones(5)})
    with pytest.raises(ValueError, match="inventory: expected numbers, got 'all'"):
        env.reset(options={"inventory": "all"})
    assert same([env.step(each) for each in rest], [other.step(each) for each in rest])


def test_specifications_survive_json():
    gammas = {"competition.gamma": LogUniform(0.5, 2.0)}
    for given in (
        {"game": markets("softmax")},
        {"random": gammas},
        {"random": RandomMarkets(load_scenario("acas"), gammas)},
        {"random": gammas, "options": Options(rate_range=np.array([0.0, 5.0]))},
    ):
        env = gymnasium.make("makertaker/Acas-v0", **given, context=True)
        again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert same(again.reset(seed=2), env.reset(seed=2))
        json.loads(env.spec.to_json())


@pytest.mark.parametrize(
    ("random", "message"),
    [
        ({}, "random: expected at least one distribution, got none"),
        ({"gamma": Uniform(1, 2)}, r"random.gamma: expected some of \[.*'competition.gamma'.*got 'gamma'"),
        ({"horizon": Uniform(1, 2)}, "random.horizon: expected some of"),
        ({"trader_inventory": Uniform(-3, -2)}, "random.trader_inventory: expected lists of length 2, got Uniform"),
        ({"trader_inventory": Uniform([-3.0], [-2.0])}, "random.trader_inventory: expected lists of length 2"),
        ({"competition.gamma": Uniform(-1, 2)}, "gamma: expected a positive finite number"),
        ({"maker_terminal_penalty": Uniform(-1.0, 2)}, "maker_terminal_penalty: expected finite values >= 0"),
        ({"trader_inventory": Uniform([-3.0, -1.0], [-2.0, 4.0])}, "buyers stay buyers and sellers stay sellers"),
        ({"trader_inventory": Choice([[-5.0, 1.0], [-4.0, 1.0], [3.0, 1.0], [-1.0, 1.0]])}, "buyers stay buyers"),
        (
            {"maker_terminal_penalty": Choice([0.1] * 30 + [-1.0] + [0.1] * 30)},
            "maker_terminal_penalty: expected finite",
        ),
        ({"volatility": 1.0}, r"random.volatility: expected one of \['uniform', 'log_uniform', 'choice'\]"),
        ({"volatility": {"normal": [0, 1]}}, "random.volatility: expected one of"),
        ({"volatility": {"uniform": [0, 1, 2]}}, "random.volatility.uniform: expected a list of two bounds"),
        ({"volatility": {"log_uniform": [0, 1]}}, "random.volatility: LogUniform: expected bounds of one sign"),
    ],
)
def test_bad_distributions_are_refused(random, message):
    with pytest.raises(ValueError, match=message):
        acas_v0.parallel_env(scenario="acas-2x3", random=random)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(2, 1), "Uniform: expected low <= high"),
        (lambda: Uniform([1, 2], 3), "Uniform: expected low <= high, alike in length"),
        (lambda: Uniform(np.nan, 3), "Uniform.low: expected finite numbers, got nan"),
        (lambda: Choice([]), "Choice: expected a list of values"),
        (lambda: Choice([[1.0], [1.0, 2.0]]), "Choice: expected values of one length"),
        (lambda: RandomMarkets("acas", {"volatility": Uniform(1, 2)}), "game: expected a game, got 'acas'"),
        (lambda: acas_v0.parallel_env(context=True), "context: nothing is drawn that it could show"),
        (
            lambda: solve(acas_v0.parallel_env(markets("best quote"))),
            "game: expected one game, got a distribution over",
        ),
        (lambda: solve(markets("best quote")), "game: expected one game, got a distribution over"),
        (lambda: exploitability(markets("execution"), Controls(np.zeros((5, 2)))), "expected one game"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_distributions_are_what_they_say():
    uniform = np.random.default_rng(0).random((100_000, 1))
    assert Uniform(1.0, 3.0).value(uniform).mean() == pytest.approx(2.0, abs=0.01)
    assert np.log(LogUniform(0.1, 10.0).value(uniform)).mean() == pytest.approx(0.0, abs=0.02)
    assert LogUniform(-10.0, -0.1).value(uniform).max() < -0.1
    values, counts = np.unique(Choice([1.0, 2.0, 5.0]).value(uniform), return_counts=True)
    assert values.tolist() == [1.0, 2.0, 5.0]
    np.testing.assert_allclose(counts / len(uniform), 1 / 3, atol=0.01)
    assert np.unique(Choice([1.0, 2.0, 5.0]).context(uniform)).tolist() == [-1.0, 0.0, 1.0]
    assert Choice([[1.0, 2.0]]).context(uniform).max() == 0.0
    game = ExecutionGame((-5.0,), buy_flow=lambda t: 1 + t)
    assert "buy_flow" not in drawable(game), "functions of time are not drawn"
    assert execution_v0.parallel_env(game, random={"crowding": Uniform(0, 1)}).market.random.width == 1

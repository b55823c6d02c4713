"""Environments of random markets: what every episode draws, says and shows; and how markets are described."""

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
    Options,
    RandomMarkets,
    Uniform,
    acas_v0,
    execution_v0,
    load_scenario,
    read_scenario,
    simulate,
)
from makertaker.envs.random_markets import drawable
from makertaker.envs.scenarios.loader import Scenario
from support.episodes import draw_actions, play, same
from support.random_markets import EVERYTHING, NAMES, STEPS, markets, unequal


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
        context = seen[:, 1 : 1 + random.width]
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
        ({"gamma": Uniform(1, 2)}, r"unknown parameter 'gamma' in random: did you mean 'competition.gamma'"),
        ({"horizon": Uniform(1, 2)}, "unknown parameter 'horizon' in random: expected some of"),
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

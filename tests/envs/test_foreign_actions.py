"""Actions as other libraries have them: wherever the number and the order of their entries are clear."""

import copy
import json
import pickle

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.envs.registration import EnvSpec

from makertaker.baselines import solve
from makertaker.envs import (
    BestQuote,
    ExecutionGame,
    MakerTakerGame,
    MarketVectorEnv,
    Options,
    QuadraticImpact,
    Softplus,
    acas_v0,
    load_scenario,
    read_scenario,
    scenario_names,
)
from makertaker.envs.arrays import as_numpy
from makertaker.envs.scenarios.writer import game_values
from support.arrays import LIBRARIES, array
from support.env_markets import STEPS
from support.episodes import same

TRADE, QUOTE = 0.25, [0.5, -0.75]
TRADERS = {
    "a number": TRADE,
    "a NumPy number": np.float32(TRADE),
    "a list": [TRADE],
    "0-d": np.array(TRADE),
    "(1, 1)": np.full((1, 1), TRADE),
    "nested lists": [[[TRADE]]],
    "half precision": np.full(1, TRADE, dtype=np.float16),
}
MAKERS = {
    "a list": QUOTE,
    "a tuple": tuple(QUOTE),
    "(1, 2)": np.array([QUOTE]),
    "(2, 1)": np.array(QUOTE)[:, None],
    "numbers": [np.float32(each) for each in QUOTE],
    "read only": np.broadcast_to(np.array(QUOTE), (1, 2)),
}


def played(trader, maker):
    """What a step of the parallel environment pays."""
    env = acas_v0.parallel_env(steps=STEPS)
    env.reset(seed=0)
    return env.step({"trader_0": trader, "maker_0": maker, "maker_1": np.zeros(2)})[:2]


@pytest.mark.parametrize("name", TRADERS)
def test_a_trader_s_action_comes_in_any_shape_of_one_entry(name):
    assert same(played(TRADERS[name], QUOTE), played(np.array([TRADE]), np.array(QUOTE)))
    one, other = (gymnasium.make("makertaker/Acas-v0", steps=STEPS) for _ in range(2))
    one.reset(seed=0), other.reset(seed=0)
    assert same(one.unwrapped.step(TRADERS[name])[:4], other.step(np.array([TRADE]))[:4])


@pytest.mark.parametrize("name", MAKERS)
def test_a_maker_s_action_comes_in_any_shape_of_two_entries(name):
    assert same(played(TRADE, MAKERS[name]), played(np.array([TRADE]), np.array(QUOTE)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_action_is_an_array_of_any_library(library, dtype):
    given = array(library, QUOTE, dtype)
    assert same(played(array(library, [TRADE], dtype), given), played(TRADE, QUOTE))
    env = gymnasium.make("makertaker/Acas-v0", agent="maker_0", steps=STEPS).unwrapped
    env.reset(seed=0)
    first = env.step(given)[1]
    batch = MarketVectorEnv("acas", 3, "maker_0", env.others, steps=STEPS)
    batch.reset(seed=0)
    np.testing.assert_allclose(batch.step(array(library, [QUOTE] * 3, dtype))[1], first, rtol=1e-12)


def test_a_tensor_may_be_part_of_a_graph():
    torch = pytest.importorskip("torch")
    learned = torch.full((1, 1), TRADE, requires_grad=True)
    assert same(played(learned * 1.0, torch.tensor(QUOTE, dtype=torch.bfloat16)), played(TRADE, QUOTE))
    np.testing.assert_array_equal(as_numpy([1, 2]), [1.0, 2.0])


@pytest.mark.parametrize(
    "action",
    ["0.5", ["0", "1"], 1j, [1j, 0], None, {}, 10**400, np.datetime64("2020-01-01"), np.ma.array([1.0], mask=[True])],
)
def test_what_is_no_number_is_refused_by_the_agent_s_name(action):
    env = acas_v0.parallel_env(steps=STEPS)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"trader_0: expected (numbers|an action of shape \(1,\)), got"):
        env.step({"trader_0": action, "maker_0": QUOTE, "maker_1": QUOTE})
    assert env.market.k == 0


def test_numbers_of_any_precision_pay_the_same():
    with_longer = played(np.array([TRADE], dtype=np.longdouble), np.matrix([QUOTE]))
    assert same(with_longer, played(TRADE, QUOTE))
    assert all(type(each) is float for each in with_longer[1].values())


@pytest.mark.parametrize("shape", [(2, 3), (6,), (2,), (3, 1), (3, 2, 2), (1, 2), ()])
def test_a_batch_guesses_no_order(shape):
    env = MarketVectorEnv("acas", 3, "maker_0", solve("acas", STEPS).open_loop(), steps=STEPS)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"maker_0: expected an action of shape \(3, 2\), got"):
        env.step(np.zeros(shape))
    assert env.market.k == 0
    env.step(np.zeros((3, 1, 2)))


# Names and copies


@pytest.mark.parametrize("kind", ["parallel", "aec"])
@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("makertaker/Acas-v0", "acas"),
        ("makertaker/acas_v0", "acas"),
        ("makertaker/Execution-v0", "execution-2"),
        ("makertaker/maker_taker_v0", "maker-taker-3x3"),
        ("makertaker/Approximation-v0", "approximation"),
    ],
)
def test_pettingzoo_makes_the_environments_by_name(kind, name, scenario):
    if not hasattr(pettingzoo, "make"):
        pytest.skip("this version of PettingZoo has no registry")
    env = pettingzoo.make(kind, name)
    assert env.unwrapped.game == load_scenario(scenario) if kind == "parallel" else True
    assert isinstance(env, pettingzoo.ParallelEnv if kind == "parallel" else pettingzoo.AECEnv)
    changed = pettingzoo.make("parallel", name, max_cycles=7, observation="own")
    assert (changed.options.steps, changed.options.observation) == (7, "own")


def test_cycles_are_steps():
    assert acas_v0.parallel_env(max_cycles=9).options.steps == 9
    assert acas_v0.parallel_env(max_cycles=9, steps=9).options.steps == 9
    with pytest.raises(ValueError, match="steps, max_cycles: expected one of them, got 8 and 9"):
        acas_v0.parallel_env(max_cycles=9, steps=8)
    with pytest.raises(ValueError, match="steps: expected a positive whole number, got 0"):
        acas_v0.parallel_env(max_cycles=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("name", ["acas", "execution-signal", "maker-taker-softmax"])
def test_environments_games_and_equilibria_are_copied_and_pickled(name, copied):
    game, nash = load_scenario(name), solve(name, STEPS)
    assert copied(game) == game
    assert copied(read_scenario(name)) == read_scenario(name)
    assert same(copied(nash).controls, nash.controls)
    act = copied(nash.feedback())["trader_0"]
    assert same(act(0, state_at_start(game)), nash.feedback()["trader_0"](0, state_at_start(game)))
    env = acas_v0.parallel_env(game, steps=STEPS)
    actions = {agent: np.full(space.shape, 0.1) for agent, space in env.action_spaces.items()}
    env.reset(seed=3)
    env.step(actions)
    twin = copied(env)
    assert same([twin.step(actions) for _ in range(STEPS - 1)], [env.step(actions) for _ in range(STEPS - 1)])
    assert same(twin.reset()[0], env.reset()[0])


def state_at_start(game):
    env = acas_v0.parallel_env(game, steps=STEPS)
    env.reset()
    return env.market.state


# Specifications


@pytest.mark.parametrize("name", scenario_names())
def test_a_game_is_what_would_stand_in_its_file(name):
    values = json.loads(json.dumps(game_values(load_scenario(name))))
    assert load_scenario(values) == load_scenario(name)


def test_what_no_file_can_name_is_said():
    with pytest.raises(ValueError, match="buy_flow: expected what a scenario file can name, got <function"):
        game_values(MakerTakerGame((1.0,), (1.0, 0.0), buy_flow=lambda t: 1 + t))


SOFT = MakerTakerGame((4.0,), (1.0, 2.0), competition=BestQuote(Softplus(2.0)), impact=QuadraticImpact((0.1,)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"game": SOFT, "rate_range": (0.0, 3.0)},
        {"scenario": read_scenario("acas-2x3"), "agent": "maker_2"},
        {"competition": BestQuote(Softplus(2.0)), "options": Options(steps=7, observation="own")},
        {"game": ExecutionGame((-5.0, 2.0), crowding=0.3), "max_cycles": 9},
    ],
)
def test_specifications_survive_json(arguments):
    env = gymnasium.make("makertaker/Acas-v0", **arguments)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.game == env.unwrapped.game
    assert again.unwrapped.parallel.options == env.unwrapped.parallel.options
    vector = gymnasium.make_vec("makertaker/Acas-v0", 2, "vector_entry_point", **arguments)
    stored = EnvSpec.from_json(vector.unwrapped.spec.to_json())
    assert gymnasium.make_vec(stored, 2, "vector_entry_point").unwrapped.game == env.unwrapped.game

"""One description of a market for all that plays or solves it: a game, a scenario in any form, an environment."""

import json
from dataclasses import replace
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import RecordEpisodeStatistics, RescaleAction
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVector

from makertaker.baselines import (
    best_response,
    best_response_to_policies,
    check,
    exploitability,
    open_loop_policies,
    references,
    solve,
)
from makertaker.envs import (
    Affine,
    CrowdedImpact,
    Game,
    MakerTakerGame,
    MarketVectorEnv,
    Options,
    Scenario,
    SoftmaxShare,
    acas_v0,
    approximation_v0,
    execution_v0,
    load_scenario,
    maker_taker_v0,
    ornstein_uhlenbeck,
    read_scenario,
)
from makertaker.envs.flows import Points
from makertaker.envs.options import UnknownArgument
from makertaker.envs.parallel_env import GameParallelEnv

FILE = """
description = "one seller among three makers"
steps = 7
trader_inventory = [4.0]
maker_inventory = [0.5, 0.0, -0.5]
maker_running_penalty = 0.2

[competition]
kind = "softmax"
rate = 1.5
"""
MAPPING = {
    "steps": 7,
    "trader_inventory": [4.0],
    "maker_inventory": [0.5, 0.0, -0.5],
    "maker_running_penalty": 0.2,
    "competition": {"kind": "softmax", "rate": 1.5},
}
SELLER = MakerTakerGame((4.0,), (0.5, 0.0, -0.5), competition=SoftmaxShare(1.5), maker_running_penalty=0.2)
EXECUTION = {"game": "execution", "steps": 9, "initial_inventory": [-4.0, 2.0], "crowding": 0.3}


def resting(arguments):
    """Opponents who do nothing, for a class that has no others of its own."""
    given = arguments.get("scenario", arguments.get("game"))
    game = given.game if isinstance(given, Scenario) else given if isinstance(given, Game) else load_scenario(given)
    return dict.fromkeys(game.agents, lambda k, state: np.zeros(1))


VEC = {"id": "makertaker/Acas-v0", "num_envs": 2, "vectorization_mode": "vector_entry_point"}
WAYS = {
    "parallel_env": acas_v0.parallel_env,
    "env": acas_v0.env,
    "raw_env": acas_v0.raw_env,
    "class": GameParallelEnv,
    "make": lambda **named: gymnasium.make("makertaker/Acas-v0", **named),
    "make_vec": lambda **named: gymnasium.make_vec(**VEC, **named),
    "vector": lambda **named: MarketVectorEnv(num_envs=2, others=resting(named), **named),
}
MODULES = ("parallel_env", "env", "raw_env", "make", "make_vec")
"""ways that have a default"""
if find_spec("jax"):
    from makertaker.envs.jax_env import JaxMarket

    WAYS["jax"] = JaxMarket
if find_spec("torchrl"):
    from makertaker.envs.torchrl_env import TorchMarket

    WAYS["torchrl"] = TorchMarket
every_way = pytest.mark.parametrize("way", WAYS)


def played_by(env):
    """The environment inside wrappers of Gymnasium and PettingZoo, which has the game and the clock."""
    inner = env if hasattr(env, "view") else env.unwrapped
    return getattr(inner, "parallel", inner)


def game_of(env):
    return played_by(env).game


def options_of(env):
    inner = played_by(env)
    return getattr(inner, "view", getattr(inner, "market", None)).options


def steps_of(env):
    """Number of steps of an episode."""
    return options_of(env).steps


# Games and scenarios


@pytest.fixture
def toml(tmp_path):
    """The path of a user's file."""
    path = tmp_path / "seller.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("argument", ["game", "scenario"])
@every_way
def test_a_scenario_is_named_read_or_given(way, argument, toml):
    """By its name, by the path of its file in either form, and as a mapping of what would stand there."""
    for name in ("acas-2x3", "execution-2", "maker-taker-softmax"):
        env = WAYS[way](**{argument: name})
        assert game_of(env) == load_scenario(name)
        assert steps_of(env) == read_scenario(name).steps
    for given in (str(toml), toml, MAPPING, read_scenario(str(toml))):
        env = WAYS[way](**{argument: given})
        assert game_of(env) == SELLER
        assert steps_of(env) == 7


@every_way
def test_a_game_is_played_with_20_steps(way):
    env = WAYS[way](game=SELLER)
    assert game_of(env) is SELLER
    assert steps_of(env) == 20
    assert steps_of(WAYS[way](game=SELLER, steps=3)) == 3


@pytest.mark.parametrize("way", [name for name in WAYS if name not in ("make", "make_vec")])
def test_the_first_argument_is_the_game(way):
    if way == "vector":
        assert game_of(MarketVectorEnv("acas", 2, "trader_0", resting({"game": "acas"}))) == load_scenario("acas")
    else:
        for given in ("execution-2", SELLER):
            assert game_of(WAYS[way](given)) == (SELLER if given is SELLER else load_scenario(given))


def test_the_second_argument_of_a_module_is_a_scenario():
    for make in (acas_v0.parallel_env, acas_v0.env, acas_v0.raw_env):
        assert game_of(make(None, "acas-2x3")) == load_scenario("acas-2x3")


DEFAULTS = [
    (acas_v0, "Acas", "acas"),
    (execution_v0, "Execution", "execution-2"),
    (maker_taker_v0, "MakerTaker", "maker-taker-3x3"),
    (approximation_v0, "Approximation", "approximation"),
]


@pytest.mark.parametrize(("module", "name", "default"), DEFAULTS)
def test_the_default_of_a_module_is_a_scenario(module, name, default):
    scenario = read_scenario(default)
    policies = dict.fromkeys(scenario.game.agents, lambda k, state: np.zeros(1))
    made = [make() for make in (module.parallel_env, module.env, module.raw_env)]
    made.append(gymnasium.make(f"makertaker/{name}-v0", others=policies))
    made.append(gymnasium.make_vec(f"makertaker/{name}-v0", num_envs=2, others=policies))
    for env in made:
        assert game_of(env) == load_scenario(default)
        assert steps_of(env) == scenario.steps
    for env in made[:3]:
        assert env.unwrapped.game == load_scenario(default)
    assert module.describe() == (scenario.game, Options(steps=scenario.steps), default, None)


def test_an_environment_is_named_after_its_module_or_its_game():
    assert acas_v0.parallel_env().metadata["name"] == "acas_v0"
    assert acas_v0.parallel_env("maker-taker-3x3").metadata["name"] == "acas_v0"
    assert acas_v0.parallel_env("execution-2").metadata["name"] == "execution_v0"
    assert execution_v0.parallel_env(scenario="acas").metadata["name"] == "maker_taker_v0"
    assert GameParallelEnv("acas").metadata["name"] == "maker_taker_v0"


# Parameters on top


POINTS = {"points": [[0.0, 1.0], [2.0, 3.0]]}
CHANGES = {"horizon": 2.0, "competition": {"kind": "softmax", "rate": 1.0}, "buy_flow": POINTS}
CHANGES |= {"impact": {"kind": "crowded", "beta": 0.3, "crowding": 0.2}, "trader_running_penalty": 0.05}


def changed(game):
    """The game with these changes, made of objects."""
    parts = {"competition": SoftmaxShare(1.0), "impact": CrowdedImpact(0.3, 0.2)}
    flow = Points(((0.0, 1.0), (2.0, 3.0)))
    return replace(game, horizon=2.0, buy_flow=flow, trader_running_penalty=0.05, **parts)


@pytest.mark.parametrize("argument", ["game", "scenario"])
@every_way
def test_parameters_change_what_is_described(way, argument):
    """Parts may be mappings of what would stand in a scenario's file, as well as objects."""
    for given in ("acas-2x3", SELLER):
        game = load_scenario(given) if isinstance(given, str) else given
        for changes in (CHANGES, {**CHANGES, "competition": SoftmaxShare(1.0), "impact": CrowdedImpact(0.3, 0.2)}):
            env = WAYS[way](**{argument: given}, **changes, steps=4, observation="market")
            assert game_of(env) == changed(game)
            assert options_of(env) == Options(4, observation="market")
    env = WAYS[way](**{argument: EXECUTION}, crowding=0.9, permanent_impact=POINTS)
    expected = replace(load_scenario(EXECUTION), crowding=0.9, permanent_impact=Points(((0.0, 1.0), (2.0, 3.0))))
    assert game_of(env) == expected
    assert steps_of(env) == 9


@pytest.mark.parametrize("way", MODULES)
def test_parameters_change_the_default(way):
    env = WAYS[way](**CHANGES, steps=4)
    assert game_of(env) == changed(load_scenario("acas"))


def test_a_factor_may_be_a_mapping():
    factor = {"kind": "ornstein_uhlenbeck", "mean_reversion": 2.0, "volatility": 0.5, "initial": [1.0]}
    flow = {"shape": "affine", "constant": 5.0, "slope": 1.0}
    for env in (
        acas_v0.parallel_env(factor=factor, buy_flow=flow),
        GameParallelEnv("acas", factor=factor, buy_flow=flow),
    ):
        driven = {"factor": ornstein_uhlenbeck(2.0, 0.5, initial=(1.0,)), "buy_flow": Affine(5.0, 1.0)}
        assert env.game == replace(load_scenario("acas"), **driven)


def test_a_mapping_is_not_kept():
    """What is described stays as it was; later changes to it change nothing."""
    given, parts = json.loads(json.dumps(MAPPING)), {"kind": "softmax", "rate": 1.0}
    env = GameParallelEnv(given, competition=parts)
    assert given == MAPPING
    assert parts == {"kind": "softmax", "rate": 1.0}
    given["horizon"], parts["rate"] = 5.0, 2.0
    assert env.game == replace(SELLER, competition=SoftmaxShare(1.0))


DESCRIBED = [
    ({"scenario": "acas-2x3", "steps": 4, **CHANGES}, lambda: changed(load_scenario("acas-2x3"))),
    ({"game": "acas", "rate_range": (0.0, 20.0)}, lambda: load_scenario("acas")),
    ({"trader_inventory": (-4.0,), "maker_inventory": (1.0, 0.5, 0.0)}, None),
    ({"scenario": MAPPING, "agent": "maker_2"}, lambda: SELLER),
    ({"game": EXECUTION, "crowding": 0.4, "normalize": True}, lambda: replace(load_scenario(EXECUTION), crowding=0.4)),
    ({"competition": {"kind": "softmax", "rate": 1.0}, "units": "currency"}, None),
]


@pytest.mark.parametrize(("arguments", "game"), DESCRIBED)
def test_a_specification_survives_json(arguments, game):
    """Gymnasium writes the specification of an environment to a file, and others make the environment from it."""
    env = gymnasium.make("makertaker/Acas-v0", **arguments)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert game_of(again) == game_of(env)
    if game is not None:
        assert game_of(again) == game()
    assert again.observation_space == env.observation_space
    assert again.action_space == env.action_space
    runs = []
    for each in (env, again):
        each.reset(seed=1)
        middle = (each.action_space.low + each.action_space.high) / 2
        runs.append([each.step(middle)[:2] for _ in range(steps_of(each))])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]


# Bad input


@every_way
def test_a_game_and_a_scenario_are_too_much(way):
    with pytest.raises(
        ValueError, match=r"game, scenario: expected one of them, got game='acas' and scenario='acas-2x3'"
    ):
        WAYS[way](game="acas", scenario="acas-2x3")


@pytest.mark.parametrize("way", [name for name in WAYS if name not in (*MODULES, "vector")])
def test_nothing_is_too_little(way):
    with pytest.raises(ValueError, match="game: expected a game or a scenario, got none"):
        WAYS[way]()
    with pytest.raises(ValueError, match="game: expected a game or a scenario, got none"):
        MarketVectorEnv(num_envs=2, others={})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("akas", r"unknown scenario 'akas': .*expected one of \['acas', .*"),
        ("nowhere.toml", r"scenario: there is no file 'nowhere\.toml'"),
        ({"gamma": 1.0}, "unknown key 'gamma' in scenario 'custom'"),
        (3, r"game: expected a game, a scenario, its name, .* got 3"),
        ([1.0], r"game: expected a game, a scenario, its name, .* got \[1\.0\]"),
    ],
)
@pytest.mark.parametrize("argument", ["game", "scenario"])
@pytest.mark.parametrize("way", [name for name in WAYS if name != "vector"])
def test_what_describes_nothing_is_refused(way, argument, given, message):
    with pytest.raises(ValueError, match=message):
        WAYS[way](**{argument: given})


@every_way
def test_an_unknown_keyword_is_refused(way):
    """As a TypeError, as of any function; and as a ValueError, as all bad input here."""
    for error in (TypeError, ValueError, UnknownArgument):
        with pytest.raises(error, match=r"got an unexpected keyword argument 'crowding': expected .* game, some of \["):
            WAYS[way](scenario="acas", crowding=0.5)


@every_way
def test_a_bad_parameter_is_refused(way):
    for changes, message in (
        ({"horizon": -1.0}, "horizon: expected a finite number > 0"),
        ({"competition": {"kind": "auction"}}, r"unknown competition\.kind .*expected one of"),
        ({"competition": {"kind": "softmax", "speed": 1.0}}, "unknown key 'speed' in competition"),
    ):
        with pytest.raises(ValueError, match=message):
            WAYS[way](scenario="acas", **changes)


# What is solved is what is played


def environments(name, steps):
    """Environments of a scenario by several libraries, within wrappers and without."""
    game = load_scenario(name)
    policies = solve(game, steps).open_loop()
    given = {"scenario": name, "steps": steps}
    single = gymnasium.make("makertaker/Acas-v0", max_episode_steps=50, others=policies, normalize=True, **given)
    vector = gymnasium.make_vec(**VEC, others=policies, **given)
    found = {
        "parallel": acas_v0.parallel_env(**given),
        "AEC": acas_v0.env(**given),
        "raw AEC": acas_v0.raw_env(**given),
        "class": GameParallelEnv(**given),
        "Gymnasium": single,
        "Gymnasium, unwrapped": single.unwrapped,
        "Gymnasium, wrapped": RecordEpisodeStatistics(RescaleAction(single, -2.0, 2.0)),
        "vector": vector,
        "vector, wrapped": RecordVector(vector),
        "vector, class": MarketVectorEnv(num_envs=3, agent="trader_0", others=policies, **given),
    }
    if find_spec("jax"):
        found["JAX"] = JaxMarket(**given)
    if find_spec("torchrl"):
        from torchrl.envs import PettingZooWrapper, RewardSum, TransformedEnv

        found["TorchRL"] = TorchMarket(**given)
        found["TorchRL, transformed"] = TransformedEnv(TorchMarket(**given), RewardSum())
        found["TorchRL, of PettingZoo's"] = PettingZooWrapper(acas_v0.parallel_env(**given))
    if find_spec("stable_baselines3"):
        from stable_baselines3.common.vec_env import VecMonitor

        from makertaker.training import MarketVecEnv

        found["VecEnv"] = MarketVecEnv(num_envs=2, others=policies, **given)
        found["VecEnv, wrapped"] = VecMonitor(found["VecEnv"])
    if find_spec("supersuit"):
        import supersuit

        padded = supersuit.pad_action_space_v0(acas_v0.parallel_env(**given))
        vec = supersuit.pettingzoo_env_to_vec_env_v1(padded)
        found["SuperSuit"] = supersuit.concat_vec_envs_v1(vec, 2, base_class="gymnasium")
    return found


@pytest.fixture(scope="module", params=["acas", "execution-2"])
def everywhere(request):
    return load_scenario(request.param), environments(request.param, 6)


@pytest.mark.filterwarnings("ignore:PettingZoo in TorchRL")
def test_an_environment_is_solved(everywhere):
    game, envs = everywhere
    expected, coarse = solve(game, 6), solve(game, 3)
    for name, env in envs.items():
        found = solve(env)
        assert found.game == game, name
        for own, wanted in zip(found.controls, expected.controls, strict=True):
            np.testing.assert_array_equal(own, wanted, err_msg=name)
        np.testing.assert_array_equal(solve(env, 3).payoffs, coarse.payoffs, err_msg=name)


def test_everything_else_takes_the_same_descriptions(everywhere):
    """Gains, best responses, reference points and conditions, of an environment and of the game on its grid."""
    game, envs = everywhere
    missed = solve(game, 6).controls
    missed = missed._replace(rate=0.8 * missed.rate)
    policies, agent = open_loop_policies(game, missed), game.agents[-1]
    for name in ("parallel", "Gymnasium, wrapped", "vector, wrapped"):
        env = envs[name]
        np.testing.assert_array_equal(exploitability(env, missed).gains, exploitability(game, missed, 6).gains)
        assert best_response(env, missed, agent).gain == best_response(game, missed, agent, 6).gain
        found, expected = (
            best_response_to_policies(each, policies, agent, steps, iterations=5)
            for each, steps in ((env, None), (game, 6))
        )
        assert found.gain == expected.gain
        assert repr(check(env)) == repr(check(game, 6))
        if not game.makers:
            found, expected = references(env), references(game, 6)
            assert found.keys() == expected.keys()
            for key, each in expected.items():
                np.testing.assert_array_equal(found[key].payoffs, each.payoffs)


def test_scenarios_are_solved_by_name_path_or_contents(toml):
    for given in (toml, str(toml), MAPPING, read_scenario(str(toml))):
        np.testing.assert_array_equal(solve(given).controls.ask, solve(SELLER, 7).controls.ask)
    assert len(solve("acas").controls.rate) == 20
    assert len(solve("acas", 4).controls.rate) == 4
    np.testing.assert_array_equal(solve("acas").payoffs, solve(load_scenario("acas"), 20).payoffs)


def test_a_game_alone_is_solved_on_20_steps_or_on_a_profile_s():
    assert len(solve(SELLER).controls.rate) == 20
    schedule, policies = solve(SELLER, 6).controls, solve(SELLER, 6).open_loop()
    np.testing.assert_array_equal(exploitability(SELLER, schedule).gains, exploitability(SELLER, schedule, 6).gains)
    assert best_response(SELLER, schedule, "maker_0").gain == best_response(SELLER, schedule, "maker_0", 6).gain
    found = best_response_to_policies(SELLER, policies, "maker_0", iterations=2)
    assert found.gain == best_response_to_policies(SELLER, policies, "maker_0", 6, iterations=2).gain
    assert check(SELLER) == check(SELLER, 20)


@pytest.mark.parametrize("steps", [0, 2.5, True, "6"])
def test_steps_that_are_none_are_refused(steps):
    for market in (SELLER, "acas", acas_v0.parallel_env()):
        with pytest.raises(ValueError, match="steps: expected a positive whole number, got"):
            solve(market, steps)

"""The options of environments: the same everywhere, as an object or as keywords."""

from dataclasses import fields
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.envs import MarketVectorEnv, Options, acas_v0, load_scenario
from makertaker.envs.actions import ActionScale
from makertaker.envs.market import Market
from makertaker.envs.options import Fields, UnknownArgument, merged
from makertaker.envs.parallel_env import GameParallelEnv
from makertaker.envs.roles import RoleView

GAME = load_scenario("acas")
OTHERS = solve(GAME, 4).open_loop()
ADAPTERS = {
    "market": lambda *given, **named: Market(GAME, *given, **named),
    "roles": lambda *given, **named: RoleView(GAME, *given, **named),
    "parallel": lambda *given, **named: GameParallelEnv(GAME, *given, **named),
    "vector": lambda *given, **named: MarketVectorEnv(GAME, 2, "trader_0", OTHERS, *given, **{"steps": 4, **named}),
    "module": lambda given=None, **named: acas_v0.parallel_env(options=given, trader_inventory=(-5.0,), **named),
}
if find_spec("jax"):
    from makertaker.envs.jax_env import JaxMarket

    ADAPTERS["jax"] = lambda *given, **named: JaxMarket(GAME, *given, **named)
if find_spec("torchrl"):
    from makertaker.envs.torchrl_env import TorchMarket

    ADAPTERS["torchrl"] = lambda *given, **named: TorchMarket(GAME, 2, *given, **named)
CHANGES = {
    "steps": 4,
    "observation": "own",
    "reward": "wealth",
    "normalize": False,
    "rate_range": (0.5, 6.0),
    "quote_range": (-1.0, 2.0),
    "units": "game",
    "identity": True,
}


def options_of(env):
    """The options that an environment was made with."""
    return next(place.options for name in ("market", "view") if hasattr(place := getattr(env, name, env), "options"))


def test_keywords_are_the_fields():
    assert list(Fields.__annotations__) == [field.name for field in fields(Options)]
    assert set(CHANGES) | {"inventory_spread", "context"} == set(Fields.__annotations__), "context: of random markets"


def test_defaults():
    expected = Options(None, "full", "payoff", None, None, None, 0.0, None, False)
    assert Options() == expected == merged(None)


def test_an_episode_has_20_steps_where_nothing_says_another():
    assert options_of(MarketVectorEnv(GAME, 2, "trader_0", solve(GAME).open_loop())).steps == 20
    for name in ADAPTERS.keys() - {"vector"}:
        assert options_of(ADAPTERS[name]()).steps == 20, name


WAYS = [  # normalize, units, what actions are, and whether rewards are in the game's payoff units
    (None, None, "controls", True),
    (None, "game", "controls", True),
    (None, "currency", "physical", False),
    (True, None, "normalized", False),
    (True, "game", "normalized", True),
    (True, "currency", "normalized", False),
    (False, None, "physical", False),
    (False, "currency", "physical", False),
]


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(("normalize", "units", "actions", "in_payoff_units"), WAYS)
def test_the_units_of_actions_and_rewards(name, normalize, units, actions, in_payoff_units):
    """The table of the class; a maker's range of quotes is 3 wide, and its control unit a third of its margin of 1."""
    options = options_of(ADAPTERS[name](normalize=normalize, units=units, quote_range=(-1.0, 2.0)))
    assert options.actions == actions
    assert options.in_game_units == in_payoff_units
    scale = ActionScale(GAME, quote_range=(-1.0, 2.0), kind=options.actions)
    ends = {"controls": (-4.5, 4.5), "normalized": (-1.0, 1.0), "physical": (-1.0, 2.0)}[actions]
    np.testing.assert_allclose(scale.action_bounds("maker_1"), np.transpose([ends, ends]), rtol=1e-14)


def test_open_loop_is_another_name_of_time():
    assert Options(observation="open_loop") == Options(observation="time")
    assert Options(observation="open_loop").observation == "time"


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_object_and_its_fields_make_the_same_environment(name):
    together, alone, mixed = (
        options_of(env)
        for env in (
            ADAPTERS[name](Options(**CHANGES)),
            ADAPTERS[name](**CHANGES),
            ADAPTERS[name](Options(4, normalize=True), **CHANGES),
        )
    )
    assert together == alone == mixed == Options(**CHANGES)


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected a positive whole number, got 0"),
        ({"observation": "all"}, r"unknown observation 'all': .*expected one of \['time', 'own', 'market', 'full'\]"),
        ({"units": "cents"}, "units: expected 'game' or 'currency', got 'cents'"),
        ({"normalize": 1}, "normalize: expected True or False, got 1"),
        ({"identity": None}, "identity: expected True or False, got None"),
        ({"reward": "utility"}, "reward: expected 'payoff' or 'wealth', got 'utility'"),
        (
            {"rate_range": (2.0, 1.0)},
            r"rate_range: expected two increasing numbers within \[0, inf\], got \(2",
        ),
        ({"quote_range": (0.0, np.inf)}, r"quote_range: expected two increasing numbers within \[-inf, inf\], got"),
        ({"inventory_spread": -1.0}, r"inventory_spread: expected a finite number >= 0, got -1\.0"),
    ],
)
def test_what_is_wrong_is_refused_everywhere(name, changes, message):
    with pytest.raises(ValueError, match=message):
        ADAPTERS[name](**changes)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_unknown_keyword_is_refused_everywhere(name):
    """As of any function, in the words that libraries look for when they try a keyword; and as all bad input here."""
    for error in (TypeError, ValueError, UnknownArgument):
        with pytest.raises(error, match=r"got an unexpected keyword argument 'speed': .*expected .* some of \["):
            ADAPTERS[name](speed=2)


@pytest.mark.parametrize("name", sorted({"jax", "torchrl"} & set(ADAPTERS)))
def test_arrays_of_any_library_start_where_numpys_do(name):
    """Normal noise around the game's inventories, and a buyer stays one: of -5 shares with a standard deviation of 4 a
    part Phi(-5/4) = 0.106 is cut off at 0."""
    game = load_scenario("acas", ["trader_inventory=[-5.0]"])
    if name == "torchrl":
        market = TorchMarket(game, 20_000, inventory_spread=4.0, seed=0)
        first, second = (market.reset()["inventories"].double().numpy() for _ in range(2))
        same = TorchMarket(game, 20_000, inventory_spread=4.0, seed=0).reset()["inventories"].double().numpy()
    else:
        import jax

        market = JaxMarket(game, inventory_spread=4.0)
        keys = jax.random.split(jax.random.key(0), 40_000)
        starts = jax.vmap(lambda key: market.reset(key)[1].inventories)(keys)
        first, second = np.split(np.asarray(starts, dtype=float), 2)
        same = np.stack([np.asarray(market.reset(key)[1].inventories) for key in keys[:3]])
    assert np.array_equal(same[:3], first[:3])
    assert not np.array_equal(first, second)
    assert (first[:, 0] <= 0).all()
    assert (first[:, 0] == 0).mean() == pytest.approx(0.1056, abs=0.01)
    assert first[:, 1:].mean(axis=0) == pytest.approx(game.start[1:], abs=0.12)
    assert first[:, 1:].std(axis=0) == pytest.approx([4.0, 4.0], rel=0.03)


def test_gymnasium_takes_an_object_as_well():
    for make, more in ((gymnasium.make, {}), (gymnasium.make_vec, {"num_envs": 2})):
        if more:
            more["vectorization_mode"] = "vector_entry_point"
        env = make("makertaker/Acas-v0", options=Options(steps=4, observation="time"), others=OTHERS, **more)
        spaces = env.unwrapped.single_observation_space if more else env.observation_space
        assert spaces.shape == (1,)
        assert options_of(env.unwrapped.parallel if not more else env.unwrapped).steps == 4

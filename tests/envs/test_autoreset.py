"""A batch of markets resets and reports as Gymnasium's own vector environments do, and takes their wrappers."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from makertaker.envs import MarketVectorEnv, load_scenario
from support.episodes import same

MODES = [mode.value for mode in AutoresetMode]
STEPS, MARKETS = 3, 2


def make(mode, kind="vector_entry_point", name="Acas", **arguments):
    mode_of = {"autoreset_mode": mode} if kind != "sync" else {"vector_kwargs": {"autoreset_mode": AutoresetMode(mode)}}
    given = {"num_envs": MARKETS, "vectorization_mode": kind, "steps": STEPS, "observation": "own"}
    return gymnasium.make_vec(f"makertaker/{name}-v0", **given | mode_of | arguments)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "agent"), [("Acas", "trader_0"), ("Acas", "maker_1"), ("Execution", "trader_1")])
def test_a_batch_is_gymnasium_s_own_of_single_markets(mode, name, agent):
    """Observations, rewards, ends and the names and values of infos, three episodes long. Every single market draws
    moves of the price for itself: there are none."""
    kinds = ("vector_entry_point", "sync")
    batch, single = (make(mode, kind, name, agent=agent, volatility=0.0) for kind in kinds)
    rng = np.random.default_rng(0)
    compare_infos(batch.reset(seed=0)[1], single.reset(seed=0)[1])
    for k in range(3 * (STEPS + 1)):
        if mode == "Disabled" and k and k % STEPS == 0:
            mask = {"reset_mask": np.full(MARKETS, True)}
            assert same(batch.reset(options=dict(mask))[0], single.reset(options=dict(mask))[0])
        actions = rng.uniform(-1, 1, batch.action_space.shape)
        found, expected = batch.step(actions), single.step(actions)
        for one, other in zip(found[:4], expected[:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
        compare_infos(found[4], expected[4])


def compare_infos(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        if isinstance(found[name], dict):
            compare_infos(found[name], expected[name])
        else:
            np.testing.assert_allclose(found[name], np.array(expected[name].tolist()), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["Acas", "Approximation"])
def test_infos_have_the_same_names_at_a_reset_and_in_every_mode(name):
    agents = load_scenario(name.lower()).agents
    others = {"others": {agent: still(agent) for agent in agents}}
    single = gymnasium.make(f"makertaker/{name}-v0", steps=STEPS, **others)
    names = set(single.reset(seed=0)[1])
    assert names == set(single.step(np.zeros(1, dtype=np.float32))[4])
    for mode in MODES:
        env = make(mode, name=name, **others)
        infos = [env.reset()[1], *(env.step(np.zeros((MARKETS, 1)))[4] for _ in range(STEPS))]
        for each in infos:
            assert {one for one in each if not one.startswith(("_", "final"))} == names


def still(agent):
    return lambda k, state: np.ones(1 if agent.startswith("trader") else 2)


@pytest.mark.parametrize(
    "wrapper",
    [
        wrappers.NormalizeObservation,
        wrappers.NormalizeReward,
        wrappers.FlattenObservation,
        lambda env: wrappers.DtypeObservation(env, np.float64),
        lambda env: wrappers.RescaleObservation(env, np.float32(-1), np.float32(1)),
        lambda env: wrappers.TransformObservation(env, lambda seen: 2 * seen),
        lambda env: wrappers.ClipAction(env),
        lambda env: wrappers.RescaleAction(env, -1.0, 1.0),
        wrappers.RecordEpisodeStatistics,
        wrappers.DictInfoToList,
    ],
)
def test_gymnasium_s_wrappers_take_a_batch_as_it_comes(wrapper):
    env = wrapper(gymnasium.make_vec("makertaker/Acas-v0", MARKETS, "vector_entry_point", steps=STEPS))
    env.reset(seed=0)
    for k in range(2 * (STEPS + 1)):
        _, _, ended, cut, _ = env.step(np.zeros((MARKETS, 1), dtype=np.float32))
        assert (ended == (k % (STEPS + 1) == STEPS - 1)).all()
        assert not cut.any()


def test_a_seed_is_told_and_repeats():
    env = make("NextStep", inventory_spread=1.0)
    for seed, told in ((5, 5), ([5, 6], (5, 6)), (np.int64(7), 7)):
        first = env.reset(seed=seed)[0]
        assert env.unwrapped.np_random_seed == told
        assert same(env.reset(seed=seed)[0], first)
    assert not same(env.reset(seed=5)[0], env.reset(seed=[5, 6])[0])
    assert env.unwrapped.np_random is env.unwrapped._rng


def test_what_a_batch_cannot_do_is_refused():
    env = make("Disabled")
    env.reset()
    with pytest.raises(ValueError, match="reset_mask: all markets end together, expected 2 times True"):
        env.reset(options={"reset_mask": np.array([True, False])})
    for mask in ([], np.ones(3, dtype=bool)):
        with pytest.raises(ValueError, match="reset_mask: all markets end together, expected 2 times True"):
            env.reset(options={"reset_mask": mask})
    for seed in (-1, 1.5, "a", [1, None]):
        with pytest.raises(ValueError, match="seed: expected a whole number >= 0 or a list of them, got"):
            env.reset(seed=seed)
    env.reset()
    for _ in range(STEPS):
        env.step(np.zeros((MARKETS, 1)))
    with pytest.raises(ValueError, match="the episode ended after 3 steps: reset before another step"):
        env.step(np.zeros((MARKETS, 1)))
    with pytest.raises(ValueError, match=r"unknown autoreset_mode 'never': expected one of \['NextStep', "):
        MarketVectorEnv("acas", 2, autoreset_mode="never")


def test_options_reach_the_markets_of_stable_baselines3():
    pytest.importorskip("stable_baselines3")
    from makertaker.training import MarketVecEnv

    env = MarketVecEnv("acas", MARKETS, "trader_0", observation="own", steps=STEPS)
    usual = env.reset()
    env.set_options({"inventory": [-2.0, 1.0, 0.0]})
    assert env.reset()[:, 1].tolist() == [np.float32(-0.4)] * MARKETS
    assert same(env.reset(), usual), "they are for one reset"
    env.set_options([{"inventory": [-2.0, 1.0, 0.0]}, {"inventory": [-1.0, 1.0, 0.0]}])
    assert env.reset()[:, 1].tolist() == [np.float32(-0.4), np.float32(-0.2)]
    env.set_options([{"inventory": [-2.0, 1.0, 0.0]}, {}])
    with pytest.raises(ValueError, match="options: markets start together, expected 'inventory' for all or none"):
        env.reset()

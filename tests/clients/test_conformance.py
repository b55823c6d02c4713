"""What other people's libraries ask of an environment: their own checks, and their own round trips."""

import gymnasium
import numpy as np
import pytest

from makertaker.envs import acas_v0, approximation_v0, execution_v0, maker_taker_v0

pytestmark = pytest.mark.clients

MODULES = {"Acas": acas_v0, "Approximation": approximation_v0, "Execution": execution_v0, "MakerTaker": maker_taker_v0}
LEARNERS = [("Acas", "trader_0"), ("Acas", "maker_0"), ("Execution", "trader_0"), ("MakerTaker", "maker_1")]
"""who learns in which environment; the approximation game's equilibrium takes its time"""
learners = pytest.mark.parametrize(("name", "agent"), LEARNERS, ids=["-".join(each) for each in LEARNERS])


def batched(name, agent, **options):
    entry = {"num_envs": 3, "vectorization_mode": "vector_entry_point", "agent": agent, **options}
    return gymnasium.make_vec(f"makertaker/{name}-v0", **entry)


@pytest.fixture
def checked():
    """TorchRL's check of an environment."""
    return pytest.importorskip("torchrl.envs.utils").check_env_specs


@learners
@pytest.mark.parametrize("observation", ["time", "market", "full"])
def test_torchrl_makes_an_environment_of_an_id(checked, name, agent, observation):
    from torchrl.envs import GymEnv

    checked(GymEnv(f"makertaker/{name}-v0", agent=agent, observation=observation))


@learners
def test_torchrl_wraps_an_environment(checked, name, agent):
    from torchrl.envs import GymWrapper

    checked(GymWrapper(gymnasium.make(f"makertaker/{name}-v0", agent=agent)))


@learners
def test_torchrl_wraps_a_batch(checked, name, agent):
    from torchrl.envs import GymWrapper

    checked(GymWrapper(batched(name, agent, autoreset_mode="SameStep")))


def test_a_wrapped_batch_plays_what_the_batch_plays(checked):
    """Two episodes: the last observations are those of the episode that ended, the first those of the next."""
    import torch
    from tensordict.nn import TensorDictModule
    from torchrl.envs import GymWrapper

    plain, same = (batched("Acas", "maker_0", autoreset_mode="SameStep") for _ in range(2))
    steps = plain.unwrapped.market.steps
    plain.reset(seed=0)
    action = np.full(plain.action_space.shape, 0.5, dtype=np.float32)
    played = [plain.step(action) for _ in range(2 * steps)]
    env = GymWrapper(same)
    env.set_seed(0)
    policy = TensorDictModule(lambda seen: torch.as_tensor(action), ["observation"], ["action"])
    found = env.rollout(2 * steps, policy, break_when_any_done=False)
    np.testing.assert_allclose(found["next", "reward"][..., 0].T, [each[1] for each in played], rtol=1e-5)
    ended = found["next", "done"][..., 0].numpy()
    np.testing.assert_array_equal(ended, np.tile((np.arange(2 * steps) + 1) % steps == 0, (3, 1)))
    last, first = found["next", "observation"][:, steps - 1], found["observation"][:, steps]
    assert (last[:, 0] == 1).all()
    assert (first[:, 0] == 0).all()


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("options", [{}, {"observation": "time", "identity": True}], ids=["full", "time and identity"])
def test_torchrl_wraps_a_parallel_environment(checked, name, options):
    from torchrl.envs import PettingZooWrapper

    checked(PettingZooWrapper(MODULES[name].parallel_env(**options), return_state=True))


def test_torchrl_wraps_a_sequential_environment(checked):
    from torchrl.envs import PettingZooWrapper

    checked(PettingZooWrapper(acas_v0.env(), use_mask=True))


@learners
@pytest.mark.filterwarnings("ignore:.*is set to None:UserWarning")
@pytest.mark.parametrize("record_infos", [False, True], ids=["without infos", "with infos"])
def test_minari_records_and_replays(name, agent, record_infos, tmp_path, monkeypatch):
    """The environment that a dataset brings along plays its actions to its rewards."""
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    pytest.importorskip("jax")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = gymnasium.make(f"makertaker/{name}-v0", agent=agent, steps=5, reward="wealth")
    collector = minari.DataCollector(env, record_infos=record_infos)
    for seed in range(3):
        collector.reset(seed=seed)
        ended = False
        while not ended:
            _, _, ended, _, info = collector.step(0.1 * env.action_space.sample())
    collector.create_dataset("test/market-v0", algorithm_name="random")
    data = minari.load_dataset("test/market-v0")
    assert (data.total_episodes, data.total_steps) == (3, 15)
    again = data.recover_environment()
    assert again.spec.kwargs == env.spec.kwargs
    for seed, episode in enumerate(data.iterate_episodes()):
        again.reset(seed=seed)
        np.testing.assert_allclose([again.step(each)[1] for each in episode.actions], episode.rewards, rtol=1e-12)
        if record_infos:
            assert set(episode.infos) == set(info)
            assert len(episode.infos["pnl"]) == 6


def test_supersuits_vector_environment_plays_many_markets():
    supersuit = pytest.importorskip("supersuit")
    padded = supersuit.pad_action_space_v0(acas_v0.parallel_env(identity=True))
    env = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(padded), 2, base_class="gymnasium")
    seen, _ = env.reset(seed=0)
    assert seen.shape == (6, 16)
    totals = np.zeros(6)
    for _ in range(2 * padded.unwrapped.options.steps):
        seen, rewards, ended, _, _ = env.step(np.zeros((6, 2), dtype=np.float32))
        totals += rewards
    assert ended.all()
    np.testing.assert_allclose(totals[:3], totals[3:])


def test_rllibs_wrapper_plays_an_episode():
    wrapper = pytest.importorskip("ray.rllib.env.wrappers.pettingzoo_env").ParallelPettingZooEnv
    env = wrapper(acas_v0.parallel_env())
    seen, _ = env.reset(seed=0)
    ended, steps = {"__all__": False}, 0
    while not ended["__all__"]:
        assert set(seen) == set(env.possible_agents)
        seen, _, ended, _, _ = env.step({agent: env.get_action_space(agent).sample() for agent in seen})
        steps += 1
    assert steps == 20

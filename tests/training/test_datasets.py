"""Play as Minari data sets: what is loaded is what was played."""

import json
import shutil

import numpy as np
import pytest

minari = pytest.importorskip("minari")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import solve  # noqa: E402
from makertaker.envs import acas_v0, read_scenario  # noqa: E402
from makertaker.training.datasets import record  # noqa: E402


def loaded(folder, name, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return minari.load_dataset(name)


def test_equilibrium_play_is_loaded_as_it_was_played(tmp_path, monkeypatch):
    """Rewards sum to the equilibrium payoffs; actions replayed in the environment give observations and rewards."""
    found = record("acas", tmp_path, episodes=2, information="full")
    scenario = read_scenario("acas")
    nash, env = solve(scenario.game, scenario.steps), acas_v0.parallel_env(observation="full")
    assert list(found.datasets) == env.possible_agents
    episodes = {}
    for agent, payoff in zip(found.datasets, nash.payoffs, strict=True):
        data = loaded(tmp_path, found.datasets[agent], monkeypatch)
        first, second = data.iterate_episodes()
        np.testing.assert_array_equal(first.actions, second.actions)  # nothing is random
        assert first.rewards.sum() * data.storage.metadata["makertaker_payoff_unit"] == pytest.approx(payoff, rel=1e-5)
        assert (first.terminations == [False] * (scenario.steps - 1) + [True]).all()
        metadata = data.storage.metadata
        assert metadata["makertaker_relative_nash_conv"] == pytest.approx(0, abs=1e-9)
        assert metadata["makertaker_equilibrium"] == pytest.approx(payoff, rel=1e-9)
        episodes[agent] = first
    seen, _ = env.reset(seed=int(np.random.default_rng(0).integers(2**31)))  # the price is random
    for k in range(scenario.steps):
        for agent, each in episodes.items():
            np.testing.assert_array_equal(seen[agent], each.observations[k])
        seen, rewards, *_ = env.step({agent: each.actions[k] for agent, each in episodes.items()})
        for agent, each in episodes.items():
            assert rewards[agent] == pytest.approx(each.rewards[k], rel=1e-6, abs=1e-7)


def test_a_data_set_brings_its_environment(tmp_path, monkeypatch):
    """One agent's, in which the others play the equilibrium; its own actions give what was recorded."""
    found = record("execution-2", tmp_path, episodes=1)
    data = loaded(tmp_path, found.datasets["trader_1"], monkeypatch)
    env, (episode,) = data.recover_environment(), data.iterate_episodes()
    assert env.unwrapped.agent == "trader_1"
    env.reset()
    gained = sum(env.step(action)[1] for action in episode.actions)
    assert gained == pytest.approx(episode.rewards.sum(), rel=1e-5)


def test_a_run_is_recorded_with_noise(run, tmp_path, monkeypatch, command):
    asked = ("record", str(run), "--episodes", "3", "--perturb", "0.1", "--inventory-spread", "0.5", "--out")
    code, printed, _ = command(*asked, str(tmp_path / "data"), "--json")
    assert code == 0
    document = json.loads(printed)
    metrics = json.loads((run / "metrics.json").read_text())
    assert document["relative_nash_conv"] == pytest.approx(metrics["relative_nash_conv"], rel=1e-9)
    name = document["datasets"]["maker_0"]
    data = loaded(tmp_path / "data", name, monkeypatch)
    actions = np.stack([each.actions for each in data.iterate_episodes()])
    assert np.ptp(actions, axis=0).min() > 0
    assert (data.storage.metadata["makertaker_perturb"], data.storage.metadata["makertaker_seed"]) == (0.1, 0)
    code, again, error = command(*asked, str(tmp_path / "data"))
    assert code == 2
    assert "has the data sets" in error
    assert command(*asked, str(tmp_path / "data"), "--overwrite")[0] == 0
    again = np.stack([each.actions for each in loaded(tmp_path / "data", name, monkeypatch).iterate_episodes()])
    np.testing.assert_array_equal(actions, again)  # a function of the seed


def test_what_is_left_of_a_data_set_is_replaced(tmp_path, monkeypatch):
    found = record("acas", tmp_path, episodes=1)
    shutil.rmtree(tmp_path / found.datasets["maker_0"] / "data")
    with pytest.raises(ValueError, match="has the data sets"):
        record("acas", tmp_path, episodes=2)
    record("acas", tmp_path, episodes=2, overwrite=True)
    for name in found.datasets.values():
        assert loaded(tmp_path, name, monkeypatch).total_episodes == 2


def test_play_with_noise_shows_what_it_looks_at(tmp_path, monkeypatch):
    found = record("approximation-small-noise", tmp_path, episodes=1, steps=2)
    metadata = loaded(tmp_path, found.datasets["maker_0"], monkeypatch).storage.metadata
    assert metadata["makertaker_observation"] == metadata["makertaker_information"] == "full"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"episodes": 0}, "episodes: expected"),
        ({"perturb": -1.0}, "perturb: expected a number >= 0"),
        ({"perturb": float("nan")}, "perturb: expected"),
        ({"information": "everything"}, "everything"),
        ({"policies": "learned"}, "nothing was learned"),
        ({"spread": -1.0}, "spread"),
    ],
)
def test_bad_arguments_are_refused(change, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        record("acas", tmp_path / "data", **change)
    assert not (tmp_path / "data").exists()


def test_a_market_of_one_s_own_has_its_spaces_alone(tmp_path, monkeypatch):
    found = record("acas", tmp_path, episodes=1, overrides=["competition.gamma=2.0"])
    data = loaded(tmp_path, found.datasets["trader_0"], monkeypatch)
    assert data.storage.metadata.get("env_spec") is None
    assert data.action_space.shape == (1,)

"""Run directories of trainings in JAX, and of several seeds at once."""

import json
import shutil

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")
pytest.importorskip("stable_baselines3")

from makertaker.envs import read_scenario  # noqa: E402
from makertaker.training import record, runs, seeds  # noqa: E402
from makertaker.training.common.jax_algorithms import find  # noqa: E402
from makertaker.training.jax import learners  # noqa: E402
from makertaker.training.jax.learners import JaxLearners  # noqa: E402
from makertaker.training.jax.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("undrawn")

STEPS, MARKETS = 5, 8
EPISODE = STEPS * MARKETS


def config(**changes):
    settings = {"timesteps": 12 * EPISODE, "markets": MARKETS, "hyperparameters": {"ppo": {"net_arch": [8]}}, "seed": 1}
    return runs.RunConfig.of(read_scenario("acas"), "ppo", STEPS, "jax", **settings | changes)


def test_a_run_that_is_interrupted_and_resumed_ends_where_another_does(tmp_path, monkeypatch):
    whole = runs.train(config(), tmp_path / "whole")
    learn = JaxLearners.learn

    def interrupted(self, timesteps, *, until=None, on_episode=None):
        learn(self, timesteps, until=until, on_episode=on_episode)
        if self.steps_done >= 6 * EPISODE:  # the second of four checkpoints, which is not written then
            raise KeyboardInterrupt

    monkeypatch.setattr(JaxLearners, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(), tmp_path / "cut")
    monkeypatch.setattr(JaxLearners, "learn", learn)
    assert runs.evaluate_run(tmp_path / "cut").metrics["timesteps_done"] == 6 * EPISODE
    resumed = runs.resume(tmp_path / "cut")
    assert resumed.metrics == whole.metrics
    for name in ("config.json", "metrics.json", "history.csv", "models/trader_0.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    # nothing is pickled, and a killed training is evaluated from its checkpoint
    assert not list((tmp_path / "whole").rglob("*.p*kl")) + list((tmp_path / "whole").rglob("*.zip"))
    (tmp_path / "cut" / "run.json").unlink()
    shutil.rmtree(tmp_path / "cut" / "models")
    assert runs.evaluate_run(tmp_path / "cut").metrics["timesteps_done"] == 12 * EPISODE
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["engine"] == "jax"


SEEDS = (1, 2)


def same_files(first, second):
    for name in ("config.json", "metrics.json", "history.csv", "models/trader_0.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_seed_among_others_is_the_training_of_that_seed_alone(tmp_path):
    """Bit for bit: it is the same program; and so is the history, whose best responses are found together."""
    found = seeds.train_seeds(config(), SEEDS, tmp_path / "group")
    alone = runs.train(config(seed=2), tmp_path / "alone")
    assert found[2].metrics == alone.metrics != found[1].metrics
    same_files(tmp_path / "group" / "seed-2", tmp_path / "alone")
    header, *rows = (tmp_path / "group" / "seeds.csv").read_text().splitlines()
    assert header.startswith("seed,relative_nash_conv")
    assert [row.split(",")[:2] for row in rows] == [
        [str(s), str(found[s].metrics["relative_nash_conv"])] for s in SEEDS
    ]
    with pytest.raises(ValueError, match=r"out: .*seed-1' exists; choose another directory"):
        seeds.train_seeds(config(), SEEDS, tmp_path / "group")
    with pytest.raises(ValueError, match="holds something else, expected a new folder for seeds"):
        seeds.train_seeds(config(), SEEDS, tmp_path / "alone")


def test_seeds_that_are_interrupted_go_on_together(tmp_path, monkeypatch):
    seeds.train_seeds(config(), SEEDS, tmp_path / "whole")
    checkpoint = record.Record.checkpoint

    def interrupted(self):
        checkpoint(self)
        if self.learners.steps_done >= 6 * EPISODE:  # the second seed is behind then
            raise KeyboardInterrupt

    monkeypatch.setattr(record.Record, "checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seeds.train_seeds(config(), SEEDS, tmp_path / "cut")
    monkeypatch.setattr(record.Record, "checkpoint", checkpoint)
    seeds.resume_seeds(tmp_path / "cut")
    assert (tmp_path / "cut" / "seeds.csv").read_bytes() == (tmp_path / "whole" / "seeds.csv").read_bytes()
    for seed in SEEDS:
        same_files(tmp_path / "cut" / f"seed-{seed}", tmp_path / "whole" / f"seed-{seed}")


def test_a_seed_that_diverges_does_not_stop_the_others(tmp_path, monkeypatch):
    learn = JaxLearners.learn

    def diverging(self, timesteps, **limits):
        learn(self, timesteps, **limits)
        if self.steps_done > 4 * EPISODE and (self._arrays()["key"] == unlucky["key"]).all():
            raise FloatingPointError("not finite")

    with config(seed=1).learners() as first:
        unlucky = first._arrays()
    monkeypatch.setattr(JaxLearners, "learn", diverging)
    with pytest.raises(FloatingPointError, match=r"^seed 1: not finite$"):
        seeds.train_seeds(config(), SEEDS, tmp_path / "group")
    monkeypatch.undo()
    runs.train(config(seed=2), tmp_path / "alone")
    same_files(tmp_path / "group" / "seed-2", tmp_path / "alone")
    assert not (tmp_path / "group" / "seed-1" / "metrics.json").exists()


def test_a_task_of_a_sweep_goes_on_with_what_was_interrupted_and_begins_the_rest(tmp_path, monkeypatch):
    """Of three seeds one is new, one was interrupted, and the checkpoint of one is damaged."""
    three, folders = (1, 2, 3), {seed: tmp_path / f"{seed}" for seed in (1, 2, 3)}
    checkpoint = record.Record.checkpoint

    def interrupted(self):
        checkpoint(self)
        if self.learners.steps_done >= 6 * EPISODE:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(record.Record, "checkpoint", interrupted)
        for seed in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                runs.train(config(seed=seed), folders[seed])
    (folders[2] / "checkpoint" / "state.safetensors").write_bytes(b"damaged")
    notes = seeds.train_or_go_on({seed: config(seed=seed) for seed in three}, folders)
    assert list(notes) == [2]
    assert notes[2].startswith("trained from the start, since it could not go on: ")
    seeds.train_seeds(config(), three, tmp_path / "whole")
    for seed in three:
        same_files(folders[seed], tmp_path / "whole" / f"seed-{seed}")


def test_the_engine_says_what_it_does_not_have():
    with pytest.raises(ValueError, match=r"unknown algorithm 'sac' with engine 'jax': .*expected one of"):
        runs.RunConfig.of(read_scenario("acas"), "sac", STEPS, "jax")
    with pytest.raises(ValueError, match=r"unknown name 'trader_0' in hyperparameters: expected some of \['ppo'\]"):
        config(hyperparameters={"trader_0": {"gamma": 0.9}})


def test_seeds_as_an_axis_of_arrays_are_trained_and_resumed_as_one_after_the_other(tmp_path, monkeypatch):
    """As on a GPU: the same up to rounding, whether they were interrupted or not."""
    seeds.train_seeds(config(), SEEDS, tmp_path / "apart")
    axes, run = [], Trainer.run_together

    def seen(self, states, *arguments):
        axes.append(len(states))
        return run(self, states, *arguments)

    monkeypatch.setattr(Trainer, "run_together", seen)
    monkeypatch.setattr(learners, "is_accelerator", lambda device: True)
    whole = seeds.train_seeds(config(), SEEDS, tmp_path / "whole")
    assert set(axes) == {len(SEEDS)}
    checkpoint, written = record.Record.checkpoint, iter(range(3))

    def interrupted(self):
        checkpoint(self)
        if next(written, None) is None:  # one seed is ahead of the others then
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(record.Record, "checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            seeds.train_seeds(config(), SEEDS, tmp_path / "cut")
    again = seeds.resume_seeds(tmp_path / "cut")
    for seed in SEEDS:
        table = np.loadtxt(tmp_path / "apart" / f"seed-{seed}" / "history.csv", delimiter=",", skiprows=1)
        for folder in ("whole", "cut"):
            other = np.loadtxt(tmp_path / folder / f"seed-{seed}" / "history.csv", delimiter=",", skiprows=1)
            np.testing.assert_allclose(other, table, rtol=1e-3)
        assert again[seed].metrics["nash_conv"] == pytest.approx(whole[seed].metrics["nash_conv"], rel=1e-3)


@pytest.mark.parametrize(
    ("scenario", "settings"),
    [("execution-2", {"information": "full", "memory": "gru"}), ("examples/random.toml", {})],
)
def test_an_axis_of_seeds_takes_those_who_are_ahead_and_those_who_diverged(scenario, settings, monkeypatch):
    small = find("ppo").changed({"net_arch": [8]}, "ppo")
    first = JaxLearners(scenario, algorithm=small, markets=8, steps=5, **settings)
    alone, together = ([first.with_seed(seed) for seed in range(4)] for _ in range(2))
    for each in alone:
        each.learn(4 * EPISODE)
    together[2].learn(4 * EPISODE, until=2 * EPISODE)
    broken = together[3].state.networks
    together[3].state = together[3].state._replace(networks=jax.tree.map(lambda each: each * np.nan, broken))
    monkeypatch.setattr(learners, "is_accelerator", lambda device: True)
    *sound, diverged = together[0].learn_together(together, 4 * EPISODE, [4 * EPISODE] * 4)
    assert sound == [None] * 3
    assert "network is not finite" in str(diverged)
    for one, other in zip(alone[:3], together[:3], strict=True):
        assert other.steps_done == 4 * EPISODE
        mine, theirs = (jax.tree.leaves(jax.device_get(each.state.networks.actor)) for each in (one, other))
        assert all(abs(a - b).max() < 1e-5 for a, b in zip(mine, theirs, strict=True))


def test_a_device_without_the_memory_for_all_seeds_gets_half_of_them(monkeypatch):
    with config().learners() as first:
        trainer = first.trainer
        states = [trainer.init(seed) for seed in range(3)]
        (device,), run = states[0].key.devices(), trainer.run_seeds

        def small(stacked, *arguments):
            if stacked.key.shape[0] > 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
            return run(stacked, *arguments)

        monkeypatch.setattr(trainer, "run_seeds", small)
        ended = trainer.run_together(states, 1, 8, device)
        alone = trainer.run(states[2], 1, 8)
    assert [int(each.iteration) for each in ended] == [1, 1, 1]
    for mine, theirs in zip(jax.tree.leaves(ended[2].networks), jax.tree.leaves(alone.networks), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)

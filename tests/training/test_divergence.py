"""Learners whose networks are not finite any more: the training stops by their name, and what was good stays."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import read_scenario  # noqa: E402
from makertaker.training import IndependentLearners, runs  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS  # noqa: E402
from support.learning import EPISODE, GAME, MIX, learners  # noqa: E402
from support.run_folders import config, contents  # noqa: E402

pytestmark = pytest.mark.usefixtures("undrawn")


def spoil(module):
    """The last number of a network."""
    with torch.no_grad():
        list(module.parameters())[-1].view(-1)[-1] = float("nan")


def finite(trained):
    return all(np.isfinite(each).all() for actor in trained.numbers().values() for each in actor.arrays().values())


@pytest.mark.parametrize("part", ["actor", "critic"])
@pytest.mark.parametrize(("algorithm", "last"), [*((name, False) for name in ALGORITHMS), ("ppo", True), ("td3", True)])
def test_a_network_that_is_not_finite_stops_the_training_with_its_agent(algorithm, last, part, monkeypatch):
    """After a gradient step: within a training, and in its last step."""
    trained = learners(algorithm=algorithm)
    model = trained.models["maker_1"]
    train, calls = model.train, []

    def training(*arguments, **keywords):
        train(*arguments, **keywords)
        calls.append(1)
        if model.num_timesteps == (2 * EPISODE if last else EPISODE):
            policy = model.policy
            if hasattr(policy, "log_std"):
                spoil(policy.action_net if part == "actor" else policy.value_net)
            else:
                spoil(policy.actor if part == "actor" else policy.critic)

    monkeypatch.setattr(model, "train", training)
    with pytest.raises(FloatingPointError, match=r"^maker_1's (network is not finite|algorithm returned NaN)") as error:
        trained.learn(2 * EPISODE)
    assert "\n" not in str(error.value)
    assert calls


def test_nothing_that_is_not_finite_is_saved(tmp_path, monkeypatch):
    """The last checkpoint stands, and the run is evaluated from it and resumed."""
    straight = runs.train(config(), tmp_path / "straight").metrics
    out, learn = tmp_path / "run", IndependentLearners.learn

    def learning(trained, *arguments, until, **keywords):
        if until > 80:
            spoil(trained.models["maker_0"].policy)
        learn(trained, *arguments, until=until, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(IndependentLearners, "learn", learning)
        with pytest.raises(FloatingPointError, match="maker_0's network is not finite"):
            runs.train(config(), out)
    assert not (out / "models").exists()
    assert runs.evaluate_run(out).metrics["timesteps_done"] == 80
    before = contents(out / "checkpoint")
    with monkeypatch.context() as patched:
        patched.setattr(IndependentLearners, "learn", learning)
        with pytest.raises(FloatingPointError, match="maker_0's network is not finite"):
            runs.resume(out)
    assert contents(out / "checkpoint") == before
    assert runs.resume(out).metrics == straight


REFUSED = "expected at least 2 steps in all markets of an episode, got 1, whose advantage has no standard deviation"


def test_normalised_advantages_of_one_transition_are_refused_before_anything_is_written(tmp_path):
    given = runs.RunConfig.of(read_scenario("acas"), "a2c", 1, "sb3", markets=1, timesteps=10)
    with pytest.raises(ValueError, match=f"{REFUSED}; more markets or steps help, or normalize_advantage=false"):
        runs.train(given, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("steps", "markets"), [(1, 2), (2, 1)])
def test_two_transitions_are_enough(steps, markets):
    trained = IndependentLearners(GAME, algorithm="a2c", steps=steps, markets=markets)
    trained.learn(10)
    assert finite(trained)


def test_one_transition_without_normalised_advantages_is_learned():
    settings = {**ALGORITHMS["a2c"].settings, "normalize_advantage": False}
    algorithm = replace(ALGORITHMS["a2c"], settings=settings)
    trained = IndependentLearners(GAME, algorithm=algorithm, steps=1, markets=1)
    trained.learn(10)
    assert finite(trained)


def test_other_errors_of_values_stay_what_they_are(monkeypatch):
    trained = learners(algorithm=MIX)

    def fail(*_, **__):
        raise ValueError("something else")

    monkeypatch.setattr(trained.models["maker_1"], "train", fail)
    with pytest.raises(ValueError, match="something else"):
        trained.learn(2 * EPISODE)

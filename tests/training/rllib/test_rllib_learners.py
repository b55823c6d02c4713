"""RLlib: what learners learn, from which settings, and from their checkpoints."""

import numpy as np
import pytest

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from makertaker.baselines import solve  # noqa: E402
from makertaker.envs import load_scenario, read_scenario, rollout  # noqa: E402
from makertaker.envs.market import Market  # noqa: E402
from makertaker.envs.scenarios import scenario_names  # noqa: E402
from makertaker.training import runs  # noqa: E402
from makertaker.training.common import actor_file  # noqa: E402
from makertaker.training.common.hyperparameters import PPO  # noqa: E402
from support.learning import EPISODE, GAME, MARKETS, STEPS  # noqa: E402
from support.rllib_learning import learners, same, weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")


@pytest.mark.parametrize("name", [name for name in scenario_names() if name != "execution-crowd"])
def test_every_scenario_is_learned(name):
    """But for a crowd of a hundred, whose networks take long: its game is that of ten traders."""
    game = load_scenario(name)
    with learners(game, timesteps=2 * EPISODE, information="full") as trained:
        before = weights(trained)
        trained.learn(2 * EPISODE)
        assert trained.steps_done == 2 * EPISODE
        after = weights(trained)
        assert all((before[name] != after[name]).any() for name in before if name.endswith("weight"))
        played = rollout(game, trained.policies(), STEPS)
    assert np.isfinite(played.payoffs).all()


def test_the_result_is_a_function_of_the_seed():
    """Trainings on runners are compared below."""
    found = []
    for seed in (3, 3, 4):
        with learners(seed=seed) as trained:
            trained.learn(8 * EPISODE, until=2 * EPISODE)
            found.append(weights(trained))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.parametrize("change", [{}, {"gamma": 0.5}, {"lambda_": 0.3}, {"lr": 1e-4}, {"num_epochs": 1}], ids=str)
def test_what_is_changed_in_the_configuration_changes_the_result(change):
    with learners() as usual, learners(configure=lambda config: config.training(**change)) as changed:
        start = weights(usual)
        for trained in (usual, changed):  # both draw from the global generators
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            trained.learn(8 * EPISODE, until=EPISODE)
        assert not same(start, weights(usual))
        assert same(weights(usual), weights(changed)) == (not change)


def test_processors_in_use_are_said():
    @ray.remote(num_cpus=1)
    class Busy:
        def ready(self):
            return True

    busy = Busy.remote()
    assert ray.get(busy.ready.remote())
    with pytest.raises(ValueError, match="expected at most 1, the free ones of the cluster's 2 processors, got 2"):
        learners(runners=2)
    ray.kill(busy)


@pytest.mark.parametrize(("runners", "spread"), [(0, 0.0), pytest.param(2, 1.0, marks=pytest.mark.slow)])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, runners, spread):
    """On runners, whose processes take seconds to start, another training of the seed is compared here as well."""
    with learners(runners=runners, inventory_spread=spread) as straight:
        straight.learn(8 * EPISODE, until=2 * EPISODE)
        straight.save_checkpoint(tmp_path / "checkpoint", {"note": 7})
        saved = weights(straight)
        straight.learn(8 * EPISODE, until=4 * EPISODE)
        expected = weights(straight)
    with learners(runners=runners, inventory_spread=spread) as resumed:
        assert resumed.load_checkpoint(tmp_path / "checkpoint") == {"note": 7}
        assert resumed.steps_done == 2 * EPISODE
        resumed.learn(8 * EPISODE, until=4 * EPISODE)
        assert same(weights(resumed), expected)
    if runners:
        with learners(runners=runners, inventory_spread=spread) as again:
            again.learn(8 * EPISODE, until=2 * EPISODE)
            assert same(weights(again), saved)
    (tmp_path / "checkpoint" / "state.pkl").write_bytes(b"not a checkpoint")
    with learners() as other, pytest.raises(ValueError, match=r"checkpoint .* is corrupt"):
        other.load_checkpoint(tmp_path / "checkpoint")


@pytest.mark.parametrize("part", ["actor", "critic"])
def test_a_network_that_is_not_finite_stops_the_training_with_its_agent(part):
    """In the middle of an update, as a gradient that overflows."""
    with learners() as trained:
        trained.learn(8 * EPISODE, until=EPISODE)
        module = trained.algorithm.learner_group._learner.module["maker_0"]
        with torch.no_grad():
            list(getattr(module, part).parameters())[-1][-1] = float("nan")
        with pytest.raises(FloatingPointError, match=r"^maker_0's network is not finite") as error:
            trained.learn(8 * EPISODE)
    assert "\n" not in str(error.value)


def test_actors_from_their_files_act_as_the_networks_do(tmp_path):
    seen = np.random.default_rng(0).normal(size=(50, 13)).astype(np.float32)
    with learners(information="own") as trained:
        trained.save_models(tmp_path)
        for agent, each in trained.actors.items():
            with torch.no_grad():
                expected = each(torch.from_numpy(seen)).numpy()
            read = actor_file.load(Market(GAME, STEPS), agent, tmp_path / f"{agent}.safetensors")
            np.testing.assert_allclose(read.act(seen), expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(read.act(seen), trained.acts()[agent](seen))


def test_exploration_and_learning_rate_shrink():
    with learners() as trained:
        trained.learn(8 * EPISODE)
        module = trained.algorithm.get_module("maker_0")
        np.testing.assert_allclose(module.log_std.exp().numpy(), 0.15, rtol=1e-5)
        rates = trained.algorithm.learner_group.foreach_learner(
            lambda each: [each._get_optimizer_lr(optimizer) for optimizer in each._named_optimizers.values()]
        )
        assert next(iter(rates)).get() == pytest.approx([1e-4] * 3)


def test_hyperparameters_are_those_of_rllib():
    asked = {
        **{"learning_rate": [2e-3, 1e-3], "exploration": [0.7, 0.3], "gamma": 0.95, "gae_lambda": 0.9, "n_epochs": 2},
        **{"minibatches": 4, "clip_range": 0.15, "vf_coef": 0.25, "max_grad_norm": 0.75, "net_arch": [24, 12]},
    }
    assert asked.keys() == PPO.hyperparameters().keys()
    arguments = {"timesteps": EPISODE, "markets": MARKETS, "hyperparameters": {"ppo": asked}}
    config = runs.RunConfig.of(read_scenario("acas"), "ppo", STEPS, "ray", **arguments)
    assert config.hyperparameters == {"ppo": asked}
    with config.learners() as trained:
        used, module = trained.algorithm.config, trained.algorithm.get_module("maker_0")
        assert used.learner_config_dict["learning_rate_falls_to"] * used.lr == pytest.approx(1e-3)
        assert module.log_std.exp().numpy() == pytest.approx([0.7, 0.7])
        for network in (module.actor, trained.algorithm.learner_group._learner.module["maker_0"].critic):
            widths = [each.out_features for each in network.modules() if isinstance(each, torch.nn.Linear)]
            assert widths[:-1] == [24, 12]
        names = ("lr", "gamma", "lambda_", "num_epochs", "clip_param", "vf_loss_coeff", "grad_clip", "minibatch_size")
        found = [getattr(used, name) for name in names]
        trained.learn(EPISODE)
        assert trained.algorithm.get_module("maker_0").log_std.exp().numpy() == pytest.approx([0.3, 0.3])
    assert found == [2e-3, 0.95, 0.9, 2, 0.15, 0.25, 0.75, EPISODE // 4]
    with pytest.raises(ValueError, match="algorithm: expected PPOSettings, got 'ppo'"):
        learners(algorithm="ppo")


def test_agents_can_follow_given_policies():
    policies = solve(GAME, STEPS).open_loop()
    fixed = {agent: policies[agent] for agent in ("maker_0", "maker_1")}
    with learners(fixed=fixed) as trained:
        assert list(trained.actors) == ["trader_0"]
        trained.learn(8 * EPISODE, until=EPISODE)
        played = rollout(GAME, trained.policies(), STEPS).controls
    np.testing.assert_allclose(played.ask, solve(GAME, STEPS).controls.ask, atol=1e-12)

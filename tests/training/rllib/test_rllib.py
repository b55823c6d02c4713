"""RLlib: what the batched runner plays, what is learned from it, runs on Ray, clusters that lose a node."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.columns import Columns  # noqa: E402
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # noqa: E402
from ray.rllib.evaluation.postprocessing import Postprocessing  # noqa: E402
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets  # noqa: E402

from makertaker.baselines import exploitability, solve  # noqa: E402
from makertaker.envs import Controls, acas_v0, load_scenario, read_scenario, rollout, simulate  # noqa: E402
from makertaker.envs.market import Market  # noqa: E402
from makertaker.envs.scenarios import scenario_names  # noqa: E402
from makertaker.training import cli, runs  # noqa: E402
from makertaker.training.common import actor_file, checkpoint_folder  # noqa: E402
from makertaker.training.common.hyperparameters import PPO  # noqa: E402
from makertaker.training.evaluation.scoring import evaluate  # noqa: E402
from makertaker.training.rllib.algorithm import PatientPPO  # noqa: E402
from makertaker.training.rllib.config import ppo_config  # noqa: E402
from makertaker.training.rllib.connector import WholeEpisodes  # noqa: E402
from makertaker.training.rllib.learners import RLlibLearners  # noqa: E402
from makertaker.training.rllib.runner import MarketRunner, share  # noqa: E402
from support.interruptions import interrupt_after  # noqa: E402
from support.learning import EPISODE, GAME, MARKETS, STEPS  # noqa: E402
from support.logs import tensorboard  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")


def learners(game=GAME, **changes):
    arguments = {"steps": STEPS, "markets": MARKETS, "seed": 3, "timesteps": 8 * EPISODE, **changes}
    return RLlibLearners(game, **arguments)


def weights(trained):
    return {
        f"{agent}.{name}": value.detach().numpy().copy()
        for agent, each in trained.actors.items()
        for name, value in each.state_dict().items()
    }


def same(first, second):
    return all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize("name", ["acas", "maker-taker-3x3", "execution-2"])
def test_episodes_are_the_market_that_the_simulator_plays(name):
    game = load_scenario(name)
    runner = MarketRunner(config=ppo_config(game, steps=STEPS, markets=MARKETS), worker_index=0)
    episodes = runner.sample()
    assert len(episodes) == MARKETS
    market = Market(game, STEPS, batch=(MARKETS,))
    flat = []
    for agent in game.agents:
        actions = np.stack([each.agent_episodes[agent].get_actions() for each in episodes])
        flat.append(actions)
    each = [market.controls(np.concatenate([part[:, k] for part in flat], axis=-1)) for k in range(STEPS)]
    controls = Controls(*(np.stack(parts, axis=1) for parts in zip(*each, strict=True)))
    payoffs = simulate(game, controls, STEPS).payoffs
    for i, agent in enumerate(game.agents):
        returns = [each.agent_episodes[agent].get_return() for each in episodes]
        np.testing.assert_allclose(returns, payoffs[:, i] / game.payoff_unit(agent), rtol=1e-5, atol=1e-5)
    assert all(each.is_terminated and len(each) == STEPS for each in episodes)
    first, second = (runner.sample(explore=False)[0].agent_episodes[game.agents[0]] for _ in range(2))
    np.testing.assert_array_equal(first.get_actions(), second.get_actions())
    assert runner.get_metrics()["num_env_steps_sampled"].peek() == 3 * EPISODE


def test_stored_densities_are_those_of_the_stored_actions():
    config = ppo_config(GAME, steps=STEPS, markets=MARKETS)
    runner = MarketRunner(config=config, worker_index=0)
    for episode in runner.sample():
        for agent, each in episode.agent_episodes.items():
            logits = torch.as_tensor(each.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS))
            seen = torch.as_tensor(each.get_observations()[:-1])
            means = runner.module[agent].actor(seen)
            torch.testing.assert_close(logits[:, : means.shape[1]], means)
            kind = runner.module[agent].get_train_action_dist_cls()
            density = kind.from_logits(logits).logp(torch.as_tensor(each.get_actions()))
            stored = each.get_extra_model_outputs(Columns.ACTION_LOGP)
            np.testing.assert_allclose(density.numpy(), stored, rtol=1e-5)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 1.0), (0.97, 0.9)])
def test_advantages_are_those_of_rllib(gamma, gae_lambda):
    """RLlib's own function, with the extra step that it expects at the end of every episode."""
    runner = MarketRunner(config=ppo_config(GAME, steps=STEPS, markets=MARKETS), worker_index=0)
    episodes = runner.sample()
    rewards = np.stack([each.agent_episodes["maker_0"].get_rewards() for each in episodes])
    batch = WholeEpisodes(gamma=gamma, gae_lambda=gae_lambda)(
        rl_module=runner.module, batch={}, episodes=episodes, shared_data={}
    )["maker_0"]
    with torch.no_grad():
        values = runner.module["maker_0"].compute_values({Columns.OBS: batch[Columns.OBS]}).numpy()
    values = values.reshape(MARKETS, STEPS)
    ended = np.zeros((MARKETS, STEPS + 1), dtype=bool)
    ended[:, STEPS - 1] = True
    pad = lambda each: np.concatenate([each, np.zeros((MARKETS, 1))], axis=1).ravel()  # noqa: E731
    targets = compute_value_targets(
        values=pad(values),
        rewards=pad(rewards),
        terminateds=ended.ravel(),
        truncateds=np.zeros(ended.size, dtype=bool),
        gamma=gamma,
        lambda_=gae_lambda,
    ).reshape(MARKETS, STEPS + 1)[:, :STEPS]
    np.testing.assert_allclose(batch[Postprocessing.VALUE_TARGETS].numpy().reshape(MARKETS, STEPS), targets, rtol=1e-4)
    advantages = targets - values
    expected = (advantages - advantages.mean()) / advantages.std()
    np.testing.assert_allclose(
        batch[Postprocessing.ADVANTAGES].numpy().reshape(MARKETS, STEPS), expected, rtol=1e-3, atol=1e-4
    )


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


def test_random_markets_are_learned_and_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("makertaker.training.task.MARKETS", 3)
    values = {**read_scenario("acas").values, "random": {"competition.gamma": {"log_uniform": [0.5, 2.0]}}}
    settings = {"timesteps": 2 * EPISODE, "markets": MARKETS}
    config = runs.RunConfig.of(read_scenario(values), "ppo", STEPS, "ray", **settings)
    found = runs.train(config, tmp_path / "run").metrics
    assert found["drawn_markets"] == 3
    with config.learners() as trained:
        first, second = (trained.policies(np.array([side])) for side in (-1.0, 1.0))
        played = [rollout(GAME, each, STEPS).controls.ask for each in (first, second)]
    assert not np.allclose(*played)


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


@pytest.mark.parametrize(("runners", "spread"), [(0, 0.0), (2, 1.0)])
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


def test_an_actor_of_an_earlier_version_needs_trust(run, tmp_path):
    folder, printed = run
    out = shutil.copytree(folder, tmp_path / "run")
    for path in out.glob("models/*.safetensors"):
        numbers = actor_file.read(path)
        state = {}
        for i, layer in enumerate(numbers.layers):
            state |= {f"net.{2 * i}.{name}": torch.tensor(each).float() for name, each in layer._asdict().items()}
        hidden = [len(each.bias) for each in numbers.layers[:-1]]
        stored = {"visible": numbers.visible, "hidden": hidden, "actions": len(numbers.low), "state": state}
        torch.save(stored, path.with_suffix(".pt"))
        path.unlink()
    with pytest.raises(ValueError, match=r"trader_0.pt': of an earlier version"):
        runs.evaluate_run(out)
    assert runs.evaluate_run(out, trust=True).metrics == printed


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


def test_shares_of_runners_add_up():
    assert [share(64, i, 5) for i in range(5)] == [13, 13, 13, 13, 12]
    assert share(64, 0, 0) == 64


COMMAND = ["train", "acas", "--engine", "ray", "--timesteps", "5120", "--json"]
COMMAND += ["--hp", "ppo.n_epochs=3", "--hp", "ppo.learning_rate=4e-3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on Ray through the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "ray"
    result = CliRunner().invoke(cli.app, [*COMMAND, "--out", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_a_run_on_ray_is_repeated_to_the_bit(run, tmp_path):
    folder, printed = run
    asked = {"n_epochs": 3, "learning_rate": [4e-3, 4e-3]}
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["hyperparameters"] == {
        "ppo": PPO.hyperparameters() | asked
    }
    again = runs.train(runs.load_config(folder), tmp_path / "again")
    assert again.metrics == printed
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["versions"]["ray"] == ray.__version__


def test_processes_agree(run, tmp_path):
    """Python orders sets of names differently in every process: nothing may depend on it."""
    out = tmp_path / "run"
    program = f"from makertaker.training.cli import app; app({[*COMMAND, '--out', str(out)]!r})"
    environment = os.environ | {"PYTHONHASHSEED": "1", "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)
    assert (out / "metrics.json").read_bytes() == (run[0] / "metrics.json").read_bytes()


def test_a_run_is_evaluated_and_reported_without_ray(run):
    folder, printed = run
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "from makertaker.training.cli import app\n"
        f"app(['evaluate', {str(folder)!r}, '--json'], standalone_mode=False)\n"
        f"app(['report', {str(folder)!r}], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.JSONDecoder().raw_decode(done.stdout)[0] == printed
    assert "NashConv" in (folder / "report.html").read_text(encoding="utf-8")


def test_actors_who_react_and_start_at_random(tmp_path):
    """Played with initial inventories that are drawn, and evaluated as stable-baselines3's are: against opponents that
    react, on paths of the price they look at, from the usual start and from others."""
    with learners("execution-2", inventory_spread=1.0, information="full") as trained:
        trained.algorithm.env_runner.sample()
        drawn = trained.algorithm.env_runner.env.market.initial
    assert np.abs(drawn - trained.game.start).max() > 0.5
    assert len(np.unique(drawn)) == drawn.size
    arguments = ["train", "execution-2", "--engine", "ray", "--timesteps", "640", "--out", str(tmp_path / "run")]
    arguments += ["--steps", "10", "--information", "full", "--inventory-spread", "1", "--json"]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    for each in (metrics, metrics["random_starts"]):
        assert each["exploitability_against"] == "reacting opponents on simulated paths (lower bound)"
    assert metrics["feedback"]["compared"]
    policies, game = runs.load_policies(tmp_path / "run"), trained.game
    assert metrics.items() >= evaluate(game, policies, 10, "full", inventory_spread=1.0).metrics.items()


def test_a_corrupt_actor_is_refused(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    (tmp_path / "run" / "models" / "maker_1.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="missing, corrupt or of another run"):
        runs.evaluate_run(tmp_path / "run")


def test_an_interrupted_run_goes_on(run, tmp_path, monkeypatch):
    folder, printed = run
    out = tmp_path / "interrupted"
    interrupt_after(monkeypatch, RLlibLearners, "save_checkpoint", 2)
    with pytest.raises(KeyboardInterrupt):
        runs.train(runs.load_config(folder), out)
    assert (out / "models" / "trader_0.safetensors").is_file()
    monkeypatch.undo()
    for left in ("run.json", "history.csv"):  # a killed process writes neither, nor models
        (out / left).unlink()
    shutil.rmtree(out / "models")
    steps = checkpoint_folder.record(out / "checkpoint")["steps_done"]
    assert 0 < runs.evaluate_run(out).metrics["timesteps_done"] == steps < printed["timesteps"]
    assert runs.resume(out).metrics == printed
    assert (out / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()
    assert tensorboard(out) == tensorboard(folder)


def test_every_evaluation_is_logged_with_its_numbers(run):
    folder, printed = run
    scalars, texts = tensorboard(folder)
    steps = runs.load_history(folder)[:, 0].tolist()
    assert len(scalars) == 3 + 4 * len(GAME.agents)
    assert all([step for step, _ in values] == steps for values in scalars.values())
    for agent, each in printed["agents"].items():
        for tag, name in (("gain", "exploitability"), ("gap", "gap"), ("payoff", "learned")):
            assert scalars[f"{tag}/{agent}"][-1][1] == pytest.approx(each[name], rel=1e-6)
        assert f"| {agent} | {GAME.payoff_unit(agent)!r} |" in texts["units/text_summary"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "tpu"], r"unknown engine 'tpu': .*expected one of \['sb3', 'ray', 'jax'\]"),
        (["--engine", "ray", "--algorithm", "sac"], "unknown algorithm 'sac' with engine 'ray'"),
        (["--engine", "ray", "--runners", "65"], "expected a whole number from 0 to .* 64, got 65"),
        (
            ["--engine", "ray", "--runners", "50"],
            "at most 2, the free ones of the cluster's 2 processors, got 50",
        ),
        (["--engine", "ray", "--information", "all"], "unknown information 'all': .*expected one of"),
        (
            ["--engine", "ray", "--seed", str(2**32)],
            r"seed: expected .* from 0 to 2\*\*32 - 1, got 4294967296",
        ),
        (["--engine", "ray", "--address", "127.0.0.1:1"], "address: expected .* got '127.0.0.1:1'"),
        (["--engine", "ray", "--hp", "trader_0.gamma=0.9"], "unknown name 'trader_0' in hyperparameters"),
        (
            ["--engine", "ray", "--hp", "ppo.target_kl=0.1"],
            r"unknown hyperparameter 'target_kl' of ppo: expected some of",
        ),
        (["--runners", "2"], "runners: expected 0 with engine 'sb3', got 2"),
        (["--address", "auto"], "address: expected none with engine 'sb3', got 'auto'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(cli.app, ["train", "acas", "--out", "x", *arguments], catch_exceptions=False)
    assert not (tmp_path / "x").exists()


def test_rllibs_own_runner_trains_on_the_pettingzoo_environment():
    """No code of ours but the environment: RLlib's wrapper, its networks, its runner."""
    from ray.tune.registry import register_env

    register_env("acas", lambda _: ParallelPettingZooEnv(acas_v0.parallel_env(steps=STEPS)))
    config = (
        PPOConfig()
        .environment("acas")
        .multi_agent(policies=set(GAME.agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .env_runners(num_env_runners=0)
        .training(train_batch_size_per_learner=40, minibatch_size=20, num_epochs=1)
    )
    algorithm = config.build_algo()
    result = algorithm.train()
    algorithm.stop()
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 40
    assert set(result["learners"]) >= set(GAME.agents)


# from here on Ray is not running


def test_a_cluster_that_is_not_there_is_said_at_once():
    ray.shutdown()
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        learners(address="127.0.0.1:1")
    assert time.monotonic() - started < 20


def test_a_cluster_that_loses_a_node_goes_on_and_takes_a_new_one(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        steps = 1_000_000
        with learners(runners=2, timesteps=steps) as trained:
            group = trained.algorithm.env_runner_group
            homes = group.foreach_env_runner(
                lambda each: ray.get_runtime_context().get_node_id(), local_env_runner=False
            )
            assert len(set(homes)) == 2

            def kill(done):
                if done == 4 * EPISODE:
                    cluster.remove_node(node, allow_graceful=False)

            trained.learn(steps, until=40 * EPISODE, on_episode=kill)
            assert group.num_healthy_remote_workers() == 1
            assert trained.steps_done == 40 * EPISODE  # the other runner plays all of the markets
            controls = rollout(GAME, trained.policies(), STEPS).controls
            assert np.isfinite(exploitability(GAME, controls, STEPS).nash_conv)

            monkeypatch.setattr(PatientPPO, "pause", 1.0)
            cluster.add_node(num_cpus=1)
            deadline = time.monotonic() + 90
            while group.num_healthy_remote_workers() < 2 and time.monotonic() < deadline:
                trained.learn(steps, until=trained.steps_done + EPISODE)
            trained.learn(steps, until=trained.steps_done + 2 * EPISODE)
            numbers = group.foreach_env_runner(lambda each: each._weights_seq_no, local_env_runner=True)
            assert len(numbers) == 3
            assert len(set(numbers)) == 1  # the new one has the same networks
    finally:
        ray.shutdown()
        cluster.shutdown()

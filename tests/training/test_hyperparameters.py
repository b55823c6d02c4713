"""Hyperparameters: what is asked for is what the libraries' models have, is recorded, and is repeated."""

import inspect
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import read_scenario  # noqa: E402
from makertaker.training import Algorithm, IndependentLearners, cli, runs  # noqa: E402
from makertaker.training.common.hyperparameter_options import read_hyperparameters  # noqa: E402
from makertaker.training.common.hyperparameters import PPO, PPOSettings  # noqa: E402
from makertaker.training.common.ranges import CHECKS  # noqa: E402
from makertaker.training.run_config import product  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS, ShrinkExploration, find  # noqa: E402
from support.commands import assert_one_line  # noqa: E402
from support.learning import EPISODE, MARKETS, STEPS, assert_same_parameters, learners, parameters  # noqa: E402

ACAS = read_scenario("acas")
OTHER = {  # of every hyperparameter a value that is no algorithm's default
    "learning_rate": [2e-3, 1e-3],
    "exploration": [0.7, 0.3],
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "n_epochs": 2,
    "minibatches": 4,
    "clip_range": 0.15,
    "clip_range_vf": 0.4,
    "target_kl": 0.05,
    "n_critic_updates": 3,
    "cg_max_steps": 4,
    "cg_damping": 0.2,
    "line_search_shrinking_factor": 0.5,
    "line_search_max_iter": 6,
    "sub_sampling_factor": 2,
    "normalize_advantage": False,
    "vf_coef": 0.25,
    "max_grad_norm": 0.75,
    "use_rms_prop": True,
    "rms_prop_eps": 1e-4,
    "net_arch": [24, 12],
    "activation_fn": "elu",
    "n_critics": 3,
    "n_quantiles": 11,
    "batch_size": 32,
    "tau": 0.1,
    "gradient_steps": 2,
    "learning_starts": 40,
    "replay_episodes": 3,
    "critic_first": 0.25,
    "ent_coef": "auto_0.02",
    "target_update_interval": 3,
    "policy_delay": 5,
    "top_quantiles_to_drop_per_net": 1,
    "lstm_hidden_size": 5,
}
EVERY = [*((name, {}) for name in ALGORITHMS), ("ppo", {"memory": "lstm", "information": "own"})]
"""algorithms, and what else makes one of their name another"""


def config(algorithm="ppo", tables=None, **changes):
    arguments = {"timesteps": 3 * EPISODE, "markets": MARKETS, "hyperparameters": tables or {}, **changes}
    return runs.RunConfig.of(ACAS, algorithm, STEPS, "sb3", **arguments)


def hp(tables):
    """As on the command line; JSON's values are TOML's."""
    pairs = [f"{name}.{key}={json.dumps(value)}" for name, table in tables.items() for key, value in table.items()]
    return [part for each in pairs for part in ("--hp", each)]


def spread(model):
    """Standard deviation of exploration, in units of the action."""
    if hasattr(model.policy, "log_std"):
        return float(model.policy.log_std.exp()[0])
    if model.action_noise is not None:
        noise = getattr(model.action_noise, "noises", [model.action_noise])[0]
        return float(noise._sigma[0])
    entropy = model.target_entropy / model.action_space.shape[0]
    return float(np.exp(entropy) / np.sqrt(2 * np.pi * np.e))


def schedules(trained, agent):
    """Learning rate and exploration at the start and at the end, and whether the actor learns at the start."""
    model, unit = trained.models[agent], trained.market.scale.unit(agent)
    explore = ShrinkExploration(trained.algorithms[agent], unit, trained.progress)
    explore.model = model
    ends, learns = [], []
    for done in (0.0, OTHER["critic_first"], 1.0):
        trained.progress.fraction = done - 1e-9
        explore._on_rollout_start()
        ends.append((model.lr_schedule(1.0), spread(model) / (1.0 if hasattr(model.policy, "log_std") else unit[0])))
        actor = model.policy.action_net if hasattr(model.policy, "log_std") else model.actor
        learns.append(all(each.requires_grad for each in actor.parameters()))
    rates, spreads = zip(*(ends[0], ends[-1]), strict=True)
    return rates, spreads, learns


def layers(network, kind=torch.nn.Linear):
    return [each for each in network.modules() if isinstance(each, kind)]


def rest(model, key):
    """A hyperparameter that has no schedule, read off a stable-baselines3 model."""
    extractor = getattr(model.policy, "mlp_extractor", None)
    networks = [model.actor, model.critic] if extractor is None else [extractor.policy_net, extractor.value_net]
    rollout, units = MARKETS * STEPS, layers(model.policy, torch.nn.LSTM)
    special = {
        "minibatches": lambda: rollout / model.batch_size,
        "replay_episodes": lambda: model.replay_buffer.buffer_size / STEPS,
        "gamma": lambda: model.gamma if extractor else model.replay_buffer.gamma,
        "use_rms_prop": lambda: isinstance(model.policy.optimizer, torch.optim.RMSprop),
        "rms_prop_eps": lambda: model.policy.optimizer.defaults["eps"],
        "ent_coef": lambda: f"auto_{model.log_ent_coef.exp().item():.2f}",
        "n_critics": lambda: len(model.critic.q_networks),
        "lstm_hidden_size": lambda: np.unique([each.hidden_size for each in units]).item(),
        "n_quantiles": lambda: layers(model.critic)[-1].out_features,
    }
    if key == "net_arch":
        first, second = ([each.out_features for each in layers(network)][:2] for network in networks)
        assert first == second
        return first
    if key == "activation_fn":
        return "elu" if all(layers(network, torch.nn.ELU) for network in networks) else "another"
    found = special[key]() if key in special else getattr(model, key)
    return found(1.0) if callable(found) else found


@pytest.mark.parametrize(("name", "changes"), EVERY, ids=str)
def test_what_is_asked_for_is_what_a_model_has_and_what_is_recorded(name, changes):
    known = config(name, **changes).hyperparameters[name]
    asked = {key: OTHER[key] for key in known}
    assert all(value != known[key] for key, value in asked.items())
    made = config(name, read_hyperparameters(hp({name: asked})[1::2]), **changes)
    assert made.hyperparameters == {name: asked}
    trained = made.learners()
    rates, spreads, learns = schedules(trained, "maker_0")
    assert rates == pytest.approx(asked.pop("learning_rate"))
    assert spreads == pytest.approx(asked.pop("exploration"))
    assert learns == [asked.pop("critic_first", 0.0) == 0.0, False, True] if "tau" in asked else learns
    model = trained.models["maker_0"]
    assert {key: rest(model, key) for key in asked} == asked
    with_defaults = config(name, **changes).learners().models["maker_0"]
    assert {key: rest(with_defaults, key) for key in asked} != asked


@pytest.mark.parametrize(("name", "memory"), [*((name, "none") for name in ALGORITHMS), ("ppo", "lstm")])
def test_every_hyperparameter_has_a_range_and_is_not_left_to_the_library(name, memory):
    """Explicit are all arguments of the class that are not fixed by the market, the schedules or a file of logs."""
    algorithm = find(name, memory)
    assert set(algorithm.hyperparameters()) <= set(CHECKS)
    of_class = set(inspect.signature(algorithm.model.__init__).parameters)
    elsewhere = {"self", "policy", "env", "policy_kwargs", "n_steps", "train_freq", "buffer_size", "seed", "device"}
    elsewhere |= {"rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class", "replay_buffer_kwargs"}
    elsewhere |= {"action_noise", "optimize_memory_usage", "target_entropy", "target_policy_noise", "target_noise_clip"}
    elsewhere |= {"use_sde", "use_sde_at_warmup", "sde_sample_freq", "stats_window_size", "tensorboard_log", "verbose"}
    elsewhere |= {"_init_setup_model"} | ({"ent_coef"} if algorithm.kind == "on_policy" else set())
    elsewhere |= {"batch_size"} if algorithm.has_minibatches else set()
    assert of_class - elsewhere == set(algorithm.hyperparameters()) & of_class


TABLES = {"ppo": {"learning_rate": 1e-3, "n_epochs": 2}, "trader_0": {"gamma": 0.9}, "maker_1": {"net_arch": [8]}}


def test_an_agent_has_its_own():
    made = config("trader_0=ppo,maker_0=ppo,maker_1=sac", {**TABLES, "sac": {"tau": 0.5}})
    assert list(made.hyperparameters) == ["ppo", "sac", "trader_0", "maker_1"]
    models = made.learners().models
    assert [models[agent].gamma for agent in made.settings()] == [0.9, 1.0, 1.0]
    assert models["trader_0"].n_epochs == models["maker_0"].n_epochs == 2
    assert rest(models["maker_1"], "tau") == 0.5
    assert made.hyperparameters["maker_1"] == {**made.hyperparameters["sac"], "net_arch": [8]}
    assert made.hyperparameters["ppo"]["learning_rate"] == [1e-3, 1e-3]
    assert made.settings()["maker_0"] == find("ppo").changed(TABLES["ppo"], "ppo")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run whose hyperparameters are from a file and from the command line, and one with the defaults."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "mine.toml").write_text("[algorithm.ppo]\nlearning_rate = 1e-3\nn_epochs = 7\n")
    command = ["train", "acas", "--timesteps", "160", "--steps", "5", "--markets", "8"]
    asked = ["--hp", str(folder / "mine.toml"), *hp({"ppo": {"n_epochs": 2}, **TABLES})]
    for name, extra in (("tuned", asked), ("usual", [])):
        result = CliRunner().invoke(cli.app, [*command, "--out", str(folder / name), *extra], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return folder


def test_a_run_is_repeated_whatever_the_defaults_are_by_then(tuned, tmp_path, monkeypatch):
    recorded = json.loads((tuned / "tuned" / "config.json").read_text(encoding="utf-8"))
    assert recorded["hyperparameters"] == config(tables=TABLES).hyperparameters
    monkeypatch.setitem(ALGORITHMS, "ppo", replace(find("ppo"), learning_rate=0.1, exploration=0.2, markets=3))
    for name in ("tuned", "usual"):
        runs.train(runs.load_config(tuned / name), tmp_path / name)
        again = (tmp_path / name / "metrics.json").read_bytes()
        assert again == (tuned / name / "metrics.json").read_bytes()
    assert (tmp_path / "tuned" / "metrics.json").read_bytes() != again


def test_a_configuration_from_before_loads_with_the_defaults(tuned, tmp_path):
    document = json.loads((tuned / "usual" / "config.json").read_text(encoding="utf-8"))
    del document["hyperparameters"]
    (tmp_path / "config.json").write_text(json.dumps({**document, "markets": None}))
    assert runs.load_config(tmp_path) == config(timesteps=160, markets=64)


def test_metrics_do_not_tell_where_and_when(tuned):
    text = (tuned / "tuned" / "metrics.json").read_text(encoding="utf-8")
    told = json.loads((tuned / "tuned" / "run.json").read_text(encoding="utf-8"))
    words = [told["finished"][:10], told["platform"], told["processor"], told["commit"], str(tuned)]
    assert not [each for each in [*words, *told["versions"].values()] if each and each in text]
    assert {"stable-baselines3", "sb3-contrib", "torch", "makertaker"} <= set(told["versions"])


def test_trainings_of_a_sweep_take_the_tables_that_concern_them():
    made = product(
        [ACAS, read_scenario("execution-2")],
        ["ppo", "a2c"],
        range(2),
        STEPS,
        hyperparameters={"a2c": {"gamma": 0.9}, "maker_0": {"vf_coef": 0.1}},
    )
    found = [(each.scenario, each.algorithm, each.seed, list(each.hyperparameters)) for each in made]
    assert found == [
        (scenario, algorithm, seed, [algorithm, *agents])
        for scenario, agents in (("acas", ["maker_0"]), ("execution-2", []))
        for algorithm in ("ppo", "a2c")
        for seed in range(2)
    ]
    with pytest.raises(ValueError, match=r"unknown name 'sac' in hyperparameters: expected some of \['ppo', "):
        product([ACAS], ["ppo"], [0], STEPS, hyperparameters={"sac": {"tau": 0.1}})


FILES = {
    "deep": "[algorithm.ppo]\nnet_arch = " + "[" * 10_000,
    "syntax": "[algorithm",
    "empty": "",
    "other": "[ppo]\ngamma = 0.9\n",
    "flat": "[algorithm]\nppo = 3\n",
}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pppo.gamma=0.9", "unknown name 'pppo' in hyperparameters: did you mean 'ppo'? expected some of ['ppo', "),
        ("sac.tau=0.9", "unknown name 'sac' in hyperparameters: expected some of ['ppo', 'trader_0'"),
        ("ppo.lr=0.9", "unknown hyperparameter 'lr' of ppo: expected some of ['learning_rate', 'exploration', "),
        ("maker_0.tau=0.9", "unknown hyperparameter 'tau' of maker_0: expected some of ['learning_rate'"),
        ("ppo.ent_coef=0.1", "unknown hyperparameter 'ent_coef' of ppo"),
        ("ppo.gamma=1.5", "hyperparameter ppo.gamma: expected a number in [0, 1], got 1.5"),
        ("ppo.gamma=true", "hyperparameter ppo.gamma: expected a number in [0, 1], got True"),
        ("ppo.learning_rate=[1e-3]", "hyperparameter ppo.learning_rate: expected a number > 0, or a list of two"),
        ("ppo.exploration=0", "hyperparameter ppo.exploration: expected a number > 0, or a list of two"),
        ("ppo.net_arch=[64, 0]", "hyperparameter ppo.net_arch: expected a list of positive whole numbers, got [64, 0]"),
        ("ppo.net_arch={pi=[64]}", "hyperparameter ppo.net_arch: expected one list, or two of the names ['pi', 'vf']"),
        ("ppo.activation_fn='softsign'", "hyperparameter ppo.activation_fn: expected one of ['tanh', 'relu'"),
        ("ppo.normalize_advantage=1", "hyperparameter ppo.normalize_advantage: expected true or false, got 1"),
        ("ppo.n_epochs=2.5", "hyperparameter ppo.n_epochs: expected a whole number >= 1, got 2.5"),
        ("ppo.n_epochs=many", "--hp 'ppo.n_epochs=many': 'many' is not a TOML value"),
        ("ppo.minibatches=640", "markets: PPO needs at least 1280 steps in all markets of an episode, got 40"),
        ("gamma=0.9", "--hp 'gamma=0.9': expected keys of the form name.key, such as ppo.gamma, got 'gamma'"),
        ("ppo", "--hp: expected name.key=value, or a path to a .toml file, got 'ppo'"),
        ("nowhere.toml", "--hp 'nowhere.toml' cannot be read: "),
        ("syntax.toml", "--hp 'syntax.toml' cannot be read: "),
        ("empty.toml", "--hp 'empty.toml': expected tables [algorithm.name] and nothing else, got []"),
        ("other.toml", "--hp 'other.toml': expected tables [algorithm.name] and nothing else, got ['ppo']"),
        ("deep.toml", "--hp 'deep.toml' cannot be read: "),
        ("flat.toml", "--hp 'flat.toml': expected a table [algorithm.ppo], got 3"),
    ],
)
def test_a_bad_hyperparameter_is_one_line_and_nothing_is_written(command, given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / f"{name}.toml").write_text(text)
    assert_one_line(command("train", "acas", "--steps", "5", "--markets", "8", "--hp", given, "--out", "x"), message)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"tqc": {"n_quantiles": 2}},
            "hyperparameter tqc.n_quantiles: expected more than the 2 that are dropped, got 2",
        ),
        ({"tqc": {"ent_coef": "auto_-1"}}, "hyperparameter tqc.ent_coef: expected a number >= 0, 'auto', or "),
        (
            {"trpo": {"target_kl": None}},
            "hyperparameter trpo.target_kl: expected a number > 0, without which TRPO has no step, got None",
        ),
        (
            {"trpo": {"sub_sampling_factor": 40}},
            "markets: TRPO needs at least 41 steps in all markets of an episode, got 40",
        ),
        ({"tqc": 3}, "hyperparameters: expected tables, such as .* got"),
    ],
)
def test_a_bad_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        config(next(iter(table)), table).learners()


CALM = {"learning_rate": 1e-3, "n_epochs": 2}


def test_an_algorithm_of_the_users_is_learned_with():
    """In place of a name, for all or for one; the same numbers under their name learn the same."""
    calm = replace(find("ppo"), learning_rate=1e-3, settings={**find("ppo").settings, "n_epochs": CALM["n_epochs"]})
    assert calm.learning_rate == (1e-3, 1e-3)
    found = []
    for make in (lambda: learners(algorithm=calm), lambda: config(tables={"ppo": CALM}, seed=3).learners()):
        trained = make()
        trained.learn(2 * EPISODE)
        found.append(parameters(trained))
    assert_same_parameters(*found)
    mixed = learners(algorithm={"trader_0": calm, "maker_0": "ppo", "maker_1": "a2c"}, markets=None)
    assert [each.n_epochs for each in list(mixed.models.values())[:2]] == [2, 5]
    assert mixed.market.batch == (16,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"learning_rate": (1e-3, 0.0)},
            r"learning_rate: expected a number > 0, or a list of two.* got \(0.001, 0.0\)",
        ),
        ({"exploration": "wide"}, "exploration: expected a number > 0"),
        ({"kind": "noisy"}, r"unknown kind 'noisy': .*expected one of \['on_policy', 'entropy', 'action_noise'\]"),
        ({"model": "PPO"}, "model: expected a subclass of BaseAlgorithm, got 'PPO'"),
        ({"policy": int}, "policy: expected a subclass of BasePolicy"),
        ({"settings": {"lr": 1.0}}, "settings: PPO takes no 'lr' here: expected some of "),
        ({"settings": {"n_steps": 7}}, "settings: PPO takes no 'n_steps' here"),
        ({"settings": {"gamma": 2.0}}, r"gamma: expected a number in \[0, 1\], got 2.0"),
        ({"network": {"depth": 3}}, "network: PrefixActorCriticPolicy takes no 'depth' here"),
        ({"kind": "entropy", "replay_episodes": 0}, "replay_episodes: expected a whole number >= 1, got 0"),
        ({"minibatches": 0}, "minibatches: expected a whole number >= 1, got 0"),
        ({"markets": 0}, "markets: expected a whole number >= 1, got 0"),
    ],
)
def test_an_algorithm_of_the_users_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(find("ppo"), **changes)


def test_networks_of_actor_and_critic_may_differ():
    network = {"net_arch": {"pi": [16], "vf": [32, 8]}, "activation_fn": torch.nn.ReLU}
    extractor = learners(algorithm=replace(find("ppo"), network=network)).models["maker_0"].policy.mlp_extractor
    assert [each.out_features for each in layers(extractor.policy_net)] == [16]
    assert [each.out_features for each in layers(extractor.value_net)] == [32, 8]
    assert layers(extractor, torch.nn.ReLU)


def test_what_is_no_algorithm_is_refused():
    for bad in (3, {"trader_0": "ppo", "maker_0": PPO, "maker_1": "ppo"}):
        with pytest.raises(ValueError, match=r"unknown algorithm .*expected one of \['ppo', "):
            learners(algorithm=bad)


def test_ppo_has_one_set_of_numbers():
    """Ray's and stable-baselines3's are the same, by the same names."""
    named = find("ppo").hyperparameters()
    assert {key: named[key] for key in PPO.hyperparameters()} == PPO.hyperparameters()
    assert {each.name for each in fields(PPOSettings)} == {*PPO.hyperparameters(), "markets"}
    assert isinstance(find("ppo"), Algorithm)
    assert IndependentLearners(ACAS, steps=STEPS).market.batch == (PPO.markets,)

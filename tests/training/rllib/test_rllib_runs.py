"""RLlib: runs on Ray, through the command line and from Python."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from makertaker.envs import read_scenario, rollout  # noqa: E402
from makertaker.training import cli, runs  # noqa: E402
from makertaker.training.common import actor_file, checkpoint_folder  # noqa: E402
from makertaker.training.common.hyperparameters import PPO  # noqa: E402
from makertaker.training.evaluation.scoring import evaluate  # noqa: E402
from makertaker.training.rllib.learners import RLlibLearners  # noqa: E402
from support.interruptions import interrupt_after  # noqa: E402
from support.learning import EPISODE, GAME, MARKETS, STEPS  # noqa: E402
from support.logs import tensorboard  # noqa: E402
from support.rllib_learning import learners  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")


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

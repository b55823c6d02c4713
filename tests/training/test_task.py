"""A run solves its game once; engines read their own models, those of older versions too."""

import base64
import json
import shutil
import zipfile

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.envs import acas_v0, load_scenario, read_scenario
from makertaker.training import runs, task
from makertaker.training.common import engines
from makertaker.training.sb3 import algorithms
from support.run_folders import without_digests

STEPS = 5


def config(**changes):
    given = read_scenario("acas")
    arguments = {"algorithm": {"trader_0": "ppo", "maker_0": "td3", "maker_1": "equilibrium"}, **changes}
    return runs.RunConfig(
        scenario=given.name, values=given.values, steps=STEPS, markets=8, timesteps=200, checkpoints=2, **arguments
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    runs.train(config(), out)
    return out


@pytest.mark.parametrize("command", ["train", "resume", "evaluate", "report", "policies"])
def test_a_run_solves_its_game_once(run, tmp_path, monkeypatch, command):
    solved = []
    solve = task.solve
    monkeypatch.setattr(task, "solve", lambda *arguments: solved.append(arguments) or solve(*arguments))
    out = tmp_path / "run"
    if command != "train":
        shutil.copytree(run, out)
    commands = {
        "train": lambda: runs.train(config(), out),
        "resume": lambda: runs.resume(out),
        "evaluate": lambda: runs.evaluate_run(out),
        "report": lambda: runs.write_report(out),
        "policies": lambda: runs.load_policies(out),
    }
    commands[command]()
    assert solved == [(load_scenario("acas"), STEPS)]
    assert (out / "metrics.json").read_bytes() == (run / "metrics.json").read_bytes()


def test_policies_are_read_without_learners(run, tmp_path, monkeypatch):
    monkeypatch.setattr(algorithms, "build", lambda *_: pytest.fail("a learner was built"))
    shutil.copytree(run, tmp_path / "run")
    assert list(runs.load_policies(tmp_path / "run")) == ["trader_0", "maker_0", "maker_1"]


def test_models_of_modules_that_have_moved_are_read(run, tmp_path):
    """A zip names the class of its policy by the module that it was in when it was written."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    without_digests(out)  # runs of earlier versions have none, nor files of numbers
    for path in out.glob("*/*.safetensors"):
        path.unlink()
    for path in [*out.glob("models/*.zip"), *out.glob("checkpoint/*.zip")]:
        with zipfile.ZipFile(path) as archive:
            stored = {name: archive.read(name) for name in archive.namelist()}
        data = json.loads(stored["data"])
        gone = base64.b64encode(b"cmakertaker.training.gone\nPolicy\n.").decode()
        data["policy_class"] = {":type:": "class", ":serialized:": gone}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**stored, "data": json.dumps(data).encode()}.items():
                archive.writestr(name, content)
    with pytest.raises(
        ValueError, match=r"trader_0.zip': of an earlier version .* --trust \(trust=True\), or, .* --resume"
    ):
        runs.evaluate_run(out)
    for read in (lambda: runs.evaluate_run(out, trust=True), lambda: runs.resume(out), lambda: runs.evaluate_run(out)):
        (out / "metrics.json").unlink()
        read()
        assert (out / "metrics.json").read_bytes() == (run / "metrics.json").read_bytes()


def test_models_of_another_game_are_refused(run, tmp_path):
    """Networks of the same shape, whose actions are in other units."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    written = json.loads((out / "config.json").read_text(encoding="utf-8"))
    written["values"]["competition"] = {"gamma": 3.0}
    (out / "config.json").write_text(json.dumps(written))
    with pytest.raises(ValueError, match=r"missing, corrupt or of another run: .* not those of the game"):
        runs.load_policies(out)


def test_a_task_is_a_game_on_a_grid():
    given = read_scenario("acas")
    for market in ("acas", given):
        assert (task.Task(market).steps, task.Task(market, 7).steps) == (given.steps, 7)
        assert (task.Task(market).game, task.Task(market).name) == (given.game, "acas")
    made = task.Task(given.game, STEPS)
    assert made.name == given.game.environment
    assert made.equilibrium is made.equilibrium
    with pytest.raises(ValueError, match=r"game: expected a game, a scenario, its name, .* got 3"):
        task.Task(3)


def test_a_run_names_its_engine():
    with pytest.raises(ValueError, match=r"unknown engine 'tpu': .*expected one of \['sb3', 'ray', 'jax'\]"):
        config(engine="tpu")
    with pytest.raises(ValueError, match="runners: expected 0 with engine 'sb3', got 2"):
        config(runners=2)
    with pytest.raises(ValueError, match="address: expected none with engine 'sb3', got 'auto'"):
        config().learners(address="auto")
    assert [engines.find(name).distributed for name in engines.ENGINES] == [False, True, False]


@pytest.mark.parametrize("given", ["time", "open_loop"])
def test_open_loop_is_another_name_of_time(given):
    assert config(information=given).information == "time"
    with pytest.raises(
        ValueError, match=r"unknown information 'all': .*expected one of \['time', 'own', 'market', 'full'\]"
    ):
        config(information="all")


def test_a_task_of_an_environment_or_a_mapping():
    env = acas_v0.parallel_env(maker_terminal_penalty=0.3, steps=7)
    assert (task.Task(env).game, task.Task(env).steps) == (env.game, 7)
    values = {"name": "mine", "steps": 6, "trader_inventory": [-2.0], "maker_inventory": [0.0, 0.0]}
    made = task.Task(values)
    assert (made.name, made.steps, made.game.trader_inventory) == ("mine", 6, (-2.0,))

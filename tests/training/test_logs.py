"""What is logged while a training goes on: the right numbers, once each, whichever log they are read back from."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("filelock")
pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import EquilibriumNotFound, exploitability, open_loop_policies, solve
from makertaker.baselines.kinds import MakerTaker
from makertaker.envs import acas_v0, load_scenario, rollout, simulate
from makertaker.training import IndependentLearners, cli, logs, runs
from makertaker.training.evaluation.scoring import evaluate
from makertaker.training.evaluation.standings import TAGS, Standings, tagged
from makertaker.training.task import Task
from support.interruptions import interrupt_after
from support.logs import tensorboard, wandb_runs
from support.run_folders import ARGUMENTS, config, contents, result_of

pytestmark = pytest.mark.usefixtures("undrawn")

GAME = load_scenario("acas")
STEPS = 5
SINGLE = 1e-6
"""relative: TensorBoard has single precision"""


def last(scalars):
    return {tag: values[-1][1] for tag, values in scalars.items()}


def test_every_evaluation_is_in_tensorboard_once(undisturbed):
    scalars, _ = tensorboard(undisturbed[0])
    history = runs.load_history(undisturbed[0])
    joint = [f"equilibrium/{name}" for name in ("nash_conv", "relative_nash_conv", "control_distance")]
    own = [f"{name}/{agent}" for name in ("gain", "gap", "control_distance", "payoff") for agent in GAME.agents]
    assert sorted(scalars) == sorted([*joint, *own])
    assert all([step for step, _ in values] == history[:, 0].tolist() for values in scalars.values())
    for tag, column in zip(joint, (1, 2), strict=False):
        np.testing.assert_allclose([value for _, value in scalars[tag]], history[:, column], rtol=SINGLE)
    learners = {path.parent.name for path in undisturbed[0].glob("tensorboard/*/events*")} - {"evaluation"}
    assert learners == {f"{agent}_1" for agent in GAME.agents}


def test_the_last_evaluation_has_the_numbers_that_are_computed_otherwise(undisturbed):
    """Payoffs by simulation, gains by best responses, gaps from the equilibrium, distances by their formula."""
    found = last(tensorboard(undisturbed[0])[0])
    policies, nash = runs.load_policies(undisturbed[0]), solve(GAME, STEPS)
    controls = rollout(GAME, policies, STEPS).controls
    payoffs, gains = simulate(GAME, controls, STEPS).payoffs, exploitability(GAME, controls, STEPS).gains
    own = {"trader_0": [(each.rate[:, 0],) for each in (controls, nash.controls)]}
    for j in range(2):
        own[f"maker_{j}"] = [(each.ask[:, j], each.bid[:, j]) for each in (controls, nash.controls)]
    for i, agent in enumerate(GAME.agents):
        mine, exact = map(np.concatenate, own[agent])
        expected = {
            "payoff": payoffs[i],
            "gain": gains[i],
            "gap": payoffs[i] - nash.payoffs[i],
            "control_distance": np.sqrt(((mine - exact) ** 2).sum() / (exact**2).sum()),
        }
        for name, value in expected.items():
            assert found[f"{name}/{agent}"] == pytest.approx(value, rel=1e-5), (name, agent)
    assert found["equilibrium/nash_conv"] == pytest.approx(gains.sum(), rel=SINGLE)
    metrics = json.loads((undisturbed[0] / "metrics.json").read_text())
    for agent, each in metrics["agents"].items():
        names = {"payoff": "learned", "gain": "exploitability", "gap": "gap", "control_distance": "control_distance"}
        for name, other in names.items():
            assert found[f"{name}/{agent}"] == pytest.approx(each[other], rel=SINGLE)
    assert found["equilibrium/control_distance"] == pytest.approx(metrics["control_distance"], rel=SINGLE)


def test_the_scale_of_the_learners_rewards_is_stated_once(undisturbed):
    """Played rewards in units of the game, times what is stated, are payoffs in currency."""
    _, texts = tensorboard(undisturbed[0])
    (units,), (message,) = texts["units/text_summary"], texts["equilibrium/text_summary"]
    assert message == solve(GAME, STEPS).message == "converged"
    assert all(f"`{tag}`" in units for tag in TAGS)
    stated = {agent: float(value) for agent, value in re.findall(r"^\| (\w+_\d) \| (\S+) \|$", units, flags=re.M)}
    nash = solve(GAME, STEPS)
    env = acas_v0.parallel_env(GAME, steps=STEPS)
    env.reset()
    earned = dict.fromkeys(GAME.agents, 0.0)
    for k in range(STEPS):
        controls = type(nash.controls)(*(each[k] for each in nash.controls))
        for agent, reward in env.step(env.actions_from(controls))[1].items():
            earned[agent] += stated[agent] * reward
    np.testing.assert_allclose(list(earned.values()), nash.payoffs, rtol=1e-5)


def test_the_page_lists_all_tags_with_their_units():
    page = (Path(__file__).parents[2] / "docs" / "logging.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `(\w+/\w+)` \| .* \| (currency|fraction) \|$", page, flags=re.M))
    assert list(found) == list(TAGS)
    assert all(("in currency" in TAGS[tag]) == (unit == "currency") for tag, unit in found.items())


def test_a_resumed_training_continues_its_logs(undisturbed, tmp_path, monkeypatch):
    """Killed after work since the last checkpoint, whose evaluations are made again."""
    out = tmp_path / "run"
    interrupt_after(monkeypatch, IndependentLearners, "save_checkpoint", 3)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(), out)
    before, _ = tensorboard(out)
    monkeypatch.undo()
    runs.resume(out)
    scalars, texts = tensorboard(out)
    whole, stated = tensorboard(undisturbed[0])
    assert len(before["gain/maker_0"]) > 1
    assert scalars == whole
    assert texts == stated
    assert len(list(out.glob("tensorboard/evaluation/*"))) == 2
    runs.resume(out)  # a finished one: nothing is left to do
    assert tensorboard(out)[0] == whole


def test_a_best_response_that_is_not_found_leaves_a_gap_in_the_gains_alone(monkeypatch):
    def fail(*_, **__):
        raise EquilibriumNotFound("no")

    task = Task("acas", STEPS)
    nash, standings = task.equilibrium, Standings(task)
    monkeypatch.setattr(MakerTaker, "gains", fail)
    found = standings(nash.open_loop())
    assert np.isnan([found.nash_conv, found.relative_nash_conv]).all()
    assert not any(tag.startswith("gain/") or "nash_conv" in tag for tag in tagged(found))
    assert [each.payoff for each in found.agents.values()] == pytest.approx(nash.payoffs.tolist(), rel=1e-12)
    assert found.control_distance == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["approximation", "execution-signal"])
def test_standings_in_a_random_game(name):
    """The equilibrium's own policies are no distance away, and the control variates leave no noise in the gap; other
    schedules stand where the evaluation with more paths finds them."""
    task = Task(name, STEPS)
    nash, standings = task.equilibrium, Standings(task)
    at_nash = standings(nash.open_loop())
    for each in at_nash.agents.values():
        assert each.gap == pytest.approx(0, abs=1e-9)
        assert each.control_distance == pytest.approx(0, abs=1e-9)
    slower = nash.controls._replace(rate=0.8 * nash.controls.rate)
    policies = open_loop_policies(task.game, slower)
    found = standings(policies)
    metrics = evaluate(task.game, policies, STEPS, "time", nash).metrics
    for agent, each in found.agents.items():
        exact = metrics["agents"][agent]
        noise = 8 * exact["learned_se"] * 3 + 1e-9  # an eighth of the paths: errors are 2.8 times as large
        assert each.gap == pytest.approx(exact["gap"], abs=noise)
        assert each.payoff == pytest.approx(exact["learned"], abs=noise)
        assert each.control_distance == pytest.approx(exact["control_distance"], rel=0.1)


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_library_is_said_before_any_work(name, resumed, tmp_path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("makertaker.training.task.solve", lambda *_, **__: pytest.fail("solved"))
    out, before = tmp_path / "X", contents(run)
    command = ["acas", "--resume", "--out", str(run)] if resumed else [*ARGUMENTS, "--out", str(out)]
    with pytest.raises(ImportError, match=rf"this needs {name}: pip install '\.\[logs\]'"):
        CliRunner().invoke(cli.app, ["train", *command, "--log", name], catch_exceptions=False)
    assert not out.exists()
    assert contents(run) == before


def test_a_resumed_training_takes_other_logs_where_it_is_told_to(tmp_path, finished, monkeypatch):
    """It began with one whose library is missing now."""
    out = tmp_path / "run"
    interrupt_after(monkeypatch, IndependentLearners, "save_checkpoint", 3)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(), out)
    monkeypatch.undo()
    (out / "logs.json").write_text('{"wandb": {"id": "abc", "project": "makertaker"}}')
    monkeypatch.setitem(sys.modules, "wandb", None)
    before = contents(out)
    with pytest.raises(ImportError, match="this needs wandb"):
        runs.resume(out)
    assert contents(out) == before
    runs.resume(out, logs=["tensorboard"])
    assert result_of(out) == finished[0]


def test_an_unknown_log_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"unknown log 'aim': .*expected some of \['tensorboard', 'wandb', 'mlflow'\]"):
        runs.train(config(), tmp_path / "X", logs=["aim"])
    assert not (tmp_path / "X").exists()


def test_a_log_that_fails_is_given_up_with_a_warning(finished, tmp_path, monkeypatch):
    """The disk of a log, or its server, is no reason to lose a training."""

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(logs._TensorBoard, "write", fail)
    with pytest.warns(UserWarning, match="log: tensorboard is given up: OSError: No space left on device"):
        runs.train(config(), tmp_path / "X")
    assert result_of(tmp_path / "X") == finished[0]


def interrupted_and_resumed(out, monkeypatch, name):
    interrupt_after(monkeypatch, IndependentLearners, "save_checkpoint", 3)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config(), out, logs=[name])
    monkeypatch.undo()


def test_wandb_has_the_same_numbers_offline(undisturbed, finished, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "run"
    interrupted_and_resumed(out, monkeypatch, "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    runs.resume(out)  # with the logs that it began with
    assert result_of(out) == finished[0]
    (first, begun), (second, ended) = wandb_runs(out)
    assert first == second == json.loads((out / "logs.json").read_text())["wandb"]["id"]
    values = {int(row["joint_market_steps"]): row for row in [*begun, *ended]}
    scalars, _ = tensorboard(undisturbed[0])
    for tag, points in scalars.items():
        assert sorted(values) == [step for step, _ in points]
        for step, value in points:
            assert float(values[step][tag]) == pytest.approx(value, rel=SINGLE)
    precious = out / "wandb" / "notes.txt"
    precious.write_text("mine")
    runs.train(config(1), out, overwrite=True)
    assert result_of(out) == finished[1]
    assert [each.name for each in (out / "wandb").iterdir()] == ["notes.txt"]
    assert not (out / "logs.json").exists()


def test_mlflow_has_the_same_numbers_in_the_run_directory(undisturbed, finished, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / "run"
    interrupted_and_resumed(out, monkeypatch, "mlflow")
    runs.resume(out)
    assert result_of(out) == finished[0]
    assert_in_mlflow(mlflow, f"sqlite:///{out / 'mlflow.db'}", out, undisturbed[0])
    runs.train(config(1), out, overwrite=True)
    assert result_of(out) == finished[1]
    assert not {"mlflow.db", "logs.json"} & set(contents(out))


def test_mlflow_logs_where_its_variable_says(undisturbed, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    out = tmp_path / "run"
    runs.train(config(), out, logs=["mlflow"])
    assert not (out / "mlflow.db").exists()
    assert_in_mlflow(mlflow, uri, out, undisturbed[0])


def assert_in_mlflow(mlflow, uri, out, expected):
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "makertaker"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == json.loads((out / "logs.json").read_text())["mlflow"]["run_id"]
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["timesteps"] == str(config().timesteps)
    assert float(found.data.params["payoff_unit.maker_0"]) == GAME.payoff_unit("maker_0")
    for tag, points in tensorboard(Path(expected))[0].items():
        values = {each.step: each.value for each in client.get_metric_history(found.info.run_id, tag)}
        assert sorted(values) == [step for step, _ in points]
        for step, value in points:
            assert values[step] == pytest.approx(value, rel=SINGLE)

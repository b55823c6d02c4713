"""What is to know of the equilibrium stands wherever NashConv is shown, and nothing where it is an ordinary one."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import solve, solve_many
from makertaker.envs import RandomMarkets, Uniform, acas_v0, load_scenario
from makertaker.training import cli, runs, score
from support.logs import tensorboard

STEPS = 4
BOUND = ["--set", "trader_inventory=[-1e6]", "--set", "max_rate=100.0", "--steps", str(STEPS)]
"""an order that nothing but the largest rate can follow: whatever a learner does, there is little to gain"""
SAID = f"equilibrium: rates are truncated at max_rate = 100 (trader_0 in {STEPS} of {STEPS} steps), where NashConv says"
SHORT = ["--timesteps", "80", "--markets", "8"]


def invoke(*arguments):
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in a market whose equilibrium is at a constraint, and what the command printed."""
    out = tmp_path_factory.mktemp("notes") / "run"
    return out, invoke("train", "acas", *BOUND, *SHORT, "--out", str(out))


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    out = tmp_path_factory.mktemp("notes") / "run"
    return out, invoke("train", "acas", "--steps", str(STEPS), *SHORT, "--out", str(out))


def lines(text):
    return [line for line in text.splitlines() if line.startswith("equilibrium: ")]


def test_training_says_it_at_the_start_and_at_the_end(trained, ordinary):
    _, result = trained
    for stream in (result.stdout, result.stderr):
        (line,) = lines(stream)
        assert line.startswith(SAID)
    assert result.stdout.index("equilibrium: ") < result.stdout.rindex("relative NashConv ")
    assert not lines(ordinary[1].stdout + ordinary[1].stderr)


def test_evaluations_reports_and_logs_say_it(trained, ordinary):
    out, _ = trained
    (line,) = lines(invoke("evaluate", str(out)).stdout)
    assert line.startswith(SAID)
    metrics = json.loads(invoke("evaluate", str(out), "--json").stdout)
    assert metrics["equilibrium"]["notes"] == [line.removeprefix("equilibrium: ")]
    assert metrics["equilibrium"]["message"] == f"converged; {metrics['equilibrium']['notes'][0]}"
    page = runs.write_report(out).read_text(encoding="utf-8")
    assert f"<p>{line}</p>" in page
    assert tensorboard(out)[1]["equilibrium/text_summary"] == [metrics["equilibrium"]["message"]]
    other = json.loads(invoke("evaluate", str(ordinary[0]), "--json").stdout)
    assert other["equilibrium"]["notes"] == []
    assert "<p>equilibrium: " not in runs.write_report(ordinary[0]).read_text(encoding="utf-8")


def test_figures_say_it():
    plots = pytest.importorskip("makertaker.training.evaluation.plots")
    env = acas_v0.parallel_env(trader_inventory=[-1e6], max_rate=100.0, observation="time", steps=STEPS)
    found = score(env, solve(env).open_loop())
    history = np.array([[0.0, 1.0, 0.1], [8.0, 0.5, 0.05]])
    for figure in (found.figure(), plots.learning(history, found)):
        assert figure.get_suptitle().replace("\n", " ").startswith(SAID)
    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    assert score(env, solve(env).open_loop()).figure().get_suptitle() == ""


def test_solve_says_it():
    assert SAID.removeprefix("equilibrium: ") in invoke("solve", "acas", *BOUND).stdout
    (note,) = json.loads(invoke("solve", "acas", *BOUND, "--json").stdout)["notes"]
    assert SAID.removeprefix("equilibrium: ") in note
    assert json.loads(invoke("solve", "acas", "--steps", "4", "--json").stdout)["notes"] == []


def test_a_score_says_it():
    env = acas_v0.parallel_env(trader_inventory=[-1e6], max_rate=100.0, observation="time", steps=STEPS)
    found = score(env, solve(env).open_loop())
    assert SAID in str(found)
    assert any(note.startswith(SAID) for note in found.to_dict()["notes"])
    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    assert score(env, solve(env).open_loop()).notes == ()


def test_the_score_of_drawn_markets_says_in_how_many():
    """The trader's largest rate binds in those that are drawn below its largest rate without the constraint."""
    game = load_scenario("acas", ["max_rate=3.0"])
    random = RandomMarkets(game, {"trader_inventory": Uniform([-12.0], [-2.0])})
    env = acas_v0.parallel_env(random, observation="time", steps=STEPS)
    draws = 16
    uniform = np.random.default_rng(0).random((draws, random.width))
    found = solve_many([random.game_of(random.drawn(each)) for each in uniform], STEPS)
    count = sum(bool((np.abs(each.controls.rate) >= 3.0).any()) for each in found)
    assert 0 < count < draws
    assert count == sum(bool(each.notes) for each in found)  # the batch says it as well
    zero = {agent: lambda seen, w=w: np.zeros((*np.shape(seen)[:-1], w)) for agent, w in env_sizes(env).items()}
    said = [note for note in score(env, zero, draws=draws).notes if note.startswith("equilibrium: ")]
    assert len(said) == 1
    assert said[0].startswith(f"equilibrium: in {count} of {draws} drawn markets, the first: rates are truncated at")


def env_sizes(env):
    return {agent: env.action_space(agent).shape[0] for agent in env.possible_agents}

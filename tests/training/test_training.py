"""Independent learning: the hub, information structures, checkpoints, run directories, and what the commands print."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3.common.env_checker import check_env  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

from makertaker.baselines import EquilibriumNotFound, exploitability, open_loop_policies, solve  # noqa: E402
from makertaker.envs import Logistic, load_scenario, rollout  # noqa: E402
from makertaker.envs.grid import State  # noqa: E402
from makertaker.training import IndependentLearners, MarketVecEnv, cli, runs  # noqa: E402
from makertaker.training.evaluation.html_report import percent  # noqa: E402
from makertaker.training.evaluation.scoring import control_distance, evaluate  # noqa: E402
from makertaker.training.sb3 import checkpoint  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS  # noqa: E402

GAME = load_scenario("acas")
STEPS = 5
MARKETS = 8
EPISODE = STEPS * MARKETS
MIX = {"trader_0": "ppo", "maker_0": "sac", "maker_1": "td3"}


def learners(**changes):
    return IndependentLearners(GAME, **{"steps": STEPS, "markets": MARKETS, "seed": 3, **changes})


def parameters(trained):
    return {
        f"{agent}.{name}": value.numpy().copy()
        for agent, model in trained.models.items()
        for name, value in model.policy.state_dict().items()
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def differ(first, second):
    return any((first[name] != second[name]).any() for name in first)


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, MIX], ids=lambda each: each if isinstance(each, str) else "mix")
def test_every_algorithm_learns_and_is_deterministic_under_its_seed(algorithm):
    results = []
    for seed in (3, 3, 4):
        trained = learners(algorithm=algorithm, seed=seed)
        before = parameters(trained)
        trained.learn(3 * EPISODE)
        assert differ(before, parameters(trained))
        assert trained.hub.steps_done == 3 * EPISODE
        assert {model.num_timesteps for model in trained.models.values()} == {3 * EPISODE}
        results.append(parameters(trained))
    assert_same(results[0], results[1])
    assert differ(results[0], results[2])


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3", "tqc"])
@pytest.mark.parametrize(("information", "entries"), [("open_loop", 1), ("own", 2), ("full", 8)])
def test_actors_see_their_information_and_critics_everything(algorithm, information, entries):
    trained = learners(algorithm=algorithm, information=information)
    policy = trained.models["maker_0"].policy
    seen = torch.zeros(1, 8, requires_grad=True)
    action = (
        policy.get_distribution(seen).mode()
        if algorithm == "ppo"
        else policy.actor(seen, deterministic=True)
        if algorithm != "td3"
        else policy.actor(seen)
    )
    (gradient,) = torch.autograd.grad(action.sum(), seen)
    assert not gradient[0, entries:].any()
    assert gradient[0, :entries].all()
    if algorithm == "ppo":
        value = policy.predict_values(seen).sum()
    else:
        value = sum(each.sum() for each in policy.critic(seen, torch.zeros(1, 2)))
    (gradient,) = torch.autograd.grad(value, seen)
    assert gradient[0].all()


def test_joint_rewards_are_the_payoffs_of_the_joint_controls():
    """What the learners' environments report as episode returns is what ``rollout`` computes, in each one's unit."""
    trained = learners(markets=1)
    hub = trained.hub
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (STEPS, 5))
    returns = {}
    for k in range(STEPS):
        step = {"trader_0": actions[k, :1], "maker_0": actions[k, 1:3], "maker_1": actions[k, 3:]}
        for agent, (_, _, done, infos) in hub.advance({name: value[None] for name, value in step.items()}).items():
            if done[0]:
                returns[agent] = infos[0]["episode"]["r"]
    controls = [trained.market.controls(actions[k]) for k in range(STEPS)]
    play = {
        agent: lambda k, state, i=i: np.atleast_1d(
            [controls[k].rate[0], (controls[k].ask[0], controls[k].bid[0]), (controls[k].ask[1], controls[k].bid[1])][i]
        )
        for i, agent in enumerate(GAME.agents)
    }
    payoffs = rollout(GAME, play, STEPS).payoffs
    for i, agent in enumerate(GAME.agents):
        assert returns[agent] == pytest.approx(payoffs[i] * hub._scale[i], abs=1e-9)


def test_budgets_need_not_be_common_multiples():
    """A learner that has ended keeps acting; one that has not goes on."""
    trained = learners(algorithm=MIX)
    trained.models["trader_0"].n_steps = 3
    trained.models["trader_0"].rollout_buffer.buffer_size = 3
    trained.models["trader_0"].rollout_buffer.reset()
    trained.learn(2 * EPISODE)
    assert trained.models["trader_0"].num_timesteps == 96  # the first multiple of 3 * 8 that reaches 80
    assert trained.models["maker_0"].num_timesteps == 2 * EPISODE


def test_one_failing_learner_ends_all():
    trained = learners()

    def fail(*_, **__):
        raise FloatingPointError("diverged")

    trained.models["maker_0"].train = fail
    with pytest.raises(FloatingPointError, match="diverged"):
        trained.learn(4 * EPISODE)
    assert trained.models["maker_1"].num_timesteps <= EPISODE


def test_nan_actions_are_reported_with_the_agent():
    trained = learners()
    with torch.no_grad():
        trained.models["maker_1"].policy.action_net.bias.fill_(float("nan"))
    with pytest.raises((FloatingPointError, ValueError), match=r"maker_1|nan"):
        trained.learn(EPISODE)


def test_agents_can_follow_given_policies():
    policies = solve(GAME, STEPS).open_loop()
    fixed = {agent: policies[agent] for agent in ("maker_0", "maker_1")}
    trained = learners(fixed=fixed)
    assert list(trained.models) == ["trader_0"]
    trained.learn(EPISODE)
    played = rollout(GAME, trained.policies(), STEPS).controls
    np.testing.assert_allclose(played.ask, solve(GAME, STEPS).controls.ask, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["ppo", MIX], ids=["ppo", "mix"])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, algorithm):
    straight = learners(algorithm=algorithm)
    straight.learn(4 * EPISODE, until=2 * EPISODE)
    checkpoint.save(straight, tmp_path / "checkpoint", {"note": 7})
    straight.learn(4 * EPISODE)

    resumed = learners(algorithm=algorithm, seed=3)
    assert checkpoint.load(resumed, tmp_path / "checkpoint") == {"note": 7}
    assert resumed.hub.steps_done == 2 * EPISODE
    resumed.learn(4 * EPISODE)
    assert_same(parameters(straight), parameters(resumed))


@pytest.mark.parametrize("damage", ["state.pkl", "maker_0.zip"])
def test_a_corrupt_checkpoint_is_refused(tmp_path, damage):
    trained = learners()
    trained.learn(EPISODE)
    checkpoint.save(trained, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / damage).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .* is corrupt"):
        checkpoint.load(learners(), tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="there is none"):
        checkpoint.load(learners(), tmp_path / "nowhere")


def test_the_equilibrium_evaluates_to_itself():
    equilibrium = solve(GAME, STEPS)
    metrics = evaluate(GAME, equilibrium.open_loop(), STEPS, "open_loop").metrics
    assert metrics["relative_nash_conv"] == pytest.approx(0, abs=1e-12)
    assert metrics["control_distance"] == pytest.approx(0, abs=1e-12)
    assert all(each["gap"] == pytest.approx(0, abs=1e-12) for each in metrics["agents"].values())
    assert metrics["baselines"]["TWAP, constant spread"]["relative_nash_conv"] > 0.01
    json.dumps(metrics)


def test_the_search_against_reacting_opponents_finds_the_exact_gain_against_those_who_do_not_react():
    controls = solve(GAME, STEPS).controls
    missed = controls._replace(rate=0.7 * controls.rate, ask=controls.ask + 0.3)
    metrics = evaluate(GAME, open_loop_policies(GAME, missed), STEPS, "own").metrics
    assert "lower bound" in metrics["exploitability_against"]
    assert metrics["open_loop_nash_conv"] > 0.1
    assert metrics["nash_conv"] == pytest.approx(metrics["open_loop_nash_conv"], abs=1e-6)


def test_reacting_opponents_can_be_exploited_where_their_schedule_cannot():
    """The decoupling field played as feedback is an equilibrium among schedules, not among policies that react."""
    metrics = evaluate(GAME, solve(GAME, 3).feedback(), 3, "full").metrics
    assert metrics["open_loop_relative_nash_conv"] == pytest.approx(0, abs=1e-12)
    assert metrics["relative_nash_conv"] > 1e-3


def test_quotes_on_a_side_without_flow_do_not_count_in_the_distance():
    game = load_scenario("acas", ["sell_flow=0.0"])
    equilibrium = solve(game, STEPS)
    moved = equilibrium.controls._replace(bid=equilibrium.controls.bid + 1)
    assert exploitability(game, moved, STEPS).nash_conv == pytest.approx(0, abs=1e-9)
    assert control_distance(moved, equilibrium) == 0
    assert control_distance(equilibrium.controls._replace(ask=equilibrium.controls.ask + 1), equilibrium) > 0


@pytest.mark.parametrize("kind", ["open_loop", "feedback"])
def test_policies_made_for_another_grid_are_refused(kind):
    others = getattr(solve(GAME, 2 * STEPS), kind)()
    message = "its policy was made for 10 steps, expected one for 5"
    with pytest.raises(ValueError, match=message):
        rollout(GAME, others, STEPS)
    with pytest.raises(ValueError, match=message):
        MarketVecEnv(GAME, 3, "maker_0", others, steps=STEPS)
    with pytest.raises(ValueError, match=message):
        learners(fixed={agent: others[agent] for agent in ("maker_0", "maker_1")})


def test_learned_policies_are_batched():
    policy = learners().policies()["maker_0"]
    inventories = np.random.default_rng(0).normal(size=(4, 2, 3))
    state = State(0.2, None, inventories, np.zeros((4, 2, 2, 2)))
    result = policy(1, state)
    assert result.shape == (4, 2, 2)
    alone = policy(1, State(0.2, None, inventories[1, 1], np.zeros((2, 2))))
    np.testing.assert_allclose(result[1, 1], alone, rtol=1e-6)


def test_market_vec_env_follows_the_conventions():
    env = MarketVecEnv(GAME, 3, "maker_0", solve(GAME, STEPS).open_loop(), steps=STEPS, inventory_spread=0.1)
    assert isinstance(env, VecEnv)
    env.seed(5)
    first = env.reset()
    total = np.zeros(3)
    for k in range(STEPS):
        seen, rewards, done, infos = env.step(np.zeros((3, 2), dtype=np.float32))
        total += rewards
        assert done.all() == (k == STEPS - 1)
    for i, info in enumerate(infos):
        assert info["terminal_observation"][0] == 1  # time
        assert info["TimeLimit.truncated"] is False
        assert info["episode"]["r"] == pytest.approx(total[i], rel=1e-5)
    assert (seen[:, 0] == 0).all()
    env.seed(5)
    np.testing.assert_array_equal(env.reset(), first)
    assert env.env_is_wrapped(object) == [False] * 3


@pytest.fixture
def run(tmp_path):
    """A short finished run, and the command that made it."""
    folder = tmp_path / "run"
    command = ["train", "acas", "--timesteps", "200", "--steps", "5", "--markets", "8", "--out", str(folder)]
    result = CliRunner().invoke(cli.app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    return folder, command, json.loads(result.stdout)


def test_a_run_directory_has_everything_and_repeats_bit_for_bit(run):
    folder, command, metrics = run
    for name in (
        "config.json",
        "run.json",
        "history.csv",
        "metrics.json",
        "figures/comparison.png",
        "figures/learning.png",
    ):
        assert (folder / name).stat().st_size > 0, name
    last = float((folder / "history.csv").read_text().splitlines()[-1].split(",")[2])
    assert last == metrics["relative_nash_conv"]
    written = (folder / "metrics.json").read_bytes()
    assert json.loads(written) == metrics
    assert set(metrics["agents"]["trader_0"]) >= {"learned", "equilibrium", "gap", "exploitability"}
    assert CliRunner().invoke(cli.app, [*command, "--overwrite"]).exit_code == 0
    assert (folder / "metrics.json").read_bytes() == written
    again = CliRunner().invoke(cli.app, ["evaluate", str(folder), "--json"])
    assert json.loads(again.stdout) == metrics


def test_report_is_one_page(run):
    folder, _, metrics = run
    assert CliRunner().invoke(cli.app, ["report", str(folder)]).exit_code == 0
    text = (folder / "report.html").read_text()
    assert "<script src=" not in text
    assert percent(metrics["relative_nash_conv"]) in text
    assert all(agent in text for agent in GAME.agents)


def test_existing_directories_are_not_overwritten(run, tmp_path):
    folder, command, _ = run
    before = (folder / "run.json").read_bytes()
    with pytest.raises(ValueError, match="exists"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert (folder / "run.json").read_bytes() == before
    other = tmp_path / "precious"
    other.mkdir()
    (other / "file.txt").write_text("keep")
    for text in (None, '{"name": "another project"}'):
        if text:
            (other / "config.json").write_text(text)
        with pytest.raises(ValueError, match="not a run directory"):
            runs.train(runs.load_config(folder), other, overwrite=True)
        assert (other / "file.txt").read_text() == "keep"


def test_a_run_is_not_removed_for_one_that_cannot_start(run, monkeypatch):
    folder, command, _ = run
    before = (folder / "metrics.json").read_bytes()

    def fail(*_, **__):
        raise EquilibriumNotFound("no")

    monkeypatch.setattr(runs, "solve", fail)
    with pytest.raises(EquilibriumNotFound):
        CliRunner().invoke(cli.app, [*command, "--overwrite"], catch_exceptions=False)
    assert (folder / "metrics.json").read_bytes() == before


def test_resume_refuses_options_it_would_ignore(run):
    folder, _, _ = run
    for extra, message in (["--seed", "9"], "drop seed"), (["--overwrite"], "drop overwrite"):
        with pytest.raises(ValueError, match=message):
            CliRunner().invoke(
                cli.app, ["train", "acas", "--resume", "--out", str(folder), *extra], catch_exceptions=False
            )
    with pytest.raises(ValueError, match="is of scenario 'acas', got 'acas-2x3'"):
        CliRunner().invoke(cli.app, ["train", "acas-2x3", "--resume", "--out", str(folder)], catch_exceptions=False)


def test_a_run_interrupted_at_once_can_be_resumed(run, tmp_path, monkeypatch):
    folder, _, metrics = run
    out = tmp_path / "early"

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(IndependentLearners, "learn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(runs.load_config(folder), out)
    with pytest.raises(ValueError, match="ended before its first episode"):
        runs.evaluate_run(out)
    monkeypatch.undo()
    assert runs.resume(out).metrics == metrics


@pytest.mark.parametrize("left", ["new", "old"])
def test_an_interrupted_exchange_of_checkpoints_is_recovered(tmp_path, left):
    trained = learners()
    trained.learn(EPISODE)
    checkpoint.save(trained, tmp_path / "checkpoint")
    (tmp_path / "checkpoint").rename(tmp_path / f"checkpoint.{left}")
    again = learners()
    checkpoint.load(again, tmp_path / "checkpoint")
    assert again.hub.steps_done == EPISODE


def test_an_interrupted_run_resumes_to_the_same_metrics(run, tmp_path, monkeypatch):
    folder, _, metrics = run
    config = runs.load_config(folder)
    out = tmp_path / "interrupted"
    save, calls = checkpoint.save, []

    def interrupt(*arguments):
        if len(calls) == 3:  # in the third chunk, with work done since the last checkpoint
            raise KeyboardInterrupt
        save(*arguments)
        calls.append(1)

    monkeypatch.setattr(checkpoint, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config, out)
    assert (out / "models" / "trader_0.zip").is_file()
    assert len((out / "history.csv").read_text().splitlines()) > 1
    monkeypatch.undo()
    runs.resume(out)
    assert (out / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert (out / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()


NOTHING = [
    *("--set", "trader_running_penalty=0", "--set", "maker_running_penalty=0"),
    *("--set", "buy_flow=0", "--set", "sell_flow=0", "--out", "x"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "acas", "--algorithm", "dqn", "--out", "x"], "algorithm: expected one of .* got 'dqn'"),
        (["train", "acas", "--algorithm", "maker_7=sac", "--out", "x"], "expected agents of .* got 'maker_7'"),
        (["train", "acas", "--information", "all", "--out", "x"], "information: expected one of .* got 'all'"),
        (["train", "acas", "--timesteps", "0", "--out", "x"], "timesteps: expected a positive whole number, got 0"),
        (["train", "acas", "--markets", "0", "--out", "x"], "markets: expected a positive whole number, got 0"),
        (["train", "nowhere", "--out", "x"], "scenario: expected one of .* got 'nowhere'"),
        (["train", "acas", "--resume", "--out", "x"], "'x' is not a run directory"),
        (
            ["train", "acas", "--steps", "1", "--markets", "1", "--out", "x"],
            "PPO needs at least 4 steps .* got 1",
        ),
        (
            ["train", "acas", "--set", "trader_terminal_penalty=0", "--set", "maker_terminal_penalty=0", *NOTHING],
            "all equilibrium payoffs are zero",
        ),
        (["evaluate", "x"], "'x' is not a run directory"),
        (["report", "x"], "'x' is not a run directory"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert not (tmp_path / "x").exists()


def test_a_corrupt_model_is_refused(run):
    folder, _, _ = run
    (folder / "models" / "maker_1.zip").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="missing, corrupt or of another run"):
        runs.evaluate_run(folder)
    shutil.rmtree(folder / "models")
    with pytest.raises(ValueError, match="missing, corrupt or of another run"):
        runs.evaluate_run(folder)


def test_single_agent_view_passes_the_checker_of_stable_baselines3():
    import gymnasium

    check_env(gymnasium.make("makertaker/Acas-v0", steps=STEPS).unwrapped)


@pytest.mark.slow
def test_default_training_reaches_half_a_percent():
    trained = IndependentLearners(GAME, steps=20, seed=0)
    trained.learn(160_000)
    controls = rollout(GAME, trained.policies(), 20).controls
    assert exploitability(GAME, controls, 20).relative < 0.005


def test_policies_are_not_lost_by_pickling_games():
    assert pickle.loads(pickle.dumps(GAME)) == GAME


def test_an_execution_game_that_is_not_linear_is_evaluated():
    """Its linear reference points do not exist; TWAP does, and the equilibrium has nothing to gain."""

    game = replace(load_scenario("execution-signal"), buy_flow=Logistic(8.0, 12.0, 1.0), sell_flow=10.0)
    metrics = evaluate(game, solve(game, 5).open_loop(), 5, "open_loop").metrics
    assert abs(metrics["relative_nash_conv"]) < 1e-3
    assert metrics["collusion_index"] is None
    known = {name for name, each in metrics["baselines"].items() if each["payoffs"] is not None}
    assert known == {"TWAP"}
    assert metrics["baselines"]["TWAP"]["relative_nash_conv"] > 0.01

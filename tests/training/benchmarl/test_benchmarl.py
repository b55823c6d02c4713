"""Games as BenchMARL tasks: its algorithms run on them unmodified, and what they learned is scored like any policy.

Runs in the environment of ``requirements-benchmarl.txt``::

    .venv-benchmarl/bin/python -m pytest -q tests/training/benchmarl
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarl")
import torch
from benchmarl.algorithms import IppoConfig, MappoConfig, MasacConfig
from benchmarl.experiment import Callback, Experiment, ExperimentConfig
from benchmarl.models import GruConfig, LstmConfig, SequenceModelConfig
from benchmarl.models.common import ModelConfig
from benchmarl.models.mlp import MlpConfig
from torchrl.envs import check_env_specs
from torchrl.envs.utils import ExplorationType, set_exploration_type

from makertaker.baselines import exploitability, solve
from makertaker.envs import (
    Controls,
    ExecutionGame,
    LogUniform,
    MakerTakerGame,
    RandomMarkets,
    State,
    load_scenario,
    rollout,
    simulate,
)
from makertaker.envs.observation import market_size
from makertaker.training.benchmarl_callbacks import Anneal, NashConvHistory
from makertaker.training.benchmarl_task import MarketTask, policies
from makertaker.training.common.memory import remembering
from makertaker.training.evaluation.score import score
from makertaker.training.evaluation.scoring import evaluate

ALGORITHMS = {"ippo": IppoConfig, "mappo": MappoConfig, "masac": MasacConfig}
MARKETS, STEPS = 8, 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def experiment(
    task: MarketTask,
    algorithm: str,
    folder: Path,
    *,
    iterations: int = 3,
    callbacks: tuple[Callback, ...] = (),
    markets: int = MARKETS,
    cells: tuple[int, ...] = (16,),
    recurrent: type[ModelConfig] | None = None,
    **changes: Any,
) -> Experiment:
    """A small experiment: every iteration plays one episode in every market."""
    config, settings = ExperimentConfig.get_from_yaml(), ALGORITHMS[algorithm].get_from_yaml()
    model: Any = MlpConfig.get_from_yaml()
    model.num_cells = list(cells)
    if recurrent is not None:
        unit: Any = recurrent.get_from_yaml()
        unit.hidden_size = 8
        model = SequenceModelConfig([unit, model], intermediate_sizes=[8])
    frames = markets * task.steps
    for policy in ("on", "off"):
        setattr(config, f"{policy}_policy_collected_frames_per_batch", frames)
        setattr(config, f"{policy}_policy_n_envs_per_worker", markets)
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size = 2, frames // 2
    config.off_policy_n_optimizer_steps, config.off_policy_train_batch_size = 2, 32
    config.off_policy_memory_size = 4 * frames
    config.max_n_frames, config.evaluation_interval, config.evaluation_episodes = iterations * frames, frames, 3
    config.gamma, config.share_policy_params, config.render = 1.0, False, False
    config.loggers, config.create_json, config.save_folder = [], True, str(folder)
    settings.share_param_critic = False
    for name, value in changes.items():
        setattr(settings if hasattr(settings, name) else config, name, value)
    return Experiment(task, settings, model, seed=0, config=config, callbacks=list(callbacks))


class Record(Callback):  # type: ignore[misc]
    """Keeps the evaluation's rollouts."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[Any] = []

    def on_evaluation_end(self, rollouts: list[Any]) -> None:
        self.rollouts = rollouts


def payoffs(task: MarketTask, played: Any) -> np.ndarray:
    """Payoffs (n,) in currency of one episode (K,) of a task with rewards in the game's units."""
    game = task.game
    earned = torch.cat([played["next", role, "reward"][..., 0] for role in task.market().group_map], dim=-1)
    return earned.double().sum(dim=0).numpy() * [game.payoff_unit(agent) for agent in game.agents]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("name", "observation", "groups"),
    [("acas", "time", "agent"), ("maker-taker-3x3", "full", "role"), ("execution-2", "own", "role")],
)
def test_algorithms_run_unmodified(name: str, observation: Any, groups: Any, algorithm: str, tmp_path: Path) -> None:
    """Parameters of every group move, and the evaluation plays what simulation says the policies earn."""
    options: dict[str, Any] = {"steps": STEPS, "observation": observation, "groups": groups}
    task, record = MarketTask(name, volatility=0.0, **options), Record()  # agents that see everything see the price
    run = experiment(task, algorithm, tmp_path, callbacks=(record,))
    before = {
        group: [each.detach().clone() for each in run.group_policies[group].parameters()] for group in run.group_map
    }
    run.run()
    for group, old in before.items():
        moved = zip(old, run.group_policies[group].parameters(), strict=True)
        assert all(not torch.equal(a, b) for a, b in moved), group
    assert run.total_frames == 3 * MARKETS * STEPS
    assert len(record.rollouts) == 3
    learned = rollout(task.game, policies(run), STEPS)
    for played in record.rollouts:
        np.testing.assert_allclose(payoffs(task, played), learned.payoffs, rtol=1e-4, atol=1e-4)


def test_actors_who_react_and_start_at_random(tmp_path: Path) -> None:
    """Initial inventories are drawn for every market, and what was learned is scored against opponents that react, on
    paths of the price they look at, from the usual start and from others."""
    task = MarketTask("execution-2", steps=STEPS, observation="full", inventory_spread=1.0)
    drawn = task.market(1000, seed=0).reset()["inventories"]
    assert drawn.std(dim=0).numpy() == pytest.approx([1.0, 1.0], rel=0.1)
    run = experiment(task, "ippo", tmp_path)
    run.run()
    found = score(task.market(), policies(run))
    again = evaluate(task.game, policies(run), STEPS, "full", inventory_spread=1.0).metrics
    for each in (found.metrics, found.metrics["random_starts"]):
        assert each["exploitability_against"] == "reacting opponents on simulated paths (lower bound)"
    assert found.metrics == again


@pytest.mark.parametrize("name", ["acas", "maker-taker-3x3", "execution-2"])
def test_groups_and_specs(name: str) -> None:
    task = MarketTask(name, observation="time")
    env, game = task.market(4), task.game
    check_env_specs(env)
    groups = task.group_map(env)
    assert [each for agents in groups.values() for each in agents] == list(game.agents)
    assert set(groups) == ({"trader", "maker"} if game.makers else {"trader"})
    for role, agents in groups.items():
        size = 1 if role == "trader" else 2
        assert task.action_spec(env)[role, "action"].shape == (len(agents), size)
        assert task.observation_spec(env)[role].shape == (len(agents),)
        assert list(task.observation_spec(env)[role].keys()) == ["observation"]
        assert task.observation_spec(env)[role, "observation"].shape == (len(agents), env.view.size)
    state = task.state_spec(env)
    assert list(state.keys(True, True)) == ["state"]
    assert state["state"].shape == (1 + len(game.agents) + market_size(game) + 2 * game.makers,)
    assert MarketTask(name, state=False).state_spec(MarketTask(name, state=False).market()) is None
    assert task.max_steps(env) == task.steps
    assert task.supports_continuous_actions()
    assert not task.supports_discrete_actions()


def test_the_state_is_what_observations_are_made_of() -> None:
    """In the state's vector agents stand in the game's order; a full observation has the own inventory first."""
    market = MarketTask("maker-taker-3x3", observation="full").market(2, seed=0)
    played = market.rollout(3)
    n, traders = len(market.game.agents), market.game.traders
    state = played["next", "state"]
    for i in range(n):
        role, place = ("trader", i) if i < traders else ("maker", i - traders)
        seen = played["next", role, "observation"][..., place, :]
        shown = 1 + n + market_size(market.game)
        others = (1 + j for j in range(n) if j != i)
        order = [0, 1 + i, *range(1 + n, shown), *others, *range(shown, state.shape[-1])]
        assert torch.equal(seen, state[..., order])


@pytest.mark.parametrize("name", ["acas", "maker-taker-softmax", "execution-2", "dealers"])
def test_units_of_actions_and_rewards(name: str) -> None:
    """The equilibrium's controls in control units earn its payoffs in payoff units, to rounding in single precision."""
    task = MarketTask(name, steps=STEPS)
    game, market = task.game, task.market(2)
    nash = solve(game, STEPS)
    low, high = game.action_range()
    n = game.traders
    state = market.reset()
    earned = np.zeros(len(game.agents))
    for k in range(STEPS):
        for field in Controls._fields if game.makers else ("rate",):
            middle = (getattr(low, field) + getattr(high, field)) / 2
            units = [game.control_unit(agent) for agent in (game.agents[:n] if field == "rate" else game.agents[n:])]
            action = torch.as_tensor((getattr(nash.controls, field)[k] - middle) / units, dtype=torch.float32)
            role, column = ("trader", 0) if field == "rate" else ("maker", ("ask", "bid").index(field))
            if (role, "action") not in state.keys(True):
                state[role, "action"] = torch.zeros(2, len(action), 1 if role == "trader" else 2)
            state[role, "action"][..., column] = action
        state = market.step(state)["next"]
        earned += torch.cat([state[role, "reward"][0, :, 0] for role in market.view.names]).numpy()
    units = [game.payoff_unit(agent) for agent in game.agents]
    np.testing.assert_allclose(earned * units, simulate(game, nash.controls, STEPS).payoffs, rtol=1e-4)


def test_policies_are_deterministic_and_batched(tmp_path: Path) -> None:
    """The adapter ignores the exploration type around it, keeps batch axes, and stays within the game's constraints."""
    task = MarketTask("maker-taker-3x3", steps=STEPS)
    run = experiment(task, "mappo", tmp_path)
    found = policies(run)
    start = np.tile(task.game.start, (4, 3, 1)) * np.linspace(0.5, 1.5, 3)[:, None]
    with set_exploration_type(ExplorationType.RANDOM):
        batch = rollout(task.game, found, STEPS, inventories=start)
    again = rollout(task.game, found, STEPS, inventories=start[0, 2])
    assert batch.controls.ask.shape == (4, 3, STEPS, task.game.makers)
    np.testing.assert_allclose(batch.controls.ask[1, 2], again.controls.ask, rtol=1e-6)
    assert np.ptp(batch.controls.ask[0], axis=0).max() > 1e-6  # full observations: they react
    with pytest.raises(ValueError, match="its policy was made for 5 steps, expected one for 6"):
        rollout(task.game, found, 6)


@pytest.mark.parametrize("recurrent", [GruConfig, LstmConfig])
def test_recurrent_policies_remember_through_an_episode(tmp_path: Path, recurrent: type[ModelConfig]) -> None:
    """They play what the library's own environment, which carries their memory, has them play."""
    task = MarketTask("acas", steps=STEPS, observation="full", volatility=0.0)  # they look at the price
    run = experiment(task, "ippo", tmp_path, recurrent=recurrent)
    run.run()
    found = policies(run)
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        played = run.test_env.rollout(STEPS, run.policy)
    again = rollout(task.game, found, STEPS).controls
    expected = task.market().controls(played)
    for name in Controls._fields:
        flat = getattr(expected, name).reshape(-1, STEPS, getattr(again, name).shape[-1])
        np.testing.assert_allclose(getattr(again, name), flat[0], rtol=1e-4, atol=1e-5)
    start = task.game.start * np.linspace(0.5, 1.5, 6).reshape(2, 3, 1)
    batch = rollout(task.game, found, STEPS, inventories=start).controls
    alone = rollout(task.game, found, STEPS, inventories=start[1, 2]).controls
    np.testing.assert_allclose(batch.ask[1, 2], alone.ask, rtol=1e-5)
    state = State(0.0, None, task.game.start, np.zeros((2, task.game.makers)), None, np.array(100.0), np.zeros(2))
    with pytest.raises(ValueError, match=r"maker_0: its policy remembers one batch of markets .* expected step 5"):
        found["maker_0"](1, state)
    assert remembering(found)
    if recurrent is GruConfig:  # one of the two, whose search for deviations takes long
        metrics = evaluate(task.game, found, STEPS, "full", feedback=False).metrics
        assert metrics["memory"].startswith("policies remember")


def test_heterogeneous_agents_and_games(tmp_path: Path) -> None:
    """A game of one's own, agents of one role with different penalties, each with parameters of its own."""
    game = MakerTakerGame((-5.0, 3.0), (1.0, 0.0, -1.0), trader_running_penalty=(0.0, 0.5))
    task = MarketTask(game, steps=STEPS, observation="time")
    assert task.name == game.environment
    run = experiment(task, "ippo", tmp_path)
    run.run()
    controls = rollout(game, policies(run), STEPS).controls
    assert np.ptp(controls.ask, axis=-1).min() > 1e-9
    assert MarketTask(ExecutionGame()).group_map(None) == {"trader": ["trader_0"]}


def test_history_and_annealing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NashConv over training is that of the policies at the time; learning rates reach their last value."""
    task = MarketTask("acas", observation="time")
    history, frames = NashConvHistory(every=2 * MARKETS * task.steps), MARKETS * task.steps
    run = experiment(task, "ippo", tmp_path, iterations=4, callbacks=(history, Anneal(1e-2, 1e-4)))
    first = exploitability(task.game, rollout(task.game, policies(run), task.steps).controls, task.steps)
    logged: dict[int, dict[str, float]] = {}
    monkeypatch.setattr(run.logger, "log", lambda numbers, step: logged.setdefault(step, {}).update(numbers))
    run.run()
    last = history.measure(run.total_frames)
    assert [each[0] for each in history.values] == [0, 2 * frames, 4 * frames]
    assert history.values[0][1] == pytest.approx(first.relative, rel=1e-6)
    assert last == pytest.approx(
        exploitability(task.game, rollout(task.game, policies(run), task.steps).controls, task.steps).relative, rel=1e-6
    )
    played = rollout(task.game, policies(run), task.steps).controls
    frames_done, standing = history.standings[-1]
    assert (frames_done, standing.relative_nash_conv) == history.values[-1]
    gains = exploitability(task.game, played, task.steps).gains
    np.testing.assert_allclose([each.gain for each in standing.agents.values()], gains, rtol=1e-6)
    payoffs = simulate(task.game, played, task.steps).payoffs
    np.testing.assert_allclose([each.payoff for each in standing.agents.values()], payoffs, rtol=1e-12)
    gaps = payoffs - solve(task.game, task.steps).payoffs
    np.testing.assert_allclose([each.gap for each in standing.agents.values()], gaps, rtol=1e-6)
    shown = {step: numbers["gap/maker_1"] for step, numbers in logged.items() if "gap/maker_1" in numbers}
    assert shown == {2 * i: each.agents["maker_1"].gap for i, (_, each) in enumerate(history.standings[:-1])}
    rate = run.optimizers["maker"]["loss_objective"].param_groups[0]["lr"]
    assert rate == pytest.approx(1e-2 * (1e-2) ** (3 / 4))


def test_random_markets_are_learned_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents who see what is drawn, each in the equilibria of all markets; ``score`` says the same."""
    monkeypatch.setattr("makertaker.training.task.MARKETS", 3)
    random = RandomMarkets(load_scenario("acas"), {"competition.gamma": LogUniform(0.5, 2.0)}, STEPS)
    task, history = MarketTask(random, observation="time", context=True), NashConvHistory(every=10**9)
    run = experiment(task, "ippo", tmp_path, iterations=2, callbacks=(history,))
    run.run()
    last = history.measure(run.total_frames)
    assert last != history.values[0][1]
    found = score(task.market(), policies(run), draws=3)
    assert found.relative_nash_conv == pytest.approx(last, rel=1e-6)


def test_ippo_learns(tmp_path: Path) -> None:
    """Ten thousand joint steps take relative NashConv below a tenth of what it was; measured: 70% to below 2%."""
    task, history = MarketTask("acas", observation="time"), NashConvHistory(every=10**9)
    changes: dict[str, Any] = {"lmbda": 1.0, "use_tanh_normal": False, "scale_mapping": "biased_softplus_1.8"}
    changes |= {"on_policy_n_minibatch_iters": 5, "on_policy_minibatch_size": 640}
    changes |= {"iterations": 12, "markets": 64, "cells": (64, 64), "callbacks": (history, Anneal(5e-3, 1e-3))}
    run = experiment(task, "ippo", tmp_path, **changes)
    run.run()
    assert history.measure(run.total_frames) < 0.1 * history.values[0][1]


def test_reload(tmp_path: Path) -> None:
    """A checkpoint holds the task: the reloaded experiment plays the same."""
    task = MarketTask("acas", steps=STEPS, observation="time")
    run = experiment(task, "ippo", tmp_path, checkpoint_at_end=True)
    run.run()
    file = next(run.folder_name.glob("checkpoints/*.pt"))
    again = Experiment.reload_from_file(str(file))
    assert again.task == task
    before, after = (rollout(task.game, policies(each), STEPS).controls for each in (run, again))
    np.testing.assert_array_equal(before.ask, after.ask)


def test_a_scenario_of_ones_own(tmp_path: Path) -> None:
    """Given by its file, which lends its name."""
    path = tmp_path / "mine.toml"
    path.write_text('description = "mine"\nsteps = 4\ntrader_inventory = [-3.0]\n')
    task = MarketTask(str(path), observation="time")
    assert (task.name, task.steps, task.game.trader_inventory) == ("mine", 4, (-3.0,))
    experiment(task, "ippo", tmp_path, iterations=1).run()


def test_arguments() -> None:
    with pytest.raises(ValueError, match=r"game: expected a game, a scenario, its name, .* got 3"):
        MarketTask(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps: expected a positive whole number, got -1"):
        MarketTask("acas", steps=-1)
    with pytest.raises(ValueError, match=r"unknown observation .*expected one of"):
        MarketTask("acas", observation="all")  # type: ignore[arg-type]
    for bad in ({"groups": "x"}, {"reward": "x"}, {"quote_range": (3.0, 1.0)}, {"control_units": "no"}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected"):
            MarketTask("acas", **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="continuous_actions: expected True"):
        MarketTask("acas").get_env_fun(1, False, None, "cpu")
    with pytest.raises(ValueError, match="every: expected a positive number of joint market steps, got 0"):
        NashConvHistory(0)
    with pytest.raises(ValueError, match="learning rates: expected two positive numbers"):
        Anneal(1e-3, 0.0)
    assert load_scenario("acas") == MarketTask("acas").game

"""Actors that remember: what they see, when they forget, and files of them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("safetensors")

from safetensors.numpy import load_file, save_file  # noqa: E402
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from makertaker.envs import State, draw_noise, read_scenario, rollout  # noqa: E402
from makertaker.envs.market import Market  # noqa: E402
from makertaker.training import cli, runs, score  # noqa: E402
from makertaker.training.common import actor_file, engines  # noqa: E402
from makertaker.training.common.actor import Actor, Gru, Layer, Lstm  # noqa: E402
from makertaker.training.common.joint_market import JointMarket, LearnedPolicy, RememberingPolicy  # noqa: E402
from makertaker.training.common.memory import Remembering, empty, pushed, shown  # noqa: E402
from makertaker.training.common.torch_layers import as_numbers  # noqa: E402
from makertaker.training.run_config import RunConfig, load_config, product  # noqa: E402
from support.learning import GAME, STEPS, learners  # noqa: E402
from support.run_folders import during_training, result_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("undrawn")

MARKET = Market(GAME, STEPS)
(WIDTH,) = MARKET.observation_space.shape
AGENT = "maker_0"


def actor(seed=0, *, history=1, unit=None, visible=7):
    """One with random weights that stays inside of its range."""
    rng, hidden = np.random.default_rng(seed), 4
    space, inputs = MARKET.action_space(AGENT), history * visible

    def drawn(*shape):
        return rng.normal(scale=0.3, size=shape).astype(np.float32).astype(float)

    rows = {Gru: 3, Lstm: 4}
    units = {}
    if unit is not None:
        size = rows[unit] * hidden
        units[unit.__name__.lower()] = unit(drawn(size, inputs), drawn(size, hidden), drawn(size), drawn(size))
        inputs = hidden
    layers = Layer(drawn(8, inputs), drawn(8)), Layer(drawn(2, 8), drawn(2))
    return Actor(WIDTH, visible, "tanh", True, space.low, space.high, layers, history=history, **units)


REMEMBERING = [{"history": 3}, {"unit": Gru}, {"unit": Lstm}, {"unit": Lstm, "history": 2}]


def policies(**kind):
    """Everyone's, of whom one remembers."""
    plain = {agent: LearnedPolicy(lambda seen: np.full((len(seen), 1), -0.4), MARKET, agent) for agent in GAME.agents}
    plain["maker_1"] = LearnedPolicy(lambda seen: np.full((len(seen), 2), 0.3), MARKET, "maker_1")
    return {**plain, AGENT: RememberingPolicy(actor(**kind), MARKET, AGENT)}


@pytest.mark.parametrize("history", [1, 2, 3, STEPS + 2])
def test_the_joint_market_stacks_as_the_library_does(history):
    """stable-baselines3's own stack of the observations of a market without a history."""
    names, batch = list(GAME.agents), 3
    markets = [
        JointMarket(Market(GAME, STEPS, batch=(batch,)), names, {}, seed=5, inventory_spread=1.0, history=each)
        for each in (1, history)
    ]
    stacks = {name: StackedObservations(batch, history, markets[0].observation_space) for name in names}
    rng, before = np.random.default_rng(1), markets[0].observations()
    expected = {name: stacks[name].reset(before[:, i]).copy() for i, name in enumerate(names)}
    for k in range(2 * STEPS + 1):
        found = markets[1].observations()
        assert found is markets[1].observations()  # looking twice does not move the window
        for i, name in enumerate(names):
            np.testing.assert_array_equal(found[:, i], expected[name])
            assert all(map(markets[1].observation_space.contains, found[:, i]))
        actions = {name: rng.normal(size=(batch, 1 if i == 0 else 2)) for i, name in enumerate(names)}
        for market in markets:
            market.play(actions)
        seen, ended = markets[0].observations(), k % STEPS == STEPS - 1
        if ended:
            last = markets[1].observations()
            markets[0].reset()
            markets[1].reset()
        for i, name in enumerate(names):
            infos = [{"terminal_observation": row} for row in seen[:, i]] if ended else [{}] * batch
            now = markets[0].observations()[:, i]
            expected[name], infos = stacks[name].update(now, np.full(batch, ended), infos)
            expected[name] = expected[name].copy()
            if ended:
                np.testing.assert_array_equal(last[:, i], [each["terminal_observation"] for each in infos])


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_the_last_observations_stand_side_by_side(library):
    seen = np.arange(24.0, dtype=np.float32).reshape(4, 2, 3) + 1
    earlier = library(empty((2,), 3, 3))
    rows = []
    for each in seen:
        stacked, earlier = pushed(earlier, library(each))
        rows.append(np.asarray(stacked))
    zeros = np.zeros((2, 3))
    np.testing.assert_array_equal(rows[0], np.concatenate([zeros, zeros, seen[0]], axis=-1))
    np.testing.assert_array_equal(rows[1], np.concatenate([zeros, seen[0], seen[1]], axis=-1))
    np.testing.assert_array_equal(rows[3], np.concatenate([seen[1], seen[2], seen[3]], axis=-1))
    np.testing.assert_array_equal(shown(library(rows[3]), 3, 2), np.concatenate(seen[1:, :, :2], axis=-1))
    np.testing.assert_array_equal(shown(library(rows[3]), 1, 2), rows[3][:, :2])


def test_an_lstm_is_that_of_torch():
    torch.manual_seed(0)
    library = torch.nn.LSTM(7, 4).double()
    unit = Lstm(*(as_numbers(getattr(library, f"{name}_l0")) for name in Lstm._fields))
    seen = torch.randn(6, 5, 7, dtype=torch.double)
    with torch.no_grad():
        expected, (hidden, cell) = library(seen)
    memory = np.zeros((5, unit.size))
    for k in range(6):
        found, memory = unit(seen[k].numpy(), memory)
        np.testing.assert_allclose(found, expected[k].numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(memory, torch.cat([hidden[0], cell[0]], dim=-1).numpy(), rtol=1e-12, atol=1e-14)


def test_a_history_is_of_the_last_visible_entries():
    """The plain actor of a stack that is written here by hand."""
    found, rng = actor(history=3), np.random.default_rng(2)
    episode, memory = rng.normal(size=(6, 4, WIDTH)), found.start(4)
    flat = replace(found, observations=21, visible=21, history=1)
    for k in range(6):
        rows = [episode[i, :, :7] if i >= 0 else np.zeros((4, 7)) for i in (k - 2, k - 1, k)]
        action, memory = found.step(episode[k], memory)
        np.testing.assert_array_equal(action, flat.act(np.concatenate(rows, axis=-1)))
    with pytest.raises(ValueError, match="without memory, got one with a history: it acts by `step`"):
        found.act(episode[0])


def test_a_history_of_one_is_the_plain_policy_bit_for_bit():
    plain = {**policies(), AGENT: LearnedPolicy(actor().act, MARKET, AGENT)}
    start = np.random.default_rng(0).normal(size=(6, len(GAME.agents)))
    start[:, 0] = -np.abs(start[:, 0])
    found, expected = (rollout(GAME, each, STEPS, inventories=start) for each in (policies(history=1), plain))
    np.testing.assert_array_equal(found.controls.ask, expected.controls.ask)
    np.testing.assert_array_equal(found.payoffs, expected.payoffs)
    assert not isinstance(actor().acting, Remembering)


@pytest.mark.parametrize("kind", REMEMBERING, ids=str)
def test_a_memory_is_carried_through_a_rollout_and_forgotten_at_its_end(kind):
    """Its actions are those of the actor asked along the same observations; a second rollout begins anew."""
    noise = draw_noise(GAME, STEPS, 4, seed=0, price=True)
    own = policies(**kind)
    first, second = (rollout(GAME, own, STEPS, noise) for _ in range(2))
    np.testing.assert_array_equal(first.controls.ask, second.controls.ask)
    states: list[State] = []

    def watch(k, state):
        states.append(state)
        return own["trader_0"](k, state)

    watched, alone = rollout(GAME, {**own, "trader_0": watch}, STEPS, noise), actor(**kind)
    memory, forgetful = alone.start(4), []
    for k, state in enumerate(states):
        seen = MARKET.observer.one(1, state)
        action, memory = alone.step(seen, memory)
        physical = MARKET.scale.physical_action(AGENT, action.astype(float))
        np.testing.assert_array_equal(physical[:, 0], watched.controls.ask[:, k, 0])
        forgetful.append(alone.step(seen, alone.start(4))[0])
    last = MARKET.scale.physical_action(AGENT, forgetful[-1].astype(float))
    assert np.abs(last[:, 0] - watched.controls.ask[:, -1, 0]).min() > 1e-3  # what was seen before matters


@pytest.mark.parametrize("kind", REMEMBERING, ids=str)
def test_batches_have_any_shape(kind):
    start = -1.0 - np.random.default_rng(0).random((3, 2, len(GAME.agents)))
    own = policies(**kind)
    together = rollout(GAME, own, STEPS, inventories=start)
    for at in np.ndindex(3, 2):
        alone = rollout(GAME, own, STEPS, inventories=start[at])
        np.testing.assert_allclose(together.controls.bid[at], alone.controls.bid, rtol=1e-6)


@pytest.mark.parametrize("shapes", [((4,), (2,)), ((4,), (4,)), ((), (1,))], ids=str)
def test_two_rollouts_at_once_are_refused(shapes):
    """Whichever batches they are of, none of them ends with the other's memory."""
    own = policies(history=2)
    starts = [np.broadcast_to(GAME.start, (*shape, len(GAME.agents))) for shape in shapes]

    def play_within(k, state):
        if k == 1 and state.inventories.shape == starts[0].shape and not inner:
            inner.append(True)
            rollout(GAME, own, STEPS, inventories=starts[1])
        return np.zeros((*state.inventories.shape[:-1], 1))

    inner = []
    with pytest.raises(ValueError, match=r"maker_0: its policy remembers one batch of markets from the first step on"):
        rollout(GAME, {**own, "trader_0": play_within}, STEPS, inventories=starts[0])


@pytest.mark.parametrize(("first", "steps"), [(2, STEPS), (0, 2 * STEPS)])
def test_it_is_asked_from_the_first_step_on_its_own_grid(first, steps):
    with pytest.raises(ValueError, match=r"expected step 0|its policy was made for 5 steps, expected one for 10"):
        rollout(GAME, policies(history=2), steps, first=first)


@pytest.mark.parametrize("kind", REMEMBERING, ids=str)
def test_files_keep_a_memory(kind, tmp_path):
    given, path = actor(**kind), tmp_path / "maker_0.safetensors"
    actor_file.write(given, path)
    read = actor_file.load(MARKET, AGENT, path)
    seen, memories = np.random.default_rng(3).normal(size=(4, 9, WIDTH)), [each.start(9) for each in (given, read)]
    for row in seen:
        (expected, memories[0]), (found, memories[1]) = (
            each.step(row, memory) for each, memory in zip((given, read), memories, strict=True)
        )
        np.testing.assert_array_equal(found, expected)
    assert isinstance(read.acting, Remembering)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": 2}, "expected arrays"),
        ({"history": 0}, r"`int` >= 1 - at `\$.history`"),
        ({"gru": 4}, r"expected one recurrent unit at most, got {'gru': 4, 'lstm': 4}"),
        ({"gru": 4, "lstm": 0}, "expected arrays"),
        ({"lstm": 10**30}, r"`int` <= 2147483648 - at `\$.lstm`"),
    ],
)
def test_damaged_memories_are_refused(changes, message, tmp_path):
    path = tmp_path / "maker_0.safetensors"
    actor_file.write(actor(unit=Lstm), path)
    with actor_file.safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["makertaker"])
    save_file(load_file(path), path, {"makertaker": json.dumps({**header, **changes})})
    with pytest.raises(ValueError, match=message):
        actor_file.read(path)


def test_files_from_before_there_was_a_history_are_read(tmp_path):
    path = tmp_path / "maker_0.safetensors"
    actor_file.write(actor(), path)
    with actor_file.safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["makertaker"])
    assert (header.pop("history"), header.pop("lstm")) == (1, 0)
    save_file(load_file(path), path, {"makertaker": json.dumps(header)})
    read, seen = actor_file.load(MARKET, AGENT, path), np.ones((2, WIDTH))
    assert not read.remembers
    np.testing.assert_array_equal(read.act(seen), actor().act(seen))


def config(name="execution-2", **changes):
    given = {"timesteps": 80, "markets": 4, "information": "full", "steps": 5, **changes}
    scenario = read_scenario(name)
    return RunConfig.of(
        scenario, given.pop("algorithm", "ppo"), given.pop("steps"), given.pop("engine", "sb3"), **given
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": 0}, "history: expected a positive whole number, got 0"),
        ({"history": 2.0}, "history: expected a positive whole number, got 2.0"),
        ({"history": 6}, "history: expected at most the 5 observations of an episode, got 6"),
        ({"memory": "gpt"}, r"unknown memory 'gpt': .*expected one of \['none', 'gru', 'lstm'\]"),
        ({"memory": None}, r"unknown memory None: .*expected one of \['none', 'gru', 'lstm'\]"),
        ({"memory": "gru"}, r"unknown memory 'gru' with engine 'sb3': .*expected one of \['none', 'lstm'\]"),
        ({"engine": "ray", "history": 2}, "history: expected 1 with engine 'ray', got 2"),
        ({"engine": "ray", "memory": "lstm"}, r"unknown memory 'lstm' with engine 'ray': .*expected one of \['none'\]"),
        ({"memory": "lstm", "history": 2}, "history: expected 1 with memory 'lstm', which remembers all of them"),
        ({"memory": "lstm", "algorithm": "sac"}, r"memory: expected 'lstm' with one of \['ppo'\], got .* 'sac'"),
        ({"information": "time", "history": 2}, "history: expected 1 with information 'time', which shows nothing to"),
        ({"information": "time", "memory": "lstm"}, "memory: expected 'none' with information 'time', which shows"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as raised:
        config(**changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": STEPS + 1, "information": "own"}, "history: expected at most the 5 observations"),
        ({"history": 2}, "history: expected 1 with information 'time'"),
        ({"history": 0, "information": "own"}, "history: expected a positive whole number"),
        ({"memory": "gru", "information": "own"}, "memory: expected 'lstm' with one of"),
        ({"memory": "x", "information": "own"}, r"unknown memory 'x': expected one of \['none', 'gru', 'lstm'\]"),
    ],
)
def test_learners_refuse_the_same(changes, message):
    with pytest.raises(ValueError, match=message):
        learners(**changes)


def test_engines_that_do_not_remember_are_asked_as_before():
    """Their learners take no such arguments."""
    assert [name for name, each in engines.ENGINES.items() if each.remembers] == ["sb3", "jax"]


def test_a_factor_is_worth_remembering():
    assert config("execution-signal", information="time", history=2).history == 2


def test_a_configuration_from_before_there_was_a_memory_loads(tmp_path):
    document = config().document()
    del document["history"], document["memory"]
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert load_config(tmp_path) == config()


WITHOUT_LIBRARY = """
import sys
from makertaker.training.cli import app
app(["evaluate", sys.argv[1], "--json"], standalone_mode=False)
app(["report", sys.argv[1]], standalone_mode=False)
found = {"torch", "stable_baselines3", "sb3_contrib", "cloudpickle"} & set(sys.modules)
assert not found, found
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"history": 3}, "the last 3 observations", id="history"),
        pytest.param({"memory": "lstm"}, "with a memory (lstm)", id="lstm", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_evaluated_and_reported_without_the_libraries(changes, said, tmp_path):
    metrics = runs.train(config(**changes), tmp_path / "run").metrics
    assert metrics["memory"].startswith("policies remember what they saw")
    assert metrics["exploitability_against"].endswith("(lower bound)")
    assert "exploitability_bounds" not in metrics
    assert metrics["feedback"]["reactions"] == {}
    assert load_config(tmp_path / "run") == config(**changes)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARY, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert json.JSONDecoder().raw_decode(done.stdout)[0] == metrics
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "Policies remember what they saw" in page


def test_policies_of_a_run_are_scored_in_an_environment(tmp_path):
    from makertaker.envs import execution_v0

    metrics = runs.train(config(history=2), tmp_path / "run").metrics
    found = score(execution_v0.parallel_env(steps=5), runs.load_policies(tmp_path / "run"))
    assert found.nash_conv == pytest.approx(metrics["nash_conv"], rel=1e-9)
    assert any(note.startswith("policies remember") for note in found.notes)


@pytest.mark.parametrize(
    "changes", [{"history": 2, "algorithm": "trader_0=ppo,trader_1=sac"}, {"memory": "lstm"}], ids=str
)
def test_an_interrupted_run_goes_on_to_the_same_end(changes, tmp_path, monkeypatch):
    asked = config(**changes, timesteps=120, checkpoints=6)
    runs.train(asked, tmp_path / "straight")

    def interrupt():
        raise KeyboardInterrupt

    during_training(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(asked, tmp_path / "run")
    assert runs.load_circumstances(tmp_path / "run")["joint_market_steps"] < 120
    runs.resume(tmp_path / "run")
    assert result_of(tmp_path / "run") == result_of(tmp_path / "straight")


def test_sweeps_are_of_trainings_with_a_memory():
    given = {"information": "own", "history": 3, "memory": "none", "timesteps": 80}
    found = product([read_scenario("execution-2")], ["ppo", "sac"], range(2), 5, hyperparameters={}, **given)
    assert [(each.history, each.memory) for each in found] == [(3, "none")] * 4


def test_the_command_takes_a_memory(tmp_path):
    arguments = [
        "--steps",
        "5",
        "--markets",
        "4",
        "--timesteps",
        "40",
        "--information",
        "own",
        "--out",
        str(tmp_path / "run"),
    ]
    for asked in (["--history", "2"], ["--memory", "lstm", "--overwrite"]):
        done = CliRunner().invoke(cli.app, ["train", "execution-2", *arguments, *asked], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found = load_config(tmp_path / "run")
        assert {"--history": str(found.history), "--memory": found.memory}[asked[0]] == asked[1]

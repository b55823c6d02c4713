"""Actors as numbers: what they do is what the libraries' networks do, and files of them say what they are."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("safetensors")

from safetensors.numpy import load_file, save_file  # noqa: E402

from makertaker.envs.market import Market  # noqa: E402
from makertaker.training import runs  # noqa: E402
from makertaker.training.common import actor_file, ranges  # noqa: E402
from makertaker.training.common.actor import ACTIVATIONS, Actor, Gru, Layer  # noqa: E402
from makertaker.training.common.torch_layers import as_numbers  # noqa: E402
from makertaker.training.sb3.actor import mean  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS  # noqa: E402
from makertaker.training.sb3.prefix_policies import PrefixActorCriticPolicy  # noqa: E402
from support.learning import GAME, STEPS, learners  # noqa: E402
from support.run_folders import config, contents  # noqa: E402

MARKET = Market(GAME, STEPS)
SEEN = np.random.default_rng(0).normal(scale=2.0, size=(200, *MARKET.observation_space.shape)).astype(np.float32)


def trained(algorithm, **network):
    """Learners whose actions are far apart, most of them to the ends of their ranges."""
    given = replace(ALGORITHMS[algorithm], network={**ALGORITHMS[algorithm].network, **network})
    made = learners(algorithm=given, information="own")
    with torch.no_grad():
        for model in made.models.values():
            for each in model.policy.parameters():
                each.mul_(4.0).add_(0.3)
    return made


@pytest.mark.parametrize(
    ("algorithm", "network"),
    [
        *((algorithm, {}) for algorithm in ALGORITHMS),
        *(("ppo", {"activation_fn": name, "net_arch": [8, 16]}) for name in ranges.ACTIVATIONS),
        *((algorithm, {"net_arch": []}) for algorithm in ("a2c", "td3", "ddpg")),
        ("sac", {"net_arch": {"pi": [8], "qf": [4, 4]}}),
    ],
    ids=str,
)
def test_an_actor_from_its_file_acts_as_the_library_does(algorithm, network, tmp_path):
    made = trained(algorithm, **network)
    made.save_models(tmp_path)
    ends = []
    for agent, model in made.models.items():
        read = actor_file.load(MARKET, agent, tmp_path / f"{agent}.safetensors")
        expected, found = mean(model, SEEN), read.act(SEEN)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        scale = model.action_space.high.max()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-5 * scale)  # single precision
        np.testing.assert_array_equal(found, made.numbers()[agent].act(SEEN))
        ends.append(np.abs(found).max() / scale)
    assert max(ends) > 0.5


def test_functions_between_layers_are_those_that_hyperparameters_name():
    assert ACTIVATIONS.keys() == ranges.ACTIVATIONS.keys()
    x = np.linspace(-30, 30, 601)
    for name, function in ACTIVATIONS.items():
        expected = getattr(torch.nn, ranges.ACTIVATIONS[name])()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(function(x), expected, rtol=1e-12, atol=1e-14)


def recurrent():
    """An actor behind PyTorch's own recurrent unit, and that unit."""
    torch.manual_seed(0)
    cell, head = torch.nn.GRUCell(3, 4), torch.nn.Linear(4, 2)
    gru = Gru(*(as_numbers(getattr(cell, name)) for name in Gru._fields))
    layers = (Layer(as_numbers(head.weight), as_numbers(head.bias)),)
    space = MARKET.action_space("maker_0")
    return Actor(len(SEEN[0]), 3, "tanh", True, space.low, space.high, layers, gru), cell, head


def test_an_actor_with_a_memory_is_written_and_read(tmp_path):
    actor, cell, head = recurrent()
    actor_file.write(actor, tmp_path / "maker_0.safetensors")
    read = actor_file.read(tmp_path / "maker_0.safetensors")
    memory, hidden = read.start(len(SEEN)), torch.zeros(len(SEEN), 4)
    for k in range(3):
        seen = SEEN + k
        action, memory = read.step(seen, memory)
        with torch.no_grad():
            hidden = cell(torch.from_numpy(seen[:, :3]), hidden)
            expected = torch.tanh(head(hidden)).numpy() * actor.high  # its range is symmetric
        np.testing.assert_allclose(memory, hidden.numpy(), atol=1e-6)
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="one with a GRU: it acts by `step`"):
        read.act(SEEN)


def test_a_step_without_memory_is_the_action():
    actor = learners().numbers()["maker_0"]
    action, memory = actor.step(SEEN, actor.start(len(SEEN)))
    np.testing.assert_array_equal(action, actor.act(SEEN))
    assert memory.shape == (len(SEEN), 0)


def changed_header(**changes):
    def change(path, header, arrays):
        save_file(arrays, path, {"makertaker": json.dumps({**header, **changes})})

    return change


def changed_arrays(change):
    return lambda path, header, arrays: save_file(change(arrays), path, {"makertaker": json.dumps(header)})


def of_type(kind):
    """One array of a type; the rest of a header is right."""

    def change(path, header, _):
        size = 1 if kind.startswith("F8") else 2
        low = {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * size]}
        written = json.dumps({"__metadata__": {"makertaker": json.dumps(header)}, "low": low}).encode()
        path.write_bytes(len(written).to_bytes(8, "little") + written + bytes(2 * size))

    return change


def without(name):
    return changed_arrays(lambda arrays: {key: value for key, value in arrays.items() if key != name})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, *_: path.write_bytes(b""), "no file of numbers"),
        (of_type("F8_E4M3"), "arrays of F32, .* got {'low': 'F8_E4M3'}"),  # NumPy has none
        (of_type("BF16"), "arrays of F32, .* got {'low': 'BF16'}"),
        (lambda path, *_: path.write_bytes(path.read_bytes()[:-1]), "no file of numbers"),
        (lambda path, *_: path.write_bytes(pickle.dumps({"weight": 1.0})), "no file of numbers"),
        (lambda path, _, arrays: save_file(arrays, path), "expected an entry 'makertaker'"),
        (lambda path, _, arrays: save_file(arrays, path, {"makertaker": "{"}), "Expecting property name"),
        (lambda path, _, arrays: save_file(arrays, path, {"makertaker": "[" * 100_000}), "no file of numbers"),
        (lambda path, _, arrays: save_file(arrays, path, {"makertaker": "[]"}), "Expected `object`, got `array`"),
        (changed_header(format=2), r"later version: expected format 1, got 2"),
        (changed_header(format="1"), r"Expected `int`, got `str` - at `\$.format`"),
        (changed_header(visible=True), r"Expected `int`, got `bool` - at `\$.visible`"),
        (changed_header(visible=0), r"`int` >= 1 - at `\$.visible`"),
        (changed_header(visible=2), "expected arrays"),
        (changed_header(hidden=[64, 10**30]), r"`int` <= 2147483648 - at `\$.hidden\[1\]`"),
        (changed_header(hidden=[64] * 3), "expected arrays"),
        (changed_header(activation="exec"), r"Invalid enum value 'exec' - at `\$.activation`"),
        (changed_header(gru=64), "expected arrays"),
        (changed_header(observations=12), "not those of the game"),
        (changed_header(code="import os"), "unknown field `code`"),
        (without("high"), "expected arrays"),
        (changed_arrays(lambda arrays: {**arrays, "more": arrays["low"]}), "expected arrays"),
        (changed_arrays(lambda arrays: {**arrays, "low": arrays["low"] * np.nan}), "low: expected finite"),
        (
            changed_arrays(lambda arrays: {**arrays, "low": arrays["low"].astype(float)}),
            "arrays of F32, .* got {'low': 'F64'}",
        ),
        (changed_arrays(lambda arrays: {**arrays, "low": arrays["low"] * 2}), "not those of the game"),
    ],
)
def test_damaged_files_are_refused_in_one_line(damage, message, tmp_path):
    path = tmp_path / "maker_0.safetensors"
    actor_file.write(learners().numbers()["maker_0"], path)
    with actor_file.safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["makertaker"])
    damage(path, header, load_file(path))
    with pytest.raises(ValueError, match=message) as raised:
        actor_file.load(MARKET, "maker_0", path)
    assert "\n" not in str(raised.value)


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    path = tmp_path / "maker_0.safetensors"
    actor = learners().numbers()["maker_0"]
    actor_file.write(actor, path)
    before = path.read_bytes()
    actor.layers[0].bias[0] = np.nan
    with pytest.raises(FloatingPointError, match=r"maker_0.safetensors: layers.0.bias is not finite"):
        actor_file.write(actor, path)
    assert path.read_bytes() == before


WITHOUT_LIBRARY = """
import sys
from makertaker.training.cli import app
app(["evaluate", sys.argv[1], "--json"], standalone_mode=False)
app(["report", sys.argv[1]], standalone_mode=False)
found = {"torch", "stable_baselines3", "sb3_contrib", "cloudpickle"} & set(sys.modules)
assert not found, found
"""


def test_a_run_is_evaluated_and_reported_without_the_libraries_that_learn(run):
    before = (run / "metrics.json").read_bytes()
    done = subprocess.run([sys.executable, "-c", WITHOUT_LIBRARY, str(run)], capture_output=True, text=True, check=True)
    assert json.JSONDecoder().raw_decode(done.stdout)[0] == json.loads(before)
    assert (run / "metrics.json").read_bytes() == before
    assert "NashConv" in (run / "report.html").read_text(encoding="utf-8")


def test_a_killed_run_is_evaluated_from_the_numbers_in_its_checkpoint(run):
    before = (run / "metrics.json").read_bytes()
    (run / "run.json").unlink()
    for path in [*run.glob("*/*.zip"), *run.glob("models/*")]:
        path.unlink(missing_ok=True)
    runs.evaluate_run(run)
    assert (run / "metrics.json").read_bytes() == before


class Own(PrefixActorCriticPolicy):
    """A user's own: who knows what it does."""


def test_a_policy_of_the_users_own_needs_trust(tmp_path, monkeypatch):
    monkeypatch.setitem(ALGORITHMS, "ppo", replace(ALGORITHMS["ppo"], policy=Own))
    metrics = runs.train(config(), tmp_path / "run").metrics
    assert not [*(tmp_path / "run").rglob("*.safetensors")]
    before = contents(tmp_path / "run")
    for act in (runs.evaluate_run, runs.write_report, runs.load_policies):
        with pytest.raises(ValueError, match=r"a policy of your own, .* --trust \(trust=True\)") as raised:
            act(tmp_path / "run")
        assert "\n" not in str(raised.value)
        assert contents(tmp_path / "run") == before
    assert runs.evaluate_run(tmp_path / "run", trust=True).metrics == metrics

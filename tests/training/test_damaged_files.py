"""Files of a run with anything else in them: one line, which names the file."""

import copy
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.training import runs
from support.run_folders import contents

HUGE, NAN = 10**400, float("nan")
"""beyond every float, and what standard JSON does not have"""
MISSING = object()
TEXT = [1, True, [], {}]
TRUTH = [1, "true", [], {}]
WHOLE = ["12", True, [], {}, 2.5, NAN]
COUNT = [*WHOLE, None, -1, HUGE]
NUMBER = ["12", True, None, [], {}]
LIST = ["12", True, None, 3, {"a": 1}]
TABLE = ["12", True, None, 3, [["a", 1]]]
CIRCUMSTANCES = {
    "finished": [*TEXT, None, MISSING],
    "seconds": [*NUMBER, NAN, -1.0, HUGE, MISSING],
    "joint_market_steps": [*COUNT, MISSING],
    "versions": [*TABLE, MISSING],
    "versions.numpy": [*TEXT, None],
    "commit": [*TEXT, MISSING],
    "dirty": [*TRUTH, MISSING],
    "processor": [*TEXT, None, MISSING],
    "cores": [*WHOLE, MISSING],
    "complete": [*TRUTH, None],
}
ENTRIES = {
    "config.json": {
        "format": [*COUNT, 2],
        "scenario": [*TEXT, None, MISSING],
        "algorithm": [*TEXT, None, "dqn"],
        "timesteps": [*COUNT, 0],
        "steps": [*COUNT, 0],
        "seed": COUNT,
        "checkpoints": [*COUNT, 0],
        "runners": [*COUNT, 1],
        "markets": [*WHOLE, -1, 0, HUGE],
        "information": [*TEXT, None, "all"],
        "engine": [*TEXT, None, "tpu"],
        "values": [*TABLE, MISSING],
        "hyperparameters": TABLE,
        "hyperparameters.ppo": TABLE,
        "hyperparameters.ppo.gamma": [*NUMBER, NAN, HUGE, -1, 1.5],
        "hyperparameters.ppo.net_arch": [*LIST, [0], [2.5], ["8"]],
        "hyperparameters.ppo.activation_fn": [*TEXT, None, "exec"],
        "hyperparameters.ppo.code": ["import os"],
        "code": ["import os", None],
    },
    "run.json": CIRCUMSTANCES,
    "checkpoint/record.json": {
        "steps_done": [*WHOLE, None, MISSING],
        "extra": [*TABLE, MISSING],
        "extra.history": [*LIST, [], [[1]], [[1, 2.0, 3.0, 4.0]], MISSING],
        "extra.history.0": LIST,
        "extra.history.0.0": [*WHOLE, None, HUGE],
        "extra.history.0.1": [*NUMBER, HUGE],
        "extra.seconds": [*NUMBER, HUGE, MISSING],
        "extra.circumstances": [*TABLE, MISSING],
        **{f"extra.circumstances.{name}": values for name, values in CIRCUMSTANCES.items()},
    },
}
WHOLES = [
    *(b"", b"{", b"null", b"[]", b'[["format", 1]]', b"3", b'"text"', b"NaN", b'{"a":' * 100_000, b"[" * 100_000),
    *(b"\xff\xfe{", b"\xe9", b"\x00", b"PK\x03\x04", b"cos\nsystem\n(S'exit 1'\ntR."),
]


def changed(document, place, value):
    """A document with another value in a place, or without it."""
    result = copy.deepcopy(document)
    *path, last = (int(each) if each.isdigit() else each for each in place.split("."))
    at = result
    for each in path:
        at = at[each]
    if value is MISSING:
        del at[last]
    else:
        at[last] = value
    return result


def kill(run, file):
    """A run that was killed is evaluated from its checkpoint."""
    if file.startswith("checkpoint"):
        (run / "run.json").unlink()


def assert_refused(run, file, message=""):
    """By whoever reads it, in one line."""
    before = contents(run)
    for act in (runs.load_policies, runs.evaluate_run):
        with pytest.raises(ValueError, match="run: ") as raised:
            act(run)
        said = str(raised.value)
        assert file.partition("/")[0] in said, said
        assert message in said
        assert "\n" not in said
    assert contents(run) == before


@pytest.mark.parametrize(("file", "place"), [(file, place) for file, entries in ENTRIES.items() for place in entries])
def test_an_entry_of_another_kind_is_refused(run, file, place):
    kill(run, file)
    document = json.loads((run / file).read_text(encoding="utf-8"))
    for value in ENTRIES[file][place]:
        (run / file).write_text(json.dumps(changed(document, place, value)), encoding="utf-8")
        try:
            assert_refused(run, file)
        except BaseException as error:
            raise AssertionError(f"{file}: {place} = {'missing' if value is MISSING else str(value)[:20]}") from error


@pytest.mark.parametrize("file", [*ENTRIES, "history.csv"])
def test_a_file_of_something_else_is_refused(run, file):
    kill(run, file)
    for content in WHOLES:
        (run / file).write_bytes(content)
        assert_refused(run, file)


@pytest.mark.parametrize(
    "rows", ["1,2", "1,2,3,4", "many,1,1", "1,,1", "nan,1,1", "inf,1,1", "0x1,1,1", "", '"1,1,1'], ids=repr
)
def test_a_history_of_something_else_is_refused(run, rows):
    header = "timesteps,nash_conv,relative_nash_conv"
    (run / "history.csv").write_text(f"{header}\n{rows}\n")
    assert_refused(run, "history.csv")


def test_a_history_without_its_header_is_refused(run):
    (run / "history.csv").write_text("1,2,3\n4,5,6\n")
    assert_refused(run, "history.csv", "expected columns ['timesteps', 'nash_conv', 'relative_nash_conv']")


def test_a_run_of_a_later_format_is_refused_by_its_number(run):
    document = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert next(iter(document.items())) == ("format", 1)
    (run / "config.json").write_text(json.dumps({**document, "format": 2, "news": 1}))
    assert_refused(run, "config.json", "a later version of makertaker wrote this run; expected at most 1, got 2")
    with pytest.raises(ValueError, match="a later version of makertaker"):
        runs.resume(run)


def test_a_run_from_before_there_was_a_format_is_read(run):
    metrics = (run / "metrics.json").read_bytes()
    document = json.loads((run / "config.json").read_text(encoding="utf-8"))
    del document["format"]
    (run / "config.json").write_text(json.dumps(document))
    runs.evaluate_run(run)
    assert (run / "metrics.json").read_bytes() == metrics

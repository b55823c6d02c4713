"""What people and files say to the command, changed at random: it works, or is refused by a ValueError.

Each kind is tried often with ``-m slow``. What was found is a case of the tests of what it concerns.
"""

import contextlib
import json
import shutil
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import EquilibriumNotFound
from makertaker.envs import read_scenario, scenario_names
from makertaker.training import runs
from makertaker.training.common.hyperparameter_options import read_hyperparameters
from makertaker.training.run_config import RunConfig
from makertaker.training.sb3.algorithms import ALGORITHMS
from support.run_folders import config

TEXTS = [
    resources.files("makertaker.envs.scenarios").joinpath(f"{name}.toml").read_text("utf-8")
    for name in scenario_names()
]
KEYS = (
    *("trader_inventory", "maker_inventory", "horizon", "steps", "game", "random", "description", "inventory_noise"),
    *("trader_running_penalty", "maker_running_penalty", "trader_terminal_penalty", "maker_terminal_penalty"),
    *("terminal_penalty", "running_penalty", "flow_from", "max_rate", "max_quote", "buy_flow", "sell_flow"),
    *("competition", "impact", "factor"),
)
INNER = (
    *("kind", "gamma", "beta", "rate", "floor", "offsets", "outside", "intensity", "quartic", "crowding", "points"),
    *("shape", "mean", "amplitude", "period", "phase", "scale", "decay", "constant", "slope", "low", "high"),
    *("mean_reversion", "volatility", "initial", "bound", "uniform", "choice", "log_uniform"),
)
WORDS = ("sine", "decay", "affine", "logistic", "softmax", "product", "best_quote", "softplus", "ornstein_uhlenbeck")
SCALARS = st.one_of(
    st.sampled_from(
        ("0", "1", "-1", "inf", "-inf", "nan", "true", "1e308", "5e-324", "9" * 400, "07:32:00", "[]", "{}")
    ),
    st.floats(-5, 5).map(repr),
    st.sampled_from(WORDS).map(json.dumps),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.dictionaries(st.sampled_from(INNER), inner, max_size=4).map(
            lambda table: f"{{{', '.join(f'{name} = {value}' for name, value in table.items())}}}"
        ),
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(INNER), VALUES).map(lambda e: f"{e[0]}.{e[1]} = {e[2]}"),
)
HYPERPARAMETERS = sorted({key for each in ALGORITHMS.values() for key in each.hyperparameters()})


@st.composite
def damaged(draw, contents):
    """Bytes of one of these contents with parts that are missing, doubled, or others."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 12))
        others = st.one_of(
            st.just(bytes(content[start:end]) * 2),
            st.binary(max_size=4),
            st.sampled_from((b"", b"[" * 2_000, b"{", b"null", b"NaN", b"-1", b"9" * 400, b"\n", b'"', b",", b"1e999")),
        )
        content[start:end] = draw(others)
        if draw(st.integers(0, 9)) == 0:
            del content[start:]
    return bytes(content)


@st.composite
def scenario_texts(draw):
    """A file that comes with the package with other lines; or some lines."""
    lines = draw(st.sampled_from(TEXTS)).splitlines() if draw(st.booleans()) else []
    for line in draw(st.lists(LINES, min_size=1, max_size=4)):
        place = draw(st.integers(0, len(lines)))
        lines[place : place + draw(st.integers(0, 1))] = [line]
    return "\n".join(lines).encode()


SCENARIOS = st.one_of(scenario_texts(), damaged(st.sampled_from(TEXTS).map(str.encode)))
FEW = settings(max_examples=150, deadline=10_000, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=5_000)


def works_or_is_refused(act, *arguments, also=()):
    with contextlib.suppress(ValueError, *also):
        act(*arguments)


def scenario(path, content):
    path.write_bytes(content)
    read_scenario(path)


def assignments(name, lines):
    read_scenario(name, [line.replace(" = ", "=", 1) for line in lines])


def hyperparameters(algorithm, tables):
    options = [f"{name}.{key}={value}" for name, key, value in tables]
    RunConfig.of(read_scenario("acas"), algorithm, 5, "sb3", hyperparameters=read_hyperparameters(options))


def hyperparameter_file(path, content):
    path.write_bytes(content)
    read_hyperparameters([str(path)])


NAMES = st.sampled_from((*ALGORITHMS, "trader_0", "maker_0", "", "x"))
PARTS = st.lists(st.tuples(st.sampled_from(("trader_0", "maker_1", "", "é")), NAMES).map("=".join), max_size=3)
ALGORITHM_TEXTS = st.one_of(NAMES, PARTS.map(",".join), st.text(max_size=5))
TABLES = st.lists(st.tuples(NAMES, st.sampled_from((*HYPERPARAMETERS, "policy", "")), VALUES), max_size=3)
TABLE_FILES = st.lists(st.tuples(NAMES, st.sampled_from(HYPERPARAMETERS), VALUES), max_size=3).map(
    lambda rows: "\n".join(f"[algorithm.{name}]\n{key} = {value}" for name, key, value in rows).encode()
)
KINDS = {
    "scenario": (scenario, (SCENARIOS,)),
    "assignments": (assignments, (st.sampled_from(scenario_names()), st.lists(LINES, min_size=1, max_size=3))),
    "hyperparameters": (hyperparameters, (ALGORITHM_TEXTS, TABLES)),
    "hyperparameter file": (hyperparameter_file, (st.one_of(TABLE_FILES, damaged(TABLE_FILES)),)),
}


def tried(kind, tmp_path, how):
    act, strategies = KINDS[kind]
    path = (tmp_path / "file.toml",) if "file" in kind or kind == "scenario" else ()
    how(given(st.tuples(*strategies))(lambda arguments: works_or_is_refused(act, *path, *arguments)))()


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_or_is_refused(kind, tmp_path):
    tried(kind, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_works_or_is_refused_often(kind, tmp_path):
    tried(kind, tmp_path, MANY)


FILES = ("config.json", "run.json", "history.csv", "metrics.json", "checkpoint/record.json")
BINARY = ("checkpoint/state.pkl", "checkpoint/trader_0.zip", "models/maker_0.zip")


@pytest.mark.slow
@pytest.mark.parametrize("act", [runs.evaluate_run, runs.write_report, runs.resume])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.usefixtures("undrawn")
def test_damaged_runs_are_read_or_refused(act, killed, tmp_path, undisturbed):
    """A file of a run; of one that was killed also its checkpoint speaks."""
    files = FILES + (BINARY if act is runs.resume else BINARY[2:])

    @settings(FEW, max_examples=300)
    @given(st.sampled_from(files).flatmap(lambda name: st.tuples(st.just(name), damaged(contents(name)))))
    def tried(damage):
        name, content = damage
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        run = shutil.copytree(undisturbed[0], tmp_path / "run")
        if killed:
            (run / "run.json").unlink()
        (run / name).write_bytes(content)
        works_or_is_refused(act, run, also=(EquilibriumNotFound,))

    def contents(name):
        return st.just((undisturbed[0] / name).read_bytes())

    assert runs.load_config(undisturbed[0]) == config()
    tried()

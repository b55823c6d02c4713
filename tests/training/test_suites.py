"""Suites of the benchmark: what they consist of, and files that are none."""

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("stable_baselines3")

from makertaker.training import many
from makertaker.training.benchmark import results, suites


def test_every_suite_is_one():
    """All trainings can be built, and equal ones of different suites have equal names."""
    found = {}
    for name in suites.read_suites():
        suite = suites.load_suite(name)
        for folder, training in suite.trainings.items():
            assert found.setdefault(folder, training).config == training.config
        cells = {}
        for training in suite.trainings.values():
            key = (training.market, training.learner, training.config.information, training.config.engine)
            cells.setdefault((*key, training.config.timesteps, training.config.steps), []).append(training.config.seed)
        off_policy = {"sac", "td3", "tqc"}
        assert all(len(seeds) >= (5 if key[1] in off_policy else 10) for key, seeds in cells.items())
        quick = suites.load_suite(name, quick=True)
        assert len(quick.trainings) <= 48
        if name == "learners":
            assert set(quick.trainings) < set(suite.trainings)
        else:
            assert {each.config.timesteps for each in quick.trainings.values()} == {8_000}


def test_an_order_is_shared():
    suite = suites.load_suite("agents")
    starts = {training.market: training.config.load().game.start for training in suite.trainings.values()}
    assert [len(start) for start in starts.values()] == [2, 5, 10, 20, 50, 100]
    for start in starts.values():
        np.testing.assert_allclose(start, -10 / len(start), rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nabout = 'x'", "suite 'a': expected a table with about and trainings"),
        ("a = 1", "suite 'a': expected a table"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'", "expected seeds in every table of trainings"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseed = 3", "unknown key 'seed' in trainings of"),
        ("[a]\nabout = 'x'\nalong = 'time'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3", "unknown along 'time'"),
        ("[a]\nabout = 'x'\nquick = {seed = 3}\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3", "unknown key 'seed'"),
        ("[a]\nabout = 'x'\ntrainings = [1]", r"expected tables \[\[a.trainings\]\]"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3\nset = ['a=1']", "a list of lists"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3\nset = 3", "set: expected list"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3\nalgorithm = 3", "algorithm: expected str"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = []\nseeds = 3", "scenario: expected str"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3\nengine = {a = 1}", "engine: expected str"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3\nalone = 'yes'", "alone: expected bool"),
        ("['../a']\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 3", "expected a name of letters"),
        ("[runs]\nabout = 'x'\n[[runs.trainings]]\nscenario = 'acas'\nseeds = 3", "not 'runs'|other than 'runs'"),
        ("[a", "cannot be read"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acsa'\nseeds = 3", "acas"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'makers-only'\nseeds = 3\ntraders = 2", "that has some"),
        ("[a]\nabout = 'x'\n[[a.trainings]]\nscenario = 'acas'\nseeds = 0", "seeds: expected"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(tmp_path, text, said):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        suites.load_suite("a", tmp_path / "own.toml")


def test_trainings_that_differ_in_settings_are_different_ones(tmp_path):
    """Hyperparameters and markets at once; and grids, where no figure is along them."""
    (tmp_path / "own.toml").write_text("""
[a]
about = "x"

[[a.trainings]]
scenario = "acas"
steps = [4, 5]
seeds = 1

[[a.trainings]]
scenario = "acas"
steps = 5
hyperparameters = { ppo = { learning_rate = 0.01 } }
seeds = 1

[[a.trainings]]
scenario = "acas"
steps = 5
markets = [4, 8]
seeds = 1
""")
    suite = suites.load_suite("a", tmp_path / "own.toml")
    assert len(suite.trainings) == 5
    assert len({results.learner_name(suite, each) for each in suite.trainings.values()}) == 5


def test_marl_eval_has_every_number_along():
    suite = suites.load_suite("steps")
    written = {"circumstances": {"seconds": 1.0}, "history": np.array([[10, 1.0, 0.5]])}
    rows = [many.Row(name, each.config, {"relative_nash_conv": 0.5}) for name, each in suite.trainings.items()]
    document = results.marl_eval(suite, rows, {row.name: written for row in rows})["makertaker"]
    assert list(document) == [f"acas, steps {steps}" for steps in (5, 10, 20, 50, 100, 200)]
    assert sum(len(seeds) for each in document.values() for seeds in each.values()) == len(rows)

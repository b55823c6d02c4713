"""The reference: every public name is there, says what it is, and has an example that runs."""

import doctest
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "hooks" / "reference.py"
SPEC = importlib.util.spec_from_file_location("reference", PATH)
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)

SYMBOLS = [each for package in reference.PACKAGES for each in reference.symbols(package)]
NEEDS = {
    "benchmarl_callbacks": "benchmarl",
    "benchmarl_task": "benchmarl",
    "gymnax_env": "jax",
    "gymnax_envs": "jax",
    "jax.learners": "optax",
    "jax.scores": "jax",
    "jax_env": "jax",
    "jaxmarl_env": "jax",
    "render": "matplotlib",
    "rllib": "ray",
    "runs": "stable_baselines3",
    "sb3.algorithms": "stable_baselines3",
    "sweep": "ray",  # as its tests: it starts processes
    "torchrl_env": "torchrl",
}
"""the libraries that modules need"""
LEARNING = {"Algorithm", "IndependentLearners", "MarketVecEnv"}
"""what ``makertaker.training`` exports of its learners"""


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda each: each.identifier)
def test_an_example_runs(symbol, tmp_path, monkeypatch):
    """And prints what stands there."""
    needed = "stable_baselines3" if symbol.name in LEARNING else NEEDS.get(symbol.module)
    if needed is not None:
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)  # libraries leave folders of their logs
    found = doctest.DocTestParser().get_doctest(reference.docstring(symbol), {}, symbol.identifier, symbol.page, 0)
    assert found.examples
    assert "Examples:" in reference.docstring(symbol)  # the heading below which the site shows code
    assert not doctest.DocTestRunner(verbose=False).run(found).failed


def test_file_systems_that_fold_cases_hold_all_pages():
    pages = [page.lower() for page in reference.pages()]
    assert len(pages) == len(set(pages)) == len(SYMBOLS) + len(reference.PACKAGES)


def test_tables_say_what_each_is():
    assert not [each.identifier for each in SYMBOLS if len(reference.summary(each)) < 10]


@pytest.mark.parametrize("environment", reference.ENVIRONMENTS)
def test_an_environment_is_played_as_its_page_shows(environment):
    names = {}
    exec(reference.usage(environment), names)
    assert not names["env"].agents
    assert all(names["terminations"].values())

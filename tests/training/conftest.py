"""Run directories."""

import shutil

import pytest

from support.figures import Drawn


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Run directories by seed, for all files."""
    from makertaker.training import runs
    from support.run_folders import config

    folders = {seed: tmp_path_factory.mktemp("trained") / "run" for seed in (0, 1)}
    for seed, folder in folders.items():
        runs.train(config(seed), folder)
    return folders


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """The same, for a file of tests."""
    folders = {seed: tmp_path_factory.mktemp("undisturbed") / "run" for seed in trained}
    for seed, folder in folders.items():
        shutil.copytree(trained[seed], folder)
    return folders


@pytest.fixture
def finished(undisturbed):
    """What undisturbed trainings write, by seed."""
    from support.run_folders import result_of

    return {seed: result_of(folder) for seed, folder in undisturbed.items()}


@pytest.fixture
def run(tmp_path, undisturbed):
    """A finished run of seed 0."""
    return shutil.copytree(undisturbed[0], tmp_path / "run")


@pytest.fixture
def undrawn(monkeypatch):
    """No figures of runs, whose drawing takes longer than a short training."""
    plots = pytest.importorskip("makertaker.training.evaluation.plots")
    for name in ("comparison", "learning"):
        monkeypatch.setattr(plots, name, lambda *_: Drawn())

"""Modules by the names that documentation has given them: the contents may have moved, the imports work."""

from importlib import import_module

import pytest

HOMES = {
    "algorithms": ("stable_baselines3", "sb3.algorithms"),
    "benchmarl_callbacks": ("benchmarl", "benchmarl.callbacks"),
    "benchmarl_task": ("benchmarl", "benchmarl.task"),
    "information": ("numpy", "common.information"),
}


@pytest.mark.parametrize("name", HOMES)
def test_a_documented_module_offers_what_its_home_does(name):
    library, home = HOMES[name]
    pytest.importorskip(library)
    module, moved = (import_module(f"makertaker.training.{each}") for each in (name, home))
    assert set(module.__all__)
    shared = set(module.__all__) & set(vars(moved))
    assert shared
    assert all(getattr(module, each) is getattr(moved, each) for each in shared)

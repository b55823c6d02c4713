"""Equilibria that several files look at."""

import pytest

from makertaker.baselines import FieldOptions, solve
from makertaker.baselines.noise.equilibrium import DecouplingEquilibrium
from support.maker_taker_games import scenario_game

STEPS = 10


@pytest.fixture(scope="session")
def noisy() -> DecouplingEquilibrium:
    """The equilibrium of the approximation game on a coarse grid."""
    found = solve(scenario_game(), STEPS, field=FieldOptions(paths=2048))
    assert isinstance(found, DecouplingEquilibrium)
    return found

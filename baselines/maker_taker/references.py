"""Profiles to compare with in the maker-taker game: rules of thumb, and the makers' coalition."""

from __future__ import annotations

from collections.abc import Callable

from ...envs.game import Controls
from ...envs.grid import simulate
from ...envs.maker_taker_game import MakerTakerGame
from ...envs.noise import draw_noise
from ..equilibrium import Equilibrium
from ..errors import EquilibriumNotFound, NoOptimum
from ..heuristics import heuristic_profiles
from ..profiles import PATHS, Reference
from .coalition import coalition_from

COALITION = "makers' coalition"


def rules_of_thumb(
    game: MakerTakerGame, steps: int, equilibrium: Equilibrium, nash_conv: Callable[[Controls], float]
) -> dict[str, Reference]:
    """The table by name.

    Args:
        game: the game.
        steps: K.
        equilibrium: from which the search for the coalition's optimum starts.
        nash_conv: of schedules.
    """
    noise = draw_noise(game, steps, PATHS, seed=0)

    def reference(name: str, controls: Controls, note: str = "") -> Reference:
        payoffs = simulate(game, controls, steps, noise).payoffs
        try:
            gains: float | None = nash_conv(controls)
        except EquilibriumNotFound:
            gains = None
        return Reference(name, controls, payoffs if noise is None else payoffs.mean(axis=0), None, gains, note)

    table = {name: reference(name, each) for name, each in heuristic_profiles(game, steps).items()}
    try:
        coalition = coalition_from(game, equilibrium)
    except NoOptimum as error:
        return {**table, COALITION: Reference(COALITION, note=str(error))}
    return {**table, COALITION: reference(COALITION, coalition.controls, coalition.message)}

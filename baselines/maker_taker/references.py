"""Profiles to compare with in the maker-taker game: rules of thumb, and the makers' coalition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...envs import Controls, MakerTakerGame, draw_noise, simulate
from ...envs.arrays import Array
from ...envs.grid import agent_controls
from ..equilibrium import Equilibrium
from ..errors import EquilibriumNotFound, NoOptimum
from ..heuristics import constant_spread, random_controls, twap
from ..profiles import PATHS, Reference
from .coalition import coalition_from
from .response import respond_to_controls

COALITION = "makers' coalition"


def almgren_chriss(game: MakerTakerGame, steps: int) -> np.ndarray:
    """Each trader's optimal execution if quotes stayed at the constant spread and other traders at TWAP; rates
    (K, N).

    Examples:
        >>> from makertaker.baselines import almgren_chriss
        >>> from makertaker.envs import load_scenario
        >>> almgren_chriss(load_scenario("acas"), 4).round(2).ravel().tolist()
        [2.48, 2.26, 2.07, 1.9]
    """
    if not game.traders:
        return twap(game, steps)
    profile = Controls(twap(game, steps), *constant_spread(game, steps))
    responses = respond_to_controls(game, profile, steps, range(game.traders))
    own = [agent_controls(game, each, name) for each, name in zip(responses, game.agents, strict=False)]
    return np.concatenate(own, axis=-1)


def heuristic_profiles(game: MakerTakerGame, steps: int, seed: int = 0) -> dict[str, Controls]:
    """The profiles that reports of the maker-taker game compare with, by name.

    Examples:
        >>> from makertaker.baselines import heuristic_profiles
        >>> from makertaker.envs import load_scenario
        >>> list(heuristic_profiles(load_scenario("acas"), 20))
        ['TWAP, constant spread', 'Almgren-Chriss, constant spread', 'random']
    """
    quotes = constant_spread(game, steps)
    if not game.traders:
        return {
            "constant spread": Controls(twap(game, steps), *quotes),
            "random": random_controls(game, steps, seed),
        }
    return {
        "TWAP, constant spread": Controls(twap(game, steps), *quotes),
        "Almgren-Chriss, constant spread": Controls(almgren_chriss(game, steps), *quotes),
        "random": random_controls(game, steps, seed),
    }


def rules_of_thumb(
    game: MakerTakerGame, steps: int, equilibrium: Equilibrium, gains_of: Callable[[Controls], Array]
) -> dict[str, Reference]:
    """The table by name.

    Args:
        game: the game.
        steps: K.
        equilibrium: from which the search for the coalition's optimum starts.
        gains_of: everyone's gains (n,) from best responses to schedules.
    """
    reference = _evaluated(game, steps, gains_of)
    table = {name: reference(name, each, "") for name, each in heuristic_profiles(game, steps).items()}
    return {**table, COALITION: coalition_reference(game, steps, equilibrium, gains_of)}


def coalition_reference(
    game: MakerTakerGame, steps: int, equilibrium: Equilibrium, gains_of: Callable[[Controls], Array]
) -> Reference:
    """The makers' coalition, or the reason why there is none; arguments as of :func:`rules_of_thumb`."""
    try:
        coalition = coalition_from(game, equilibrium)
    except NoOptimum as error:
        return Reference(COALITION, note=str(error))
    return _evaluated(game, steps, gains_of)(COALITION, coalition.controls, coalition.message)


def _evaluated(
    game: MakerTakerGame, steps: int, gains_of: Callable[[Controls], Array]
) -> Callable[[str, Controls, str], Reference]:
    """A function of a profile's name, its controls and a note that gives its payoffs and NashConv."""
    noise = draw_noise(game, steps, PATHS, seed=0)

    def reference(name: str, controls: Controls, note: str) -> Reference:
        with np.errstate(over="ignore", invalid="ignore"):
            payoffs = simulate(game, controls, steps, noise).payoffs
        if not np.isfinite(payoffs).all():
            return Reference(name, controls, note="its payoffs are too large for floating point")
        try:
            gains: float | None = float(gains_of(controls).sum())
        except EquilibriumNotFound:
            gains = None
        return Reference(name, controls, payoffs if noise is None else payoffs.mean(axis=0), None, gains, note)

    return reference

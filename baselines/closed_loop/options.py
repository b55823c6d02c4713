"""How values of players who react are fitted: options, and what they are by default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import is_number
from ...envs.parameters import check_count
from ..noise.field import power_of_two
from ..noise.polynomials import Basis

REACH = 0.02
DEVIATIONS = 4.0
"""of the noise, that a tube holds"""
ENOUGH = 0.5
"""share of a step's stage games that have to be solved for a backward pass to go on"""
_DEGREES = {1: 6, 2: 6, 3: 5, 4: 4, 5: 4}
_OVERSAMPLING = 4


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Options of a backward induction.

    Args:
        degree: of the polynomials; by default 6 up to 2 state dimensions, 5 for 3, 4 up to 5, 3 above.
        points: stage games of every step, rounded up to a power of two; by default four or more for each coefficient.
        reach: half width of the tube at the start, as a part of each coordinate's characteristic size (an agent's
            inventory or its part of all volume, the factor's scale); None: 0.02, or what a solver chooses.
        paths: simulated where the game is random; even.
        seed: of the sample points and of the simulation.

    Raises:
        ValueError: an option is out of its range.
    """

    degree: int | None = None
    points: int | None = None
    reach: float | None = None
    paths: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("degree", 2), ("points", 2), ("paths", 2), ("seed", 0)):
            value = getattr(self, name)
            if value is not None or name not in ("degree", "points"):
                check_count(name, value, least=least)
        if self.paths % 2:
            raise ValueError(f"paths: expected an even number, got {self.paths}")
        if self.reach is not None and (not is_number(self.reach) or not 0 < self.reach < np.inf):
            raise ValueError(f"reach: expected a positive finite number or None, got {self.reach!r}")

    def degree_for(self, dimensions: int) -> int:
        """The degree in a state of so many dimensions."""
        return self.degree or _DEGREES.get(dimensions, 3)

    def points_for(self, basis: Basis) -> int:
        """The number of stage games of a step, a power of two."""
        return power_of_two(self.points or _OVERSAMPLING * len(basis.index))

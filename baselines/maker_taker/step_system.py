"""The maker-taker game one step at a time, for games with noise: (13)-(14) and (40)-(41)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ..noise.step_system import StepSystem, some_controls, some_markets
from .response import MakerDeviators, TraderDeviators
from .system import GameSystem, optimal_controls


class MakerTakerSteps(StepSystem):
    """The feedback maps of Theorems 3.9 and 5.4."""

    game: MakerTakerGame

    def _system(self, c: MakerTakerCoefficients, inventory: Array) -> GameSystem:
        return GameSystem(self.game, c, self.dt, inventory)

    def controls(self, c: MakerTakerCoefficients, inventory: Array, adjoint: Array) -> Controls:
        return optimal_controls(self.game, c, adjoint)

    def rates(self, c: MakerTakerCoefficients, inventory: Array, adjoint: Array) -> Array:
        return self._system(c, inventory).rates(adjoint)

    def jacobian(self, c: MakerTakerCoefficients, inventory: Array, adjoint: Array) -> Array:
        return self._system(c, inventory).jacobian(adjoint)

    def drift(self, c: MakerTakerCoefficients, rates: Array) -> float:
        return 0.0

    def in_role(self, c: MakerTakerCoefficients, controls: Controls, role: slice) -> _Role:
        return _Role(self, c, controls, role)


@dataclass(frozen=True)
class _Role:
    system: MakerTakerSteps
    c: MakerTakerCoefficients
    controls: Controls
    role: slice

    def _deviators(self, members: Array | slice) -> TraderDeviators | MakerDeviators:
        """States take the place of steps."""
        kind = TraderDeviators if self.role.start == 0 else MakerDeviators
        c, controls = some_markets(self.c, members), some_controls(self.controls, members)
        return kind(self.system.game, c, controls, self.system.dt, self.role)

    def rates(self, members: Array, adjoint: Array, held: Array) -> Array:
        return np.asarray(self._deviators(members).rates(adjoint.T[..., None])[..., 0].T)

    def slopes(self, members: Array, adjoint: Array) -> Array:
        return np.asarray(self._deviators(members).jacobian(adjoint.T[..., None])[..., 0, 0].T)

    def own(self, adjoint: Array, held: Array) -> Controls:
        return self._deviators(slice(None)).own(adjoint.T[..., None])

    def drift(self, rates: Array) -> float:
        return 0.0

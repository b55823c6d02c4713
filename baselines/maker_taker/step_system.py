"""The maker-taker game one step at a time, for games with noise: (13)-(14) and (40)-(41)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ..noise.step_system import AgentsInStep, StepSystem, some_controls, some_markets
from .peaks import better_control
from .response import Deviators, MakerDeviators, TraderDeviators
from .system import GameSystem, optimal_controls


class MakerTakerSteps(StepSystem[MakerTakerCoefficients]):
    """The feedback maps of Theorems 3.9 and 5.4."""

    game: MakerTakerGame

    @property
    def shares(self) -> Array:
        """Of a trader what it trades; of a maker its inventory, or its part of all volume where that is more."""
        game, c, own = self.game, self._coefficients, np.abs(self.game.start)
        traders, makers = own[: game.traders], own[game.traders :]
        flow = game.horizon * (c.buy_flow.mean() + c.sell_flow.mean())
        volume = traders @ (c.buy_weight + c.sell_weight) + flow
        return np.concatenate([traders, np.maximum(makers, volume / game.makers)])

    @property
    def price(self) -> float:
        """The margin: quotes and rates change at its scale."""
        return self.game.margin

    def everyone(self, c: MakerTakerCoefficients) -> _Everyone:
        return _Everyone(self, c)

    def in_role(self, c: MakerTakerCoefficients, controls: Controls, role: slice) -> _Role:
        return _Role(self, c, controls, role)

    def better_control(self, c: MakerTakerCoefficients, controls: Controls, adjoint: Array) -> str:
        return better_control(self.game, c, controls, controls, adjoint)


@dataclass(frozen=True)
class _Everyone(AgentsInStep):
    system: MakerTakerSteps
    c: MakerTakerCoefficients

    def _at(self, members: Array | slice) -> GameSystem:
        return GameSystem(self.system.game, some_markets(self.c, members), self.system.dt, self.system.game.start)

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        return self._at(members).rates(adjoint)

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        return self._at(members).jacobian(adjoint)

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return optimal_controls(self.system.game, self.c, adjoint)


@dataclass(frozen=True)
class _Role(AgentsInStep):
    system: MakerTakerSteps
    c: MakerTakerCoefficients
    played: Controls
    role: slice

    def _at(self, members: Array | slice) -> Deviators:
        """States take the place of steps."""
        kind = TraderDeviators if self.role.start < self.system.game.traders else MakerDeviators
        c, controls = some_markets(self.c, members), some_controls(self.played, members)
        game = self.system.game
        return kind(game, c, controls, self.system.dt, game.start, np.arange(self.role.start, self.role.stop))

    def rates(self, members: Array | slice, adjoint: Array, held: Array) -> Array:
        return self._at(members).rates(adjoint.T[..., None])[..., 0].T

    def jacobian(self, members: Array | slice, adjoint: Array) -> Array:
        slopes = self._at(members).jacobian(adjoint.T[..., None])[..., 0, 0].T
        return slopes[..., None] * np.eye(adjoint.shape[-1])

    def controls(self, adjoint: Array, held: Array) -> Controls:
        return self._at(slice(None)).own(adjoint.T[..., None])

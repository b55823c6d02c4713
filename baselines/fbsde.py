"""The forward-backward system of the grid game: Theorems 3.9 and 4.1 with the adjoint averaged over each step.

With ``r(y)`` the inventory rates that the optimal controls, (17) in the ACAS model, give at adjoints ``y``, the
step-averaged adjoints ``Y_k`` of an equilibrium solve

    Q_{k+1} = Q_k + dt r_k(Y_k),    p_K = -2 A Q_K,    p_k = p_{k+1} - phi_k dt (Q_k + Q_{k+1}),
    Y_k = p_{k+1} - 2 phi_k dt (Q_k / 6 + Q_{k+1} / 3),

the first-order condition of (13)-(14) integrated over the step; ``p_k`` is the adjoint at the node ``t_k``.

An agent who must liquidate has ``Q_K = 0`` and an unknown ``p_K``, the multiplier of this constraint on its own
controls. It is found by the method of multipliers: with ``p_K = m - 2 A Q_K`` for some ``A`` the system is of the kind
above, and ``m <- m - 2 A Q_K`` leads to ``Q_K = 0`` to rounding, faster the larger ``A``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ..envs.arrays import Array
from .penalties import Penalties as Penalties
from .sweep import solve_linear

STIFF = 30.0
"""penalty that stands in for an infinite one, in the curvature of impact costs: a multiplier's error falls by it"""


@dataclass
class System(Penalties, ABC):
    """A grid forward-backward system in ``n`` inventories over ``K`` steps, with any batch axes in front."""

    initial: Array
    """(..., n) inventories at the start"""
    unit: float | Array = field(default=1.0, kw_only=True)
    """(...,) size of adjoints, in currency per share, by which tolerances are measured where adjoints are smaller"""
    closing: Array | None = field(default=None, kw_only=True)
    """(..., n) True for agents who must liquidate; None: nobody"""

    @abstractmethod
    def rates(self, adjoints: Array) -> Array:
        """(..., K, n) inventory rates at step-averaged adjoints (..., K, n)."""

    @abstractmethod
    def jacobian(self, adjoints: Array) -> Array:
        """(..., K, n, n) derivatives of the rates in the adjoints of the same step."""

    def direction(self, adjoints: Array, defect: Array) -> Array:
        """(..., K, n) ``dY`` for which the residual, linearised at adjoints (..., K, n), changes by ``defect``.

        Raises LinAlgError where there is none.
        """
        return solve_linear(self, self.jacobian(adjoints), defect)

    @property
    def rounding(self) -> Array:
        """(...,) size of a residual that is rounding: penalties times inventories that are known to the last digit of
        those at the start."""
        weight = 2 * (self.terminal + self.dt * self.running.sum(axis=-2)).max(axis=-1)
        return np.asarray(8 * np.finfo(float).eps * weight * np.abs(self.initial).max(axis=-1))

    def close(self, size: Array) -> None:
        """Let agents liquidate whose terminal penalty is infinite: a finite one stands in for it.

        Args:
            size: (..., n) what a share is worth more per share that an agent trades more evenly, ``2 beta / T``.
        """
        closing = np.isinf(self.terminal)
        if closing.any():
            self.closing, self.multiplier = closing, np.zeros_like(self.terminal)
            self.terminal = np.where(closing, STIFF * size, self.terminal)

    def scaled(self, factor: Array) -> Self:
        """The system with all penalties multiplied by a factor, (...,); at zero its solution is ``Y = 0``."""
        result, factor = copy(self), np.asarray(factor)
        result.running = factor[..., None, None] * self.running
        result.terminal = factor[..., None] * self.terminal
        result.multiplier = factor[..., None] * self.multiplier
        return result


def inventories(system: System, rates: Array) -> Array:
    """(..., K+1, n) paths from rates (..., K, n)."""
    start = np.broadcast_to(system.initial, (*rates.shape[:-2], rates.shape[-1]))[..., None, :]
    return np.concatenate([start, start + system.dt * np.cumsum(rates, axis=-2)], axis=-2)


def node_adjoints(system: Penalties, paths: Array, drift: Array | None = None) -> Array:
    """``p_k`` at the nodes, (..., K+1, n), along inventories (..., K+1, n).

    Args:
        system: gives penalties and the length of a step.
        paths: of the inventories.
        drift: (..., K, 1) of the market price, in a game with permanent impact: the gain of a share held.
    """
    increments = system.running * system.dt * (paths[..., :-1, :] + paths[..., 1:, :])
    if drift is not None:
        increments = increments - system.dt * drift
    tail = np.cumsum(increments[..., ::-1, :], axis=-2)[..., ::-1, :]
    end = system.multiplier - 2 * system.terminal * paths[..., -1, :]
    return np.concatenate([end[..., None, :] - tail, end[..., None, :]], axis=-2)


def average_adjoints(system: Penalties, paths: Array, drift: Array | None = None) -> Array:
    """``Y_k``, the step averages that give controls, (..., K, n), along inventories (..., K+1, n)."""
    nodes = node_adjoints(system, paths, drift)
    before, after = paths[..., :-1, :], paths[..., 1:, :]
    average = nodes[..., 1:, :] - 2 * system.running * system.dt * (before / 6 + after / 3)
    return average if drift is None else average + system.dt / 2 * drift


def residual(system: System, adjoints: Array) -> Array:
    """The residual of the system's equation for ``Y``, (..., K, n); zero at a solution."""
    return adjoints - average_adjoints(system, inventories(system, system.rates(adjoints)))

"""Temporary price impact (Definition 3.2): a trader's costs beyond the quote for trading fast.

It has no memory: the cost of a rate lasts as long as the rate. Permanent impact, which the execution game has, is in
:class:`~makertaker.envs.ExecutionGame`; an impact that decays would be a state beside the price in
:func:`makertaker.envs.grid.advance`.

An impact is twice continuously differentiable and strongly convex in the trader's own rate, and its own curvature
outweighs the sum of the cross derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .arrays import Array, FloatArray, is_number, namespace
from .fixed_point import rising_root, target_jacobian
from .parameters import PerAgent, agent_step_means, as_number, assign, require

_CROWDED = "impact: expected a crowding in (-2, 2)"


class Impact(ABC):
    """Impact costs ``lambda^i(v)`` of all traders; ``beta`` is the array of coefficients (..., N) of a step.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Impact, QuadraticImpact
        >>> impact = QuadraticImpact(0.5)
        >>> isinstance(impact, Impact)
        True
        >>> impact.cost(np.array([2.0]), np.array([0.5])).tolist()
        [0.5]
    """

    beta: PerAgent
    coupled: ClassVar[bool] = False
    """True if a trader's costs depend on the others' rates"""
    proven: ClassVar[bool] = False
    """True where the conditions of Definition 3.2 hold by the formula; otherwise they are at best probed"""

    def validate(self, horizon: float, usual: FloatArray, max_rate: float) -> None:
        """Check the conditions of Definition 3.2.

        Args:
            horizon: of the game.
            usual: (N,) sizes of the traders' average rates.
            max_rate: largest size of a rate; may be infinite.

        Raises:
            ValueError: a condition fails.
        """
        require(self.beta, "impact.beta", horizon, strict=True, count=len(usual))

    def step_means(self, times: FloatArray, traders: int) -> FloatArray:
        """Mean of ``beta`` over each step, (K, N)."""
        return agent_step_means(self.beta, times, traders, "impact.beta")

    @abstractmethod
    def cost(self, beta: Array, rate: Array) -> Array:
        """``lambda^i(v)``, currency per unit of time, in the shape of ``rate`` (..., N)."""

    @abstractmethod
    def marginal_cost(self, beta: Array, own: Array, rate: Array) -> Array:
        """``d lambda^i / d v^i``, (..., N), of a trader at rate ``own``, the others being at ``rate``; (..., N)
        each."""

    @abstractmethod
    def curvature(self, beta: Array, own: Array, rate: Array) -> Array:
        """``d^2 lambda^i / d (v^i)^2`` in the same way."""

    def cross(self, beta: Array, rate: Array) -> Array:
        """``d^2 lambda^i / d v^i d v^j`` for ``j != i``, 0 on the diagonal, (..., N, N); all 0 for individual costs."""
        return np.zeros((*rate.shape, rate.shape[-1]))

    @abstractmethod
    def own_rate(self, beta: Array, marginal: Array, rate: Array) -> Array:
        """The rate at which a trader's marginal cost is ``marginal``, the others being at ``rate``; before
        truncation."""

    def optimal_rates(self, beta: Array, marginal: Array, low: Array, high: Array) -> Array:
        """``phi``: everyone's rate (..., N), truncated, at which all marginal costs are the given ones (..., N)."""
        return np.clip(self.own_rate(beta, marginal, np.zeros_like(marginal)), low, high)

    def optimal_jacobian(self, beta: Array, rate: Array, free: Array) -> Array:
        """``d phi / d marginal``, (..., N, N), where ``free`` rates are not truncated."""
        slope = free / self.curvature(beta, rate, rate)
        return slope[..., None] * np.eye(rate.shape[-1])


class Coupled(Impact):
    """An impact that looks at the others' rates."""

    coupled: ClassVar[bool] = True

    def optimal_jacobian(self, beta: Array, rate: Array, free: Array) -> Array:
        """By the implicit function theorem."""
        curvature = self.curvature(beta, rate, rate)
        off = self.cross(beta, rate) / curvature[..., None]
        return target_jacobian(-off, free) / curvature[..., None, :]


@dataclass(frozen=True)
class QuadraticImpact(Impact):
    """``lambda(v) = beta v^2``, the individual impact of Almgren and Chriss.

    Args:
        beta: currency times time per share squared; a positive number, a callable of time, or one for each trader.

    Raises:
        ValueError: (from the game that uses it) ``beta`` is not positive and finite on the horizon.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import MakerTakerGame, QuadraticImpact
        >>> cheap, dear = (solve(MakerTakerGame(impact=QuadraticImpact(beta)), 5) for beta in (0.1, 2.0))
        >>> bool(cheap.controls.rate.sum() > dear.controls.rate.sum())  # who trades cheaply trades more
        True
    """

    beta: PerAgent = 0.5
    proven: ClassVar[bool] = True

    def cost(self, beta: Array, rate: Array) -> Array:
        """``beta v^2``."""
        return beta * rate * rate

    def marginal_cost(self, beta: Array, own: Array, rate: Array) -> Array:
        """``2 beta v``."""
        return 2 * beta * own

    def curvature(self, beta: Array, own: Array, rate: Array) -> Array:
        """``2 beta``."""
        return 2 * beta + 0 * own

    def own_rate(self, beta: Array, marginal: Array, rate: Array) -> Array:
        """``(y - s) / (2 beta)`` of (17)."""
        return marginal / (2 * beta)


@dataclass(frozen=True)
class QuarticImpact(Impact):
    """``lambda(v) = beta v^2 + quartic v^4``: trading fast costs ever more.

    Args:
        beta: as in :class:`QuadraticImpact`.
        quartic: currency times time^3 per share^4, at least 0.

    Raises:
        ValueError: ``quartic`` is negative or not finite.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import MakerTakerGame, QuarticImpact
        >>> game = MakerTakerGame((-10.0,), impact=QuarticImpact(0.5, quartic=0.01))
        >>> bool(solve(game, 5).controls.rate.max() < solve(MakerTakerGame((-10.0,)), 5).controls.rate.max())
        True
    """

    beta: PerAgent = 0.5
    quartic: float = 0.01
    proven: ClassVar[bool] = True

    def __post_init__(self) -> None:
        assign(self, quartic=as_number("impact.quartic", self.quartic, "a finite number >= 0", strict=False))

    def cost(self, beta: Array, rate: Array) -> Array:
        """``beta v^2 + quartic v^4``."""
        square = rate * rate
        return beta * square + self.quartic * square * square

    def marginal_cost(self, beta: Array, own: Array, rate: Array) -> Array:
        """``2 beta v + 4 quartic v^3``."""
        return 2 * beta * own + 4 * self.quartic * own**3

    def curvature(self, beta: Array, own: Array, rate: Array) -> Array:
        """``2 beta + 12 quartic v^2``."""
        return 2 * beta + 12 * self.quartic * own**2

    def own_rate(self, beta: Array, marginal: Array, rate: Array) -> Array:
        """The one real root of ``4 quartic v^3 + 2 beta v = marginal``, by Cardano's formula with hyperbolic
        functions."""
        # v = 2 r sinh(t),  r^2 = beta / (6 quartic),  sinh(3 t) = marginal / (8 quartic r^3) = 3 marginal / (4 beta r)
        flat = np.asarray(self.quartic) == 0
        quartic = np.where(flat, 1.0, self.quartic)
        radius = np.sqrt(beta / (6 * quartic))
        curved = 2 * radius * np.sinh(np.arcsinh(marginal / (4 / 3 * beta * radius)) / 3)
        return np.where(flat, marginal / (2 * beta), curved)


@dataclass(frozen=True)
class CrowdedImpact(Coupled):
    """``lambda^i(v) = beta v^i (v^i + crowding * mean of all others' v)``: others' haste is paid for as well.

    Remark 3.3 has it as an example, at crowding 1.

    Args:
        beta: as in :class:`QuadraticImpact`.
        crowding: in (-2, 2), the bounds of Definition 3.2; below 0 others' haste is earned. The others are all other
            traders, with their signs; a trader alone has none.

    Raises:
        ValueError: ``crowding`` is out of its range.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import CrowdedImpact, MakerTakerGame
        >>> alone, crowded = (
        ...     solve(MakerTakerGame((-5.0, -5.0), impact=CrowdedImpact(0.5, crowding=pi)), 5) for pi in (0.0, 1.0)
        ... )
        >>> bool(crowded.payoffs[0] < alone.payoffs[0])  # the other buyer's haste costs
        True
    """

    beta: PerAgent = 0.5
    crowding: float = 1.0
    proven: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not is_number(self.crowding) or not -2 < self.crowding < 2:
            raise ValueError(
                f"impact.crowding: expected a number in (-2, 2), the class of Definition 3.2, got {self.crowding!r}"
            )
        assign(self, crowding=float(self.crowding))

    def _others(self, rate: Array) -> Array:
        """Mean rate of the others, (..., N); 0 for a trader alone."""
        total = namespace(rate).sum(rate, axis=-1, keepdims=True)
        return (total - rate) / max(rate.shape[-1] - 1, 1)

    def cost(self, beta: Array, rate: Array) -> Array:
        """``beta v (v + crowding m)``, ``m`` the others' mean."""
        return beta * rate * (rate + self.crowding * self._others(rate))

    def marginal_cost(self, beta: Array, own: Array, rate: Array) -> Array:
        """``beta (2 v + crowding m)``."""
        return beta * (2 * own + self.crowding * self._others(rate))

    def curvature(self, beta: Array, own: Array, rate: Array) -> Array:
        """``2 beta``."""
        return 2 * beta + 0 * own

    def cross(self, beta: Array, rate: Array) -> Array:
        """``beta crowding / (N - 1)``."""
        count = rate.shape[-1]
        off = (1 - np.eye(count)) / max(count - 1, 1)
        return np.broadcast_to(np.asarray(beta * self.crowding)[..., None] * off, (*rate.shape, count))

    def own_rate(self, beta: Array, marginal: Array, rate: Array) -> Array:
        """``(marginal / beta - crowding m) / 2``."""
        return (marginal / beta - self.crowding * self._others(rate)) / 2

    def optimal_rates(self, beta: Array, marginal: Array, low: Array, high: Array) -> Array:
        """The fixed point across traders, by the sum of all rates.

        With ``a = marginal / (2 beta)`` and ``k = crowding / (2 (N - 1))`` a trader's rate at the sum ``s`` is ``(a - k
        s) / (1 - k)``, truncated. So ``s`` less the sum of the rates rises, with slope at least 1, or ``1 + N k / (1 -
        k)`` where crowding is negative, and has one root. It says who is truncated; the rates of the others are those
        of a linear system: their mean, and their distances from it.
        """
        known = np.isfinite(marginal).all(axis=-1, keepdims=True)
        alone = np.where(known, marginal, 0.0) / (2 * beta)
        k = self.crowding / (2 * max(marginal.shape[-1] - 1, 1))
        if marginal.shape[-1] == 1:
            return np.where(known, np.clip(alone, low, high), np.nan)

        def rates(free: Array, held: Array) -> Array:
            count = free.sum(axis=-1, keepdims=True)
            mean = np.where(free, alone, 0.0).sum(axis=-1, keepdims=True) / np.maximum(count, 1)
            fixed = np.where(free, 0.0, held).sum(axis=-1, keepdims=True)
            return (mean - k * fixed) / (1 + (count - 1) * k) + (alone - mean) / (1 - k)

        wanted = rates(np.ones(alone.shape, dtype=bool), alone)
        if ((wanted < low) | (wanted > high)).any():

            def at(total: Array) -> Array:
                return (alone - k * total) / (1 - k)

            def condition(total: Array) -> tuple[Array, Array, Array]:
                wanted = at(total)
                free = (wanted > low) & (wanted < high)
                slope = 1 + (k / (1 - k) * free).sum(axis=-1, keepdims=True)
                rates = np.clip(wanted, low, high)
                size = np.abs(total) + np.abs(rates).sum(axis=-1, keepdims=True)
                return total - rates.sum(axis=-1, keepdims=True), slope, size

            start = np.clip(wanted, low, high).sum(axis=-1, keepdims=True)
            flattest = min(1.0, float(np.min(1 + marginal.shape[-1] * k / (1 - k))))
            end = start - condition(start)[0] / flattest
            ends = np.minimum(start, end), np.maximum(start, end)
            wanted = at(rising_root(condition, start, *ends, _CROWDED))
            free = (wanted > low) & (wanted < high)
            wanted = np.where(free, rates(free, np.clip(wanted, low, high)), wanted)
        return np.where(known, np.clip(wanted, low, high), np.nan)

"""Temporary price impact (Definition 3.2): a trader's costs beyond the quote for trading fast.

It has no memory: the cost of a rate lasts as long as the rate. Permanent impact, which the execution game has, is in
:class:`~makertaker.envs.ExecutionGame`; an impact that decays would be a state beside the price in
:func:`makertaker.envs.grid.advance`.

An impact is twice continuously differentiable and strongly convex in the trader's own rate, and its own curvature
outweighs the sum of the cross derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .arrays import Array, FloatArray, namespace
from .fixed_point import fixed_point, target_jacobian
from .parameters import PerAgent, agent_step_means, as_number, assign, require

_PROBES = 400
_STEP = 1e-4


class Impact(ABC):
    """Impact costs ``lambda^i(v)`` of all traders; ``beta`` is the array of coefficients (..., N) of a step."""

    beta: PerAgent
    coupled: ClassVar[bool] = False
    """True if a trader's costs depend on the others' rates"""

    def validate(self, horizon: float, traders: int, max_rate: float) -> None:
        """Raises ValueError where the conditions of Definition 3.2 fail."""
        require(self.beta, "impact.beta", horizon, strict=True, count=traders)

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


class _Coupled(Impact):
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
    """

    beta: PerAgent = 0.5

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
    """

    beta: PerAgent = 0.5
    quartic: float = 0.01

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
        # v = 2 r sinh(t),  r^2 = beta / (6 quartic),  sinh(3 t) = marginal / (8 quartic r^3)
        flat = np.asarray(self.quartic) == 0
        quartic = np.where(flat, 1.0, self.quartic)
        radius = np.sqrt(beta / (6 * quartic))
        curved = 2 * radius * np.sinh(np.arcsinh(marginal / (8 * quartic * radius**3)) / 3)
        return np.where(flat, marginal / (2 * beta), curved)


@dataclass(frozen=True)
class CrowdedImpact(_Coupled):
    """``lambda^i(v) = beta v^i (v^i + crowding * mean of all others' v)``: others' haste is paid for as well.

    Remark 3.3 has it as an example, at crowding 1.

    Args:
        beta: as in :class:`QuadraticImpact`.
        crowding: in [0, 2), the bound of Definition 3.2. The others are all other traders, with their signs; a trader
            alone has none.

    Raises:
        ValueError: ``crowding`` is out of its range.
    """

    beta: PerAgent = 0.5
    crowding: float = 1.0

    def __post_init__(self) -> None:
        expected = "a number in [0, 2), the class of Definition 3.2"
        assign(self, crowding=as_number("impact.crowding", self.crowding, expected, limit=2.0, strict=False))

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
        """The fixed point across traders."""
        off = self.cross(beta, marginal) / self.curvature(beta, marginal, marginal)[..., None]
        target, slope = marginal / (2 * beta), -self.crowding / 2
        return fixed_point(lambda rate: slope * self._others(rate), lambda rate: -off, target, low, high)


@dataclass(frozen=True)
class CustomImpact(_Coupled):
    """Impact from functions of all rates, checked against Definition 3.2 on drawn rates.

    Args:
        function: ``lambda``, (..., N) rates to (..., N) costs.
        gradient: ``d lambda^i / d v^i``, (..., N) to (..., N).
        hessian: ``d^2 lambda^i / d v^i d v^j``, (..., N) to (..., N, N).

    Raises:
        ValueError: (from the game that uses it) a condition of Definition 3.2 fails, or a derivative is not one; the
            message names the condition and the rates.
    """

    function: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array]

    @property
    def beta(self) -> float:  # type: ignore[override]  # the functions know their coefficients
        """1: the functions have coefficients of their own."""
        return 1.0

    def validate(self, horizon: float, traders: int, max_rate: float) -> None:
        """Check Definition 3.2 and the derivatives at drawn rates."""
        rates = np.random.default_rng(0).uniform(-max_rate, max_rate, (_PROBES, traders))
        rates[0] = 0.0
        found = {name: np.asarray(getattr(self, name)(rates), float) for name in ("function", "gradient", "hessian")}
        for name, values in found.items():
            expected = (*rates.shape, traders) if name == "hessian" else rates.shape
            if values.shape != expected:
                raise ValueError(
                    f"impact.{name}: expected shape {expected} for rates {rates.shape}, got {values.shape}"
                )
        cost, slope, curve = found.values()
        own = np.diagonal(curve, axis1=-2, axis2=-1)
        gap = own - (np.abs(curve).sum(axis=-1) - np.abs(own))
        step = _STEP * (1 + np.abs(rates))
        shifts = step[..., None] * np.eye(traders)
        ahead, behind = (rates[:, None] + sign * shifts for sign in (1, -1))
        rise, tilt = (np.asarray(f(ahead)) - np.asarray(f(behind)) for f in (self.function, self.gradient))
        off = _differ(np.diagonal(rise, axis1=-2, axis2=-1) / (2 * step), slope)
        skew = _differ(np.swapaxes(tilt, -2, -1) / (2 * step[..., None, :]), curve)
        conditions = (
            ("finite values", ~(np.isfinite(cost) & np.isfinite(slope) & np.isfinite(curve).all(axis=-1))),
            ("strong convexity in the own rate", own <= 0),
            ("its own curvature above the sum of cross derivatives", gap <= 0),
            ("gradient as the derivative of the function", off),
            ("hessian as the derivative of the gradient", skew.any(axis=-1)),
        )
        for name, fails in conditions:
            if fails.any():
                point, trader = np.argwhere(fails)[0]
                raise ValueError(
                    f"impact: Definition 3.2 asks for {name}; it fails for trader_{trader} at rates "
                    f"{np.array2string(rates[point], precision=4)}"
                )

    def cost(self, beta: Array, rate: Array) -> Array:
        """``lambda``."""
        return self.function(rate)

    def _with(self, own: Array, rate: Array) -> Array:
        """(..., N, N): row ``i`` has trader ``i`` at its own rate and the others at theirs."""
        return np.where(np.eye(rate.shape[-1], dtype=bool), own[..., None, :], rate[..., None, :])

    def marginal_cost(self, beta: Array, own: Array, rate: Array) -> Array:
        """Of each trader at its own rate, the others at ``rate``."""
        return np.diagonal(np.asarray(self.gradient(self._with(own, rate))), axis1=-2, axis2=-1)

    def curvature(self, beta: Array, own: Array, rate: Array) -> Array:
        """The same for the second derivative."""
        return np.einsum("...iii->...i", np.asarray(self.hessian(self._with(own, rate))))

    def cross(self, beta: Array, rate: Array) -> Array:
        """Off the diagonal of the Hessian."""
        return np.asarray(self.hessian(rate)) * (1 - np.eye(rate.shape[-1]))

    def own_rate(self, beta: Array, marginal: Array, rate: Array) -> Array:
        """By Newton's method; the marginal cost rises."""

        def curvature(own: Array) -> Array:
            return self.curvature(beta, own, rate)[..., None] * np.eye(rate.shape[-1])

        return self._solved(lambda own: self.marginal_cost(beta, own, rate), curvature, marginal, -np.inf, np.inf)

    def optimal_rates(self, beta: Array, marginal: Array, low: Array, high: Array) -> Array:
        """The fixed point across traders."""
        return self._solved(self.gradient, self.hessian, marginal, low, high)

    def _solved(
        self,
        gradient: Callable[[Array], Array],
        hessian: Callable[[Array], Array],
        marginal: Array,
        low: Array,
        high: Array,
    ) -> Array:
        """Rates, truncated, at which marginal costs, given with their Jacobian, are ``marginal``."""
        rest = np.zeros_like(marginal)
        scale = self.curvature(1.0, rest, rest)  # turns residuals of marginal costs into those of rates

        def shift(rate: Array) -> Array:
            return rate - (np.asarray(gradient(rate)) - marginal) / scale

        def slope(rate: Array) -> Array:
            return np.eye(rate.shape[-1]) - np.asarray(hessian(rate)) / scale[..., None]

        return fixed_point(shift, slope, rest, low, high)


def _differ(found: Array, given: Array) -> Array:
    """True where differences and a derivative are further apart than the error of differences."""
    return np.abs(found - given) > 1e-4 * (np.abs(found) + np.abs(given)) + 1e-6 * np.abs(given).max(initial=0.0)

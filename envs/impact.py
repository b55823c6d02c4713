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

from .arrays import Array, FloatArray, is_number, namespace
from .fixed_point import fixed_point, rising_root, target_jacobian
from .parameters import PerAgent, agent_step_means, as_number, assign, require
from .probing import asked, settle

_ASKS = "impact: expected marginal costs of Definition 3.2, that rise in the own rate by more than others move them"
_CROWDED = "impact: expected a crowding in (-2, 2)"
_STEP = 1e-5
_SMALL, _OVERSHOOT, _FINITE, _FAR = 1e-3, 3.0, 10.0, 100.0
"""in the largest usual rate: the least scale, rates that a solution may well have, rates at which values have to be
finite where nothing bounds rates, and the largest scale there"""
_SCALES = 10
_BUDGET = 40_000
"""number of second derivatives that are looked at, of all traders together; tens of points there are at least"""
_LEAST, _MOST = 8, 1024
_COMPARED = 33
"""rates on each scale at which derivatives are compared with differences, at most"""
_STARTS = 8
_SEARCHED = 24
"""rounds of the search from the worst rates"""


class Impact(ABC):
    """Impact costs ``lambda^i(v)`` of all traders; ``beta`` is the array of coefficients (..., N) of a step."""

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
class CrowdedImpact(_Coupled):
    """``lambda^i(v) = beta v^i (v^i + crowding * mean of all others' v)``: others' haste is paid for as well.

    Remark 3.3 has it as an example, at crowding 1.

    Args:
        beta: as in :class:`QuadraticImpact`.
        crowding: in (-2, 2), the bounds of Definition 3.2; below 0 others' haste is earned. The others are all other
            traders, with their signs; a trader alone has none.

    Raises:
        ValueError: ``crowding`` is out of its range.
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


@dataclass(frozen=True)
class CustomImpact(_Coupled):
    """Impact from functions of all rates. Definition 3.2 is looked at on drawn rates; that is no proof.

    Args:
        function: ``lambda``, (..., N) rates to (..., N) costs.
        gradient: ``d lambda^i / d v^i``, (..., N) to (..., N).
        hessian: ``d^2 lambda^i / d v^i d v^j``, (..., N) to (..., N, N).

    Raises:
        ValueError: (from the game that uses it) a condition of Definition 3.2 fails, or a derivative is not one; the
            message names the condition, the rates and the value there.
    """

    function: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array]

    @property
    def beta(self) -> float:  # type: ignore[override]  # the functions know their coefficients
        """1: the functions have coefficients of their own."""
        return 1.0

    def validate(self, horizon: float, usual: FloatArray, max_rate: float) -> None:
        """Look for rates at which Definition 3.2 fails, or a derivative is not one.

        Rates are drawn on scales from a thousandth of the largest usual one to ``max_rate``, or, without it, to a
        hundred times the largest usual one; from the worst of them the search goes on. Beyond ten usual rates and
        without ``max_rate`` values may overflow.
        """
        size = float(np.abs(usual).max())
        most, finite = (max_rate, max_rate) if np.isfinite(max_rate) else (_FAR * size, _FINITE * size)
        scales = np.unique(np.minimum([*np.geomspace(_SMALL * size, most, _SCALES), size, _OVERSHOOT * size], most))
        groups = [_drawn(scale, len(usual), len(scales)) for scale in scales]
        self._require_shapes(groups[0])
        rates, width = np.concatenate(groups), np.repeat(scales, len(groups[0]))[:, None]
        self._require_convexity(rates, finite)
        for group, scale in zip(groups, scales, strict=True):
            self._require_derivatives(group[:_COMPARED], min(scale, size), finite)
        worst = np.argsort(self._gap(rates), kind="stable")[:_STARTS]
        tries = int(np.clip(_BUDGET // (100 * len(usual) ** 2), 2, 16))
        found = settle(self._gap, rates[worst], width[worst] / 8, -most, most, rounds=_SEARCHED, tries=tries)[0]
        self._require_convexity(found, finite)

    def _gap(self, rates: Array) -> Array:
        """(P,) least difference over traders of the own curvature and the sum of the cross derivatives."""
        with np.errstate(all="ignore"):
            own, others = _curvatures(np.asarray(self.hessian(rates), dtype=float))
        return np.asarray((own - others).min(axis=-1))

    def _require_shapes(self, rates: Array) -> None:
        with np.errstate(all="ignore"):
            shapes = {
                name: asked(getattr(self, name), rates, name=f"impact.{name}", expected="a callable of rates").shape
                for name in ("function", "gradient", "hessian")
            }
        for name, shape in shapes.items():
            expected = (*rates.shape, rates.shape[-1]) if name == "hessian" else rates.shape
            if shape != expected:
                raise ValueError(f"impact.{name}: expected shape {expected} for rates {rates.shape}, got {shape}")

    def _require_convexity(self, rates: Array, finite: float) -> None:
        """Raises ValueError where the own curvature is not positive, or not above the cross derivatives."""
        with np.errstate(all="ignore"):
            curve = np.asarray(self.hessian(rates), dtype=float)
            total = np.asarray(self.function(rates)) + np.asarray(self.gradient(rates)) + curve.sum(axis=-1)
            own, others = _curvatures(curve)
        known = np.isfinite(total)
        inside = np.abs(rates).max(axis=-1, keepdims=True) <= finite
        gap = own - others
        _refuse(rates, "finite values", ~known & inside, total, -total)
        _refuse(rates, "strong convexity in the own rate", (own <= 0) & known, own, own)
        _refuse(rates, "its own curvature above the sum of cross derivatives", (gap <= 0) & known, gap, gap)

    def _require_derivatives(self, rates: Array, scale: float, finite: float) -> None:
        """Raises ValueError where the gradient or the Hessian is not that of differences."""
        rates = rates[np.abs(rates).max(axis=-1) <= finite]
        if not len(rates):
            return
        slope, curve = (np.asarray(f(rates), dtype=float) for f in (self.gradient, self.hessian))
        step = _STEP * (scale + np.abs(rates))
        shifts = step[..., None] * np.eye(rates.shape[-1])
        ahead, behind = (rates[:, None] + sign * shifts for sign in (1, -1))
        rise, tilt = (np.asarray(f(ahead)) - np.asarray(f(behind)) for f in (self.function, self.gradient))
        rise = np.diagonal(rise, axis1=-2, axis2=-1) / (2 * step)
        tilt = np.swapaxes(tilt, -2, -1) / (2 * step[..., None, :])
        error = np.where(_differ(rise, slope), slope - rise, 0.0)
        _refuse(rates, "gradient as the derivative of the function", error != 0, error, -np.abs(error))
        every = np.where(_differ(tilt, curve), curve - tilt, 0.0)
        error = np.take_along_axis(every, np.abs(every).argmax(axis=-1)[..., None], axis=-1)[..., 0]
        _refuse(rates, "hessian as the derivative of the gradient", error != 0, error, -np.abs(error))

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
        """The root of a rising function, in a bracket.

        Raises:
            ValueError: a marginal cost does not rise through the value.
        """
        known = np.isfinite(marginal) & np.isfinite(rate).all(axis=-1, keepdims=True)
        marginal, rate = np.where(known, marginal, 0.0), np.where(known, rate, 0.0)

        size = np.abs(marginal) + np.abs(self.marginal_cost(beta, np.zeros_like(rate), rate))

        def condition(own: Array) -> tuple[Array, Array, Array]:
            return self.marginal_cost(beta, own, rate) - marginal, self.curvature(beta, own, rate), size

        found = rising_root(condition, rate, -np.inf, np.inf, _ASKS, unit=1.0)
        return np.where(known, found, np.nan)

    def optimal_rates(self, beta: Array, marginal: Array, low: Array, high: Array) -> Array:
        """The fixed point across traders.

        Raises:
            ValueError: best responses do not settle, or are none.
        """
        rest = np.zeros_like(marginal)
        scale = self.curvature(beta, rest, rest)  # turns marginal costs into rates

        def shift(rate: Array) -> Array:
            return rate - np.asarray(self.gradient(rate)) / scale

        def slope(rate: Array) -> Array:
            return np.eye(rate.shape[-1]) - np.asarray(self.hessian(rate)) / scale[..., None]

        def answer(rate: Array) -> Array:
            return np.clip(self.own_rate(beta, marginal, rate), low, high)

        return fixed_point(shift, slope, marginal / scale, low, high, answer, _ASKS)


def _drawn(scale: float, traders: int, scales: int) -> FloatArray:
    """(P, N) rates up to a scale, one drawn from each of P equal cells for every trader; rest among them."""
    count = int(np.clip(_BUDGET // (scales * traders**2), _LEAST, _MOST))
    rng = np.random.default_rng(0)
    own = (rng.permuted(np.tile(np.arange(count), (traders, 1)), axis=1) + rng.random((traders, count))) / count
    return np.concatenate([np.zeros((1, traders)), scale * (2 * own.T - 1)])


def _curvatures(hessian: Array) -> tuple[Array, Array]:
    """Own second derivatives (..., N), and the sums (..., N) of the sizes of the cross ones."""
    own = np.diagonal(hessian, axis1=-2, axis2=-1)
    return own, np.abs(hessian).sum(axis=-1) - np.abs(own)


def _refuse(rates: Array, name: str, fails: Array, value: Array, order: Array) -> None:
    """Raises ValueError for the rates (P, N) at which a condition fails and the order, (P, N), is least."""
    if fails.any():
        found = np.argwhere(fails)
        point, trader = found[np.nan_to_num(order[fails], nan=-np.inf).argmin()]
        raise ValueError(
            f"impact: Definition 3.2 asks for {name}; it fails for trader_{trader} at rates "
            f"{np.array2string(rates[point], precision=4)}, where "
            f"{'the difference' if 'as the derivative' in name else 'it'} is {value[point, trader]:.4g}"
        )


def _differ(found: Array, given: Array) -> Array:
    """True where differences and a derivative are further apart than the error of differences."""
    return np.abs(found - given) > 1e-4 * (np.abs(found) + np.abs(given)) + 1e-6 * np.abs(given).max(initial=0.0)

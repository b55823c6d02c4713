"""Impact from functions of the user's own, whose conditions can only be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .arrays import Array, FloatArray
from .fixed_point import fixed_point, rising_root
from .impact import Coupled
from .probing import asked, settle

_ASKS = "impact: expected marginal costs of Definition 3.2, that rise in the own rate by more than others move them"
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


@dataclass(frozen=True)
class CustomImpact(Coupled):
    """Impact from functions of all rates. Definition 3.2 is looked at on drawn rates; that is no proof.

    Args:
        function: ``lambda``, (..., N) rates to (..., N) costs.
        gradient: ``d lambda^i / d v^i``, (..., N) to (..., N).
        hessian: ``d^2 lambda^i / d v^i d v^j``, (..., N) to (..., N, N).

    Raises:
        ValueError: (from the game that uses it) a condition of Definition 3.2 fails, or a derivative is not one; the
            message names the condition, the rates and the value there.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import CustomImpact, MakerTakerGame
        >>> impact = CustomImpact(
        ...     function=lambda v: 0.5 * v**2,
        ...     gradient=lambda v: v,
        ...     hessian=lambda v: np.eye(v.shape[-1]) * np.ones_like(v)[..., None],
        ... )
        >>> nash = solve(MakerTakerGame(impact=impact), 5)
        >>> bool(np.allclose(nash.payoffs, solve(MakerTakerGame(), 5).payoffs))  # the default is this impact
        True
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

"""Intensity functions (Definition 3.4): the flow that a maker receives, as a function of the distance of its quote.

An intensity is positive, twice continuously differentiable and strictly decreasing, vanishes at infinity, and has
``Lambda Lambda'' / Lambda'^2`` bounded below and at most 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from .arrays import Array, FloatArray, namespace
from .parameters import as_number, assign
from .probing import around_the_worst, asked, cells, near

_REACH = 60.0
_SEARCHED = 24
"""rounds of the search from the worst points"""
_TINY = 1e-250
_SLACK = 1e-7
_HALVINGS = 50
_VISIBLE = 1e-290
"""values between this and one over it have all their digits"""


class Intensity(ABC):
    """A function of Definition 3.4, with all that optimal quotes need of it.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Exponential, Intensity
        >>> intensity = Exponential(gamma=1.5)
        >>> isinstance(intensity, Intensity)
        True
    """

    proven: ClassVar[bool] = False
    """True where the conditions of Definition 3.4 hold by the formula; otherwise they are at best probed"""

    @property
    def constant_markup(self) -> float | None:
        """:meth:`markup` where it is the same at every distance; None where it is not."""
        return None

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """``Lambda(x)``, in the shape of ``x``, which is in currency."""

    @abstractmethod
    def derivative(self, x: Array) -> Array:
        """``Lambda'(x)``."""

    @abstractmethod
    def markup(self, x: Array) -> Array:
        """``-Lambda / Lambda'``: gain per share, above the marginal value of inventory, of a quote that is optimal at
        distance ``x``, in currency."""

    @abstractmethod
    def markup_slope(self, x: Array) -> Array:
        """Derivative ``Lambda Lambda'' / Lambda'^2 - 1`` of :meth:`markup`; at most 0."""


@dataclass(frozen=True)
class _Decaying(Intensity):
    """An intensity with a decay."""

    gamma: float = 1.0
    proven: ClassVar[bool] = True

    def __post_init__(self) -> None:
        assign(self, gamma=as_number("gamma", self.gamma, "a positive finite number"))


@dataclass(frozen=True)
class Exponential(_Decaying):
    """``Lambda(x) = exp(-gamma x)``, the intensity of Avellaneda and Stoikov.

    Args:
        gamma: decay of the flow per unit of distance, 1 / currency; positive and finite.

    Raises:
        ValueError: ``gamma`` is not positive and finite.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Exponential
        >>> Exponential(gamma=1.5)(np.array([0.0, 1.0])).round(3).tolist()
        [1.0, 0.223]
    """

    @property
    def constant_markup(self) -> float:
        """``1 / gamma``."""
        return 1 / self.gamma

    def __call__(self, x: Array) -> Array:
        return namespace(x).exp(-self.gamma * x)

    def derivative(self, x: Array) -> Array:
        """``Lambda'(x)``."""
        return -self.gamma * self(x)

    def markup(self, x: Array) -> Array:
        """``1 / gamma`` (Theorem 4.1)."""
        return 0 * x + 1 / self.gamma

    def markup_slope(self, x: Array) -> Array:
        """0."""
        return 0 * x


@dataclass(frozen=True)
class Softplus(_Decaying):
    """``Lambda(x) = log(1 + exp(-gamma x))``: exponential far above the others' quotes, linear below.

    Args:
        gamma: as in :class:`Exponential`.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Softplus
        >>> Softplus(gamma=1.5)(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
        [1.701, 0.693, 0.201]
    """

    def __call__(self, x: Array) -> Array:
        return namespace(x).logaddexp(0 * x, -self.gamma * x)

    def derivative(self, x: Array) -> Array:
        """``Lambda'(x)``."""
        xp = namespace(x)
        return -self.gamma * xp.exp(-xp.logaddexp(0 * x, self.gamma * x))

    def markup(self, x: Array) -> Array:
        """``log(1 + u) (1 + u) / (gamma u)``, ``u = exp(-gamma x)``."""
        z = self.gamma * np.asarray(x, dtype=float)
        below = np.logaddexp(0.0, -z) * (1 + np.exp(np.minimum(z, 0.0)))  # u large
        return np.where(z > 0, self._ratio(z) * (1 + np.exp(-np.maximum(z, 0.0))), below) / self.gamma

    def markup_slope(self, x: Array) -> Array:
        """``log(1 + u) / u - 1``."""
        z = self.gamma * np.asarray(x, dtype=float)
        return np.where(z > 0, self._ratio(z), np.logaddexp(0.0, -z) * np.exp(np.minimum(z, 0.0))) - 1

    @staticmethod
    def _ratio(z: Array) -> Array:
        """``log(1 + u) / u``, ``u = exp(-z)``, for ``z`` above 0; anything below."""
        u = np.exp(-np.maximum(z, 0.0))
        return np.where(u > 1e-8, np.log1p(u) / np.where(u > 1e-8, u, 1.0), 1 - u / 2)


@dataclass(frozen=True)
class CustomIntensity(Intensity):
    """An intensity from a function and its first two derivatives.

    Args:
        function: ``Lambda``; arrays in, arrays of the same shape out.
        first: ``Lambda'``.
        second: ``Lambda''``.
        scale: a distance in currency over which the function changes; it is looked at on +-60 of them, at points a
            hundredth of it apart. What is much narrower may be missed.

    Raises:
        ValueError: a condition of Definition 3.4 fails; the message names it, the point and the value there.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import BestQuote, CustomIntensity, MakerTakerGame
        >>> steep = CustomIntensity(
        ...     lambda x: np.exp(-2 * x), lambda x: -2 * np.exp(-2 * x), lambda x: 4 * np.exp(-2 * x)
        ... )
        >>> MakerTakerGame(competition=BestQuote(steep)).agents
        ('trader_0', 'maker_0', 'maker_1')
    """

    function: Callable[[Array], Array]
    first: Callable[[Array], Array]
    second: Callable[[Array], Array]
    scale: float = 1.0

    def __post_init__(self) -> None:
        scale = as_number("scale", self.scale, "a positive finite number")
        with np.errstate(all="ignore"):
            for name in ("function", "first", "second"):
                expected = "a callable of distances"
                asked(getattr(self, name), scale * np.arange(-1.0, 2.0), name=f"intensity.{name}", expected=expected)
        check_intensity(self, self.second, scale)

    def __call__(self, x: Array) -> Array:
        return self.function(x)

    def derivative(self, x: Array) -> Array:
        """``Lambda'(x)``."""
        return self.first(x)

    def markup(self, x: Array) -> Array:
        """``-Lambda / Lambda'``; where floating point does not hold them, what it is at the last distance where it
        does: shares are 0 there, or infinite, and the markup cannot be known."""
        x = np.clip(x, *self._reach)
        return -self.function(x) / self.first(x)

    def markup_slope(self, x: Array) -> Array:
        """``Lambda Lambda'' / Lambda'^2 - 1``; 0 where the markup cannot be known."""
        low, high = self._reach
        at = np.clip(x, low, high)
        first = self.first(at)
        return np.where(at == x, (self.function(at) / first) * (self.second(at) / first) - 1, 0.0)

    @cached_property
    def _reach(self) -> tuple[float, float]:
        """The smallest and the largest distance, in currency, where floating point holds ``Lambda`` and its slope."""
        return -self._last(-self.scale), self._last(self.scale)

    def _last(self, step: float) -> float:
        """How far floating point holds the function in the direction of ``step``; ``inf`` if as far as it goes, or if
        not even at 0."""

        def held(distance: float) -> bool:
            at = np.array([np.copysign(distance, step)])
            with np.errstate(all="ignore"):
                values = np.abs([self.function(at), self.first(at)])
            return bool(((values > _VISIBLE) & (values < 1 / _VISIBLE)).all())

        near, far = 0.0, abs(step)
        while held(far) and far < 1e300:
            near, far = far, 2 * far
        if held(far) or not held(0.0):
            return np.inf
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            near, far = (middle, far) if held(middle) else (near, middle)
        return near


def check_intensity(intensity: Intensity, second: Callable[[Array], Array], scale: float) -> None:
    """Look for points up to 60 scales away at which a condition of Definition 3.4 fails, or a derivative is not one.

    Points are drawn, a hundredth of a scale apart and within six scales five times as dense; from the worst of them the
    search goes on. Where values are too small for floating point nothing is said.

    Raises:
        ValueError: a condition fails; the message names it, a point and the value there.
    """
    close = near(scale)
    wide, narrow = (scale * cells(-reach, reach, count) for reach, count in ((_REACH, 12_000), (_REACH / 10, 6_000)))
    x = np.unique(np.concatenate([wide, narrow, close, -close, [0.0]]))
    _require_class(intensity, second, x, scale)

    def measures(at: Array) -> tuple[Array, Array, Array]:
        """Least where the function may fail to be positive, to fall, or to have a bounded ratio."""
        value, first, curve = _values(intensity, second, at)
        with np.errstate(all="ignore"):
            seen = np.where(_visible(value, first), 1.0, np.nan)
            return seen * value / np.abs(first), -seen * first / np.abs(value), -seen * value * curve / first**2

    def measure(which: int) -> Callable[[FloatArray], FloatArray]:
        return lambda at: np.asarray(measures(at)[which])

    worst = [around_the_worst(measure(which), x, _SEARCHED) for which in range(3)]
    _require_class(intensity, second, np.unique(np.concatenate(worst)), scale)
    (middle,), (end,) = (np.asarray(intensity(np.array([at])), dtype=float) for at in (0.0, _REACH * scale))
    if end > 1e-3 * middle:
        said = f"it is {end:.3g} at x = {_REACH * scale:g}, and {middle:.3g} at 0"
        raise ValueError(f"intensity: Definition 3.4 asks for Lambda(x) -> 0; {said}")


def _values(intensity: Intensity, second: Callable[[Array], Array], x: Array) -> tuple[Array, Array, Array]:
    """``Lambda`` and its two derivatives. Raises ValueError for a wrong shape."""
    with np.errstate(all="ignore"):
        value, first, curve = (np.asarray(f(x), dtype=float) for f in (intensity, intensity.derivative, second))
    for name, array in (("Lambda", value), ("Lambda'", first), ("Lambda''", curve)):
        if array.shape != x.shape:
            raise ValueError(f"intensity: {name} must keep the shape {x.shape}, got {array.shape}")
    return value, first, curve


def _visible(value: Array, first: Array) -> Array:
    """False where values underflow, which says nothing."""
    return np.asarray(~((np.abs(value) < _TINY) & (np.abs(first) < _TINY)))


def _require_class(intensity: Intensity, second: Callable[[Array], Array], x: Array, scale: float) -> None:
    """Raises ValueError where a condition of Definition 3.4 fails at one of the points ``x``."""
    value, first, curve = _values(intensity, second, x)
    visible, step = _visible(value, first), 1e-5 * scale
    with np.errstate(all="ignore"):
        ratio = value * curve / np.where(visible & (first != 0), first, 1.0) ** 2
        rise, tilt = (
            (np.asarray(f(x + step), dtype=float) - np.asarray(f(x - step), dtype=float)) / (2 * step)
            for f in (intensity, intensity.derivative)
        )
        close, total = -np.abs(x), value + first + curve
        conditions = (  # name, where it fails, which point to show, what is shown there
            ("finite values", ~np.isfinite(total), close, total),
            ("Lambda >= 0", value < 0, close, value),
            ("Lambda' < 0", first >= 0, close, first),
            ("Lambda' as the derivative of Lambda", _differ(rise, first, value, scale), close, first - rise),
            ("Lambda'' as the derivative of Lambda'", _differ(tilt, curve, first, scale), close, curve - tilt),
            ("Lambda Lambda'' / Lambda'^2 <= 1", ratio > 1 + _SLACK, ratio, ratio),
        )
    for name, fails, order, shown in conditions:
        found = np.flatnonzero(fails & visible)
        if found.size:
            at = found[order[found].argmax()]
            kind = "difference" if "derivative" in name else "value"
            raise ValueError(
                f"intensity: Definition 3.4 asks for {name}; it fails at x = {x[at]:g}, where the {kind} is "
                f"{shown[at]:.9g}"
            )


def _differ(found: Array, given: Array, function: Array, scale: float) -> Array:
    """True where a derivative is further from differences than their error."""
    error = 1e-4 * (np.abs(given) + np.abs(found)) + 1e-9 * (1 + np.abs(function)) / scale
    return np.asarray(np.abs(found - given) > error)

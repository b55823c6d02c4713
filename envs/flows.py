"""Named shapes of flows: functions of time, which serve as any other parameter as well, and functions of a factor."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .arrays import Array, FloatArray, as_like, is_number, namespace, usual_number


@dataclass(frozen=True)
class Points:
    """Piecewise linear interpolation of ``(time, value)`` points; constant beyond the first and the last.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Points
        >>> Points(((0.0, 1.0), (0.5, 3.0)))(np.array([0.0, 0.25, 0.5, 1.0])).tolist()
        [1.0, 2.0, 3.0, 3.0]
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        try:
            points = np.asarray(self.points, dtype=float)
        except (TypeError, ValueError, OverflowError):  # refused below
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError(f"points: expected pairs of finite numbers (time, value), got {self.points!r}")
        if (np.diff(points[:, 0]) <= 0).any():
            raise ValueError(f"points: expected strictly increasing times, got {points[:, 0].tolist()}")
        object.__setattr__(self, "points", tuple((float(t), float(v)) for t, v in points))

    def __call__(self, t: FloatArray) -> FloatArray:
        times, values = np.asarray(self.points).T
        return np.asarray(np.interp(t, times, values))

    def corners(self, start: float, end: float) -> FloatArray:
        """Times of the points between two times."""
        times = np.asarray(self.points)[:, 0]
        return times[(times > start) & (times < end)]

    def step_means(self, times: FloatArray) -> FloatArray:
        """Exact means over the steps of a grid, corners within a step included."""
        nodes = np.union1d(times, self.corners(times[0], times[-1]))
        values = self(nodes)
        areas = np.concatenate([[0.0], np.cumsum(np.diff(nodes) * (values[1:] + values[:-1]) / 2)])
        return np.diff(areas[np.searchsorted(nodes, times)]) / np.diff(times)


@dataclass(frozen=True)
class Sine:
    """``mean + amplitude sin(2 pi (t / period + phase))``.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Sine
        >>> Sine(mean=2.0, amplitude=1.0)(np.array([0.0, 0.25, 0.75])).round(12).tolist()
        [2.0, 3.0, 1.0]
    """

    mean: float
    amplitude: float
    period: float = 1.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        _make_usual(self)
        _check_numbers(self)
        if self.period == 0:
            raise ValueError("period: expected a nonzero number, got 0")

    def __call__(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.mean + self.amplitude * np.sin(2 * np.pi * (np.asarray(t) / self.period + self.phase)))


@dataclass(frozen=True)
class Decay:
    """``scale exp(-decay t)``: a flow that dies out (``decay > 0``) or builds up (``decay < 0``).

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Decay
        >>> Decay(scale=4.0, decay=2.0)(np.array([0.0, 1.0])).round(3).tolist()
        [4.0, 0.541]
    """

    scale: float
    decay: float

    def __post_init__(self) -> None:
        _make_usual(self)
        _check_numbers(self)

    def __call__(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.scale * np.exp(-self.decay * np.asarray(t)))


@dataclass(frozen=True)
class Affine:
    """A flow that depends on a factor: ``constant + slope . L``. The maker-taker game cuts it off at zero, where
    ``slope . L < -constant``; in the execution game, where flows only push the price, it stays what it is.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Affine
        >>> Affine(10.0, 2.0)(0.0, np.array([[0.0], [1.5]])).tolist()  # at two levels of the factor
        [10.0, 13.0]
    """

    constant: float
    slope: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        _make_usual(self)
        if not is_number(self.constant):
            raise ValueError(f"constant: expected a number, got {self.constant!r}")
        _check_slope(self.slope)

    def __call__(self, t: Array, factor: Array) -> Array:
        return self.constant + _along(self.slope, factor)


@dataclass(frozen=True)
class Logistic:
    """A flow between two bounds: ``low + (high - low) / (1 + exp(-slope . L))``. Positive, bounded and Lipschitz, as
    Assumption 5.3 asks, for ``low > 0``.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Logistic
        >>> Logistic(0.5, 3.5, slope=1.0)(0.0, np.array([[-20.0], [0.0], [20.0]])).round(3).tolist()
        [0.5, 2.0, 3.5]
    """

    low: float
    high: float
    slope: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        _make_usual(self)
        for name in ("low", "high"):
            if not is_number(getattr(self, name)) or not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected a finite number >= 0, got {getattr(self, name)!r}")
        _check_slope(self.slope)

    def __call__(self, t: Array, factor: Array) -> Array:
        score = _along(self.slope, factor)
        xp = namespace(score)
        return self.low + (self.high - self.low) * xp.exp(-xp.logaddexp(0 * score, -score))


def _make_usual(shape: Sine | Decay | Affine | Logistic) -> None:
    """Its fields as arrays of every library take them."""
    for each in fields(shape):
        value = getattr(shape, each.name)
        value = tuple(map(usual_number, value)) if isinstance(value, tuple) else usual_number(value)
        object.__setattr__(shape, each.name, value)


def _check_numbers(shape: Sine | Decay) -> None:
    for each in fields(shape):
        if not is_number(value := getattr(shape, each.name)):
            raise ValueError(f"{each.name}: expected a number, got {value!r}")


def _check_slope(slope: object) -> None:
    if not is_number(slope) and not (isinstance(slope, tuple) and all(map(is_number, slope))):
        raise ValueError(f"slope: expected a number or a tuple of numbers, got {slope!r}")


def _along(slope: float | tuple[float, ...], factor: Array) -> Array:
    """``slope . L``, (...,)."""
    if isinstance(slope, tuple) and len(slope) != factor.shape[-1]:
        raise ValueError(f"slope: expected {factor.shape[-1]} numbers, one for each factor, got {slope!r}")
    return (factor * as_like(slope, factor)).sum(axis=-1)


def of_factor(flow: object) -> bool:
    """True if a flow is a callable of (time, factor): any callable but the named functions of time."""
    return callable(flow) and not isinstance(flow, Points | Sine | Decay)

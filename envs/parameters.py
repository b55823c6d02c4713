"""Parameters that may change over time, and their exact averages over the steps of a grid.

A parameter is a number, or a callable that takes an array of times (any shape, ``0 <= t <= horizon``) and returns an
array of the same shape. The grid game replaces every such parameter by its mean over each step, computed with the
8-point Gauss-Legendre rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import is_number

FloatArray = NDArray[np.float64]
TimeFunction = Callable[[FloatArray], Any]
Parameter = float | TimeFunction
PerAgent = Parameter | Sequence[Parameter]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_PROBES = 65


@dataclass(frozen=True)
class Points:
    """Piecewise linear interpolation of ``(time, value)`` points; constant beyond the first and the last."""

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError(f"points: expected pairs of finite numbers (time, value), got {self.points!r}")
        if (np.diff(points[:, 0]) <= 0).any():
            raise ValueError(f"points: expected strictly increasing times, got {points[:, 0].tolist()}")
        object.__setattr__(self, "points", tuple((float(t), float(v)) for t, v in points))

    def __call__(self, t: FloatArray) -> FloatArray:
        times, values = np.asarray(self.points).T
        return np.asarray(np.interp(t, times, values))

    def step_means(self, times: FloatArray) -> FloatArray:
        """Exact means over the steps of a grid, corners within a step included."""
        corners = np.asarray(self.points)[:, 0]
        nodes = np.union1d(times, corners[(corners > times[0]) & (corners < times[-1])])
        values = self(nodes)
        areas = np.concatenate([[0.0], np.cumsum(np.diff(nodes) * (values[1:] + values[:-1]) / 2)])
        return np.diff(areas[np.searchsorted(nodes, times)]) / np.diff(times)


@dataclass(frozen=True)
class Sine:
    """``mean + amplitude sin(2 pi (t / period + phase))``."""

    mean: float
    amplitude: float
    period: float = 1.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        if self.period == 0:
            raise ValueError("period: expected a nonzero number, got 0")

    def __call__(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.mean + self.amplitude * np.sin(2 * np.pi * (np.asarray(t) / self.period + self.phase)))


@dataclass(frozen=True)
class Decay:
    """``scale exp(-decay t)``: a flow that dies out (``decay > 0``) or builds up (``decay < 0``)."""

    scale: float
    decay: float

    def __call__(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.scale * np.exp(-self.decay * np.asarray(t)))


def evaluate(parameter: Parameter, t: FloatArray, name: str) -> FloatArray:
    """Values of a parameter at the times ``t``, in the shape of ``t``. Raises ValueError for a wrong shape."""
    if not callable(parameter):
        return np.full(t.shape, float(parameter))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # callers check for finite values
        values = np.asarray(parameter(t), dtype=float)
    if values.shape not in (t.shape, ()):
        raise ValueError(
            f"{name}: a callable of time must return the shape of its argument, {t.shape}; got {values.shape}"
        )
    return np.broadcast_to(values, t.shape)


def per_agent(parameter: PerAgent, count: int, name: str) -> tuple[Parameter, ...]:
    """One parameter for each of ``count`` agents. Raises ValueError for a sequence of another length."""
    if callable(parameter) or is_number(parameter):
        return (parameter,) * count  # type: ignore[return-value]
    try:
        values = tuple(parameter.tolist() if isinstance(parameter, np.ndarray) else parameter)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name}: expected a number, a callable of time or one for each, got {parameter!r}") from error
    if len(values) != count:
        raise ValueError(f"{name}: expected one value or {count}, got {len(values)}: {list(values)!r}")
    return values


def step_means(parameter: Parameter, times: FloatArray, name: str = "parameter") -> FloatArray:
    """Mean of a parameter over each step of the grid ``times`` (K+1,); shape (K,)."""
    if not callable(parameter):
        return np.full(len(times) - 1, float(parameter))
    if isinstance(parameter, Points):
        return parameter.step_means(times)
    left, width = times[:-1, None], np.diff(times)[:, None]
    return evaluate(parameter, left + width * (_NODES + 1) / 2, name) @ (_WEIGHTS / 2)


def agent_step_means(parameter: PerAgent, times: FloatArray, count: int, name: str = "parameter") -> FloatArray:
    """Step means of a per-agent parameter; shape (K, count)."""
    everyone = per_agent(parameter, count, name)
    if not any(map(callable, everyone)):
        return np.tile(np.array(everyone, dtype=float), (len(times) - 1, 1))
    means: dict[Any, FloatArray] = {}
    columns = []
    for each in everyone:
        key = id(each) if callable(each) else float(each)
        if key not in means:
            means[key] = step_means(each, times, name)
        columns.append(means[key])
    return np.stack(columns, axis=-1)


def require(
    parameter: PerAgent,
    name: str,
    horizon: float,
    *,
    strict: bool = False,
    count: int | None = None,
) -> None:
    """Check that a parameter is finite and at least (``strict``: above) zero on ``[0, horizon]``.

    Raises ValueError that names the parameter, and the time of a callable's first offending value.
    """
    everyone: tuple[Any, ...] = (parameter,) if count is None else per_agent(parameter, count, name)
    for each in everyone:
        if not callable(each) and not is_number(each):
            raise ValueError(f"{name}: expected a number or a callable of time, got {each!r}")
    for each in dict.fromkeys(everyone):  # agents often share a parameter
        times = np.linspace(0.0, horizon, _PROBES) if callable(each) else np.zeros(1)
        if isinstance(each, Points):
            corners = np.asarray(each.points)[:, 0]
            times = np.concatenate([times, corners[(corners > 0) & (corners < horizon)]])
        try:
            values = evaluate(each, times, name)
        except TypeError as error:
            raise ValueError(f"{name}: expected a number or a callable of time, got {each!r}") from error
        bad = ~np.isfinite(values) | ((values <= 0) if strict else (values < 0))
        if bad.any():
            at = f" at t = {times[bad][0]:g}" if callable(each) else ""
            sign = ">" if strict else ">="
            raise ValueError(f"{name}: expected finite values {sign} 0, got {values[bad][0]:g}{at}")

"""Exogenous factors that drive the flows of noise traders, (39): ``dL = Gamma(t, L) dt + Sigma(t, L) dW``.

On a grid a factor moves at the end of a step, ``L_{k+1} = L_k + Gamma dt + Sigma sqrt(dt) Z_k``, and the flows of a
step are those of the factor at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from .arrays import Array, FloatArray, as_like, namespace
from .parameters import as_numbers, assign
from .probing import asked

FactorFunction = Callable[[Array, Array], Array]
_PROBES = 33
_FINER = 10


@dataclass(frozen=True)
class MeanReversion:
    """The drift ``rate (mean - L)``, componentwise."""

    rate: float | tuple[float, ...]
    mean: float | tuple[float, ...] = 0.0

    def __call__(self, t: Array, factor: Array) -> Array:
        return as_like(self.rate, factor) * (as_like(self.mean, factor) - factor)


@dataclass(frozen=True)
class BoundedReversion:
    """The drift ``rate bound tanh((mean - L) / bound)``, componentwise: mean reversion that never exceeds ``rate
    bound``, as Assumption 5.3 asks."""

    rate: float | tuple[float, ...]
    bound: float | tuple[float, ...]
    mean: float | tuple[float, ...] = 0.0

    def __call__(self, t: Array, factor: Array) -> Array:
        bound = as_like(self.bound, factor)
        scaled = (as_like(self.mean, factor) - factor) / bound
        return as_like(self.rate, factor) * bound * namespace(factor).tanh(scaled)


@dataclass(frozen=True)
class Constant:
    """A diffusion that depends on nothing: a number, (d,) or (d, d)."""

    value: float | tuple[object, ...]

    def __call__(self, t: Array, factor: Array) -> Array:
        return as_like(self.value, factor)


def _no_drift(t: FloatArray, factor: FloatArray) -> FloatArray:
    return np.zeros_like(factor)


@dataclass(frozen=True)
class Factor:
    """A Markov factor of any dimension ``d``.

    Args:
        initial: (d,) its value at time 0.
        drift: ``Gamma``, a callable of (time, factor (..., d)) that returns (..., d); none by default.
        diffusion: ``Sigma``, a callable of (time, factor) that returns a scalar, (..., d) or (..., d, d).

    Raises:
        ValueError: a value is not finite, or has a shape that does not fit.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Factor
        >>> trend = Factor((1.0,), drift=lambda t, level: -0.5 * level, diffusion=lambda t, level: 0.1)
        >>> trend.size
        1
        >>> trend.move(0.0, np.array([1.0]), 0.1, np.array([0.0])).tolist()  # a step without noise
        [0.95]
    """

    initial: Sequence[float] = (0.0,)
    drift: FactorFunction = _no_drift
    diffusion: FactorFunction = Constant(1.0)
    _matrix: bool = field(default=False, init=False, repr=False, compare=False)
    _scales: dict[float, FloatArray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assign(self, initial=as_numbers(self.initial, "factor.initial"))
        if not self.initial:
            raise ValueError(f"factor.initial: expected a list of finite numbers, got {self.initial!r}")
        for name in ("drift", "diffusion"):
            if not callable(getattr(self, name)):
                raise ValueError(f"factor.{name}: expected a callable of (time, factor), got {getattr(self, name)!r}")
        # a batch of another length than d tells a matrix (d, d) from a batch of vectors
        probe = np.tile(self.initial, (self.size + 1, 1))
        shape = _evaluated("diffusion", self.diffusion, np.zeros(()), probe).shape
        assign(self, _matrix=shape[-2:] == (self.size, self.size))
        self.move(np.zeros(()), probe, 1.0, np.zeros(probe.shape))

    @property
    def size(self) -> int:
        """Dimension ``d``."""
        return len(self.initial)

    def move(self, time: float | Array, factor: Array, dt: float, noise: Array) -> Array:
        """``L_{k+1}``, (..., d), from ``L_k`` (..., d) and standard normal increments (..., d); NumPy or JAX arrays.

        Raises:
            ValueError: a NumPy drift or diffusion is not finite, or has a shape that does not fit.
        """
        drift = _evaluated("drift", self.drift, time, factor)
        if drift.shape not in (factor.shape, (self.size,), ()):
            raise ValueError(f"factor.drift: expected finite values of shape {factor.shape}, got shape {drift.shape}")
        return factor + dt * drift + dt**0.5 * self.shake(time, factor, noise)

    def shake(self, time: float | Array, factor: Array, noise: Array) -> Array:
        """``Sigma Z``, (..., d)."""
        value = _evaluated("diffusion", self.diffusion, time, factor)
        if self._matrix and value.shape[-2:] == (self.size, self.size):
            return (value @ noise[..., None])[..., 0]
        if not self._matrix and value.shape in ((), (self.size,), factor.shape):
            return value * noise
        raise ValueError(
            f"factor.diffusion: expected a scalar, (..., {self.size}) or (..., {self.size}, {self.size}), "
            f"got shape {value.shape}"
        )

    def random(self, horizon: float) -> bool:
        """True if its diffusion is nonzero anywhere at the values and times that are looked at."""
        probes = np.array(self.initial) + self.scale(horizon) * np.linspace(-1, 1, 3)[:, None]
        return any(
            bool(self.shake(t, probes, np.broadcast_to(unit, probes.shape)).any())
            for t in np.linspace(0.0, horizon, _PROBES)
            for unit in np.eye(self.size)
        )

    def path(self, times: FloatArray, noise: FloatArray | None = None) -> FloatArray:
        """(..., K+1, d) values at the nodes of a grid; without noise (..., K, d) the path that the drift alone makes.

        Raises:
            ValueError: the noise has a wrong shape.
        """
        steps = len(times) - 1
        noise = np.zeros((steps, self.size)) if noise is None else np.asarray(noise, dtype=float)
        if noise.shape[-2:] != (steps, self.size):
            raise ValueError(f"noise.factor: expected shape (..., {steps}, {self.size}), got {noise.shape}")
        values = [np.broadcast_to(np.array(self.initial), (*noise.shape[:-2], self.size))]
        for k in range(steps):
            values.append(self.move(times[k], values[-1], float(times[k + 1] - times[k]), noise[..., k, :]))
        return np.stack(values, axis=-2)

    def scale(self, horizon: float) -> FloatArray:
        """(d,) characteristic size of the factor over a horizon: its undisturbed path, and the diffusion along it."""
        if horizon not in self._scales:
            self._scales[horizon] = self._scale(horizon)
        return self._scales[horizon]

    def _scale(self, horizon: float) -> FloatArray:
        times, still = self._settled(horizon)
        moves = [
            np.stack([self.shake(*node, unit) for node in zip(times, still, strict=True)]) for unit in np.eye(self.size)
        ]
        spread = np.sqrt(sum(each**2 for each in moves))
        size = np.abs(still).max(axis=0) + np.sqrt(horizon * (spread**2).mean(axis=0))
        return np.where(size > 0, size, 1.0)

    def _settled(self, horizon: float) -> tuple[FloatArray, FloatArray]:
        """Times, and the undisturbed path at them: on the coarsest grid on which it does not overshoot, its size being
        that on a grid twice as fine."""
        for number in range(_FINER):
            coarse, fine = (np.linspace(0.0, horizon, 2**power * (_PROBES - 1) + 1) for power in (number, number + 1))
            with np.errstate(over="ignore", invalid="ignore"):
                try:
                    found, wanted = self.path(coarse), self.path(fine)
                except ValueError:  # it overshoots beyond all numbers
                    continue
            size, known = np.abs(found).max(axis=0), np.abs(wanted).max(axis=0)
            if ((size <= 2 * known) & (known <= 2 * size)).all():
                return coarse, found
        times = np.linspace(0.0, horizon, _PROBES)
        return times, self.path(times)


Each: TypeAlias = float | Sequence[float]
"""a number for all components, or one for each"""


def ornstein_uhlenbeck(
    mean_reversion: Each, volatility: Each, *, mean: Each = 0.0, initial: Sequence[float] = (0.0,)
) -> Factor:
    """``dL = mean_reversion (mean - L) dt + volatility dW``, componentwise.

    Raises:
        ValueError: a parameter is not a finite number, or one for each component.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import ornstein_uhlenbeck
        >>> factor = ornstein_uhlenbeck(2.0, 1.0, initial=(0.5,))
        >>> factor.drift(0.0, np.array([0.5])).tolist()
        [-1.0]
    """
    size = _size(initial)
    reversion = MeanReversion(_each("mean_reversion", mean_reversion, size), _each("mean", mean, size))
    return Factor(tuple(initial), reversion, Constant(_each("volatility", volatility, size)))


def bounded_reversion(
    mean_reversion: Each, volatility: Each, bound: Each, *, mean: Each = 0.0, initial: Sequence[float] = (0.0,)
) -> Factor:
    """``dL = mean_reversion bound tanh((mean - L) / bound) dt + volatility dW``, componentwise: near its mean an
    Ornstein-Uhlenbeck process, with a drift of at most ``mean_reversion bound``.

    Raises:
        ValueError: a parameter is not a finite number, or one for each component, or a bound is not positive.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import bounded_reversion
        >>> factor = bounded_reversion(2.0, 1.0, bound=3.0)
        >>> factor.drift(0.0, np.array([[0.1], [100.0]])).round(3).ravel().tolist()  # never beyond 2 * 3
        [-0.2, -6.0]
    """
    size = _size(initial)
    limit = _each("bound", bound, size)
    if np.min(limit) <= 0:
        raise ValueError(f"factor.bound: expected positive numbers, got {bound!r}")
    reversion = BoundedReversion(_each("mean_reversion", mean_reversion, size), limit, _each("mean", mean, size))
    return Factor(tuple(initial), reversion, Constant(_each("volatility", volatility, size)))


def _evaluated(name: str, function: FactorFunction, time: float | Array, factor: Array) -> Array:
    """A function of the factor in the array library of the factor; finite, where that can be seen."""
    if namespace(factor) is not np:
        return as_like(function(time, factor), factor)
    at = np.asarray(time, dtype=float)
    value = asked(function, at, factor, name=f"factor.{name}", expected="a callable of (time, factor)")
    if not np.isfinite(value).all():
        raise ValueError(f"factor.{name}: expected finite values, got {value!r}")
    return value


def _size(initial: Sequence[float]) -> int:
    if np.ndim(initial) != 1:
        raise ValueError(f"factor.initial: expected a list of numbers, got {initial!r}")
    return len(initial)


def _each(name: str, value: Each, size: int) -> float | tuple[float, ...]:
    """A finite number, or a tuple with one for each component."""
    try:
        array = np.asarray(value, dtype=None if isinstance(value, bool) else float)
    except (TypeError, ValueError, OverflowError):
        array = np.array(np.nan)
    if array.dtype == bool or array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise ValueError(f"factor.{name}: expected a finite number or {size} of them, got {value!r}")
    return float(array) if array.ndim == 0 else tuple(array.tolist())

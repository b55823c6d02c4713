"""Parameters that may change over time, and their exact averages over the steps of a grid.

A parameter is a number, or a callable that takes an array of times (any shape, ``0 <= t <= horizon``) and returns an
array of the same shape. The grid game replaces every such parameter by its mean over each step, computed with the
8-point Gauss-Legendre rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray, is_number, is_whole, usual_number
from .flows import Affine, Logistic, Points
from .probing import asked

TimeFunction = Callable[[FloatArray], ArrayLike]
Parameter = float | TimeFunction
PerAgent = Parameter | Sequence[Parameter]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_PROBES = 65
_EXPECTED = "a number or a callable of time"


def evaluate(parameter: Parameter, t: FloatArray, name: str) -> FloatArray:
    """Values of a parameter at the times ``t``, in the shape of ``t``.

    Raises:
        ValueError: a callable fails, or returns no numbers or a wrong shape; or it is a function of a factor.
    """
    if not callable(parameter):
        return np.full(t.shape, float(parameter))
    if isinstance(parameter, Affine | Logistic):
        raise ValueError(
            f"{name}: expected {_EXPECTED}, got {parameter!r}, a function of a factor: only flows may be one, in a "
            "game that has a factor (factor=, or a table [factor])"
        )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # callers check for finite values
        values = asked(parameter, t, name=name, expected=_EXPECTED)
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
    means = {each: step_means(each, times, name) for each in dict.fromkeys(everyone)}  # agents often share a parameter
    return np.stack([means[each] for each in everyone], axis=-1)


def require(parameter: PerAgent, name: str, horizon: float, *, strict: bool = False, count: int | None = None) -> None:
    """Check that a parameter is finite and at least (``strict``: above) zero on ``[0, horizon]``.

    Raises ValueError that names the parameter, and the time of a callable's first offending value.
    """
    everyone = (cast(Parameter, parameter),) if count is None else per_agent(parameter, count, name)
    for each in everyone:
        if not callable(each) and not is_number(each):
            raise ValueError(f"{name}: expected {_EXPECTED}, got {each!r}")
    for each in dict.fromkeys(everyone):  # agents often share a parameter
        times = np.linspace(0.0, horizon, _PROBES) if callable(each) else np.zeros(1)
        if isinstance(each, Points):
            times = np.concatenate([times, each.corners(0.0, horizon)])
        values = evaluate(each, times, name)
        bad = ~np.isfinite(values) | ((values <= 0) if strict else (values < 0))
        if bad.any():
            at = f" at t = {times[bad][0]:g}" if callable(each) else ""
            sign = ">" if strict else ">="
            raise ValueError(f"{name}: expected finite values {sign} 0, got {values[bad][0]:g}{at}")


def as_numbers(values: Sequence[float], name: str) -> tuple[float, ...]:
    """A list of numbers as a tuple of floats. Raises ValueError for anything but a list of finite numbers."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: expected a list of numbers, got {values!r}") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected a list of finite numbers, got {values!r}")
    return tuple(array.tolist())


def as_parameter(value: object) -> object:
    """Lists and one-dimensional arrays as tuples, so that games are equal and hashable by value, and numbers as
    :func:`~.arrays.usual_number` has them; others as they are."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(usual_number, value)) if isinstance(value, list | tuple) else usual_number(value)


def check_number(name: str, value: float, *, minimum: float = 0.0, strict: bool = False) -> None:
    """Raises ValueError unless ``value`` is a finite number of at least, or above, the minimum."""
    if not is_number(value):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    if not (np.isfinite(float(value)) and (value > minimum if strict else value >= minimum)):
        bound = f" {'>' if strict else '>='} {minimum:g}" if np.isfinite(minimum) else ""
        raise ValueError(f"{name}: expected a finite number{bound}, got {value!r}")


def as_number(name: str, value: float, expected: str, *, limit: float = np.inf, strict: bool = True) -> float:
    """A number as a float; a NumPy scalar would turn float32 into float64.

    Raises ValueError unless it is below the limit, and above 0 or, if not ``strict``, at least 0.
    """
    if not is_number(value) or not (0 < value < limit or (value == 0 and not strict)):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return float(value)


def assign(instance: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """The value, as Python's int. Raises ValueError unless it is a whole number of at least ``least``."""
    if not is_whole(value) or value < least or not is_number(value):
        expected = "a positive whole number" if least == 1 else f"a whole number >= {least}"
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return int(value)

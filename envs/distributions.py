"""Distributions of a market's parameters: functions of uniform draws, on arrays of any library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .arrays import Array, as_like, namespace
from .parameters import assign

Value: TypeAlias = float | Sequence[float]
"""a number, or one for each agent"""


class Distribution(ABC):
    """The distribution of a parameter: a number, or one for each agent, independently."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Number of entries of a list; None for a number, which agents share."""

    @abstractmethod
    def value(self, uniform: Array) -> Array:
        """Values (..., size) of draws (..., size) that are uniform in [0, 1); a number has size 1."""

    @abstractmethod
    def context(self, uniform: Array) -> Array:
        """What agents see of it, (..., size), in [-1, 1]."""

    @property
    def width(self) -> int:
        """Number of uniform draws that a value takes."""
        return 1 if self.size is None else self.size


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between two numbers, or, entry by entry, between two lists.

    Raises:
        ValueError: a bound is not finite, or the lower is above the upper.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Uniform
        >>> Uniform(1.0, 3.0).value(np.array([0.5])).tolist()  # at the middle of its range
        [2.0]
        >>> Uniform([-10.0, 1.0], [-2.0, 2.0]).size
        2
    """

    low: Value
    high: Value

    def __post_init__(self) -> None:
        name = type(self).__name__
        assign(self, low=_checked(f"{name}.low", self.low), high=_checked(f"{name}.high", self.high))
        low, high = np.asarray(self.low), np.asarray(self.high)
        if low.shape != high.shape or (low > high).any():
            raise ValueError(f"{name}: expected low <= high, alike in length, got {self.low!r} and {self.high!r}")

    @property
    def size(self) -> int | None:
        """Number of entries of a list; None for a number."""
        return len(self.low) if isinstance(self.low, tuple) else None

    def value(self, uniform: Array) -> Array:
        """``low + (high - low) u``."""
        low, high = as_like(self.low, uniform), as_like(self.high, uniform)
        return low + (high - low) * uniform

    def context(self, uniform: Array) -> Array:
        """``2 u - 1``."""
        return 2 * uniform - 1


@dataclass(frozen=True)
class LogUniform(Uniform):
    """The logarithm of the size is uniform; both bounds are positive, or both negative.

    Raises:
        ValueError: bounds of :class:`Uniform` that do not fit, or that are not of one sign.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import LogUniform
        >>> LogUniform(1.0, 100.0).value(np.array([0.5])).round(12).tolist()
        [10.0]
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if (np.asarray(self.low) * np.asarray(self.high) <= 0).any():
            raise ValueError(f"LogUniform: expected bounds of one sign, got {self.low!r} and {self.high!r}")

    def value(self, uniform: Array) -> Array:
        """``low (high / low)^u``."""
        ratio = np.log(np.asarray(self.high) / np.asarray(self.low))
        return as_like(self.low, uniform) * namespace(uniform).exp(as_like(ratio, uniform) * uniform)


@dataclass(frozen=True)
class Choice(Distribution):
    """One of several numbers, or of several lists, with equal probabilities.

    Raises:
        ValueError: there is no value, or they differ in length, or one is not finite.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Choice
        >>> Choice([1.0, 2.0, 5.0]).value(np.array([0.5])).tolist()
        [2.0]
    """

    values: Sequence[Value]

    def __post_init__(self) -> None:
        if not isinstance(self.values, Sequence) or not self.values:
            raise ValueError(f"Choice: expected a list of values, got {self.values!r}")
        values = tuple(_checked("Choice.values", each) for each in self.values)
        if len({np.shape(each) for each in values}) > 1:
            raise ValueError(f"Choice: expected values of one length, got {values!r}")
        assign(self, values=values)

    @property
    def size(self) -> int | None:
        """Number of entries of a list; None for a number."""
        return len(self.values[0]) if isinstance(self.values[0], tuple) else None

    @property
    def width(self) -> int:
        """One draw chooses a whole list."""
        return 1

    def _index(self, uniform: Array) -> Array:
        """(..., 1) position of the chosen value, as a float."""
        return namespace(uniform).floor(uniform * len(self.values))

    def value(self, uniform: Array) -> Array:
        """The chosen values, (..., size)."""
        table = as_like(np.reshape(self.values, (len(self.values), -1)), uniform)
        positions = as_like(np.arange(len(self.values), dtype=float), uniform)
        chosen = self._index(uniform) == positions  # (..., count)
        return namespace(uniform).matmul(namespace(uniform).astype(chosen, uniform.dtype), table)

    def context(self, uniform: Array) -> Array:
        """Position among the values, from -1 to 1; 0 where there is one only."""
        last = len(self.values) - 1
        return 2 * self._index(uniform) / last - 1 if last else 0 * uniform


KINDS: dict[str, type[Distribution]] = {"uniform": Uniform, "log_uniform": LogUniform, "choice": Choice}
"""by the names that scenario files use"""


def from_table(name: str, table: object) -> Distribution:
    """A distribution from a file: ``{uniform = [low, high]}``, ``{log_uniform = [low, high]}``, ``{choice = [...]}``.

    Raises:
        ValueError: another table, or values that do not fit.
    """
    if isinstance(table, Distribution):
        return table
    if not isinstance(table, Mapping) or len(table) != 1 or next(iter(table)) not in KINDS:
        raise ValueError(f"random.{name}: expected one of {list(KINDS)}, as in {{uniform = [1, 2]}}, got {table!r}")
    ((kind, given),) = table.items()
    if not isinstance(given, list | tuple) or (kind != "choice" and len(given) != 2):
        wanted = "values" if kind == "choice" else "two bounds"
        raise ValueError(f"random.{name}.{kind}: expected a list of {wanted}, got {given!r}")
    try:
        return Choice(given) if kind == "choice" else KINDS[kind](*given)
    except ValueError as error:
        raise ValueError(f"random.{name}: {error}") from error


def to_table(distribution: Distribution) -> dict[str, object]:
    """The inverse of :func:`from_table`."""
    name = next(name for name, kind in KINDS.items() if type(distribution) is kind)
    given = distribution.values if isinstance(distribution, Choice) else [distribution.low, distribution.high]  # type: ignore[attr-defined]
    return {name: [list(each) if isinstance(each, tuple) else each for each in given]}


def _checked(name: str, value: object) -> float | tuple[float, ...]:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: expected a number or a list of numbers, got {value!r}") from error
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got {value!r}")
    return tuple(array.tolist()) if array.ndim else float(array)

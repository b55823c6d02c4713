"""Functions of which only values are known: points to look at them, and the search for their least value.

Probing can refute a condition, it cannot prove one. Points are drawn, one from each cell of a grid, so that no period
hides between them; always the same points, so that results can be repeated. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Array, FloatArray

_SEED = 20260
_STARTS = 8
_ROUNDS = 40
_TRIES = 16
_SHRINK = 0.6
_DECADES = 9
_TIMES = 2048


def asked(function: Callable[..., object], *arguments: FloatArray, name: str, expected: str) -> FloatArray:
    """Values of somebody's function of arrays, as floats.

    Args:
        function: takes the arguments.
        arguments: arrays.
        name: of the function, for messages.
        expected: what it should be, for messages: ``"a callable of time"``.

    Raises:
        ValueError: the function fails, or returns no numbers; the message has the function, and the cause.
    """
    try:
        values = function(*arguments)
    except Exception as error:  # it may raise anything
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        hint = ""
        if _takes_single_numbers(function, arguments):
            hint = "; it takes single numbers only: use NumPy's functions, such as np.sin and np.where, or np.vectorize"
        raise ValueError(f"{name}: expected {expected}, got {function!r}, which raised {cause}{hint}") from error
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        found = " ".join(repr(values).split())
        raise ValueError(f"{name}: expected {expected}, got {function!r}, which returned {found}") from error


def _takes_single_numbers(function: Callable[..., object], arguments: Sequence[FloatArray]) -> bool:
    try:
        float(function(*(float(np.ravel(each)[0]) for each in arguments)))  # type: ignore[arg-type]
    except Exception:  # of the user's own function; no more than a hint hangs on it
        return False
    return True


class Least(NamedTuple):
    """The least value that was found of a function of one variable."""

    at: float
    value: float
    points: int
    """number of points at which it was looked for, before the search around the worst ones"""


def cells(low: float, high: float, count: int) -> FloatArray:
    """(count + 2,) sorted points: both ends, and one drawn from each of ``count`` equal cells."""
    drawn = (np.arange(count) + np.random.default_rng(_SEED).random(count)) / count
    return np.concatenate([[low], low + (high - low) * drawn, [high]])


def near(scale: float) -> FloatArray:
    """(109,) positive distances from a point, sorted: twelve in every factor of ten below a scale."""
    return np.asarray(scale * 10.0 ** -np.linspace(_DECADES, 0, 12 * _DECADES + 1))


def times(horizon: float, corners: Sequence[float] = ()) -> FloatArray:
    """Sorted times at which functions of time are looked at, also close to both ends, and at given corners."""
    close = near(horizon / 2)
    return np.unique(np.concatenate([cells(0.0, horizon, _TIMES), close, horizon - close, np.asarray(corners)]))


def least(function: Callable[[FloatArray], FloatArray], points: FloatArray) -> Least:
    """The least value of a function of one variable.

    Args:
        function: (P,) to (P,); NaN counts as no value.
        points: sorted; around the worst of them, up to their neighbours, the search goes on.
    """
    starts, radius = _worst_local(points, function(points))
    found, values = settle(lambda at: function(at[:, 0]), starts[:, None], radius[:, None], points[0], points[-1])
    index = int(values.argmin())
    return Least(float(found[index, 0]), float(values[index]), len(points))


def around_the_worst(function: Callable[[FloatArray], FloatArray], points: FloatArray, rounds: int) -> FloatArray:
    """(8,) or fewer points at which a function, (P,) to (P,), is locally least, from its worst values at sorted
    points."""
    starts, radius = _worst_local(points, function(points))
    low, high = points[0], points[-1]
    found, _ = settle(lambda at: function(at[:, 0]), starts[:, None], radius[:, None], low, high, rounds=rounds)
    return np.asarray(found[:, 0])


def settle(
    function: Callable[[Array], Array],
    points: Array,
    radius: Array,
    low: Array = -np.inf,
    high: Array = np.inf,
    *,
    rounds: int = _ROUNDS,
    tries: int = _TRIES,
) -> tuple[Array, Array]:
    """Local minima of a function of ``d`` variables: drawn moves around each point, ever shorter; the best one stays.

    It needs no derivative and stops at kinks and bounds as well.

    Args:
        function: (P, d) to (P,); NaN counts as no value.
        points: (m, d) to start from.
        radius: (m, 1) or (m, d), size of the first moves.
        low: bound of the points, a number or (d,).
        high: the same.
        rounds: number of times that all points move.
        tries: moves that are looked at in a round, for each point.

    Returns:
        (m, d) points and (m,) values, infinite where there is none.
    """
    rng = np.random.default_rng(_SEED)
    best = np.clip(points, low, high)
    m, d = best.shape
    value = _known(function(best))
    for number in range(rounds):
        size = np.expand_dims(radius, 1) * _SHRINK**number * 10.0 ** -rng.uniform(0, 2, (m, tries, 1))
        move = rng.uniform(-1, 1, (m, tries, d))
        half = tries // 2
        move[:, :half] *= rng.integers(d, size=(m, half, 1)) == np.arange(d)  # along one coordinate
        trial = np.clip(best[:, None] + size * move, low, high)
        found = _known(function(trial.reshape(-1, d))).reshape(m, tries)
        index = found.argmin(axis=1)
        reached = found[np.arange(m), index]
        better = reached < value
        best = np.where(better[:, None], trial[np.arange(m), index], best)
        value = np.where(better, reached, value)
    return best, value


def _known(values: Array) -> Array:
    values = np.asarray(values, dtype=float)
    return np.where(np.isnan(values), np.inf, values)


def _worst_local(points: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The points with the least values among their neighbours, and their distances to these."""
    values = _known(values)
    left, right = np.concatenate([[np.inf], values[:-1]]), np.concatenate([values[1:], [np.inf]])
    local = np.flatnonzero((values <= left) & (values <= right))
    chosen = local[np.argsort(values[local], kind="stable")[:_STARTS]]
    gaps = np.diff(points)
    width = np.maximum(np.concatenate([[0.0], gaps]), np.concatenate([gaps, [0.0]]))
    return points[chosen], width[chosen]

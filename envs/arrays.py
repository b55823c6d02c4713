"""Small helpers that let one code run on NumPy, PyTorch and JAX arrays."""

from __future__ import annotations

from numbers import Real
from typing import Any, TypeAlias, TypeGuard

import array_api_compat
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of NumPy, PyTorch or JAX; shapes stand in the docstrings."""

FloatArray: TypeAlias = NDArray[np.float64]

_NUMPY = (np.ndarray, np.generic)
_NAMESPACES: dict[type, Any] = {np.ndarray: np}
"""the namespace of every array type seen so far; looking it up anew costs more than a small product"""


def is_number(value: object) -> bool:
    """True for a real number that a float can hold; a truth value is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_whole(value: object) -> TypeGuard[int]:
    """True for a whole number; a truth value is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def usual_number(value: Any) -> Any:
    """A fraction, or an integer that NumPy does not have, as a float, which arrays take; anything else as it is."""
    usual = isinstance(value, float | np.generic) or (is_whole(value) and abs(value) < 2**63)
    return value if usual or not is_number(value) else float(value)


def namespace(*arrays: Array) -> Any:
    """The array-API namespace of the arguments; NumPy's own for NumPy arrays, which saves a wrapper per call."""
    kind = type(arrays[0])
    known = _NAMESPACES.get(kind)
    if known is not None and (len(arrays) == 1 or all(type(each) is kind for each in arrays)):
        return known
    others = [type(each) for each in arrays if not isinstance(each, _NUMPY)]
    if not others:
        return np
    return _NAMESPACES.setdefault(others[0], array_api_compat.array_namespace(*arrays))


def as_like(value: Any, like: Array) -> Array:
    """``value`` as an array of the namespace, dtype and device of ``like``."""
    xp = namespace(like)
    if xp is np:
        return np.asarray(value, dtype=like.dtype)
    kind = type(like)
    if type(value) is kind and kind.__module__ == "torch" and value.dtype == like.dtype and value.device == like.device:
        return value  # a tensor asks for its device quickly, a traced array of JAX does not
    if array_api_compat.is_jax_array(like):  # whose constants follow what they meet, to several devices as well
        return xp.asarray(value, dtype=like.dtype)
    return xp.asarray(value, dtype=like.dtype, device=array_api_compat.device(like))


def floating(value: Any) -> Array:
    """Lists and NumPy numbers as a float array; arrays of the other libraries as they are."""
    if array_api_compat.is_array_api_obj(value) and not isinstance(value, np.ndarray | np.generic):
        return value
    array = np.asarray(value)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(float)


def as_numpy(value: Any) -> np.ndarray:
    """Numbers, lists, and arrays of any library, as a NumPy array of floats.

    Raises:
        ValueError: it is none.
    """
    if type(value) is np.ndarray and value.dtype.char in "efd":
        return value
    if isinstance(value, np.ma.MaskedArray):  # what is masked is no number
        value = np.where(np.ma.getmaskarray(value), np.nan, np.asarray(value, dtype=float))
    try:
        if hasattr(value, "detach"):  # PyTorch's may be on another device, or part of a graph
            value = value.detach().cpu().double()
        array = np.asarray(value)
        if array.dtype.kind in "cSUMm":  # complex, text, dates
            raise ValueError(f"expected numbers, got {value!r}")
        return array.astype(float)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"expected numbers, got {value!r}") from error


def reshaped(values: Any, shape: tuple[int, ...]) -> Any:
    """An array in another shape, if the two differ only in axes of length 1, so that no order is guessed; else None."""
    own = tuple(values.shape)
    if own == shape:
        return values
    plain, wanted = ([size for size in each if size != 1] for each in (own, shape))
    return values.reshape(shape) if plain == wanted else None


def bounded(values: Array, limit: float) -> Array:
    """The values, truncated at plus and minus a limit."""
    if isinstance(values, np.ndarray):  # faster than clip on small arrays
        return np.minimum(np.maximum(values, -limit), limit)
    return namespace(values).clip(values, -limit, limit)

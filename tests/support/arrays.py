"""Arrays of NumPy, PyTorch and JAX."""

from contextlib import contextmanager

import numpy as np
import pytest

LIBRARIES = ("numpy", "torch", "jax")


def array(library, value, dtype="float64"):
    """The values as an array of a library; skips the test where it is not installed."""
    if library == "numpy":
        return np.asarray(value, dtype=dtype)
    if library == "torch":
        torch = pytest.importorskip("torch")
        return torch.tensor(np.asarray(value), dtype=getattr(torch, dtype))
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(value, dtype=dtype)


def arrays(library, *values, dtype="float64"):
    """Several values, one by one."""
    return tuple(array(library, value, dtype) for value in values)


@contextmanager
def jax_precision(double=True):
    """JAX in double precision, or in single, which is its own choice; afterwards as before."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", double)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)

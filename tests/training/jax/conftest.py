"""JAX as learners use it."""

import pytest

from support.arrays import jax_precision


@pytest.fixture(autouse=True)
def single_precision():
    """What is tested below the learners is of single precision; other tests of this process may have chosen double."""
    with jax_precision(double=False):
        yield

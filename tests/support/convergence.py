"""Orders of convergence: errors on grids of which each has twice the steps of the one before."""

import numpy as np


def falls(errors):
    """Factors by which errors fall from grid to grid."""
    return np.divide(errors[:-1], errors[1:])


def assert_first_order(errors):
    """An error ``c dt + O(dt^2)`` falls by 2 where the step halves."""
    assert ((falls(errors) > 1.8) & (falls(errors) < 2.2)).all(), errors


def assert_second_order(errors, above=0.0):
    """An error ``c dt^2 + O(dt^4)`` falls by 4 where the step halves; all are above what the reference errs by."""
    assert ((falls(errors) > 3.8) & (falls(errors) < 4.2)).all(), errors
    assert errors[-1] > above, errors

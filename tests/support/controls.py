"""Profiles of controls: drawn, taken apart, compared."""

import numpy as np


def assert_same_controls(controls, expected, atol=1e-9):
    for found, wanted in zip(controls, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)

"""Derivatives by differences."""

import numpy as np


def difference(function, point, step=1e-6):
    """``d function / d point_j`` of points (..., n) along a new last axis, by central differences."""
    units = step * np.eye(point.shape[-1])
    return np.stack([(function(point + unit) - function(point - unit)) / (2 * step) for unit in units], axis=-1)

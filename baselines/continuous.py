"""The execution game in continuous time; see :mod:`makertaker.baselines.execution.continuous`."""

from .execution.continuous import (
    Field,
    Matrices,
    Mode,
    Path,
    constant,
    field,
    homogeneous,
    matrices,
    modes,
    path,
    riccati,
)

__all__ = [
    "Field",
    "Matrices",
    "Mode",
    "Path",
    "constant",
    "field",
    "homogeneous",
    "matrices",
    "modes",
    "path",
    "riccati",
]

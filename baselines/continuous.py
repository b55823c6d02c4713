"""The execution game in continuous time; see :mod:`makertaker.baselines.execution.continuous`."""

from .execution.continuous import *  # noqa: F403

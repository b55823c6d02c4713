"""The algorithms of stable-baselines3; see :mod:`makertaker.training.sb3.algorithms`."""

from .sb3.algorithm import Algorithm
from .sb3.algorithms import ALGORITHMS, Progress, ShrinkExploration, find, learning_rate

__all__ = ["ALGORITHMS", "Algorithm", "Progress", "ShrinkExploration", "find", "learning_rate"]

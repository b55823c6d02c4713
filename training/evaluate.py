"""The comparison with the equilibrium; see :mod:`makertaker.training.evaluation.scoring`."""

from .evaluation.distances import agent_distances, control_distance, relative_distance
from .evaluation.scoring import Evaluation, evaluate, open_loop_nash_conv

__all__ = ["Evaluation", "agent_distances", "control_distance", "evaluate", "open_loop_nash_conv", "relative_distance"]

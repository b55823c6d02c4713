"""BenchMARL callbacks; see :mod:`makertaker.training.benchmarl.callbacks`."""

from .benchmarl.callbacks import Anneal, NashConvHistory

__all__ = ["Anneal", "NashConvHistory"]

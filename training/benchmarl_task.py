"""Games as BenchMARL tasks; see :mod:`makertaker.training.benchmarl.task`."""

from .benchmarl.task import MarketTask, policies

__all__ = ["MarketTask", "policies"]

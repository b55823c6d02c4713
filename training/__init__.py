"""Independent learning, and the comparison of what was learned with the equilibrium.

With stable-baselines3 (extra ``train``); on Ray, with RLlib: :mod:`makertaker.training.rllib` (extra ``ray``); with
BenchMARL: :mod:`makertaker.training.benchmarl_task`. The names below need the extra ``train`` and are imported on first
use, so that the commands that only solve work without.
"""

from typing import TYPE_CHECKING, Any

from .extras import needed

if TYPE_CHECKING:
    from .independent import IndependentLearners
    from .joint_market import LearnedPolicy
    from .vec_env import MarketVecEnv

__all__ = ["IndependentLearners", "LearnedPolicy", "MarketVecEnv"]

_HOME = {"IndependentLearners": "independent", "LearnedPolicy": "joint_market", "MarketVecEnv": "vec_env"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(needed(_HOME[name], "train"), name)

"""Independent learning, and the comparison of learned policies with the equilibrium.

With stable-baselines3 (extra ``train``); on Ray, with RLlib: :mod:`makertaker.training.rllib` (extra ``ray``); with
BenchMARL: :mod:`makertaker.training.benchmarl_task`. The names below need the extra ``train`` and are imported on first
use, so that the commands that only solve work without.
"""

from typing import TYPE_CHECKING

from .common.extras import needed

if TYPE_CHECKING:
    from .common.joint_market import LearnedPolicy
    from .sb3.independent import IndependentLearners
    from .sb3.vec_env import MarketVecEnv

__all__ = ["IndependentLearners", "LearnedPolicy", "MarketVecEnv"]

_HOME = {
    "IndependentLearners": "sb3.independent",
    "LearnedPolicy": "common.joint_market",
    "MarketVecEnv": "sb3.vec_env",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(needed(_HOME[name], "train"), name)

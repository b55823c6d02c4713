"""Independent learning with stable-baselines3, and the comparison of what was learned with the equilibrium.

Needs the extra ``train``. The names below are imported on first use, so that the commands that only solve work without.
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

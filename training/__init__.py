"""Independent learning, and the comparison of learned policies with the equilibrium.

``score`` says how far anybody's agents are from Nash in an environment of this package, ``evaluate`` the same of
policies in physical units; they need nothing but the core. Learning: with stable-baselines3 (extra ``train``); on Ray,
with RLlib: :mod:`makertaker.training.rllib` (extra ``ray``); with BenchMARL: :mod:`makertaker.training.benchmarl_task`.
Names are imported on first use, so that the commands that only solve work without.
"""

from typing import TYPE_CHECKING

from .common.extras import needed

if TYPE_CHECKING:
    from .common.joint_market import LearnedPolicy
    from .evaluation.score import Score, score
    from .evaluation.scoring import Evaluation, evaluate
    from .sb3.algorithm import Algorithm
    from .sb3.independent import IndependentLearners
    from .sb3.vec_env import MarketVecEnv

__all__ = [
    "Algorithm",
    "Evaluation",
    "IndependentLearners",
    "LearnedPolicy",
    "MarketVecEnv",
    "Score",
    "evaluate",
    "score",
]

_HOME = {
    "Algorithm": "sb3.algorithm",
    "Evaluation": "evaluation.scoring",
    "IndependentLearners": "sb3.independent",
    "LearnedPolicy": "common.joint_market",
    "MarketVecEnv": "sb3.vec_env",
    "Score": "evaluation.score",
    "evaluate": "evaluation.scoring",
    "score": "evaluation.score",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(needed(_HOME[name], "train"), name)

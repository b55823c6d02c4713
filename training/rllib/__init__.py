"""RLlib on the markets: a batched environment runner, independent PPO, and the same runs as with stable-baselines3.

Needs the extra ``ray``.
"""

from ...envs.text import how_to_install
from ..common.hyperparameters import PPOSettings

try:
    from .config import ppo_config
    from .learners import RLlibLearners
    from .runner import MarketRunner
except ModuleNotFoundError as error:
    raise ImportError(f"makertaker.training.rllib needs {error.name}: {how_to_install('ray')}") from error

__all__ = ["MarketRunner", "PPOSettings", "RLlibLearners", "ppo_config"]

"""Games between liquidity takers and makers, and their environments. Importing this registers the ids of Gymnasium
and PettingZoo."""

import gymnasium
import numpy
import pettingzoo

if numpy.lib.NumpyVersion(numpy.__version__) < "2.1.0":  # whose array API is used throughout
    raise ImportError(f"makertaker needs NumPy 2.1 or later, got {numpy.__version__}: pip install 'numpy>=2.1'")

from . import acas_v0, approximation_v0, execution_v0, maker_taker_v0
from .competition import Competition
from .custom_impact import CustomImpact
from .distributions import Choice, LogUniform, Uniform
from .execution_game import ExecutionGame
from .factor import Factor, bounded_reversion, ornstein_uhlenbeck
from .flows import Affine, Decay, Logistic, Points, Sine
from .game import Controls, Game
from .grid import Policy, State, Trajectory, rollout, simulate
from .impact import CrowdedImpact, Impact, QuadraticImpact, QuarticImpact
from .intensity import CustomIntensity, Exponential, Intensity, Softplus
from .intensity_shares import BestQuote, ProductShare
from .maker_taker_game import MakerTakerGame
from .noise import Noise, draw_noise
from .options import Options
from .payoff_parts import PayoffParts, payoff_parts
from .random_markets import RandomMarkets
from .scenarios import Scenario, load_scenario, read_scenario, scenario_names
from .softmax_share import SoftmaxShare
from .vector_env import MarketVectorEnv

__all__ = [
    "Affine",
    "BestQuote",
    "Choice",
    "Competition",
    "Controls",
    "CrowdedImpact",
    "CustomImpact",
    "CustomIntensity",
    "Decay",
    "ExecutionGame",
    "Exponential",
    "Factor",
    "Game",
    "Impact",
    "Intensity",
    "LogUniform",
    "Logistic",
    "MakerTakerGame",
    "MarketVectorEnv",
    "Noise",
    "Options",
    "PayoffParts",
    "Points",
    "Policy",
    "ProductShare",
    "QuadraticImpact",
    "QuarticImpact",
    "RandomMarkets",
    "Scenario",
    "Sine",
    "SoftmaxShare",
    "Softplus",
    "State",
    "Trajectory",
    "Uniform",
    "acas_v0",
    "approximation_v0",
    "bounded_reversion",
    "draw_noise",
    "execution_v0",
    "load_scenario",
    "maker_taker_v0",
    "ornstein_uhlenbeck",
    "payoff_parts",
    "read_scenario",
    "rollout",
    "scenario_names",
    "simulate",
]

_IDS = {"Acas": "acas", "Approximation": "approximation", "Execution": "execution", "MakerTaker": "maker_taker"}
for _id, _entry in _IDS.items():
    if f"makertaker/{_id}-v0" not in gymnasium.registry:
        # names, not objects: the default opponents are equilibria, which live above this package
        gymnasium.register(
            f"makertaker/{_id}-v0",
            entry_point=f"makertaker.baselines.gymnasium_envs:{_entry}",
            vector_entry_point=f"makertaker.baselines.gymnasium_envs:{_entry}_vector",
        )
if hasattr(pettingzoo, "register"):  # since PettingZoo 1.27: by the same ids, and by the modules' names
    for _type, _made in (("parallel", "parallel_env"), ("aec", "env")):
        _known = getattr(pettingzoo, f"{_type}_registry")
        for _id, _entry in _IDS.items():
            for _name in (f"makertaker/{_id}-v0", f"makertaker/{_entry}-v0"):
                if _name not in _known:
                    pettingzoo.register(_type, _name, f"makertaker.envs.{_entry}_v0:{_made}")

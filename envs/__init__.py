"""Games between liquidity takers and makers, and their environments. Importing this registers the Gymnasium ids."""

import gymnasium

from . import acas_v0
from .competition import BestQuote
from .grid import Noise, Policy, State, Trajectory, rollout, simulate
from .impact import QuadraticImpact
from .intensity import Exponential
from .maker_taker_game import Controls, MakerTakerGame
from .scenarios import Scenario, load_scenario, read_scenario, scenario_names
from .vector_env import MarketVectorEnv

__all__ = [
    "BestQuote",
    "Controls",
    "Exponential",
    "MakerTakerGame",
    "MarketVectorEnv",
    "Noise",
    "Policy",
    "QuadraticImpact",
    "Scenario",
    "State",
    "Trajectory",
    "acas_v0",
    "load_scenario",
    "read_scenario",
    "rollout",
    "scenario_names",
    "simulate",
]

if "makertaker/Acas-v0" not in gymnasium.registry:
    # names, not objects: the default opponents are equilibria, which live above this package
    gymnasium.register(
        "makertaker/Acas-v0",
        entry_point="makertaker.baselines.gymnasium_envs:acas",
        vector_entry_point="makertaker.baselines.gymnasium_envs:acas_vector",
    )

"""Games between liquidity takers and makers, and their environments. Importing this registers the Gymnasium ids."""

import gymnasium

from . import acas_v0, execution_v0
from .competition import BestQuote
from .execution_game import ExecutionGame
from .factor import Affine, Factor, ornstein_uhlenbeck
from .game import Controls, Game
from .grid import Noise, Policy, State, Trajectory, rollout, simulate
from .impact import QuadraticImpact
from .intensity import Exponential
from .maker_taker_game import MakerTakerGame
from .scenarios import Scenario, load_scenario, read_scenario, scenario_names
from .vector_env import MarketVectorEnv

__all__ = [
    "Affine",
    "BestQuote",
    "Controls",
    "ExecutionGame",
    "Exponential",
    "Factor",
    "Game",
    "MakerTakerGame",
    "MarketVectorEnv",
    "Noise",
    "Policy",
    "QuadraticImpact",
    "Scenario",
    "State",
    "Trajectory",
    "acas_v0",
    "execution_v0",
    "load_scenario",
    "ornstein_uhlenbeck",
    "read_scenario",
    "rollout",
    "scenario_names",
    "simulate",
]

for _id, _entry in (("Acas", "acas"), ("Execution", "execution")):
    if f"makertaker/{_id}-v0" not in gymnasium.registry:
        # names, not objects: the default opponents are equilibria, which live above this package
        gymnasium.register(
            f"makertaker/{_id}-v0",
            entry_point=f"makertaker.baselines.gymnasium_envs:{_entry}",
            vector_entry_point=f"makertaker.baselines.gymnasium_envs:{_entry}_vector",
        )

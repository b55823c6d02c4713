"""Equilibria and other reference points: to play, to compare with, to exploit."""

from .best_response import BestResponse, best_response, best_response_to_policies
from .equilibrium import Equilibrium, EquilibriumNotFound, solve
from .exploitability import Exploitability, exploitability
from .heuristics import almgren_chriss, constant_spread, heuristic_profiles, random_controls, twap
from .policies import OpenLoop, open_loop_policies

__all__ = [
    "BestResponse",
    "Equilibrium",
    "EquilibriumNotFound",
    "Exploitability",
    "OpenLoop",
    "almgren_chriss",
    "best_response",
    "best_response_to_policies",
    "constant_spread",
    "exploitability",
    "heuristic_profiles",
    "open_loop_policies",
    "random_controls",
    "solve",
    "twap",
]

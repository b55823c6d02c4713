"""Equilibria and other reference points: to play, to compare with, to exploit."""

from .best_response import BestResponse, best_response, best_response_to_policies
from .coalition import Coalition, coalition_optimum
from .cooperative import NoOptimum, cooperative_optimum
from .dynamic_programming import best_response_to_feedback, feedback_gains, feedback_nash
from .equilibrium import Equilibrium, EquilibriumNotFound, FieldOptions, solve
from .exploitability import Exploitability, exploitability
from .heuristics import almgren_chriss, constant_spread, heuristic_profiles, random_controls, twap
from .linear_policy import LinearFeedback
from .mean_field import MeanField, mean_field
from .policies import OpenLoop, open_loop_policies
from .references import Reference, almgren_chriss_alone, collusion_index, references
from .well_posedness import Condition, check

__all__ = [
    "BestResponse",
    "Coalition",
    "Condition",
    "Equilibrium",
    "EquilibriumNotFound",
    "Exploitability",
    "FieldOptions",
    "LinearFeedback",
    "MeanField",
    "NoOptimum",
    "OpenLoop",
    "Reference",
    "almgren_chriss",
    "almgren_chriss_alone",
    "best_response",
    "best_response_to_feedback",
    "best_response_to_policies",
    "check",
    "coalition_optimum",
    "collusion_index",
    "constant_spread",
    "cooperative_optimum",
    "exploitability",
    "feedback_gains",
    "feedback_nash",
    "heuristic_profiles",
    "mean_field",
    "open_loop_policies",
    "random_controls",
    "references",
    "solve",
    "twap",
]

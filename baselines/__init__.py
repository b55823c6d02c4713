"""Equilibria and other reference points: to play, to compare with, to exploit."""

from .closed_loop.credibility import Credibility
from .closed_loop.equilibrium import MarkovErrors, MarkovNash, MarkovOptions
from .conditions.condition import Condition
from .equilibrium import Equilibrium, Status
from .errors import EquilibriumNotFound, NoOptimum
from .execution.cooperative import cooperative_optimum
from .execution.dynamic_programming import best_response_to_feedback, feedback_gains, feedback_nash
from .execution.linear_rule import LinearFeedback
from .execution.references import almgren_chriss_alone, collusion_index
from .gains import Exploitability, exploitability
from .heuristics import constant_spread, random_controls, twap
from .maker_taker.coalition import Coalition, coalition_optimum
from .maker_taker.mean_field_limit import MeanField, mean_field
from .maker_taker.references import almgren_chriss, heuristic_profiles
from .many import exploitability_many, solve_many
from .markov import markov_nash
from .nash import solve
from .noise.field import FieldOptions
from .policies import OpenLoop, open_loop_policies
from .profiles import BestResponse, Reference
from .reference_points import references
from .responses import best_response, best_response_to_policies, credibility
from .well_posedness import check

__all__ = [
    "BestResponse",
    "Coalition",
    "Condition",
    "Credibility",
    "Equilibrium",
    "EquilibriumNotFound",
    "Exploitability",
    "FieldOptions",
    "LinearFeedback",
    "MarkovErrors",
    "MarkovNash",
    "MarkovOptions",
    "MeanField",
    "NoOptimum",
    "OpenLoop",
    "Reference",
    "Status",
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
    "credibility",
    "exploitability",
    "exploitability_many",
    "feedback_gains",
    "feedback_nash",
    "heuristic_profiles",
    "markov_nash",
    "mean_field",
    "open_loop_policies",
    "random_controls",
    "references",
    "solve",
    "solve_many",
    "twap",
]

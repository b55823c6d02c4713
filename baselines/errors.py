"""Errors of solvers."""


class EquilibriumNotFound(RuntimeError):
    """A solver did not reach its tolerance; the message has the residual, its place and a remedy."""


class NoOptimum(ValueError):
    """The sum of payoffs has no maximum, or one that the grid alone makes; the message says why."""

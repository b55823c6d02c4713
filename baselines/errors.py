"""Errors of solvers."""


class EquilibriumNotFound(RuntimeError):
    """A solver did not reach its tolerance; the message has the residual, its place and a remedy.

    Examples:
        >>> from makertaker.baselines import EquilibriumNotFound, solve
        >>> try:
        ...     solve("acas", iterations=1)
        ... except EquilibriumNotFound as error:
        ...     print(type(error).__name__)
        EquilibriumNotFound
    """


class NoOptimum(ValueError):
    """The sum of payoffs has no maximum, or one that the grid alone makes; the message says why.

    Examples:
        >>> from makertaker.baselines import NoOptimum, coalition_optimum
        >>> try:
        ...     coalition_optimum("acas")
        ... except NoOptimum as error:
        ...     print(type(error).__name__)
        NoOptimum
    """

"""The cooperative optimum of the execution game: all rates chosen together to maximise the sum of payoffs."""

from __future__ import annotations

import numpy as np

from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.grid import grid
from ..equilibrium import LARGEST_SLOPE
from ..errors import NoOptimum
from . import linear_system as linear
from .linear_rule import LinearFeedback
from .signal import linear_signal, signal_load


def cooperative_optimum(game: ExecutionGame, steps: int) -> LinearFeedback:
    """The rates that maximise the sum of all payoffs, as an affine rule in inventories and factor.

    Args:
        game: the game.
        steps: K.

    Raises:
        NoOptimum: the crowding is 1 or more, or the grid problem's Hessian is not negative definite: one of the pivots
            of its block Cholesky factorisation is not.
        ValueError: more than 2,000 agents, or the factor does not enter linearly.

    Examples:
        >>> from makertaker.baselines import cooperative_optimum, solve
        >>> from makertaker.envs import load_scenario
        >>> game = load_scenario("execution-2")
        >>> together = cooperative_optimum(game, 20).play().payoffs.sum()
        >>> bool(together > solve(game, 20).payoffs.sum())
        True
    """
    times = grid(game, steps)
    if game.traders > LARGEST_SLOPE:
        raise ValueError(f"cooperative optimum: expected at most {LARGEST_SLOPE} agents, got {game.traders}")
    require_crowding(game)
    c, dt = game.coefficients(times), game.horizon / steps
    if cooperative_pivot(game, c, dt) <= 0:
        raise NoOptimum(
            "the cooperative problem is unbounded: its Hessian on the grid is not negative definite; the permanent "
            "impact is too large for the temporary impact and the penalties"
        )
    system = linear.cooperative_system(c, game.crowding, dt)
    swept = linear.sweep(system)
    response = linear.respond(system, swept, signal_load(linear_signal(game, c, times), game.traders))
    return LinearFeedback(game, swept.gain, response.shift, response.signal)


def require_crowding(game: ExecutionGame) -> None:
    """Raises NoOptimum where several agents together pay nothing for trading: crowding of 1 or more, or of
    ``-1 / (N - 1)`` or less."""
    if game.traders == 1:
        return
    least, what = -1 / (game.traders - 1), ""
    if game.crowding >= 1:
        what = "singular: trading between the agents costs nothing" if game.crowding == 1 else "unbounded"
        what, expected = f"{what} at crowding {game.crowding:g}", "below 1"
    elif game.crowding <= least:
        what, expected = f"unbounded at crowding {game.crowding:g}", f"above -1/(N - 1) = {least:.6g}"
    if what:
        raise NoOptimum(
            f"the cooperative problem is {what}, and on a grid its rates grow with the number of steps; expected "
            f"crowding {expected}"
        )


def cooperative_pivot(game: ExecutionGame, c: ExecutionCoefficients, dt: float) -> float:
    """Least eigenvalue of the pivots of the block Cholesky factorisation of minus the joint Hessian, backward in time
    up to the first that is not positive definite; homogeneous agents by their two modes."""
    if linear.homogeneous(c):
        return _least(linear.mode_system(c, game.crowding, dt, "cooperative"), modes=min(game.traders, 2))
    return _least(linear.cooperative_system(c, game.crowding, dt))


def monotone_pivot(game: ExecutionGame, c: ExecutionCoefficients, dt: float) -> float:
    """The same of the equilibrium's symmetrised problem: where it is positive the game is monotone, and its equilibrium
    is the only one."""
    if linear.homogeneous(c):
        return _least(linear.mode_system(c, game.crowding, dt, "symmetric"), modes=min(game.traders, 2))
    return _least(linear.symmetric_system(c, game.crowding, dt))


def _least(system: linear.LinearSystem, modes: int | None = None) -> float:
    """Least eigenvalue of pivots, backward in time up to the first that is not positive definite.

    Args:
        system: a symmetric problem.
        modes: number of its scalar modes that count, alone there is only the mean; None: it is one problem.
    """
    try:
        with np.errstate(all="ignore"):
            pivots = linear.sweep(system, strict=False).pivot[::-1]
    except np.linalg.LinAlgError:  # a pivot is singular
        return 0.0
    least = np.inf
    for pivot in pivots:
        values = np.linalg.eigvalsh(pivot) if modes is None else pivot[:modes, 0, 0]
        least = min(least, float(values.min()))
        if not least > 0:
            break
    return least

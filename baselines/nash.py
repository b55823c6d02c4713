"""``solve``: the open-loop Nash equilibrium of a grid game, by the solver that fits the game."""

from __future__ import annotations

from ..envs.arrays import Array
from ..envs.described import MarketLike, environment_setting, game_and_steps
from ..envs.parameters import check_number
from .budget import MOST_ITERATIONS
from .equilibrium import Equilibrium
from .kind import SolverOptions
from .kinds import kind_of
from .noise.field import FieldOptions
from .reach import warn_where_out_of_reach


def solve(
    game: MarketLike,
    steps: int | None = None,
    *,
    throw: bool = True,
    guess: Array | None = None,
    tolerance: float = 1e-11,
    iterations: int = MOST_ITERATIONS,
    seconds: float | None = None,
    field: FieldOptions | None = None,
) -> Equilibrium:
    """The open-loop Nash equilibrium of the grid game.

    The maker-taker game's by Newton's method for (18)-(19), step-averaged; the execution game's, which is linear, by a
    direct solution of (3), step-averaged. With noise in the inventories or random flows (Section 5), and in an
    execution game that is not linear in its factor, by the decoupling field; see :class:`FieldOptions`.

    Args:
        game: the game; or a scenario, its name, the path of its file, a mapping of its contents; or an environment, for
            its game and its number of steps.
        steps: number K of steps; None: the environment's or the scenario's, 20 where only a game is given. The result
            is exact in the environment with as many steps, and converges to the paper's continuous-time equilibrium at
            second order, at first order with a factor.
        throw: true to raise if the tolerance is not reached; otherwise the result says so in ``status``.
        guess: adjoints (K, n) to start from, in the maker-taker game.
        tolerance: on the residual, relative to the largest adjoint, or to the game's margin where that is larger.
        iterations: of Newton's method, at most, those of all its attempts together.
        seconds: that Newton's method may take; None: any number. They are looked at before every iteration: a large
            game ends an iteration later. Without an equilibrium by then it is an error, or a result that says so, like
            any other failure.
        field: options of the decoupling field's approximation, in a game with noise.

    Where an environment is given whose range of actions does not hold the equilibrium, there is a warning.

    Raises:
        ValueError: an argument does not fit.
        EquilibriumNotFound: Newton's method and continuation in the penalties both failed, the message says what was
            tried and which parameter is extreme; or an execution game whose
            agents' own problems are unbounded, or whose solution needs a rate above ``max_rate``; or a decoupling field
            that refinement changes by more than 5%.

    Examples:
        >>> from makertaker.baselines import exploitability, solve
        >>> from makertaker.envs import acas_v0
        >>> env = acas_v0.parallel_env()
        >>> nash = solve(env)  # of the game that the environment plays, on its grid; solve("acas") is the same
        >>> nash.payoffs.round(3).tolist()
        [-11.279, 5.093, 4.226]
        >>> bool(exploitability(env, nash.controls).nash_conv < 1e-9)
        True
    """
    check_number("tolerance", tolerance, strict=True)
    found = kind_of(*game_and_steps(game, steps)).solve(
        SolverOptions(throw, guess, tolerance, field, iterations, seconds)
    )
    played = environment_setting(game)
    if played is not None and found.converged:
        warn_where_out_of_reach(played, found)
    return found

"""``markov_nash``: the feedback (Markov-perfect) equilibrium of a grid game."""

from __future__ import annotations

from ..envs.described import MarketLike, game_and_steps
from .closed_loop.equilibrium import MarkovNash, MarkovOptions
from .kinds import kind_of


def markov_nash(
    game: MarketLike, steps: int | None = None, options: MarkovOptions | None = None, *, throw: bool = True
) -> MarkovNash:
    """The feedback (Markov-perfect) Nash equilibrium of the grid game, among players who see all inventories: Basar and
    Olsder, *Dynamic Noncooperative Game Theory*, Section 6.2.

    By backward induction: at sample points of a tube around the path, everyone's first-order conditions of the step are
    solved together by Newton's method, within the game's constraints, and values are fitted by polynomials.
    Expectations over noise are those of the decoupling field: exact for the polynomials. The tube grows from the start
    as the dynamics lead it, and is halved where makers tie within it, since payoffs have kinks there; an answer is an
    equilibrium within its tube only.

    Args:
        game: the game, or any description or environment of it that :func:`makertaker.baselines.solve` takes.
        steps: number K of steps; None: as in :func:`makertaker.baselines.solve`.
        options: of the approximation.
        throw: True to raise where none is found; otherwise ``status`` and ``message`` say so, unless there is nothing
            to return.

    Returns:
        Policies (``feedback()``), values with gradients, payoffs, the path, estimated errors, the share of stage games
        that were not solved, none in an equilibrium, and a status.

    Raises:
        ValueError: an argument does not fit, or the state has too many dimensions.
        EquilibriumNotFound: stage games were not solved, or makers tie on the path in a game without noise, or
            refinement changes payoffs too much; the message says what may help.

    Examples:
        >>> from makertaker.baselines import MarkovOptions, markov_nash, solve
        >>> found = markov_nash("softmax-1x2", options=MarkovOptions(refine=False))  # no error estimates
        >>> found.payoffs.round(4).tolist(), solve("softmax-1x2").payoffs.round(4).tolist()
        ([-12.2293, 3.734, 3.5483], [-12.1436, 3.8114, 3.5826])
    """
    return kind_of(*game_and_steps(game, steps)).markov_nash(options, throw=throw)

"""What a solution of the maker-taker game, or a failure, says about itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...envs import Controls, MakerTakerGame
from ...envs.arrays import Array
from ...envs.competition import ties
from .. import fbsde, newton
from ..budget import Budget
from ..notes import truncations
from .system import GameSystem


def advice(game: MakerTakerGame) -> str:
    """What makes a game easier to solve, in a sentence."""
    given = [name for name in ("max_quote", "max_rate") if getattr(game, name) is not None]
    more = f", and so does leaving out {' and '.join(given)}" if given else ""
    return f"A shorter horizon or smaller penalties make it easier{more}."


def notes(game: MakerTakerGame, controls: Controls, matter: Array) -> tuple[str, ...]:
    """What to know when reading an equilibrium's numbers; nothing where it is an ordinary one.

    Args:
        game: the game.
        controls: found, (K, .).
        matter: (K, 2) whether asks, and bids, matter to anybody.
    """
    parts = []
    for side, column in (("ask", 0), ("bid", 1)):
        idle = int((~matter[:, column]).sum())
        if idle:
            parts.append(
                f"{side} quotes are undetermined on {idle} of {len(matter)} steps: no volume arrives there, "
                "the equilibrium is not unique"
            )
    return (*parts, *truncations(game, controls, matter))


def message(game: MakerTakerGame, controls: Controls, result: newton.Result, notes: Sequence[str]) -> str:
    """The status of a result, how it was found, ties, and its :func:`notes`."""
    parts = ["converged" if result.converged else "not converged"]
    if result.stages:
        parts.append(f"{result.stages} stages of continuation in the penalties")
    tied = ties(controls.ask, game.margin) | ties(controls.bid, game.margin)
    if tied.any():
        parts.append(f"best quotes tie on {int(tied.sum())} of {len(tied)} steps, where the slope is one-sided")
    return "; ".join([*parts, *notes])


def diagnosis(game: MakerTakerGame, system: GameSystem, result: newton.Result, budget: Budget) -> str:
    """What was tried, where it got stuck, and what is extreme about the game."""
    defect = np.abs(fbsde.residual(system, result.adjoints))
    k, agent = np.unravel_index(np.argmax(np.nan_to_num(defect, nan=np.inf)), defect.shape)
    over = budget.exhausted
    parts = [
        f"residual {float(result.residual):.3g} after {result.iterations} Newton iterations and {result.stages} "
        f"continuation stages{f', when {over}' if over else ''}; it is largest for {game.agents[agent]} at step {k}",
        f"tried: {', '.join(result.tried)}",
    ]
    if result.stages:
        parts.append(f"the game was solved with {100 * float(result.reached):.3g}% of its penalties")
    said = advice(game)
    if result.folded:
        parts[-1] += ", where the curve of solutions turns back and quotes run away"
        said = "There may be no equilibrium without max_quote; with it there is one, perhaps at the constraint."
    last = ", ".join(f"{each:.2g}" for each in result.history[-6:])
    return f"{'; '.join(parts)}. The last residuals were {last}. {extreme(game)} {said}"


def extreme(game: MakerTakerGame, agents: Sequence[int] | None = None) -> str:
    """The parameter that weighs most beside the others, in a sentence; of some agents (positions), or of all.

    Penalties and impacts are compared by what a share of the agent's inventory is worth by them, in margins: ``2 A q``,
    ``2 phi T q`` and ``2 beta q / T``, with the largest inventory of anybody where an agent has none.
    """
    c = game.coefficients(np.linspace(0.0, game.horizon, 2))
    own = np.abs(game.start)
    shares = np.where(own > 0, own, own.max())
    traded = shares[: game.traders]
    names = ("terminal_penalty", "running_penalty", "impact.beta")
    worth = (
        2 * np.where(np.isinf(c.terminal_penalty), 0.0, c.terminal_penalty) * shares,
        2 * c.running_penalty[0] * game.horizon * shares,
        2 * c.impact[0] * traded / game.horizon,
    )
    values = [
        (float(each[i]) / game.margin, name, i)
        for name, each in zip(names, worth, strict=True)
        for i in range(len(each))
        if agents is None or i in agents
    ]
    largest, name, i = max(values)
    others = float(np.median([value for value, *_ in values]))
    return (
        f"Most extreme is the {name} of {game.agents[i]}: it makes a share worth {largest:.3g} margins, "
        f"the median of all such numbers is {others:.3g}."
    )

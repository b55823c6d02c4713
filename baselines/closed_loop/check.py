"""Whether the conditions of the stage games hold at a maximum: everyone's payoff is looked at over its own controls."""

from __future__ import annotations

import numpy as np

from ...envs import Trajectory
from ..noise.field import at_node, inventory_sd, next_factors
from .field import ReactionField
from .stage import Controlled, StageGames, combinations, joined

_LOOKED_AT = 16
"""states of each step"""
_GRID = {1: 41, 2: 17}
"""values of each control, by number of an agent's controls"""
_TOLERANCE = 1e-8
"""in payoff units"""


def better_reaction(found: ReactionField, paths: Trajectory) -> str:
    """An agent's controls at some state along the first paths that are worth more than those of its first-order
    condition, in words; empty if none is known of.

    Looked at are all of an agent's own controls over the game's action range that lead to a state in the tube, where
    the fit holds, or, in the last step, to any; the others' as they are.
    """
    system, game = found.system, found.game
    n, owner = len(game.start), Controlled.of(system).owner
    low, high = (joined(each) for each in game.action_range())
    nodes, weights = found.cubature
    for k in range(found.steps):
        inventory, factor = (each[:_LOOKED_AT] for each in at_node(paths, k))
        ahead = found.surfaces[k + 1].expected(next_factors(system, k, factor, nodes), weights, inventory_sd(system))
        games = StageGames(system, k, factor, inventory, ahead.first(n), np.arange(n))
        seen = factor if factor.shape[-1] else None
        played, _ = games.solve(joined(found.controls_at(k, inventory, seen)))  # what was fitted, without its error
        everyone = np.arange(len(played))
        before = games.values(everyone, played)
        for i, agent in enumerate(game.agents):
            own = np.flatnonzero((owner == i) & ~games.given)
            if not own.size:  # it liquidates
                continue
            tried = combinations(low[own], high[own], _GRID[len(own)])
            controls = np.repeat(played, len(tried), axis=0)
            controls[:, own] = np.tile(tried, (len(played), 1))
            who = np.repeat(everyone, len(tried))
            held = games.leads_to(who, controls)
            inside = np.ones(len(who), dtype=bool)
            if k + 1 < found.steps:
                near = found.tube.half[k + 1, -n:]
                inside = (np.abs(held - found.tube.center[k + 1, -n:]) <= near).all(axis=-1)
            reached = np.where(inside, games.values(who, controls)[:, i], -np.inf).reshape(len(played), -1)
            if (reached.max(axis=1) > before[:, i] + _TOLERANCE * game.payoff_unit(agent)).any():
                gain = float((reached.max(axis=1) - before[:, i]).max())
                return f"in step {k} {agent} gains {gain:.2g} by controls far from those of its first-order condition"
    return ""

"""Actors who react beside the equilibrium among players who react.

Which reference is like what was learned depends on what actors see. Those who see all inventories can reach the
feedback equilibrium, and others: in a game without noise that always starts alike many reactions lead to one path.
Those who see less, where others' inventories matter, play neither concept; both stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...baselines import Equilibrium
from ...baselines.closed_loop.reactions import reactions
from ...baselines.kind import Kind
from ...baselines.policies import Rule
from ...baselines.profiles import Reference, undisturbed
from ...envs import Game, Noise, Policy, Trajectory
from ...envs.arrays import Array
from ...envs.observation import Kind as Seen
from ..common.memory import remembering
from .distances import relative_distance, relevant
from .metrics import FeedbackMetrics, ProfileMetrics, ReactionMetrics
from .reference_table import index_of


def feedback_metrics(
    kind: Kind[Game],
    policies: Mapping[str, Policy],
    information: Seen,
    reference: Reference,
    equilibrium: Equilibrium,
    shown: Trajectory,
    payoffs: Array,
    noise: Noise | None,
    compared: Mapping[str, ProfileMetrics],
) -> FeedbackMetrics:
    """The comparison with the feedback equilibrium.

    Args:
        kind: the game on its grid.
        policies: everyone's.
        information: of the actors.
        reference: the feedback equilibrium, or why there is none.
        equilibrium: the open-loop one.
        shown: what was played, or its mean.
        payoffs: (n,) learned.
        noise: along which it was played.
        compared: reference profiles by name.
    """
    game, rule = kind.game, reference.profile
    result: FeedbackMetrics = {
        "compared": information == "full" and isinstance(rule, Rule),
        "payoffs": None,
        "control_distance": None,
        "inventory_distance": None,
        "collusion_index": None,
        "reactions": {},
        "reaction_distance": None,
        "note": reference.note,
    }
    try:
        if remembering(policies):
            raise ValueError("policies remember what they saw, and react to that as well")
        learned = reactions(game, policies, kind.steps)
    except ValueError as error:
        learned = {}
        result["note"] = f"reactions were not measured: {error}" + (f"; {reference.note}" if reference.note else "")
    if not isinstance(rule, Rule) or reference.payoffs is None:
        result["reactions"] = {agent: _coefficients(game, agent, each, None) for agent, each in learned.items()}
        return result
    played = undisturbed(game, rule, kind.steps, noise if game.random else None)
    if played.controls.rate.ndim > shown.controls.rate.ndim:
        means = (each.mean(axis=0) for each in played.controls)
        played = played._replace(controls=type(played.controls)(*means), inventories=played.inventories.mean(axis=0))
    both = (np.concatenate(list(relevant(each.controls, equilibrium)), axis=-1) for each in (shown, played))
    exact = reactions(game, rule.feedback(), kind.steps)
    result |= {
        "payoffs": dict(zip(game.agents, reference.payoffs.tolist(), strict=True)),
        "control_distance": relative_distance(*both),
        "inventory_distance": relative_distance(shown.inventories, played.inventories),
        "collusion_index": index_of(kind, payoffs, reference.payoffs, compared),
        "reactions": {agent: _coefficients(game, agent, each, exact[agent]) for agent, each in learned.items()},
    }
    if learned:
        units = {agent: game.control_unit(agent) for agent in game.agents}
        sides = (
            np.concatenate([np.ravel(each[agent]) / units[agent] for agent in game.agents]) for each in (learned, exact)
        )
        result["reaction_distance"] = relative_distance(*sides)
    return result


def _coefficients(game: Game, agent: str, learned: Array, exact: Array | None) -> dict[str, ReactionMetrics]:
    """An agent's mean reaction of each control to its own inventory, and to the others' on average; coefficients
    (K, w, n)."""
    place = game.agents.index(agent)
    names = ("rate",) if place < game.traders else ("ask", "bid")

    def means(coefficients: Array, control: int) -> tuple[float, float]:
        each = coefficients[:, control].mean(axis=0)
        others = np.delete(each, place)
        return float(each[place]), float(others.mean()) if others.size else 0.0

    result: dict[str, ReactionMetrics] = {}
    for control, name in enumerate(names):
        own, others = means(learned, control)
        feedback = (None, None) if exact is None else means(exact, control)
        result[name] = {"own": own, "others": others, "feedback_own": feedback[0], "feedback_others": feedback[1]}
    return result

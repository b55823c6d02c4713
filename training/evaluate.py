"""What was learned, beside the equilibrium: payoffs, exploitability, distances, rules of thumb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..baselines import (
    Equilibrium,
    EquilibriumNotFound,
    best_response_to_policies,
    exploitability,
    heuristic_profiles,
    solve,
)
from ..baselines.exploitability import payoff_size
from ..envs.arrays import Array
from ..envs.grid import Policy, Trajectory, rollout, simulate
from ..envs.maker_taker_game import Controls, MakerTakerGame
from .information import Information


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`."""

    learned: Trajectory
    equilibrium: Equilibrium
    metrics: dict[str, Any]
    """plain numbers, ready for JSON"""


def evaluate(game: MakerTakerGame, policies: Mapping[str, Policy], steps: int, information: Information) -> Evaluation:
    """Compare policies with the equilibrium.

    Exploitability is exact where actors see time only: their opponents then are open-loop, as in the paper. Where
    actors see inventories, opponents react to a deviation, and the gain found against them is a lower bound; the exact
    gain against the *schedules* that the policies play on their common path stands beside it (``open_loop_...``).

    Args:
        game: the game.
        policies: everyone's, without exploration.
        steps: K.
        information: what actors see.

    Raises:
        EquilibriumNotFound: the game, or an agent's best response, was not solved.
    """
    equilibrium = solve(game, steps)
    learned = rollout(game, policies, steps)
    total = payoff_size(equilibrium.payoffs)
    schedule = exploitability(game, learned.controls, steps)
    reacting = information != "open_loop"
    gains = schedule.gains
    if reacting:
        gains = np.array([best_response_to_policies(game, policies, agent, steps).gain for agent in game.agents])
    control_distances = agent_distances(game, learned.controls, equilibrium)
    agents = {
        agent: {
            "learned": float(learned.payoffs[i]),
            "equilibrium": float(equilibrium.payoffs[i]),
            "gap": float(learned.payoffs[i] - equilibrium.payoffs[i]),
            "exploitability": float(gains[i]),
            "control_distance": control_distances[agent],
            "inventory_distance": relative_distance(learned.inventories[:, i], equilibrium.inventories[:, i]),
        }
        for i, agent in enumerate(game.agents)
    }
    metrics = {
        "steps": steps,
        "information": information,
        "exploitability_against": "reacting opponents (lower bound)" if reacting else "open-loop opponents (exact)",
        "agents": agents,
        "nash_conv": float(gains.sum()),
        "relative_nash_conv": float(gains.sum()) / total,
        "open_loop_nash_conv": schedule.nash_conv,
        "open_loop_relative_nash_conv": schedule.nash_conv / total,
        "control_distance": control_distance(learned.controls, equilibrium),
        "inventory_distance": relative_distance(learned.inventories, equilibrium.inventories),
        "equilibrium": {"residual": equilibrium.residual, "message": equilibrium.message},
        "baselines": baselines(game, steps, equilibrium),
    }
    return Evaluation(learned, equilibrium, metrics)


def baselines(game: MakerTakerGame, steps: int, equilibrium: Equilibrium) -> dict[str, Any]:
    """Payoffs, NashConv and distance of the rules of thumb, by name. A best response not found is null."""
    total = payoff_size(equilibrium.payoffs)
    result: dict[str, Any] = {}
    for name, controls in heuristic_profiles(game, steps).items():
        payoffs = simulate(game, controls, steps).payoffs
        try:
            relative: float | None = exploitability(game, controls, steps).nash_conv / total
        except EquilibriumNotFound:
            relative = None
        result[name] = {
            "payoffs": dict(zip(game.agents, payoffs.tolist(), strict=True)),
            "relative_nash_conv": relative,
            "control_distance": control_distance(controls, equilibrium),
        }
    return result


def relative_distance(values: Array, reference: Array) -> float:
    """``|values - reference| / |reference|`` in L2 over everything; the bare distance where the reference is zero."""
    size = float(np.linalg.norm(reference))
    return float(np.linalg.norm(values - reference)) / (size if size > 0 else 1.0)


def relevant(controls: Controls, equilibrium: Equilibrium) -> tuple[Array, Array]:
    """Asks and bids with those that matter to nobody set to zero: their side of the market has no volume."""
    matter = equilibrium.quotes_matter
    return controls.ask * matter[:, :1], controls.bid * matter[:, 1:]


def control_distance(controls: Controls, equilibrium: Equilibrium) -> float:
    """Relative L2 distance of a profile to the equilibrium, over all rates and the quotes that matter."""
    sides = [
        np.concatenate([each.rate, *relevant(each, equilibrium)], axis=1) for each in (controls, equilibrium.controls)
    ]
    return relative_distance(*sides)


def agent_distances(game: MakerTakerGame, controls: Controls, equilibrium: Equilibrium) -> dict[str, float]:
    """The same for every agent's own controls."""
    (ask, bid), (best_ask, best_bid) = relevant(controls, equilibrium), relevant(equilibrium.controls, equilibrium)
    result = {}
    for i, agent in enumerate(game.agents):
        if i < game.traders:
            result[agent] = relative_distance(controls.rate[:, i], equilibrium.controls.rate[:, i])
        else:
            j = i - game.traders
            result[agent] = relative_distance(
                np.stack([ask[:, j], bid[:, j]]), np.stack([best_ask[:, j], best_bid[:, j]])
            )
    return result

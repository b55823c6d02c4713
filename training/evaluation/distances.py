"""Distances of a profile to the equilibrium, over all controls that matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...baselines import Equilibrium
from ...baselines.profiles import undisturbed
from ...envs import Controls, Game, Noise
from ...envs.arrays import Array
from ...envs.packing import agent_controls


def along(equilibrium: Equilibrium, noise: Noise | None) -> Equilibrium:
    """The equilibrium's controls, inventories and payoffs along the paths of the noise."""
    if noise is None or isinstance(equilibrium.profile, Controls):
        return equilibrium
    played = undisturbed(equilibrium.game, equilibrium.profile, equilibrium.steps, noise)
    return replace(equilibrium, controls=played.controls, inventories=played.inventories, payoffs=played.payoffs)


def relative_distance(values: Array, reference: Array) -> float:
    """``|values - reference| / |reference|`` in L2 over everything; the bare distance where the reference is zero."""
    size = float(np.linalg.norm(np.ravel(reference)))
    return float(np.linalg.norm(np.ravel(values - reference))) / (size if size > 0 else 1.0)


def relevant(controls: Controls, equilibrium: Equilibrium) -> Controls:
    """The controls with quotes that matter to nobody set to zero: their side of the market has no volume."""
    matter = equilibrium.quotes_matter
    return Controls(controls.rate, controls.ask * matter[:, :1], controls.bid * matter[:, 1:])


def control_distance(controls: Controls, equilibrium: Equilibrium) -> float:
    """Relative L2 distance of a profile to the equilibrium, over all rates and the quotes that matter."""
    both = (controls, equilibrium.controls)
    return relative_distance(*(np.concatenate(relevant(each, equilibrium), axis=-1) for each in both))


def agent_distances(game: Game, controls: Controls, equilibrium: Equilibrium) -> dict[str, float]:
    """The same for every agent's own controls."""
    both = [relevant(each, equilibrium) for each in (controls, equilibrium.controls)]

    def own(joint: Controls, agent: str) -> Array:
        """Rates, or asks before bids: the order fixes the last bits of a norm."""
        return np.moveaxis(agent_controls(game, joint, agent), -1, 0)

    return {agent: relative_distance(*(own(each, agent) for each in both)) for agent in game.agents}

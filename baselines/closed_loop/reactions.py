"""How policies react: derivatives of everyone's controls in everyone's inventories, along the undisturbed path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...envs import Game, Policy
from ...envs.arrays import Array
from ...envs.grid import State, rollout
from ...envs.packing import as_action, control_size

_WIDTH = 0.02
"""half width of the differences, in parts of the largest inventory that the paths have"""


@dataclass
class _Asked:
    """A policy that is asked for its controls at inventories beside those where the market is as well."""

    policy: Policy
    agent: str
    size: int
    width: float
    seen: list[Array]

    def __call__(self, k: int, state: State) -> Array:
        n = np.shape(state.inventories)[-1]
        moves = self.width * np.concatenate([np.eye(n), -np.eye(n)])
        beside = {"inventories": state.inventories + moves}
        for name in ("factor", "quotes", "shock", "price", "volumes"):
            value = getattr(state, name)
            beside[name] = None if value is None else np.broadcast_to(value, (2 * n, *np.shape(value)))
        asked = self.policy(k, state._replace(**beside))
        up, down = np.split(as_action(asked, (2 * n, self.size), self.agent, shared=True), 2)
        self.seen.append((up - down).T / (2 * self.width))
        return self.policy(k, state)


def reactions(game: Game, policies: Mapping[str, Policy], steps: int) -> dict[str, Array]:
    """Every agent's reaction coefficients along the undisturbed path, by differences.

    Args:
        game: the game.
        policies: everyone's, without a memory.
        steps: K.

    Returns:
        by agent (K, w, n): derivatives of its rate, or of its ask and its bid, in all inventories; controls as the
        policy gives them, not truncated.
    """
    width = _WIDTH * (float(np.abs(rollout(game, policies, steps).inventories).max()) or 1.0)
    asked = {agent: _Asked(policies[agent], agent, control_size(game, agent), width, []) for agent in game.agents}
    rollout(game, asked, steps)
    return {agent: np.stack(each.seen) for agent, each in asked.items()}

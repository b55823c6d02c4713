"""A batch of markets in which all learners act at once, whatever library they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...envs import Policy, State
from ...envs.market import Market, Setting
from ...envs.packing import agent_columns, check_steps, join_controls, split_controls

Act = Callable[[np.ndarray], np.ndarray]
"""An agent's actions (B, 1) or (B, 2), in the market's units, from its observations (B, d)."""


@dataclass(frozen=True)
class LearnedPolicy:
    """A learner's actions as a policy in physical units.

    Args:
        act: the actions, without exploration.
        market: gives observations their units and actions their range.
        agent: its name.
    """

    act: Act
    market: Setting
    agent: str

    def __call__(self, k: int, state: State) -> np.ndarray:
        """Controls (..., 1) or (..., 2) of the agent."""
        market = self.market
        index = market.game.positions[self.agent]
        seen = market.observer.one(index, state._replace(inventories=np.asarray(state.inventories)))
        flat = seen.reshape(-1, seen.shape[-1])
        physical = market.scale.physical_action(self.agent, np.asarray(self.act(flat), dtype=float))
        return physical.reshape(*seen.shape[:-1], -1)


def everyone(market: Setting, acts: Mapping[str, Act], fixed: Mapping[str, Policy]) -> dict[str, Policy]:
    """Every agent's policy, from the actions of those who learned and the policies of the others."""
    return {
        agent: LearnedPolicy(acts[agent], market, agent) if agent in acts else fixed[agent]
        for agent in market.game.agents
    }


class JointMarket:
    """Steps a batch of markets with the actions of all learners; the other agents follow policies.

    Args:
        market: a batch of markets.
        learners: names of the agents that learn.
        fixed: policies of the others.
        seed: of random initial inventories, of price noise and of factors.
        inventory_spread: standard deviation of noise on initial inventories, in place of the market's option.

    Raises:
        ValueError: an agent neither learns nor has a policy, or does both.
    """

    def __init__(
        self,
        market: Market,
        learners: Sequence[str],
        fixed: Mapping[str, Policy],
        *,
        seed: int | Sequence[int],
        inventory_spread: float | None = None,
    ) -> None:
        if sorted([*learners, *fixed]) != sorted(market.game.agents):
            raise ValueError(
                f"expected every agent of {list(market.game.agents)} either to learn or to follow a policy; "
                f"learners: {list(learners)}, policies: {sorted(fixed)}"
            )
        check_steps(fixed, market.steps)
        if not learners:
            raise ValueError("expected at least one learner, got none")
        self.market, self.learners, self.fixed = market, list(learners), dict(fixed)
        self.observation_space = market.observation_space
        self.rng = np.random.default_rng(seed)
        self._spread = inventory_spread
        self._columns = {agent: agent_columns(market.game, agent) for agent in market.game.agents}
        self._seen: np.ndarray | None = None
        self.reset()

    def reset(self, inventories: np.ndarray | None = None) -> None:
        """Start an episode; from given inventories (B, n) if there are any."""
        self.market.reset(self.rng, inventories, self._spread)
        self._seen = None

    def observations(self) -> np.ndarray:
        """Every agent's observations (B, n, d)."""
        if self._seen is None:
            self._seen = self.market.observations()
        return self._seen

    def play(self, actions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Play one step; returns rewards (B, n), in the market's units.

        Args:
            actions: of the learners, (B, 1) or (B, 2), in the market's units; outside of their range is truncated.

        Raises:
            FloatingPointError: actions are NaN.
        """
        market = self.market
        joint = np.zeros((market.batch[0], market.game.traders + 2 * market.game.makers), order="F")
        for agent in self.learners:
            joint[:, self._columns[agent]] = actions[agent]
        if np.isnan(joint).any():
            agent = next(name for name in self.learners if np.isnan(joint[:, self._columns[name]]).any())
            raise FloatingPointError(
                f"{agent}'s algorithm returned NaN actions: its learning has diverged; a lower learning_rate may help"
            )
        controls = market.controls(joint)
        if self.fixed:
            flat, state = join_controls(market.game, controls), market.state
            for agent, policy in self.fixed.items():
                flat[:, self._columns[agent]] = policy(market.k, state)
            controls = market.game.clip(split_controls(market.game, flat))
        self._seen = None
        return np.asarray(market.advance(controls, market.draw(self.rng)))

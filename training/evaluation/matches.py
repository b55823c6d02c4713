"""Two tests that tell collusion from something else: partners of other trainings, and a deviation that is forced.

Agents that were trained together may share a convention. Where their payoffs come from it, they are lost with partners
of other seeds. Where payoffs are held up by punishment, an agent that is made to deviate is answered: a reaction alone
proves nothing, since players of a feedback equilibrium react as well; theirs to the same deviation is the measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...envs import Game, Policy, rollout
from ...envs.arrays import Array
from ...envs.grid import State, Trajectory
from ...envs.packing import check_names
from ...envs.parameters import check_count


def rematched(game: Game, profiles: Sequence[Mapping[str, Policy]], steps: int) -> Array:
    """Payoffs of agents who meet partners of other trainings.

    Args:
        game: without noise.
        profiles: of each training, a policy for each agent.
        steps: K.

    Returns:
        (P, P, n): entry ``[i, j]`` has agent 0's policy from training i, those of all others from training j. The
        diagonal has those who were trained together.

    Raises:
        ValueError: as :func:`~makertaker.envs.rollout` does.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario
        >>> game = load_scenario("execution-2")
        >>> nash = solve(game, 20).open_loop()
        >>> rematched(game, [nash, nash], 20).shape
        (2, 2, 2)
    """
    _check_certain(game)
    if not profiles:
        raise ValueError("profiles: expected those of one training or more, got none")
    first = game.agents[0]
    return np.array(
        [
            [rollout(game, {**theirs, first: own[first]}, steps).payoffs for theirs in profiles]
            for own in profiles
        ]
    )  # fmt: skip


def _check_certain(game: Game) -> None:
    if game.random:
        raise ValueError("game: expected one without random inventories and factor")


class Answer(NamedTuple):
    """What a forced deviation does."""

    undisturbed: Trajectory
    disturbed: Trajectory
    at: int
    """the step"""
    agent: int
    """position of the one who deviates"""

    @property
    def inventories(self) -> Array:
        """Change of everyone's inventories, (K + 1, n)."""
        return self.disturbed.inventories - self.undisturbed.inventories

    @property
    def payoffs(self) -> Array:
        """Change of everyone's payoffs, (n,)."""
        return np.asarray(self.disturbed.payoffs) - np.asarray(self.undisturbed.payoffs)

    @property
    def controls(self) -> Mapping[str, Array]:
        """Changes of controls by name, (K, N) or (K, M)."""
        before, after = self.undisturbed.controls, self.disturbed.controls
        return {name: getattr(after, name) - getattr(before, name) for name in ("rate", "ask", "bid")}


def forced_deviation(
    game: Game, policies: Mapping[str, Policy], steps: int, agent: str, at: int, size: float | Sequence[float]
) -> Answer:
    """Play with and without a deviation of one agent in one step, after which it plays as before.

    Args:
        game: without noise.
        policies: one for each agent.
        steps: K.
        agent: the one who deviates.
        at: the step, 0..K-1.
        size: added to its control: to a trader's rate, in shares a unit of time; to a maker's ask and bid, in currency.

    Raises:
        ValueError: there is no such agent or step; or as :func:`~makertaker.envs.rollout` does.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario
        >>> game = load_scenario("execution-2")
        >>> answer = forced_deviation(game, solve(game, 20).open_loop(), 20, "trader_0", 5, 1.0)
        >>> answer.inventories[[5, 6]].round(9).tolist()  # the other does not see it
        [[0.0, 0.0], [0.05, 0.0]]
    """
    if agent not in game.agents:
        raise ValueError(f"agent: expected one of {list(game.agents)}, got {agent!r}")
    if check_count("at", at, least=0) >= steps:
        raise ValueError(f"at: expected a step in 0..{steps - 1}, got {at!r}")
    _check_certain(game)
    check_names(game, policies)
    own = policies[agent]

    def deviating(k: int, state: State) -> Array:
        control = np.asarray(own(k, state), dtype=float)
        return control + np.asarray(size, dtype=float) if k == at else control

    undisturbed = rollout(game, policies, steps)
    disturbed = rollout(game, {**policies, agent: deviating}, steps)
    return Answer(undisturbed, disturbed, at, game.agents.index(agent))

"""The parts that a payoff is the sum of: quotes, impact, penalties.

They are the terms of the agents' objective functionals, which the paper does not number: of traders without makers in
Section 2, of makers and traders in Section 3, by parts as ``execution_game.py`` and ``maker_taker_game.py`` have them.
"""

from __future__ import annotations

from typing import NamedTuple

from .arrays import Array, namespace
from .game import Game
from .grid import Trajectory, drift_reward, move, running_reward, terminal_reward


class PayoffParts(NamedTuple):
    """Everyone's payoffs in parts, (..., n) each, in currency: what is earned is positive, what is paid negative.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario, payoff_parts, simulate
        >>> game = load_scenario("acas")
        >>> played = simulate(game, solve(game, 20).controls, 20)
        >>> parts = payoff_parts(game, played)
        >>> parts.spread.round(3).tolist()  # the trader pays it, makers earn it
        [-3.007, 5.49, 4.745]
        >>> bool(abs(parts.total - played.payoffs).max() < 1e-9)
        True
    """

    spread: Array
    """``int delta^a a~ share + delta^b b~ share dt`` of a maker's fills; ``-int s v dt`` of a trader's, who pays"""
    temporary_impact: Array
    """``-int lambda(v) dt``; in the execution game ``-int v (beta/N) (v + pi sum of the others') dt``"""
    permanent_impact: Array
    """``int Q dS`` without the martingale part: the market price that trading moves, on the inventory held"""
    running_penalty: Array
    """``-int phi Q^2 dt``"""
    terminal_penalty: Array
    """``-A Q_T^2``"""

    @property
    def total(self) -> Array:
        """(..., n) their sum: the payoffs."""
        return (
            self.spread + self.temporary_impact + self.permanent_impact + self.running_penalty + self.terminal_penalty
        )


def payoff_parts(game: Game, played: Trajectory) -> PayoffParts:
    """The parts of the payoffs of an episode, or of a batch of episodes.

    Args:
        game: the game.
        played: what :func:`simulate` or :func:`rollout` gives for it, to the end of the game.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import payoff_parts, simulate
        >>> nash = solve("acas")
        >>> played = simulate(nash.game, nash.controls, nash.steps)
        >>> bool(abs(payoff_parts(nash.game, played).total - played.payoffs).max() < 1e-12)
        True
    """
    activity, before = played.activity, played.inventories[..., :-1, :]
    xp, steps = namespace(before), before.shape[-2]
    dt = (played.times[-1] - played.times[0]) / steps
    c = game.coefficients(played.times, played.factor).like(before)
    after = move(before, activity.inventory_rate, dt)  # noise arrives at the end of a step: it costs in the next
    cost = game.trading_cost(c, activity, played.controls)
    moved = 0 * before if activity.drift is None else drift_reward(activity.drift, dt, before, after)
    penalty = running_reward(c, dt, before, after)
    spread, impact, permanent, running = (
        xp.sum(each, axis=-2) for each in (dt * (activity.income + cost), -dt * cost, moved, penalty)
    )
    return PayoffParts(spread, impact, permanent, running, terminal_reward(c, played.inventories[..., -1, :]))

"""Best responses in the execution game against opponents that do not react: linear-quadratic, exact.

Given the others' total rate, every agent has a concave problem of its own, and those of all agents are solved as one
batch of scalar sweeps. Where opponents follow a factor, their rates are a linear signal: the factor and the
no-deviation inventories.
"""

from __future__ import annotations

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.game import Activity, Controls
from ...envs.grid import Noise, Trajectory, grid, move, simulate, step_reward, terminal_reward
from ..noise.field import as_state
from ..profiles import BestResponse, Profile, as_schedules, own_rule
from . import linear_system as linear
from .concavity import require_concave
from .linear_rule import LinearFeedback, require_closing, schedule
from .signal import expectation, linear_signal


def respond_to_schedules(game: ExecutionGame, rates: Array) -> Array:
    """Best response of each agent to the others' schedules: column ``i`` of the result (K, N) is agent ``i``'s.

    Raises:
        EquilibriumNotFound: an agent's problem has no maximum.
    """
    times = grid(game, len(rates))
    c, dt = game.coefficients(times), game.horizon / len(rates)
    require_concave(c, dt)
    others = rates.sum(axis=1, keepdims=True) - rates
    system = linear.lone_system(c, dt, 2.0, 1.0)
    swept = linear.sweep(system)
    premium = game.premium(c, np.zeros_like(rates), others)
    load = linear.plain(game.drift(c, others.T).T[..., None], premium[..., None])
    shift = linear.respond(system, swept, load).shift[..., 0]
    return linear.forward(swept.gain[..., 0, 0], shift, game.start, dt)


def lone_payoffs(game: ExecutionGame, rates: Array, others: Array) -> Array:
    """Payoff (N,) of each agent at its own rates (K, N), where the others' total rate is ``others`` (K, N).

    A deviator moves the market price and its own costs; others' payoffs are not asked for, so that ``N`` deviations
    cost no more than one profile.
    """
    steps = len(rates)
    dt, c = game.horizon / steps, game.coefficients(grid(game, steps))
    # N markets with one agent each
    own, rest = rates.T[..., None], others.T[..., None]
    c = c._replace(running_penalty=c.running_penalty.T[..., None], terminal_penalty=c.terminal_penalty[:, None])
    premium = game.premium(c, own, rest)
    total = (own + rest)[..., 0]
    activity = Activity(own, -premium * own, premium, total, total, game.drift(c, total))
    start = game.start[:, None, None]
    paths = np.concatenate([start, start + dt * np.cumsum(own, axis=1)], axis=1)
    rewards = step_reward(c, dt, activity, paths[:, :-1], paths[:, 1:])
    return np.asarray(rewards.sum(axis=1)[:, 0] + terminal_reward(c, paths[:, -1])[:, 0])


def schedule_gains(game: ExecutionGame, rates: Array) -> tuple[Array, Array]:
    """Payoffs (N,) of a profile of schedules (K, N), and everyone's gain from its best response."""
    others = rates.sum(axis=1, keepdims=True) - rates
    payoffs = lone_payoffs(game, rates, others)
    return payoffs, lone_payoffs(game, respond_to_schedules(game, rates), others) - payoffs


class AdaptedResponse:
    """One agent's best response to opponents that follow a rule, open loop: functions of the factor's path.

    Args:
        rule: everyone's rule; opponents follow it along the no-deviation inventories.
        index: the deviator.

    Raises:
        EquilibriumNotFound: the deviator's problem has no maximum.
        ValueError: the factor does not enter linearly.
    """

    def __init__(self, rule: LinearFeedback, index: int) -> None:
        game, steps = rule.game, rule.steps
        self.rule, self.index, self._dt = rule, index, game.horizon / steps
        self._times = grid(game, steps)
        c = game.coefficients(self._times)
        require_concave(c, self._dt)
        system = linear.lone_system(c, self._dt, 2.0, 1.0, slice(index, index + 1))
        self._swept = linear.sweep(system)
        self._response = linear.respond(system, self._swept, self._load(c))

    def _load(self, c: ExecutionCoefficients) -> linear.Load:
        """The signal ``z = (L, undisturbed inventories)``."""
        rule, game, dt = self.rule, self.rule.game, self._dt
        signal = linear_signal(game, c, self._times)
        steps, size = signal.slope.shape
        count = game.traders
        sums = np.delete(np.eye(count), self.index, axis=0).sum(axis=0)
        others = np.concatenate([sums @ rule.signal, sums @ rule.gain], axis=-1)  # (K, d + N), per unit of z
        base = rule.shift @ sums
        alpha, beta = (each / count for each in (c.permanent_impact, game.crowding * c.temporary_impact))
        own = np.concatenate([signal.slope, np.zeros((steps, count))], axis=-1)
        transition = np.zeros((steps, size + count, size + count))
        transition[:, :size, :size] = signal.transition
        transition[:, size:, :size] = dt * rule.signal
        transition[:, size:, size:] = np.eye(count) + dt * rule.gain
        return linear.Load(
            drift=(signal.drift + alpha * base)[:, None, None],
            premium=(beta * base)[:, None, None],
            signal_drift=(own + alpha[:, None] * others)[:, None, None],
            signal_premium=(beta[:, None] * others)[:, None, None],
            transition=transition,
            constant=np.concatenate([signal.constant, dt * rule.shift], axis=-1),
        )

    def play(self, noise: Noise | None = None) -> tuple[Trajectory, Trajectory]:
        """The paths along those of the noise if the deviator plays its best response, and if nobody deviates."""
        game, rule, steps = self.rule.game, self.rule, self.rule.steps
        undisturbed = rule.play(noise)
        seen = as_state(undisturbed.inventories, undisturbed.factor)
        batch, gain = seen.shape[:-2], self._swept.gain[:, 0, 0, 0]
        shift, signal, *_ = (each[:, 0, 0] for each in self._response)
        own, rates = np.full(batch, game.start[self.index]), []
        for k in range(steps):
            rates.append(gain[k] * own + shift[k] + seen[..., k, :] @ signal[k])
            own = move(own, rates[-1], self._dt)
        joint = np.array(np.broadcast_to(undisturbed.controls.rate, (*batch, steps, game.traders)))
        joint[..., self.index] = np.stack(rates, axis=-1)
        return simulate(game, Controls(joint), steps, noise), undisturbed

    def best(self) -> BestResponse:
        """The best response; its controls are means: linear rules turn means into means."""
        best, before, error = self.gain()
        return BestResponse(self.play()[0].controls, best, best - before, error)

    def gain(self) -> tuple[float, float, float]:
        """Expected payoff of the best response, of the profile, and the standard error of their difference (0:
        exact)."""

        def payoffs(noise: Noise | None) -> Array:
            best, before = (each.payoffs[..., self.index] for each in self.play(noise))
            return np.stack([best, before, best - before], axis=-1)

        mean, error = expectation(self.rule.game, self._times, payoffs)
        return float(mean[0]), float(mean[1]), 0.0 if error is None else float(error[2])


def as_rule(game: ExecutionGame, profile: Profile, steps: int) -> LinearFeedback:
    """A profile as a rule. Raises ValueError where it does not fit the game and the grid."""
    if isinstance(profile, LinearFeedback):
        own_rule(game, profile, steps)
        require_closing(profile)
        return profile
    return schedule(game, as_schedules(game, profile, steps).rate)


def adapted_gains(rule: LinearFeedback) -> tuple[Array, Array, Array]:
    """Payoffs (N,), gains (N,) and the gains' standard errors of a rule played open loop."""
    results = np.array([AdaptedResponse(rule, i).gain() for i in range(rule.game.traders)])
    return results[:, 1], results[:, 0] - results[:, 1], results[:, 2]

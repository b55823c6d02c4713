"""Linear forward-backward systems of the execution game: (3) on the grid (Theorem 2.5), and its relatives.

Everybody's first-order condition, integrated over a step, is linear in the rates. With ``p`` the adjoints at the nodes
less the noise flow's past effect ``w`` on the price, ``Q' = Q + dt v``, and a Markov signal ``z`` with
``E[z'] = a z + c``, every problem below has the form

    C v = ...,  p_k = p_{k+1} - phi dt (Q + Q') + dt (push v + drift),  p_K = -2 A Q_K,
    cost v + premium = p_{k+1} - 2 phi dt (Q / 6 + Q' / 3) + dt (push v + drift) / 2 + pull (Q + Q') / 2,

and is solved by one backward sweep ``p_k = R_k Q + h_k + g_k z``, ``v_k = F_k Q + f_k + e_k z``. ``R`` is the paper's
Riccati matrix, on the grid. ``cost``, ``pull`` and ``push`` depend on whose problem it is:

==============================  ==============================  ===================  ===================
problem                         cost, in units of beta / N      pull, of alpha / N   push, of alpha / N
==============================  ==============================  ===================  ===================
Nash equilibrium                ``(2 - pi) I + pi O``           ``I``                ``O``
its mean and deviation modes    ``2 - pi + pi N``, ``2 - pi``   1, 1                 ``N``, 0
one agent, given the others     2                               1                    1
one agent, given everyone's     ``2 - pi``                      1                    0
total rate
cooperative optimum             ``2 (1 - pi) I + 2 pi O``       ``O``                ``O``
Nash equilibrium, symmetrised   ``(2 - pi) I + pi O``           ``(I + O) / 2``      ``(I + O) / 2``
==============================  ==============================  ===================  ===================

(``O``: all ones.) A symmetric problem is concave exactly if every ``C_k`` is positive definite: they are the pivots of
the block Cholesky factorisation of its Hessian. The symmetrised equilibrium is the symmetric part of the derivative of
everyone's marginal payoffs in everyone's rates: where it is negative definite, the game is monotone and has one
equilibrium. At constant impact its mean mode is ``(beta c / N) int u^2 + 2 phi int q^2 + (2 A - alpha (N + 1) / 2N)
q_T^2``, ``c = 2 + pi (N - 1)``, from ``q_0 = 0``.

An agent with ``A = inf`` must have ``Q_K = 0``: a linear constraint on its own rates, whose multiplier stands in the
place of ``-2 A Q_K``. The sweep eliminates it in the last step: there ``v = -Q / dt``, and ``p_K`` is what the step's
condition asks for, so that ``p_{K-1}`` is again linear in ``Q`` and all that follows is the same. Its pivot of that
step is no curvature, and positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients

_CHUNK = 1 << 21


@dataclass(frozen=True)
class LinearSystem:
    """A linear problem over K steps for ``n`` rates, with any batch axes in between; see the module."""

    dt: float
    cost: Array
    """(K, ..., n, n)"""
    pull: Array
    """(K, ..., n, n)"""
    push: Array
    """(K, ..., n, n)"""
    penalty: Array
    """(K, ..., n) ``phi``"""
    terminal: Array
    """(..., n) ``A``; infinite for those who must liquidate"""

    @property
    def closing(self) -> Array:
        """(..., n) True for those who must liquidate."""
        return np.isinf(self.terminal)


class Load(NamedTuple):
    """The outside influence on a linear system."""

    drift: Array
    """(K, ..., n) of the price"""
    premium: Array
    """(K, ..., n) added to the marginal cost"""
    signal_drift: Array
    """(K, ..., n, d) the same per unit of the signal"""
    signal_premium: Array
    """(K, ..., n, d)"""
    transition: Array
    """(K, d, d) ``a``"""
    constant: Array
    """(K, d) ``c``"""


class Sweep(NamedTuple):
    """Solution of a linear system without load: ``v = F Q``, ``p = R Q``."""

    pivot: Array
    """(K, ..., n, n) ``C``"""
    gain: Array
    """(K, ..., n, n) ``F``"""
    carry: Array
    """(K, ..., n, n) ``U``: effect of the rates on ``p_k``"""
    slope: Array
    """(K+1, ..., n, n) ``R``; ``R_K`` has ``-inf`` for those who must liquidate"""


class Response(NamedTuple):
    """The part of the solution that the load causes: ``v = F Q + f + e z``, ``p = R Q + h + g z``."""

    shift: Array
    """(K, ..., n) ``f``"""
    signal: Array
    """(K, ..., n, d) ``e``"""
    offset: Array
    """(K+1, ..., n) ``h``"""
    signal_slope: Array
    """(K+1, ..., n, d) ``g``"""


def sweep(system: LinearSystem, *, strict: bool = True) -> Sweep:
    """Riccati sweep.

    Args:
        system: the system.
        strict: True to raise at a singular pivot; otherwise the result is not finite for that member of a batch of
            scalar problems.

    Raises:
        numpy.linalg.LinAlgError: a pivot is singular, or the slope is not bounded.
    """
    dt, identity = system.dt, np.eye(system.cost.shape[-1])
    end = np.where(system.closing, 0.0, system.terminal)
    slope = -2 * end[..., None] * identity
    pivots, gains, carries, slopes = [], [], [], [slope - np.where(system.closing[..., None] * identity, np.inf, 0.0)]
    last = len(system.cost) - 1
    for k in range(last, -1, -1):
        penalty, pull, push = system.penalty[k][..., None] * identity, system.pull[k], system.push[k]
        pivot = system.cost[k] - dt * slope + 2 / 3 * dt**2 * penalty - dt / 2 * (pull + push)
        right = slope - dt * penalty + pull
        carry = dt * (slope - dt * penalty + push)
        slope = slope - 2 * dt * penalty
        if k == last and system.closing.any():
            pivot, right, carry, slope = _closed(system, pivot, right, carry, slope)
        gain = _solve(pivot, right, strict)
        slope = slope + carry @ gain
        if strict and not np.isfinite(slope).all():
            raise np.linalg.LinAlgError("the Riccati equation has no bounded solution")
        pivots.append(pivot)
        gains.append(gain)
        carries.append(carry)
        slopes.append(slope)
    return Sweep(*(np.stack(each[::-1]) for each in (pivots, gains, carries, slopes)))


def _closed(
    system: LinearSystem, pivot: Array, right: Array, carry: Array, slope: Array
) -> tuple[Array, Array, Array, Array]:
    """The last step's equations ``pivot v = right Q + load``, ``p = carry v + slope Q + drift`` where some must close.

    Those have ``v = -Q / dt`` in the place of their own condition, ``p_K + right Q + load = pivot v``, which gives
    ``p_K``, and with it ``p = (pivot + carry) v + (slope - right) Q + drift - load``.
    """
    own = system.closing[..., None]
    both = own | np.swapaxes(own, -1, -2)
    cost = np.diagonal(system.cost[-1], axis1=-2, axis2=-1)
    unit = np.where(own, cost[..., None] * np.eye(cost.shape[-1]), 0.0)
    # others' conditions meet the rates that are known on the right
    met = right + np.where(np.swapaxes(own, -1, -2) & ~own, pivot, 0.0) / system.dt
    return (
        np.where(both, 0.0, pivot) + unit,
        np.where(own, -unit / system.dt, met),
        np.where(own, pivot + carry, carry),
        np.where(own, slope - right, slope),
    )


def respond(system: LinearSystem, swept: Sweep, load: Load) -> Response:
    """The solution's affine part, backward in time."""
    dt, last, closing = system.dt, len(load.drift) - 1, system.closing[..., None]
    offset, signal_slope = np.zeros_like(load.drift[0]), np.zeros_like(load.signal_drift[0])
    shifts, signals, offsets, signal_slopes = [], [], [offset], [signal_slope]
    for k in range(last, -1, -1):
        ahead = offset + signal_slope @ load.constant[k]
        moved = signal_slope @ load.transition[k]
        drift = np.concatenate([load.drift[k][..., None], load.signal_drift[k]], axis=-1)
        premium = np.concatenate([load.premium[k][..., None], load.signal_premium[k]], axis=-1)
        base = np.concatenate([ahead[..., None], moved], axis=-1)
        right = base + dt / 2 * drift - premium
        if k == last:  # those who must close do so whatever the load, which is in their multiplier
            base, right = np.where(closing, base - right, base), np.where(closing, 0.0, right)
        rates = _solve(swept.pivot[k], right)
        after = base + swept.carry[k] @ rates + dt * drift
        offset, signal_slope = after[..., 0], after[..., 1:]
        shifts.append(rates[..., 0])
        signals.append(rates[..., 1:])
        offsets.append(offset)
        signal_slopes.append(signal_slope)
    return Response(*(np.stack(each[::-1]) for each in (shifts, signals, offsets, signal_slopes)))


def _solve(pivot: Array, right: Array, strict: bool = True) -> Array:
    if pivot.shape[-1] == 1:  # scalar problems come in large batches
        if strict and (pivot == 0).any():
            raise np.linalg.LinAlgError("a pivot of the linear system is zero")
        return right / pivot
    return np.linalg.solve(pivot, right)


def plain(drift: Array, premium: Array | None = None) -> Load:
    """A load without signal: ``drift`` (K, ..., n) of the price, and, if any, a premium of the same shape."""
    steps, none = len(drift), np.zeros((*drift.shape, 0))
    premium = np.zeros_like(drift) if premium is None else premium
    return Load(drift, premium, none, none, np.zeros((steps, 0, 0)), np.zeros((steps, 0)))


def nash_system(c: ExecutionCoefficients, crowding: float, dt: float) -> LinearSystem:
    """The equilibrium's first-order conditions (1), all agents together; the sweep solves them as (2) does."""
    count = len(c.terminal_penalty)
    identity, ones = np.eye(count), np.ones((count, count))
    return _system(c, dt, (2 - crowding) * identity + crowding * ones, identity, ones)


def cooperative_system(c: ExecutionCoefficients, crowding: float, dt: float) -> LinearSystem:
    """First-order conditions of the sum of all payoffs."""
    count = len(c.terminal_penalty)
    identity, ones = np.eye(count), np.ones((count, count))
    return _system(c, dt, 2 * (1 - crowding) * identity + 2 * crowding * ones, ones, ones)


def symmetric_system(c: ExecutionCoefficients, crowding: float, dt: float) -> LinearSystem:
    """The symmetric part of the equilibrium's system."""
    count = len(c.terminal_penalty)
    identity, ones = np.eye(count), np.ones((count, count))
    half = (identity + ones) / 2
    return _system(c, dt, (2 - crowding) * identity + crowding * ones, half, half)


def _system(c: ExecutionCoefficients, dt: float, cost: Array, pull: Array, push: Array) -> LinearSystem:
    count = len(c.terminal_penalty)
    alpha, beta = (each[:, None, None] / count for each in (c.permanent_impact, c.temporary_impact))
    return LinearSystem(dt, beta * cost, alpha * pull, alpha * push, c.running_penalty, c.terminal_penalty)


def mode_system(
    c: ExecutionCoefficients,
    crowding: float,
    dt: float,
    problem: Literal["nash", "cooperative", "symmetric"] = "nash",
) -> LinearSystem:
    """The two scalar modes (mean, deviation from it) of homogeneous agents, as a batch (K, 2, 1, 1)."""
    count = len(c.terminal_penalty)
    ones = np.array([float(count), 0.0]).reshape(2, 1, 1)
    cost, pull, push = 2 - crowding + crowding * ones, np.ones_like(ones), ones
    if problem == "cooperative":
        cost, pull = 2 * (1 - crowding) + 2 * crowding * ones, ones
    elif problem == "symmetric":
        pull = push = (1 + ones) / 2
    alpha, beta = (each[:, None, None, None] / count for each in (c.permanent_impact, c.temporary_impact))
    penalty = np.broadcast_to(c.running_penalty[:, :1, None], (len(alpha), 2, 1))
    terminal = np.broadcast_to(c.terminal_penalty[:1, None], (2, 1))
    return LinearSystem(dt, beta * cost, alpha * pull, alpha * push, penalty, terminal)


def lone_system(
    c: ExecutionCoefficients, dt: float, cost: float, push: float, agents: slice = slice(None)
) -> LinearSystem:
    """One agent's own problem for each agent, or for some, as a batch (K, N, 1, 1); cost and push as in the module's
    table."""
    alpha, beta = (each[:, None, None, None] / len(c.terminal_penalty) for each in c[:2])
    penalty, terminal = c.running_penalty[:, agents, None], c.terminal_penalty[agents, None]
    own_cost, pull, own_push = (np.broadcast_to(x, (*penalty.shape, 1)) for x in (cost * beta, alpha, push * alpha))
    return LinearSystem(dt, own_cost, pull, own_push, penalty, terminal)


def homogeneous(c: ExecutionCoefficients) -> bool:
    """True if all agents have the same penalties."""
    return bool(
        (c.running_penalty == c.running_penalty[:, :1]).all() and (c.terminal_penalty == c.terminal_penalty[0]).all()
    )


def forward(gain: Array, shift: Array, start: Array, dt: float) -> Array:
    """Rates (K, N) of agents that follow ``v = gain q + shift`` from inventories (N,); gain (K, N) or (K, 1)."""
    inventory, rates = start.astype(float), np.empty(shift.shape)
    for k in range(len(shift)):
        rates[k] = gain[k] * inventory + shift[k]
        inventory = inventory + dt * rates[k]
    return rates


def rates_by_modes(c: ExecutionCoefficients, crowding: float, dt: float, start: Array, drift: Array) -> Array:
    """Equilibrium rates (K, N) of homogeneous agents in O(N K), from inventories (N,) and the noise flow's
    drift (K,)."""
    system = mode_system(c, crowding, dt)
    swept = sweep(system)
    mean_drift = np.stack([drift, np.zeros_like(drift)], axis=-1)[..., None]
    shift = respond(system, swept, plain(mean_drift)).shift[..., 0]
    gain = swept.gain[..., 0, 0]
    mean = forward(gain[:, :1], shift[:, :1], start.mean(keepdims=True), dt)
    return mean + forward(gain[:, 1:], np.zeros((len(gain), len(start))), start - start.mean(), dt)


def rates_by_matrices(c: ExecutionCoefficients, crowding: float, dt: float, start: Array, drift: Array) -> Array:
    """Equilibrium rates (K, N) of any agents in O(K N^3)."""
    system = nash_system(c, crowding, dt)
    swept = sweep(system)
    shift = respond(system, swept, plain(np.broadcast_to(drift[:, None], c.running_penalty.shape))).shift
    return follow(swept.gain, shift, start, dt)


def follow(gain: Array, shift: Array, start: Array, dt: float) -> Array:
    """The same where everyone looks at everyone's inventory; gain (K, N, N)."""
    inventory, rates = start.astype(float), np.empty(shift.shape)
    for k in range(len(shift)):
        rates[k] = gain[k] @ inventory + shift[k]
        inventory = inventory + dt * rates[k]
    return rates


def rates_by_aggregate(c: ExecutionCoefficients, crowding: float, dt: float, start: Array, drift: Array) -> Array:
    """Equilibrium rates (K, N) of any agents in O(N K^2) time and O(N K) memory.

    Given the total rate ``S`` of all, the agents do not interact: each solves a scalar sweep. Their rates are affine in
    ``S``, so the total solves a linear system of K equations, which is refined once.

    Raises:
        numpy.linalg.LinAlgError: an agent's pivot is zero (steps are too long), or no total fits.
    """
    steps, count = c.running_penalty.shape
    alpha, beta = c.permanent_impact / count, c.temporary_impact / count
    system = lone_system(c, dt, 2 - crowding, 0.0)
    swept, closing = sweep(system), system.closing[:, 0]
    pivot, gain, carry = (each[..., 0, 0] for each in (swept.pivot, swept.gain, swept.carry))

    def rates(total: Array, outside: Array, begin: Array, agents: slice) -> Array:
        """(K, ..., agents) rates where the total is (K, ...) and noise traders push the price by ``outside``
        (K, ...)."""
        own_pivot, own_gain, own_carry = (each[:, agents] for each in (pivot, gain, carry))
        expand = (slice(None),) + (None,) * (total.ndim - 1)
        push = alpha[expand] * total + outside
        cost = crowding * beta[expand] * total
        offset = np.zeros((*total.shape[1:], own_pivot.shape[1]))
        result = np.empty((steps, *offset.shape))
        for k in reversed(range(steps)):
            load = (dt / 2 * push[k] - cost[k])[..., None]
            result[k] = (offset + load) / own_pivot[k]
            if k == steps - 1:  # as in respond
                result[k], offset = np.where(closing[agents], 0.0, result[k]), offset - closing[agents] * load
            offset = offset + own_carry[k] * result[k] + dt * push[k][..., None]
        inventory = np.broadcast_to(begin, offset.shape)
        for k in range(steps):
            result[k] += own_gain[k] * inventory
            inventory = inventory + dt * result[k]
        return result

    impulses = np.eye(steps)
    effect = np.zeros((steps, steps))
    size = max(1, _CHUNK // steps**2)
    for first in range(0, count, size):
        effect += rates(impulses, np.zeros_like(impulses), np.zeros(()), slice(first, first + size)).sum(axis=-1)
    everyone = slice(None)
    total = np.zeros(steps)
    for _ in range(2):
        defect = rates(total, drift, start, everyone).sum(axis=-1) - total
        total = total + np.linalg.solve(np.eye(steps) - effect, defect)
    return rates(total, drift, start, everyone)

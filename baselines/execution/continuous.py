"""The execution game in continuous time: the linear FBSDE (3) and its Riccati equation, as the paper has them.

With ``Y~ = Y - w`` (``w``: the noise flow's effect on the price so far) and ``O`` all ones, (3) for any crowding
is

    Q' = E Q + D Y~,   Y~' = G Q + F Y~ - m 1,   Y~_T = -2 A Q_T,   m = alpha (b - a) = m0 + m1 L,
    D = (N/beta) B, E = (alpha/beta) B, F = -(alpha/N) O D, G = 2 Phi - (alpha/N) O E,  B = ((2 - pi) I + pi O)^{-1},

and is decoupled by ``Y~ = R Q + h0 + h1 L`` with ``R' = G + F R - R E - R D R``. The environment's own equilibrium is
not this but the grid game's (:func:`~makertaker.baselines.solve`), which converges to it at second order, at first
order with a factor. Three ways to ``R``: closed form (homogeneous agents, constant coefficients: two scalar modes,
hyperbolic functions), Radon's lemma (constant coefficients: matrix exponentials), and a general integrator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.parameters import evaluate, per_agent
from ..errors import EquilibriumNotFound
from .signal import drift_parts, push_parts

__all__ = [
    "Field",
    "Matrices",
    "Mode",
    "Path",
    "constant",
    "field",
    "homogeneous",
    "matrices",
    "modes",
    "path",
    "riccati",
]

Method = Literal["closed form", "radon", "integrate"]
_LARGEST = 1e12
_RELATIVE, _ABSOLUTE = 1e-11, 1e-12


class Matrices(NamedTuple):
    """Coefficients of (3) at one time, (N, N) each."""

    forward_adjoint: Array
    """``D``"""
    forward_inventory: Array
    """``E``"""
    backward_adjoint: Array
    """``F``"""
    backward_inventory: Array
    """``G``"""


@dataclass(frozen=True)
class Mode:
    """A scalar mode of homogeneous agents with constant coefficients: ``(q, y)' = [[a, b], [e, f]] (q, y)``.

    Backward from ``q = 1, y = -2 A`` at ``T``, ``q`` is ``D(tau) = e^{-s tau / 2} (cosh(delta tau) - u
    sinh(delta tau) / delta)`` at time to go ``tau``, ``s = a + f``, ``u = (a - f) / 2 - 2 A b``,
    ``delta^2 = (a - f)^2 / 4 + b e``, and the decoupling field is ``y / q``. Those who must liquidate start from
    ``q = 0, y = -1``, where ``q`` is ``b e^{-s tau / 2} sinh(delta tau) / delta``.
    """

    a: float
    b: float
    e: float
    f: float
    terminal: float

    @property
    def _delta_squared(self) -> float:
        return (self.a - self.f) ** 2 / 4 + self.b * self.e

    def _parts(self, tau: Array) -> tuple[Array, Array, Array]:
        """``log`` of a common scale, ``cosh / scale`` and ``(sinh / delta) / scale``, without overflow."""
        delta = np.sqrt(self._delta_squared)  # never negative: both modes have b e >= -(a - f)^2 / 4
        if delta == 0:
            return 0 * tau, 1 + 0 * tau, tau
        decay = np.exp(-2 * delta * tau)
        return delta * tau, (1 + decay) / 2, -np.expm1(-2 * delta * tau) / (2 * delta)

    def both(self, tau: Array) -> tuple[Array, Array, Array]:
        """``log`` of a common scale, ``q / scale`` and ``y / scale`` at time to go ``tau``.

        Raises EquilibriumNotFound where ``q`` is not positive, but for the end of those who must liquidate.
        """
        scale, cosh, sinh = self._parts(tau)
        half = (self.a - self.f) / 2
        if np.isinf(self.terminal):
            inventory, adjoint, end = self.b * sinh, -cosh - half * sinh, tau == 0
        else:
            inventory = cosh - (half - 2 * self.terminal * self.b) * sinh
            adjoint = -2 * self.terminal * cosh - (self.e + 2 * half * self.terminal) * sinh
            end = np.zeros(np.shape(tau), dtype=bool)
        if ((inventory <= 0) & ~end).any():
            raise EquilibriumNotFound("the Riccati equation has no bounded solution on this horizon")
        return scale - (self.a + self.f) / 2 * tau, inventory, adjoint

    def slope(self, tau: Array) -> Array:
        """Riccati coefficient ``y / q`` at time to go ``tau``. Raises EquilibriumNotFound where it blows up."""
        _, inventory, adjoint = self.both(tau)
        return np.asarray(adjoint / inventory)


def modes(game: ExecutionGame) -> tuple[Mode, Mode]:
    """The mean of the inventories and the deviations from it, (3) in type-(S) coordinates.

    Raises:
        ValueError: penalties differ, or a coefficient depends on time.
    """
    if not (constant(game) and homogeneous(game)):
        raise ValueError("modes: expected homogeneous penalties and constant impacts and penalties")
    alpha, beta, phi, count = *_impacts(game, 0.0), float(_penalties(game, 0.0)[0]), game.traders
    c, d = 2 + game.crowding * (count - 1), 2 - game.crowding
    end = float(np.broadcast_to(np.asarray(game.terminal_penalty, dtype=float), (count,))[0])
    first, pull = (each / (c * beta) for each in (alpha, count))
    mean = Mode(first, pull, 2 * phi - alpha * first, -alpha * pull, end)
    return mean, Mode(alpha / (d * beta), count / (d * beta), 2 * phi, 0.0, end)


def constant(game: ExecutionGame) -> bool:
    """True if impacts and running penalties do not depend on time."""
    everything = (game.permanent_impact, game.temporary_impact, *per_agent(game.running_penalty, game.traders, "phi"))
    return not any(map(callable, everything))


def homogeneous(game: ExecutionGame) -> bool:
    """True if all agents have the same penalties."""
    same = len(set(per_agent(game.running_penalty, game.traders, "phi"))) == 1
    return same and len(set(np.atleast_1d(np.asarray(game.terminal_penalty, dtype=float)).tolist())) == 1


def _impacts(game: ExecutionGame, t: float) -> tuple[float, float]:
    names = ("permanent_impact", "temporary_impact")
    alpha, beta = (float(evaluate(getattr(game, name), np.array([t]), name)[0]) for name in names)
    return alpha, beta


def _penalties(game: ExecutionGame, t: float) -> Array:
    each = per_agent(game.running_penalty, game.traders, "running_penalty")
    return np.array([evaluate(phi, np.array([t]), "running_penalty")[0] for phi in each])


def matrices(game: ExecutionGame, t: float) -> Matrices:
    """``D, E, F, G`` of (3) at time ``t``, for any crowding: the rates of (2) are ``D (Y - w) + E Q``.

    Examples:
        >>> from makertaker.baselines.continuous import matrices
        >>> from makertaker.envs import load_scenario
        >>> matrices(load_scenario("execution-2"), 0.0).forward_adjoint.shape
        (2, 2)
    """
    count = game.traders
    alpha, beta = _impacts(game, t)
    ones = np.ones((count, count))
    c, d = 2 + game.crowding * (count - 1), 2 - game.crowding
    inverse = (np.eye(count) - game.crowding / c * ones) / d
    forward, pull, moved = count / beta * inverse, alpha / beta * inverse, alpha / count * ones
    return Matrices(forward, pull, -moved @ forward, 2 * np.diag(_penalties(game, t)) - moved @ pull)


def _end(game: ExecutionGame) -> tuple[Array, Array]:
    """``X``, ``Z`` at the end, (N, N) each, with ``R = Z X^{-1}``: ``I, -2 A``, or ``0, -1`` for those who must
    liquidate."""
    penalty = np.broadcast_to(np.asarray(game.terminal_penalty, dtype=float), (game.traders,))
    finite = np.where(game.closing, 0.5, penalty)
    return np.diag(np.where(game.closing, 0.0, 1.0)), -2 * np.diag(finite)


def riccati(game: ExecutionGame, times: Array, method: Method | None = None) -> Array:
    """``R_t`` of Theorem 2.7, (len(times), N, N).

    Args:
        game: the game.
        times: increasing, from 0 to the horizon at most.
        method: by default the closed form for homogeneous agents with constant coefficients, Radon's lemma for constant
            coefficients, the integrator otherwise.

    Raises:
        ValueError: the method does not fit the game.
        EquilibriumNotFound: there is no bounded solution.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines.continuous import riccati
        >>> from makertaker.envs import load_scenario
        >>> times = np.linspace(0, 1, 3)
        >>> closed, radon = (riccati(load_scenario("execution-2"), times, way) for way in ("closed form", "radon"))
        >>> bool(abs(closed - radon).max() < 1e-9)
        True
    """
    times = np.asarray(times, dtype=float)
    if times.ndim != 1 or (np.diff(times) < 0).any() or times.min() < 0 or times.max() > game.horizon:
        raise ValueError(f"times: expected increasing times within [0, {game.horizon:g}], got {times!r}")
    if game.must_close and (times >= game.horizon).any():
        raise ValueError("times: expected times before the horizon, where a slope is infinite: a trader must liquidate")
    if method is None:
        method = "integrate" if not constant(game) else "closed form" if homogeneous(game) else "radon"
    if method == "closed form":
        mean, deviation = (mode.slope(game.horizon - times)[:, None, None] for mode in modes(game))
        count = game.traders
        return deviation * np.eye(count) + (mean - deviation) / count * np.ones((count, count))
    if method == "radon":
        return _radon(game, times)
    if method == "integrate":
        return _integrate(game, times).slope
    raise ValueError(f"method: expected 'closed form', 'radon' or 'integrate', got {method!r}")


def _radon(game: ExecutionGame, times: Array) -> Array:
    """Radon's lemma, restarted at every step: ``(X, Z)' = [[E, D], [G, F]] (X, Z)``, ``R = Z X^{-1}``."""
    if not constant(game):
        raise ValueError("radon: expected constant impacts and penalties")
    count = game.traders
    part = matrices(game, 0.0)
    flow = np.block([[part.forward_inventory, part.forward_adjoint], [part.backward_inventory, part.backward_adjoint]])
    (given, slope), now, result = _end(game), game.horizon, []
    for t in times[::-1]:
        pieces = max(1, int(np.ceil((now - t) * np.abs(flow).sum(axis=1).max())))  # no exponential overflows
        step = expm(-flow * (now - t) / pieces)
        for _ in range(pieces):
            both, given = step @ np.concatenate([given, slope]), np.eye(count)
            slope = np.linalg.solve(both[:count].T, both[count:].T).T
            if not np.abs(slope).max() < _LARGEST or np.linalg.det(both[:count]) <= 0:
                raise EquilibriumNotFound("the Riccati equation has no bounded solution on this horizon")
        now = t
        result.append(slope)
    return np.stack(result[::-1])


class Field(NamedTuple):
    """The decoupling field (5) in continuous time, ``Y = w 1 + R Q + h0 + h1 L``, at given times."""

    slope: Array
    """(times, N, N) ``R``"""
    offset: Array
    """(times, N) ``h0``"""
    signal_slope: Array
    """(times, N, d) ``h1``; d = 0 in a game without factor"""


def field(game: ExecutionGame, times: Array) -> Field:
    """The decoupling field of (3), for any deterministic noise flow or linear signal, by a general integrator.

    Raises:
        ValueError: the factor does not enter linearly.
        EquilibriumNotFound: there is no bounded solution.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines.continuous import field
        >>> from makertaker.envs import load_scenario
        >>> field(load_scenario("execution-2"), np.linspace(0, 1, 3)).slope.shape
        (3, 2, 2)
    """
    return _integrate(game, np.asarray(times, dtype=float))


def _integrate(game: ExecutionGame, times: Array) -> Field:
    count = game.traders
    size = 0 if game.factor is None else game.factor.size

    def unpack(y: Array) -> tuple[Array, Array, Array]:
        slope, offset, signal = np.split(y, [count**2, count**2 + count])
        return slope.reshape(count, count), offset, signal.reshape(count, size)

    def backward(t: float, y: Array) -> Array:
        part = matrices(game, t)
        slope, offset, signal = unpack(y)
        closed = part.backward_adjoint - slope @ part.forward_adjoint
        push, push_slope = push_parts(game, t)
        drift, reversion = drift_parts(game, t)
        change = part.backward_inventory + part.backward_adjoint @ slope - slope @ part.forward_inventory
        change = change - slope @ part.forward_adjoint @ slope
        offset_change = closed @ offset - signal @ drift - push
        signal_change = closed @ signal - signal @ reversion - push_slope
        return np.concatenate([change.ravel(), offset_change, signal_change.ravel()])

    if game.must_close:
        raise ValueError("terminal_penalty: the integrator starts from finite slopes, got a trader who must liquidate")
    start = np.concatenate([_end(game)[1].ravel(), np.zeros(count * (1 + size))])
    span = (game.horizon, 0.0)
    found = solve_ivp(backward, span, start, "DOP853", t_eval=times[::-1], rtol=_RELATIVE, atol=_ABSOLUTE)
    if not found.success or not np.abs(found.y).max(initial=0.0) < _LARGEST:
        raise EquilibriumNotFound(f"the Riccati equation has no bounded solution on this horizon: {found.message}")
    parts = [unpack(y) for y in found.y.T[::-1]]
    return Field(*(np.stack(each) for each in zip(*parts, strict=True)))


class Path(NamedTuple):
    """The equilibrium of (3) without noise, at given times."""

    inventories: Array
    """(times, N)"""
    rates: Array
    """(times, N)"""


def path(game: ExecutionGame, times: Array) -> Path:
    """Inventories and rates of the continuous-time equilibrium without noise flow; closed form, O(N).

    Raises:
        ValueError: there is noise flow, penalties differ, or a coefficient depends on time.
        EquilibriumNotFound: there is no bounded solution.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines.continuous import path
        >>> from makertaker.envs import load_scenario
        >>> path(load_scenario("execution-2"), np.linspace(0, 1, 3)).inventories[0].tolist()
        [-5.0, -5.0]
    """
    if any(callable(flow) or flow for flow in (game.buy_flow, game.sell_flow)):
        raise ValueError("path: the closed form is for games without noise flow; integrate the field otherwise")
    times = np.asarray(times, dtype=float)
    tau, total = game.horizon - times, np.array(game.horizon)
    mean = game.start.mean()
    inventories = rates = np.zeros(1)
    for mode, begin in zip(modes(game), (np.full(game.traders, mean), game.start - mean), strict=True):
        scale, inventory, adjoint = mode.both(tau)
        first, at_start, _ = mode.both(total)  # refuses a horizon on which there is no bounded solution
        size = np.exp(scale - first)[:, None] * begin / at_start
        inventories = inventories + inventory[:, None] * size
        rates = rates + (mode.a * inventory + mode.b * adjoint)[:, None] * size
    return Path(inventories, rates)

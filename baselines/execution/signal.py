"""Linear signals: the effect of a factor with affine drift on the execution game, and expectations over its noise.

With drift ``Gamma(t, L)`` affine in ``L`` (an Ornstein-Uhlenbeck process, for one) and flows whose difference is
affine, the noise flow pushes the price by ``m0 + m1 L`` and ``E[L_{k+1}] = a L_k + c``: certainty equivalence holds,
and the equilibrium is affine in inventories and factor, whatever the diffusion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ...envs import ExecutionGame, Factor, Noise
from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients
from ...envs.parameters import evaluate
from ..sampling import pair_mean
from .linear_system import Load

_SAMPLES = 4096
_TOLERANCE = 1e-9
"""of a function's largest value: below it a difference is rounding"""


class Signal(NamedTuple):
    """A linear signal on a grid; of dimension 0 in a game without factor."""

    drift: Array
    """(K,) ``m0``: of the market price, by noise traders"""
    slope: Array
    """(K, d) ``m1``"""
    transition: Array
    """(K, d, d) ``a``"""
    constant: Array
    """(K, d) ``c``"""


def linear_signal(game: ExecutionGame, c: ExecutionCoefficients, times: Array) -> Signal:
    """The signal of a game on a grid.

    Raises:
        ValueError: the factor's drift, or the flows' effect on the price, is not affine in the factor; or the steps are
            so long that the factor overshoots its mean ever further.
    """
    signal, bent = _read(game, c, times)
    if bent:
        raise ValueError(bent)
    return signal


def is_linear(game: ExecutionGame, times: Array) -> bool:
    """True if the factor's drift and the flows' effect on the price are affine in the factor.

    Raises:
        ValueError: the steps are so long that the factor overshoots its mean ever further.
    """
    return not _read(game, game.coefficients(times), times)[1]


def _read(game: ExecutionGame, c: ExecutionCoefficients, times: Array) -> tuple[Signal, str]:
    """The signal, and a message about a function that is not affine in the factor; empty if all are."""
    steps, factor = len(times) - 1, game.factor
    if factor is None:
        return Signal(game.push(c), np.zeros((steps, 0)), np.zeros((steps, 0, 0)), np.zeros((steps, 0))), ""
    moves: list[_Affine] = []
    pushes: list[_Affine] = []
    for k, t in enumerate(times[:-1]):
        dt = float(times[k + 1] - t)
        moves.append(_affine(partial(_drifted, factor, t, dt), factor, game.horizon, "factor.drift"))
        push, size = partial(_push, game, c.at(k), t), c.permanent_impact[k] * _flow_size(game, factor, t)
        pushes.append(_affine(push, factor, game.horizon, "buy_flow - sell_flow", size))
        bent = moves[-1].bent or pushes[-1].bent
        if not moves[-1].bent and np.linalg.eigvals(moves[-1].slope).real.min() < -1:
            raise ValueError(
                f"factor.drift: with {steps} steps the factor overshoots its mean and swings ever further; take more"
            )
        if bent:
            break
    flows = (np.stack([each.constant[0] for each in pushes]), np.stack([each.slope[0] for each in pushes]))
    return Signal(*flows, np.stack([each.slope for each in moves]), np.stack([each.constant for each in moves])), bent


def _drifted(factor: Factor, t: Array, dt: float, at: Array) -> Array:
    """``E[L_{k+1}]`` at factors (..., d)."""
    return factor.move(t, at, dt, np.zeros_like(at))


def _push(game: ExecutionGame, c: ExecutionCoefficients, t: Array, at: Array) -> Array:
    """(..., 1) the noise flow's drift of the price at factors (..., d)."""
    return np.broadcast_to(game.push(game.with_factor(c, t, at)), at.shape[:-1])[..., None]


def _flow_size(game: ExecutionGame, factor: Factor, t: Array) -> float:
    """Largest flow near the factor's start: what their difference is rounded by."""
    start, unit = np.array(factor.initial), factor.scale(game.horizon)
    return float(np.abs(np.stack(game.flows(t, np.stack([start, start + unit])))).max())


def push_parts(game: ExecutionGame, t: float) -> tuple[Array, Array]:
    """``m0``, () and ``m1``, (d,), at time ``t``: the noise flow's drift of the price, ``m0 + m1 L``."""
    at = np.array([t])
    alpha = evaluate(game.permanent_impact, at, "permanent_impact")[0]
    if game.factor is None:
        flows = [evaluate(flow, at, "flow")[0] for flow in (game.buy_flow, game.sell_flow)]  # type: ignore[arg-type]
        return alpha * (flows[0] - flows[1]), np.zeros(0)

    def net_flow(at: Array) -> Array:
        buys, sells = game.flows(np.asarray(t), at)
        return np.asarray(buys - sells)[..., None]

    size = _flow_size(game, game.factor, np.asarray(t))
    flow, slope = _affine(net_flow, game.factor, game.horizon, "buy_flow - sell_flow", size).parts()
    return alpha * flow[0], alpha * slope[0]


def drift_parts(game: ExecutionGame, t: float) -> tuple[Array, Array]:
    """``g0``, (d,), and ``g1``, (d, d), at time ``t``: the factor's drift ``g0 + g1 L``."""
    factor = game.factor
    if factor is None:
        return np.zeros(0), np.zeros((0, 0))

    def drift(at: Array) -> Array:
        return np.broadcast_to(np.asarray(factor.drift(np.asarray(t), at), dtype=float), at.shape)

    return _affine(drift, factor, game.horizon, "factor.drift").parts()


class _Affine(NamedTuple):
    """``f(L) = constant + slope L``."""

    constant: Array
    """(m,)"""
    slope: Array
    """(m, d)"""
    bent: str
    """a message if the function is not affine, with its distance from one that is; empty otherwise"""

    def parts(self) -> tuple[Array, Array]:
        """Constant and slope. Raises ValueError where the function is not affine."""
        if self.bent:
            raise ValueError(self.bent)
        return self.constant, self.slope


def _affine(
    function: Callable[[Array], Array], factor: Factor, horizon: float, name: str, rounding: float = 0.0
) -> _Affine:
    """A function's affine part; ``rounding`` is the size of what it is a difference of."""
    start, unit = np.array(factor.initial), factor.scale(horizon)
    values = function(np.concatenate([start[None], start + np.diag(unit)]))
    slope = (values[1:] - values[0]).T / unit
    constant = values[0] - slope @ start
    probes = start + unit * _probes(factor.size)
    found = function(probes)
    defect = np.abs(found - constant - probes @ slope.T).max()
    size = max(rounding, np.abs(values).max(), np.abs(found).max())
    bent = f"{name}: the linear solution needs an affine function of the factor, got one off by {defect:.2g}"
    return _Affine(constant, slope, bent if defect > _TOLERANCE * size else "")


def _probes(size: int) -> Array:
    """Points up to four scales away on all sides: along the axes, and along one diagonal and its mirror image."""
    reach = np.array([0.5, 1.0, 2.0, 3.0, 4.0])
    reach = np.concatenate([reach, -reach])
    mixed = np.where(np.arange(size) % 2, -1.0, 1.0)
    directions = np.concatenate([np.eye(size), np.ones((1, size)), mixed[None]])
    return (reach[:, None, None] * directions).reshape(-1, size)


def additive(factor: Factor, times: Array) -> bool:
    """True if the diffusion does not depend on the factor, so that quadratic payoffs have exact expectations."""
    start, unit = np.array(factor.initial), factor.scale(float(times[-1]))
    probes = start + unit * _probes(factor.size)
    shakes = [
        factor.shake(t, probes, np.broadcast_to(each, probes.shape)) for t in times for each in np.eye(factor.size)
    ]
    return all(float(np.ptp(each, axis=0).max()) <= _TOLERANCE * float(np.abs(each).max()) for each in shakes)


def expectation(
    game: ExecutionGame, times: Array, payoffs: Callable[[Noise | None], Array], seed: int = 0
) -> tuple[Array, Array | None]:
    """Mean of payoffs (batch, n) that are quadratic in the factor's noise, and its standard error.

    Where the diffusion does not depend on the factor, exactly and without standard error: a quadratic function's mean
    under independent standard normals ``z_j`` is ``f(0) + sum_j (f(e_j) + f(-e_j) - 2 f(0)) / 2``. Otherwise from
    antithetic pairs of draws.

    Args:
        game: the game.
        times: of the grid.
        payoffs: a function of the noise.
        seed: of the draws.
    """
    factor, steps = game.factor, len(times) - 1
    if factor is None:
        return payoffs(None), None
    if additive(factor, times):
        units = unit_increments(factor, steps)
        values = payoffs(Noise(factor=np.concatenate([0 * units[:1], units, -units])))
        up, down = np.split(values[1:], 2)
        return values[0] + (up + down - 2 * values[0]).sum(axis=0) / 2, None
    draws = np.random.default_rng(seed).standard_normal((_SAMPLES, steps, factor.size))
    return pair_mean(payoffs(Noise(factor=np.concatenate([draws, -draws]))))


def unit_increments(factor: Factor, steps: int) -> Array:
    """(K d, K, d) one path for each increment of the factor's noise, which is 1 there, the others being 0."""
    return np.eye(steps * factor.size).reshape(-1, steps, factor.size)


def signal_load(signal: Signal, *shape: int) -> Load:
    """The signal as a load (K, *shape) that pushes the price for everyone."""
    steps, size = signal.slope.shape
    axes = [1] * len(shape)
    drift = np.broadcast_to(signal.drift.reshape(steps, *axes), (steps, *shape))
    slope = np.broadcast_to(signal.slope.reshape(steps, *axes, size), (steps, *shape, size))
    return Load(drift, 0 * drift, slope, 0 * slope, signal.transition, signal.constant)

"""Section 5: the guarantees of the theory for a game with noise.

Values cannot show that a function is bounded or Lipschitz everywhere. It is looked at out to a thousand scales of the
factor: one that still grows in proportion there counts as unbounded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...envs import BestQuote, Factor, MakerTakerGame
from ...envs.arrays import Array
from .condition import Condition, if_positive
from .maker_taker import cut_off

_TIMES = 17
_DRAWS = 400
_FAR = 1e3
_GROWS = 0.5
"""of proportional growth over the last factor of ten: above it a function counts as unbounded"""
_SLOPE = "largest slope between neighbouring points, negated"


def noise_conditions(game: MakerTakerGame) -> list[Condition]:
    """Assumption 5.3 and Theorem 5.5 for a game with noise."""
    rng = np.random.default_rng(0)
    smooth = float(not isinstance(game.competition, BestQuote))
    covered = "1 for softmax and product shares, 0 for best-quote competition, which Section 5 does not cover"
    conditions = [
        if_positive("every inventory has noise of its own", game.inventory_noise, "Section 5", "epsilon"),
        if_positive("shares are smooth functions of all quotes", smooth, "Definition 5.1", covered),
        Condition("penalties are deterministic", True, 1.0, "Assumption 5.3 (3)", "the game is built so"),
    ]
    if game.factor is not None:
        conditions += [*_dynamics(game.factor, game.horizon, rng), *_flows(game, game.factor, rng)]
    missing = [each.name for each in conditions if not each.holds]
    note = "assumptions that fail, their number negated"
    note += f": {'; '.join(missing)}" if missing else "; 'bounded' is not literally true: Y_T = -2 A Q_T is Gaussian"
    last = Condition("(39)-(41) has one bounded solution", not missing, -float(len(missing)), "Theorem 5.5", note)
    return [*conditions, last]


def _dynamics(factor: Factor, horizon: float, rng: np.random.Generator) -> list[Condition]:
    times = np.linspace(0.0, horizon, _TIMES)
    points = _points(factor, horizon, rng)

    def drift(time: Array, at: Array) -> Array:
        return np.broadcast_to(np.asarray(factor.drift(time, at), dtype=float), at.shape)

    def diffusion(time: Array, at: Array) -> Array:
        """(B, d, d) ``Sigma``, by its columns."""
        units = np.eye(factor.size)
        columns = [factor.shake(time, at, np.broadcast_to(unit, at.shape)) for unit in units]
        return np.stack(columns, axis=-1)

    steepness, steady = _steepness(drift, times, points)
    steepest, constant = _steepness(diffusion, times, points)
    sigma = np.stack([diffusion(t, points[1]) for t in times])
    least = float(np.linalg.eigvalsh(sigma @ np.swapaxes(sigma, -1, -2)).min())
    growth, largest = _growth(drift, times, points)
    note = f"largest |Gamma| out to {_FAR:g} scales, negated"
    if growth >= _GROWS:
        note += "; it grows in proportion, as an Ornstein-Uhlenbeck process's does"
    reference, elliptic = "Assumption 5.3 (1)", "least eigenvalue of Sigma Sigma*"
    return [
        Condition(
            "the factor's drift and diffusion are Lipschitz",
            steady and constant,
            -max(steepness, steepest),
            reference,
            _SLOPE,
        ),
        if_positive("the factor's diffusion is uniformly elliptic", least, reference, elliptic),
        Condition("the factor's drift is bounded", growth < _GROWS, -largest, reference, note),
    ]


def _flows(game: MakerTakerGame, factor: Factor, rng: np.random.Generator) -> list[Condition]:
    times = np.linspace(0.0, game.horizon, _TIMES)
    points = _points(factor, game.horizon, rng)

    def flows(time: Array, at: Array) -> Array:
        return np.stack(game.flows(time, at), axis=-1)

    least = min(float(flows(t, at).min()) for t in times for at in points)
    growth, largest = _growth(flows, times, points)
    steepness, steady = _steepness(flows, times, points)
    reference, reach = "Assumption 5.3 (2)", f"flow out to {_FAR:g} scales of the factor"
    return [
        if_positive("flows are positive", least, reference, f"least {reach}{cut_off(game)}"),
        Condition("flows are bounded", growth < _GROWS, -largest, reference, f"largest {reach}, negated"),
        Condition("flows are Lipschitz", steady, -steepness, reference, _SLOPE),
    ]


def _points(factor: Factor, horizon: float, rng: np.random.Generator) -> Array:
    """(3, B, d) points a hundred scales and a thousand away at most, and within three."""
    unit = factor.scale(horizon) * rng.uniform(-1, 1, (_DRAWS, factor.size))
    return np.array(factor.initial) + unit * np.array([_FAR / 10, 3.0, _FAR])[:, None, None]


def _growth(function: Callable[[Array, Array], Array], times: Array, points: Array) -> tuple[float, float]:
    """A function's growth over the last factor of ten, 1 if in proportion; and its largest size."""
    near, far = (max(float(np.abs(function(t, at)).max()) for t in times) for at in (points[0], points[2]))
    return (far / near - 1) / 9 if near > 0 else 0.0, max(near, far)


def _steepness(function: Callable[[Array, Array], Array], times: Array, points: Array) -> tuple[float, bool]:
    """Largest slope between neighbouring points, and True if it does not grow over the last factor of ten."""

    def steepest(at: Array) -> float:
        width = 1e-5 * float(np.abs(at - at.mean(axis=0)).max())
        rises = [
            np.abs(function(t, at + width * unit) - function(t, at - width * unit)).max() / (2 * width)
            for t in times
            for unit in np.eye(at.shape[-1])
        ]
        return float(max(rises))

    far, near, farthest = (steepest(at) for at in points)
    # differences of values so far out have rounding of their own
    rounding = 1e-9 * max(float(np.abs(function(t, points[2])).max()) for t in times) / float(np.abs(points[2]).max())
    return max(far, near, farthest), bool(farthest <= (1 + 9 * _GROWS) * max(far, near) + rounding)

"""Section 5: what the theory guarantees for a game with noise.

Whether a function is bounded or Lipschitz everywhere cannot be seen from values. What is reported is what is seen out
to a thousand scales of the factor: a function that still grows in proportion there counts as unbounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...envs import BestQuote, Factor, MakerTakerGame
from ...envs.arrays import Array
from .condition import Condition

_TIMES = 17
_DRAWS = 400
_FAR = 1e3
_GROWS = 0.5
"""of proportional growth over the last factor of ten: above it a function counts as unbounded"""


def noise_conditions(game: MakerTakerGame) -> list[Condition]:
    """Assumption 5.3 and Theorem 5.5 for a game with noise."""
    rng = np.random.default_rng(0)
    conditions = [
        Condition(
            "every inventory has noise of its own",
            game.inventory_noise > 0,
            game.inventory_noise,
            "Section 5",
            "epsilon",
        ),
        Condition(
            "shares are smooth functions of all quotes",
            not isinstance(game.competition, BestQuote),
            0.0 if isinstance(game.competition, BestQuote) else 1.0,
            "Definition 5.1",
            "1 for softmax and product shares, 0 for best-quote competition, which Section 5 does not cover",
        ),
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

    steepness, steady = _steepness((drift, diffusion), times, points)
    sigma = np.stack([diffusion(t, points[1]) for t in times])
    least = float(np.linalg.eigvalsh(sigma @ np.swapaxes(sigma, -1, -2)).min())
    growth, largest = _growth(drift, times, points)
    return [
        Condition(
            "the factor's drift and diffusion are Lipschitz",
            steady,
            -steepness,
            "Assumption 5.3 (1)",
            "largest slope between neighbouring points, negated",
        ),
        Condition(
            "the factor's diffusion is uniformly elliptic",
            least > 0,
            least,
            "Assumption 5.3 (1)",
            "least eigenvalue of Sigma Sigma*",
        ),
        Condition(
            "the factor's drift is bounded",
            growth < _GROWS,
            -largest,
            "Assumption 5.3 (1)",
            f"largest |Gamma| out to {_FAR:g} scales, negated"
            + ("" if growth < _GROWS else "; it grows in proportion, as an Ornstein-Uhlenbeck process's does"),
        ),
    ]


def _flows(game: MakerTakerGame, factor: Factor, rng: np.random.Generator) -> list[Condition]:
    times = np.linspace(0.0, game.horizon, _TIMES)
    points = _points(factor, game.horizon, rng)

    def flows(time: Array, at: Array) -> Array:
        return np.stack(game.flows(time, at), axis=-1)

    least = min(float(flows(t, at).min()) for t in times for at in points)
    growth, largest = _growth(flows, times, points)
    steepness, steady = _steepness((flows,), times, points)
    return [
        Condition(
            "flows are positive",
            least > 0,
            least,
            "Assumption 5.3 (2)",
            f"least flow out to {_FAR:g} scales of the factor",
        ),
        Condition(
            "flows are bounded",
            growth < _GROWS,
            -largest,
            "Assumption 5.3 (2)",
            f"largest flow out to {_FAR:g} scales of the factor, negated",
        ),
        Condition(
            "flows are Lipschitz",
            steady,
            -steepness,
            "Assumption 5.3 (2)",
            "largest slope between neighbouring points, negated",
        ),
    ]


def _points(factor: Factor, horizon: float, rng: np.random.Generator) -> Array:
    """(3, B, d) points a hundred scales and a thousand away at most, and within three."""
    unit = factor.scale(horizon) * rng.uniform(-1, 1, (_DRAWS, factor.size))
    return np.array(factor.initial) + unit * np.array([_FAR / 10, 3.0, _FAR])[:, None, None]


def _growth(function: Callable[[Array, Array], Array], times: Array, points: Array) -> tuple[float, float]:
    """How much a function grows over the last factor of ten, 1 if in proportion; and its largest size."""
    near, far = (max(float(np.abs(function(t, at)).max()) for t in times) for at in (points[0], points[2]))
    return (far / near - 1) / 9 if near > 0 else 0.0, max(near, far)


def _steepness(functions: Sequence[Callable[[Array, Array], Array]], times: Array, points: Array) -> tuple[float, bool]:
    """Largest slope between neighbouring points, and whether it does not grow over the last factor of ten."""

    def steepest(at: Array) -> float:
        width = 1e-5 * float(np.abs(at - at.mean(axis=0)).max())
        rises = [
            np.abs(function(t, at + width * unit) - function(t, at - width * unit)).max() / (2 * width)
            for function in functions
            for t in times
            for unit in np.eye(at.shape[-1])
        ]
        return float(max(rises))

    far, near, farthest = (steepest(at) for at in points)
    return max(far, near, farthest), bool(farthest <= (1 + 9 * _GROWS) * max(far, near) + 1e-9)

"""Section 5: the guarantees of the theory for a game with noise.

Values cannot show that a function is bounded or Lipschitz everywhere. It is looked at out to a thousand scales of the
factor: one that still grows in proportion there counts as unbounded. One whose slopes keep growing over ever shorter
distances counts as not Lipschitz.
"""

from __future__ import annotations

import numpy as np

from ...envs import BestQuote, Factor, MakerTakerGame
from ...envs.arrays import Array
from .condition import Condition, Margin, if_positive, smallest_of, stated
from .factor import (
    FAR,
    GROWS,
    MIDDLE,
    NEAR,
    Function,
    flows_grow,
    growth,
    known,
    least_flows,
    lowest,
    points_of,
    steepness,
    times_of,
    unless_known,
)
from .maker_taker import cut_off

_VANISHES = 1e-10
"""of its size: below it an eigenvalue counts as 0"""
_SLOPE = "largest slope, negated"


def noise_conditions(game: MakerTakerGame) -> list[Condition]:
    """Assumption 5.3 and Theorem 5.5 for a game with noise."""
    smooth = float(not isinstance(game.competition, BestQuote))
    covered = "1 for softmax and product shares, 0 for best-quote competition, which Section 5 does not cover"
    conditions = [
        if_positive("every inventory has noise of its own", game.inventory_noise, "Section 5", "epsilon"),
        if_positive("shares are smooth functions of all quotes", smooth, "Definition 5.1", covered),
        Condition("penalties are deterministic", True, 1.0, "Assumption 5.3 (3)", "the game is built so"),
    ]
    if game.factor is not None:
        conditions += [*_dynamics(game.factor, game.horizon), *_flows(game, game.factor)]
    missing = [each.name for each in conditions if not each.holds]
    note = "assumptions that fail, their number negated"
    note += f": {'; '.join(missing)}" if missing else "; 'bounded' is not literally true: Y_T = -2 A Q_T is Gaussian"
    last = Condition("(39)-(41) has one bounded solution", not missing, -float(len(missing)), "Theorem 5.5", note)
    return [*conditions, last]


def _dynamics(factor: Factor, horizon: float) -> list[Condition]:
    times = times_of(horizon)

    def drift(time: Array, at: Array) -> Array:
        return np.broadcast_to(np.asarray(factor.drift(time, at), dtype=float), at.shape)

    def diffusion(time: Array, at: Array) -> Array:
        """(B, d, d) ``Sigma``, by its columns."""
        units = np.eye(factor.size)
        columns = [factor.shake(time, at, np.broadcast_to(unit, at.shape)) for unit in units]
        return np.stack(columns, axis=-1)

    slopes = steepness((drift, diffusion), times, factor, horizon)
    increase, size = growth(drift, times, factor, horizon)
    bounded = increase < GROWS
    reference, note = "Assumption 5.3 (1)", f"largest |Gamma| out to {FAR:g} scales, negated"
    if GROWS <= increase < np.inf:
        note += "; it grows in proportion, as an Ornstein-Uhlenbeck process's does"
    return [
        stated(
            "the factor's drift and diffusion are Lipschitz",
            slopes.bounded,
            unless_known(slopes.margin, factor.drift, factor.diffusion),
            reference,
            _SLOPE,
        ),
        if_positive(
            "the factor's diffusion is uniformly elliptic",
            unless_known(_ellipticity(diffusion, times, factor, horizon), factor.diffusion),
            reference,
            f"least eigenvalue of Sigma Sigma* out to {FAR:g} scales; 0 where it vanishes, or keeps falling far out",
        ),
        stated(
            "the factor's drift is bounded",
            bounded,
            unless_known(size._replace(where=""), factor.drift),
            reference,
            note,
        ),
    ]


def _ellipticity(diffusion: Function, times: Array, factor: Factor, horizon: float) -> Margin:
    """The least eigenvalue of ``Sigma Sigma*``; 0 if it is beside that of most factors."""

    def eigenvalue(time: Array, at: Array) -> Array:
        sigma = diffusion(time, at)
        return np.asarray(np.linalg.eigvalsh(sigma @ np.swapaxes(sigma, -1, -2))[..., 0])

    unit = factor.scale(horizon)
    close, middle, far = (
        lowest(eigenvalue, times, points_of(factor, horizon, reach), reach / 20 * unit) for reach in (NEAR, MIDDLE, FAR)
    )
    points = points_of(factor, horizon, NEAR)
    usual = max(float(np.nanmedian(known(eigenvalue, t, points))) for t in times)
    least = min((close, middle, far), key=lambda each: each.value).margin
    falls = far.value < GROWS * middle.value
    return least._replace(value=0.0) if least.value <= _VANISHES * usual or falls else least


def _flows(game: MakerTakerGame, factor: Factor) -> list[Condition]:
    times, given = times_of(game.horizon), (game.buy_flow, game.sell_flow)

    def flows(time: Array, at: Array) -> Array:
        return np.stack(game.flows(time, at), axis=-1)

    grow, size = flows_grow(game, factor)
    slopes = steepness((flows,), times, factor, game.horizon)
    least = smallest_of(*least_flows(game, FAR), *least_flows(game, NEAR))
    reference, reach = "Assumption 5.3 (2)", f"flow out to {FAR:g} scales of the factor"
    return [
        if_positive("flows are positive", unless_known(least, *given), reference, f"least {reach}{cut_off(game)}"),
        stated(
            "flows are bounded",
            not grow,
            unless_known(size._replace(where=""), *given),
            reference,
            f"largest {reach}, negated",
        ),
        stated("flows are Lipschitz", slopes.bounded, unless_known(slopes.margin, *given), reference, _SLOPE),
    ]

"""Sections 3 to 5: the guarantees of the theory for a maker-taker game, and numerical observations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...envs import BestQuote, Exponential, MakerTakerGame, QuadraticImpact, SoftmaxShare
from ...envs.arrays import Array
from ...envs.grid import grid
from ...envs.maker_taker_game import MakerTakerCoefficients
from ..errors import EquilibriumNotFound
from ..maker_taker.equilibrium import solve_maker_taker
from ..maker_taker.mean_field_limit import mean_field
from ..noise.equilibrium import DecouplingEquilibrium
from .condition import Condition, if_not_negative, if_positive

_DRAWS = 2000
_STARTS = 3
_ROUNDING = 1e-12
_LEAST = 1e-300
_REACH = 3.0
"""scales of the factor that flows are looked at"""


def assumptions(game: MakerTakerGame) -> list[Condition]:
    """Definitions 3.2, 3.4 and 5.1, Assumption 3.6, flow on both sides, and what is proved of makers alone."""
    rng = np.random.default_rng(0)
    note = "number of makers; the market is built so"
    makers = if_positive("quotes come from the makers alone", game.makers, "Assumption 3.6", note)
    impact = [_impact(game, rng)] if game.traders else []
    alone = [] if game.traders else [_alone(game)]
    return [_competition(game, rng), *impact, makers, _flow(game), *alone]


def model_conditions(game: MakerTakerGame, steps: int) -> list[Condition]:
    """The conditions of Section 4, for the games that it is about."""
    conditions = [_trade(game), _risk_neutral(game)] if _acas(game) else []
    population = game.flow_from == "mean" and game.traders > 0
    return [*conditions, *([_population(game, steps)] if population else [])]


def field_condition(find: Callable[[], DecouplingEquilibrium], steps: int) -> Condition:
    """The result of the solver, and how much refinement changes it."""
    name, reference = "a decoupling field is found", f"observed: backward scheme, {steps} steps"
    try:
        found = find()
    except EquilibriumNotFound as error:
        return Condition(name, False, -np.inf, reference, str(error))
    return Condition(name, True, float(-np.log10(found.errors.relative)), reference, f"digits; {found.message}")


def _competition(game: MakerTakerGame, rng: np.random.Generator) -> Condition:
    """Diagonal dominance of the quotes' first-order conditions: the feedback map exists and is Lipschitz."""
    size = min(game.quote_bound, 3 * game.margin)  # further out the dominance drowns in rounding
    quotes = rng.uniform(-size, size, (_DRAWS, game.makers))
    jacobian = game.competition.markup_jacobian(quotes)
    own = np.einsum("...ii->...i", jacobian)
    gap = float((1 - own - (np.abs(jacobian).sum(axis=-1) - np.abs(own))).min())
    reference = "Definition 3.4" if isinstance(game.competition, BestQuote) else "Definition 5.1, (38)"
    note = f"least diagonal dominance of the first-order conditions at {_DRAWS:,} drawn profiles within +-{size:.3g}"
    return Condition("quotes have one fixed point, which is Lipschitz", gap > _ROUNDING, gap, reference, note)


def _impact(game: MakerTakerGame, rng: np.random.Generator) -> Condition:
    low, high = (each.rate for each in game.action_range())
    rate = rng.uniform(low, high, (_DRAWS, game.traders))
    beta = _coefficients(game).impact.min(axis=0)
    cross = game.impact.cross(beta, rate)
    gap = (game.impact.curvature(beta, rate, rate) - np.abs(cross).sum(axis=-1)).min()
    note = f"least own curvature less cross derivatives, at the smallest beta and {_DRAWS:,} drawn rates"
    return if_positive("own impact outweighs the others'", gap, "Definition 3.2", note)


def _flow(game: MakerTakerGame) -> Condition:
    flows = game.flow_range(_REACH)[:, 0].tolist()
    traders = np.asarray(game.trader_inventory)
    flows[0] += game.min_rate * float((traders < 0).any())
    flows[1] += game.min_rate * float((traders > 0).any())
    note = (
        "least flow that arrives at a side whatever traders do; without it quotes there matter to nobody, and the "
        "equilibrium is not unique"
    )
    return if_positive("volume on both sides", min(flows), "Theorem 4.1, its 'only if'", note)


def _alone(game: MakerTakerGame) -> Condition:
    """Uniqueness without traders, where it is proved.

    - Softmax shares, with an outside option or without: their Jacobian in the adjoints, ``-s (diag(g) - g g' / sum g)``
      with ``g_i = -dz_i / dh`` (the outside option's share in the sum), is symmetric and negative semi-definite. So
      inventory rates rise with adjoints: of two solutions ``sum (Q - Q') (Y - Y')`` starts at 0, never falls, and ends
      at ``-2 A sum (Q - Q')^2``.
    - Exponential best quotes of two makers: rates depend on ``D = Y^1 - Y^2`` alone, the first maker's rising with it,
      the second's falling. The difference of two solutions' ``D`` keeps its sign and never shrinks, and at the end it
      has the other sign.
    - With three makers of best quotes adjoints need not be monotone in this sense; product shares are open.
    """
    competition, why = game.competition, ""
    if isinstance(competition, SoftmaxShare):
        proof = "softmax shares: inventory rates are monotone in adjoints, for all penalties and grids"
    elif game.makers == 2 and isinstance(competition, BestQuote) and isinstance(competition.intensity, Exponential):
        proof = "two makers of exponential best quotes: rates depend on one difference of adjoints, in continuous time"
        why = "with noise the argument does not hold" if game.random else ""
    else:
        proof, why = "", "it is for softmax shares, and for exponential best quotes of two makers"
        if isinstance(competition, BestQuote) and game.makers > 2:
            why += "; with three makers of best quotes monotonicity fails"
    if not why and game.max_quote is not None:
        why = "quotes truncated at max_quote may make several equilibria"
    note = f"not proved: {why}" if why else f"proved for {proof}; 1 where it is proved, else 0"
    return if_positive("makers alone have one equilibrium", float(not why), "beyond the paper: makers alone", note)


def _coefficients(game: MakerTakerGame) -> MakerTakerCoefficients:
    """The coefficients on a grid that is fine enough to see how they change."""
    return game.coefficients(np.linspace(0.0, game.horizon, 65))


def _acas(game: MakerTakerGame) -> bool:
    """True in the model of Section 4: one buyer, or a population of them, and two makers who are alike."""
    competition = game.competition
    return (
        game.traders > 0
        and (game.traders == 1 or game.flow_from == "mean")
        and bool((np.asarray(game.trader_inventory) < 0).all())
        and game.makers == 2
        and isinstance(competition, BestQuote)
        and isinstance(competition.intensity, Exponential)
        and isinstance(game.impact, QuadraticImpact)
        and len(_terminal(game)) == 1
    )


def _terminal(game: MakerTakerGame) -> set[float]:
    return {*np.atleast_1d(game.trader_terminal_penalty).tolist(), *np.atleast_1d(game.maker_terminal_penalty).tolist()}


def _distance(game: MakerTakerGame) -> float:
    """``-q^e + q^{1,m} - 1 / (2 A gamma)`` of Assumption 4.4, for the maker with more inventory."""
    (penalty,) = _terminal(game)
    if penalty == 0:
        return -np.inf
    return float(max(game.maker_inventory) - np.mean(game.trader_inventory) - game.margin / (2 * penalty))


def _rate_bound(game: MakerTakerGame) -> float:
    """``p`` of (26)."""
    (penalty,) = _terminal(game)
    beta = _coefficients(game).impact.min()
    apart = abs(game.maker_inventory[0] - game.maker_inventory[1])
    return float(2 / (1 / penalty + game.horizon / beta * (1 + np.exp(2 * penalty * apart / game.margin))))


def _trade(game: MakerTakerGame) -> Condition:
    margin = _distance(game)
    if margin > 0:
        beta = _coefficients(game).impact.max()
        margin = min(margin, _rate_bound(game) * margin / (2 * beta) - game.min_rate)
    note = (
        "the smaller of -q_0 + q_maker - 1 / (2 A gamma) and p (...) / (2 beta) - min_rate; only without running "
        "penalty and noise flow does it imply that min_rate does not bind, (26)"
    )
    return if_positive("the buyer is far enough from its makers to trade", margin, "Assumption 4.4", note)


def _risk_neutral(game: MakerTakerGame) -> Condition:
    note = "largest phi, negated; with none the Riccati equation has a bounded solution and the equilibrium is unique"
    if game.flow_range(_REACH)[:, 1].max() > 0:
        note += "; its bound (26) also asks for no noise flow"
    return if_not_negative("no running penalty", -_coefficients(game).running_penalty.max(), "Theorem 4.3", note)


def _population(game: MakerTakerGame, steps: int) -> Condition:
    name, reference = "no trader of the population is truncated", "(33), as the proof of Proposition 4.5 needs it"
    note = "least rate above min_rate, in the direction of trade, and below max_rate"
    try:
        margin = mean_field(game, steps).margin
    except (EquilibriumNotFound, ValueError) as error:
        return Condition(name, False, -np.inf, reference, str(error))
    return Condition(name, True, margin, reference, note + _sufficient(game))


def _sufficient(game: MakerTakerGame) -> str:
    """The verdict of (37)."""
    flows = [callable(flow) or flow > 0 for flow in (game.buy_flow, game.sell_flow)]
    running = _coefficients(game).running_penalty.any()
    if not _acas(game) or any(flows) or running or game.min_rate > 0 or _distance(game) <= 0:
        return "; (37) does not apply: it needs the model of Section 4 without noise flow, running penalty and min_rate"
    (penalty,) = _terminal(game)
    spread = float(np.max(game.trader_inventory) - np.mean(game.trader_inventory))
    margin = _rate_bound(game) / (4 * penalty) * _distance(game) - spread
    return f"; (37), which is sufficient, {'holds' if margin >= 0 else 'fails'} by {abs(margin):.4g} shares"


def observations(game: MakerTakerGame, steps: int) -> list[Condition]:
    """The results of the solver from several starts."""
    times = grid(game, steps)
    name, reference = "an equilibrium is found", f"observed: Newton's method, {steps} steps"
    try:
        first = solve_maker_taker(game, times)
    except EquilibriumNotFound as error:
        return [Condition(name, False, -np.inf, reference, str(error))]
    size = max(float(np.abs(first.adjoints).max()), game.margin)
    digits = float(-np.log10(max(first.residual / size, _LEAST)))
    found = Condition(name, True, digits, reference, f"digits of the residual beside adjoints; {first.message}")
    units = np.array([game.control_unit(agent) for agent in game.agents])
    rng, distances, failed = np.random.default_rng(1), [0.0], 0
    for _ in range(_STARTS):
        guess = first.adjoints + _noise(game, first.adjoints, rng)
        other = solve_maker_taker(game, times, throw=False, guess=guess)
        if not other.converged:
            failed += 1
            continue
        pairs = zip(first.controls, other.controls, strict=True)
        makers = units[game.traders :]
        masks = 1 / units[: game.traders], first.quotes_matter[:, :1] / makers, first.quotes_matter[:, 1:] / makers
        apart = (np.abs((a - b) * m).max(initial=0.0) for (a, b), m in zip(pairs, masks, strict=True))
        distances.append(float(max(apart)))
    far = max(distances)
    note = "largest difference of controls that matter, in control units, negated"
    if failed:
        note += f"; {failed} of {_STARTS} starts did not converge"
    name, reference = "several starts lead to the same equilibrium", f"observed: {_STARTS} random starts"
    return [found, Condition(name, far < 1e-6 and failed < _STARTS, -far, reference, note)]


def _noise(game: MakerTakerGame, adjoints: Array, rng: np.random.Generator) -> Array:
    """One level for each agent, a few margins apart."""
    return np.asarray(2 * game.margin * rng.standard_normal(adjoints.shape[-1]) + 0 * adjoints)

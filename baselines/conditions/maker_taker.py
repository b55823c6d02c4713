"""Sections 3 to 5: the guarantees of the theory for a maker-taker game, and numerical observations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...envs import BestQuote, Controls, Exponential, MakerTakerGame, QuadraticImpact, SoftmaxShare
from ...envs.arrays import Array
from ...envs.flows import of_factor
from ...envs.grid import grid
from ...envs.maker_taker_game import MakerTakerCoefficients
from ...envs.parameters import evaluate, per_agent
from ...envs.probing import Least, settle
from ..errors import EquilibriumNotFound
from ..maker_taker.equilibrium import solve_maker_taker
from ..maker_taker.mean_field_limit import mean_field
from ..noise.equilibrium import DecouplingEquilibrium
from ..progress import told
from ..rounding import without_rounding
from .condition import Condition, Margin, if_not_negative, if_positive, smallest_of, stated
from .factor import least_flows
from .in_time import across, largest, least_in_time, least_margin, smallest

_DRAWS = 2000
_STARTS = 3
_SCALES = np.array([0.01, 0.1, 1.0])
"""of the range in which quotes and rates are drawn"""
_MARGINS = 3.0
_FASTEST = 100.0
"""average rates up to which rates are drawn, where nothing bounds them before"""
_ENTRIES = 2_000_000
_STARTS_OF_SEARCH = 8
_ROUNDING = 1e-12
_LEAST = 1e-300
_PATHS, _TIMES = 512, 64
"""of the factor, on which flows are looked at"""
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
    except (EquilibriumNotFound, ValueError) as error:  # a trader must liquidate, for one
        return Condition(name, False, -np.inf, reference, str(error))
    return Condition(name, True, float(-np.log10(found.errors.relative)), reference, f"digits; {found.message}")


def _competition(game: MakerTakerGame, rng: np.random.Generator) -> Condition:
    """Diagonal dominance of the quotes' first-order conditions: the feedback map exists and is Lipschitz."""
    name = "quotes have one fixed point, which is Lipschitz"
    reference = "Definition 3.4" if isinstance(game.competition, BestQuote) else "Definition 5.1, (38)"
    note = "least diagonal dominance of the first-order conditions"
    if game.competition.proven:
        return if_positive(name, 1.0, reference, f"{note}, by the formula")
    size = min(game.quote_bound, _MARGINS * game.margin)  # further out the dominance drowns in rounding

    def gap(quotes: Array) -> Array:
        jacobian = game.competition.markup_jacobian(quotes)
        own = np.einsum("...ii->...i", jacobian)
        return np.asarray((1 - own - (np.abs(jacobian).sum(axis=-1) - np.abs(own))).min(axis=-1))

    scales = size * np.repeat(_SCALES, _DRAWS // len(_SCALES))[:, None]
    quotes, least = _least(gap, rng.uniform(-scales, scales, (len(scales), game.makers)), scales, -size, size)
    margin = Margin(least, f"quotes {np.array2string(quotes, precision=4)}", len(scales))
    return stated(name, least > _ROUNDING, margin, reference, f"{note} at drawn profiles within +-{size:.3g}")


def _impact(game: MakerTakerGame, rng: np.random.Generator) -> Condition:
    """In turn the worst rates at a time and the worst time at rates, from drawn times and rates."""
    low, high = game.rate_bounds
    most = _FASTEST * float(np.abs(game.start[: game.traders]).max()) / game.horizon
    low, high = np.maximum(low, -most), np.minimum(high, most)
    betas = per_agent(game.impact.beta, game.traders, "impact.beta")

    def gap(t: Array, rate: Array) -> Array:
        beta = np.stack([evaluate(each, t, "impact.beta") for each in betas], axis=-1)
        cross = game.impact.cross(beta, rate)
        return np.asarray((game.impact.curvature(beta, rate, rate) - np.abs(cross).sum(axis=-1)).min(axis=-1))

    draws = int(np.clip(_ENTRIES // game.traders**2, _STARTS_OF_SEARCH, _DRAWS))
    scales = np.resize(_SCALES, draws)[:, None] * (high - low)
    drawn = np.where(low < 0, high, low) + np.where(low < 0, -scales, scales) * rng.random((draws, game.traders))
    at = game.horizon * rng.random(draws)
    found = Least(float(at[gap(at, drawn).argmin()]), np.inf, 0)
    for _ in range(2):
        rate, _ = _least(partial(_over_rates, gap, found.at), drawn, scales, low, high)
        found = least_in_time(partial(_over_times, gap, rate), game.horizon, betas)
    note = "least own curvature less cross derivatives, over rates and times"
    where = f"rates {np.array2string(rate, precision=4)}, t = {found.at:.6g}"
    margin = Margin(found.value, where, found.points if game.impact.proven else max(found.points, draws))
    return if_positive("own impact outweighs the others'", margin, "Definition 3.2", note)


def _over_rates(gap: Callable[[Array, Array], Array], time: float, rates: Array) -> Array:
    return gap(np.full(len(rates), time), rates)


def _over_times(gap: Callable[[Array, Array], Array], rate: Array, times: Array) -> Array:
    return gap(times, np.tile(rate, (len(times), 1)))


def _least(
    function: Callable[[Array], Array], points: Array, scales: Array, low: Array, high: Array
) -> tuple[Array, float]:
    """The least value that is found around the worst of drawn points (P, d), and where."""
    worst = np.argsort(function(points), kind="stable")[:_STARTS_OF_SEARCH]
    found, values = settle(function, points[worst], np.broadcast_to(scales, points.shape)[worst] / 8, low, high)
    index = int(values.argmin())
    return found[index], float(values[index])


def _flow(game: MakerTakerGame) -> Condition:
    """Of noise traders, and the least that traders must trade whatever they do."""
    c = _coefficients(game)
    flows = least_flows(game, _REACH)
    weights = float(c.buy_weight.sum()), float(c.sell_weight.sum())
    sides = (each._replace(value=each.value + game.min_rate * w) for each, w in zip(flows, weights, strict=True))
    note = (
        "least flow that arrives at a side whatever traders do; without it quotes there matter to nobody, and the "
        f"equilibrium is not unique{cut_off(game)}"
    )
    if game.factor is not None:
        note += f"; the factor within {_REACH:g} scales of its path"
    return if_positive("volume on both sides", smallest_of(*sides), "Theorem 4.1, its 'only if'", note)


def cut_off(game: MakerTakerGame) -> str:
    """How often the flows of a factor are cut off at zero, as a note; empty where they are not.

    The share of the steps of simulated paths on which a flow of the factor is zero.
    """
    if game.factor is None:
        return ""
    times = np.linspace(0.0, game.horizon, _TIMES + 1)
    draws = np.random.default_rng(0).standard_normal((_PATHS, _TIMES, game.factor.size))
    paths = game.factor.path(times, draws)
    parts = [
        f"{name} in {100 * share:.3g}%"
        for name, flow in zip(("buy_flow", "sell_flow"), game.step_flows(times, paths), strict=True)
        if of_factor(getattr(game, name)) and (share := float((flow == 0).mean())) > 0
    ]
    return f"; cut off at zero on paths of the factor: {' and '.join(parts)} of all steps" if parts else ""


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
    return game.coefficients(np.array([0.0, game.horizon]))


def _beta(game: MakerTakerGame, sign: int) -> Margin:
    """Least ``beta`` of all traders and times for ``sign`` 1; the largest, negated, for -1."""
    betas = per_agent(game.impact.beta, game.traders, "impact.beta")
    least = across(betas, "impact.beta", smallest if sign > 0 else largest)
    return least_margin(lambda t: sign * least(t), game.horizon, betas)


def _running_penalty(game: MakerTakerGame) -> Margin:
    """The largest running penalty of all agents and times, negated."""
    each = (
        *per_agent(game.trader_running_penalty, game.traders, "trader_running_penalty"),
        *per_agent(game.maker_running_penalty, game.makers, "maker_running_penalty"),
    )
    most = across(each, "running_penalty", largest)
    return least_margin(lambda t: -most(t), game.horizon, each)


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
    beta = _beta(game, 1).value
    apart = abs(game.maker_inventory[0] - game.maker_inventory[1])
    return float(2 / (1 / penalty + game.horizon / beta * (1 + np.exp(2 * penalty * apart / game.margin))))


def _trade(game: MakerTakerGame) -> Condition:
    distance = _distance(game)
    margin = Margin(distance)
    if distance > 0:
        most = _beta(game, -1)
        margin = smallest_of(
            margin, most._replace(value=_rate_bound(game) * distance / (2 * -most.value) - game.min_rate)
        )
    note = (
        "the smaller of -q_0 + q_maker - 1 / (2 A gamma) and p (...) / (2 beta) - min_rate; only without running "
        "penalty and noise flow does it imply that min_rate does not bind, (26)"
    )
    return if_positive("the buyer is far enough from its makers to trade", margin, "Assumption 4.4", note)


def _risk_neutral(game: MakerTakerGame) -> Condition:
    note = "largest phi, negated; with none the Riccati equation has a bounded solution and the equilibrium is unique"
    if any(callable(flow) or flow > 0 for flow in (game.buy_flow, game.sell_flow)):
        note += "; its bound (26) also asks for no noise flow"
    return if_not_negative("no running penalty", _running_penalty(game), "Theorem 4.3", note)


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
    running = _running_penalty(game).value < 0
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
    makers = np.array([game.control_unit(agent) for agent in game.agents[game.traders :]])
    traders = np.array([game.control_unit(agent) for agent in game.agents[: game.traders]])
    weights = 1 / traders, first.quotes_matter[:, :1] / makers, first.quotes_matter[:, 1:] / makers
    known = [each * weight for each, weight in zip(first.controls, weights, strict=True)]
    rng, distances, failed = np.random.default_rng(1), [0.0], 0
    for _ in told("other starts", range(_STARTS)):
        guess = first.adjoints + _noise(game, first.adjoints, rng)
        other = solve_maker_taker(game, times, throw=False, guess=guess)
        if not other.converged:
            failed += 1
            continue
        found_again = (each * weight for each, weight in zip(other.controls, weights, strict=True))
        apart = (np.abs(a - b).max(initial=0.0) for a, b in zip(known, found_again, strict=True))
        distances.append(float(max(apart)))
    far = max(distances)
    note = "largest difference of controls that matter, in control units, negated"
    if failed:
        note += f"; {failed} of {_STARTS} starts did not converge"
    name, reference = "several starts lead to the same equilibrium", f"observed: {_STARTS} random starts"
    size = max(float(np.abs(each).max(initial=0.0)) for each in known)
    margin = float(without_rounding(-far, size, steps))
    several = Condition(name, far < 1e-6 and failed < _STARTS, margin, reference, note)
    return [found, _constraints(game, first.controls), several]


def _constraints(game: MakerTakerGame, controls: Controls) -> Condition:
    """Remark 3.1 and Theorem 4.1 ask for ``xi`` and ``v_max`` so large that they do not bind: looked at afterwards."""
    quote = max(float(np.abs(controls.ask).max()), float(np.abs(controls.bid).max()))
    rate = float(np.abs(controls.rate).max(initial=0.0))
    spare = min(game.quote_bound / max(quote, _LEAST), game.rate_bound / max(rate, _LEAST)) - 1
    note = (
        f"the smaller of max_quote and max_rate beside the largest quote {quote:.6g} and the largest rate {rate:.6g}, "
        "less 1; constraints above these two have the same equilibrium"
    )
    return Condition("neither max_quote nor max_rate binds", spare > 0, spare, "observed: Remark 3.1", note)


def _noise(game: MakerTakerGame, adjoints: Array, rng: np.random.Generator) -> Array:
    """One level for each agent, a few margins apart."""
    return np.asarray(2 * game.margin * rng.standard_normal(adjoints.shape[-1]) + 0 * adjoints)

"""The makers' coalition optimum: all quotes chosen together, anticipating how the traders respond (an open-loop
leader).

The yardstick of collusion among makers. It exists where shares sum to at most one (softmax) and all volume reacts to
prices:

- where shares may sum to more than one, makers who quote alike multiply the flow, and no supremum is attained;
- softmax shares do not change when all quotes rise together, so flow that comes at any price (noise traders, a positive
  ``min_rate``, traders who must liquidate) would be charged without end: the answer would be a parameter, not an
  optimum. With an outside option noise flow goes elsewhere, and the optimum is inside.

Traders pay the lowest quote while makers earn their own: a coalition lets one maker set the price and the others quote
above it. The optimum is searched from several starts, one with each maker as the one who sets the price.

Makers alone with an outside option have one optimum: with the shares ``z`` of a side, what is left ``z_0 = 1 - sum z``
and ``delta_i = (offset_i - o_0 - log z_i + log z_0) / s``, income is concave in the shares and inventories are affine
in them. There every quote is ``delta_i = y_i + 1 / (s z_0)``, ``y`` being the maker's own marginal value of inventory:
one markup for all, where a maker of the Nash equilibrium, who does not mind what it takes from the others, has ``1 / (s
(1 - z_i))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from ...envs import Controls, MakerTakerGame, SoftmaxShare, simulate
from ...envs.arrays import Array
from ...envs.described import MarketLike, game_and_steps
from ...envs.grid import grid
from ...envs.maker_taker_game import MakerTakerCoefficients
from .. import attempts
from ..equilibrium import Equilibrium
from ..errors import NoOptimum
from ..fbsde import System
from ..search import climb
from .equilibrium import solve_maker_taker
from .makers_alone import MakersTogether

_DIFFERENCE = 1e-5
_ITERATIONS = 300
_FARTHEST = 100.0
"""largest quote that is tried without ``max_quote``, in largest quotes of the equilibrium"""
_APART = 0.5
_AGREE = 1e-3


@dataclass(frozen=True)
class Coalition:
    """Result of the search.

    Examples:
        >>> from makertaker.baselines import coalition_optimum
        >>> found = coalition_optimum("dealers", 5)
        >>> found.controls.ask.shape, len(found.totals)
        ((5, 2), 1)
    """

    controls: Controls
    """the makers' quotes, and the traders' response to them"""
    payoffs: Array
    """(n,)"""
    totals: tuple[float, ...]
    """makers' total payoff from each start, best first"""

    @property
    def message(self) -> str:
        """The number of starts that agree with the best; without traders there is one optimum."""
        if len(self.totals) == 1:
            return "the only optimum, the problem being concave"
        close = sum(self.totals[0] - each <= _AGREE * abs(self.totals[0]) for each in self.totals)
        return f"{close} of {len(self.totals)} starts within {100 * _AGREE:g}% of the best"


class _Traders(System):
    """The traders' equilibrium at given prices (batch, K, N), as a forward-backward system."""

    def __init__(self, game: MakerTakerGame, c: MakerTakerCoefficients, dt: float, prices: Array) -> None:
        count = game.traders
        start = np.broadcast_to(game.start[:count], (len(prices), count))
        super().__init__(dt, c.running_penalty[:, :count], c.terminal_penalty[:count], start, unit=game.margin)
        self.game, self.c, self.prices = game, c, prices

    def rates(self, adjoints: Array) -> Array:
        return self.game.impact.optimal_rates(self.c.impact, adjoints - self.prices, *self.game.rate_bounds)

    def jacobian(self, adjoints: Array) -> Array:
        rate = self.rates(adjoints)
        low, high = self.game.rate_bounds
        return self.game.impact.optimal_jacobian(self.c.impact, rate, 1.0 * ((rate > low) & (rate < high)))


def coalition_optimum(game: MarketLike, steps: int | None = None) -> Coalition:
    """The quotes that maximise the makers' total payoff when traders respond to them.

    Args:
        game: with softmax shares, and an outside option or no flow that ignores prices; any description or environment
            of it that :func:`makertaker.baselines.solve` takes.
        steps: K; None: as in ``solve``. With traders the search takes seconds to a minute at 20.

    Raises:
        ValueError: not a maker-taker game.
        NoOptimum: there is no optimum inside the constraints; the message says why.
        EquilibriumNotFound: the Nash equilibrium, from which the search starts, was not found.

    Examples:
        >>> from makertaker.baselines import coalition_optimum, solve
        >>> bool(coalition_optimum("dealers", 5).payoffs.sum() > solve("dealers", 5).payoffs.sum())
        True
    """
    described, steps = game_and_steps(game, steps)
    if not described.makers:
        raise ValueError(f"game: expected makers, got {type(described).__name__} without any")
    own = cast(MakerTakerGame, described)
    _require(own)
    return coalition_from(own, solve_maker_taker(own, grid(own, steps)))


def coalition_from(game: MakerTakerGame, nash: Equilibrium) -> Coalition:
    """The same, from an equilibrium that is known. Raises NoOptimum as :func:`coalition_optimum` does."""
    _require(game)
    steps = nash.steps
    if not game.traders:
        return _without_traders(game, nash)
    search = _Search(game, game.coefficients(nash.times), game.horizon / steps, steps)
    base = np.stack([nash.controls.ask, nash.controls.bid])
    search.limit = min(game.quote_bound, _FARTHEST * (float(np.abs(base).max()) + game.margin))
    starts = [base + 0.2 * game.margin]
    for leader in range(game.makers):
        apart = _APART * game.margin * (np.arange(game.makers) != leader)
        starts.append(base.min(axis=-1, keepdims=True) + 0.2 * game.margin + apart)
    found = sorted((search.climb(start) for start in starts), key=lambda each: -each[0])
    quotes = found[0][1]
    if np.abs(quotes).max() >= search.limit * (1 - 1e-6):
        bound = "the largest tried" if game.max_quote is None else "max_quote"
        raise NoOptimum(f"the coalition's best quotes lie at {bound} = {search.limit:g}: a parameter, not an optimum")
    rate = search.respond(quotes[None])[0]
    controls = Controls(rate, quotes[0], quotes[1])
    payoffs = simulate(game, controls, steps).payoffs
    return Coalition(controls, payoffs, tuple(each[0] for each in found))


def _without_traders(game: MakerTakerGame, nash: Equilibrium) -> Coalition:
    """Concave: one solution, which is the optimum."""
    system = MakersTogether(game, game.coefficients(nash.times), game.horizon / nash.steps)
    found = attempts.solve_system(system, nash.steps, nash.adjoints)
    if not found.converged:
        raise NoOptimum(f"the makers' coalition was not found: residual {float(found.residual):.3g}")
    controls = system.controls(found.adjoints)
    if max(np.abs(controls.ask).max(), np.abs(controls.bid).max()) > game.quote_bound:
        raise NoOptimum(f"the coalition's best quotes lie beyond max_quote = {game.max_quote:g}")
    payoffs = simulate(game, controls, nash.steps).payoffs
    return Coalition(controls, payoffs, (float(payoffs.sum()),))


def _require(game: MakerTakerGame) -> None:
    if not isinstance(game.competition, SoftmaxShare):
        raise NoOptimum(
            f"the makers' coalition has no optimum under {type(game.competition).__name__}: shares may sum to more "
            "than one, and makers who quote alike multiply the flow; expected SoftmaxShare"
        )
    if game.random:
        raise NoOptimum("the makers' coalition is computed in deterministic games only: this one has noise")
    if game.must_close:
        raise NoOptimum(
            "the makers' coalition would charge without end traders who must liquidate: expected finite terminal "
            "penalties of the traders"
        )
    if game.competition.outside is None and (game.flow_range(0.0).max() > 0 or game.min_rate > 0):
        raise NoOptimum(
            "the makers' coalition would charge without end the flow that ignores prices: expected buy_flow, "
            "sell_flow and min_rate 0, or an outside option to go to"
        )


@dataclass
class _Search:
    game: MakerTakerGame
    c: MakerTakerCoefficients
    dt: float
    steps: int
    adjoints: Array | None = None
    limit: float = np.inf
    """largest size of a quote that is tried"""

    def respond(self, quotes: Array) -> Array:
        """The traders' rates (B, K, N) in their equilibrium at quotes (B, 2, K, M)."""
        if not self.game.traders:
            return np.zeros((len(quotes), self.steps, 0))
        price = self.game.spread_paid(self.c, quotes[:, 0].min(axis=-1), quotes[:, 1].min(axis=-1))
        system = _Traders(self.game, self.c, self.dt, price)
        guesses = () if self.adjoints is None else (np.broadcast_to(self.adjoints, price.shape),)
        solution = attempts.solve_system(system, self.steps, *guesses)
        if not solution.converged.all():
            raise NoOptimum(f"the traders' response was not found: residual {solution.residual.max():.3g}")
        if len(quotes) == 1:
            self.adjoints = solution.adjoints[0]
        return system.rates(solution.adjoints)

    def total(self, rate: Array, quotes: Array) -> Array:
        """The makers' total payoff (B,)."""
        payoffs = simulate(self.game, Controls(rate, quotes[:, 0], quotes[:, 1]), self.steps).payoffs
        return np.asarray(payoffs[:, self.game.traders :].sum(axis=-1))

    def gradient(self, quotes: Array) -> tuple[float, Array]:
        """Total and its gradient (2, K, M): directly, and through the prices that traders respond to."""
        h = _DIFFERENCE * self.game.margin
        rate = self.respond(quotes[None])
        value = float(self.total(rate, quotes[None])[0])
        size = quotes.size
        shifts = h * np.eye(size).reshape(size, *quotes.shape)
        rates = np.broadcast_to(rate, (size, *rate.shape[1:]))
        direct = [self.total(rates, quotes + sign * shifts) for sign in (1, -1)]
        result = ((direct[0] - direct[1]) / (2 * h)).reshape(quotes.shape)
        if not self.game.traders:
            return value, result
        # all quotes of a side and step move together: the price moves with them, and with it the response
        sides = h * np.eye(2 * self.steps).reshape(-1, 2, self.steps, 1)
        same = np.broadcast_to(quotes, (len(sides), *quotes.shape))
        moved = [self.total(self.respond(quotes + sign * sides), same) for sign in (1, -1)]
        response = ((moved[0] - moved[1]) / (2 * h)).reshape(2, self.steps)
        best = np.stack([self.game.competition.best_jacobian(side) for side in quotes])
        return value, result + response[..., None] * best

    def climb(self, start: Array) -> tuple[float, Array]:
        """The best total found from a start, and its quotes."""
        unit, limit = self.game.margin, np.full(start.shape, self.limit)
        worth = max(self.game.payoff_unit(agent) for agent in self.game.agents[self.game.traders :])

        def objective(x: Array) -> tuple[float, Array]:
            value, slope = self.gradient(x * unit)
            return value, slope * unit

        bounds = -limit, limit
        quotes, total = climb(objective, start, unit, worth, bounds, maxiter=_ITERATIONS, ftol=1e-13, gtol=1e-8)
        return total, quotes

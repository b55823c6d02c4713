"""The game between traders, who choose trading rates, and market makers, who choose quotes (Sections 3 to 5).

``N`` traders and ``M`` makers; every array over agents has the traders first. A trader with negative initial inventory
is a *buyer* and only buys, one with positive inventory is a *seller* and only sells. With ``a``, ``b`` the flows of
noise traders who buy and sell (the paper swaps the letters: in the execution game ``a`` sells and ``b`` buys), ``v``
the traders' rates, ``delta^a``, ``delta^b`` the makers' asks and bids (distances from the reference price ``P``, a
martingale):

- volumes ``a~ = a + sum of buyers' v``, ``b~ = b - sum of sellers' v`` arrive at the makers' asks and bids;
- maker ``i`` receives the fractions ``share_i(delta^a)`` and ``share_i(delta^b)`` of them, so that
  ``dQ^i = (-a~ share_i(delta^a) + b~ share_i(delta^b)) dt``; a trader's inventory follows ``dQ = v dt``;
- a buyer pays ``P + min delta^a``, a seller receives ``P - min delta^b`` per share, plus the impact cost ``lambda(v)``;
- every agent pays ``phi Q^2`` per unit of time and ``A Q_T^2`` at the end;
- in the approximation game of Section 5 every inventory moves by ``epsilon dW^i`` besides, and ``a``, ``b`` are
  functions of a factor (39); the noise is not controlled, so the agents' first-order conditions stay what they are.

A *best response* maximises an agent's expected payoff given what the others do; a profile of controls is a *Nash
equilibrium* if everyone's control is a best response (Definition 3.7). The equations stand here, once: environments,
solvers and evaluation call them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from .action_range import Sizes, marginal_values
from .arrays import Array, as_like, namespace
from .competition import Competition, Fill
from .factor import Factor
from .game import EXPLORED, Activity, Controls, Flow, Game
from .impact import Impact, QuadraticImpact
from .intensity_shares import BestQuote
from .parameters import PerAgent, agent_step_means, as_numbers, assign

_STEPS = 64
_REACH = 1.0
"""scales of the factor out to which a flow must come from somewhere"""


class MakerTakerCoefficients(NamedTuple):
    """A game's parameters as arrays: means over the K steps of a grid, one row a step."""

    impact: Array
    """(K, N) ``beta``"""
    running_penalty: Array
    """(K, n) ``phi``"""
    terminal_penalty: Array
    """(n,) ``A``"""
    buy_flow: Array
    """(..., K) ``a``"""
    sell_flow: Array
    """(..., K) ``b``"""
    buyer: Array
    """(N,) 1 for a buyer, 0 for a seller"""
    seller: Array
    """(N,) 1 for a seller, 0 for a buyer"""
    buy_weight: Array
    """(N,) weight of a trader's rate in ``a~``: ``buyer``, or ``buyer / N`` where makers face the average trader"""
    sell_weight: Array
    """(N,) weight of a trader's rate in ``b~``"""

    def at(self, k: int | slice | Array) -> MakerTakerCoefficients:
        """The coefficients of step ``k``, or of a range of steps."""
        flows = self.buy_flow[..., k], self.sell_flow[..., k]
        return MakerTakerCoefficients(self.impact[k], self.running_penalty[k], self.terminal_penalty, *flows, *self[5:])

    def like(self, array: Array) -> MakerTakerCoefficients:
        """The same numbers in the namespace, dtype and device of ``array``."""
        return MakerTakerCoefficients(*(as_like(each, array) for each in self))


@dataclass(frozen=True)
class MakerTakerGame(Game[MakerTakerCoefficients]):
    """Parameters and equations of the maker-taker game.

    Args:
        trader_inventory: initial inventories of the traders, in shares; nonzero, negative for buyers. Empty: makers
            alone, who live on the noise traders' flow, the macroscopic market making game; there must be some.
        maker_inventory: initial inventories of the makers, in shares; at least two makers, or one beside an outside
            option.
        horizon: length ``T`` of the game.
        competition: how quotes divide the flow.
        impact: the traders' temporary impact.
        trader_running_penalty: ``phi`` of the traders: a number, a callable of time, or one for each.
        trader_terminal_penalty: ``A`` of the traders: a number or one for each. Infinite (``math.inf``, or ``"inf"``)
            for a trader who must liquidate: ``Q_T = 0``, for deviators as well. Without ``inventory_noise``, and with
            ``min_rate T <= |q| <= max_rate T``.
        maker_running_penalty: ``phi`` of the makers.
        maker_terminal_penalty: ``A`` of the makers.
        buy_flow: rate ``a`` at which noise traders buy, shares per unit of time: a number, a callable of time, or, with
            a factor, of (time, factor (..., d)); ``kappa^a`` of Section 5. A rate of arrival is not negative: where a
            function of the factor is below zero, nobody buys, ``a = max(kappa^a(L), 0)``.
        sell_flow: rate ``b`` at which noise traders sell, cut off at zero likewise. Without flow on a side its quotes
            matter to nobody.
        min_rate: the constraint ``epsilon``: a buyer's rate is at least this, a seller's at most its negative.
        max_rate: the constraint on the size of a rate; None: any. Remark 3.1 says what the paper needs the two for: an
            equilibrium whose controls stay below them is one of every game with larger ones.
        max_quote: the constraint ``xi`` on the size of a quote, in currency; None: any.
        flow_from: ``"sum"``: makers face the sum of the traders' rates; ``"mean"``: their average.
        inventory_noise: ``epsilon`` of Section 5: every agent's inventory gains ``epsilon dW^i``, independently of the
            others', in shares per square root of time.
        factor: that drives the flows, observed by everyone.
        volatility: of the reference price, an arithmetic Brownian motion; matters for wealth, not for payoffs.
        initial_price: ``P_0``; payoffs leave out the constant ``P_0 q_0``.

    Raises:
        ValueError: a parameter is out of its range; the message names it, the expected and the actual value.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import BestQuote, Exponential, MakerTakerGame
        >>> game = MakerTakerGame(
        ...     trader_inventory=(-5.0,),  # a buyer of five shares
        ...     maker_inventory=(1.0, 0.0),
        ...     competition=BestQuote(Exponential(gamma=1.5)),
        ...     trader_terminal_penalty=0.5,
        ... )
        >>> game.agents
        ('trader_0', 'maker_0', 'maker_1')
        >>> solve(game, 10).payoffs.round(3).tolist()
        [-10.709, 4.718, 2.888]
    """

    trader_inventory: Sequence[float] = (-10.0,)
    maker_inventory: Sequence[float] = (1.0, 0.0)
    horizon: float = 1.0
    competition: Competition = field(default_factory=BestQuote)
    impact: Impact = field(default_factory=QuadraticImpact)
    trader_running_penalty: PerAgent = 0.0
    trader_terminal_penalty: float | Sequence[float] = 1.0
    maker_running_penalty: PerAgent = 0.0
    maker_terminal_penalty: float | Sequence[float] = 1.0
    buy_flow: Flow = 1.0
    sell_flow: Flow = 1.0
    min_rate: float = 0.0
    max_rate: float | None = None
    max_quote: float | None = None
    flow_from: Literal["sum", "mean"] = "sum"
    inventory_noise: float = 0.0
    factor: Factor | None = None
    volatility: float = 1.0
    initial_price: float = 100.0

    environment: ClassVar[str] = "maker_taker_v0"
    closing_parameter: ClassVar[str] = "trader_terminal_penalty"
    one_sided: ClassVar[bool] = True
    coefficient_of: ClassVar[Mapping[str, tuple[str, str]]] = {
        "impact.beta": ("impact", "traders"),
        "trader_running_penalty": ("running_penalty", "traders"),
        "maker_running_penalty": ("running_penalty", "makers"),
        "trader_terminal_penalty": ("terminal_penalty", "traders"),
        "maker_terminal_penalty": ("terminal_penalty", "makers"),
        "buy_flow": ("buy_flow", "flow"),
        "sell_flow": ("sell_flow", "flow"),
    }

    def __post_init__(self) -> None:
        for name in ("trader_inventory", "maker_inventory"):
            assign(self, **{name: as_numbers(getattr(self, name), name)})
        if 0.0 in self.trader_inventory:
            raise ValueError(
                "trader_inventory: expected nonzero inventories (negative: buyer, positive: seller), "
                f"got {list(self.trader_inventory)}"
            )
        for name, kind in (("competition", Competition), ("impact", Impact)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name}: expected an instance of {kind.__name__}, got {getattr(self, name)!r}")
        self.competition.validate(len(self.maker_inventory))
        self.check_bounds("max_rate", "max_quote")
        self.check_numbers(("horizon",), ("min_rate", "volatility", "inventory_noise"))
        self.check_penalties("trader", len(self.trader_inventory), "trader_", closing=True)
        self.check_penalties("maker", len(self.maker_inventory), "maker_")
        self.check_flows()
        if not self.trader_inventory and not self.flow_range(_REACH).any():
            raise ValueError(
                "trader_inventory: expected a trader, or a positive buy_flow or sell_flow, got none: nobody would trade"
            )
        with np.errstate(over="ignore"):
            rates = np.abs(self.trader_inventory) / self.horizon
        if not np.isfinite(rates).all():
            raise ValueError(
                f"horizon: expected one in which average rates are finite, got {self.horizon:g} with "
                f"trader_inventory {list(self.trader_inventory)}"
            )
        self.impact.validate(self.horizon, rates, self.rate_bound)
        if self.min_rate >= self.rate_bound:
            raise ValueError(f"min_rate: expected less than max_rate = {self.max_rate:g}, got {self.min_rate:g}")
        if self.flow_from not in ("sum", "mean"):
            raise ValueError(f"flow_from: expected 'sum' or 'mean', got {self.flow_from!r}")
        if self.must_close and self.inventory_noise:
            raise ValueError(
                "inventory_noise: expected 0 where a trader must liquidate, who cannot close the last shock, got "
                f"{self.inventory_noise:g}"
            )
        self.check_closable(self.start, "trader_inventory")

    @cached_property
    def makers(self) -> int:
        """Number ``M`` of makers."""
        return len(self.maker_inventory)

    @property
    def start(self) -> np.ndarray:
        """(n,) initial inventories, traders first."""
        return np.array([*self.trader_inventory, *self.maker_inventory], dtype=float)

    initial_inventory = start

    @cached_property
    def margin(self) -> float:
        """Characteristic gain of an optimal quote per share above the marginal value of inventory, in currency."""
        return self.competition.margin(self.makers)

    def coefficients(self, times: np.ndarray, factors: np.ndarray | None = None) -> MakerTakerCoefficients:
        """Means of the parameters over the steps of the grid ``times`` (K+1,).

        Args:
            times: of the grid.
            factors: (..., K+1, d) path of the factor; None: its path without noise. Flows that depend on it are taken
                at the start of every step.
        """
        n, m = self.traders, self.makers
        running = (
            agent_step_means(self.trader_running_penalty, times, n, "trader_running_penalty"),
            agent_step_means(self.maker_running_penalty, times, m, "maker_running_penalty"),
        )
        terminal = (np.full(n, self.trader_terminal_penalty), np.full(m, self.maker_terminal_penalty))
        buyer = (np.asarray(self.trader_inventory) < 0).astype(float)
        weight = 1.0 / max(n, 1) if self.flow_from == "mean" else 1.0
        return MakerTakerCoefficients(
            self.impact.step_means(times, n),
            np.concatenate(running, axis=-1),
            np.concatenate(terminal).astype(float),
            *self.step_flows(times, factors),
            *(buyer, 1 - buyer, weight * buyer, weight * (1 - buyer)),
        )

    def admissible(self, flow: Array) -> Array:
        """The flow where it is positive, elsewhere zero: traders' orders arrive, or they do not."""
        xp = namespace(flow)
        return xp.maximum(flow, 0 * xp.abs(flow))

    def volumes(self, c: MakerTakerCoefficients, rate: Array) -> tuple[Array, Array]:
        """``a~`` and ``b~``, the volumes that arrive at the asks and at the bids, (...,), from rates (..., N)."""
        xp = namespace(rate)
        return c.buy_flow + xp.matmul(rate, c.buy_weight), c.sell_flow - xp.matmul(rate, c.sell_weight)

    def spread_paid(self, c: MakerTakerCoefficients, best_ask: Array, best_bid: Array) -> Array:
        """``s``: a trader's price per share less the reference price, (..., N); + ask for buyers, - bid for sellers."""
        return c.buyer * best_ask[..., None] - c.seller * best_bid[..., None]

    def activity(self, c: MakerTakerCoefficients, controls: Controls) -> Activity:
        """Inventory rates and incomes under controls, (..., N) and (..., M); (12) and the displays around it."""
        rate, ask, bid = controls
        xp = namespace(rate)
        asks, bids = self.competition.fill(ask), self.competition.fill(bid)
        buy_volume, sell_volume = self.volumes(c, rate)
        sold, bought = self._filled((buy_volume, sell_volume), (asks, bids))
        spread = self.spread_paid(c, asks.best, bids.best)
        cost = self.impact.cost(c.impact, rate)
        return Activity(
            inventory_rate=xp.concat([rate, bought - sold], axis=-1),
            income=xp.concat([-(spread * rate + cost), ask * sold + bid * bought], axis=-1),
            premium=spread + cost / xp.where(rate == 0, 1.0, rate),  # a trader at rest costs nothing
            buy_volume=buy_volume,
            sell_volume=sell_volume,
            best_ask=asks.best,
            best_bid=bids.best,
        )

    def trading_cost(self, c: MakerTakerCoefficients, activity: Activity, controls: Controls) -> Array:
        """``lambda^i(v)`` of the traders, nothing of the makers; (..., n)."""
        cost = self.impact.cost(c.impact, controls.rate)
        return namespace(cost).concat([cost, 0 * activity.income[..., self.traders :]], axis=-1)

    def _filled(self, volumes: tuple[Array, Array], fills: tuple[Fill, Fill]) -> list[Array]:
        """Shares per unit of time that each maker sells and buys, (..., M) each."""
        return [volume[..., None] * fill.share for volume, fill in zip(volumes, fills, strict=True)]

    def fills(self, activity: Activity, controls: Controls) -> Array:
        """(..., 2, M) shares per unit of time that each maker sells at its ask and buys at its bid."""
        fill = self.competition.fill
        filled = self._filled((activity.buy_volume, activity.sell_volume), (fill(controls.ask), fill(controls.bid)))
        return namespace(*filled).stack(filled, axis=-2)

    def control_unit(self, agent: str) -> float:
        """A third of a maker's margin ``1 / gamma``, a third of a trader's average rate ``|q_0| / T``."""
        index = self.positions[agent]
        own = abs(self.trader_inventory[index]) / self.horizon if index < self.traders else self.margin
        return EXPLORED * own

    def payoff_unit(self, agent: str) -> float:
        """Characteristic size of payoffs, in currency.

        For a trader the larger of two costs: of closing its inventory at the first rate of Almgren and Chriss and a
        margin's distance, and of keeping it, where it may. For a maker the larger of a margin on all volume and the
        cost of the largest inventory that it has if makers quote alike.
        """
        sizes, index = self._sizes, self.positions[agent]
        end = float(sizes.terminal[index])
        penalty = (end if np.isfinite(end) else 0.0) + float(sizes.running[index]) * self.horizon / 3
        if index < self.traders:
            own = abs(self.trader_inventory[index])
            closing = own * (self.margin + float(sizes.impact[index] * own * sizes.first_rate[index]))
            return float(max(closing, penalty * own**2))
        largest = float(np.abs(sizes.stocks[:, index - self.traders]).max())
        return float(max(self.margin * (sum(sizes.orders) + sum(sizes.noise)), penalty * largest**2))

    def action_range(self) -> tuple[Controls, Controls]:
        """Lowest and highest controls worth exploring, (N,) rates and (M,) quotes, from the parameters alone.

        - A trader who must trade ``q`` shares in ``T`` at impact ``beta`` and running penalty ``phi`` starts, in the
          model of Almgren and Chriss, at the rate ``q kappa coth(kappa T)``, ``kappa = sqrt(phi / beta)``; without
          penalty that is ``q / T``. The range goes up to ``q / T`` beyond it, or, up to ``5 q / T``, to what is worth
          while at the best quote of the range; with ``q`` enlarged by what makers who start with inventory may offer.
        - A maker's optimal ask is the margin ``1 / gamma`` plus its marginal value ``y`` of inventory, its bid the
          margin minus ``y``. The range covers the optimal quotes for every ``y`` that
          :func:`.action_range.marginal_values` finds possible, and half a margin on either side; it is at least two
          margins wide. It is the same for all makers: their shares depend on how far apart their quotes are.
        """
        sizes, margin = self._sizes, self.margin
        least, most = marginal_values(self.competition, sizes, self._surprise)
        slack = max(margin - (most - least) / 2, margin / 2)
        ask = _within(self.quote_bound, margin + least - slack, margin + most + slack)
        bid = _within(self.quote_bound, margin - most - slack, margin - least + slack)
        asks, bids = (np.repeat(np.array(each)[:, None], self.makers, axis=1) for each in (ask, bid))

        buyer = np.asarray(self.trader_inventory) < 0
        reach = np.abs(self.trader_inventory) + np.abs(self.maker_inventory).mean() / 2
        usual, cheap = (sizes.first_rate + 1 / self.horizon) * reach, np.where(buyer, ask[0], bid[0])
        worth_while = np.minimum((sizes.worth - cheap) / (2 * sizes.impact), 5 * reach / self.horizon)
        fast = np.clip(np.maximum(usual, worth_while), 2 * self.min_rate, self.rate_bound)
        low, high = self.rate_bounds
        slow, fast = np.where(buyer, low, -fast), np.where(buyer, fast, high)
        return Controls(slow, asks[0], bids[0]), Controls(fast, asks[1], bids[1])

    @cached_property
    def _sizes(self) -> Sizes:
        c = self.coefficients(np.linspace(0.0, self.horizon, _STEPS + 1))
        n, own = self.traders, np.abs(self.trader_inventory)
        running, impact = c.running_penalty.mean(axis=0), c.impact.mean(axis=0)
        urgency = np.sqrt(running[:n] / impact) * self.horizon
        first_rate = np.where(urgency > 1e-6, urgency / np.tanh(np.maximum(urgency, 1e-6)), 1.0) / self.horizon
        noise = self.horizon * float(c.buy_flow.mean()), self.horizon * float(c.sell_flow.mean())
        worth = 2 * (c.terminal_penalty[:n] + running[:n] * self.horizon) * own
        traded = own * np.clip(1 - self.margin / np.maximum(worth, self.margin), 0.0, 1.0)
        return Sizes(
            margin=self.margin,
            horizon=self.horizon,
            impact=impact,
            running=running,
            terminal=c.terminal_penalty,
            first_rate=first_rate,
            orders=(float(own @ c.buy_weight), float(own @ c.sell_weight)),
            traded=(float(traded @ c.buy_weight), float(traded @ c.sell_weight)),
            worth=worth,
            noise=noise,
            inventories=np.asarray(self.maker_inventory),
            share=self.competition.fill(np.full((1, self.makers), self.margin)).share[0],
        )

    @cached_property
    def _surprise(self) -> float:
        """Shares that noise may bring to a maker besides: two standard deviations of its own, half of the extra
        flow."""
        reach = 2 * self.inventory_noise * float(np.sqrt(self.horizon))
        if self.factor is None:
            return reach
        usual, unusual = (self.flow_range(scales) for scales in (0.0, 1.0))
        return reach + self.horizon * float(np.abs(unusual - usual).max()) / 2


def _within(limit: float, low: float, high: float) -> tuple[float, float]:
    """Quotes within the constraint; all of them where the constraint leaves nothing of the range."""
    clipped = min(max(low, -limit), limit), min(max(high, -limit), limit)
    return clipped if clipped[1] - clipped[0] > 1e-9 * (high - low) else (-limit, limit)

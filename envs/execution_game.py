"""The game between optimal-execution traders (Section 2): no maker, price impact in their place.

``N`` traders choose rates ``v^i``, positive when they buy. With ``a``, ``b`` the rates at which noise traders sell and
buy (the paper swaps the letters: in the maker-taker game ``a`` buys and ``b`` sells), ``P`` a martingale:

- the market price is ``S_t = P_t + int_0^t (alpha/N) sum_j v^j du + w_t``, ``w_t = int_0^t alpha (b - a) du``: trading
  moves it for good;
- trader ``i`` pays ``S + (beta/N) (v^i + pi sum_{j != i} v^j)`` per share: trading fast costs, and ``pi``, the
  *crowding*, says how much of the others' haste it pays for. The paper's text has ``pi = 1``, Remark 2.1(3) any
  ``pi`` in [0, 2); below 0 haste earns what the others pay, and the game stays monotone down to ``pi = -2 / (N - 1)``;
- an inventory follows ``dQ = v dt``, and costs ``phi Q^2`` per unit of time and ``A Q_T^2`` at the end.

The payoff is the expected terminal wealth, inventory valued at ``S_T``, less the penalties and the constant ``P_0
q_0``. By parts, ``J^i = E int (Q^i dS - v^i (beta/N) (v^i + pi sum v^j) dt - phi (Q^i)^2 dt) - A (Q_T^i)^2``. A *best
response* maximises it given the others' rates; where everyone's rate is one, the profile is a *Nash equilibrium*
(Definition 2.3). Unlike in the maker-taker game rates have no sign and no bound: ``max_rate`` only bounds what an
environment accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from .arrays import Array, as_like, is_number, namespace
from .factor import Factor
from .game import EXPLORED, Activity, Controls, Flow, Game
from .parameters import Parameter, PerAgent, agent_step_means, as_numbers, assign, require, step_means

_STEPS = 64


class ExecutionCoefficients(NamedTuple):
    """Parameters as arrays: means over the K steps of a grid, one row a step."""

    permanent_impact: Array
    """(K,) ``alpha``"""
    temporary_impact: Array
    """(K,) ``beta``"""
    running_penalty: Array
    """(K, N) ``phi``"""
    terminal_penalty: Array
    """(N,) ``A``"""
    buy_flow: Array
    """(..., K) ``b``"""
    sell_flow: Array
    """(..., K) ``a``"""

    def at(self, k: int | slice | Array) -> ExecutionCoefficients:
        """The coefficients of step ``k``, or of a range of steps."""
        permanent, temporary, running = (each[k] for each in self[:3])
        flows = self.buy_flow[..., k], self.sell_flow[..., k]
        return ExecutionCoefficients(permanent, temporary, running, self.terminal_penalty, *flows)

    def like(self, array: Array) -> ExecutionCoefficients:
        """The same numbers in the namespace, dtype and device of ``array``."""
        return ExecutionCoefficients(*(as_like(each, array) for each in self))


@dataclass(frozen=True)
class ExecutionGame(Game[ExecutionCoefficients]):
    """Parameters and equations of the execution game.

    Args:
        initial_inventory: of the traders, in shares; negative for those who want to buy.
        horizon: length ``T`` of the game.
        permanent_impact: ``alpha``, currency per share, at least 0: a number or a callable of time.
        temporary_impact: ``beta``, currency times time per share, positive: a number or a callable of time.
        crowding: ``pi``: part of the sum of the others' rates that a trader pays for; above ``-2 / (N - 1)``, where
            costs of trading stop growing with everyone's rate, and below 2. The paper has [0, 2). At 1 and above there
            is no cooperative optimum.
        running_penalty: ``phi``: a number, a callable of time, or one for each trader.
        terminal_penalty: ``A``: a number or one for each trader. Infinite (``math.inf``, or ``"inf"``) for a trader who
            must liquidate: ``Q_T = 0``, for deviators as well.
        buy_flow: rate ``b`` at which noise traders buy: a number, a callable of time, or, with a factor, of
            (time, factor (..., d)).
        sell_flow: rate ``a`` at which noise traders sell.
        factor: a signal that drives the flows and that all traders observe.
        max_rate: largest rate that an environment accepts; a solution that needs more is an error. None: any.
        volatility: of the reference price ``P``, an arithmetic Brownian motion; matters for wealth, not for payoffs.
        initial_price: ``P_0``; payoffs leave out the constant ``P_0 q_0``.

    Raises:
        ValueError: a parameter is out of its range; the message names it, the expected and the actual value.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import ExecutionGame
        >>> game = ExecutionGame((-10.0, -10.0), temporary_impact=0.5, crowding=0.5)
        >>> game.agents
        ('trader_0', 'trader_1')
        >>> solve(game, 4).controls.rate[:, 0].round(2).tolist()  # no running penalty: no haste
        [7.62, 7.62, 7.62, 7.62]
    """

    initial_inventory: Sequence[float] = (-10.0,)
    horizon: float = 1.0
    permanent_impact: Parameter = 0.0
    temporary_impact: Parameter = 0.5
    crowding: float = 1.0
    running_penalty: PerAgent = 0.0
    terminal_penalty: float | Sequence[float] = 1.0
    buy_flow: Flow = 0.0
    sell_flow: Flow = 0.0
    factor: Factor | None = None
    max_rate: float | None = None
    volatility: float = 1.0
    initial_price: float = 100.0

    one_sided: ClassVar[bool] = False
    environment: ClassVar[str] = "execution_v0"
    coefficient_of: ClassVar[Mapping[str, tuple[str, str]]] = {
        "permanent_impact": ("permanent_impact", "market"),
        "temporary_impact": ("temporary_impact", "market"),
        "running_penalty": ("running_penalty", "traders"),
        "terminal_penalty": ("terminal_penalty", "traders"),
        "buy_flow": ("buy_flow", "flow"),
        "sell_flow": ("sell_flow", "flow"),
    }
    closing_parameter: ClassVar[str] = "terminal_penalty"
    makers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        assign(self, initial_inventory=as_numbers(self.initial_inventory, "initial_inventory"))
        if not self.initial_inventory:
            raise ValueError("initial_inventory: expected at least one trader, got none")
        self.check_bounds("max_rate")
        self.check_numbers(positive=("horizon",), others=("volatility",))
        self._check_crowding()
        self.check_penalties("trader", len(self.initial_inventory), closing=True)
        require(self.permanent_impact, "permanent_impact", self.horizon)
        require(self.temporary_impact, "temporary_impact", self.horizon, strict=True)
        self.check_flows()
        self.check_closable(self.start, "initial_inventory")

    def _check_crowding(self) -> None:
        """Raises ValueError where trading costs are not convex in everyone's rates together."""
        others = len(self.initial_inventory) - 1
        edge = -2 / others if others else -np.inf
        if not is_number(self.crowding) or not edge < self.crowding < 2 or not np.isfinite(self.crowding):
            said = f"above -2/(N - 1) = {edge:.6g}, the edge for {others + 1} traders," if others else "that is finite"
            raise ValueError(f"crowding: expected a number {said} and below 2, got {self.crowding!r}")
        assign(self, crowding=float(self.crowding))

    @cached_property
    def start(self) -> np.ndarray:
        """(N,) initial inventories."""
        return np.array(self.initial_inventory)

    def coefficients(self, times: np.ndarray, factors: np.ndarray | None = None) -> ExecutionCoefficients:
        """Means of the parameters over the steps of the grid ``times`` (K+1,).

        Args:
            times: of the grid.
            factors: (..., K+1, d) path of the factor; None: its path without noise. Flows that depend on it are taken
                at the start of every step.
        """
        return ExecutionCoefficients(
            step_means(self.permanent_impact, times, "permanent_impact"),
            step_means(self.temporary_impact, times, "temporary_impact"),
            agent_step_means(self.running_penalty, times, self.traders, "running_penalty"),
            np.array(np.broadcast_to(np.asarray(self.terminal_penalty, dtype=float), (self.traders,))),
            *self.step_flows(times, factors),
        )

    def premium(self, c: ExecutionCoefficients, rate: Array, others: Array) -> Array:
        """``(beta/N) (v^i + pi sum_{j != i} v^j)``: price paid above the market's, (..., N); ``others`` is that sum."""
        return c.temporary_impact[..., None] / self.traders * (rate + self.crowding * others)

    def push(self, c: ExecutionCoefficients) -> Array:
        """``alpha (b - a)``, (...,): drift of the market price that noise traders cause."""
        return c.permanent_impact * (c.buy_flow - c.sell_flow)

    def drift(self, c: ExecutionCoefficients, total: Array) -> Array:
        """Drift ``(alpha/N) sum_j v^j + alpha (b - a)`` of the market price, (...,)."""
        return c.permanent_impact / self.traders * total + self.push(c)

    def activity(self, c: ExecutionCoefficients, controls: Controls) -> Activity:
        """Activity at rates (..., N): the displays before Remark 2.1, with the crowding of Remark 2.1(3)."""
        rate = controls.rate
        xp = namespace(rate)
        total = xp.sum(rate, axis=-1)
        premium = self.premium(c, rate, total[..., None] - rate)
        bought = xp.sum(xp.where(rate > 0, rate, 0.0), axis=-1)
        return Activity(
            inventory_rate=rate,
            income=-premium * rate,
            premium=premium,
            buy_volume=c.buy_flow + bought,
            sell_volume=c.sell_flow + bought - total,
            drift=self.drift(c, total),
        )

    def trading_cost(self, c: ExecutionCoefficients, activity: Activity, controls: Controls) -> Array:
        """All that is paid beyond the market price, (..., N)."""
        return -activity.income

    def control_unit(self, agent: str) -> float:
        """A third of the average rate ``|q_0| / T`` of a trader that closes its inventory; at least a third of that of
        the average trader, and of the rate that the noise flow makes worth trading."""
        return EXPLORED * float(self._rates[self.positions[agent]])

    @property
    def least_cost(self) -> float:
        """``min(2 - pi, 2 + pi (N - 1))``: least eigenvalue of ``(2 - pi) I + pi 1 1'``, marginal trading costs per
        rate of (1) in units of ``beta / N``."""
        return min(2 - self.crowding, 2 + self.crowding * (self.traders - 1))

    @property
    def price_unit(self) -> float:
        """Typical move of the market price over the horizon, in currency: of its martingale part, and what trades at
        everyone's characteristic rate do to it; 1 where it does not move."""
        c = self.coefficients(np.linspace(0.0, self.horizon, _STEPS + 1))
        impact = float(c.permanent_impact.mean()) / self.traders * float(self._rates.sum())
        moved = (impact + float(np.abs(self.push(c)).mean())) * self.horizon
        return float(np.hypot(self.volatility * np.sqrt(self.horizon), moved)) or 1.0

    @cached_property
    def _rates(self) -> np.ndarray:
        """(N,) characteristic rates."""
        own = np.abs(self.start)
        size = np.maximum(own, max(own.mean(), self._signal))
        return np.where(size > 0, size / self.horizon, self._fastest / 10)

    @cached_property
    def _fastest(self) -> float:
        """Largest rate to be tried where nobody has anything to trade: ten shares, for want of a size."""
        return 10 / self.horizon if self.max_rate is None else self.max_rate

    @cached_property
    def _signal(self) -> float:
        """Number of shares that the noise flow's effect on the price makes worth trading."""
        c = self.coefficients(np.linspace(0.0, self.horizon, _STEPS + 1))
        push = np.abs(self.push(c)).mean()
        if self.factor is not None:
            away = np.diag(self.factor.scale(self.horizon)) / 2
            buys, sells = self.flows(np.zeros(()), np.array(self.factor.initial) + np.concatenate([away, -away]))
            push = max(push, np.abs(c.permanent_impact[0] * (buys - sells)).max())
        # unilateral: (beta/N) 2 v against push T, and at most what the running penalty lets one hold
        fast = push * self.horizon * self.traders / (2 * c.temporary_impact.mean()) * self.horizon
        hold = 2 * c.running_penalty.mean()
        return float(push / hold if hold * fast > push else fast)  # the smaller, without a division that overflows

    def payoff_unit(self, agent: str) -> float:
        """Costs of a trader that closes its inventory, or trades as many shares as are worth it, at a constant rate
        when the others do so as well."""
        c = self.coefficients(np.array([0.0, self.horizon]))
        rate = float(self._rates[self.positions[agent]])
        others = float(self._rates.sum()) - rate
        crowd = float(c.temporary_impact[0]) / self.traders * (rate + max(self.crowding, 0.0) * others)
        moved = float(c.permanent_impact[0]) / self.traders * (rate + others) * self.horizon / 2
        return rate * self.horizon * (crowd + moved)

    def action_range(self) -> tuple[Controls, Controls]:
        """Rates worth exploring, from the parameters alone.

        A trader that deviates from the average of the others closes its inventory at the rate ``kappa coth(kappa T)``
        of the game's faster mode; the range goes to twice that in the direction of closing, inventory being enlarged
        by half of what the average trader has and by what the noise flow makes worth trading. In the other direction
        it goes half as far, or further for a trader with little inventory, who trades on what the others do.
        """
        c = self.coefficients(np.linspace(0.0, self.horizon, _STEPS + 1))
        d = self.least_cost
        lean = (c.permanent_impact / (2 * d * c.temporary_impact)).mean()
        pull = (2 * c.running_penalty.mean(axis=0) * self.traders / (d * c.temporary_impact.mean())) + lean**2
        kappa = np.maximum((lean + np.sqrt(pull)) * self.horizon, 1e-6)
        speed = np.where(kappa > 1e-5, kappa / np.tanh(kappa), 1.0) / self.horizon
        size = np.abs(self.start)
        mean, signal = size.mean(), self._signal
        close = size + mean / 2 + signal
        away = np.maximum(close / 2, mean + signal - size / 4)
        bounds = [np.minimum(2 * speed * each, self.rate_bound) for each in (away, close)]
        back, forth = (np.where(close > 0, each, self._fastest) for each in bounds)
        low, high = self.directed(-back, forth)
        none = np.zeros(0)
        return Controls(low, none, none), Controls(high, none, none)

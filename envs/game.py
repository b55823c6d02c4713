"""The part that games share: all that environments, simulation and evaluation ask for.

Every array over agents has the ``N`` traders first, then the ``M`` makers (none in the execution game); ``n = N + M``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self

import numpy as np
from typing_extensions import TypeVar

from .arrays import Array, as_like, is_number, namespace
from .factor import Factor
from .flows import of_factor
from .parameters import (
    Parameter,
    as_parameter,
    assign,
    check_number,
    evaluate,
    per_agent,
    require,
    step_means,
)
from .probing import asked

Flow = Parameter | Callable[[float | Array, Array], Array]
"""A number, a callable of time, or, in a game with a factor, a callable of (time, factor (..., d))."""

_FLOWS = ("buy_flow", "sell_flow")
_CHECKS = 9
_PROBES = 257
EXPLORED = 1 / 3
"""control unit, as a part of what characterises controls: a margin, an average rate"""


class Controls(NamedTuple):
    """The agents' controls in physical units: traders' rates (..., N), makers' asks and bids (..., M).

    In a game without makers ``Controls(rate)`` will do as an argument.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Controls, load_scenario, simulate
        >>> steps = 4
        >>> even = Controls(rate=np.full((steps, 1), 5.0), ask=np.full((steps, 2), 1.0), bid=np.full((steps, 2), 1.0))
        >>> simulate(load_scenario("acas"), even, steps).inventories[-1].round(3).tolist()
        [0.0, -4.0, -5.0]
    """

    rate: Array
    ask: Array = None
    bid: Array = None


class Activity(NamedTuple):
    """Everything that happens in the market under given controls."""

    inventory_rate: Array
    """(..., n) shares per unit of time, traders first"""
    income: Array
    """(..., n) cash per unit of time, the inventory being valued at the market price"""
    premium: Array
    """(..., N) a trader's transaction price less the market price at that time, in currency per share"""
    buy_volume: Array
    """(...,) shares bought per unit of time by traders and noise traders"""
    sell_volume: Array
    """(...,)"""
    drift: Array | None = None
    """(...,) of the market price, caused by trading; None in a game without permanent impact"""
    best_ask: Array | None = None
    """(...,) None in a game without makers"""
    best_bid: Array | None = None

    @property
    def spread(self) -> Array | None:
        """(...,) best ask plus best bid; None in a game without makers."""
        return None if self.best_ask is None or self.best_bid is None else self.best_ask + self.best_bid


class Coefficients(Protocol):
    """A game's parameters as arrays: means over the K steps of a grid, one row a step."""

    @property
    def running_penalty(self) -> Array:
        """(K, n) ``phi``"""

    @property
    def terminal_penalty(self) -> Array:
        """(n,) ``A``"""

    @property
    def buy_flow(self) -> Array:
        """(..., K); batch axes where flows depend on a factor"""

    @property
    def sell_flow(self) -> Array:
        """(..., K)"""

    def at(self, k: int | slice | Array) -> Self:
        """The coefficients of step ``k``, or of a range of steps."""

    def like(self, array: Array) -> Self:
        """The same numbers in the namespace, dtype and device of ``array``."""

    def _replace(self, *, buy_flow: Array = ..., sell_flow: Array = ...) -> Self:
        """The same with other flows."""


C = TypeVar("C", bound=Coefficients, default=Any)


class Game(ABC, Generic[C]):
    """A game between traders and makers: parameters, and equations as pure functions; ``C`` are its coefficients.

    Examples:
        >>> from makertaker.envs import Game, load_scenario
        >>> game = load_scenario("acas")
        >>> isinstance(game, Game), game.agents
        (True, ('trader_0', 'maker_0', 'maker_1'))
        >>> game.control_unit("maker_0"), game.payoff_unit("maker_0")  # what actions and rewards count in
        (0.3333333333333333, 7.0)
    """

    horizon: float
    min_rate: float = 0.0
    """of a trader that may only trade towards zero inventory"""
    max_rate: float | None = None
    """largest size of a rate; None: any"""
    max_quote: float | None = None
    """largest size of a quote; None: any"""
    volatility: float
    initial_price: float
    buy_flow: Flow
    """of noise traders, shares per unit of time"""
    sell_flow: Flow
    factor: Factor | None = None
    """exogenous, drives the flows"""
    inventory_noise: float = 0.0
    """``epsilon``: every agent's inventory gains ``epsilon dW``"""
    environment: ClassVar[str]
    """name of the environment that plays it"""
    one_sided: ClassVar[bool]
    """True where a trader may only trade towards zero inventory"""
    coefficient_of: ClassVar[Mapping[str, tuple[str, str]]]
    """by parameter: the coefficient that it becomes, and whose it is: ``"traders"``, ``"makers"``, ``"market"``, or
    ``"flow"``"""
    closing_parameter: ClassVar[str]
    """name of the traders' terminal penalties"""

    @property
    @abstractmethod
    def start(self) -> np.ndarray:
        """(n,) initial inventories, traders first."""

    @property
    @abstractmethod
    def makers(self) -> int:
        """Number ``M`` of makers."""

    @cached_property
    def traders(self) -> int:
        """Number ``N`` of traders."""
        return len(self.start) - self.makers

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in the order of every array over agents."""
        return (*(f"trader_{i}" for i in range(self.traders)), *(f"maker_{i}" for i in range(self.makers)))

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of each agent in arrays."""
        return {agent: i for i, agent in enumerate(self.agents)}

    @cached_property
    def closing(self) -> np.ndarray:
        """(N,) True for traders who must liquidate: an infinite terminal penalty, ``Q_T = 0``."""
        penalty = np.asarray(getattr(self, self.closing_parameter), dtype=float)
        return np.asarray(np.isinf(np.broadcast_to(penalty, (self.traders,))))

    @cached_property
    def must_close(self) -> bool:
        """True if a trader must liquidate."""
        return bool(self.closing.any())

    def closable(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest inventories (N,) that traders who must liquidate can close within the constraints;
        infinite for others."""
        slow, fast = (self.horizon * each for each in self.rate_bounds)
        return np.where(self.closing, -fast, -np.inf), np.where(self.closing, -slow, np.inf)

    def admitted(self, start: Array) -> Array:
        """Initial inventories (..., n) that were drawn, moved to the nearest that the game can begin with.

        Traders who may trade in one direction only keep their side, at worst with nothing to trade; those who must
        liquidate begin with what they can close.
        """
        if not (self.one_sided or self.must_close):
            return start
        own, rest = start[..., : self.traders], start[..., self.traders :]
        xp = namespace(own)
        if self.one_sided:
            side = as_like(np.sign(self.start[: self.traders]), own)
            own = xp.where(side * own > 0, own, 0.0 * own)
        if self.must_close:
            own = xp.clip(own, *(as_like(each, own) for each in self.closable()))
        return xp.concat([own, rest], axis=-1)

    def check_closable(self, inventories: Array, name: str) -> None:
        """Raises ValueError where a trader who must liquidate cannot close inventories (..., n) within the
        constraints."""
        if not self.must_close:
            return
        own = np.asarray(inventories)[..., : self.traders]
        least, most = self.closable()
        slack = 1e-12 * np.abs(own)
        bad = (own < least - slack) | (own > most + slack)
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            slow = f"min_rate T = {self.min_rate * self.horizon:g} and " if self.one_sided else ""
            raise ValueError(
                f"{name}: trader_{at[-1]} must liquidate {own[at]:g} shares, expected a size "
                f"{'between ' if slow else 'of at most '}{slow}max_rate T = {self.rate_bound * self.horizon:g}"
            )

    @property
    def rate_limits(self) -> tuple[float, float]:
        """Least and greatest rate in a trader's direction: that of buying for ``q_0 < 0``, of selling for
        ``q_0 > 0``."""
        return self.min_rate if self.one_sided else -self.rate_bound, self.rate_bound

    @cached_property
    def rate_bound(self) -> float:
        """``max_rate``; infinite where there is none."""
        return np.inf if self.max_rate is None else self.max_rate

    @cached_property
    def quote_bound(self) -> float:
        """``max_quote``; infinite where there is none."""
        return np.inf if self.max_quote is None else self.max_quote

    @abstractmethod
    def coefficients(self, times: np.ndarray, factors: np.ndarray | None = None) -> C:
        """Means of the parameters over the steps of the grid ``times`` (K+1,); :class:`Coefficients`.

        Args:
            times: of the grid.
            factors: (..., K+1, d) path of the factor, in a game that has one; None: its path without noise.
        """

    @cached_property
    def random(self) -> bool:
        """True if inventories or flows are random; the reference price does not count."""
        return self.inventory_noise > 0 or (self.factor is not None and self.factor.random(self.horizon))

    def flows(self, time: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``buy_flow`` and ``sell_flow``, (...,), at a time and a factor (..., d), in a game that has one.

        Every flow of a factor, here and elsewhere, is :meth:`admissible`.
        """
        return self._flow("buy_flow", time, factor), self._flow("sell_flow", time, factor)

    def with_factor(self, c: C, time: float | Array, factor: Array | None) -> C:
        """A step's coefficients with the flows that a factor (..., d) at its start leads to; others keep their mean.

        Without a factor the coefficients as they are.
        """
        if factor is None:
            return c
        return c._replace(**{name: self._flow(name, time, factor) for name in self._driven})

    def step_flows(self, times: np.ndarray, factors: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Flows over the steps of a grid, (..., K) each: step means, or their values at a factor's path (..., K+1, d),
        by default the one without noise.

        Raises:
            ValueError: a flow of time is negative on average over a step.
        """
        path = self.factor.path(times) if factors is None and self.factor is not None else factors

        def flow(name: str) -> np.ndarray:
            if path is None or name not in self._driven:
                return self._mean_flow(name, times)
            return np.stack([self._flow(name, t, path[..., k, :]) for k, t in enumerate(times[:-1])], axis=-1)

        return flow("buy_flow"), flow("sell_flow")

    @cached_property
    def _driven(self) -> tuple[str, ...]:
        """Names of the flows that depend on the factor."""
        return tuple(name for name in _FLOWS if self.factor is not None and of_factor(getattr(self, name)))

    def _mean_flow(self, name: str, times: np.ndarray) -> np.ndarray:
        """(K,) step means of a flow of time, which few probes have shown to be at least zero."""
        means = step_means(getattr(self, name), times, name)
        if means.size and means.min() < 0:
            k = int(means.argmin())
            raise ValueError(f"{name}: expected values >= 0, got a mean of {means[k]:g} from t = {times[k]:g} on")
        return means

    def admissible(self, flow: Array) -> Array:
        """A flow (...,) as the game takes it; a game in which it is a rate of arrival cuts it off at zero."""
        return flow

    def _flow(self, name: str, time: float | Array, factor: Array) -> Array:
        """A flow, (...,), at a time and a factor (..., d): the one place where a factor becomes a flow."""
        return self.admissible(self._flow_as_given(name, time, factor))

    def _flow_as_given(self, name: str, time: float | Array, factor: Array) -> Array:
        flow, shape, xp = getattr(self, name), factor.shape[:-1], namespace(factor)
        if not callable(flow):
            return np.full(shape, float(flow))
        arguments = (time, factor) if of_factor(flow) else (time,) if xp is not np else (np.asarray(time),)
        if xp is not np:
            return xp.broadcast_to(as_like(flow(*arguments), factor), shape)
        values = asked(flow, *arguments, name=name, expected="a number or a callable of (time, factor)")
        if values.shape not in (shape, ()) or not np.isfinite(values).all():
            raise ValueError(
                f"{name}: a callable of (time, factor) must return finite values of the factor's batch shape, "
                f"{shape}; got shape {values.shape}"
            )
        return np.broadcast_to(values, shape)

    def flow_range(self, reach: float) -> np.ndarray:
        """Least and greatest flow on the horizon, (2, 2): (buy, sell) by (least, greatest).

        Args:
            reach: distance of the factor from its undisturbed path, in its scales.
        """
        times = np.linspace(0.0, self.horizon, _PROBES)
        if self.factor is None:
            flows = [evaluate(getattr(self, name), times, name) for name in _FLOWS]
        else:
            away = reach * np.diag(self.factor.scale(self.horizon))
            points = self.factor.path(times)[:, None] + np.concatenate([0 * away[:1], away, -away])
            nodes = list(zip(times, points, strict=True))
            flows = [np.stack([self._flow(name, t, at) for t, at in nodes]) for name in _FLOWS]
        return np.array([[each.min(), each.max()] for each in flows])

    def check_numbers(self, positive: Sequence[str], others: Sequence[str]) -> None:
        """Turn parameters that are numbers into floats.

        Raises ValueError unless some are above 0, others at least 0, and the initial price is finite.
        """
        least = {**dict.fromkeys(positive, (0.0, True)), **dict.fromkeys(others, (0.0, False))}
        for name, (minimum, strict) in {**least, "initial_price": (-np.inf, False)}.items():
            check_number(name, getattr(self, name), minimum=minimum, strict=strict)
            assign(self, **{name: float(getattr(self, name))})  # NumPy scalars would turn float32 into float64

    def check_bounds(self, *names: str) -> None:
        """Raises ValueError unless constraints are None or above 0; one that is infinite is none."""
        for name in names:
            value = getattr(self, name)
            if value is None or (is_number(value) and value == np.inf):
                assign(self, **{name: None})
                continue
            if not is_number(value) or not 0 < value < np.inf:
                raise ValueError(f"{name}: expected a number > 0, or None for no constraint, got {value!r}")
            assign(self, **{name: float(value)})

    def check_penalties(self, role: str, count: int, prefix: str = "", *, closing: bool = False) -> None:
        """Raises ValueError unless the penalties of a role are finite and at least 0, the terminal one constant.

        Args:
            role: of the agents, for messages.
            count: of the agents.
            prefix: of the parameters' names.
            closing: True if terminal penalties may be infinite; ``"inf"``, which JSON can hold, becomes a number.
        """
        running, terminal = f"{prefix}running_penalty", f"{prefix}terminal_penalty"
        for name in (running, terminal):
            value = as_parameter(getattr(self, name))
            if closing and name == terminal:
                value = tuple(map(_as_infinite, value)) if isinstance(value, tuple) else _as_infinite(value)
            assign(self, **{name: value})
            values = per_agent(value, count, name)  # type: ignore[arg-type]  # refuses what it does not know
            if name == terminal and any(map(callable, (value, *values))):  # also where there are no agents
                raise ValueError(f"{name}: expected a number or one for each {role}, got a callable")
            finite = tuple(0.0 if closing and name == terminal and is_infinite(each) else each for each in values)
            require(finite, name, self.horizon, count=count)

    def check_flows(self) -> None:
        """Raises ValueError where the factor is no Factor, or a flow is not finite, or negative without a factor."""
        if self.factor is not None and not isinstance(self.factor, Factor):
            raise ValueError(f"factor: expected a Factor or None, got {self.factor!r}")
        for name in _FLOWS:
            if self.factor is None or name not in self._driven:
                require(getattr(self, name), name, self.horizon)
                continue
            points = np.array(self.factor.initial) + self.factor.scale(self.horizon) * np.linspace(0.0, 0.5, 3)[:, None]
            for time in np.linspace(0.0, self.horizon, _CHECKS):
                together = self._flow(name, time, points)
                alone = np.stack([self._flow(name, time, point) for point in points])
                if np.abs(together - alone).max() > 1e-9 * np.abs(alone).max():
                    raise ValueError(
                        f"{name}: a callable of (time, factor) must treat every market of a batch alone; its value at "
                        f"one factor is {alone[0]:g}, the same in a batch {together[0]:g}"
                    )

    @abstractmethod
    def activity(self, c: C, controls: Controls) -> Activity:
        """Everything that happens under controls (..., N), (..., M), (..., M)."""

    @abstractmethod
    def trading_cost(self, c: C, activity: Activity, controls: Controls) -> Array:
        """(..., n) the part of ``-activity.income`` that is the price of trading fast: temporary impact."""

    def fills(self, activity: Activity, controls: Controls) -> Array:
        """(..., 2, M) shares per unit of time that each maker sells at its ask and buys at its bid, under controls with
        this activity."""
        return np.zeros((*np.shape(activity.buy_volume), 2, 0))

    @abstractmethod
    def control_unit(self, agent: str) -> float:
        """Scale by which an agent explores its controls, from the parameters: a third of what characterises them, so
        that noise of one unit in everyone's controls leaves the market much as it is."""

    @abstractmethod
    def payoff_unit(self, agent: str) -> float:
        """Characteristic scale of an agent's payoffs, in currency, from the parameters."""

    @abstractmethod
    def action_range(self) -> tuple[Controls, Controls]:
        """Lowest and highest controls worth exploring, from the parameters."""

    @property
    def price_unit(self) -> float:
        """Typical move of the market price over the horizon, in currency; 1 where it does not move."""
        return self.volatility * float(np.sqrt(self.horizon)) or 1.0

    @cached_property
    def volume_unit(self) -> float:
        """Half of the shares that traders and noise traders want to trade over the horizon; 1 where there are none."""
        c = self.coefficients(np.linspace(0.0, self.horizon, _PROBES))
        noise = self.horizon * float(np.abs(c.buy_flow).mean() + np.abs(c.sell_flow).mean())
        return (float(np.abs(self.start[: self.traders]).sum()) + noise) / 2 or 1.0

    @cached_property
    def rate_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest rates of the traders, (N,) each."""
        return self.directed(*self.rate_limits)

    def directed(self, least: Array, most: Array) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest rates (N,) from bounds in the traders' direction."""
        buyer = self.start[: self.traders] < 0 if self.one_sided else self.start[: self.traders] <= 0
        return np.where(buyer, least, -np.asarray(most)), np.where(buyer, most, -np.asarray(least))

    def complete(self, controls: Controls) -> Controls:
        """The controls, with empty quotes put in where nobody quotes and none are given."""
        if self.makers or controls.ask is not None or controls.bid is not None:
            return controls
        none = controls.rate[..., :0]
        return Controls(controls.rate, none, none)

    def clip(self, controls: Controls) -> Controls:
        """The controls, truncated at the game's constraints."""
        controls = self.complete(controls)
        xp, limit = namespace(*controls), self.quote_bound
        low, high = (as_like(bound, controls.rate) for bound in self.rate_bounds)
        quotes = (xp.clip(each, -limit, limit) for each in controls[1:])
        return Controls(xp.clip(controls.rate, low, high), *quotes)


def is_infinite(value: object) -> bool:
    """True for plus infinity."""
    return is_number(value) and value == np.inf


def _as_infinite(value: object) -> object:
    """``"inf"`` as the number; others as they are."""
    return np.inf if isinstance(value, str) and value == "inf" else value

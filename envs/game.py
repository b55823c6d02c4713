"""What the games have in common: environments, simulation and evaluation ask for nothing else.

Every array over agents has the ``N`` traders first, then the ``M`` makers (none in the execution game); ``n = N + M``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from .arrays import Array, as_like, is_number, namespace
from .factor import Factor


class Controls(NamedTuple):
    """What the agents do, in physical units: traders' rates (..., N), makers' asks and bids (..., M).

    In a game without makers ``Controls(rate)`` will do as an argument.
    """

    rate: Array
    ask: Array = None
    bid: Array = None


class Activity(NamedTuple):
    """What happens in the market under given controls."""

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

    def at(self, k: Any) -> Any:
        """The coefficients of step ``k``, or of a range of steps."""

    def like(self, array: Array) -> Any:
        """The same numbers in the namespace, dtype and device of ``array``."""


class Game(ABC):
    """A game between traders and makers: parameters, and equations as pure functions."""

    horizon: float
    max_rate: float
    volatility: float
    initial_price: float
    factor: Factor | None = None
    environment: ClassVar[str]
    """name of the environment that plays it"""
    one_sided: ClassVar[bool]
    """whether a trader may only trade towards zero inventory"""

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

    @property
    @abstractmethod
    def rate_limits(self) -> tuple[float, float]:
        """Least and greatest rate in a trader's direction: that of buying for ``q_0 < 0``, of selling for ``q_0
        > 0``."""

    @property
    @abstractmethod
    def quote_limit(self) -> float:
        """Largest size of a quote."""

    @abstractmethod
    def coefficients(self, times: np.ndarray, factors: np.ndarray | None = None) -> Any:
        """Means of the parameters over the steps of the grid ``times`` (K+1,); :class:`Coefficients`.

        Args:
            times: of the grid.
            factors: (..., K+1, d) path of the factor, in a game that has one; None: its path without noise.
        """

    @abstractmethod
    def flows(self, time: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``buy_flow`` and ``sell_flow`` at a time and a factor (..., d), in a game that has one."""

    @abstractmethod
    def with_factor(self, c: Any, time: np.ndarray, factor: np.ndarray) -> Any:
        """Coefficients of a step that starts at a factor (..., d), in a game that has one."""

    @abstractmethod
    def activity(self, c: Any, controls: Controls) -> Activity:
        """What happens under controls (..., N), (..., M), (..., M)."""

    @abstractmethod
    def control_unit(self, agent: str) -> float:
        """A size of an agent's controls that matters, from the parameters."""

    @abstractmethod
    def payoff_unit(self, agent: str) -> float:
        """A size of an agent's payoffs, in currency, from the parameters."""

    @abstractmethod
    def action_range(self) -> tuple[Controls, Controls]:
        """Lowest and highest controls worth exploring, from the parameters."""

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
        xp = namespace(*controls)
        low, high = (as_like(bound, controls.rate) for bound in self.rate_bounds)
        limit = self.quote_limit
        return Controls(
            xp.clip(controls.rate, low, high),
            xp.clip(controls.ask, -limit, limit),
            xp.clip(controls.bid, -limit, limit),
        )


def as_inventory(values: Sequence[float], name: str) -> tuple[float, ...]:
    """Initial inventories as a tuple of floats. Raises ValueError for anything but a list of finite numbers."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected a list of numbers, got {values!r}") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected a list of finite numbers, got {values!r}")
    return tuple(array.tolist())


def as_parameter(value: Any) -> Any:
    """Lists and one-dimensional arrays as tuples, so that games are equal and hashable by value; others as they are."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def check_number(name: str, value: float, *, minimum: float = 0.0, strict: bool = False) -> None:
    """Raises ValueError unless ``value`` is a finite number of at least, or above, the minimum."""
    if not is_number(value):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    if not (np.isfinite(value) and (value > minimum if strict else value >= minimum)):
        bound = f" {'>' if strict else '>='} {minimum:g}" if np.isfinite(minimum) else ""
        raise ValueError(f"{name}: expected a finite number{bound}, got {value!r}")

"""The options of an environment, the same for every library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, Unpack

from .actions import Range
from .observation import Kind, check_kind
from .parameters import as_number, assign, check_count

Reward = Literal["payoff", "wealth"]


@dataclass(frozen=True)
class Options:
    """Options with which a game is played as an environment.

    Environments take an object of this class, or its fields as keywords.

    Args:
        steps: number K of steps of an episode.
        observation: ``"time"``, ``"own"`` or ``"full"``; see :mod:`makertaker.envs.observation`.
        reward: ``"payoff"`` leaves the martingale part of the price out, ``"wealth"`` counts gains from price moves.
        normalize: True: actions are in [-1, 1], mapped affinely onto the action range; False: they are physical.
        rate_range: lowest and highest rate in place of the game's, in shares per unit of time and in the trader's
            direction of trade: (0, 5) lets a buyer choose rates in [0, 5] and a seller in [-5, 0]. In the execution
            game it may begin below 0.
        quote_range: lowest and highest ask and bid in place of the game's, in currency.
        inventory_spread: standard deviation of normal noise on initial inventories, in shares. Traders keep their side
            in games where they may trade in one direction only.

    Raises:
        ValueError: an option is out of its range. Ranges are checked where the game is known.
    """

    steps: int = 100
    observation: Kind = "full"
    reward: Reward = "payoff"
    normalize: bool = True
    rate_range: Range = None
    quote_range: Range = None
    inventory_spread: float = 0.0

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        check_kind(self.observation)
        if self.reward not in ("payoff", "wealth"):
            raise ValueError(f"reward: expected 'payoff' or 'wealth', got {self.reward!r}")
        assign(self, inventory_spread=as_spread(self.inventory_spread))


class Fields(TypedDict, total=False):
    """The fields of :class:`Options` as keywords."""

    steps: int
    observation: Kind
    reward: Reward
    normalize: bool
    rate_range: Range
    quote_range: Range
    inventory_spread: float


NAMES = tuple(field.name for field in fields(Options))


def as_spread(value: float) -> float:
    """An ``inventory_spread``. Raises ValueError unless it is a finite number of at least 0."""
    return as_number("inventory_spread", value, "a finite number >= 0", strict=False)


def merged(options: Options | int | None, **changes: Unpack[Fields]) -> Options:
    """The options, with some fields changed.

    Args:
        options: given ones, a number of steps for the defaults with that number, or None for the defaults.
        changes: fields of :class:`Options`.

    Raises:
        TypeError: an option is unknown.
        ValueError: an option is out of its range.
    """
    for name in changes:
        if name not in NAMES:
            known = f"options of the environment, some of {list(NAMES)}"
            raise TypeError(f"got an unexpected keyword argument {name!r}; expected {known}")
    if options is None:
        return Options(**changes)
    return replace(options if isinstance(options, Options) else Options(options), **changes)


def split(arguments: Mapping[str, Any]) -> tuple[Fields, dict[str, Any]]:
    """Arguments that are fields of :class:`Options`, and the others."""
    own: Any = {name: value for name, value in arguments.items() if name in NAMES}
    return own, {name: value for name, value in arguments.items() if name not in NAMES}

"""The options of an environment, the same for every library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

import numpy as np

from .actions import ActionKind, Range
from .names import suggestion
from .observation import Kind, KindName, check_kind
from .parameters import as_number, assign, check_count

Reward = Literal["payoff", "wealth"]
Units = Literal["game", "currency"]

STEPS = 20
"""number of steps of an episode, and of an equilibrium's grid, where nothing says another"""


@dataclass(frozen=True)
class Options:
    """Options with which a game is played as an environment.

    Environments take an object of this class, or its fields as keywords.

    ==============  =============  ======================================================  ======================
    ``units``       ``normalize``  actions                                                 rewards
    ==============  =============  ======================================================  ======================
    ``"game"``      not given,     count from the middle of the action range in the        in the game's payoff
                    or False       game's control units: the default                       units
    ``"currency"``  not given,     rates in shares per unit of time, quotes in currency    in currency
                    or False
    ``"game"``      True           in [-1, 1], mapped affinely onto the action range       in payoff units
    ``"currency"``  True           in [-1, 1]                                              in currency
    not given       True           in [-1, 1]                                              in currency
    not given       False          rates and quotes                                        in currency
    ==============  =============  ======================================================  ======================

    Rewards in payoff units charge the terminal penalty as it changes, ``-A (Q_{k+1}^2 - Q_k^2)``, in the first step
    ``-A Q_1^2``; those in currency charge it when it falls due, in the last step. The sum over an episode is the same,
    and no equilibrium is another one (with a discount factor of 1: Ng, Harada and Russell, 1999), but learners whose
    estimates of advantages look ahead for a few steps only see what a trade is worth when they make it.

    Args:
        steps: number K of steps of an episode; None: the scenario's, 20 where only a game is given.
        observation: ``"time"``, ``"own"``, ``"market"`` or ``"full"``; see :mod:`makertaker.envs.observation`.
        reward: ``"payoff"`` leaves the martingale part of the price out, ``"wealth"`` counts gains from price moves.
        normalize: see the table.
        rate_range: lowest and highest rate in place of the game's, in shares per unit of time and in the trader's
            direction of trade: (0, 5) lets a buyer choose rates in [0, 5] and a seller in [-5, 0]. In the execution
            game it may begin below 0.
        quote_range: lowest and highest ask and bid in place of the game's, in currency.
        inventory_spread: standard deviation of normal noise on initial inventories, in shares. Traders keep their side
            in games where they may trade in one direction only.
        units: see the table; by default ``"game"``, or ``"currency"`` where ``normalize`` is given.
        context: True: what is drawn of a random market is shown, behind the time and the factor, each parameter in
            [-1, 1] over its distribution; see :class:`.RandomMarkets`.
        identity: True: a one-hot of the agent stands at the end of its observation, for learners that share one policy.

    Raises:
        ValueError: an option is out of its range. Ranges are checked where the game is known.

    Examples:
        >>> from makertaker.envs import Options, acas_v0
        >>> env = acas_v0.parallel_env(options=Options(steps=10, observation="time"))
        >>> env.observation_space("maker_0").shape
        (1,)
        >>> acas_v0.parallel_env(steps=10, observation="own").observation_space("maker_0").shape
        (2,)
    """

    steps: int | None = None
    observation: KindName = "full"
    reward: Reward = "payoff"
    normalize: bool | None = None
    rate_range: Range = None
    quote_range: Range = None
    inventory_spread: float = 0.0
    units: Units | None = None
    identity: bool = False
    context: bool = False

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("steps", self.steps)
        assign(self, observation=check_kind(self.observation))
        if self.reward not in ("payoff", "wealth"):
            raise ValueError(f"reward: expected 'payoff' or 'wealth', got {self.reward!r}")
        if self.units not in ("game", "currency", None):
            raise ValueError(f"units: expected 'game' or 'currency', got {self.units!r}")
        for name in ("normalize", "identity", "context"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (name != "normalize" or value is not None):
                raise ValueError(f"{name}: expected True or False, got {value!r}")
        assign(self, inventory_spread=as_spread(self.inventory_spread))
        for name in ("rate_range", "quote_range"):  # JSON has lists only
            pair = getattr(self, name)
            if isinstance(pair, list | tuple | np.ndarray):
                pair = tuple(each.item() if isinstance(each, np.generic) else each for each in pair)
            assign(self, **{name: pair})

    @property
    def kind(self) -> Kind:
        """The kind of observation, by its own name."""
        return check_kind(self.observation)

    @property
    def actions(self) -> ActionKind:
        """What actions are; see the table."""
        if self.normalize:
            return "normalized"
        return "controls" if self.in_game_units else "physical"

    @property
    def in_game_units(self) -> bool:
        """True if rewards are in payoff units."""
        return self.normalize is None if self.units is None else self.units == "game"


class Fields(TypedDict, total=False):
    """The fields of :class:`Options` as keywords."""

    steps: int | None
    observation: KindName
    reward: Reward
    normalize: bool | None
    rate_range: Range
    quote_range: Range
    inventory_spread: float
    units: Units | None
    identity: bool
    context: bool


OptionsLike: TypeAlias = Options | Fields | int | None
"""options of an environment: an object, a mapping of its fields, a number of steps, or the defaults"""

NAMES = tuple(field.name for field in fields(Options))


class UnknownArgument(TypeError, ValueError):
    """A keyword that nothing takes: a TypeError, as of any function, and a ValueError, as all bad input here."""


def unknown(names: list[str], known: str, like: Iterable[str]) -> UnknownArgument:
    """An error in Python's words; libraries look for them when they try a keyword. Suggested are names of ``like``."""
    listed = ", ".join(map(repr, names))
    return UnknownArgument(f"got an unexpected keyword argument {listed}: {suggestion(names[0], like)}expected {known}")


def as_spread(value: float) -> float:
    """An ``inventory_spread``. Raises ValueError unless it is a finite number of at least 0."""
    return as_number("inventory_spread", value, "a finite number >= 0", strict=False)


def merged(options: OptionsLike, **changes: Unpack[Fields]) -> Options:
    """The options, with some fields changed.

    Args:
        options: given ones, as an object or a mapping of its fields; a number of steps for the defaults with that
            number; or None for the defaults.
        changes: fields of :class:`Options`.

    Raises:
        UnknownArgument: an option is unknown.
        ValueError: an option is out of its range.
    """
    given = [*changes, *(options if isinstance(options, Mapping) else ())]
    strange = [name for name in given if name not in NAMES]
    if strange:
        raise unknown(strange, f"options of the environment, some of {list(NAMES)}", NAMES)
    if options is None or isinstance(options, Mapping):
        return Options(**(options or {}) | changes)
    return replace(options if isinstance(options, Options) else Options(options), **changes)


def split(arguments: Mapping[str, Any]) -> tuple[Fields, dict[str, Any]]:
    """Arguments that are fields of :class:`Options`, and the others. ``max_cycles`` is another name of ``steps``, which
    PettingZoo's environments have. Raises ValueError where both are given."""
    given = dict(arguments)
    if "max_cycles" in given:
        cycles = given.pop("max_cycles")
        if given.setdefault("steps", cycles) != cycles:
            raise ValueError(f"steps, max_cycles: expected one of them, got {given['steps']!r} and {cycles!r}")
    own: Any = {name: value for name, value in given.items() if name in NAMES}
    return own, {name: value for name, value in given.items() if name not in NAMES}

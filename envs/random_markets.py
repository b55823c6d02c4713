"""Random markets: a distribution over the parameters of a game, from which every episode draws its own.

All draws are games of one kind with the same agents, on the same horizon, so that a batch of different games is stepped
as one: parameters are arrays with an axis over the markets. The scale of actions, observations and rewards is that of
the game from which the distribution departs; the range of actions covers the draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, namespace
from .distributions import Choice, Distribution, from_table, to_table
from .game import C, Controls, Game
from .names import unknown
from .parameters import assign, check_count

_SAMPLE = 64
"""draws whose ranges of actions the range covers"""
_ALMOST_ONE = 1 - 2.0**-24


class Drawn(NamedTuple):
    """The parameters of a market, or of a batch of markets."""

    uniform: Array
    """(..., D) draws, uniform in [0, 1)"""
    values: dict[str, Array]
    """by the parameter's name: (..., size), a number having size 1"""
    context: Array
    """(..., D) what agents see of them, in [-1, 1]"""


@dataclass(frozen=True)
class RandomMarkets:
    """A distribution over games.

    Args:
        game: the game from which the draws depart.
        random: distributions by the name of a parameter, parts with a dot: ``"competition.gamma"``; objects, or tables
            as in a scenario file. A number is shared by the agents, a list has one for each. Parameters that are
            functions of time, a factor, the horizon and constraints are not drawn.
        steps: number of steps of an episode; None: 20.
        name: of the markets.

    Raises:
        ValueError: there is no such parameter, or the game does not take a value that may be drawn.

    Examples:
        >>> from makertaker.envs import RandomMarkets, Uniform, load_scenario
        >>> markets = RandomMarkets(load_scenario("acas"), {"trader_inventory": Uniform([-10.0], [-2.0])})
        >>> max(game.trader_inventory[0] for game in markets.games(10, seed=0)) < -2
        True
    """

    game: Game
    random: Mapping[str, Distribution] | Sequence[tuple[str, Distribution]]
    steps: int | None = None
    name: str = "random"

    def __post_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise ValueError(f"game: expected a game, got {self.game!r}")
        given = self.random.items() if isinstance(self.random, Mapping) else self.random
        random = tuple((name, from_table(name, each)) for name, each in given)
        if not random:
            raise ValueError("random: expected at least one distribution, got none")
        assign(self, random=random)
        if self.steps is not None:
            check_count("steps", self.steps)
        known = drawable(self.game)
        for name, each in self.distributions.items():
            if name not in known:
                raise unknown("parameter", name, known, " in random", some=True)
            size = np.size(each.value(np.zeros(each.width)))
            count = _count(self.game, name)
            if (each.size is None and name in _LISTS) or (each.size is not None and size != count):
                raise ValueError(f"random.{name}: expected lists of length {count}, got {each!r}")
        rng = np.random.default_rng(0)
        ends = [np.full(self.width, end) for end in (0.0, _ALMOST_ONE)]
        for uniform in (*ends, *rng.random((4, self.width)), *self._choices()):
            self._check(self.game_of(self.drawn(uniform)))

    def _choices(self) -> list[np.ndarray]:
        """Draws among which every value of every choice is."""
        found, start = [], 0
        for each in self.distributions.values():
            if isinstance(each, Choice):
                for i in range(len(each.values)):
                    uniform = np.full(self.width, 0.5)
                    uniform[start] = (i + 0.5) / len(each.values)
                    found.append(uniform)
            start += each.width
        return found

    def _check(self, game: Game) -> None:
        before, after = (each.directed(0.0, 1.0) for each in (self.game, game))
        if self.game.one_sided and not np.array_equal(before, after):
            raise ValueError("random.trader_inventory: buyers stay buyers and sellers stay sellers, got both")
        if not np.array_equal(self.game.closing, game.closing):
            name = self.game.closing_parameter
            raise ValueError(
                f"random.{name}: who must liquidate is not drawn, expected finite penalties in the game and draws"
            )

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """By the parameter's name."""
        return dict(self.random)

    @cached_property
    def width(self) -> int:
        """Number ``D`` of draws that make a market."""
        return sum(each.width for each in self.distributions.values())

    @cached_property
    def context_names(self) -> tuple[str, ...]:
        """(D,) names of what agents see of the draws, in the order of their observation."""
        return tuple(
            name if each.size is None or each.width == 1 else f"{name}[{i}]"
            for name, each in self.distributions.items()
            for i in range(each.width)
        )

    def drawn(self, uniform: Array) -> Drawn:
        """The parameters that uniform draws (..., D) stand for; an array of any library."""
        values, context, start = {}, [], 0
        for name, each in self.distributions.items():
            own = uniform[..., start : start + each.width]
            values[name] = each.value(own)
            context.append(each.context(own))
            start += each.width
        return Drawn(uniform, values, namespace(uniform).concat(context, axis=-1))

    def game_of(self, drawn: Drawn) -> Game:
        """The game of one market's parameters. Raises ValueError where it does not take them."""
        given: dict[str, Any] = {}
        for name, value in drawn.values.items():
            entries = np.asarray(value, dtype=float).tolist()
            given[name] = entries[0] if self.distributions[name].size is None else tuple(entries)
        return replaced(self.game, given)

    def games(self, count: int, seed: int | np.random.Generator = 0) -> list[Game]:
        """Games drawn one after the other.

        Args:
            count: number of games.
            seed: of the draws, or a generator.

        Raises:
            ValueError: ``count`` is not a positive whole number.
        """
        check_count("count", count)
        rng = np.random.default_rng(seed)
        return [self.game_of(self.drawn(each)) for each in rng.random((count, self.width))]

    def batched(self, drawn: Drawn) -> Game:
        """The game with arrays in place of numbers where :meth:`Game.activity` and noise look at them, (..., 1), for
        markets with the batch axes of the draws. It is stepped, and no more: nothing is validated."""
        others = {*self.game.coefficient_of, *_LISTS, "volatility"}
        game = with_parts(self.game, {name: each for name, each in drawn.values.items() if name not in others})
        if "volatility" in drawn.values:
            object.__setattr__(game, "volatility", drawn.values["volatility"][..., 0])
        return game

    def coefficients(self, c: C, drawn: Drawn, steps: tuple[int, ...] = ()) -> C:
        """Coefficients with the draws in their place.

        Args:
            c: the game's own, of the library of the draws: of a step, or over the steps of a grid.
            drawn: with batch axes, which stand behind the steps' here, before them in flows.
            steps: () for those of a step, (K,) for those of a grid.
        """
        xp = namespace(drawn.uniform)
        changes: dict[str, Array] = {}
        batch = tuple(drawn.uniform.shape[:-1])
        for name, value in drawn.values.items():
            if name not in self.game.coefficient_of:
                continue
            field, whose = self.game.coefficient_of[name]
            if whose == "flow":
                changes[field] = xp.broadcast_to(value, (*batch, *steps)) if steps else value[..., 0]
            elif whose == "market":
                changes[field] = xp.broadcast_to(value[..., 0], (*steps, *batch))
            else:
                own = changes.get(field)
                axes = () if field == "terminal_penalty" else steps
                if own is None:  # it has no batch axes yet
                    usual = getattr(c, field)
                    own = usual.reshape(*axes, *[1] * len(batch), usual.shape[-1])
                changes[field] = self._among(own, value, whose, (*axes, *batch))
        return c._replace(**changes)

    def _among(self, own: Array, value: Array, whose: str, axes: tuple[int, ...]) -> Array:
        """A role's values (..., size) in an array over agents, (*axes, n)."""
        xp, n, total = namespace(value), self.game.traders, own.shape[-1]
        place = slice(0, n) if whose == "traders" else slice(n, total)
        own = xp.broadcast_to(own, (*axes, total))
        value = xp.broadcast_to(value, (*axes, place.stop - place.start))
        return xp.concat([own[..., : place.start], value, own[..., place.stop :]], axis=-1)

    def start(self, drawn: Drawn) -> Array:
        """(..., n) initial inventories."""
        xp, batch = namespace(drawn.uniform), tuple(drawn.uniform.shape[:-1])
        start = xp.asarray(self.game.start, dtype=drawn.uniform.dtype)
        start = xp.broadcast_to(start, (*batch, len(self.game.agents)))
        for name in _LISTS & drawn.values.keys():
            value, n = drawn.values[name], self.game.traders
            parts = [start[..., :n], value] if name == "maker_inventory" else [value, start[..., n:]]
            start = xp.concat(parts, axis=-1)
        return start

    @cached_property
    def action_range(self) -> tuple[Controls, Controls]:
        """Lowest and highest controls worth exploring in the markets that may be drawn: of 64 that are."""
        ranges = [each.action_range() for each in (self.game, *self.games(_SAMPLE))]
        low, high = zip(*ranges, strict=True)
        least = Controls(*(np.min(each, axis=0) for each in zip(*low, strict=True)))
        return least, Controls(*(np.max(each, axis=0) for each in zip(*high, strict=True)))

    def table(self) -> dict[str, Any]:
        """What would stand in the table ``[random]`` of a scenario file."""
        return {name: to_table(each) for name, each in self.distributions.items()}


_LISTS = {"trader_inventory", "maker_inventory", "initial_inventory"}
"""parameters that are the start of the inventories"""
_PARTS = ("competition", "impact")


def drawable(game: Game) -> list[str]:
    """Names of the parameters that may be drawn: numbers, and lists of them."""
    names = [
        name
        for name in (*_LISTS, *game.coefficient_of, "volatility", "inventory_noise", "crowding")
        if _fits(game, name)
    ]
    for part in _PARTS:
        if hasattr(game, part):
            owner = getattr(game, part)
            names += [f"{part}.{name}" for name in _numbers(owner) if f"{part}.{name}" not in names]
            names += [f"{part}.{name}" for name in _numbers(getattr(owner, "intensity", None))]
    return sorted(names)


def _fits(game: Game, name: str) -> bool:
    """True for a parameter that the game has, and that is neither a function nor driven by a factor."""
    *path, field = name.split(".")
    owner: Any = game
    for part in path:
        owner = getattr(owner, part, None)
    value = vars(owner).get(field) if owner is not None else None
    entries = value if isinstance(value, tuple) else (value,)
    if value is None or name in game._driven or any(map(callable, entries)):
        return False
    return name != "inventory_noise" or game.inventory_noise > 0


def _numbers(part: object) -> list[str]:
    """Names of a part's fields that are numbers, or lists of them."""
    if part is None:
        return []
    values = vars(part).items()
    return [name for name, value in values if isinstance(value, float) or (isinstance(value, tuple) and value)]


def _count(game: Game, name: str) -> int:
    """Number of entries of a list of a parameter."""
    if name in ("trader_inventory", "initial_inventory"):
        return game.traders
    if name == "maker_inventory" or name.startswith("competition."):
        return game.makers
    whose = game.coefficient_of.get(name, ("", "market"))[1]
    return {"traders": game.traders, "makers": game.makers}.get(whose, 1)


def replaced(game: Game, values: Mapping[str, object]) -> Game:
    """The game with parameters replaced, parts by names with a dot; validated.

    Raises:
        ValueError: the game does not take a value.
    """
    changes: dict[str, Any] = {}
    for name, value in values.items():
        part, dot, field = name.partition(".")
        if not dot:
            changes[name] = value
            continue
        owner = changes.get(part, getattr(game, part))
        if hasattr(owner, field):
            changes[part] = replace(owner, **{field: value})
        else:
            changes[part] = replace(owner, intensity=replace(owner.intensity, **{field: value}))
    return replace(game, **changes)  # type: ignore[type-var]  # games are dataclasses


def parts_of(game: Game) -> dict[str, float | tuple[float, ...]]:
    """Parameters that are neither coefficients nor the start nor noise, by name: of competition and impact."""
    others, found = {*game.coefficient_of, *_LISTS, "volatility", "inventory_noise"}, {}
    for name in drawable(game):
        if name not in others:
            owner, field = _owner(game, name)
            found[name] = getattr(owner, field)
    return found


def with_parts(game: Game, parts: Mapping[str, Array]) -> Game:
    """The game with arrays (..., size) in place of parameters, of any library; for a step, nothing is validated."""
    result = copy(game)
    for name, value in parts.items():
        _put(result, name, value)
    return result


def _owner(game: Any, name: str) -> tuple[Any, str]:
    """The part that has a parameter, and its name there."""
    *path, field = name.split(".")
    for part in path:
        game = getattr(game, part)
    return (game if hasattr(game, field) else game.intensity), field


def _put(game: Any, name: str, value: Array) -> None:
    """Put an array in the place of a number, in copies of the parts on the way, without validation."""
    *path, field = name.split(".")
    owner = game
    for part in path:
        inner = copy(getattr(owner, part))
        object.__setattr__(owner, part, inner)
        owner = inner
    if not hasattr(owner, field):
        inner = copy(owner.intensity)
        object.__setattr__(owner, "intensity", inner)
        owner = inner
    object.__setattr__(owner, field, value)

"""A market of the page: what a link asks for, and what is found of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...baselines import Equilibrium, EquilibriumNotFound, exploitability, solve
from ...baselines.gains import payoff_size
from ...baselines.reference_points import index_of, optimum
from ...baselines.remembered import remembered
from ...envs import Controls, Game, Scenario
from ...envs.arrays import Array, is_number
from ...envs.grid import simulate
from ...envs.names import unknown
from ...envs.palette import colors, legend, markers
from ...envs.scenarios.loader import build_scenario
from .sliders import changed

SCENARIO, DRAG = "scenario", "drag."
KNOTS = 5
"""points of a control's curve that are dragged"""
_SECONDS = 20.0
"""that Newton's method may take"""


@dataclass(frozen=True)
class Asked:
    """A market as a link names it."""

    scenario: str
    changes: Mapping[str, str] = field(default_factory=dict)
    """texts of numbers by their paths"""
    drags: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """by ``agent.control``, as in ``maker_0.ask``: how far from the equilibrium a control is at times that divide the
    horizon evenly, straight lines between them"""


def parse(query: Iterable[tuple[str, str]], default: str) -> Asked:
    """A market from the pairs of a query: ``scenario``, numbers by their paths, ``drag.AGENT.CONTROL``.

    Raises:
        ValueError: a dragged curve is no list of numbers.
    """
    scenario, changes, drags = default, {}, {}
    for key, text in query:
        if key == SCENARIO:
            scenario = text
        elif key.startswith(DRAG):
            drags[key.removeprefix(DRAG)] = _curve(key, text)
        else:
            changes[key] = text
    return Asked(scenario, changes, drags)


def _curve(key: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(map(float, text.split(",")))
    except ValueError:
        found = ()
    if len(found) < 2 or not np.isfinite(found).all():
        raise ValueError(f"{key}: expected finite numbers with commas between them, at least two, got {text!r}")
    return found


class Market:
    """A scenario with changed numbers, and its equilibrium.

    Args:
        scenario: where its other values come from.
        asked: what is changed.

    Raises:
        ValueError: an unknown number, a bad one, or a game that cannot be.
    """

    def __init__(self, scenario: Scenario, asked: Asked) -> None:
        self.scenario = build_scenario(scenario.name, changed(scenario, asked.changes))
        self.game: Game = self.scenario.game
        self.steps = self.scenario.steps
        self.drags = {key: each for key, each in asked.drags.items() if any(each)}

    def solve(self) -> Equilibrium:
        """The equilibrium. Raises ValueError or EquilibriumNotFound where there is none."""
        if self.game.random:  # which takes seconds
            return remembered(self.game, self.steps)
        return solve(self.game, self.steps, seconds=_SECONDS)

    @property
    def draggable(self) -> bool:
        """True where a profile is a schedule: nothing random is there to which it would have to react."""
        return not self.game.random

    def profile(self, nash: Equilibrium) -> Controls:
        """The equilibrium's controls with what was dragged, truncated at the game's constraints.

        Raises:
            ValueError: the game is random, or nobody has such a control.
        """
        if not self.draggable:
            raise ValueError("drag: expected a game in which nothing is random, where profiles are schedules")
        controls = Controls(*(None if each is None else np.array(each) for each in nash.controls))
        for key, offsets in self.drags.items():
            curve = self.curve(controls, key)
            knots = np.linspace(0.0, self.game.horizon, len(offsets))
            curve += np.interp(middles(nash), knots, offsets)
        return self.game.clip(controls)

    def curve(self, controls: Controls, key: str) -> Array:
        """(K,) a view of one agent's control."""
        place = self.places.get(key)
        if place is None:
            raise unknown("curve", key, self.places)
        kind, index = place
        return np.asarray(getattr(controls, kind))[:, index]

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Every control as ``agent.control``, with its field in :class:`Controls` and its column."""
        found: dict[str, tuple[str, int]] = {}
        for i, agent in enumerate(self.game.agents):
            index = i if i < self.game.traders else i - self.game.traders
            kinds = ("rate",) if i < self.game.traders else ("ask", "bid")
            found |= {f"{agent}.{kind}": (kind, index) for kind in kinds}
        return found


def middles(nash: Equilibrium) -> Array:
    """(K,) of the steps."""
    return np.asarray((nash.times[:-1] + nash.times[1:]) / 2)


def document(market: Market) -> dict[str, Any]:
    """What a page shows of a market: numbers that JSON can hold; without :func:`gains` where they take seconds.

    Raises:
        ValueError: an agent, a control or a game that cannot be.
        EquilibriumNotFound: there is no equilibrium.
    """
    started = time.perf_counter()
    nash = market.solve()
    solved = time.perf_counter()
    game = market.game
    found = {
        "agents": [
            {"name": name, "role": "trader" if i < game.traders else "maker", "color": color, "marker": marker}
            for i, (name, color, marker) in enumerate(zip(game.agents, colors(game), markers(game), strict=True))
        ],
        "legend": legend(game),
        "times": nash.times.tolist(),
        "inventories": _rows(nash.inventories),
        "controls": {key: _rows(each) for key, each in nash.controls._asdict().items() if each is not None},
        "payoffs": _numbers(nash.payoffs),
        "payoffs_se": None if nash.payoffs_se is None else _numbers(nash.payoffs_se),
        "message": nash.message,
        "notes": list(nash.notes),
        "curves": _curves(market) if market.draggable else {},
        "dragged": bool(market.drags),
        "profile": _profile(market, nash) if market.draggable else None,
    }
    now = time.perf_counter()
    return found | {"solve_ms": 1e3 * (solved - started), "all_ms": 1e3 * (now - started)}


def gains(market: Market) -> dict[str, Any]:
    """Payoffs of the dragged profile, or of the equilibrium where nothing was dragged, and everyone's gains from best
    responses; or why there are none. Raises as :func:`document` does."""
    return _profile(market, market.solve())


def _profile(market: Market, nash: Equilibrium) -> dict[str, Any]:
    game = market.game
    try:
        dragged = market.profile(nash) if market.drags else nash.profile
        found = exploitability(game, dragged, market.steps)
    except (ValueError, EquilibriumNotFound) as error:
        return {"error": str(error)}
    shown: dict[str, Any] = {
        "payoffs": _numbers(found.payoffs),
        "gains": _numbers(found.gains),
        "gains_se": None if found.gains_se is None else _numbers(found.gains_se),
        "nash_conv": _number(found.nash_conv),
        "relative": _number(found.nash_conv / payoff_size(nash.payoffs)) if np.any(nash.payoffs) else None,
    }
    if market.drags and isinstance(dragged, Controls):
        shown["controls"] = {key: _rows(each) for key, each in dragged._asdict().items() if each is not None}
        shown["inventories"] = _rows(simulate(game, dragged, market.steps).inventories)
    return shown


def collusion(market: Market) -> dict[str, Any]:
    """Where the dragged profile stands between the equilibrium, 0, and the optimum of those who could collude, 1; or
    why that is not defined. The search for the optimum may take seconds.

    Raises:
        ValueError, EquilibriumNotFound: as :func:`document` does.
    """
    nash = market.solve()
    best = optimum(nash)
    payoffs = nash.payoffs
    if market.drags:
        payoffs = exploitability(market.game, market.profile(nash), market.steps).payoffs
    index = index_of(nash, payoffs, best)
    undefined = best.note or "nobody loses by competing"
    return {"name": best.name, "index": _number(index), "note": best.note if index is not None else undefined}


def _curves(market: Market) -> dict[str, dict[str, Any]]:
    """The curves that can be dragged, with their constraints and a unit for keys."""
    game = market.game
    least, most = game.rate_bounds
    found = {}
    for key, (kind, index) in market.places.items():
        quote = game.quote_bound
        low, high = (least[index], most[index]) if kind == "rate" else (-quote, quote)
        unit = game.control_unit(key.partition(".")[0])
        found[key] = {"low": _number(low), "high": _number(high), "unit": unit, "kind": kind, "index": index}
    return found


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) and np.isfinite(value) else None


def _numbers(values: Array) -> list[float | None]:
    return [_number(each) for each in np.asarray(values, dtype=float)]


def _rows(values: Array) -> list[list[float | None]]:
    """(K, n) by agent."""
    return [_numbers(each) for each in np.asarray(values).T]

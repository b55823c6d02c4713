"""Policies over random starts: what they earn, what a deviator gains who knows the start, and what feedback adds.

From every drawn start the rest is a game of its own. Policies are played as they were learned: their observations keep
the units of the nominal game, with others' inventories in them. One start tells little about policies that see
inventories, since many reactions lead to the same path; over random starts every reaction shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np

from ...baselines import EquilibriumNotFound, MarkovNash
from ...baselines.kind import Gains, Kind
from ...baselines.kinds import kind_of
from ...baselines.policies import Rule
from ...baselines.profiles import Reference
from ...baselines.sampling import Mean, pair_mean
from ...baselines.search_together import Slopes, climb_together, curvature
from ...baselines.traced import traced_slopes
from ...envs import Controls, Game, Noise, Policy, State, Trajectory, draw_noise, rollout
from ...envs.arrays import Array
from ...envs.packing import agent_controls
from .metrics import RandomStartMetrics

PAIRS, _FEWEST = 64, 8
"""antithetic pairs of starts, and how many at least where a search over all of them is too much work"""
_WORK = 1e6
"""market steps of one gradient of everyone's search, above which there are fewer pairs"""
_SEED = 0
_SEARCHED, _SCORED = 8, 32
"""paths of the noise from every start, for the search and for the score; where anything is random"""
_MARKETS = 8192
"""played at once"""
_WIDTH, _BENT = 1e-3, 0.1
"""of differences, in control units: actors see and act in single precision"""
_ITERATIONS = 40
_TOLERANCE = 1e-8
"""payoff units that a step of the search has to promise"""
_LARGE = 100
"""entries of a schedule above which a search begins with the curvature's diagonal"""
_NOTHING = 1e-9
"""of a scale of inventories: what a trader starts with, in equations that know its side by its sign, in place of 0"""
_DEVIATOR = "time and everyone's initial inventories: a schedule is found for each start"


def drawn_starts(game: Game, spread: float, pairs: int, seed: int = _SEED) -> Array:
    """Initial inventories (2 P, n) as environments draw them: the second half mirrors the first around the game's,
    before both are moved to where the game can begin.

    Args:
        game: the game.
        spread: standard deviation of the normal noise, in shares.
        pairs: P.
        seed: of the draws.
    """
    half = np.random.default_rng(seed).standard_normal((pairs, len(game.start)))
    return np.asarray(game.admitted(game.start + spread * np.concatenate([half, -half])))


def random_starts(
    kind: Kind[Game],
    policies: Mapping[str, Policy],
    spread: float,
    size: float,
    reference: Reference | None,
    *,
    reacting: bool,
    price: bool = False,
) -> RandomStartMetrics:
    """Policies over random starts.

    Args:
        kind: the game on its grid.
        policies: everyone's.
        spread: standard deviation of the normal noise on the game's initial inventories, in shares.
        size: of the nominal game's equilibrium payoffs, over which NashConv is taken.
        reference: the feedback equilibrium; None where policies do not react.
        reacting: policies may react to a deviation.
        price: they look at the market price, whose martingale part is drawn then.
    """
    game = kind.game
    pairs = _pairs(kind)
    problem = _Problem(kind, policies, drawn_starts(game, spread, pairs), price)
    played = problem.play(policies, problem.score)
    payoffs = pair_mean(problem.by_start(played.payoffs))
    note, gains, joint = "", None, None
    try:
        each = problem.gains(played) if reacting or problem.random else _exact(kind, problem.starts, played)
        gains, joint = pair_mean(each), pair_mean(each.sum(axis=1))
    except EquilibriumNotFound as error:
        note = f"gains were not found: {error}"
    beside, compared = _beside(problem, reference, played)
    if not compared and reference is not None and isinstance(reference.profile, Rule):
        apart = "no start lies in the tube of the feedback equilibrium, so that payoffs are not compared with its"
        note = f"{note}; {apart}" if note else apart
    simulated = problem.random
    kinds = Gains(np.zeros(0), reacting=reacting, simulated=simulated, exact=not (reacting or simulated))
    columns = {"learned": payoffs, "exploitability": gains, "over_feedback": beside}
    agents: dict[str, Any] = {
        agent: {key: value for name, each in columns.items() for key, value in _entry(name, each, i).items()}
        for i, agent in enumerate(game.agents)
    }
    conv: Any = _entry("nash_conv", joint)
    return {
        "inventory_spread": spread,
        "pairs": pairs,
        "exploitability_against": kinds.against,
        "deviator": _DEVIATOR,
        "agents": agents,
        "nash_conv": conv["nash_conv"],
        "nash_conv_se": conv["nash_conv_se"],
        "relative_nash_conv": None if joint is None else float(joint.value) / size,
        "relative_nash_conv_se": None if joint is None else float(joint.error) / size,
        "feedback_pairs": compared,
        "note": note,
    }


def _entry(name: str, mean: Mean | None, index: int | None = None) -> Any:
    """A mean and its standard error, by name; None for what there is not."""
    if mean is None:
        return {name: None, f"{name}_se": None}
    value, error = (each if index is None else each[index] for each in mean)
    return {name: float(value), f"{name}_se": float(error)}


def _pairs(kind: Kind[Game]) -> int:
    """As many as a search takes in reasonable time."""
    entries = kind.steps * (kind.game.traders + 2 * kind.game.makers)
    paths = _SEARCHED if kind.game.random else 1
    work = 4.0 * PAIRS * paths * entries * kind.steps
    return int(np.clip(PAIRS * _WORK / work, _FEWEST, PAIRS))


def _exact(kind: Kind[Game], starts: Array, played: Trajectory) -> Array:
    """(P, n) gains from each start against the schedules that the others play from there. Raises EquilibriumNotFound
    where one was not found."""
    games = [_started(kind.game, start) for start in starts]
    profiles = [Controls(*each) for each in zip(*played.controls, strict=True)]
    found = kind.gains_together(games, profiles)
    gains = [
        kind_of(game, kind.steps).gains(profile) if known is None else known
        for game, profile, known in zip(games, profiles, found, strict=True)
    ]
    return np.array([each.gains for each in gains])


def _started(game: Game, start: Array) -> Game:
    """The game from other initial inventories."""
    traders, given = game.traders, cast(Any, game)
    own = start[:traders]
    if not game.one_sided:
        return cast(Game, replace(given, initial_inventory=tuple(own)))
    own = np.where(own == 0, _NOTHING * game.start[:traders], own)
    return cast(Game, replace(given, trader_inventory=tuple(own), maker_inventory=tuple(start[traders:])))


class _Paths(NamedTuple):
    """Noise from every start: paths beside each other, start after start."""

    each: int
    """R, from each start"""
    noise: Noise | None


class _Problem:
    """Everyone's deviations from every start.

    Args:
        kind: the game on its grid.
        policies: everyone's.
        starts: (P, n) antithetic.
        price: policies look at the market price.
    """

    def __init__(self, kind: Kind[Game], policies: Mapping[str, Policy], starts: Array, price: bool) -> None:
        self.kind, self.game, self.steps = kind, kind.game, kind.steps
        self.policies, self.starts = policies, starts
        self.random = self.game.random or price
        self.search = self._paths(_SEARCHED, 2, price=False)
        self.score = self._paths(_SCORED, 3, price=price)

    def _paths(self, count: int, seed: int, *, price: bool) -> _Paths:
        """Noise, antithetic from each start."""
        noise = draw_noise(self.game, self.steps, len(self.starts) * count, seed, price=price)
        if noise is None:
            return _Paths(1, None)
        return _Paths(count, Noise(*(None if each is None else self._by_start_first(each) for each in noise)))

    def _by_start_first(self, draws: Array) -> Array:
        """Draws (P x R, ...) whose second half mirrors the first, in another order: those of a start together, with
        their mirrors."""
        halves = draws.reshape(2, len(self.starts), -1, *draws.shape[1:])
        return np.asarray(halves.swapaxes(0, 1).reshape(draws.shape))

    def play(self, policies: Mapping[str, Policy], paths: _Paths, places: Array | None = None) -> Trajectory:
        """From all starts, or those of the places, along their noise; (places x R) paths."""
        if places is None:
            places = np.arange(len(self.starts))
        noise = paths.noise
        if noise is not None:
            rows = (places[:, None] * paths.each + np.arange(paths.each)).ravel()
            noise = Noise(*(None if each is None else each[rows] for each in noise))
        start = np.repeat(self.starts[places], paths.each, axis=0)
        return rollout(self.game, policies, self.steps, noise, inventories=start)

    def by_start(self, values: Array) -> Array:
        """Means over the paths from each start, (P, ...), of values (P x R, ...)."""
        return np.asarray(values.reshape(len(self.starts), -1, *values.shape[1:]).mean(axis=1))

    def gains(self, played: Trajectory) -> Array:
        """(P, n) mean gains from each start, where ``played`` is what happens on the paths of the score."""
        found = [self._gain(agent, i, played) for i, agent in enumerate(self.game.agents)]
        return np.stack(found, axis=-1)

    def _gain(self, agent: str, index: int, played: Trajectory) -> Array:
        """(P,): the deviator adds a schedule, found for each start, to what it plays undisturbed along the noise."""
        searched = self.play(self.policies, self.search)
        own, unit = agent_controls(self.game, searched.controls, agent), self.game.control_unit(agent)
        count, shape = self.search.each, own.shape[1:]
        flat = own.reshape(len(self.starts), count, -1)
        before = self.by_start(searched.payoffs[:, index])
        cash = self.game.payoff_unit(agent)

        def added(schedules: Array, places: Array, base: Array, paths: _Paths) -> Array:
            """Payoffs (P,) with schedules (P, S) of the places, in control units, added to ``base`` (P, R, S)."""
            tried = (base[places] + unit * schedules[:, None]).reshape(-1, *shape)

            def deviate(k: int, state: State) -> Array:
                return tried[:, k]

            after = self.play({**self.policies, agent: deviate}, paths, places).payoffs[:, index]
            return np.asarray(after.reshape(len(places), -1).mean(axis=1))

        def values(schedules: Array, places: Array) -> Array:
            rows, owners = schedules.reshape(-1, schedules.shape[-1]), np.tile(places, len(schedules))
            width = max(1, _MARKETS // count)
            parts = [slice(at, at + width) for at in range(0, len(rows), width)]
            found = [added(rows[part], owners[part], flat, self.search) for part in parts]
            return np.concatenate(found).reshape(len(schedules), len(places)) / cash

        first, limits = self._first(agent, index, searched, flat / unit)
        everywhere = np.arange(len(self.starts))
        tried = np.stack([np.zeros_like(first), first])
        better = values(tried, everywhere).argmax(axis=0)
        near = int(np.linalg.norm(self.starts - self.game.start, axis=1).argmin())
        best, reached = climb_together(
            values,
            tried[better, everywhere],
            self._curvature(values, tried[better[near], near], near),
            limits,
            slopes=self._slopes(agent, flat[:, 0]),
            width=_WIDTH,
            iterations=_ITERATIONS,
            tolerance=_TOLERANCE,
        )
        if not self.random:
            return np.asarray(cash * reached - before)
        usual = agent_controls(self.game, played.controls, agent).reshape(len(self.starts), self.score.each, -1)
        return added(best, everywhere, usual, self.score) - self.by_start(played.payoffs[:, index])

    def _slopes(self, agent: str, base: Array) -> Slopes | None:
        """Gradients by schedules that are added to ``base`` (P, S); None where there are differences alone."""
        slopes = None if self.random else traced_slopes(self.game, self.policies, agent, self.steps)
        if slopes is None:
            return None
        unit, per = self.game.control_unit(agent), self.game.control_unit(agent) / self.game.payoff_unit(agent)

        def added(schedules: Array, places: Array) -> Array:
            every = base.copy()  # compiled once, for all of them
            every[places] += unit * schedules
            found = slopes(every.reshape(len(base), self.steps, -1), self.starts)
            return np.asarray(per * found.reshape(base.shape)[places])

        return added

    def _first(self, agent: str, index: int, searched: Trajectory, own: Array) -> tuple[Array, tuple[Array, Array]]:
        """Schedules (P, S) to begin with beside none, and the limits of all, in control units: where nothing is random,
        best responses to the schedules that the others play.

        Args:
            agent: the deviator.
            index: of the agent.
            searched: what everyone plays.
            own: (P, R, S) its part of it, in control units.
        """
        game, unit = self.game, self.game.control_unit(agent)
        response = own
        if not game.random:
            profiles = [Controls(*each) for each in zip(*searched.controls, strict=True)]
            answers = [
                self._response(agent, index, start, each) for start, each in zip(self.starts, profiles, strict=True)
            ]
            response = np.stack(answers).reshape(own.shape) / unit
        wide = self.steps, own.shape[-1] // self.steps
        bounds = (agent_controls(game, bound, agent) / unit for bound in game.action_range())
        low, high = (np.broadcast_to(bound, wide).ravel() for bound in bounds)
        both = np.concatenate([own, response], axis=1)
        least = np.minimum(low, both.min(axis=1)) - own.max(axis=1)
        most = np.maximum(high, both.max(axis=1)) - own.min(axis=1)
        return (response - own).mean(axis=1), (least, most)

    def _response(self, agent: str, index: int, start: Array, profile: Controls) -> Array:
        """(K, w) the agent's best response to schedules; what it plays in them where none was found."""
        try:
            found = kind_of(_started(self.game, start), self.steps).respond(profile, index)
        except EquilibriumNotFound:
            found = profile
        return agent_controls(self.game, found, agent)

    def _curvature(self, values: Any, at: Array, place: int) -> Array:
        """(S, S) to begin with: that of the payoff from one start."""

        def here(points: Array) -> Array:
            return np.asarray(values(points[:, None], np.array([place]))[:, 0])

        if len(at) <= _LARGE:
            return curvature(here, at, _BENT)
        moves = _BENT * np.eye(len(at))
        middle, up, down = here(at[None]), here(at + moves), here(at - moves)
        bent = np.abs(up + down - 2 * middle) / _BENT**2
        return np.diag(np.maximum(bent, 1e-3 * bent.max() or 1.0))


def _beside(problem: _Problem, reference: Reference | None, played: Trajectory) -> tuple[Mean | None, int]:
    """The learned payoffs less those of the feedback equilibrium from the same starts, and the number of pairs: those
    in its tube, where it knows no more."""
    rule = None if reference is None else reference.profile
    if not isinstance(rule, Rule):
        return None, 0
    pairs = np.ones(len(problem.starts) // 2, dtype=bool)
    if isinstance(rule, MarkovNash):
        tube, n = rule.field.tube, len(problem.game.start)
        near = np.abs(problem.starts - tube.center[0, -n:]) <= tube.half[0, -n:]
        pairs = near.all(axis=1).reshape(2, -1).all(axis=0)
    if not pairs.any():
        return None, 0
    places = np.flatnonzero(np.tile(pairs, 2))
    after = problem.play(rule.feedback(), problem.score, places).payoffs
    after = after.reshape(len(places), -1, after.shape[-1]).mean(axis=1)
    return pair_mean(problem.by_start(played.payoffs)[places] - after), int(pairs.sum())

"""A best response to policies that react, by fitted backward induction: optimal control through those policies.

At sample points of a tube the deviator's controls of a step maximise its reward and its fitted value at the next node,
the others playing what their policies say there. What the result is worth is simulated: a lower bound of the gain. The
fitted value itself bounds nothing; a bound for deviations that stay inside the tube is

    W_0 + sum_k sup_tube (T W_{k+1} - W_k)^+,

``W`` being the fitted value and ``T`` the deviator's one-step operator: no policy is worth more than a function that
``T`` does not raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from ...envs import Game, Noise, Policy, Trajectory, draw_noise, rollout
from ...envs.arrays import Array
from ...envs.grid import State, agent_index, closing_rates, terminal_reward
from ...envs.packing import join_actions, split_controls
from ..errors import EquilibriumNotFound
from ..noise.field import Tube, as_state, at_node, inventory_sd, next_factors, power_of_two, sample_box
from ..noise.polynomials import Basis, Box, Expected, Polynomial, cubature, fit
from ..noise.step_system import StepSystem
from ..profiles import BestResponse, mean_controls
from ..progress import told
from ..sampling import pair_mean
from .options import DEVIATIONS, ENOUGH, REACH, FitOptions
from .stage import SOLVED, StageGames, combinations, joined

LARGEST = 5
"""state dimensions up to which values are fitted"""
_PASSES = 3
_MARGIN = 1.25
"""of the tube beyond what the deviator was seen to use of it"""
_GRID = {1: 9, 2: 5}
"""values of each own control among which Newton's method begins"""
_OTHER = 2.0
"""size of what memoryless policies are shown besides the state"""


@dataclass(frozen=True)
class FittedResponse:
    """A policy that deviates from others that may react, what it gains, and what none may gain beyond."""

    agent: str
    policy: FittedPolicy
    gain: float
    """simulated, from the game's start; a lower bound"""
    gain_se: float
    bound: float
    """on the gain of any deviation that stays inside the tube: up to the density of the points at which the one-step
    operator was looked at, and to ``gain_se``"""
    tube: Tube
    played: Trajectory
    """the paths of the deviation"""


@dataclass(frozen=True)
class FittedPolicy:
    """One agent's controls as fitted functions of the state; batched."""

    game: Game
    system: StepSystem
    agent: str
    surfaces: tuple[Polynomial, ...]
    """K+1: the agent's value and, but for the last, its controls"""

    @property
    def steps(self) -> int:
        """Number K of steps."""
        return len(self.surfaces) - 1

    def __call__(self, k: int, state: State) -> Array:
        """(..., w) controls; the game truncates them. Raises EquilibriumNotFound where they are not finite."""
        inventory = np.asarray(state.inventories, dtype=float)
        found = np.asarray(self.surfaces[k](as_state(inventory, state.factor))[..., 1:])
        if not np.isfinite(found).all():
            raise EquilibriumNotFound(f"{self.agent}'s deviation from policies that react leads nowhere at step {k}")
        return found


class _Problem(NamedTuple):
    """One agent's control problem through the others' policies."""

    system: StepSystem
    policies: Mapping[str, Policy]
    agent: str
    place: int
    """of the agent"""
    own: Array
    """places of its controls among all"""


def looks_at_more(game: Game, policies: Mapping[str, Policy], steps: int, seed: int = 0) -> str:
    """The name of an agent whose policy looks at more than time, factor and inventories, or remembers; empty if none
    does, as far as other quotes, prices, volumes and shocks at the same states show."""
    rng = np.random.default_rng(seed)
    around = rollout(game, policies, steps).inventories + np.zeros((4, 1, 1))
    spread = np.abs(around).mean() or 1.0
    states = around + 0.05 * spread * rng.standard_normal(around.shape)
    factor = None if game.factor is None else np.broadcast_to(game.factor.initial, (4, game.factor.size))
    order = rng.permutation(steps)[: min(steps, 6)]

    def shown(k: int, size: float) -> State:
        other = size * rng.standard_normal((4, 2, game.makers)) * getattr(game, "margin", 1.0)
        price = game.initial_price * (1 + 0.1 * size * rng.standard_normal(4))
        volumes = spread * size * rng.random((4, 2))
        shock = spread * size * rng.standard_normal(states[:, 0].shape)
        time = k * game.horizon / steps
        return State(time, factor, states[:, k], other, shock if size else None, price, volumes)

    for k in order:
        both = [shown(k, size) for size in (0.0, _OTHER)]
        for name in game.agents:
            try:
                first, second = (np.asarray(policies[name](int(k), state), dtype=float) for state in both)
            except ValueError:  # it follows a path, or remembers one, that it has to be shown from the start
                return name
            if np.abs(first - second).max() > 1e-6 * game.control_unit(name):
                return name
    return ""


def fitted_response(
    system: StepSystem, policies: Mapping[str, Policy], agent: str, options: FitOptions | None = None
) -> FittedResponse:
    """A best response by backward induction, to policies that are functions of time, factor and inventories.

    Args:
        system: the game's equations.
        policies: everyone's; see :func:`looks_at_more`.
        agent: the deviator.
        options: of the approximation.

    Raises:
        ValueError: the state has more than five dimensions.
        EquilibriumNotFound: the deviator's problem was not solved at most points of a step.
    """
    options, game = options or FitOptions(), system.game
    index = agent_index(game, agent)
    dimensions = len(game.start) + (0 if game.factor is None else game.factor.size)
    if dimensions > LARGEST:
        raise ValueError(f"fitted_response: expected at most {LARGEST} state dimensions, got {dimensions}")
    own = np.array([index] if index < game.traders else [index, index + game.makers])
    problem = _Problem(system, policies, agent, index, own)
    degree = options.degree_for(dimensions)
    noise = draw_noise(game, system.steps, options.paths, options.seed + 1)
    before = _play(system, policies, noise)
    tube = _around(system, [before], options.reach or REACH)
    found: FittedPolicy | None = None
    for number in range(_PASSES):
        last = number + 1 == _PASSES
        found = _backward(problem, tube, degree if last else 2, options, options.seed + number, found)
        after = _deviated(system, policies, found, noise)
        if not last:
            tube = _around(system, [before, after], options.reach or REACH)
    assert found is not None
    gain = pair_mean(after.payoffs[:, index] - before.payoffs[:, index])
    left = _value_left(problem, found, after) + _surplus(problem, found, tube, options)
    bound = float(gain.value) + max(left, 0.0)
    return FittedResponse(agent, found, float(gain.value), float(gain.error), bound, tube, after)


def _value_left(problem: _Problem, found: FittedPolicy, played: Trajectory) -> float:
    """The fitted value at the start less the payoff of playing, whose martingale part is removed."""
    payoffs = np.array(played.payoffs[:, problem.place])
    degree, system = found.surfaces[0].basis.degree, problem.system
    for k in range(found.steps):
        inventory, factor = at_node(played, k)
        expected = _ahead(system, k, factor, found.surfaces[k + 1], degree)
        mean = inventory + system.dt * played.activity.inventory_rate[:, k]
        payoffs -= _value(found, played, k + 1) - expected(mean)[:, 0]
    return float(_value(found, played, 0).mean() - payoffs.mean())


def _value(found: FittedPolicy, played: Trajectory, k: int) -> Array:
    """(B,) fitted values along paths."""
    factor = None if played.factor is None else played.factor[:, k]
    return found.surfaces[k](as_state(played.inventories[:, k], factor))[:, 0]


def _ahead(system: StepSystem, k: int, factor: Array, surface: Polynomial, degree: int) -> Expected:
    """The expectation of the next node's value at states with factors (B, d)."""
    nodes, weights = cubature(factor.shape[-1], degree + 1)
    return surface.expected(next_factors(system, k, factor, nodes), weights, inventory_sd(system)).first(1)


def _play(system: StepSystem, policies: Mapping[str, Policy], noise: Noise | None) -> Trajectory:
    """Paths from the game's start, a pair of them where nothing is random."""
    game = system.game
    start = None if game.random else np.stack([game.start, game.start])
    with np.errstate(over="ignore", invalid="ignore"):
        return rollout(game, policies, system.steps, noise, inventories=start)


def _deviated(
    system: StepSystem, policies: Mapping[str, Policy], found: FittedPolicy, noise: Noise | None
) -> Trajectory:
    """Paths with a deviation. Raises EquilibriumNotFound where it leads so far away that its polynomials overflow."""
    try:
        return _play(system, {**policies, found.agent: found}, noise)
    except ValueError as error:
        raise EquilibriumNotFound(
            f"{found.agent}'s deviation from policies that react was not found: it leads nowhere ({error})"
        ) from error


def _around(system: StepSystem, played: list[Trajectory], reach: float) -> Tube:
    """A tube that holds paths, and a part of their distance more; it grows, as states that start apart may part."""
    states = [as_state(each.inventories, each.factor) for each in played]
    middle = np.stack([each.mean(axis=0) for each in states])
    spread = np.stack([each.std(axis=0) for each in states]).max(axis=0)
    if not np.isfinite(middle).all():
        raise EquilibriumNotFound("a deviation from policies that react was not found: it leads nowhere")
    center = (middle.max(axis=0) + middle.min(axis=0)) / 2
    half = _MARGIN * (middle.max(axis=0) - middle.min(axis=0)) / 2 + DEVIATIONS * spread
    grown = reach * system.units * (1 + np.linspace(0, 2, len(center))[:, None])
    return Tube(center, half + grown)


def _others(problem: _Problem, k: int, factor: Array, inventory: Array) -> Array:
    """(B, m) everyone's controls by their policies at states."""
    system, game = problem.system, problem.system.game
    state = State(
        float(system.times[k]),
        factor if factor.shape[-1] else None,
        inventory,
        np.zeros((len(inventory), 2, game.makers)),
        None,
        np.full(len(inventory), game.initial_price),
        np.zeros((len(inventory), 2)),
    )
    actions = {name: np.asarray(policy(k, state)) for name, policy in problem.policies.items()}
    controls = game.clip(split_controls(game, join_actions(game, actions, (len(inventory),))))
    return joined(closing_rates(game, controls, inventory, system.dt, system.steps - k - 1))


def _stages(problem: _Problem, k: int, states: Array, ahead: Polynomial, degree: int) -> tuple[StageGames, Array]:
    """The deviator's problems of a step at states (B, D), and everyone's controls there."""
    system = problem.system
    d = states.shape[1] - len(system.game.start)
    factor, inventory = states[:, :d], states[:, d:]
    expected = _ahead(system, k, factor, ahead, degree)
    games = StageGames(system, k, factor, inventory, expected, np.array([problem.place]))
    return games, _others(problem, k, factor, inventory)


def _best(
    problem: _Problem, games: StageGames, controls: Array, known: Sequence[Array], *, searched: bool, box: Box | None
) -> tuple[Array, Array]:
    """The deviator's best controls that were found, (B, m) with the others', and (B,) True where they are a maximum.

    Newton's method begins where the payoff is the largest: at the policy's own controls, at known ones (B, w), or, if
    they are to be searched, at those of a grid over the game's action range which lead into the next node's box, where
    the fit holds.
    """
    own, everyone = problem.own, np.arange(len(controls))
    low, high = (joined(each)[own] for each in problem.system.game.action_range())
    grid = combinations(low, high, _GRID[len(own)])
    tried = [controls[:, own], *known, *(grid if searched else ())]
    best, worth = controls, np.full(len(controls), -np.inf)
    for each in tried:
        trial = controls.copy()
        trial[:, own] = each  # a grid's are the same at all states
        trial = games.begin(trial)
        value = games.values(everyone, trial)[:, 0]
        if box is not None and each.ndim == 1:
            n = games.inventory.shape[-1]
            away = np.abs(games.leads_to(everyone, trial) - box.center[-n:])
            value = np.where((away <= box.half[-n:]).all(axis=-1), value, -np.inf)
        better = value > worth
        best, worth = np.where(better[:, None], trial, best), np.where(better, value, worth)
    found, left = games.solve(best)
    reached = games.values(everyone, found)[:, 0]
    solved = (left <= SOLVED) & (reached >= worth - 1e-12 * np.abs(worth))
    return np.where(solved[:, None], found, best), solved


def _next_box(system: StepSystem, tube: Tube, k: int) -> Box | None:
    """Where the fit of the next node's values holds; None at the end, where they are exact."""
    return tube.box(k + 1) if k + 1 < system.steps else None


def _backward(
    problem: _Problem, tube: Tube, degree: int, options: FitOptions, seed: int, rough: FittedPolicy | None
) -> FittedPolicy:
    """One pass; without a rough policy to start from, everything is searched."""
    system, game, index = problem.system, problem.system.game, problem.place
    size = tube.center.shape[1]
    basis = Basis(size, degree, curved=True)
    points = options.points_for(basis)
    draw, weights = qmc.Sobol(size, seed=seed), np.ones(points)
    states = sample_box(tube.box(system.steps), draw.random(points))
    d = size - len(game.start)
    last = terminal_reward(system.coefficients(system.steps - 1, states[:, :d] if d else None), states[:, d:])
    # exactly, so that it holds far away as well
    surfaces = [fit(replace(basis, degree=2), tube.box(system.steps), states, last[:, index : index + 1], weights)]
    for k in told("best responses to policies", range(system.steps)[::-1]):
        states = sample_box(tube.box(k), draw.random(points))
        games, controls = _stages(problem, k, states, surfaces[-1], degree)
        known = [surfaces[-1](states)[:, 1:]] if len(surfaces) > 1 else []
        if rough is not None:
            known.append(rough.surfaces[k](states)[:, 1:])
        best, solved = _best(problem, games, controls, known, searched=rough is None, box=_next_box(system, tube, k))
        if solved.mean() < ENOUGH:
            raise EquilibriumNotFound(
                f"{problem.agent}'s best response to policies that react was not found: at step {k} its problem was "
                f"solved at {int(solved.sum())} of {len(solved)} states"
            )
        members = np.flatnonzero(solved)
        values = np.concatenate([games.values(members, best[members]), best[members][:, problem.own]], axis=-1)
        surfaces.append(fit(basis, tube.box(k), states[members], values, weights[members]))
    return FittedPolicy(game, system, problem.agent, tuple(surfaces[::-1]))


def _surplus(problem: _Problem, found: FittedPolicy, tube: Tube, options: FitOptions) -> float:
    """``sum_k sup (T W_{k+1} - W_k)^+`` over fresh points of the tube."""
    draw = qmc.Sobol(tube.center.shape[1], seed=options.seed + 1000)
    points = power_of_two(len(found.surfaces[0].basis.index))
    total, degree = 0.0, found.surfaces[0].basis.degree
    for k in range(found.steps):
        states = sample_box(tube.box(k), draw.random(points))
        games, controls = _stages(problem, k, states, found.surfaces[k + 1], degree)
        best, _ = _best(
            problem,
            games,
            controls,
            [found.surfaces[k](states)[:, 1:]],
            searched=True,
            box=_next_box(found.system, tube, k),
        )
        raised = games.values(np.arange(points), best)[:, 0] - found.surfaces[k](states)[:, 0]
        total += max(0.0, float(raised.max()))
    return total


def better_of(known: BestResponse, found: FittedResponse) -> BestResponse:
    """The better of a best response that was searched and a fitted one, with the latter's bound."""
    bound = max(found.bound, known.gain)  # the search may leave the tube
    if known.gain >= found.gain:
        return known._replace(bound=bound)
    index = agent_index(found.policy.game, found.agent)
    payoff = float(found.played.payoffs[:, index].mean())
    return BestResponse(mean_controls(found.played), payoff, found.gain, found.gain_se, bound)

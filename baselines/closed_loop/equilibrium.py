"""Feedback (Markov-perfect) Nash equilibria of the grid games: everyone reacts to everyone's inventories."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...envs import Controls, Game, Trajectory, draw_noise, rollout
from ...envs.arrays import Array
from ...envs.grid import move
from ..equilibrium import Status
from ..errors import EquilibriumNotFound
from ..noise.field import Tube, as_state, at_node
from ..noise.polynomials import Basis
from ..noise.scheme import NoiselessSolution
from ..noise.step_system import StepSystem
from ..policies import Rule
from ..sampling import Mean, pair_mean
from .check import better_reaction
from .field import ReactionField, backward
from .options import DEVIATIONS, REACH, FitOptions

_RANDOM_REACH = 0.15
"""of a random game: in a tube that is wide in the factor and narrow in inventories, what a fit leaves of the one would
bend the other"""
_PASSES = 3
_MARGIN = 1.05
"""a tube is wider than what was seen of it by this"""
_GROWTH = 4.0
"""largest ratio of a tube's width to that of the one before"""
_TRIED = 256
"""points from which it is seen where a step leads to"""
_SHRINKS = 5
"""times that a tube is halved where it meets ties"""
_NARROWER = 0.7
"""ratio of the tubes whose payoffs are compared"""
_SAFETY = 2.0
_FALLS = 0.02
"""least ratio of an error to that of one degree less which is believed"""
_ROUGH_PATHS = 512
_LARGEST, _MOST = 16, 1500
"""state dimensions, and coefficients of a polynomial, up to which values are fitted"""
ACCEPTED = 0.02
"""estimated error of payoffs, in payoff units, above which an equilibrium counts as not found"""


@dataclass(frozen=True, kw_only=True)
class MarkovOptions(FitOptions):
    """Options of :func:`~makertaker.baselines.markov_nash`.

    The tube grows from ``reach`` as far as the dynamics and four standard deviations of the noise lead. By default it
    is 0.02, less where makers would tie within it, and 0.15 where the game is random.

    Args:
        degree: of the polynomials; see :class:`.FitOptions`, as of the next four.
        points: stage games of every step.
        reach: half width of the tube at the start.
        paths: simulated where the game is random; even.
        seed: of the sample points and of the simulation.
        refine: True to solve four times more, with lower degrees, other sample points and a narrower tube, for error
            estimates.

    Raises:
        ValueError: an option is out of its range.

    Examples:
        >>> from makertaker.baselines import MarkovOptions, markov_nash
        >>> nash = markov_nash("execution-2", 5, options=MarkovOptions(refine=False))  # without error estimates
        >>> nash.errors is None
        True
    """

    refine: bool = True


class MarkovErrors(NamedTuple):
    """Estimated errors of everyone's payoffs, (n,) each, in currency: what refinements change.

    Examples:
        >>> from makertaker.baselines import markov_nash
        >>> errors = markov_nash("execution-2", 5).errors
        >>> bool(errors.degree.max() < 1e-8)  # quadratic values are fitted exactly
        True
    """

    degree: Array
    """from polynomials of one degree, and of two degrees less"""
    points: Array
    """with other sample points"""
    tube: Array
    """in a narrower tube"""
    played: Array
    """difference of the fitted values at the start from the payoffs of playing"""

    @property
    def total(self) -> Array:
        """(n,) the largest of them."""
        return np.max(self, axis=0)


@dataclass(frozen=True)
class MarkovNash(Rule):
    """A feedback (Markov-perfect) Nash equilibrium of the grid game, within a tube around its path.

    Everyone's controls are functions of time, factor and all inventories, and from any state of the tube nobody gains
    by another such function that stays in it, up to ``errors``. ``feedback()`` gives the policies; they are batched.

    Examples:
        >>> from makertaker.baselines import markov_nash, solve
        >>> nash = markov_nash("execution-2", 10)
        >>> sorted(nash.feedback())
        ['trader_0', 'trader_1']
        >>> bool((nash.payoffs < solve("execution-2", 10).payoffs).all())  # who know that they are answered earn less
        True
    """

    game: Game
    field: ReactionField
    inventories: Array
    """(K+1, n) without deviations; means where the game is random"""
    controls: Controls
    """(K, N), (K, M), (K, M) in the same way"""
    payoffs: Array
    """(n,) expected"""
    errors: MarkovErrors | None
    """None without refinement"""
    status: Status
    message: str
    paths: Trajectory
    """simulated: antithetic pairs where the game is random"""
    payoffs_se: Array | None = None
    """(n,) standard errors of the payoffs; None where nothing is random"""

    @property
    def converged(self) -> bool:
        """True if the status is :attr:`Status.CONVERGED`."""
        return self.status is Status.CONVERGED

    @property
    def unsolved(self) -> float:
        """Share of the stage games that were not solved: 0 in an equilibrium."""
        return self.field.unsolved.points / self.field.points

    @property
    def steps(self) -> int:
        """Number K of steps."""
        return self.field.steps

    @property
    def profile(self) -> Rule:
        """The equilibrium as a profile to evaluate."""
        return self

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Everyone's controls in step ``k`` at inventories (..., n) and a factor (..., d)."""
        return self.field.controls_at(k, inventory, factor)

    def values(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Everyone's expected payoffs from node ``k`` on, (..., n)."""
        return self.field.values(k, inventory, factor)

    def value_slope(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """``d V_i / d Q_j`` at node ``k``, (..., n, n); what an open-loop player leaves out is off the diagonal."""
        return self.field.value_slope(k, inventory, factor)

    def reactions(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Derivatives of all controls side by side, ``(rates, asks, bids)``, in inventories, (..., m, n)."""
        return self.field.reactions(k, inventory, factor)


def solve_markov(
    system: StepSystem, noiseless: NoiselessSolution, options: MarkovOptions | None = None, *, throw: bool = True
) -> MarkovNash:
    """See :func:`makertaker.baselines.markov_nash`.

    Args:
        system: the game's equations.
        noiseless: the open-loop equilibrium without noise, around which a first tube is put.
        options: of the approximation.
        throw: True to raise where none is found.

    Raises:
        ValueError: the state has too many dimensions.
        EquilibriumNotFound: none was found.
    """
    options = options or MarkovOptions()
    center, spread = _path(system, noiseless, options)
    dimensions = center.shape[1]
    degree = options.degree or system.value_degree or options.degree_for(dimensions)
    size = len(Basis(dimensions, degree).index) if dimensions <= _LARGEST else np.inf
    if size > _MOST:
        raise ValueError(
            f"markov_nash: a state of {dimensions} inventories and factors is too large for polynomials of degree "
            f"{degree}; execution games that are linear in their factor have feedback_nash"
        )
    usual = _RANDOM_REACH if system.game.random else REACH
    reach = usual if options.reach is None else options.reach
    for _ in range(_SHRINKS if options.reach is None and not system.game.random else 1):
        rough, tube = _tube(system, noiseless, center, spread, reach, options)
        found = _run(system, tube, degree, options, options.seed, rough)
        if not found.unsolved.ties:
            break
        reach /= 2  # ties may lie at the tube's edge alone
    return _result(found, degree, options, throw)


def _run(
    system: StepSystem, tube: Tube, degree: int, options: MarkovOptions, seed: int, guess: ReactionField | Controls
) -> ReactionField:
    basis = Basis(tube.center.shape[1], degree, curved=True)
    return backward(system, tube, basis, options.points_for(basis), seed, guess)


def _path(system: StepSystem, noiseless: NoiselessSolution, options: MarkovOptions) -> tuple[Array, Array]:
    """The state's mean path without noise in the inventories, (K+1, D), and how far noise alone spreads it."""
    game, times = system.game, system.times
    center = noiseless.inventories
    spread = np.broadcast_to(game.inventory_noise * np.sqrt(times)[:, None], center.shape)
    if game.factor is None:
        return center, np.asarray(spread)
    noise = draw_noise(game, system.steps, _ROUGH_PATHS, options.seed)
    factors = np.atleast_3d(game.factor.path(times, None if noise is None else noise.factor))
    factors = factors.reshape(-1, *factors.shape[-2:])
    return (
        np.concatenate([factors.mean(axis=0), center], axis=-1),
        np.concatenate([factors.std(axis=0), spread], axis=-1),
    )


def _first_controls(system: StepSystem, noiseless: NoiselessSolution, center: Array) -> Controls:
    """The open-loop controls along a path, (K, N), (K, M), (K, M)."""
    d = center.shape[1] - len(system.game.start)
    found = []
    for k, adjoint in enumerate(noiseless.adjoints):
        c = system.coefficients(k, center[k : k + 1, :d] if d else None)
        found.append(system.everyone(c).controls(adjoint[None], noiseless.inventories[k : k + 1]))
    return Controls(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _tube(
    system: StepSystem, noiseless: NoiselessSolution, center: Array, spread: Array, reach: float, options: MarkovOptions
) -> tuple[ReactionField, Tube]:
    """A rough field, and a tube around its paths that it does not leave.

    From a box at the start the tube grows as the rough field leads it, and by the noise.
    """
    least = reach * system.units
    tube = Tube(center, np.maximum(least, DEVIATIONS * spread))
    guess: ReactionField | Controls = _first_controls(system, noiseless, center)
    for number in range(_PASSES):
        rough = _run(system, tube, 2, replace(options, points=None), options.seed + number, guess)
        tube, guess = _grown(rough, least, options.seed + number, _GROWTH * tube.half), rough
    return rough, tube


def _grown(rough: ReactionField, least: Array, seed: int, limit: Array) -> Tube:
    """The tube that a rough field leads to from a box around the start."""
    system, game = rough.system, rough.game
    noise = draw_noise(game, system.steps, _ROUGH_PATHS, seed)
    with np.errstate(over="ignore", invalid="ignore"):
        paths = rollout(game, rough.feedback(), system.steps, noise, inventories=game.start[None])
        states = as_state(paths.inventories, paths.factor)
        center = states.mean(axis=0)
        half = np.maximum(least, DEVIATIONS * states.std(axis=0))
        if not game.inventory_noise:  # the noise's own spread is wide enough otherwise
            _widen(rough, center, half, seed)
    if not (np.isfinite(center).all() and np.isfinite(half).all()):
        raise EquilibriumNotFound(
            f"no feedback equilibrium was found: a rough one leads nowhere; {system.no_stage_game}"
        )
    return Tube(center, np.minimum(half, np.maximum(limit, least)))


def _widen(rough: ReactionField, center: Array, half: Array, seed: int) -> None:
    """Make every box of a tube (K+1, D) hold where the corners of the one before lead."""
    system, game = rough.system, rough.game
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_TRIED, center.shape[1]))
    d = center.shape[1] - len(game.start)
    for k in range(system.steps):
        states = center[k] + half[k] * signs
        factor, inventory = (states[:, :d] if d else None), states[:, d:]
        controls = rough.controls_at(k, inventory, factor)
        rate = game.activity(system.coefficients(k, factor), controls).inventory_rate
        away = np.abs(move(inventory, rate, system.dt) - center[k + 1, d:]).max(axis=0)
        half[k + 1, d:] = np.maximum(half[k + 1, d:], _MARGIN * away)


def _result(found: ReactionField, degree: int, options: MarkovOptions, throw: bool) -> MarkovNash:
    game, system = found.game, found.system
    noise = draw_noise(game, system.steps, options.paths, options.seed + 1)
    one = np.stack([game.start, game.start])  # a pair of paths, as there is with noise
    with np.errstate(over="ignore", invalid="ignore"):
        paths = rollout(game, found.feedback(), system.steps, noise, inventories=None if game.random else one)
    if not np.isfinite(paths.payoffs).all():
        raise EquilibriumNotFound(f"no feedback equilibrium was found: it leads nowhere; {system.no_stage_game}")
    payoffs, spread = _payoffs(found, paths)
    errors = _errors(found, degree, options, paths, payoffs) if options.refine else None
    status, message = _status(found, errors, paths)
    if status is not Status.CONVERGED and throw:
        raise EquilibriumNotFound(message)
    return MarkovNash(
        field=found,
        game=game,
        inventories=paths.inventories.mean(axis=0),
        controls=Controls(*(each.mean(axis=0) for each in paths.controls)),
        payoffs=payoffs,
        errors=errors,
        status=status,
        message=message,
        paths=paths,
        payoffs_se=spread if game.random else None,
    )


def _errors(
    found: ReactionField, degree: int, options: MarkovOptions, paths: Trajectory, payoffs: Array
) -> MarkovErrors:
    """What refinements change of the values at the start.

    The error falls with the degree about as it fell from the last one to this: of smooth values faster than the last
    change says, of values with kinks hardly.
    """
    system = found.system
    start, factor = at_node(paths, 0)
    seen = factor if factor.shape[-1] else None

    def values(tube: Tube, degree: int, seed: int) -> Array:
        other = _run(system, tube, degree, options, seed, found)
        return other.values(0, start, seen)[0]

    here, lower, lowest = (
        found.values(0, start, seen)[0],
        *(values(found.tube, max(2, degree - less), options.seed) for less in (1, 2)),
    )
    last, before = np.abs(here - lower), np.abs(lower - lowest)
    falls = min(max(_largest(system, last) / (_largest(system, before) or np.inf), _FALLS), 1.0)
    return MarkovErrors(
        _SAFETY * falls * last,
        _SAFETY * np.abs(here - values(found.tube, degree, options.seed + 1)),
        np.abs(here - values(replace(found.tube, half=_NARROWER * found.tube.half), degree, options.seed)),
        np.abs(here - payoffs),
    )


def _largest(system: StepSystem, payoffs: Array) -> float:
    """The largest of payoffs (n,), each in its unit."""
    units = np.array([system.game.payoff_unit(agent) for agent in system.game.agents])
    return float((np.abs(payoffs) / units).max())


def _payoffs(found: ReactionField, paths: Trajectory) -> Mean:
    """Mean payoffs (n,) along simulated paths, their values' martingale part removed, and standard errors."""
    total = np.array(paths.payoffs)
    for k in range(found.steps):
        ahead = found.ahead(k, *at_node(paths, k), paths.activity.inventory_rate[:, k])
        inventory, factor = at_node(paths, k + 1)
        total -= found.values(k + 1, inventory, factor if factor.shape[-1] else None) - ahead
    return pair_mean(total)


def _status(found: ReactionField, errors: MarkovErrors | None, paths: Trajectory) -> tuple[Status, str]:
    """The outcome, in words as well."""
    game, problems = found.game, found.unsolved
    if problems.points:
        return Status.NOT_CONVERGED, (
            f"no feedback equilibrium was found: {problems.points} of {found.points} stage games were not solved; "
            f"{found.system.no_stage_game}"
        )
    if problems.ties and not game.random:
        return Status.INACCURATE, (
            f"no feedback equilibrium was found: in {problems.ties} of {found.steps} steps makers tie within the tube, "
            "where payoffs have kinks. What helps: makers who start further apart, inventory noise, which smooths what "
            "is expected, or no traders"
        )
    if problems.flat or (better := better_reaction(found, paths)):
        why = f"at {problems.flat} of {found.points} states a payoff is not concave" if problems.flat else better
        helps = "What helps: more steps, or smaller penalties"
        return Status.NO_MAXIMUM, f"no feedback equilibrium was found: {why}. {helps}"
    if errors is None:
        return Status.CONVERGED, "feedback equilibrium; errors were not estimated (refine=False)"
    worst = _largest(found.system, errors.total)
    size = f"refinements change payoffs by up to {errors.total.max():.1g} ({worst:.1g} payoff units)"
    if not worst <= ACCEPTED:
        return Status.INACCURATE, (
            f"the feedback equilibrium is not accurate: {size}; more points or a higher degree (MarkovOptions) "
            "may help, or more noise where makers tie"
        )
    return Status.CONVERGED, f"feedback equilibrium within a tube around its path; {size}"

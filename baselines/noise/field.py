"""The decoupling field of a game with noise: ``p_k = u_k(L, Q)``, backward in time (Section 5, (39)-(41)).

The system is Markovian, (45): the adjoints at a node are a function of the factor and of everyone's inventory. From
``u_K = -2 A Q`` one goes back step by step: at sample points of a tube around the mean path the equations of a step
(:mod:`~makertaker.baselines.noise.step_system`) are solved by Newton's method at every point, and the solutions are
fitted. The tube is unknown at first: rough fields are computed on a wide one, simulated, and the tube is put around
the paths.

Values, the payoffs still to come, are fitted beside the adjoints. They make standard errors of payoffs small: the
payoff of a path less the martingale part of the value along it has hardly any variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from ...envs.arrays import Array, is_number
from ...envs.fixed_point import largest
from ...envs.game import Controls, Game
from ...envs.grid import Trajectory, step, terminal_reward
from ...envs.parameters import check_count
from ..errors import EquilibriumNotFound
from ..policies import Rule
from ..progress import told
from .polynomials import Box, cubature
from .step_system import AgentsInStep, StepSystem, held_gain

_ITERATIONS = 30
_TOLERANCE = 1e-10
_SHORTEST = 2.0**-12
_DEVIATIONS = 4.0
REACH = 0.24
"""least half width of what is fitted, in characteristic sizes of the state"""
_NEAR = 3.0
"""weight of the residuals at points in the middle of the tube, which the state visits most"""


@dataclass(frozen=True)
class FieldOptions:
    """Options of the decoupling field's approximation.

    Args:
        degree: of the polynomials; by default 6 up to 3 state dimensions, 5 for 4, 4 for 5, 3 above.
        points: sample points of every step, rounded up to a power of two; by default six or more for each coefficient.
        passes: number of rough fields that are simulated to find the tube.
        paths: simulated, for means, payoffs and errors; even.
        seed: of the sample points and of the simulation.
        reach: the field is fitted at least as far from the mean path, as a part of each coordinate's characteristic
            size: of an agent's shares (its inventory, or its part of all volume), of the factor's scale.
        regressor: ``"polynomial"``; ``"neural"``, a small network, which needs PyTorch and is meant for more than some
            six state dimensions; None: polynomials up to eight.
        refine: True to solve twice more, with lower degree and other sample points, for error estimates.

    Raises:
        ValueError: an option is out of its range.

    Examples:
        >>> from makertaker.baselines import FieldOptions, solve
        >>> quick = FieldOptions(degree=2, passes=1, paths=512, refine=False)  # the default is finer
        >>> nash = solve("approximation", 5, field=quick)
        >>> nash.payoffs_se.shape  # standard errors of simulated payoffs
        (3,)
    """

    degree: int | None = None
    points: int | None = None
    passes: int = 2
    paths: int = 4096
    seed: int = 0
    reach: float = REACH
    regressor: Literal["polynomial", "neural"] | None = None
    refine: bool = True

    def __post_init__(self) -> None:
        for name, least in (("degree", 1), ("points", 2), ("passes", 0), ("paths", 2), ("seed", 0)):
            value = getattr(self, name)
            if value is not None or name not in ("degree", "points"):
                check_count(name, value, least=least)
        if self.paths % 2:
            raise ValueError(f"paths: expected an even number, got {self.paths}")
        if not is_number(self.reach) or not 0 < self.reach < np.inf:
            raise ValueError(f"reach: expected a positive finite number, got {self.reach!r}")
        if self.regressor not in (None, "polynomial", "neural"):
            raise ValueError(f"regressor: expected 'polynomial', 'neural' or None, got {self.regressor!r}")


class Expectation(Protocol):
    """The expectation over the noise of a step, at B points, as a function of the mean inventories (B, n)."""

    def __call__(self, mean: Array) -> Array:
        """(B, m)"""

    def slope(self, mean: Array) -> Array:
        """(B, m, n) derivatives in the mean inventories."""

    def at(self, members: Array) -> Expectation:
        """The same for some of the points."""


class Surface(Protocol):
    """A fitted function of the state at one node; values are adjoints, then payoffs to come, then step averages."""

    def __call__(self, states: Array) -> Array:
        """(..., m) at states (..., D)."""

    def slope(self, states: Array) -> Array:
        """(..., m, D)"""

    def expected(self, factors: Array, weights: Array, noise: Array) -> Any:
        """Its expectation over the noise of the step before; see :meth:`Polynomial.expected`."""


Regressor = Callable[[Box, Array, Array, Array], Surface]
"""(box, states (B, D), values (B, m), weights (B,)) -> a surface; called from the last node to the first"""


@dataclass(frozen=True)
class Tube:
    """The region in which a field is fitted: a box at every node."""

    center: Array
    """(K+1, D)"""
    half: Array
    """(K+1, D)"""

    def box(self, k: int) -> Box:
        """The box at a node."""
        return Box(self.center[k], self.half[k])

    def holds(self, states: Array) -> Array:
        """(...,) True for paths (..., K+1, D) that stay inside."""
        return np.asarray((np.abs(states - self.center) <= self.half).all(axis=(-2, -1)))


@dataclass(frozen=True)
class Field(Rule):
    """The decoupling field of a game on a grid, and the controls that follow from it."""

    game: Game
    system: StepSystem
    tube: Tube
    surfaces: tuple[Surface, ...]
    """K+1 functions of the state: ``u_k``, payoffs to come, and, but for the last, step-averaged adjoints"""
    residual: float
    """largest residual of the equations at the sample points, in parts of the adjoints and of their characteristic
    size together"""
    unsolved: int
    """sample points, of all steps, at which they were not solved"""
    points: int
    """sample points of all steps"""
    cubature: tuple[Array, Array]
    """nodes (J, d) and weights (J,) of the expectation over the factor's noise"""

    @property
    def steps(self) -> int:
        """Number K of steps."""
        return self.system.steps

    def adjoint(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """``u_k``, (..., n)."""
        return self.surfaces[k](as_state(inventory, factor))[..., : len(self.game.start)]

    def values(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Expected payoffs from node ``k`` on, (..., n)."""
        n = len(self.game.start)
        return self.surfaces[k](as_state(inventory, factor))[..., n : 2 * n]

    def slope(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """``d p_i / d q_j``, (..., n, n)."""
        n = len(self.game.start)
        return self.surfaces[k].slope(as_state(inventory, factor))[..., :n, -n:]

    def average(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Step-averaged adjoints, (..., n), the ones that give controls."""
        return self.surfaces[k](as_state(inventory, factor))[..., 2 * len(self.game.start) :]

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Everyone's controls in step ``k`` at inventories (..., n) and a factor (..., d).

        Raises:
            EquilibriumNotFound: a feedback map has no answer to the field's adjoints.
        """
        inventory = np.asarray(inventory, dtype=float)
        everyone = self.system.everyone(self.system.coefficients(k, None if factor is None else np.asarray(factor)))
        controls = everyone.controls(self.average(k, inventory, factor), inventory)
        if not all(np.isfinite(each).all() for each in controls):
            raise EquilibriumNotFound(f"the decoupling field was not found: at step {k} it leads to no finite controls")
        return controls

    def ahead(self, k: int, inventory: Array, factor: Array, rate: Array) -> Array:
        """(B, m) expectation in step ``k`` of the next node's surface, at states (B, n), (B, d) and rates (B, n)."""
        nodes, weights = self.cubature
        moved = next_factors(self.system, k, factor, nodes)
        expected = self.surfaces[k + 1].expected(moved, weights, inventory_sd(self.system))
        return np.asarray(expected(inventory + self.system.dt * rate))


def as_state(inventory: Array, factor: Array | None) -> Array:
    """(..., D) the state of inventories (..., n) and a factor (..., d)."""
    inventory = np.asarray(inventory, dtype=float)
    if factor is None:
        return inventory
    factor = np.asarray(factor, dtype=float)
    batch = np.broadcast_shapes(inventory.shape[:-1], factor.shape[:-1])
    parts = (factor, inventory)
    return np.concatenate([np.broadcast_to(each, (*batch, each.shape[-1])) for each in parts], axis=-1)


def at_node(paths: Trajectory, k: int) -> tuple[Array, Array]:
    """Inventories (B, n) and factor (B, d) at a node; d = 0 in a game without."""
    inventory = paths.inventories[:, k]
    return inventory, inventory[:, :0] if paths.factor is None else paths.factor[:, k]


def inventory_sd(system: StepSystem) -> Array:
    """(n,) standard deviation of the inventories' noise in a step."""
    return np.full(len(system.game.start), system.game.inventory_noise * np.sqrt(system.dt))


def next_factors(system: StepSystem, k: int, factor: Array, nodes: Array) -> Array:
    """(B, J, d) values of the factor after step ``k`` at the nodes (J, d) of a cubature, from values (B, d)."""
    known = system.game.factor
    if known is None:
        return np.zeros((len(factor), len(nodes), 0))
    moved = [known.move(system.times[k], factor, system.dt, np.broadcast_to(z, factor.shape)) for z in nodes]
    return np.stack(moved, axis=1)


def power_of_two(count: int) -> int:
    """The next power of two, as Sobol's points require."""
    return int(2 ** np.ceil(np.log2(count)))


def sample_box(box: Box, unit: Array) -> Array:
    """(B, D) points of a box from points of the unit cube: in turn from all of the box, denser towards its faces, as
    polynomials need it, and from the middle of it, as densely as the state visits it if the box reaches four standard
    deviations."""
    even, near = np.sin(np.pi * (unit[::2] - 0.5)), np.clip(ndtri(unit[1::2]) / _DEVIATIONS, -1, 1)
    points = np.empty_like(unit)
    points[::2], points[1::2] = even, near
    return np.asarray(box.center + box.half * points)


def solve_points(
    agents: AgentsInStep, expected: Expectation, inventory: Array, running: Array, dt: float, guess: Array, price: float
) -> tuple[Array, Array, Array]:
    """The equations of a step at every point, by Newton's method with a line search of its own for each point.

    Args:
        agents: the first-order conditions.
        expected: of the next node's adjoints.
        inventory: (B, m).
        running: (m,) ``phi``.
        dt: length of the step.
        guess: (B, m) adjoints to start from.
        price: size of adjoints that matter, :attr:`.StepSystem.price`.

    Returns:
        ``y`` (B, m), rates (B, m), residual (B,) in parts of ``price`` and the point's adjoints together.
    """
    count, m = inventory.shape
    adjoint = np.array(guess)

    def residual(members: Array, adjoint: Array) -> tuple[Array, Array, Array]:
        held = inventory[members]
        rate = agents.rates(members, adjoint, held)
        value = adjoint - expected.at(members)(held + dt * rate) + 2 * running * (dt * held / 2 + dt**2 / 3 * rate)
        worst = largest(value)
        return value, rate, np.where(np.isfinite(worst), worst, np.inf)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        defect, speed, size = residual(np.arange(count), adjoint)
        for _ in range(_ITERATIONS):
            scale = price + largest(adjoint)
            members = np.flatnonzero((size > _TOLERANCE * scale) & np.isfinite(size))
            if not members.size:
                break
            move = agents.jacobian(members, adjoint[members])
            slope = expected.at(members).slope(inventory[members] + dt * speed[members])
            matrix = np.eye(m) - dt * slope @ move + (2 / 3 * dt**2 * running)[:, None] * move
            usable = np.isfinite(matrix).all(axis=(-2, -1))
            members, matrix = members[usable], matrix[usable]
            try:
                direction = -np.linalg.solve(matrix, defect[members][..., None])[..., 0]
            except np.linalg.LinAlgError:
                break
            length, improved = 1.0, False
            while members.size and length > _SHORTEST:
                trial = adjoint[members] + length * direction
                value, rate, reached = residual(members, trial)
                better = reached < (1 - 1e-4 * length) * size[members]
                done = members[better]
                adjoint[done], defect[done], speed[done], size[done] = (
                    each[better] for each in (trial, value, rate, reached)
                )
                improved |= bool(better.any())
                members, direction = members[~better], direction[~better]
                length /= 2
            if not improved:
                break
    return adjoint, speed, size / (price + largest(adjoint))


def fit_field(
    system: StepSystem,
    tube: Tube,
    regress: Regressor,
    points: int,
    cubature_degree: int,
    seed: int,
    guess: Callable[[int, Array], Array],
) -> Field:
    """One backward pass.

    Args:
        system: the equations.
        tube: the region in which the field is fitted.
        regress: turns values at points into a function.
        points: sample points of a step.
        cubature_degree: of the expectation over the factor.
        seed: of the sample points.
        guess: (k, states (B, D)) -> adjoints (B, n) to start Newton's method from.

    Raises:
        EquilibriumNotFound: at a step the equations were solved at less than half of the points.
    """
    game, dt = system.game, system.dt
    n = len(game.start)
    d = tube.center.shape[1] - n
    nodes, weights = cubature(d, cubature_degree)
    noise = inventory_sd(system)
    draw = qmc.Sobol(n + d, seed=seed)

    def sample(k: int) -> tuple[Array, Array, Array]:
        states = sample_box(tube.box(k), draw.random(points))
        return states, states[:, :d], states[:, d:]

    sizes = np.where(np.arange(points) % 2, _NEAR, 1.0)

    states, factor, inventory = sample(system.steps)
    end = system.coefficients(system.steps - 1, factor)
    last = np.concatenate([-2 * system.terminal * inventory, terminal_reward(end, inventory)], axis=-1)
    surface = regress(tube.box(system.steps), states, last, sizes)
    surfaces, worst, unsolved = [surface], 0.0, 0
    for k in told("decoupling field", range(system.steps)[::-1]):
        states, factor, inventory = sample(k)
        c = system.coefficients(k, factor)
        everyone, running = system.everyone(c), system.running(k)
        expected = surface.expected(next_factors(system, k, factor, nodes), weights, noise)
        known = guess(k, states)
        adjoint, rate, size = solve_points(everyone, expected.first(n), inventory, running, dt, known, system.price)
        solved = size <= 1e3 * _TOLERANCE
        if solved.mean() < 0.5:
            raise EquilibriumNotFound(
                f"the decoupling field was not found: at step {k} the equations were solved at {int(solved.sum())} of "
                f"{len(solved)} points of the tube. Try FieldOptions(regressor='neural'), more steps, a shorter "
                "horizon, smaller penalties or less noise"
            )
        worst, unsolved = max(worst, float(size[solved].max())), unsolved + int((~solved).sum())
        ahead = expected(inventory + dt * rate)
        node = ahead[:, :n] + held_gain(running, dt, inventory, rate, everyone.drift(rate))
        played = step(game, c, dt, inventory, everyone.controls(adjoint, inventory))
        values = np.concatenate([node, ahead[:, n : 2 * n] + played.reward, adjoint], axis=-1)
        surface = regress(tube.box(k), states[solved], values[solved], sizes[solved])
        surfaces.append(surface)
    return Field(game, system, tube, tuple(surfaces[::-1]), worst, unsolved, points * system.steps, (nodes, weights))

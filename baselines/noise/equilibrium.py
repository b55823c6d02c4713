"""Nash equilibria of games with noise: the decoupling field, simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionGame
from ...envs.game import Controls, Game
from ...envs.grid import Policy, Trajectory, rollout
from ...envs.maker_taker_game import MakerTakerGame
from ...envs.noise import draw_noise
from ..equilibrium import Equilibrium, EquilibriumNotFound
from ..execution.equilibrium import still_rates
from ..maker_taker.equilibrium import solve_maker_taker
from .field import Field, FieldOptions, Regressor, Tube, fit_field
from .polynomials import Basis, fit
from .step_system import MarkovSystem, held_gain, markov_system

_DEVIATIONS = 4.0
_GROWTH = 3.0
"""how much wider a tube may be than the one before"""
_ROUGH_PATHS = 512
_DEGREES = {1: 6, 2: 6, 3: 6, 4: 5, 5: 4}
"""degree of the polynomials by number of state dimensions; 3 above"""
_OVERSAMPLING = 6
_MANY = 8
"""state dimensions above which a neural network is the default"""
_MANY_OUTSIDE = 0.02
_ACCEPTED = 0.05
"""relative error estimate above which a field counts as not found"""


class FieldErrors(NamedTuple):
    """Error estimates of a decoupling field, out of sample: along simulated paths."""

    degree: float
    """largest root mean square change of adjoints at a node when the degree is lowered by one (when a network has half
    the units), over their size; NaN without refinement"""
    points: float
    """the same for other sample points"""
    martingale: Array
    """(n,) mean over paths of what the adjoints' equation leaves over the whole horizon, in currency; 0 if exact"""
    martingale_se: Array
    """(n,) its standard error"""
    step: float
    """root mean square of what the equation leaves in one step, its martingale part removed, over the adjoints' size"""
    outside: float
    """share of the paths that leave the tube"""

    @property
    def relative(self) -> float:
        """The largest of the refinements' changes."""
        return float(np.nanmax([self.degree, self.points, self.step]))


@dataclass(frozen=True, kw_only=True)
class DecouplingEquilibrium(Equilibrium):
    """The open-loop Nash equilibrium of a game with noise: controls are functions of time and of a random state.

    ``inventories``, ``adjoints`` and ``controls`` are means over simulated paths; ``paths`` has the paths, ``errors``
    estimates of the field's error. The field is accurate within the tube it was fitted in, at least 1.2 shares and four
    standard deviations around the mean path; beyond it is continued linearly.
    """

    field: Field
    paths: Trajectory
    """simulated, antithetic pairs: the second half mirrors the first"""
    errors: FieldErrors

    @property
    def profile(self) -> Field:
        """The field, a profile to evaluate: it is followed along the undisturbed paths."""
        return self.field

    def quantiles(self, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> Array:
        """(len(levels), K+1, n) quantiles of the simulated inventories. Raises ValueError for a level outside
        [0, 1]."""
        given = np.asarray(levels, dtype=float)
        if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
            raise ValueError(f"levels: expected numbers in [0, 1], got {levels!r}")
        return np.quantile(self.paths.inventories, given, axis=0)

    def adjoint(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """The decoupling field ``p_k = u(t_k, L, Q)`` at inventories (..., n) and factors (..., d).

        Args:
            k: node.
            inventory: (..., n).
            factor: (..., d); by default its mean at the node.

        Raises:
            ValueError: ``k`` is not in 0..K, or a shape is wrong.
        """
        inventory = self._inventory(k, inventory, self.steps)
        return self.field.adjoint(k, inventory, self._factor(k, factor))

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., n)."""
        inventory = self._inventory(k, inventory, self.steps - 1)
        return self.field.controls_at(k, inventory, self._factor(k, factor))

    def open_loop(self) -> dict[str, Policy]:
        """The paper's controls; see :meth:`Field.open_loop`."""
        return self.field.open_loop()

    def feedback(self) -> dict[str, Policy]:
        """The field at the market's state; see :meth:`Equilibrium.feedback`."""
        return self.field.feedback()

    def tabulate(self, options: FieldOptions | None = None) -> Field:
        """The field; with options, a new one."""
        return self.field if options is None else super().tabulate(options)

    def _slope(self) -> Array:
        factors = self.paths.factor
        means = [None if factors is None else factors[:, k].mean(axis=0) for k in range(self.steps + 1)]
        return np.stack(
            [self.field.slope(k, each, at) for k, (each, at) in enumerate(zip(self.inventories, means, strict=True))]
        )

    def _factor(self, k: int, factor: Array | None) -> Array | None:
        known, paths = self.game.factor, self.paths.factor
        if known is None or paths is None:
            if factor is not None:
                raise ValueError("factor: the game has none, expected None")
            return None
        value = paths[:, k].mean(axis=0) if factor is None else np.asarray(factor, dtype=float)
        if value.shape[-1:] != (known.size,) or not np.isfinite(value).all():
            raise ValueError(f"factor: expected finite numbers of shape (..., {known.size}), got {factor!r}")
        return value


class _Scheme(NamedTuple):
    """What the passes share."""

    system: MarkovSystem
    options: FieldOptions
    size: int
    """D"""

    def run(
        self, tube: Tube, guess: Callable[[int, Array], Array], degree: int, seed: int, coarse: bool = False
    ) -> Field:
        """One backward pass; a coarse one with half of a network's units."""
        points = _power_of_two(self.options.points or _OVERSAMPLING * len(Basis(self.size, degree).index))
        if self.options.regressor == "neural" or (self.options.regressor is None and self.size > _MANY):
            from .neural import HIDDEN, neural_regressor  # PyTorch is optional

            return fit_field(
                self.system, tube, neural_regressor(seed, HIDDEN // 2 if coarse else HIDDEN), points, 5, seed, guess
            )
        return fit_field(self.system, tube, polynomial_regressor(self.size, degree), points, degree + 1, seed, guess)


def polynomial_regressor(size: int, degree: int) -> Regressor:
    """Least squares on polynomials of a total degree."""
    basis = Basis(size, degree)
    return lambda box, states, values, weights: fit(basis, box, states, values, weights)


def _power_of_two(count: int) -> int:
    """The next one, as Sobol's points want it."""
    return int(2 ** np.ceil(np.log2(count)))


def decoupling_field(
    game: Game, steps: int = 100, options: FieldOptions | None = None
) -> tuple[Field, FieldErrors, Trajectory]:
    """The decoupling field of a game, with or without noise, and what simulations say of its errors.

    Args:
        game: the game.
        steps: K.
        options: how to approximate it.

    Raises:
        ValueError: not a game of the paper.
        EquilibriumNotFound: the game without noise, or the equations of a step, were not solved.
    """
    options = options or FieldOptions()
    system = markov_system(game, steps)
    still = _solve_still(system)
    size = len(game.start) + (0 if game.factor is None else game.factor.size)
    scheme = _Scheme(system, options, size)
    degree = options.degree or _DEGREES.get(size, 3)
    tube = _first_tube(system, still, options)
    latest: Field | None = None

    def guess(k: int, states: Array) -> Array:
        if latest is None:
            return np.broadcast_to(still.adjoints[k], (len(states), len(game.start)))
        return latest.surfaces[k](states)[..., 2 * len(game.start) :]

    for number in range(options.passes if game.random else 0):
        latest = scheme.run(tube, guess, min(2, degree), options.seed + number)
        rough = latest.play(draw_noise(game, steps, _ROUGH_PATHS, options.seed))
        tube = _tube_around(latest.states(rough), options.reach, _GROWTH * tube.half)
    found = scheme.run(tube, guess, degree, options.seed)
    latest = found
    start = None if game.random else np.stack([game.start, game.start])  # a pair of paths, as there is with noise
    noise = draw_noise(game, steps, options.paths, options.seed + 1)
    paths = rollout(game, found.feedback(), steps, noise, inventories=start)
    errors = _errors(found, paths)
    if options.refine and errors.step <= _ACCEPTED:  # above it there is nothing to refine
        coarse = scheme.run(tube, guess, max(1, degree - 1), options.seed, coarse=True)
        other = scheme.run(tube, guess, degree, options.seed + 1)
        errors = errors._replace(degree=_change(found, coarse, paths), points=_change(found, other, paths))
    return found, errors, paths


def solve_decoupling(
    game: Game, steps: int, *, throw: bool, options: FieldOptions | None = None
) -> DecouplingEquilibrium:
    """See :func:`~makertaker.baselines.solve`."""
    found, errors, paths = decoupling_field(game, steps, options)
    mean, spread = expected_payoffs(found, paths)
    averages = np.stack([found.average(k, *_at(paths, k)).mean(axis=0) for k in range(steps)])
    controls = Controls(*(each.mean(axis=0) for each in paths.controls))
    problem = _problem(found, errors)
    if problem and throw:
        raise EquilibriumNotFound(problem)
    return DecouplingEquilibrium(
        game=game,
        times=found.system.times,
        inventories=paths.inventories.mean(axis=0),
        adjoints=averages,
        controls=controls,
        payoffs=mean,
        quotes_matter=_quotes_matter(paths),
        residual=found.residual,
        iterations=1,
        converged=not problem,
        message=problem or _message(found, errors),
        payoffs_se=spread,
        field=found,
        paths=paths,
        errors=errors,
    )


def expected_payoffs(found: Field, paths: Trajectory) -> tuple[Array, Array]:
    """Mean payoffs (n,) along simulated paths and their standard errors; the values' martingale part is removed."""
    return _pair_mean(paths.payoffs - martingale_part(found, paths))


def martingale_part(found: Field, paths: Trajectory) -> Array:
    """(B, n) sum over the steps of ``V_{k+1} - E_k[V_{k+1}]`` along paths on which the field is played."""
    n = len(found.game.start)
    total = np.zeros_like(paths.payoffs)
    for k in range(found.steps):
        ahead = found.ahead(k, *_at(paths, k), paths.activity.inventory_rate[:, k])
        total += found.values(k + 1, *_at(paths, k + 1)) - ahead[:, n : 2 * n]
    return total


def _at(paths: Trajectory, k: int) -> tuple[Array, Array | None]:
    """Inventories (B, n) and factor (B, d) at a node."""
    return paths.inventories[:, k], None if paths.factor is None else paths.factor[:, k]


def _errors(found: Field, paths: Trajectory) -> FieldErrors:
    """Of a field along paths on which it is played; without refinement."""
    system, n, steps = found.system, len(found.game.start), found.steps
    left, total = [], np.zeros_like(paths.payoffs)
    nodes = [found.adjoint(k, *_at(paths, k)) for k in range(steps + 1)]
    size = _size(nodes)
    for k in range(steps):
        inventory, factor = _at(paths, k)
        rate = paths.activity.inventory_rate[:, k]
        drift = system.drift(system.coefficients(k, factor), rate)
        change = held_gain(system.running(k), system.dt, inventory, rate, drift) - nodes[k]
        total += nodes[k + 1] + change
        left.append(_rms(found.ahead(k, inventory, factor, rate)[:, :n] + change))
    mean, error = _pair_mean(total)
    outside = float((~found.tube.holds(found.states(paths))).mean())
    return FieldErrors(np.nan, np.nan, mean, error, max(left) / size, outside)


def _change(found: Field, other: Field, paths: Trajectory) -> float:
    """Largest root mean square difference of two fields at a node, over the adjoints' size."""
    nodes = [found.adjoint(k, *_at(paths, k)) for k in range(found.steps)]
    return max(_rms(other.adjoint(k, *_at(paths, k)) - each) for k, each in enumerate(nodes)) / _size(nodes)


def _size(nodes: Sequence[Array]) -> float:
    """Largest root mean square of the adjoints at a node; 1 where all are zero."""
    return max(map(_rms, nodes)) or 1.0


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _pair_mean(values: Array) -> tuple[Array, Array]:
    """Mean over antithetic paths (B, n), and its standard error; 0 for a single pair."""
    pairs = np.mean(np.split(values, 2), axis=0)
    mean = pairs.mean(axis=0)
    return mean, pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else 0 * mean


def _problem(found: Field, errors: FieldErrors) -> str:
    """Why a field is not to be trusted; empty where it is."""
    if not np.isfinite(errors.relative) or errors.relative > _ACCEPTED:
        return (
            f"the decoupling field is not accurate: refinement changes adjoints by {errors.degree:.2g} (degree) and "
            f"{errors.points:.2g} (sample points) of their size, a step leaves {errors.step:.2g}. Try FieldOptions "
            "with regressor='neural', a higher degree or more points; or more steps, less noise, a shorter horizon"
        )
    return ""


def _message(found: Field, errors: FieldErrors) -> str:
    parts = [
        f"decoupling field: relative error about {errors.relative:.1g} (degree {errors.degree:.1g}, sample points "
        f"{errors.points:.1g}, one step {errors.step:.1g})"
    ]
    if found.unsolved:
        parts.append(f"the equations were not solved at {found.unsolved} of {found.points} sample points")
    if errors.outside > 0:
        parts.append(
            f"{100 * errors.outside:.2g}% of the paths leave the tube in which the field was fitted; beyond it is "
            "continued linearly" + ("; more passes (FieldOptions) widen it" if errors.outside > _MANY_OUTSIDE else "")
        )
    return "; ".join(parts)


def _quotes_matter(paths: Trajectory) -> Array:
    volumes = np.stack([paths.activity.buy_volume, paths.activity.sell_volume], axis=-1).mean(axis=0)
    return np.asarray(volumes > 1e-12 * max(1.0, float(volumes.max())))


class _Still(NamedTuple):
    """The game without noise, its factor following the drift: where the first tube is put."""

    inventories: Array
    """(K+1, n)"""
    adjoints: Array
    """(K, n)"""


def _solve_still(system: MarkovSystem) -> _Still:
    game, times = system.game, system.times
    if isinstance(game, MakerTakerGame):
        found = solve_maker_taker(game, times, throw=True, guess=None, tolerance=1e-8)
        return _Still(found.inventories, found.adjoints)
    if isinstance(game, ExecutionGame):
        rates = still_rates(game, times)
        moves = np.cumsum(system.dt * rates, axis=0)
        return _Still(game.start + np.concatenate([0 * moves[:1], moves]), np.zeros_like(rates))
    raise ValueError(f"game: expected an ExecutionGame or a MakerTakerGame, got {game!r}")


def _first_tube(system: MarkovSystem, still: _Still, options: FieldOptions) -> Tube:
    """Around the path without noise, as wide as noise alone would spread it."""
    game, times = system.game, system.times
    spread = np.broadcast_to(game.inventory_noise * np.sqrt(times)[:, None], still.inventories.shape)
    center = still.inventories
    if game.factor is not None:
        noise = draw_noise(game, system.steps, _ROUGH_PATHS, options.seed)
        factors = game.factor.path(times, None if noise is None else noise.factor)
        center = np.concatenate([factors.mean(axis=0), center], axis=-1)
        spread = np.concatenate([factors.std(axis=0), spread], axis=-1)
    return Tube(center, np.maximum(options.reach, _DEVIATIONS * spread))


def _tube_around(states: Array, reach: float, limit: Array) -> Tube:
    """Around simulated paths (B, K+1, D), no wider than ``limit``: a rough field's paths may run away."""
    return Tube(states.mean(axis=0), np.minimum(np.maximum(reach, _DEVIATIONS * states.std(axis=0)), limit))

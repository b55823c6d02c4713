"""The decoupling field of a game: backward passes in a tube that is found on the way, and estimates of its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ...envs import Noise, Trajectory, draw_noise, rollout
from ...envs.arrays import Array
from ..errors import EquilibriumNotFound
from ..sampling import Mean, pair_mean
from .field import Field, FieldOptions, Regressor, Tube, as_state, at_node, fit_field, power_of_two
from .polynomials import Basis, fit
from .step_system import StepSystem, held_gain

_DEVIATIONS = 4.0
_GROWTH = 3.0
"""largest ratio of a tube's width to that of the one before"""
_ROUGH_PATHS = 512
_COMPARED = 512
"""pairs of paths on which payoffs of two fields are compared"""
_LEFT = 2.0
"""of a refinement's change, what further ones may still change: the error falls by a third or more with each"""
_DEGREES = {1: 6, 2: 6, 3: 6, 4: 5, 5: 4}
"""degree of the polynomials by number of state dimensions; 3 above"""
_OVERSAMPLING = 6
_MANY = 8
"""state dimensions above which a neural network is the default"""
ACCEPTED = 0.05
"""relative error estimate above which a field counts as not found"""


class FieldErrors(NamedTuple):
    """Error estimates of a decoupling field, out of sample: along simulated paths."""

    degree: float
    """largest root mean square change of adjoints at a node when the degree is lowered by one (when a network has half
    the units), over their size; NaN without refinement"""
    points: float
    """the same for other sample points"""
    martingale: Array
    """(n,) mean over paths of the residual of the adjoints' equation over the whole horizon, in currency; 0 if exact"""
    martingale_se: Array
    """(n,) its standard error"""
    step: float
    """root mean square residual of the equation in one step, its martingale part removed, over the adjoints' size"""
    outside: float
    """share of the paths that leave the tube"""
    payoffs: Array | None = None
    """(n,) size of the effect on payoffs, in currency: of the two refinements, on common paths, and of the distance of
    the fitted values at the start from the payoffs of paths; None without refinement, infinite where a refinement could
    not be played"""

    @property
    def relative(self) -> float:
        """The largest of the refinements' changes."""
        return float(np.nanmax([self.degree, self.points, self.step]))


class NoiselessSolution(NamedTuple):
    """The solution without noise, the factor following its drift: the first tube is put around it."""

    inventories: Array
    """(K+1, n)"""
    adjoints: Array
    """(K, n)"""


class _Scheme(NamedTuple):
    """The part that all passes share."""

    system: StepSystem
    options: FieldOptions
    size: int
    """D"""

    def run(
        self, tube: Tube, guess: Callable[[int, Array], Array], degree: int, seed: int, coarse: bool = False
    ) -> Field:
        """One backward pass; a coarse one with half of a network's units."""
        basis = Basis(self.size, degree)
        points = power_of_two(self.options.points or _OVERSAMPLING * len(basis.index))
        regress: Regressor = partial(fit, basis)
        cubature_degree = degree + 1
        if self.options.regressor == "neural" or (self.options.regressor is None and self.size > _MANY):
            from .neural import HIDDEN, neural_regressor  # PyTorch is optional

            units = np.repeat([self.system.price, self.system.cash, self.system.price], len(self.system.game.start))
            regress, cubature_degree = neural_regressor(seed, units, HIDDEN // 2 if coarse else HIDDEN), 5
        return fit_field(self.system, tube, regress, points, cubature_degree, seed, guess)


def decoupling_field(
    system: StepSystem, noiseless: NoiselessSolution, options: FieldOptions | None = None
) -> tuple[Field, FieldErrors, Trajectory]:
    """The decoupling field of a game, with or without noise, estimates of its errors, and simulated paths.

    Args:
        system: the game's equations.
        noiseless: its solution without noise.
        options: of the approximation.

    Raises:
        EquilibriumNotFound: the equations of a step were not solved.
    """
    system = system.with_penalties()
    options, game, steps = options or FieldOptions(), system.game, system.steps
    size = len(game.start) + (0 if game.factor is None else game.factor.size)
    scheme = _Scheme(system, options, size)
    degree = options.degree or _DEGREES.get(size, 3)
    tube = _first_tube(system, noiseless, options)
    latest: Field | None = None

    def guess(k: int, states: Array) -> Array:
        if latest is None:
            return np.broadcast_to(noiseless.adjoints[k], (len(states), len(game.start)))
        return latest.surfaces[k](states)[..., 2 * len(game.start) :]

    for number in range(options.passes if game.random else 0):
        latest = scheme.run(tube, guess, min(2, degree), options.seed + number)
        rough = latest.play(draw_noise(game, steps, _ROUGH_PATHS, options.seed))
        tube = _tube_around(
            as_state(rough.inventories, rough.factor), options.reach * system.units, _GROWTH * tube.half
        )
    found = scheme.run(tube, guess, degree, options.seed)
    latest = found
    start = None if game.random else np.stack([game.start, game.start])  # a pair of paths, as there is with noise
    noise = draw_noise(game, steps, options.paths, options.seed + 1)
    paths = rollout(game, found.feedback(), steps, noise, inventories=start)
    errors = _errors(found, paths)
    if options.refine and errors.step <= ACCEPTED:  # above it there is nothing to refine
        coarse = scheme.run(tube, guess, max(1, degree - 1), options.seed, coarse=True)
        other = scheme.run(tube, guess, degree, options.seed + 1)
        errors = errors._replace(
            degree=_change(found, coarse, paths),
            points=_change(found, other, paths),
            payoffs=_effect(found, (coarse, other), paths, noise),
        )
    return found, errors, paths


def _errors(found: Field, paths: Trajectory) -> FieldErrors:
    """Of a field along paths on which it is played; without refinement."""
    system, n, steps = found.system, len(found.game.start), found.steps
    left, total = [], np.zeros_like(paths.payoffs)
    nodes = [found.adjoint(k, *at_node(paths, k)) for k in range(steps + 1)]
    size = _size(nodes, system.price)
    for k in range(steps):
        inventory, factor = at_node(paths, k)
        rate = paths.activity.inventory_rate[:, k]
        drift = system.everyone(system.coefficients(k, factor)).drift(rate)
        change = held_gain(system.running(k), system.dt, inventory, rate, drift) - nodes[k]
        total += nodes[k + 1] + change
        left.append(_rms(found.ahead(k, inventory, factor, rate)[:, :n] + change))
    mean, error = pair_mean(total)
    outside = float((~found.tube.holds(as_state(paths.inventories, paths.factor))).mean())
    return FieldErrors(np.nan, np.nan, mean, error, max(left) / size, outside)


def _change(found: Field, other: Field, paths: Trajectory) -> float:
    """Largest root mean square difference of two fields at a node, over the adjoints' size."""
    nodes = [found.adjoint(k, *at_node(paths, k)) for k in range(found.steps)]
    change = max(_rms(other.adjoint(k, *at_node(paths, k)) - each) for k, each in enumerate(nodes))
    return change / _size(nodes, found.system.price)


def _effect(found: Field, others: Sequence[Field], paths: Trajectory, noise: Noise | None) -> Array:
    """(n,) twice the sizes by which other fields change mean payoffs, on some of the paths that the field was played
    on, and the size by which its values at the start differ from the payoffs of the paths; summed."""
    half = len(paths.payoffs) // 2
    first = np.arange(min(half, _COMPARED))
    some = np.concatenate([first, half + first])  # antithetic pairs
    drawn = None if noise is None else Noise(*(None if each is None else each[some] for each in noise))
    (inventory, factor), payoffs = at_node(paths, 0), expected_payoffs(found, paths).value
    total = np.abs(found.values(0, inventory[:1], factor[:1])[0] - payoffs)
    for other in others:
        try:
            played = rollout(found.game, other.feedback(), found.steps, drawn, inventories=inventory[some])
        except EquilibriumNotFound:
            return np.full_like(total, np.inf)
        total = total + _LEFT * np.abs(pair_mean(played.payoffs - paths.payoffs[some]).value)
    return np.asarray(total)


def expected_payoffs(found: Field, paths: Trajectory) -> Mean:
    """Mean payoffs (n,) along simulated paths and their standard errors; the values' martingale part is removed."""
    return pair_mean(paths.payoffs - martingale_part(found, paths))


def martingale_part(found: Field, paths: Trajectory) -> Array:
    """(B, n) sum over the steps of ``V_{k+1} - E_k[V_{k+1}]`` along paths on which the field is played."""
    n = len(found.game.start)
    total = np.zeros_like(paths.payoffs)
    for k in range(found.steps):
        ahead = found.ahead(k, *at_node(paths, k), paths.activity.inventory_rate[:, k])
        total += found.values(k + 1, *at_node(paths, k + 1)) - ahead[:, n : 2 * n]
    return total


def _size(nodes: Sequence[Array], price: float) -> float:
    """Largest root mean square of the adjoints at a node; their characteristic size where all are zero."""
    return max(map(_rms, nodes)) or price


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _first_tube(system: StepSystem, noiseless: NoiselessSolution, options: FieldOptions) -> Tube:
    """Around the path without noise, as wide as noise alone would spread it."""
    game, times = system.game, system.times
    spread = np.broadcast_to(game.inventory_noise * np.sqrt(times)[:, None], noiseless.inventories.shape)
    center = noiseless.inventories
    if game.factor is not None:
        noise = draw_noise(game, system.steps, _ROUGH_PATHS, options.seed)
        factors = game.factor.path(times, None if noise is None else noise.factor)
        center = np.concatenate([factors.mean(axis=0), center], axis=-1)
        spread = np.concatenate([factors.std(axis=0), spread], axis=-1)
    return Tube(center, np.maximum(options.reach * system.units, _DEVIATIONS * spread))


def _tube_around(states: Array, reach: Array, limit: Array) -> Tube:
    """Around simulated paths (B, K+1, D), no wider than ``limit``: a rough field's paths may run away."""
    return Tube(states.mean(axis=0), np.minimum(np.maximum(reach, _DEVIATIONS * states.std(axis=0)), limit))

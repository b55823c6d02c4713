"""Nash equilibria of games with noise: the decoupling field, simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...envs import Controls, Policy, Trajectory
from ...envs.arrays import Array
from ..equilibrium import Equilibrium, Status, quotes_matter
from ..errors import EquilibriumNotFound
from ..notes import truncations
from ..profiles import mean_controls
from .field import Field, FieldOptions, at_node
from .scheme import ACCEPTED, FieldErrors, NoiselessSolution, decoupling_field, expected_payoffs
from .step_system import StepSystem

_MANY_OUTSIDE = 0.02
_LOOKED_AT = 64
"""paths along which second-order conditions are looked at"""


@dataclass(frozen=True, eq=False, kw_only=True)
class DecouplingEquilibrium(Equilibrium):
    """The open-loop Nash equilibrium of a game with noise: controls are functions of time and of a random state.

    ``inventories``, ``adjoints`` and ``controls`` are means over simulated paths; ``paths`` has the paths, ``errors``
    estimates of the field's error. The field is accurate within the tube it was fitted in, four standard deviations
    around the mean path and at least the ``reach`` of :class:`.FieldOptions`; beyond it is continued linearly.
    """

    field: Field
    paths: Trajectory
    """simulated, antithetic pairs: the second half mirrors the first"""
    errors: FieldErrors
    noiseless: NoiselessSolution
    """the solution without noise, around which the field was first looked for"""

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
        """The paper's controls: the field along a private copy of the undisturbed state."""
        return self.field.open_loop()

    def tabulate(self, options: FieldOptions | None = None) -> Field:
        """The field; with options, a new one."""
        return self.field if options is None else decoupling_field(self.field.system, self.noiseless, options)[0]

    def _slope(self) -> Array:
        nodes = enumerate(self.inventories)
        return np.stack([self.field.slope(k, inventory, self._factor(k, None)) for k, inventory in nodes])

    def _factor(self, k: int, factor: Array | None) -> Array | None:
        paths = self.paths.factor
        return self._known_factor(factor, None if paths is None else paths[:, k].mean(axis=0))


def solve_noisy(
    system: StepSystem, noiseless: NoiselessSolution, *, throw: bool, options: FieldOptions | None = None
) -> DecouplingEquilibrium:
    """The equilibrium of a game with noise, from its equations and its solution without noise; see
    :func:`makertaker.baselines.solve`."""
    found, errors, paths = decoupling_field(system, noiseless, options)
    (mean, spread), activity = expected_payoffs(found, paths), paths.activity
    problem, better = _problem(found, errors), _better_control(found, paths)
    status = Status.INACCURATE if problem else Status.NO_MAXIMUM if better else Status.CONVERGED
    problem = problem or better
    if problem and throw:
        raise EquilibriumNotFound(problem)
    matter = quotes_matter(activity.buy_volume.mean(axis=0), activity.sell_volume.mean(axis=0))
    notes = truncations(system.game, paths.controls, matter)
    return DecouplingEquilibrium(
        game=system.game,
        times=system.times,
        inventories=paths.inventories.mean(axis=0),
        adjoints=np.stack([found.average(k, *at_node(paths, k)).mean(axis=0) for k in range(system.steps)]),
        controls=mean_controls(paths),
        payoffs=mean,
        quotes_matter=matter,
        residual=found.residual,
        iterations=1,
        status=status,
        message="; ".join([problem or _message(found, errors), *notes]),
        notes=notes,
        payoffs_se=spread,
        payoffs_bias=errors.payoffs,
        field=found,
        paths=paths,
        errors=errors,
        noiseless=noiseless,
    )


def _problem(found: Field, errors: FieldErrors) -> str:
    """The reason why a field is not to be trusted; empty if it is."""
    if not np.isfinite(errors.relative) or errors.relative > ACCEPTED:
        return (
            f"the decoupling field is not accurate: refinement changes adjoints by {errors.degree:.2g} (degree) and "
            f"{errors.points:.2g} (sample points) of their size, a step leaves {errors.step:.2g}. Try FieldOptions "
            "with regressor='neural', a higher degree or more points; or more steps, less noise, a shorter horizon"
        )
    return ""


def _better_control(found: Field, paths: Trajectory) -> str:
    """An agent's control along the first paths that is worth more than the one which meets its first-order condition,
    in words; empty if none is known of."""
    for k in range(found.steps):
        inventory, factor = (each[:_LOOKED_AT] for each in at_node(paths, k))
        c = found.system.coefficients(k, factor)
        controls = Controls(*(each[:_LOOKED_AT, k] for each in paths.controls))
        better = found.system.better_control(c, controls, found.average(k, inventory, factor))
        if better:
            return f"no equilibrium was found: in step {k} {better}"
    return ""


def _message(found: Field, errors: FieldErrors) -> str:
    parts = [
        f"decoupling field: relative error about {errors.relative:.1g} (degree {errors.degree:.1g}, sample points "
        f"{errors.points:.1g}, one step {errors.step:.1g})"
    ]
    if errors.payoffs is not None:
        parts.append(f"it moves payoffs by up to about {errors.payoffs.max():.1g}")
    if found.unsolved:
        parts.append(f"the equations were not solved at {found.unsolved} of {found.points} sample points")
    if errors.outside > 0:
        parts.append(
            f"{100 * errors.outside:.2g}% of the paths leave the tube in which the field was fitted; beyond it is "
            "continued linearly" + ("; more passes (FieldOptions) widen it" if errors.outside > _MANY_OUTSIDE else "")
        )
    return "; ".join(parts)

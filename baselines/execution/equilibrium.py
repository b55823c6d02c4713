"""Nash equilibria of the execution game: (3), step-averaged, solved directly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...envs import Controls, ExecutionGame, Noise, Policy, simulate
from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients
from ..equilibrium import LARGEST_SLOPE, Equilibrium, Status
from ..errors import EquilibriumNotFound
from ..noise.field import Field, FieldOptions
from ..noise.scheme import NoiselessSolution, decoupling_field
from . import linear_system as linear
from .concavity import require_concave, unbounded
from .linear_rule import LinearFeedback
from .refinement import checked
from .signal import additive, expectation, linear_signal, signal_load, unit_increments
from .step_system import ExecutionSteps

_SMALL = 48
"""agents up to which the dense sweep is the fastest way"""


@dataclass(frozen=True, eq=False)
class ExecutionEquilibrium(Equilibrium):
    """The open-loop Nash equilibrium of the execution game: ``Y = w 1 + R Q + h0 + h1 L``, (5) with a linear signal.

    ``w`` is the noise flow's effect on the price so far. Adjoints include its mean; the decoupling field
    :meth:`adjoint` takes the realised one. ``slope`` is ``R``, the Riccati matrix of Theorem 2.7 on the grid.
    """

    game: ExecutionGame

    @cached_property
    def noise_price(self) -> Array:
        """(K+1,) mean of ``w`` at the nodes."""
        return _noise_price(self.game, self.game.coefficients(self.times), self.times)

    @cached_property
    def rule(self) -> LinearFeedback:
        """The field as rates, affine in inventories and factor. Raises ValueError above 2,000 agents."""
        swept, response = self._dense
        return LinearFeedback(self.game, swept.gain, response.shift, response.signal)

    @property
    def profile(self) -> Controls | LinearFeedback:
        """Its controls, or :attr:`rule` in a game with a factor."""
        return self.controls if self.game.factor is None else self.rule

    def adjoint(self, k: int, inventory: Array, factor: Array | None = None, noise_price: Array | None = None) -> Array:
        """The decoupling field ``p_k = w + R_k Q + h0_k + h1_k L`` at inventories (..., N).

        Args:
            k: node.
            inventory: (..., N).
            factor: (..., d), in a game that has one; its undisturbed value by default.
            noise_price: ``w`` (...,), the noise flow's effect on the price by then; its mean by default.

        Raises:
            ValueError: ``k`` is not in 0..K (0..K-1 where a trader must liquidate), a shape is wrong, or there are more
                than 2,000 agents.
        """
        last = self.steps - 1 if self.game.must_close else self.steps  # multipliers are no function of inventories
        inventory = self._inventory(k, inventory, last)
        _, response = self._dense
        past = self.noise_price[k] if noise_price is None else np.asarray(noise_price)
        value = (self.slope[k] @ inventory[..., None])[..., 0] + response.offset[k] + past[..., None]
        seen = self._factor(k, factor)
        return value if seen is None else value + seen @ response.signal_slope[k].T

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., N)."""
        inventory = self._inventory(k, inventory, self.steps - 1)
        return self.rule.controls_at(k, inventory, self._factor(k, factor))

    def open_loop(self) -> dict[str, Policy]:
        """The equilibrium as functions of time, and of the factor's path where there is one."""
        return super().open_loop() if self.game.factor is None else self.rule.open_loop()

    def feedback(self) -> dict[str, Policy]:
        """The decoupling field as a policy; see :meth:`Equilibrium.feedback`. Raises ValueError above 2,000 agents."""
        return self.rule.feedback()

    def tabulate(self, options: FieldOptions | None = None) -> Field:
        """The decoupling field in a tube around the path, fitted; :attr:`rule` is the field itself.

        Args:
            options: of the approximation.

        Raises:
            EquilibriumNotFound: the equations were not solved in the tube.
        """
        system = ExecutionSteps(self.game, self.steps)
        return decoupling_field(system, NoiselessSolution(self.inventories, self.adjoints), options)[0]

    def _slope(self) -> Array:
        return self._dense[0].slope

    @cached_property
    def _dense(self) -> tuple[linear.Sweep, linear.Response]:
        game, times = self.game, self.times
        if game.traders > LARGEST_SLOPE:
            raise ValueError(f"field: expected at most {LARGEST_SLOPE} agents, got {game.traders}")
        c = game.coefficients(times)
        system = linear.nash_system(c, game.crowding, game.horizon / self.steps)
        swept = linear.sweep(system)
        return swept, linear.respond(system, swept, signal_load(linear_signal(game, c, times), game.traders))

    def _factor(self, k: int, factor: Array | None) -> Array | None:
        return self._known_factor(factor, self.game.factor and self.game.factor.path(self.times)[k])


def _noise_price(game: ExecutionGame, c: ExecutionCoefficients, times: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(game.push(c) * np.diff(times))])


def solve_execution(
    game: ExecutionGame, times: Array, *, throw: bool = True, tolerance: float = 1e-11
) -> ExecutionEquilibrium:
    """See :func:`makertaker.baselines.solve`; a factor has to enter linearly."""
    steps, count = len(times) - 1, game.traders
    dt = game.horizon / steps
    c = game.coefficients(times)  # along the undisturbed path of a factor, which gives means
    if game.factor is not None and count > LARGEST_SLOPE:
        raise ValueError(f"factor: expected at most {LARGEST_SLOPE} agents in a game with a factor, got {count}")
    no_maximum = unbounded(c, dt)
    if no_maximum and throw:
        raise EquilibriumNotFound(no_maximum)
    rates, method = _rates(game, c, dt)
    rates, average, defect, error = checked(game, c, dt, rates, tolerance)
    controls = game.complete(Controls(rates))
    trajectory = simulate(game, controls, steps)
    status, problem = Status.CONVERGED, ""
    if no_maximum:
        status, problem = Status.UNBOUNDED, no_maximum
    elif np.abs(rates).max() > game.rate_bound:
        status, problem = Status.BEYOND_BOUNDS, _too_fast(game, rates)
    elif not error <= tolerance:
        said = f"rates are uncertain by {error:.3g} of the largest, above the tolerance {tolerance:.3g}"
        status, problem = Status.NOT_CONVERGED, f"{said}; the residual is {defect:.3g}"
    if problem and throw:
        raise EquilibriumNotFound(problem)
    noise = _noise_price(game, c, times)
    found = ExecutionEquilibrium(
        game=game,
        times=times,
        inventories=trajectory.inventories,
        adjoints=average + ((noise[1:] + noise[:-1]) / 2)[:, None],
        controls=controls,
        payoffs=trajectory.payoffs,
        quotes_matter=np.ones((steps, 2), dtype=bool),
        residual=defect,
        iterations=1,
        status=status,
        message=problem or f"solved directly ({method})",
    )
    if game.factor is None:
        return found
    mean, spread = expectation(game, times, lambda noise: found.rule.play(noise).payoffs)
    notes = _truncation(found)
    return replace(found, payoffs=mean, payoffs_se=spread, message="; ".join([found.message, *notes]), notes=notes)


def _too_fast(game: ExecutionGame, rates: Array) -> str:
    k, agent = np.unravel_index(np.abs(rates).argmax(), rates.shape)
    return (
        f"trader_{agent} needs a rate of {rates[k, agent]:.6g} at step {k}, above max_rate = {game.rate_bound:g}; "
        f"with max_rate={np.ceil(1.01 * np.abs(rates).max()):g} or none the game is solved"
    )


def _truncation(found: ExecutionEquilibrium) -> tuple[str, ...]:
    """A warning where environments truncate rates on some paths of the factor, which the solution does not."""
    game = found.game
    if game.max_rate is None or game.factor is None or not additive(game.factor, found.times):
        return ()
    units = found.rule.play(Noise(factor=unit_increments(game.factor, found.steps))).controls.rate
    spread = np.sqrt(((units - found.controls.rate) ** 2).sum(axis=0))
    reach = float((np.abs(found.controls.rate) + 3 * spread).max())
    if reach <= game.rate_bound:
        return ()
    return (
        f"on some paths rates go beyond max_rate = {game.rate_bound:g}: three standard deviations reach {reach:.4g}",
    )


def _rates(game: ExecutionGame, c: ExecutionCoefficients, dt: float) -> tuple[Array, str]:
    """(K, N) equilibrium rates, and the method by its name.

    Raises:
        EquilibriumNotFound: the equations have no bounded solution.
    """
    arguments = c, game.crowding, dt, game.start, game.push(c)
    try:
        if linear.homogeneous(c):
            rates, method = linear.rates_by_modes(*arguments), "mean and deviation modes"
        elif game.traders <= _SMALL:
            rates, method = linear.rates_by_matrices(*arguments), "Riccati matrices"
        else:
            rates, method = _many_rates(*arguments)
    except np.linalg.LinAlgError as error:
        raise EquilibriumNotFound(f"the linear equations of the equilibrium have no solution: {error}") from error
    if not np.isfinite(rates).all():
        raise EquilibriumNotFound("the linear equations of the equilibrium have no bounded solution")
    return rates, method


def _many_rates(c: ExecutionCoefficients, crowding: float, dt: float, start: Array, push: Array) -> tuple[Array, str]:
    try:
        return linear.rates_by_aggregate(c, crowding, dt, start, push), "agents decoupled given the total rate"
    except np.linalg.LinAlgError:
        if len(start) > LARGEST_SLOPE:
            raise
        return linear.rates_by_matrices(c, crowding, dt, start, push), "Riccati matrices"


def noiseless_path(game: ExecutionGame, times: Array) -> NoiselessSolution:
    """The equilibrium if a factor followed its drift alone.

    Raises:
        EquilibriumNotFound: an agent's own problem is unbounded, or the equations have no solution.
    """
    c, dt = game.coefficients(times), game.horizon / (len(times) - 1)
    require_concave(c, dt)
    rates, _ = _rates(game, c, dt)
    return NoiselessSolution(simulate(game, Controls(rates), len(rates)).inventories, np.zeros_like(rates))

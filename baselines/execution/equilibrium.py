"""Nash equilibria of the execution game: (3), step-averaged, solved directly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...envs.arrays import Array
from ...envs.execution_game import ExecutionCoefficients, ExecutionGame
from ...envs.game import Controls
from ...envs.grid import Policy, grid, simulate
from .. import fbsde
from ..equilibrium import LARGEST_SLOPE, Equilibrium, EquilibriumNotFound
from . import linear_system as linear
from .linear_rule import LinearFeedback
from .signal import Signal, additive, expectation, linear_signal, unit_noise

_SMALL = 48
"""agents up to which the dense sweep is the fastest way"""


@dataclass(frozen=True)
class _Penalties:
    dt: float
    running: Array
    terminal: Array


@dataclass(frozen=True)
class ExecutionEquilibrium(Equilibrium):
    """The open-loop Nash equilibrium of the execution game: ``Y = w 1 + R Q + h0 + h1 L``, (5) with a linear signal.

    ``w`` is what the noise flow has done to the price so far. Adjoints include its mean; the decoupling field
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
            noise_price: ``w`` (...,), what the noise flow has done to the price by then; its mean by default.

        Raises:
            ValueError: ``k`` is not in 0..K, a shape is wrong, or there are more than 2,000 agents.
        """
        inventory = self._inventory(k, inventory, self.steps)
        _, response = self._dense
        past = self.noise_price[k] if noise_price is None else np.asarray(noise_price)
        value = (self.slope[k] @ inventory[..., None])[..., 0] + response.offset[k] + past[..., None]
        if self.game.factor is None:
            return value
        return value + self._factor(k, factor) @ response.signal_slope[k].T

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., N)."""
        inventory = self._inventory(k, inventory, self.steps - 1)
        rate = self.rule.rates(k, inventory, None if self.game.factor is None else self._factor(k, factor))
        return Controls(rate, rate[..., :0], rate[..., :0])

    def open_loop(self) -> dict[str, Policy]:
        """The equilibrium as functions of time, and of the factor's path where there is one."""
        return super().open_loop() if self.game.factor is None else self.rule.open_loop()

    def feedback(self) -> dict[str, Policy]:
        """The decoupling field as a policy; see :meth:`Equilibrium.feedback`. Raises ValueError above 2,000 agents."""
        return self.rule.feedback()

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

    def _factor(self, k: int, factor: Array | None) -> Array:
        known = self.game.factor
        if known is None:
            raise ValueError("factor: the game has none, expected None")
        value = known.path(self.times)[k] if factor is None else np.asarray(factor, dtype=float)
        if value.shape[-1:] != (known.size,) or not np.isfinite(value).all():
            raise ValueError(f"factor: expected finite numbers of shape (..., {known.size}), got {factor!r}")
        return value


def signal_load(signal: Signal, count: int) -> linear.Load:
    """The signal as a load (K, N) that pushes the price for everyone."""
    steps, size = signal.slope.shape
    drift = np.broadcast_to(signal.drift[:, None], (steps, count))
    slope = np.broadcast_to(signal.slope[:, None, :], (steps, count, size))
    return linear.Load(
        drift, np.zeros((steps, count)), slope, np.zeros((steps, count, size)), signal.transition, signal.constant
    )


def _noise_price(game: ExecutionGame, c: ExecutionCoefficients, times: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(game.push(c) * np.diff(times))])


def solve_execution(game: ExecutionGame, times: Array, *, throw: bool, tolerance: float) -> ExecutionEquilibrium:
    """See :func:`~makertaker.baselines.solve`."""
    steps, count = len(times) - 1, game.traders
    dt = game.horizon / steps
    c = game.coefficients(times)  # of the undisturbed path of a factor: means are what it leads to
    linear_signal(game, c, times)  # a factor that does not enter linearly is refused before any work
    if game.factor is not None and count > LARGEST_SLOPE:
        raise ValueError(f"factor: expected at most {LARGEST_SLOPE} agents in a game with a factor, got {count}")
    unbounded = _unbounded(c, dt)
    if unbounded and throw:
        raise EquilibriumNotFound(unbounded)
    try:
        rates, method = _rates(game, c, dt, game.push(c))
    except np.linalg.LinAlgError as error:
        raise EquilibriumNotFound(f"the linear equations of the equilibrium have no solution: {error}") from error
    if not np.isfinite(rates).all():
        raise EquilibriumNotFound("the linear equations of the equilibrium have no bounded solution")
    controls = Controls(rates, rates[:, :0], rates[:, :0])
    trajectory = simulate(game, controls, steps)
    average, defect, size = _check(game, c, dt, trajectory.inventories, rates)
    converged, largest = defect <= tolerance * size, float(np.abs(rates).max())
    fast = largest > game.max_rate
    problem = unbounded or (f"the residual {defect:.3g} is above the tolerance" if not converged else "")
    if fast and not unbounded:
        k, agent = np.unravel_index(np.abs(rates).argmax(), rates.shape)
        problem = (
            f"trader_{agent} needs a rate of {rates[k, agent]:.6g} at step {k}, above max_rate = {game.max_rate:g}; "
            f"with max_rate={np.ceil(1.01 * largest):g} the game is solved"
        )
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
        converged=not problem,
        message=problem or f"solved directly ({method})",
    )
    if game.factor is None:
        return found
    mean, spread = expectation(game, times, lambda noise: found.rule.play(noise).payoffs)
    return replace(found, payoffs=mean, payoffs_se=spread, message=found.message + _truncation(found))


def _truncation(found: ExecutionEquilibrium) -> str:
    """What to say if environments truncate rates on some paths of the factor, which the solution does not."""
    game = found.game
    if game.factor is None or not additive(game.factor, found.times):
        return ""
    units = found.rule.play(unit_noise(game.factor, found.steps)).controls.rate
    spread = np.sqrt(((units - found.controls.rate) ** 2).sum(axis=0))
    reach = float((np.abs(found.controls.rate) + 3 * spread).max())
    if reach <= game.max_rate:
        return ""
    return f"; on some paths rates go beyond max_rate = {game.max_rate:g}: three standard deviations reach {reach:.4g}"


def require_concave(c: ExecutionCoefficients, dt: float) -> None:
    """Raises EquilibriumNotFound where an agent's own problem, the others' rates being given, is not concave."""
    unbounded = _unbounded(c, dt)
    if unbounded:
        raise EquilibriumNotFound(unbounded)


def _unbounded(c: ExecutionCoefficients, dt: float) -> str:
    """Whose problem is not concave, and what to do; empty where all are."""
    pivot = least_pivot(c, dt)
    if pivot.min() > 0:
        return ""
    return (
        f"the payoff of trader_{int(pivot.argmin())} has no maximum, whatever the others do: the permanent impact "
        "moves the price further than trading costs. Expected a smaller permanent_impact, or a larger "
        "temporary_impact or penalty; check(game) says by how much"
    )


def least_pivot(c: ExecutionCoefficients, dt: float) -> Array:
    """(N,) smallest pivot of each agent's own problem up to the first that is not positive, backward in time: the
    problem is concave on the grid exactly if it is positive. Pivots beyond a failing one mean nothing."""
    with np.errstate(all="ignore"):
        pivots = linear.sweep(linear.lone_system(c, dt, 2.0, 1.0), strict=False).pivot[::-1, :, 0, 0]
    failed = ~(pivots > 0)
    seen = np.cumsum(failed, axis=0) - failed == 0
    return np.min(np.where(seen, pivots, np.inf), axis=0)


def least_curvature(game: ExecutionGame, index: int, steps: int) -> float:
    """Least eigenvalue of minus the Hessian of an agent's payoff in its own rates, in units of ``2 beta / N`` at its
    least: 1 for impact costs alone, not positive where the payoff is not concave."""
    zero = np.zeros((1, steps))
    hessian = marginal_payoff(game, index, np.eye(steps), np.zeros((steps, steps)), None)
    hessian = hessian - marginal_payoff(game, index, zero, zero, None)
    dt, beta = game.horizon / steps, game.coefficients(grid(game, steps)).temporary_impact.min()
    return float(-np.linalg.eigvalsh(hessian)[-1] / dt / (2 * beta / game.traders))


def _rates(game: ExecutionGame, c: ExecutionCoefficients, dt: float, push: Array) -> tuple[Array, str]:
    arguments = c, game.crowding, dt, game.start, push
    if linear.homogeneous(c):
        return linear.rates_by_modes(*arguments), "mean and deviation modes"
    if game.traders <= _SMALL:
        return linear.rates_by_matrices(*arguments), "Riccati matrices"
    try:
        return linear.rates_by_aggregate(*arguments), "agents decoupled given the total rate"
    except np.linalg.LinAlgError:
        if game.traders > LARGEST_SLOPE:
            raise
        return linear.rates_by_matrices(*arguments), "Riccati matrices"


def still_rates(game: ExecutionGame, times: Array) -> Array:
    """(K, N) equilibrium rates if a factor followed its drift alone.

    Raises:
        EquilibriumNotFound: an agent's own problem is unbounded, or the equations have no solution.
    """
    c, dt = game.coefficients(times), game.horizon / (len(times) - 1)
    require_concave(c, dt)
    try:
        return _rates(game, c, dt, game.push(c))[0]
    except np.linalg.LinAlgError as error:
        raise EquilibriumNotFound(f"the linear equations of the equilibrium have no solution: {error}") from error


def _check(
    game: ExecutionGame, c: ExecutionCoefficients, dt: float, inventories: Array, rates: Array
) -> tuple[Array, float, float]:
    """Step-averaged adjoints less ``w``, (K, N); the largest residual of the first-order condition, in currency; and
    the size of the terms that cancel in it, at least 1."""
    total = rates.sum(axis=1, keepdims=True)
    average, defect = _conditions(game, c, dt, inventories, rates, total - rates, game.drift(c, total[:, 0])[:, None])
    cost = game.premium(c, rates, total - rates)
    size = max(1.0, float(np.abs(average).max()), float(np.abs(cost).max()))
    return average, float(np.abs(defect).max()), size


def _conditions(
    game: ExecutionGame, c: ExecutionCoefficients, dt: float, paths: Array, own: Array, others: Array, drift: Array
) -> tuple[Array, Array]:
    """Step-averaged adjoints less ``w``, and what is left of the first-order condition in every step:
    ``Y + (alpha/N) Q - (beta/N) (2 v + pi sum of the others' v)``; (..., K, n) each."""
    average = fbsde.average_adjoints(_Penalties(dt, c.running_penalty, c.terminal_penalty), paths, drift)
    held = (paths[..., 1:, :] + paths[..., :-1, :]) / 2
    alpha, beta = (each[:, None] / game.traders for each in (c.permanent_impact, c.temporary_impact))
    return average, average + alpha * held - beta * (2 * own + game.crowding * others)


def marginal_payoff(game: ExecutionGame, index: int, own: Array, others: Array, factor: Array | None) -> Array:
    """Derivative of an agent's payoff in its rate at every step, (..., K), currency times time per share.

    Args:
        game: the game.
        index: the agent.
        own: its rates (..., K).
        others: sum of the others' rates (..., K).
        factor: (..., K+1, d) path of the factor; None: the undisturbed one.
    """
    steps = own.shape[-1]
    times, dt = grid(game, steps), game.horizon / steps
    c = game.coefficients(times, factor)
    drift = game.drift(c, own + others)[..., None]
    c = c._replace(running_penalty=c.running_penalty[:, index, None], terminal_penalty=c.terminal_penalty[index, None])
    start = np.full((*own.shape[:-1], 1, 1), game.start[index])
    paths = np.concatenate([start, start + dt * np.cumsum(own, axis=-1)[..., None]], axis=-2)
    return np.asarray(dt * _conditions(game, c, dt, paths, own[..., None], others[..., None], drift)[1][..., 0])

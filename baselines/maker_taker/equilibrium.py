"""Nash equilibria of the maker-taker game: (18)-(19), step-averaged, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...envs import Controls, MakerTakerGame, simulate
from ...envs.arrays import Array
from ...envs.memory import require_memory
from .. import attempts, fbsde, newton
from ..budget import Budget
from ..equilibrium import Equilibrium, Status, quotes_matter
from ..errors import EquilibriumNotFound
from ..noise.field import Field, FieldOptions
from ..noise.scheme import NoiselessSolution, decoupling_field
from ..sweep import slopes
from .messages import advice, diagnosis, message, notes
from .peaks import better_control
from .step_system import MakerTakerSteps
from .system import GameSystem, optimal_controls, system_size


@dataclass(frozen=True, eq=False)
class MakerTakerEquilibrium(Equilibrium):
    """An open-loop Nash equilibrium of the maker-taker game.

    With one buyer, two makers, equal penalties and volume on both sides, the paper gives uniqueness where (23) has a
    bounded solution (Theorem 4.2), as it has without running penalty (Theorem 4.3). Where no volume arrives, quotes are
    payoff-irrelevant, ``quotes_matter`` is False, and the quotes reported are those of (17). At tied best quotes
    ``slope`` is one-sided: of tied makers the first counts as the best.
    """

    game: MakerTakerGame

    def tabulate(self, options: FieldOptions | None = None) -> Field:
        """The decoupling field in a tube around the path, fitted: a policy for large batches of markets.

        :meth:`feedback` solves the game that is left from every state, exactly; a fitted field is evaluated in
        microseconds.

        Args:
            options: of the approximation.

        Raises:
            EquilibriumNotFound: the equations were not solved in the tube.
        """
        system = MakerTakerSteps(self.game, self.steps)
        return decoupling_field(system, NoiselessSolution(self.inventories, self.adjoints), options)[0]

    def _slope(self) -> Array:
        game = self.game
        system = _system(game, self.times, 0, game.start)
        closing = np.concatenate([game.closing, np.zeros(game.makers, dtype=bool)])
        try:
            return slopes(system, system.jacobian(self.adjoints), closing)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "slope: the last rate of a trader who must liquidate is truncated, it has no neighbours that close"
            ) from error

    def adjoint(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """The decoupling field ``p_k = u(t_k, Q)`` at inventories (..., n), by solving the game that is left.

        Raises:
            ValueError: ``k`` is not in 0..K (0..K-1 where a trader must liquidate), the inventory has a wrong length,
                or the factor is not where it moves without noise.
            EquilibriumNotFound: the remaining game was not solved.
        """
        last = self.steps - 1 if self.game.must_close else self.steps  # multipliers are no function of inventories
        inventory = self._inventory(k, inventory, last)
        self._check_factor(k, factor)
        if k == self.steps:
            return -2 * _system(self.game, self.times, 0, inventory).terminal * inventory
        system, result = self._remaining(k, inventory)
        return fbsde.node_adjoints(system, newton.paths(system, result.adjoints))[..., 0, :]

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., n)."""
        self._check_factor(k, factor)
        system, result = self._remaining(k, self._inventory(k, inventory, self.steps - 1))
        return optimal_controls(self.game, system.c.at(0), result.adjoints[..., 0, :])

    def _check_factor(self, k: int, factor: Array | None) -> None:
        """Raises ValueError for a factor off its path: here nothing is random."""
        if factor is None:
            return
        if self.game.factor is None:
            raise ValueError("factor: the game has none, expected None")
        here = self.game.factor.path(self.times)[k]
        if np.shape(factor)[-1:] != here.shape or not np.allclose(factor, here):
            raise ValueError(f"factor: it has no noise, expected {here} at step {k}, got {factor!r}; see tabulate()")

    def _remaining(self, k: int, inventory: Array) -> tuple[GameSystem, newton.Result]:
        system = _system(self.game, self.times, k, inventory)
        guess = np.broadcast_to(self.adjoints[k:], (*inventory.shape[:-1], *self.adjoints[k:].shape))
        result = attempts.solve_system(system, self.steps - k, guess)
        if not result.converged.all():
            raise EquilibriumNotFound(
                f"the game from step {k} was not solved for {int((~result.converged).sum())} of "
                f"{result.converged.size} inventories: residual {result.residual.max():.3g}. {advice(self.game)}"
            )
        return system, result


def solve_maker_taker(
    game: MakerTakerGame,
    times: Array,
    *,
    throw: bool = True,
    guess: Array | None = None,
    tolerance: float = 1e-11,
    budget: Budget | None = None,
) -> MakerTakerEquilibrium:
    """See :func:`~makertaker.baselines.solve`."""
    budget = budget or Budget()
    steps = len(times) - 1
    shape = (steps, len(game.agents))
    if guess is not None and (np.shape(guess) != shape or not np.isfinite(guess).all()):
        raise ValueError(f"guess: expected finite adjoints of shape {shape}, got shape {np.shape(guess)}")
    require_memory(steps, system_size(game, steps), f"an equilibrium of {len(game.agents)} agents")
    system = _system(game, times, 0, game.start)
    guesses = () if guess is None else (np.asarray(guess, dtype=float),)
    result = attempts.solve_system(system, steps, *guesses, tolerance=tolerance, budget=budget)
    controls = optimal_controls(game, system.c, result.adjoints)
    unusable = not all(np.isfinite(each).all() for each in controls)  # there is nothing to return
    if unusable or (throw and not result.converged):
        raise EquilibriumNotFound(diagnosis(game, system, result, budget))
    better = better_control(game, system.c, controls, controls, result.adjoints) if result.converged else ""
    if better and throw:
        raise EquilibriumNotFound(f"no equilibrium was found: {better}")
    with np.errstate(over="ignore", invalid="ignore"):  # in what is no solution
        trajectory = simulate(game, controls, steps)
    volumes = trajectory.activity.buy_volume, trajectory.activity.sell_volume
    found = result_of(game, times, result, controls, trajectory.inventories, trajectory.payoffs, volumes)
    if not found.converged:
        found = replace(found, message=f"not converged: {diagnosis(game, system, result, budget)}")
    return replace(found, status=Status.NO_MAXIMUM, message=f"{found.message}; {better}") if better else found


def result_of(
    game: MakerTakerGame,
    times: Array,
    result: newton.Result,
    controls: Controls,
    inventories: Array,
    payoffs: Array,
    volumes: tuple[Array, Array],
) -> MakerTakerEquilibrium:
    """The equilibrium of one game from what was found: controls (K, .), inventories (K+1, n), payoffs (n,), and the
    volumes (K,) at the asks and the bids."""
    matter = quotes_matter(*volumes)
    found = notes(game, controls, matter)
    return MakerTakerEquilibrium(
        game=game,
        times=times,
        inventories=inventories,
        adjoints=result.adjoints,
        controls=controls,
        payoffs=payoffs,
        quotes_matter=matter,
        residual=float(result.residual),
        iterations=result.iterations,
        status=Status.CONVERGED if result.converged else Status.NOT_CONVERGED,
        message=message(game, controls, result, found),
        notes=found,
    )


def _system(game: MakerTakerGame, times: Array, k: int, inventory: Array) -> GameSystem:
    dt = game.horizon / (len(times) - 1)
    return GameSystem(game, game.coefficients(times).at(slice(k, None)), dt, inventory)

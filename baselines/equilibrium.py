"""Nash equilibria of the grid game: ``solve`` and its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..envs.arrays import Array
from ..envs.grid import Policy, grid, simulate
from ..envs.maker_taker_game import Controls, MakerTakerGame
from . import fbsde, newton
from .policies import FieldPolicy, open_loop_policies

_LARGEST_SLOPE = 2000
_NO_VOLUME = 1e-12


class EquilibriumNotFound(RuntimeError):
    """A solver did not reach its tolerance; the message has the residual, where it got stuck and what to try."""


@dataclass(frozen=True)
class Equilibrium:
    """An open-loop Nash equilibrium of the grid game.

    With one buyer, two makers, equal penalties and volume on both sides, the paper gives uniqueness where (23) has a
    bounded solution (Theorem 4.2), as it has without running penalty (Theorem 4.3). Where no volume arrives, quotes are
    payoff-irrelevant, ``quotes_matter`` is False, and the quotes reported are those of (17).
    """

    game: MakerTakerGame
    times: Array
    """(K+1,)"""
    inventories: Array
    """(K+1, n)"""
    adjoints: Array
    """(K, n) step averages, the ones that give controls; for the node values see :meth:`adjoint`"""
    controls: Controls
    """(K, N), (K, M), (K, M)"""
    payoffs: Array
    """(n,) without the constant ``P_0 q_0``"""
    quotes_matter: Array
    """(K, 2) whether any volume arrives at the asks, and at the bids"""
    residual: float
    """largest absolute residual of the equations for the adjoints, in currency"""
    iterations: int
    converged: bool
    message: str

    @property
    def steps(self) -> int:
        """Number ``K`` of steps."""
        return len(self.times) - 1

    @cached_property
    def slope(self) -> Array:
        """``slope[k, i, j] = d p_k^i / d q^j``, (K+1, n, n): the Riccati matrix ``R_t`` of (23) at the nodes.

        At tied best quotes it is one-sided: of tied makers the first counts as the best.

        Raises:
            ValueError: more than 2,000 agents; the matrices would not fit into memory.
        """
        if len(self.game.agents) > _LARGEST_SLOPE:
            raise ValueError(f"slope: expected at most {_LARGEST_SLOPE} agents, got {len(self.game.agents)}")
        return newton.slopes(_system(self.game, self.times, 0, self.game.initial_inventory), self.adjoints)

    def adjoint(self, k: int, inventory: Array, factor: None = None) -> Array:
        """The decoupling field ``p_k = u(t_k, Q)`` at inventories (..., n), by solving the game that is left.

        Raises:
            ValueError: ``k`` is not in 0..K, or the inventory has a wrong length.
            EquilibriumNotFound: the remaining game was not solved.
        """
        inventory = self._inventory(k, inventory, self.steps)
        if k == self.steps:
            return -2 * _system(self.game, self.times, 0, inventory).terminal * inventory
        system, result = self._remaining(k, inventory)
        path = newton.paths(system, result.adjoints)
        return fbsde.node_adjoints(system, path)[..., 0, :]

    def controls_at(self, k: int, inventory: Array) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., n)."""
        system, result = self._remaining(k, self._inventory(k, inventory, self.steps - 1))
        return fbsde.optimal_controls(self.game, system.c.at(0), result.adjoints[..., 0, :])

    def open_loop(self) -> dict[str, Policy]:
        """The equilibrium as functions of time: the paper's concept. Opponents do not react to a deviation."""
        return open_loop_policies(self.game, self.controls)

    def feedback(self) -> dict[str, Policy]:
        """The decoupling field as a policy: the controls of the equilibrium that starts from where the market is.

        Along the equilibrium path it plays the same controls as :meth:`open_loop`. It is not an equilibrium among
        feedback policies: a deviator who knows that the others react may gain.
        """
        field = FieldPolicy(self)
        return {agent: field.of(agent) for agent in self.game.agents}

    def _inventory(self, k: int, inventory: Array, last: int) -> Array:
        inventory = np.asarray(inventory, dtype=float)
        if not isinstance(k, int | np.integer) or not 0 <= k <= last:
            raise ValueError(f"k: expected a step in 0..{last}, got {k!r}")
        if inventory.shape[-1:] != (len(self.game.agents),) or not np.isfinite(inventory).all():
            raise ValueError(
                f"inventory: expected finite numbers of shape (..., {len(self.game.agents)}), got {inventory!r}"
            )
        return inventory

    def _remaining(self, k: int, inventory: Array) -> tuple[fbsde.GameSystem, newton.Result]:
        system = _system(self.game, self.times, k, inventory)
        steps = self.steps - k
        guess = np.broadcast_to(self.adjoints[k:], (*inventory.shape[:-1], *self.adjoints[k:].shape))
        result = newton.solve_system(system, steps, guess, longest=self.game.competition.margin)
        if not result.converged.all():
            raise EquilibriumNotFound(
                f"the game from step {k} was not solved for {int((~result.converged).sum())} of "
                f"{result.converged.size} inventories: residual {result.residual.max():.3g}. {_ADVICE}"
            )
        return system, result


_ADVICE = "Try a larger max_quote and max_rate (kinks at the bounds), a shorter horizon or smaller penalties."


def solve(
    game: MakerTakerGame,
    steps: int = 100,
    *,
    throw: bool = True,
    guess: Array | None = None,
    tolerance: float = 1e-11,
) -> Equilibrium:
    """The open-loop Nash equilibrium of the grid game: (18)-(19), step-averaged, by Newton's method.

    Args:
        game: the game.
        steps: number K of steps. The result is exact in the environment with as many steps, and converges to the
            paper's continuous-time equilibrium at second order.
        throw: whether to raise if the tolerance is not reached; otherwise the result says so in ``converged``.
        guess: adjoints (K, n) to start from.
        tolerance: on the residual, absolute for adjoints below 1 and relative above.

    Raises:
        ValueError: ``steps`` or ``guess`` do not fit.
        EquilibriumNotFound: Newton's method and continuation in the penalties both failed.
    """
    times = grid(game, steps)
    shape = (steps, len(game.agents))
    if guess is not None and (np.shape(guess) != shape or not np.isfinite(guess).all()):
        raise ValueError(f"guess: expected finite adjoints of shape {shape}, got shape {np.shape(guess)}")
    system = _system(game, times, 0, game.initial_inventory)
    result = newton.solve_system(system, steps, guess, tolerance=tolerance, longest=game.competition.margin)
    if throw and not result.converged:
        raise EquilibriumNotFound(_diagnosis(game, system, result))
    controls = fbsde.optimal_controls(game, system.c, result.adjoints)
    trajectory = simulate(game, controls, steps)
    volumes = np.stack([trajectory.activity.buy_volume, trajectory.activity.sell_volume], axis=-1)
    matter = volumes > _NO_VOLUME * max(1.0, float(volumes.max()))
    return Equilibrium(
        game=game,
        times=times,
        inventories=trajectory.inventories,
        adjoints=result.adjoints,
        controls=controls,
        payoffs=trajectory.payoffs,
        quotes_matter=matter,
        residual=float(result.residual),
        iterations=result.iterations,
        converged=bool(result.converged),
        message=_message(game, controls, matter, result),
    )


def _system(game: MakerTakerGame, times: Array, k: int, inventory: Array) -> fbsde.GameSystem:
    dt = game.horizon / (len(times) - 1)
    return fbsde.GameSystem(game, game.coefficients(times).at(slice(k, None)), dt, inventory)


def _message(game: MakerTakerGame, controls: Controls, matter: Array, result: newton.Result) -> str:
    parts = ["converged" if result.converged else "not converged"]
    if result.stages:
        parts.append(f"{result.stages} stages of continuation in the penalties")
    for side, column in (("ask", 0), ("bid", 1)):
        idle = int((~matter[:, column]).sum())
        if idle:
            parts.append(
                f"{side} quotes are undetermined on {idle} of {len(matter)} steps: no volume arrives there, "
                "the equilibrium is not unique"
            )
    largest = np.abs(controls.rate).max()
    if largest >= game.max_rate:
        parts.append(f"rates are truncated at max_rate = {game.max_rate:g}")
    if max(np.abs(controls.ask).max(), np.abs(controls.bid).max()) >= game.max_quote:
        parts.append(f"quotes are truncated at max_quote = {game.max_quote:g}")
    return "; ".join(parts)


def _diagnosis(game: MakerTakerGame, system: fbsde.GameSystem, result: newton.Result) -> str:
    defect = np.abs(fbsde.residual(system, result.adjoints))
    k, agent = np.unravel_index(np.argmax(np.nan_to_num(defect, nan=np.inf)), defect.shape)
    return (
        f"residual {float(result.residual):.3g} after {result.iterations} Newton iterations and {result.stages} "
        f"continuation stages; it is largest for {game.agents[agent]} at step {k}. {_ADVICE}"
    )

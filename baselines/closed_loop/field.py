"""Everyone's values and controls as functions of the state, by backward induction in a tube."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from ...envs import Controls, Game
from ...envs.arrays import Array
from ...envs.grid import terminal_reward
from ..errors import EquilibriumNotFound
from ..noise.field import Tube, as_state, inventory_sd, next_factors, sample_box
from ..noise.polynomials import Basis, Polynomial, cubature, fit
from ..noise.step_system import StepSystem
from ..policies import Rule
from ..progress import told
from .options import ENOUGH
from .stage import SOLVED, Controlled, StageGames, joined, separated
from .ties import tied

_NEAR = 3.0
"""weight of the residuals at points in the middle of the tube, which the state visits most"""


class Unsolved(NamedTuple):
    """What went wrong in a backward pass."""

    points: int
    """stage games that were not solved, of all steps"""
    flat: int
    """stage games at whose solution an agent's payoff does not curve downwards in its own controls"""
    ties: int
    """steps in which the makers whose quotes are the best differ within the tube"""
    misfit: float
    """largest error of fitted values, in payoff units"""


@dataclass(frozen=True)
class ReactionField(Rule):
    """Values and controls of a feedback (Markov-perfect) equilibrium, fitted at every node of the grid."""

    game: Game
    system: StepSystem
    tube: Tube
    surfaces: tuple[Polynomial, ...]
    """K+1 functions of the state: everyone's values and, but for the last, controls"""
    unsolved: Unsolved
    points: int
    """stage games of all steps"""
    cubature: tuple[Array, Array]
    """nodes (J, d) and weights (J,) of the expectation over the factor's noise"""

    @property
    def steps(self) -> int:
        """Number K of steps."""
        return self.system.steps

    def values(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Everyone's expected payoffs from node ``k`` on, (..., n)."""
        return self.surfaces[k](as_state(inventory, factor))[..., : len(self.game.start)]

    def value_slope(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """``d V_i / d Q_j`` at node ``k``, (..., n, n)."""
        n = len(self.game.start)
        return self.surfaces[k].slope(as_state(inventory, factor))[..., :n, -n:]

    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Everyone's controls in step ``k`` at inventories (..., n) and a factor (..., d).

        Raises:
            EquilibriumNotFound: they are not finite: a fit that leads nowhere.
        """
        found = self.surfaces[k](as_state(inventory, factor))[..., len(self.game.start) :]
        if not np.isfinite(found).all():
            raise EquilibriumNotFound(
                f"no feedback equilibrium was found: at step {k} a rough one leads nowhere; {self.system.no_stage_game}"
            )
        return self.game.clip(separated(self.system, found))

    def reactions(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """Derivatives of all controls side by side, ``(rates, asks, bids)``, in inventories, (..., m, n)."""
        n = len(self.game.start)
        return self.surfaces[k].slope(as_state(inventory, factor))[..., n:, -n:]

    def ahead(self, k: int, inventory: Array, factor: Array, rate: Array) -> Array:
        """(B, n) expectation in step ``k`` of the next node's values, at states (B, n), (B, d) and rates (B, n)."""
        nodes, weights = self.cubature
        moved = next_factors(self.system, k, factor, nodes)
        expected = self.surfaces[k + 1].expected(moved, weights, inventory_sd(self.system))
        return np.asarray(expected(inventory + self.system.dt * rate))[:, : len(self.game.start)]


def backward(
    system: StepSystem, tube: Tube, basis: Basis, points: int, seed: int, guess: ReactionField | Controls
) -> ReactionField:
    """Backward induction of everyone's value function.

    Args:
        system: the game's equations.
        tube: the region in which values are fitted.
        basis: of the polynomials.
        points: stage games of a step, a power of two.
        seed: of the sample points.
        guess: what Newton's method starts from: controls of every step (K, ...), or another field.

    Raises:
        EquilibriumNotFound: at a step more than half of the stage games were not solved.
    """
    game = system.game
    n = len(game.start)
    d = tube.center.shape[1] - n
    nodes, weights = cubature(d, basis.degree + 1)
    noise, draw = inventory_sd(system), qmc.Sobol(n + d, seed=seed)
    sizes = np.where(np.arange(points) % 2, _NEAR, 1.0)
    cash = np.array([game.payoff_unit(agent) for agent in game.agents])

    states = sample_box(tube.box(system.steps), draw.random(points))
    last = terminal_reward(system.coefficients(system.steps - 1, states[:, :d] if d else None), states[:, d:])
    # exactly, so that it holds far away as well
    surfaces = [fit(replace(basis, degree=2), tube.box(system.steps), states, last, sizes)]
    unsolved, flat, ties, misfit = 0, 0, 0, 0.0
    for k in told("feedback equilibrium", range(system.steps)[::-1]):
        states = sample_box(tube.box(k), draw.random(points))
        factor, inventory = states[:, :d], states[:, d:]
        ahead = surfaces[-1].expected(next_factors(system, k, factor, nodes), weights, noise).first(n)
        games = StageGames(system, k, factor, inventory, ahead, np.arange(n))
        controls, left = games.solve(_start(system, guess, surfaces, k, inventory, factor))
        solved = left <= SOLVED
        if solved.mean() < ENOUGH:
            raise EquilibriumNotFound(
                f"no feedback equilibrium was found: at step {k}, {int(solved.sum())} of {len(solved)} stage games "
                f"near its path were solved; {system.no_stage_game}"
            )
        members = np.flatnonzero(solved)
        controls, states = controls[members], states[members]
        unsolved += int((~solved).sum())
        flat += int((~games.curved(members, controls)).sum())
        ties += tied(system.places, separated(system, controls))
        values = np.concatenate([games.values(members, controls), controls], axis=-1)
        surface = fit(basis, tube.box(k), states, values, sizes[members])
        errors = np.sqrt(((surface(states) - values)[:, :n] ** 2).mean(axis=0))
        misfit = max(misfit, float((errors / cash).max()))
        surfaces.append(surface)
    return ReactionField(
        game,
        system,
        tube,
        tuple(surfaces[::-1]),
        Unsolved(unsolved, flat, ties, misfit),
        points * system.steps,
        (nodes, weights),
    )


def _start(
    system: StepSystem,
    guess: ReactionField | Controls,
    surfaces: list[Polynomial],
    k: int,
    inventory: Array,
    factor: Array,
) -> Array:
    """(B, m) controls from which Newton's method starts."""
    m = len(Controlled.of(system).owner)
    if isinstance(guess, ReactionField):
        return guess.surfaces[k](as_state(inventory, factor))[..., -m:]
    if len(surfaces) > 1:  # nearby in time, and at the state
        return surfaces[-1](as_state(inventory, factor))[..., -m:]
    return np.broadcast_to(joined(Controls(*(each[k] for each in guess))), (len(inventory), m))

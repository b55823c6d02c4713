"""Best responses in games with noise, against opponents that do not react.

Opponents' controls are processes: their controls along the no-deviation state ``X = (L, Q)``. A
deviator's inventory differs from its own undisturbed one by ``D``, which no noise moves; its adjoint solves

    y = E_k[p_{k+1}] - 2 phi (dt Q^i_k / 2 + r dt^2 / 3),   Q^i = X^i + D,

with the others' controls given: a scalar equation of its own, a function of ``(X, D)``. It is solved backward like the
equilibrium's (:mod:`~makertaker.baselines.noise.field`), the states being those of a simulation of the profile, then
played on fresh noise. What it gains there, on common random numbers, is a gain that the agent can have; so the estimate
is a lower bound that is exact up to the square of the field's error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from ...envs import Controls, Game, Trajectory, draw_noise, simulate
from ...envs.arrays import Array
from ...envs.grid import agent_controls
from ..errors import EquilibriumNotFound
from ..profiles import BestResponse, Profile, replaced, undisturbed
from ..progress import told
from ..sampling import scored
from .field import REACH, as_state, at_node, inventory_sd, next_factors, power_of_two, solve_points
from .polynomials import Basis, Box, Expected, Polynomial, cubature, fit
from .step_system import AgentsInStep, StepSystem, held_gain

_DEVIATIONS = 4.0
_PASSES = 3
_FLOOR = 1e-9
"""spread of a coordinate, in its characteristic size, below which it counts as constant"""
_SOLVED = 1e-7


@dataclass(frozen=True)
class ResponseOptions:
    """Options of the search for best responses under noise.

    Args:
        degree: of the polynomials.
        paths: simulated to find a response.
        scored: fresh paths on which it is played; even.
        seed: of all noise.
    """

    degree: int = 3
    paths: int = 2048
    scored: int = 4096
    seed: int = 0


def noisy_gains(
    system: StepSystem, profile: Profile, agents: Sequence[str] | None = None, options: ResponseOptions | None = None
) -> tuple[Array, list[BestResponse]]:
    """Gains from best responses against open-loop opponents.

    Args:
        system: equations of a game with noise.
        profile: see :func:`~makertaker.baselines.profiles.undisturbed`.
        agents: the deviators, each alone; by default all.
        options: of the search.

    Returns:
        Mean payoffs (n,) in the profile, and a gain for each of the agents.
    """
    options, game, steps = options or ResponseOptions(), system.game, system.steps
    wanted = list(game.agents if agents is None else agents)
    noises = [
        draw_noise(game, steps, paths, options.seed + i) for i, paths in enumerate((options.paths, options.scored))
    ]
    search, score = (undisturbed(game, profile, steps, noise) for noise in noises)
    found: dict[str, BestResponse] = {}
    for role in _roles(game):
        names = [name for name in game.agents[role] if name in wanted]
        if names:
            played = _Response(system, role, search, options).play(score)
            for name in names:
                index = game.positions[name]
                after = simulate(game, replaced(game, score.controls, played, index), steps, noises[1])
                found[name] = scored(score, after, index)
    return score.payoffs.mean(axis=0), [found[name] for name in wanted]


def deviation(
    system: StepSystem, profile: Profile, agent: str, options: ResponseOptions
) -> Callable[[Trajectory], Array]:
    """An agent's best response to opponents that do not react, as a function of undisturbed paths: its controls along
    them, (B, K, 1) or (B, K, 2)."""
    game = system.game
    noise = draw_noise(game, system.steps, options.paths, options.seed)
    (role,) = (each for each in _roles(game) if agent in game.agents[each])
    response = _Response(system, role, undisturbed(game, profile, system.steps, noise), options)
    return lambda paths: agent_controls(game, response.play(paths), agent)


def _roles(game: Game) -> list[slice]:
    roles = slice(0, game.traders), slice(game.traders, len(game.agents))
    return [role for role in roles if role.start < role.stop]


class _Response:
    """The field of every agent of a role, as a function of the undisturbed state and of its own deviation."""

    def __init__(self, system: StepSystem, role: slice, paths: Trajectory, options: ResponseOptions) -> None:
        self.system, self.role, self.paths, self.options = system, role, paths, options
        self.count = role.stop - role.start
        self.states = as_state(paths.inventories, paths.factor)
        shape = (system.steps + 1, self.count)
        self.reach = REACH * system.shares[role]
        self.center, self.half = np.zeros(shape), np.broadcast_to(2 * self.reach, shape)
        self.surfaces: list[list[Polynomial]] = []
        """for every step and agent: node adjoint, step average"""
        self._solve()

    def _solve(self) -> None:
        """Backward passes, each around the deviations that the one before led to."""
        for number in range(_PASSES):
            last = number == _PASSES - 1
            self._backward(self.options.degree if last else min(2, self.options.degree), self.options.seed + number)
            if not last:
                away = self._deviations(self.paths)[0]
                self.center = away.mean(axis=0)
                self.half = np.maximum(self.reach, _DEVIATIONS * away.std(axis=0))

    def play(self, paths: Trajectory) -> Controls:
        """(B, K, ...) each agent's own controls if it alone deviates, along undisturbed paths."""
        return self._deviations(paths)[1]

    def _in_role(self, k: int, paths: Trajectory) -> AgentsInStep:
        """The agents in one step, along undisturbed paths."""
        c = self.system.coefficients(k, at_node(paths, k)[1])
        return self.system.in_role(c, Controls(*(each[:, k] for each in paths.controls)), self.role)

    def _box(self, k: int, agent: int) -> Box:
        states, units = self.states[:, k], self.system.units
        spread = _DEVIATIONS * states.std(axis=0)
        center = np.append(states.mean(axis=0), self.center[k, agent])
        return Box(center, np.append(np.where(spread > _FLOOR * units, spread, units), self.half[k, agent]))

    def _fit(self, k: int, basis: Basis, away: Array, values: Sequence[Array], solved: Array) -> list[Polynomial]:
        """Each agent's values, (B, m) each, as a function of the undisturbed state and its own deviation (B, m)."""
        points, columns = _with_own(self.states[:, k], away), np.stack(values, axis=-1)
        ones = np.ones(int(solved.sum()))
        return [fit(basis, self._box(k, i), at[solved], columns[solved, i], ones) for i, at in enumerate(points)]

    def _backward(self, degree: int, seed: int) -> None:
        system, paths = self.system, self.paths
        batch, dt = len(paths.inventories), system.dt
        basis = Basis(self.states.shape[-1] + 1, degree)
        nodes, weights = cubature(self.states.shape[-1] - paths.inventories.shape[-1], degree + 1)
        noise = np.append(inventory_sd(system), 0.0)
        draw = qmc.Sobol(self.count, seed=seed).random(power_of_two(batch * (system.steps + 1)))
        terminal, own = system.terminal[self.role], paths.inventories[..., self.role]

        def deviations(k: int) -> Array:
            return self.center[k] + self.half[k] * (2 * draw[k * batch : (k + 1) * batch] - 1)

        away = deviations(system.steps)
        ahead = self._fit(system.steps, basis, away, [-2 * terminal * (own[:, -1] + away)], np.ones(batch, dtype=bool))
        self.surfaces = []
        for k in told("best responses under noise", range(system.steps)[::-1]):
            role = self._in_role(k, paths)
            away = deviations(k)
            held = own[:, k] + away
            undisturbed, factor = at_node(paths, k)
            moved = next_factors(system, k, factor, nodes)
            expected = _Ahead(
                tuple(surface.expected(moved, weights, noise).first(1) for surface in ahead),
                undisturbed + dt * paths.activity.inventory_rate[:, k],
                self.role,
            )
            running = system.running(k)[self.role]
            guess = -2 * terminal * held
            if self.surfaces:
                guess = _averages(self.surfaces[0], self.states[:, k], away)
            adjoint, rate, left = solve_points(role, expected, held, running, dt, guess, system.price)
            solved = left <= _SOLVED
            if solved.mean() < 0.5:
                names = ", ".join(system.game.agents[self.role])
                raise EquilibriumNotFound(
                    f"the best response of {names} was not found: at step {k} its equation was solved in "
                    f"{int(solved.sum())} of {batch} states. The opponents' controls may be extreme"
                )
            node = expected(held + dt * rate) + held_gain(running, dt, held, rate, role.drift(rate))
            ahead = self._fit(k, basis, away, [node, adjoint], solved)
            self.surfaces.insert(0, ahead)

    def _deviations(self, paths: Trajectory) -> tuple[Array, Controls]:
        """(B, K+1, m) deviations of each agent if it alone deviates, and its controls, (B, K, ...)."""
        system = self.system
        states = as_state(paths.inventories, paths.factor)
        away = np.zeros((len(states), self.count))
        path, taken = [away], []
        for k in range(system.steps):
            role = self._in_role(k, paths)
            adjoint = _averages(self.surfaces[k], states[:, k], away)
            held = paths.inventories[:, k, self.role] + away
            taken.append(system.game.clip(role.controls(adjoint, held)))
            rate = role.rates(slice(None), adjoint, held)
            away = away + system.dt * (rate - paths.activity.inventory_rate[:, k, self.role])
            path.append(away)
        controls = Controls(*(np.stack(each, axis=1) for each in zip(*taken, strict=True)))
        return np.stack(path, axis=1), controls


def _averages(surfaces: Sequence[Polynomial], states: Array, away: Array) -> Array:
    """(B, m) step-averaged adjoints of every agent at undisturbed states (B, D) and own deviations (B, m)."""
    points = _with_own(states, away)
    return np.stack([surface(at)[:, 1] for surface, at in zip(surfaces, points, strict=True)], axis=-1)


def _with_own(states: Array, away: Array) -> list[Array]:
    """For each agent the states (B, D), with its own deviation, of (B, m), as the last coordinate."""
    return [np.concatenate([states, away[:, i : i + 1]], axis=-1) for i in range(away.shape[-1])]


@dataclass(frozen=True)
class _Ahead:
    """Expectation of the next node's adjoints as a function of the deviators' mean inventories (B, m)."""

    expected: tuple[Expected, ...]
    base: Array
    """(B, n) mean undisturbed inventories"""
    role: slice

    def at(self, members: Array) -> _Ahead:
        return _Ahead(tuple(each.at(members) for each in self.expected), self.base[members], self.role)

    def _points(self, mean: Array) -> list[Array]:
        return _with_own(self.base, mean - self.base[:, self.role])

    def __call__(self, mean: Array) -> Array:
        parts = [each(at) for each, at in zip(self.expected, self._points(mean), strict=True)]
        return np.concatenate(parts, axis=-1)

    def slope(self, mean: Array) -> Array:
        last = self.base.shape[-1]
        parts = [each.slope(at, [last])[:, 0, 0] for each, at in zip(self.expected, self._points(mean), strict=True)]
        return np.stack(parts, axis=-1)[..., None] * np.eye(mean.shape[-1])

"""Best responses: to open-loop opponents exactly, to policies that react as a lower bound.

Against open-loop opponents an agent faces a concave problem of its own. Its adjoint solves a scalar grid system whose
rates rise with the adjoint, so the solution is unique; Newton's method solves it for all agents of a role at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from ..envs.arrays import Array
from ..envs.competition import best_of_others
from ..envs.grid import (
    Policy,
    State,
    agent_controls,
    agent_index,
    check_controls,
    check_names,
    grid,
    rollout,
    simulate,
)
from ..envs.maker_taker_game import Coefficients, Controls, MakerTakerGame
from . import newton
from .equilibrium import EquilibriumNotFound


class BestResponse(NamedTuple):
    """An agent's best response, or the best that was found."""

    controls: Controls
    """the joint profile (K, N), (K, M), (K, M) with the agent's controls replaced"""
    payoff: float
    """of the agent, in currency"""
    gain: float
    """over its payoff in the profile it deviates from"""


@dataclass(frozen=True)
class _Deviators:
    """The agents of one role as a batch of scalar systems (role, K, 1), everyone else's controls being fixed."""

    game: MakerTakerGame
    c: Coefficients
    controls: Controls
    dt: float
    agents: slice

    @property
    def initial(self) -> Array:
        return self.game.initial_inventory[self.agents, None]

    @property
    def running(self) -> Array:
        return self.c.running_penalty.T[self.agents, :, None]

    @property
    def terminal(self) -> Array:
        return self.c.terminal_penalty[self.agents, None]


class _Traders(_Deviators):
    """Rate ``(y - s) / (2 beta)``, truncated: the trader's line of (17) at given quotes."""

    def schedules(self, adjoints: Array) -> tuple[Array, Array]:
        """Rates (K, N) and whether they are free of truncation."""
        game, c = self.game, self.c
        spread = game.spread_paid(c, self.controls.ask.min(axis=-1), self.controls.bid.min(axis=-1))
        low, high = game.rate_bounds
        rate = np.clip(game.impact.optimal_rate(c.impact, adjoints[..., 0].T - spread), low, high)
        return rate, (rate > low) & (rate < high)

    def rates(self, adjoints: Array) -> Array:
        return self.schedules(adjoints)[0].T[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        free = self.schedules(adjoints)[1]
        return (free * self.game.impact.optimal_rate_slope(self.c.impact)).T[..., None, None]

    def start(self) -> Array:
        """The crude guess of the equilibrium's solver will do: rates are piecewise linear in the adjoint."""
        return newton.start(self, len(self.c.buy_flow))

    def responses(self, adjoints: Array) -> list[Controls]:
        rates = self.schedules(adjoints)[0]
        result = []
        for i in range(self.game.traders):
            rate = self.controls.rate.copy()
            rate[:, i] = rates[:, i]
            result.append(self.controls._replace(rate=rate))
        return result


class _Makers(_Deviators):
    """Quotes ``1/gamma +- y``, truncated: the maker's line of (17) at given rates and quotes of the others."""

    def quotes(self, adjoints: Array) -> tuple[Array, Array]:
        """Asks and bids (K, M)."""
        own = adjoints[..., 0].T
        competition, limit = self.game.competition, self.game.max_quote
        return competition.optimal_quote(own, limit), competition.optimal_quote(-own, limit)

    def rates(self, adjoints: Array) -> Array:
        competition = self.game.competition
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        ask, bid = self.quotes(adjoints)
        sold = buys[:, None] * competition.share(ask, best_of_others(self.controls.ask))
        bought = sells[:, None] * competition.share(bid, best_of_others(self.controls.bid))
        return (bought - sold).T[..., None]

    def jacobian(self, adjoints: Array) -> Array:
        competition, limit = self.game.competition, self.game.max_quote
        buys, sells = self.game.volumes(self.c, self.controls.rate)
        ask, bid = self.quotes(adjoints)
        sold = buys[:, None] * competition.share_slope(ask, best_of_others(self.controls.ask))
        bought = sells[:, None] * competition.share_slope(bid, best_of_others(self.controls.bid))
        slope = -1.0 * (np.abs(ask) < limit) * sold - (np.abs(bid) < limit) * bought
        return slope.T[..., None, None]

    def start(self) -> Array:
        """Quotes around the middle of the others' best: elsewhere exponential rates are astronomical."""
        middle = (best_of_others(self.controls.ask) - best_of_others(self.controls.bid)) / 2
        return np.array(middle.T[..., None])

    def responses(self, adjoints: Array) -> list[Controls]:
        asks, bids = self.quotes(adjoints)
        result = []
        for i in range(self.game.makers):
            ask, bid = self.controls.ask.copy(), self.controls.bid.copy()
            ask[:, i], bid[:, i] = asks[:, i], bids[:, i]
            result.append(self.controls._replace(ask=ask, bid=bid))
        return result


def best_responses(
    game: MakerTakerGame, controls: Controls, steps: int, *, traders_only: bool = False
) -> list[Controls]:
    """For every agent (or every trader), the profile in which it plays its best response and the others stay.

    Raises:
        ValueError: shapes do not fit, or controls are not finite.
        EquilibriumNotFound: an agent's own problem was not solved.
    """
    controls = single_profile(game, controls, steps)
    times = grid(game, steps)
    c, dt = game.coefficients(times), game.horizon / steps
    result: list[Controls] = []
    roles = ((_Traders, slice(0, game.traders)), (_Makers, slice(game.traders, None)))
    for kind, agents in roles[:1] if traders_only else roles:
        system = kind(game, c, controls, dt, agents)
        solution = newton.solve_system(system, steps, system.start(), longest=game.competition.margin)
        if not solution.converged.all():
            stuck = np.array(game.agents)[agents][~solution.converged]
            raise EquilibriumNotFound(
                f"the best response of {', '.join(stuck)} was not found: residual {solution.residual.max():.3g} after "
                f"{solution.iterations} Newton iterations. The opponents' quotes may be extreme."
            )
        result += system.responses(solution.adjoints)
    return result


def single_profile(game: MakerTakerGame, controls: Controls, steps: int) -> Controls:
    """One profile of NumPy controls in double precision. Raises ValueError for anything else."""
    controls = check_controls(game, controls, steps)
    if controls.rate.ndim != 2:
        raise ValueError(f"controls: expected one profile without batch axes, got shape {tuple(controls.rate.shape)}")
    return Controls(*(np.asarray(each, dtype=float) for each in controls))


def best_response(game: MakerTakerGame, controls: Controls, agent: str, steps: int) -> BestResponse:
    """The exact best response of one agent against open-loop opponents.

    Args:
        game: the game.
        controls: the profile (K, N), (K, M), (K, M) to deviate from.
        agent: name of the deviator.
        steps: K.

    Raises:
        ValueError: an unknown agent, or controls that do not fit.
        EquilibriumNotFound: the agent's problem was not solved.
    """
    index = agent_index(game, agent)
    controls = single_profile(game, controls, steps)
    response = best_responses(game, controls, steps)[index]
    payoff = float(simulate(game, response, steps).payoffs[index])
    return BestResponse(response, payoff, payoff - float(simulate(game, controls, steps).payoffs[index]))


def best_response_to_policies(
    game: MakerTakerGame,
    policies: Mapping[str, Policy],
    agent: str,
    steps: int,
    *,
    iterations: int = 200,
) -> BestResponse:
    """A lower bound on what an agent can gain against policies that react to what it does.

    The deviator's schedule is optimised by L-BFGS-B from its own path and from its best response to the path the others
    take now, over the game's action range, widened to hold both. Gradients are central differences; one batched rollout
    gives a gradient.

    Raises:
        ValueError: an unknown agent, or a policy is missing.
        EquilibriumNotFound: an opponent's policy is an equilibrium's field that has no answer on its own path.
    """
    index = agent_index(game, agent)
    check_names(game, policies)
    base = rollout(game, policies, steps)
    response = best_responses(game, base.controls, steps)[index]
    own = agent_controls(game, base.controls, agent)
    low, high = _search_range(game, agent, own, agent_controls(game, response, agent))
    unit = game.control_unit(agent)

    def values(schedules: Array) -> Array:
        def deviate(k: int, state: State) -> Array:
            return schedules[:, k]

        start = np.broadcast_to(game.initial_inventory, (len(schedules), len(game.agents)))
        paths = rollout(game, {**policies, agent: deviate}, steps, inventories=start)
        return np.asarray(paths.payoffs[:, index])

    def objective(x: Array) -> tuple[float, Array]:
        # a probe at a bound is one-sided there: rollouts truncate controls
        points = np.concatenate([np.zeros((1, x.size)), 1e-5 * np.eye(x.size), -1e-5 * np.eye(x.size)]) + x
        points = np.clip(points, low.ravel() / unit, high.ravel() / unit)
        try:
            payoff = values(points.reshape(-1, *own.shape) * unit)
        except EquilibriumNotFound:  # the others' field has no answer to this schedule: do not go there
            return 1e3 * (1 + abs(float(base.payoffs[index]))), np.zeros(x.size)
        width = np.maximum((points[1 : 1 + x.size] - points[1 + x.size :]).diagonal(), 1e-12)
        return -float(payoff[0]), -(payoff[1 : 1 + x.size] - payoff[1 + x.size :]) / width

    best, payoff = own, float(base.payoffs[index])
    for first in (own, agent_controls(game, response, agent)):
        found = minimize(
            objective,
            first.ravel() / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low.ravel() / unit, high.ravel() / unit, strict=True)),
            options={"maxiter": iterations, "maxls": 40, "ftol": 1e-14, "gtol": 1e-9},
        )
        if -found.fun > payoff:
            best, payoff = found.x.reshape(own.shape) * unit, -float(found.fun)
    schedule = best

    def play(k: int, state: State) -> Array:
        return schedule[k]

    controls = rollout(game, {**policies, agent: play}, steps).controls
    return BestResponse(controls, payoff, payoff - float(base.payoffs[index]))


def _search_range(game: MakerTakerGame, agent: str, *schedules: Array) -> tuple[Array, Array]:
    """Lowest and highest schedules (K, 1) or (K, 2): the action range, widened to hold the given ones."""
    low, high = (agent_controls(game, bound, agent) for bound in game.action_range())
    stacked = np.stack(schedules)
    return np.minimum(low, stacked.min(axis=0)), np.maximum(high, stacked.max(axis=0))

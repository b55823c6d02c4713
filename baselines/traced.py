"""Gradients of what a schedule earns against policies that JAX can follow: one pass there and back, of any length.

Differences take a rollout or two for each entry of the schedule, a compiled program takes a second before it begins: it
is worth it from :data:`TRACED_FROM` entries on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from ..envs.arrays import Array, as_like
from ..envs.game import Game
from ..envs.grid import Policy, Position, State, advance, closing_rates, grid
from ..envs.noise import NO_SHOCKS
from ..envs.packing import agent_index, control_size, split_controls

ScheduleSlopes: TypeAlias = Callable[[Array, Array], Array]
"""gradients (P, K, w) of an agent's payoffs by its schedules (P, K, w), from starts (P, n)"""

TRACED_FROM = 150
"""entries of a schedule"""


def traced_slopes(game: Game, policies: Mapping[str, Policy], agent: str, steps: int) -> ScheduleSlopes | None:
    """The gradient of an agent's payoff by its schedule, through policies that react to it.

    A policy that can be differentiated has a method ``traced(k, state)``: the same as the policy of one market, on a
    step and a state that JAX traces.

    Args:
        game: the game, without noise.
        policies: everyone's.
        agent: the deviator.
        steps: K.

    Returns:
        None where a policy has no such method, the schedule is short, or there is no JAX; and where a function of the
        user's, in the game or in a policy, works on NumPy's arrays alone.
    """
    others = {name: getattr(policy, "traced", None) for name, policy in policies.items() if name != agent}
    short = steps * control_size(game, agent) < TRACED_FROM
    if short or game.random or None in others.values() or find_spec("jax") is None:
        return None
    import jax

    payoff = _payoff(game, others, agent, steps)
    gradient = jax.jit(jax.vmap(jax.grad(payoff)))

    def slopes(schedules: Array, starts: Array) -> Array:
        with jax.enable_x64(True):
            return np.asarray(gradient(np.asarray(schedules, dtype=float), np.asarray(starts, dtype=float)))

    try:
        with jax.enable_x64(True):
            jax.eval_shape(payoff, np.zeros((steps, control_size(game, agent))), game.start)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):  # something asks for numbers that are not there yet
        return None
    return slopes


def _payoff(game: Game, others: Mapping[str, Any], agent: str, steps: int) -> Callable[[Array, Array], Array]:
    """The agent's payoff from a schedule (K, w) and a start (n,), in JAX: the rollout of :mod:`..envs.grid`."""
    import jax
    import jax.numpy as jnp

    times, dt, index = grid(game, steps), game.horizon / steps, agent_index(game, agent)
    coefficients = game.coefficients(times)

    def payoff(schedule: Array, start: Array) -> Array:
        c, clock = coefficients.like(start), as_like(times, start)

        def play(now: tuple[Position, Array, Array], k: Array) -> tuple[Any, Array]:
            here, quotes, volumes = now
            state = State(clock[k], None, here.inventories, quotes, None, here.price, volumes)
            asked = [schedule[k] if name == agent else others[name](k, state) for name in game.agents]
            controls = game.clip(split_controls(game, jnp.concatenate(asked)))
            controls = closing_rates(game, controls, here.inventories, dt, steps - 1 - k)
            end = advance(game, c.at(k), clock[k], dt, here, controls, NO_SHOCKS, k + 1 == steps)
            traded = dt * jnp.stack([end.activity.buy_volume, end.activity.sell_volume])
            return (end.position, jnp.stack([controls.ask, controls.bid]), traded), end.reward[index]

        price = as_like(game.initial_price, start)
        first = Position(start, None, price), as_like(np.zeros((2, game.makers)), start), as_like(np.zeros(2), start)
        return jax.lax.scan(play, first, jnp.arange(steps))[1].sum()

    return payoff

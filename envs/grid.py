"""The grid game: the game with controls and coefficients constant on each of K equal steps, integrated exactly.

Within a step inventories are linear in time, so ``int Q^2 dt = dt (Q_k^2 + Q_k Q_{k+1} + Q_{k+1}^2) / 3``. There is no
discretisation error: this *is* the paper's game with step-constant coefficients and controls. Noise lands at the end of
a step: in inventories ``epsilon sqrt(dt) Z``, in the factor its own increment; flows are those of the factor at the
step's start.

Functions are pure. Arrays carry any leading batch axes; randomness is an argument. The array library is the one of the
arguments (NumPy, PyTorch, JAX), so the functions can be differentiated, compiled and vectorised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Array, as_like, floating, namespace
from .game import Activity, Coefficients, Controls, Game
from .parameters import check_count

_PER_AGENT = 3  # fields of an Activity with an axis over agents; the others have none


class Noise(NamedTuple):
    """Randomness of a simulation, as an argument."""

    price: Array | None = None
    """(..., K) standard normal increments of the reference price"""
    factor: Array | None = None
    """(..., K, d) standard normal increments of the factor; without them it follows its drift alone"""
    inventory: Array | None = None
    """(..., K, n) standard normal increments of the inventories; without them inventories have no noise"""


class State(NamedTuple):
    """What a policy may look at. Inventories and quotes are physical; arrays carry batch axes."""

    time: float
    """current time ``t_k``"""
    factor: Array | None
    """exogenous factors (..., d); None in a game without"""
    inventories: Array
    """(..., n)"""
    quotes: Array
    """(..., 2, M) asks and bids of the previous step; zero before the first, for policies"""
    shock: Array | None = None
    """(..., n) shares that noise has just added to the inventories, at the end of the previous step; None before the
    first, and without noise"""


Policy = Callable[[int, State], Array]
"""(k, state) -> physical controls of one agent, (..., 1) for a trader, (..., 2) (ask, bid) for a maker."""


class Step(NamedTuple):
    """Result of one step."""

    inventories: Array
    """(..., n) at the end of the step"""
    reward: Array
    """(..., n) the step's part of the payoff; the terminal penalty is not in it"""
    activity: Activity


class Trajectory(NamedTuple):
    """Result of a simulation."""

    times: np.ndarray
    """(K+1,)"""
    inventories: Array
    """(..., K+1, n)"""
    payoffs: Array
    """(..., n) expected over the martingale part of the price"""
    rewards: Array
    """(..., K, n) parts of the payoff; the terminal penalty is in the last"""
    controls: Controls
    activity: Activity
    """of every step: (..., K, n) and (..., K)"""
    mid: Array
    """(..., K+1) market price, of which the martingale part moves only where price noise was given"""
    factor: np.ndarray | None = None
    """(..., K+1, d) in a game that has a factor"""
    wealth: Array | None = None
    """(..., n) payoff plus ``sum Q_{k+1} (P_{k+1} - P_k)``, where price noise was given"""


def grid(game: Game, steps: int) -> np.ndarray:
    """Times (K+1,) of the grid. Raises ValueError if ``steps`` is not a positive whole number."""
    check_count("steps", steps)
    return np.linspace(0.0, game.horizon, int(steps) + 1)


def squared_integral(before: Array, after: Array, dt: float) -> Array:
    """``int Q^2 dt`` over a step on which the inventory moves linearly."""
    return dt / 3 * (before * before + before * after + after * after)


def step_reward(c: Coefficients, dt: float, activity: Activity, before: Array, after: Array) -> Array:
    """Income, gains from the market price's drift on the inventory held, less the running penalty; (..., n)."""
    reward = dt * activity.income - c.running_penalty * squared_integral(before, after, dt)
    if activity.drift is None:
        return reward
    return reward + activity.drift[..., None] * (dt / 2 * (before + after))


def terminal_reward(c: Coefficients, inventories: Array) -> Array:
    """``-A Q_T^2``, (..., n)."""
    return -c.terminal_penalty * inventories * inventories


def step(game: Game, c: Coefficients, dt: float, inventories: Array, controls: Controls) -> Step:
    """One step of the grid game.

    Args:
        game: the game.
        c: its coefficients on this step, in the array library and dtype of ``inventories``.
        dt: length of the step.
        inventories: (..., n).
        controls: (..., N), (..., M), (..., M); not truncated here.
    """
    activity = game.activity(c, controls)
    after = inventories + dt * activity.inventory_rate
    return Step(after, step_reward(c, dt, activity, inventories, after), activity)


def simulate(game: Game, controls: Controls, steps: int, noise: Noise | None = None) -> Trajectory:
    """Play fixed (open-loop) controls; all steps at once.

    Args:
        game: the game.
        controls: rates (..., K, N), asks and bids (..., K, M), in physical units; any of the array libraries. They are
            played as they are: a control outside the game's constraints is not truncated.
        steps: K.
        noise: increments of the reference price, with which the result has ``wealth``, of the factor, and of the
            inventories.

    Raises:
        ValueError: shapes do not fit the game and the grid, or a NumPy control is not finite.
    """
    times = grid(game, steps)
    dt = game.horizon / steps
    controls = check_controls(game, controls, steps)
    xp = namespace(*controls)
    factors, shocks = factor_path(game, times, noise), inventory_shocks(game, steps, noise)
    if factors is not None or shocks is not None:  # a market for each path
        batches = [np.shape(each)[:-2] for each in (factors, shocks) if each is not None]
        batch = np.broadcast_shapes(tuple(controls.rate.shape[:-2]), *batches)
        controls = Controls(*(xp.broadcast_to(each, (*batch, *each.shape[-2:])) for each in controls))
        if factors is not None:
            factors = np.broadcast_to(factors, (*batch, *factors.shape[-2:]))
    c = game.coefficients(times, factors).like(controls.rate)
    activity = game.activity(c, controls)
    start = xp.broadcast_to(
        as_like(game.start, controls.rate), (*activity.inventory_rate.shape[:-2], 1, len(game.start))
    )
    moves = dt * activity.inventory_rate
    if shocks is not None:
        moves = moves + as_like(shocks, moves)
    inventories = xp.concat([start, start + xp.cumulative_sum(moves, axis=-2)], axis=-2)
    before = inventories[..., :-1, :]
    after = inventories[..., 1:, :] if shocks is None else before + dt * activity.inventory_rate
    rewards = step_reward(c, dt, activity, before, after)
    last = terminal_reward(c, inventories[..., -1:, :])
    rewards = xp.concat([rewards[..., :-1, :], rewards[..., -1:, :] + last], axis=-2)
    payoffs = xp.sum(rewards, axis=-2)
    mid, wealth = _price(game, inventories, payoffs, activity, noise, dt)
    return Trajectory(times, inventories, payoffs, rewards, controls, activity, mid, factors, wealth)


def factor_path(game: Game, times: np.ndarray, noise: Noise | None) -> np.ndarray | None:
    """(..., K+1, d) path of the game's factor; None in a game without.

    Raises:
        ValueError: the noise has a wrong shape, or the game has no factor.
    """
    given = None if noise is None else noise.factor
    if game.factor is None:
        if given is not None:
            raise ValueError("noise.factor: the game has no factor, expected None")
        return None
    if given is not None:
        given = np.asarray(given, dtype=float)
        _require_finite("noise.factor", given)
    return game.factor.path(times, given)


def _require_finite(name: str, values: Array) -> None:
    """Raises ValueError for NumPy values that are not finite; other libraries' may be traced."""
    if isinstance(values, np.ndarray) and not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite increments, got {values[~np.isfinite(values)][0]}")


def inventory_shocks(game: Game, steps: int, noise: Noise | None) -> Array | None:
    """(..., K, n) shares that noise adds at the end of every step; None without.

    Raises:
        ValueError: the noise has a wrong shape, or the game has no inventory noise.
    """
    given = None if noise is None else noise.inventory
    if given is None:
        return None
    if not game.inventory_noise:
        raise ValueError("noise.inventory: the game has no inventory_noise, expected None")
    given = floating(given)
    expected = (steps, len(game.agents))
    if tuple(given.shape)[-2:] != expected:
        raise ValueError(f"noise.inventory: expected shape (..., {steps}, {expected[1]}), got {tuple(given.shape)}")
    _require_finite("noise.inventory", given)
    return game.inventory_noise * (game.horizon / steps) ** 0.5 * given


def _price(
    game: Game, inventories: Array, payoffs: Array, activity: Activity, noise: Noise | None, dt: float
) -> tuple[Array, Array | None]:
    """The market price (..., K+1), and the wealth where price noise is given."""
    xp = namespace(inventories)
    moves = 0 * activity.buy_volume if activity.drift is None else dt * activity.drift
    wealth = None
    if noise is not None and noise.price is not None:
        price = as_like(noise.price, inventories)
        _require_finite("noise.price", price)
        steps = inventories.shape[-2] - 1
        if tuple(price.shape[-1:]) != (steps,):
            raise ValueError(
                f"noise.price: expected {steps} increments on the last axis, got shape {tuple(price.shape)}"
            )
        jumps = game.volatility * dt**0.5 * price
        moves = moves + jumps
        wealth = payoffs + xp.sum(inventories[..., 1:, :] * jumps[..., None], axis=-2)
    mid = game.initial_price + xp.concat([0 * moves[..., :1], xp.cumulative_sum(moves, axis=-1)], axis=-1)
    return mid, wealth


def check_controls(game: Game, controls: Controls, steps: int) -> Controls:
    """The controls as float arrays. Raises ValueError where shapes do not fit, or a NumPy value is not finite."""
    controls = game.complete(controls._replace(rate=floating(controls.rate)))
    arrays = Controls(*(floating(each) for each in controls))
    for name, array, count in zip(Controls._fields, arrays, (game.traders, game.makers, game.makers), strict=True):
        if array.ndim < 2 or tuple(array.shape[-2:]) != (steps, count):
            raise ValueError(f"controls.{name}: expected shape (..., {steps}, {count}), got {tuple(array.shape)}")
        if isinstance(array, np.ndarray) and not np.isfinite(array).all():
            raise ValueError(f"controls.{name}: expected finite values, got {array[~np.isfinite(array)][0]}")
    if len({tuple(array.shape[:-2]) for array in arrays}) == 1:
        return arrays
    try:
        batch = np.broadcast_shapes(*(tuple(array.shape[:-2]) for array in arrays))
    except ValueError as error:
        shapes = [tuple(array.shape) for array in arrays]
        raise ValueError(f"controls: batch axes of rate, ask and bid do not broadcast: {shapes}") from error
    xp = namespace(*arrays)
    return Controls(*(xp.broadcast_to(array, (*batch, *array.shape[-2:])) for array in arrays))


def rollout(
    game: Game,
    policies: Mapping[str, Policy],
    steps: int,
    noise: Noise | None = None,
    *,
    inventories: Array | None = None,
) -> Trajectory:
    """Play policies, one for each agent, from the game's initial inventories or from others.

    Controls are truncated at the game's constraints, as in the environments.

    Args:
        game: the game.
        policies: a policy for each name in ``game.agents``.
        steps: K.
        noise: increments of the reference price, the factor and the inventories; their batch axes are those of the
            simulation.
        inventories: (..., n) initial inventories; the batch axes are those of the simulation.

    Raises:
        ValueError: a policy is missing or made for another grid, or returns a wrong shape or NaN.
    """
    times = grid(game, steps)
    dt = game.horizon / steps
    check_names(game, policies)
    check_steps(policies, steps)
    factors, shocks = factor_path(game, times, noise), inventory_shocks(game, steps, noise)
    current = np.asarray(game.start if inventories is None else inventories, dtype=float)
    if current.shape[-1:] != (len(game.agents),) or not np.isfinite(current).all():
        raise ValueError(f"inventories: expected finite numbers (..., {len(game.agents)}), got {inventories!r}")
    batches = [np.shape(each)[:-2] for each in (factors, shocks) if each is not None]
    batch = np.broadcast_shapes(current.shape[:-1], *batches)  # one market for each path of the noise
    current = np.broadcast_to(current, (*batch, len(game.agents)))
    if factors is not None:
        factors = np.broadcast_to(factors, (*batch, *factors.shape[-2:]))
    shock: Array | None = None
    quotes = np.zeros((*current.shape[:-1], 2, game.makers))
    c = game.coefficients(times, factors)
    states, rewards, taken, activities = [current], [], [], []
    for k in range(steps):
        state = State(float(times[k]), None if factors is None else factors[..., k, :], current, quotes, shock)
        actions = {name: policies[name](k, state) for name in game.agents}
        controls = game.clip(split_controls(game, join_actions(game, actions, current.shape[:-1])))
        current, reward, activity = step(game, c.at(k), dt, current, controls)
        if shocks is not None:
            shock = np.broadcast_to(shocks[..., k, :], current.shape)
            current = current + shock
        quotes = np.stack([controls.ask, controls.bid], axis=-2)
        states.append(current)
        rewards.append(reward)
        taken.append(controls)
        activities.append(activity)
    rewards[-1] = rewards[-1] + terminal_reward(c, current)
    activity = _stack(activities)
    path, payoffs = np.stack(states, axis=-2), sum(rewards[1:], rewards[0])
    mid, wealth = _price(game, path, payoffs, activity, noise, dt)
    played = Controls(*(np.stack(each, axis=-2) for each in zip(*taken, strict=True)))
    return Trajectory(times, path, payoffs, np.stack(rewards, axis=-2), played, activity, mid, factors, wealth)


def _stack(activities: Sequence[Activity]) -> Activity:
    """Activities of single steps as one of all steps."""
    return Activity(
        *(np.stack(each, axis=-2) for each in list(zip(*activities, strict=True))[:_PER_AGENT]),
        *(
            None if each[0] is None else np.stack(each, axis=-1)
            for each in list(zip(*activities, strict=True))[_PER_AGENT:]
        ),
    )


def check_names(game: Game, named: Mapping[str, object]) -> None:
    """Raises ValueError unless there is exactly one entry for each agent."""
    if set(named) != set(game.agents):
        raise ValueError(f"expected one entry for each of {list(game.agents)}, got {sorted(named)}")


def check_steps(policies: Mapping[str, Policy], steps: int) -> None:
    """Raises ValueError for a policy made for a grid with another number of steps; a policy may say so in ``steps``."""
    for name, policy in policies.items():
        own = getattr(policy, "steps", steps)
        if own != steps:
            raise ValueError(f"{name}: its policy was made for {own} steps, expected one for {steps}")


def join_actions(game: Game, actions: Mapping[str, Array], batch: tuple[int, ...] = ()) -> np.ndarray:
    """Everyone's actions side by side, (*batch, N + 2M), from each agent's own.

    Args:
        game: the game.
        actions: by agent; each broadcasts to ``(*batch, 1)`` or ``(*batch, 2)``.
        batch: batch axes of the market.

    Raises:
        ValueError: a wrong shape, or NaN.
    """
    columns = []
    for index, name in enumerate(game.agents):
        width = 1 if index < game.traders else 2
        array = actions[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            array = np.asarray(array, dtype=float)
        if array.shape[-1:] != (width,) or (len(array.shape) > 1 and array.shape[:-1] != batch):
            raise ValueError(f"{name}: expected an action of shape {(*batch, width)}, got {array.shape}")
        columns.append(array if array.shape[:-1] == batch else np.broadcast_to(array, (*batch, width)))
    flat = np.concatenate(columns, axis=-1)
    if np.isnan(flat).any():
        name = next(name for name, column in zip(game.agents, columns, strict=True) if np.isnan(column).any())
        raise ValueError(f"{name}: expected numbers, got an action with NaN: {actions[name]}")
    return flat


def split_controls(game: Game, flat: Array) -> Controls:
    """Controls from everyone's actions side by side, (..., N + 2M): rates, then ask and bid of each maker."""
    n = game.traders
    return Controls(flat[..., :n], flat[..., n::2], flat[..., n + 1 :: 2])


def join_controls(game: Game, controls: Controls) -> Array:
    """The inverse of :func:`split_controls`."""
    flat = np.empty((*controls.rate.shape[:-1], game.traders + 2 * game.makers), dtype=controls.rate.dtype)
    for part, values in zip(split_controls(game, flat), controls, strict=True):
        part[...] = values
    return flat


def agent_controls(game: Game, controls: Controls, agent: str) -> Array:
    """The controls of one agent, (..., 1) or (..., 2), from those of all."""
    index = agent_index(game, agent)
    if index < game.traders:
        return controls.rate[..., index : index + 1]
    maker = index - game.traders
    return np.stack([controls.ask[..., maker], controls.bid[..., maker]], axis=-1)


def agent_index(game: Game, agent: str) -> int:
    """Position of an agent in arrays. Raises ValueError for an unknown name."""
    if agent not in game.positions:
        raise ValueError(f"agent: expected one of {list(game.agents)}, got {agent!r}")
    return game.positions[agent]

"""The grid game: the game with controls and coefficients constant on each of K equal steps, integrated exactly.

Within a step inventories are linear in time, so ``int Q^2 dt = dt (Q_k^2 + Q_k Q_{k+1} + Q_{k+1}^2) / 3``. Without
noise there is no discretisation error: this *is* the paper's game with step-constant coefficients and controls. Noise
lands at the end of a step: in inventories ``epsilon sqrt(dt) Z``, in the factor its own increment; flows are those of
the factor at the step's start.

Functions are pure. Arrays carry any leading batch axes; randomness is an argument. The array library is the one of the
arguments (NumPy, PyTorch, JAX), so the functions can be differentiated, compiled and vectorised; :func:`rollout`, whose
policies may be anything, is NumPy's. The equations of equilibria are these, differentiated
(:mod:`makertaker.baselines.fbsde`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Array, as_like, floating, namespace
from .game import Activity, C, Coefficients, Controls, Game
from .memory import require_memory
from .noise import Noise as Noise
from .noise import Shocks, shocks_of
from .noise import factor_path as factor_path
from .noise import inventory_shocks as inventory_shocks
from .packing import agent_controls as agent_controls
from .packing import agent_index as agent_index
from .packing import check_names as check_names
from .packing import check_steps, join_actions
from .packing import join_controls as join_controls
from .packing import split_controls as split_controls
from .parameters import check_count

_MARKET_ARRAYS, _AGENT_ARRAYS = 12, 12
"""numbers on each step of what is played: coefficients, controls, activity, inventories, rewards"""


class State(NamedTuple):
    """The state that a policy may look at. Inventories and quotes are physical; arrays carry batch axes.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import State
        >>> state = State(time=0.5, factor=None, inventories=np.array([-2.0, 1.0, 0.0]), quotes=np.zeros((2, 2)))
        >>> state.inventories[..., 0].item()  # the trader's
        -2.0
    """

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
    price: Array | None = None
    """(...,) market price, its martingale part included where that is drawn"""
    volumes: Array | None = None
    """(..., 2) shares bought and sold in the previous step; zero before the first"""


Policy = Callable[[int, State], Array]
"""(k, state) -> physical controls of one agent, (..., 1) for a trader, (..., 2) (ask, bid) for a maker.

Examples:
    >>> import numpy as np
    >>> from makertaker.envs import Policy, State
    >>> def hurry(k: int, state: State) -> np.ndarray:
    ...     return -4.0 * state.inventories[..., :1]  # four times what trader_0 still has to buy
    ...
    >>> trader: Policy = hurry
"""


class Step(NamedTuple):
    """Result of one step."""

    inventories: Array
    """(..., n) at the end of the step"""
    reward: Array
    """(..., n) the step's part of the payoff; the terminal penalty is not in it"""
    activity: Activity


class Position(NamedTuple):
    """A market between two steps."""

    inventories: Array
    """(..., n)"""
    factor: Array
    """(..., d); not looked at in a game without, None will do"""
    price: Array
    """(...,) market price"""


class Advance(NamedTuple):
    """Result of :func:`advance`."""

    position: Position
    """after the step and the noise at its end"""
    reward: Array
    """(..., n) the step's part of the payoff, in the last step with the terminal penalty"""
    jump: Array | None
    """(...,) of the market price, its martingale part; None without noise in the price"""
    activity: Activity
    mean_price: Array
    """(...,) at which the step's trades take place, before their premiums"""
    settlement: Array
    """(...,) market price before its jump, at which shares that noise brings are settled"""
    shock: Array | None
    """(..., n) shares that noise has added; None without"""

    @property
    def gain(self) -> Array | None:
        """(..., n) ``Q dP``, the part of wealth that is not in the payoff; None without noise in the price."""
        if self.jump is None:
            return None
        return self.position.inventories * (self.jump if isinstance(self.jump, float) else self.jump[..., None])

    @property
    def gross(self) -> Array:
        """(..., n) reward, and gain where there is one."""
        return self.reward if self.jump is None else self.reward + self.gain


class Trajectory(NamedTuple):
    """Result of a simulation.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario, simulate
        >>> game = load_scenario("acas")
        >>> played = simulate(game, solve(game, 10).controls, 10)
        >>> played.inventories.shape, played.rewards.shape
        ((11, 3), (10, 3))
        >>> bool(abs(played.rewards.sum(axis=0) - played.payoffs).max() < 1e-12)  # rewards of an episode add up
        True
    """

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
    """Times (K+1,) of the grid.

    Raises ValueError if ``steps`` is not a positive whole number, or too large for this machine's memory.

    Examples:
        >>> from makertaker.envs import load_scenario
        >>> from makertaker.envs.grid import grid
        >>> grid(load_scenario("acas"), 4).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_count("steps", steps)
    require_memory(int(steps), _MARKET_ARRAYS + _AGENT_ARRAYS * len(game.start), "a market")
    return np.linspace(0.0, game.horizon, int(steps) + 1)


def squared_integral(before: Array, after: Array, dt: float) -> Array:
    """``int Q^2 dt`` over a step on which the inventory moves linearly."""
    return dt / 3 * (before * before + before * after + after * after)


def running_reward(c: Coefficients, dt: float, before: Array, after: Array) -> Array:
    """``-phi int Q^2 dt`` over a step, (..., n)."""
    return -c.running_penalty * squared_integral(before, after, dt)


def drift_reward(drift: Array, dt: float, before: Array, after: Array) -> Array:
    """Gains from the market price's drift (...,) on the inventory held over a step, (..., n)."""
    return drift[..., None] * (dt / 2 * (before + after))


def step_reward(c: Coefficients, dt: float, activity: Activity, before: Array, after: Array) -> Array:
    """Income, gains from the market price's drift on the inventory held, less the running penalty; (..., n)."""
    reward = dt * activity.income + running_reward(c, dt, before, after)
    return reward if activity.drift is None else reward + drift_reward(activity.drift, dt, before, after)


def terminal_reward(c: Coefficients, inventories: Array) -> Array:
    """``-A Q_T^2``, (..., n); nothing for those who must liquidate, ``A = inf``, and do."""
    xp, penalty = namespace(inventories), c.terminal_penalty
    return -xp.where(xp.isinf(penalty), 0.0, penalty) * inventories * inventories


def move(inventories: Array, rate: Array, dt: float) -> Array:
    """Inventories at the end of a step, before noise arrives; rates are constant within it."""
    return inventories + dt * rate


def shake(inventories: Array, shock: Array | None) -> Array:
    """Inventories after the noise that arrives at the end of a step."""
    return inventories if shock is None else inventories + shock


def step(game: Game[C], c: C, dt: float, inventories: Array, controls: Controls) -> Step:
    """One step of the grid game, in which no noise arrives.

    Args:
        game: the game.
        c: its coefficients on this step, in the array library and dtype of ``inventories``.
        dt: length of the step.
        inventories: (..., n).
        controls: (..., N), (..., M), (..., M); not truncated here.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Controls, load_scenario
        >>> from makertaker.envs.grid import grid, step
        >>> game = load_scenario("execution-2")
        >>> first = game.coefficients(grid(game, 10)[:2]).at(0)
        >>> after = step(game, first, 0.1, np.array([-5.0, -5.0]), Controls(np.array([10.0, 0.0])))
        >>> after.inventories.tolist()
        [-4.0, -5.0]
    """
    activity = game.activity(c, controls)
    after = move(inventories, activity.inventory_rate, dt)
    return Step(after, step_reward(c, dt, activity, inventories, after), activity)


def closing_rates(game: Game, controls: Controls, inventories: Array, dt: float, left: Array) -> Controls:
    """The controls, with the rates of traders who must liquidate truncated so that the rest stays closable.

    With ``n`` steps after this one and rates in ``[low, high]`` a rate is kept in ``[-(Q + n dt high) / dt, -(Q + n dt
    low) / dt]``: what is left can be closed within the constraints, and the last step closes, ``v = -Q / dt``.

    Args:
        game: the game.
        controls: of the step, within the constraints.
        inventories: (..., n) at its start.
        dt: length of a step.
        left: number of steps after this one, or an array in compiled code.
    """
    if not game.must_close:
        return controls
    rate, own = controls.rate, inventories[..., : game.traders]
    xp = namespace(rate, own)
    low, high = (as_like(each, rate) for each in game.rate_bounds)
    if isinstance(left, int):
        slow, fast = (left * dt * each if left else 0 * own for each in (low, high))
    else:
        slow, fast = (xp.where(left > 0, xp.maximum(left, 1) * dt * each, 0.0) for each in (low, high))
    kept = xp.minimum(xp.maximum(rate, -(own + fast) / dt), -(own + slow) / dt)
    return controls._replace(rate=xp.where(as_like(game.closing, rate) > 0, kept, rate))


def advance(
    game: Game[C], c: C, time: Array, dt: float, start: Position, controls: Controls, shocks: Shocks, last: Array
) -> Advance:
    """Everything that happens in a step: the step of the game, and the noise that arrives at its end.

    Args:
        game: the game.
        c: its coefficients on this step, in the array library and dtype of the inventories; flows that a factor drives
            are put in here.
        time: at the start of the step, a number or an array.
        dt: length of the step.
        start: inventories, factor and market price at the start of the step.
        controls: (..., N), (..., M), (..., M); not truncated here.
        shocks: noise that arrives; a factor follows its drift alone without.
        last: true for the last step, which ends with the terminal penalty: a bool, or an array in compiled code.
    """
    inventories, factor, price = start
    if game.factor is not None:
        c = game.with_factor(c, time, factor)
    after, reward, activity = step(game, c, dt, inventories, controls)
    mean = price
    if activity.drift is not None:  # the price moves linearly: trades take place at its mean
        drift = dt * activity.drift
        mean, price = price + drift / 2, price + drift
    after = shake(after, shocks.inventory)
    if not isinstance(last, bool):
        reward = reward + namespace(after).where(last, terminal_reward(c, after), 0.0)
    elif last:
        reward = reward + terminal_reward(c, after)
    settled = price
    if shocks.price is not None:
        price = price + shocks.price
    if game.factor is not None:
        factor = game.factor.move(time, factor, dt, 0 * factor if shocks.factor is None else shocks.factor)
    return Advance(Position(after, factor, price), reward, shocks.price, activity, mean, settled, shocks.inventory)


def accrue(
    c: Coefficients, dt: float, start: Array, activity: Activity, shock: Array | None = None
) -> tuple[Array, Array]:
    """All steps at once: inventories (..., K+1, n) and rewards (..., K, n), the last with the terminal one.

    Args:
        c: coefficients of the steps.
        dt: length of a step.
        start: (..., n) inventories.
        activity: of the steps.
        shock: (..., K, n) shares that noise adds at the end of each step.
    """
    xp, rate = namespace(activity.inventory_rate), activity.inventory_rate
    start = xp.broadcast_to(start[..., None, :], (*rate.shape[:-2], 1, rate.shape[-1]))
    moves = dt * rate if shock is None else dt * rate + as_like(shock, rate)
    inventories = xp.concat([start, start + xp.cumulative_sum(moves, axis=-2)], axis=-2)
    before, after = inventories[..., :-1, :], inventories[..., 1:, :]
    rewards = step_reward(c, dt, activity, before, after if shock is None else move(before, rate, dt))
    last = terminal_reward(c, after[..., -1, :])[..., None, :]
    return inventories, xp.concat([rewards[..., :-1, :], rewards[..., -1:, :] + last], axis=-2)


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

    Examples:
        >>> from makertaker.baselines import twap
        >>> from makertaker.envs import Controls, load_scenario, simulate
        >>> game = load_scenario("execution-2")
        >>> simulate(game, Controls(twap(game, 20)), 20).payoffs.round(3).tolist()
        [-26.042, -26.042]
    """
    times = grid(game, steps)
    dt = game.horizon / steps
    controls = check_controls(game, controls, steps)
    xp = namespace(*controls)
    shocks = shocks_of(game, steps, noise)
    factors = None if game.factor is None else game.factor.path(times, shocks.factor)
    batches = [np.shape(each)[:-2] for each in (factors, shocks.inventory) if each is not None]
    if batches:  # a market for each path
        batch = np.broadcast_shapes(tuple(controls.rate.shape[:-2]), *batches)
        controls = Controls(*(xp.broadcast_to(each, (*batch, *each.shape[-2:])) for each in controls))
        if factors is not None:
            factors = np.broadcast_to(factors, (*batch, *factors.shape[-2:]))
    c = game.coefficients(times, factors).like(controls.rate)
    activity = game.activity(c, controls)
    inventories, rewards = accrue(c, dt, as_like(game.start, controls.rate), activity, shocks.inventory)
    payoffs, wealth = xp.sum(rewards, axis=-2), None
    prices = 0 * activity.buy_volume if activity.drift is None else dt * activity.drift
    if shocks.price is not None:
        jumps = as_like(shocks.price, inventories)
        prices = prices + jumps
        wealth = payoffs + xp.sum(inventories[..., 1:, :] * jumps[..., None], axis=-2)
    mid = game.initial_price + xp.concat([0 * prices[..., :1], xp.cumulative_sum(prices, axis=-1)], axis=-1)
    return Trajectory(times, inventories, payoffs, rewards, controls, activity, mid, factors, wealth)


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
    factor: Array | None = None,
    first: int = 0,
) -> Trajectory:
    """Play policies, one for each agent, from the game's initial inventories or from others.

    Controls are truncated at the game's constraints, as in the environments, and so that traders who must liquidate do.

    Args:
        game: the game.
        policies: a policy for each name in ``game.agents``.
        steps: K.
        noise: increments of the reference price, the factor and the inventories; their batch axes are those of the
            simulation.
        inventories: (..., n) initial inventories; the batch axes are those of the simulation.
        factor: (..., d) initial factor; None: the game's.
        first: the step to start with; results are of the steps from there on, ``K - first`` of them.

    Raises:
        ValueError: a policy is missing or made for another grid, or returns a wrong shape or NaN; or a trader must
            liquidate more, or less, than it can.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario, rollout
        >>> game = load_scenario("execution-2")
        >>> policies = solve(game, 20).open_loop()
        >>> policies["trader_0"] = lambda k, state: -2.0 * state.inventories[..., :1]  # half as fast when half is left
        >>> rollout(game, policies, 20).inventories[-1].round(3).tolist()
        [-0.608, -0.377]
    """
    times = grid(game, steps)
    dt = game.horizon / steps
    if not 0 <= first < steps:
        raise ValueError(f"first: expected a step in 0..{steps - 1}, got {first!r}")
    check_names(game, policies)
    check_steps(policies, steps)
    shocks = shocks_of(game, steps, noise)
    given = np.asarray(game.start if inventories is None else inventories, dtype=float)
    if given.shape[-1:] != (len(game.agents),) or not np.isfinite(given).all():
        raise ValueError(f"inventories: expected finite numbers (..., {len(game.agents)}), got {inventories!r}")
    game.check_closable(given, "inventories")
    batches = [np.shape(each)[:-2] for each in (shocks.factor, shocks.inventory) if each is not None]
    if shocks.price is not None:  # policies may look at it
        batches.append(np.shape(shocks.price)[:-1])
    batch = np.broadcast_shapes(given.shape[:-1], *batches)  # one market for each path of the noise
    if game.factor is None and factor is not None:
        raise ValueError("factor: the game has none, expected None")
    if game.factor is not None:
        known = game.factor.initial if factor is None else factor
        factor = np.broadcast_to(np.asarray(known, dtype=float), (*batch, game.factor.size))
    start = Position(np.broadcast_to(given, (*batch, len(game.agents))), factor, np.full(batch, game.initial_price))
    shock, quotes, volumes = None, np.zeros((*batch, 2, game.makers)), np.zeros((*batch, 2))
    c = game.coefficients(times)  # a factor's flows are put in step by step
    positions, taken, played = [start], [], []
    for k in range(first, steps):
        here = positions[-1]
        state = State(float(times[k]), here.factor, here.inventories, quotes, shock, here.price, volumes)
        actions = {name: policies[name](k, state) for name in game.agents}
        controls = game.clip(split_controls(game, join_actions(game, actions, batch)))
        controls = closing_rates(game, controls, here.inventories, dt, steps - k - 1)
        end = advance(game, c.at(k), times[k], dt, here, controls, shocks.at(k), k + 1 == steps)
        shock = None if end.shock is None else np.broadcast_to(end.shock, here.inventories.shape)
        quotes = np.stack([controls.ask, controls.bid], axis=-2)
        volumes = dt * np.stack([end.activity.buy_volume, end.activity.sell_volume], axis=-1)
        positions.append(end.position)
        taken.append(controls)
        played.append(end)
    path, factors, prices = zip(*positions, strict=True)
    rewards, activities = [end.reward for end in played], zip(*(end.activity for end in played), strict=True)
    payoffs = sum(rewards[1:], rewards[0])
    wealth = (
        None
        if shocks.price is None
        else payoffs + np.sum(np.stack([np.asarray(end.gain) for end in played], -2), axis=-2)
    )
    return Trajectory(
        times[first:],
        np.stack(path, axis=-2),
        payoffs,
        np.stack(rewards, axis=-2),
        Controls(*(np.stack(each, axis=-2) for each in zip(*taken, strict=True))),
        Activity(*(_stack(each, len(batch)) for each in activities)),
        np.stack(np.broadcast_arrays(*prices), axis=-1),
        _stack(factors, -2),
        wealth,
    )


def _stack(values: Sequence[Array], axis: int) -> Array:
    """Arrays of single steps as one of all steps; None for a field without arrays."""
    return None if values[0] is None else np.stack(values, axis=axis)

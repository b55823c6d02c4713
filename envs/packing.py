"""Agents and arrays: everyone's actions by name, side by side as one array, and as controls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .arrays import Array, as_numpy, reshaped
from .game import Controls, Game
from .names import unknown


def check_names(game: Game, named: Mapping[str, object]) -> None:
    """Raises ValueError unless there is exactly one entry for each agent."""
    if set(named) != set(game.agents):
        raise ValueError(f"expected one entry for each of {list(game.agents)}, got {sorted(named)}")


def check_goes_on(agent: str, asked: tuple[int, tuple[int, ...]], expected: tuple[int, tuple[int, ...]]) -> None:
    """Raises ValueError where a policy that remembers is not asked step by step by one batch of markets.

    Args:
        agent: whose policy it is.
        asked: step, not the first, and batch axes.
        expected: the same of the step after the last one.
    """
    if asked != expected:
        raise ValueError(
            f"{agent}: its policy remembers one batch of markets from the first step on; expected step {expected[0]} "
            f"of a batch of shape {expected[1]}, got step {asked[0]} of one of shape {asked[1]}: markets that are "
            "played at once take policies of their own"
        )


def check_steps(policies: Mapping[str, object], steps: int) -> None:
    """Raises ValueError for a policy made for a grid with another number of steps; a policy may say so in ``steps``."""
    for name, policy in policies.items():
        own = getattr(policy, "steps", steps)
        if own != steps:
            raise ValueError(f"{name}: its policy was made for {own} steps, expected one for {steps}")


def as_action(value: object, shape: tuple[int, ...], name: str, *, shared: bool = False) -> np.ndarray:
    """An agent's action as an array of floats.

    Args:
        value: a number, a list, or an array of any library.
        shape: ``(*batch, 1)`` or ``(*batch, 2)``; axes of length 1 may be missing or too many.
        name: of the agent.
        shared: True: one action may be for all markets of a batch.

    Raises:
        ValueError: no numbers, or their number or order is another.
    """
    try:
        array = as_numpy(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    fitted: np.ndarray | None = reshaped(array, shape)
    if fitted is not None:
        return fitted
    one = reshaped(array, shape[-1:]) if shared else None
    if one is None:
        raise ValueError(f"{name}: expected an action of shape {shape}, got {array.shape}")
    return np.broadcast_to(one, shape)


def join_actions(game: Game, actions: Mapping[str, object], batch: tuple[int, ...] = ()) -> np.ndarray:
    """Everyone's actions side by side, (*batch, N + 2M), from each agent's own.

    Args:
        game: the game.
        actions: by agent; each as :func:`as_action` takes it, one for all markets as well.
        batch: batch axes of the market.

    Raises:
        ValueError: no numbers, a wrong shape, or NaN.
    """
    shapes, traders, columns = ((*batch, 1), (*batch, 2)), game.traders, []
    for index, name in enumerate(game.agents):
        action, shape = actions[name], shapes[index >= traders]
        if type(action) is not np.ndarray or action.shape != shape or action.dtype.char not in "efd":
            action = as_action(action, shape, name, shared=True)
        columns.append(action)
    flat = np.concatenate(columns, axis=-1)
    total = np.vdot(flat, flat)  # NaN spreads, and one product is faster than a look at every entry
    if total != total:
        name = next(name for name, column in zip(game.agents, columns, strict=True) if np.isnan(column).any())
        given = " ".join(str(actions[name]).split())
        raise ValueError(f"{name}: expected numbers, got an action with NaN: {given:.100}")
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
    maker = index - game.traders
    if maker < 0:
        return controls.rate[..., index : index + 1]
    return np.stack([controls.ask[..., maker], controls.bid[..., maker]], axis=-1)


def control_size(game: Game, agent: str) -> int:
    """Numbers of an agent's control: 1, a trader's rate, or 2, a maker's ask and bid. Raises ValueError for an unknown
    name."""
    return 1 if agent_index(game, agent) < game.traders else 2


def agent_columns(game: Game, agent: str) -> slice:
    """Position of an agent's actions among everyone's, side by side. Raises ValueError for an unknown name."""
    index = agent_index(game, agent)
    maker = index - game.traders
    return slice(index, index + 1) if maker < 0 else slice(index + maker, index + maker + 2)


def learner(game: Game, agent: str | None) -> str:
    """The name of the agent that learns; None: the first. Raises ValueError for an unknown name."""
    return game.agents[0 if agent is None else agent_index(game, agent)]


def agent_index(game: Game, agent: str) -> int:
    """Position of an agent in arrays. Raises ValueError for an unknown name."""
    if agent not in game.positions:
        raise unknown("agent", agent, game.agents)
    return game.positions[agent]

"""A game seen by role: actions and observations grouped as ``{"trader": (..., N, .), "maker": (..., M, .)}``.

For environments on arrays other than NumPy's; the array library is that of the arguments.
"""

from __future__ import annotations

from copy import copy
from typing import TypeAlias, Unpack

from array_api_compat import device, is_jax_array

from .arrays import Array, as_like, namespace, reshaped
from .game import Game
from .market import Setting
from .options import Fields, OptionsLike
from .random_markets import RandomMarkets

Roles: TypeAlias = dict[str, Array]
"""arrays by role: ``"trader"`` (..., N, .), ``"maker"`` (..., M, .); a role that a game does not have is left out"""


def role_action(value: Array, shape: tuple[int, ...], name: str, *, known: bool = True) -> Array:
    """Actions of a role, or of another group of agents, in their shape.

    Args:
        value: of the shape, or with axes of length 1 missing or too many.
        shape: that is expected.
        name: of the group.
        known: False for an array that JAX traces, which has no values yet.

    Raises:
        ValueError: another shape, or NaN.
    """
    fitted = reshaped(value, shape)
    if fitted is None:
        raise ValueError(f"{name}: expected actions of shape {shape}, got {tuple(value.shape)}")
    if known and bool(namespace(fitted).isnan(fitted).any()):
        raise ValueError(f"{name}: expected numbers, got actions with NaN: {value}")
    return fitted


class RoleView(Setting):
    """Actions and observations of a game by role.

    Args:
        game: the game.
        options: of the environment, or the number of steps.
        random: markets that are drawn.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self, game: Game, options: OptionsLike = None, random: RandomMarkets | None = None, **fields: Unpack[Fields]
    ) -> None:
        super().__init__(game, options, random, **fields)
        self.size = self.observer.columns.shape[1]
        self.names = tuple(role for role in ("trader", "maker") if self.agents(role))
        self._columns: Array = self.observer.columns[:, : self.size]

    def like(self, array: Array) -> RoleView:
        """The same with its numbers in the library, dtype and device of ``array``, so that they are converted once.

        PyTorch's tensors need it.
        """
        result = copy(self)
        result.scale, result.observer = self.scale.like(array), self.observer.like(array)
        if self.reward_units is not None:
            result.reward_units = as_like(self.reward_units, array)
        result._columns = namespace(array).asarray(self._columns.ravel(), device=device(array))
        return result

    def action_size(self, role: str) -> int:
        """Number of entries of an action: a trader's rate, a maker's ask and bid."""
        return {"trader": 1, "maker": 2}[role]

    def agents(self, role: str) -> tuple[str, ...]:
        """Names of a role's agents."""
        split = self.game.traders
        return self.game.agents[:split] if role == "trader" else self.game.agents[split:]

    def split(self, values: Array) -> Roles:
        """Values (..., n, .) by role."""
        split = self.game.traders
        parts = {"trader": values[..., :split, :], "maker": values[..., split:, :]}
        return {role: parts[role] for role in self.names}

    def observe(self, state: Array) -> Array:
        """Every agent's observation, (..., n, size), from :meth:`vector`."""
        if is_jax_array(state):  # in which this is faster than to take single entries
            return state[..., self._columns]
        shape, columns = (*state.shape[:-1], len(self.game.agents), self.size), self._columns.reshape(-1)
        return namespace(state).take(state, columns, axis=-1).reshape(shape)

"""A game seen by role: actions and observations grouped as ``{"trader": (..., N, .), "maker": (..., M, .)}``.

For environments on arrays other than NumPy's; the array library is that of the arguments.
"""

from __future__ import annotations

from typing import Any

from .arrays import Array, as_like, namespace
from .game import Controls, Game
from .grid import grid
from .market import ActionScale, Range, Reward, check_reward, controls_range
from .observation import Kind, Observer, width

Roles = dict[str, Any]
"""arrays by role: ``"trader"`` (..., N, .), and ``"maker"`` (..., M, .) in a game that has makers"""


class RoleView:
    """Actions and observations of a game by role.

    Args:
        game: the game.
        steps: number of steps of an episode.
        observation: ``"time"``, ``"own"`` or ``"full"``; see :mod:`makertaker.envs.observation`.
        reward: ``"payoff"`` or ``"wealth"``.
        normalize: whether actions are in [-1, 1], mapped affinely onto the action range, or physical.
        rate_range: overrides the game's range of rates.
        quote_range: overrides the game's range of quotes.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        game: Game,
        steps: int,
        observation: Kind = "full",
        reward: Reward = "payoff",
        normalize: bool = True,
        rate_range: Range = None,
        quote_range: Range = None,
    ) -> None:
        check_reward(reward)
        self.game, self.steps, self.reward, self.normalize = game, steps, reward, normalize
        self.times = grid(game, steps)
        self.dt = game.horizon / steps
        self.size = width(game, observation)
        self.scale = ActionScale(game, *controls_range(game, rate_range, quote_range))
        self.names = ("trader", "maker") if game.makers else ("trader",)
        self._observer = Observer(game, (self.scale.low, self.scale.high))

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

    def controls(self, actions: Roles) -> Controls:
        """Physical controls (..., N), (..., M), (..., M) of actions (..., N, 1) and (..., M, 2)."""
        rate = actions["trader"][..., 0]
        if self.game.makers:
            given = Controls(rate, actions["maker"][..., 0], actions["maker"][..., 1])
        else:
            given = Controls(rate, rate[..., :0], rate[..., :0])
        if not self.normalize:
            return self.game.clip(given)
        xp = namespace(*given)
        bounds = zip(given, self.scale.low, self.scale.high, strict=True)
        return Controls(
            *(
                as_like((low + high) / 2, each) + as_like((high - low) / 2, each) * xp.clip(each, -1.0, 1.0)
                for each, low, high in bounds
            )
        )

    def observe(self, k: Array, inventories: Array, factor: Array | None, quotes: Array) -> Roles:
        """Every agent's observation, (..., N, size) and (..., M, size).

        Args:
            k: (...,) steps played.
            inventories: (..., n).
            factor: (..., d), or None.
            quotes: (..., 2, M) asks and bids of the last step; not shown before the first.
        """
        xp, observer = namespace(inventories), self._observer
        entries = [xp.astype(k, inventories.dtype)[..., None] / self.steps]
        if factor is not None:
            entries.append(observer.factor_entries(factor))
        entries.append(observer.inventory_entries(inventories))
        shown = observer.quote_entries(quotes)
        entries.append(xp.where((k > 0)[..., None], shown, 0 * shown))
        return self.split(observer.arrange(xp.concat(entries, axis=-1))[..., : self.size])

"""Nash equilibria of the grid game: the part that all games share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from ..envs import Controls, Game, Policy
from ..envs.arrays import Array, is_whole
from .policies import Rule, open_loop_policies
from .profiles import Profile

LARGEST_SLOPE = 2000
_NO_VOLUME = 1e-12


class Status(Enum):
    """Outcome of a solver.

    Examples:
        >>> from makertaker.baselines import Status, solve
        >>> solve("acas").status is Status.CONVERGED
        True
    """

    CONVERGED = "converged"
    NOT_CONVERGED = "the tolerance was not reached"
    UNBOUNDED = "an agent's own problem has no maximum"
    BEYOND_BOUNDS = "the solution is beyond the bounds that environments have"
    INACCURATE = "the error estimate is too large"
    NO_MAXIMUM = "a first-order condition holds where it is no maximum"


@dataclass(frozen=True, eq=False)  # equal where it is the same: its arrays have no one truth value
class Equilibrium(Rule):
    """An open-loop Nash equilibrium of the grid game.

    Examples:
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import load_scenario, rollout
        >>> nash = solve("acas", 10)
        >>> nash.inventories.shape, nash.controls.ask.shape
        ((11, 3), (10, 2))
        >>> bool(abs(rollout(load_scenario("acas"), nash.open_loop(), 10).payoffs - nash.payoffs).max() < 1e-9)
        True
    """

    game: Game
    times: Array
    """(K+1,)"""
    inventories: Array
    """(K+1, n); the mean paths where a factor is random"""
    adjoints: Array
    """(K, n) step averages, the ones that give controls; for the node values see :meth:`adjoint`"""
    controls: Controls
    """(K, N), (K, M), (K, M); the mean of the controls where a factor is random"""
    payoffs: Array
    """(n,) without the constant ``P_0 q_0``"""
    quotes_matter: Array
    """(K, 2) true where volume arrives at the asks, and at the bids"""
    residual: float
    """largest absolute residual of the equations for the adjoints, in currency"""
    iterations: int
    status: Status
    message: str
    payoffs_se: Array | None = None
    """(n,) standard errors of the payoffs; None where they are exact"""
    payoffs_bias: Array | None = None
    """(n,) about how far the payoffs are from the equilibrium's besides, because a decoupling field is an
    approximation; None without one, or where it was not estimated"""
    notes: tuple[str, ...] = ()
    """parts of the message to know when reading NashConv or a distance: constraints that hold rates and quotes, quotes
    that matter to nobody"""

    @property
    def converged(self) -> bool:
        """True if the status is :attr:`Status.CONVERGED`."""
        return self.status is Status.CONVERGED

    @property
    def steps(self) -> int:
        """Number ``K`` of steps."""
        return len(self.times) - 1

    @property
    def profile(self) -> Profile:
        """The equilibrium as a profile to evaluate: its controls, or a rule where they depend on noise."""
        return self.controls

    @cached_property
    def slope(self) -> Array:
        """``slope[k, i, j] = d p_k^i / d q^j``, (K+1, n, n): the Riccati matrix ``R_t`` of the paper, at the nodes.

        Raises:
            ValueError: more than 2,000 agents; the matrices would not fit into memory.
        """
        if len(self.game.start) > LARGEST_SLOPE:
            raise ValueError(f"slope: expected at most {LARGEST_SLOPE} agents, got {len(self.game.start)}")
        return self._slope()

    @abstractmethod
    def _slope(self) -> Array: ...

    @abstractmethod
    def adjoint(self, k: int, inventory: Array, factor: Array | None = None) -> Array:
        """The decoupling field ``p_k = u(t_k, L, Q)`` at inventories (..., n) and factors (..., d)."""

    @abstractmethod
    def controls_at(self, k: int, inventory: Array, factor: Array | None = None) -> Controls:
        """Equilibrium controls of step ``k`` in the game that starts at ``t_k`` from inventories (..., n)."""

    def open_loop(self) -> dict[str, Policy]:
        """The equilibrium as functions of time and of the factor's history, the paper's concept: opponents do not react
        to a deviation."""
        return open_loop_policies(self.game, self.controls)

    def feedback(self) -> dict[str, Policy]:
        """The decoupling field as a policy: the controls of the equilibrium that starts from where the market is.

        Along the equilibrium path it plays the same controls as :meth:`open_loop`. It is not an equilibrium among
        feedback policies: a deviator that knows that the others react may gain.
        """
        return super().feedback()

    def _inventory(self, k: int, inventory: Array, last: int) -> Array:
        inventory = np.asarray(inventory, dtype=float)
        if not is_whole(k) or not 0 <= k <= last:
            raise ValueError(f"k: expected a step in 0..{last}, got {k!r}")
        count = len(self.game.start)
        if inventory.shape[-1:] != (count,) or not np.isfinite(inventory).all():
            raise ValueError(f"inventory: expected finite numbers of shape (..., {count}), got {inventory!r}")
        return inventory

    def _known_factor(self, factor: Array | None, default: Array | None) -> Array | None:
        """A factor (..., d), by default another; None in a game without. Raises ValueError where it does not fit."""
        known = self.game.factor
        if known is None:
            if factor is not None:
                raise ValueError("factor: the game has none, expected None")
            return None
        value = default if factor is None else np.asarray(factor, dtype=float)
        if value is None or value.shape[-1:] != (known.size,) or not np.isfinite(value).all():
            raise ValueError(f"factor: expected finite numbers of shape (..., {known.size}), got {factor!r}")
        return value


def quotes_matter(buy_volume: Array, sell_volume: Array) -> Array:
    """(K, 2) true where volume (K,) arrives at the asks, and at the bids."""
    volumes = np.stack([buy_volume, sell_volume], axis=-1)
    return np.asarray(volumes > _NO_VOLUME * np.abs(volumes).max(initial=0.0))

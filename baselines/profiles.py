"""Profiles of everyone's behaviour, and deviations from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from ..envs.arrays import Array
from ..envs.described import MarketLike, game_and_steps
from ..envs.game import Controls, Game
from ..envs.grid import Noise, Policy, Trajectory, check_controls, rollout, simulate
from .policies import Rule

Profile: TypeAlias = Controls | Rule | Mapping[str, Policy]
"""Schedules of everyone; or, played open loop along the undisturbed paths, a rule (the affine rule of an execution
game, a decoupling field), or a policy for every agent"""


OPEN_LOOP, FEEDBACK = "Nash, open loop", "Nash, feedback"
"""names of reference points"""
CLOSED = 1e-9
"""part of what a trader trades that it may leave where it must liquidate: rounding"""
PATHS = 4096
"""of the noise along which payoffs of schedules are compared"""


class BestResponse(NamedTuple):
    """An agent's best response, or the best that was found.

    Examples:
        >>> from makertaker.baselines import best_response, solve
        >>> found = best_response("acas", solve("acas").controls, "maker_0")
        >>> bool(abs(found.gain) < 1e-9)
        True
    """

    controls: Controls
    """the joint profile (K, N), (K, M), (K, M) with the agent's controls replaced; means where the game is random"""
    payoff: float
    """of the agent, in currency"""
    gain: float
    """over its payoff in the profile it deviates from"""
    gain_se: float = 0.0
    """standard error of the gain; 0 where it is exact"""
    bound: float | None = None
    """on the gain of deviations that stay near the paths, against policies that react to inventories alone; see
    :mod:`.closed_loop.response`"""


@dataclass(frozen=True)
class Reference:
    """One profile to compare with.

    Examples:
        >>> from makertaker.baselines import references
        >>> for reference in references("execution-2").values():
        ...     print(f"{reference.name}: {reference.collusion_index:.2f}")
        Nash, open loop: 0.00
        Nash, feedback: -0.11
        cooperative optimum: 1.00
        Almgren-Chriss, ignoring the others: 0.63
        TWAP: -0.93
    """

    name: str
    profile: Profile | None = None
    """None where there is no such profile; ``note`` says why"""
    payoffs: Array | None = None
    """(n,) expected"""
    collusion_index: float | None = None
    """of the total payoff; None where it is undefined"""
    nash_conv: float | None = None
    """sum of the gains from best responses to the profile played open loop; None where one was not found"""
    note: str = ""

    @property
    def rule(self) -> Rule | None:
        """The profile, where it is a rule."""
        return self.profile if isinstance(self.profile, Rule) else None

    @property
    def total(self) -> float | None:
        """Sum of payoffs."""
        return None if self.payoffs is None else float(self.payoffs.sum())


def profile_grid(market: MarketLike, profile: Profile, steps: int | None) -> tuple[Game, int]:
    """The game of a description, and the number of steps of a profile's grid.

    Args:
        market: a description or an environment.
        profile: whose own number of steps counts where a bare game is given without one.
        steps: K, or None.

    Raises:
        ValueError: a description that is none, or ``steps`` is not a positive whole number.
    """
    if steps is None and isinstance(market, Game):
        if isinstance(profile, Rule):
            steps = profile.steps
        elif isinstance(profile, Controls) and np.ndim(profile.rate) > 1:
            steps = int(np.shape(profile.rate)[-2])
        elif isinstance(profile, Mapping):
            steps = next((each.steps for each in profile.values() if hasattr(each, "steps")), None)
    return game_and_steps(market, steps)


def single_profile(game: Game, controls: Controls, steps: int) -> Controls:
    """One profile of NumPy controls in double precision. Raises ValueError for anything else."""
    controls = check_controls(game, controls, steps)
    if controls.rate.ndim != 2:
        raise ValueError(f"controls: expected one profile without batch axes, got shape {tuple(controls.rate.shape)}")
    return Controls(*(np.asarray(each, dtype=float) for each in controls))


def own_rule(game: Game, rule: Rule, steps: int) -> None:
    """Raises ValueError for a rule that is made for another game or grid."""
    if rule.game != game or rule.steps != steps:
        raise ValueError(f"controls: expected a rule for this game and {steps} steps, got one for {rule.steps}")


def undisturbed(game: Game, profile: Profile, steps: int, noise: Noise | None) -> Trajectory:
    """The paths that a profile leads to along those of the noise.

    Args:
        game: the game.
        profile: controls (K, N), (K, M), (K, M); a rule; or a policy for every agent.
        steps: K.
        noise: with a leading axis of paths.

    Raises:
        ValueError: a profile that does not fit the game and the grid.
    """
    if isinstance(profile, Rule):
        own_rule(game, profile, steps)
        return profile.play(noise)
    if isinstance(profile, Controls):
        return simulate(game, profile, steps, noise)
    if isinstance(profile, Mapping):
        return rollout(game, profile, steps, noise)
    raise ValueError(f"controls: expected Controls, a rule or a policy for every agent, got {type(profile).__name__}")


def as_schedules(game: Game, profile: Profile, steps: int) -> Controls:
    """A profile as schedules in a game without noise: its controls on the path that it leads to.

    Raises ValueError for a profile that does not fit the game and the grid, or that leaves something where a trader
    must liquidate.
    """
    played = profile if isinstance(profile, Controls) else undisturbed(game, profile, steps, None).controls
    controls = single_profile(game, played, steps)
    require_closed(game, controls.rate)
    return controls


def require_closed(game: Game, rates: Array) -> None:
    """Raises ValueError where rates (..., K, N) of traders who must liquidate leave anything."""
    if not game.must_close:
        return
    moves = rates * (game.horizon / rates.shape[-2])
    start = game.start[: game.traders]
    left = np.where(game.closing, np.abs(start + moves.sum(axis=-2)), 0.0)
    size = np.abs(start) + np.abs(moves).sum(axis=-2)
    bad = left > CLOSED * size
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"controls: trader_{at[-1]} must liquidate, expected rates that close its {start[at[-1]]:g} shares, "
            f"{left[at]:.6g} are left"
        )


def replaced(game: Game, controls: Controls, own: Controls, index: int) -> Controls:
    """The profile with one agent's controls taken from ``own``."""
    rate, ask, bid = (np.array(each) for each in controls)
    if index < game.traders:
        rate[..., index] = own.rate[..., index]
    else:
        maker = index - game.traders
        ask[..., maker], bid[..., maker] = own.ask[..., maker], own.bid[..., maker]
    return Controls(rate, ask, bid)


def mean_controls(paths: Trajectory) -> Controls:
    """Controls averaged over the paths of a simulation."""
    return Controls(*(each.mean(axis=0) for each in paths.controls))

"""Many maker-taker games of one shape, solved together: parameters along a batch axis, one sweep for all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Activity, Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ...envs.random_markets import parts_of, with_parts
from ...envs.scenarios.loader import INTENSITIES, PARTS
from .. import attempts, newton
from .equilibrium import MakerTakerEquilibrium, result_of
from .response import best_controls, gains_of, played
from .system import MANY, GameSystem, optimal_controls

_KNOWN = {*PARTS["competition"].values(), *PARTS["impact"].values(), *INTENSITIES.values(), type(None)}
_PER_STEP = ("impact", "running_penalty", "buy_flow", "sell_flow")


def shape_of(game: MakerTakerGame) -> Hashable:
    """What games have in common that are solved together: agents and their sides, kinds of parts; numbers may differ.
    None for a game that is solved alone, as those are where a trader must liquidate."""
    sides = tuple(np.sign(game.trader_inventory).tolist())
    parts = type(game.competition), type(getattr(game.competition, "intensity", None)), type(game.impact)
    if (
        not set(parts) <= _KNOWN or game.traders >= MANY or game.must_close
    ):  # an own part may not take arrays for its numbers
        return None
    return sides, game.makers, game.horizon, game.flow_from, parts, tuple(parts_of(game))


def solve_together(
    games: Sequence[MakerTakerGame], times: Array, tolerance: float
) -> list[MakerTakerEquilibrium | None]:
    """The equilibria of games of one :func:`shape_of`, by the batched sweep; None for those that it does not find.

    Args:
        games: the games.
        times: (K+1,) of their grid.
        tolerance: on the residual.
    """
    batched, c = _stacked(games, times)
    dt, start = games[0].horizon / (len(times) - 1), np.array([each.start for each in games])
    system = GameSystem(batched, c, dt, start)
    found = newton.newton(system, attempts.start(system, len(times) - 1), tolerance=tolerance)
    with np.errstate(over="ignore", invalid="ignore"):  # in games that are not solved
        controls = optimal_controls(batched, c, found.adjoints)
        activity, inventories, payoffs = played(batched, c, dt, start, controls)
    usable = found.converged & np.isfinite(payoffs).all(axis=-1)
    return [
        _one(game, times, i, found, controls, activity, inventories, payoffs) if usable[i] else None
        for i, game in enumerate(games)
    ]


def gains_together(
    games: Sequence[MakerTakerGame], times: Array, profiles: Sequence[Controls]
) -> list[tuple[Array, Array] | None]:
    """Everyone's payoffs (n,) in a profile of each game, and gains (n,) from best responses; None where one of them
    was not found.

    Args:
        games: of one :func:`shape_of`.
        times: (K+1,) of their grid.
        profiles: (K, N), (K, M), (K, M) each.
    """
    batched, c = _stacked(games, times)
    dt, start = games[0].horizon / (len(times) - 1), np.array([each.start for each in games])
    controls = Controls(*(np.stack(each) for each in zip(*profiles, strict=True)))
    with np.errstate(over="ignore", invalid="ignore"):
        own, solved, _ = best_controls(batched, c, controls, dt, start, range(start.shape[-1]))
        payoffs, gains = gains_of(batched, c, controls, dt, start, own)
    return [(payoffs[i], gains[i]) if solved[i].all() else None for i in range(len(games))]


def _one(
    game: MakerTakerGame,
    times: Array,
    i: int,
    found: newton.Result,
    controls: Controls,
    activity: Activity,
    inventories: Array,
    payoffs: Array,
) -> MakerTakerEquilibrium:
    own = found._replace(adjoints=found.adjoints[i], residual=found.residual[i], converged=found.converged[i])
    volumes = activity.buy_volume[i], activity.sell_volume[i]
    played = Controls(*(each[i] for each in controls))
    return result_of(game, times, own, played, inventories[i], payoffs[i], volumes)


def _stacked(games: Sequence[MakerTakerGame], times: Array) -> tuple[MakerTakerGame, MakerTakerCoefficients]:
    """A game with arrays over the games in place of its parameters, (B, 1, 1) and (B, 1, size), and their
    coefficients."""
    each = [game.coefficients(times) for game in games]
    c = each[0]._replace(
        **{name: np.stack([getattr(one, name) for one in each]) for name in (*_PER_STEP, "terminal_penalty")}
    )
    values = [parts_of(game) for game in games]
    parts = {name: np.array([np.atleast_1d(one[name]) for one in values])[:, None, :] for name in values[0]}
    batched: Any = with_parts(games[0], parts)
    bounds = [np.stack(ends)[:, None, :] for ends in zip(*(game.rate_bounds for game in games), strict=True)]
    object.__setattr__(batched, "quote_bound", np.array([game.quote_bound for game in games])[:, None, None])
    vars(batched)["rate_bounds"] = tuple(bounds)
    vars(batched)["margin"] = np.array([game.margin for game in games])
    return batched, c

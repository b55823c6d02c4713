"""Controls that meet first-order conditions, compared with others: where a part is outside the paper's classes, a
condition may hold where it is no maximum.

In the classes of Definitions 3.2, 3.4 and 5.1 the Hamiltonian ``y r + income`` has one peak in an agent's own control.
Parts from functions of the user's own are only probed; along a solution their Hamiltonian is looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ...envs.probing import cells

_WIDE = 96
_CLOSE = 2.0 ** -np.arange(0, 20)
_FASTEST = 5.0
"""average rates up to which a trader's rates are looked at where nothing bounds them"""
_MARGINS = 10.0
"""margins from a quote up to which others are looked at"""
_ROUNDING = 1e-9


def better_control(
    game: MakerTakerGame,
    c: MakerTakerCoefficients,
    others: Controls,
    own: Controls,
    adjoints: Array,
    agents: Sequence[int] | None = None,
) -> str:
    """An agent's control that is worth more than the one which meets its first-order condition, in words; empty if
    none is found, or if the game's parts need no such look.

    Args:
        game: the game.
        c: coefficients of K steps, or of a step.
        others: the profile (K, N), (K, M), (K, M) that everybody faces.
        own: everyone's own controls, in the same shapes; in an equilibrium those of the
            profile.
        adjoints: (K, n) that the own controls answer.
        agents: positions of those whose controls are looked at; None: all.
    """
    found, wanted = "", range(len(game.start)) if agents is None else agents
    traders = [i for i in wanted if i < game.traders]
    makers = [i - game.traders for i in wanted if i >= game.traders]
    if not game.impact.proven:
        found = _better_rate(game, c, others, own.rate, adjoints[:, : game.traders], traders)
    if not found and not game.competition.proven:
        value = adjoints[:, game.traders :]
        found = _better_quote(game, others.ask, own.ask, value, "ask", makers)
        found = found or _better_quote(game, others.bid, own.bid, -value, "bid", makers)
    return found


def _better_rate(
    game: MakerTakerGame,
    c: MakerTakerCoefficients,
    others: Controls,
    own: Array,
    adjoints: Array,
    traders: Sequence[int],
) -> str:
    low, high = game.rate_bounds
    gain = adjoints - game.spread_paid(c, others.ask.min(axis=-1), others.bid.min(axis=-1))
    usual = np.abs(game.start[: game.traders]) / game.horizon
    for i in traders:
        span = _FASTEST * max(float(usual[i]), float(np.abs(own[:, i]).max()))
        tried = np.clip(_around(own[:, i], span), low[i], high[i])

        def worth(rate: Array, i: int = i) -> tuple[Array, Array]:
            """(K, G) of rates (K, G), and the size of its parts."""
            profile = np.repeat(others.rate[:, None], rate.shape[1], axis=1)
            profile[..., i] = rate
            cost = game.impact.cost(np.expand_dims(c.impact, -2), profile)[..., i]
            income = gain[:, i, None] * rate
            return income - cost, np.abs(income) + np.abs(cost)

        found = _beaten(worth, own[:, i], tried, "rate")
        if found:
            return f"{game.agents[i]} {found}; the impact is not in the class of Definition 3.2"
    return ""


def _better_quote(
    game: MakerTakerGame, others: Array, own: Array, value: Array, side: str, makers: Sequence[int]
) -> str:
    """Of one side; ``value`` (K, M) is that of a share given away."""
    competition, margin = game.competition, game.margin
    for i in makers:
        tried = np.clip(_around(own[:, i], _MARGINS * margin), -game.quote_bound, game.quote_bound)

        def worth(quote: Array, i: int = i) -> tuple[Array, Array]:
            quotes = np.repeat(own[:, None], quote.shape[1], axis=1)
            quotes[..., i] = quote
            share = competition.own_share(quotes, others[:, None])[..., i]
            return (quote - value[:, i, None]) * share, (np.abs(quote - value[:, i, None]) + margin) * share

        found = _beaten(worth, own[:, i], tried, side)
        if found:
            agent = game.agents[game.traders + i]
            return f"{agent} {found}; the intensity or competition is outside of Definitions 3.4 and 5.1"
    return ""


def _around(own: Array, span: float) -> Array:
    """(K, G) controls to compare with: out to a span, and ever closer to the own ones (K,)."""
    away = np.concatenate([cells(-1.0, 1.0, _WIDE), _CLOSE, -_CLOSE])
    return np.asarray(own[:, None] + span * away)


def _beaten(worth: Callable[[Array], tuple[Array, Array]], own: Array, tried: Array, control: str) -> str:
    """What to say of a control (K,) that one of those tried (K, G) beats by more than rounding; empty if none does."""
    with np.errstate(over="ignore", invalid="ignore"):
        (before, size), (after, _) = worth(own[:, None]), worth(tried)
        more = np.nan_to_num(after - before, nan=0.0, posinf=0.0, neginf=0.0)
    better = more - _ROUNDING * (size + size.max(initial=0.0))
    k, g = np.unravel_index(int(better.argmax()), better.shape)
    if better[k, g] <= 0:
        return ""
    return (
        f"does better with the {control} {tried[k, g]:.6g} than with {own[k]:.6g}, where its first-order condition "
        f"holds, by {more[k, g]:.3g} per unit of {'time' if control == 'rate' else 'volume'}"
    )

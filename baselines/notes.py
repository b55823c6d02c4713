"""What to know when reading an equilibrium's numbers: where the game's constraints hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..envs import Controls, Game
from ..envs.arrays import Array

_NAMED = 3
"""agents up to which a note names them"""


def truncations(game: Game, controls: Controls, matter: Array) -> tuple[str, ...]:
    """Where an equilibrium's rates and quotes are at ``max_rate`` and ``max_quote``: deviations beyond them are
    impossible, so that the gains of who is there are small whatever it does.

    Args:
        game: gives the constraints.
        controls: (K, N), (K, M), (K, M), or (B, K, .) on B simulated paths.
        matter: (K, 2) whether asks, and bids, matter to anybody; those that do not are not looked at.
    """
    traders, makers = game.agents[: game.traders], game.agents[game.traders :]
    found = []
    if game.max_rate is not None:
        found.append(("rates", f"max_rate = {game.max_rate:g}", traders, np.abs(controls.rate) >= game.max_rate))
    if game.max_quote is not None:
        asks, bids = (np.abs(each) >= game.max_quote for each in (controls.ask, controls.bid))
        held = (asks & matter[:, :1]) | (bids & matter[:, 1:])
        found.append(("quotes", f"max_quote = {game.max_quote:g}", makers, held))
    return tuple(
        f"{what} are truncated at {bound} ({_where(names, held)}), where NashConv says little"
        for what, bound, names, held in found
        if held.any()
    )


def _where(names: Sequence[str], held: Array) -> str:
    """Who is at a constraint, and how often; ``held`` is (K, m) or (B, K, m)."""
    steps = held.shape[-2]
    paths = held.reshape(-1, steps, len(names))
    share = paths.mean(axis=(0, 1))
    who = np.flatnonzero(share).tolist()

    def often(part: float) -> str:
        return f"{part * steps:.0f} of {steps} steps" if held.ndim == 2 else f"{100 * part:.3g}% of steps and paths"

    if len(who) <= _NAMED:
        return ", ".join(f"{names[i]} in {often(float(share[i]))}" for i in who)
    return f"{len(who)} of {len(names)} {names[0].partition('_')[0]}s in up to {often(float(share.max()))}"

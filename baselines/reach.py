"""Whether an environment's actions reach the equilibrium: their range is found from parameters alone."""

from __future__ import annotations

import warnings

import numpy as np

from ..envs.market import Setting
from ..envs.packing import agent_controls
from .equilibrium import Equilibrium

_ROUNDING = 1e-9
"""of the range's width"""


def out_of_reach(setting: Setting, equilibrium: Equilibrium) -> str | None:
    """What the equilibrium plays outside of an environment's action range, in words; None where it is inside.

    Quotes on a side of the market without volume matter to nobody and do not count. Actions in physical units are
    held to the game's constraints where it has them, not to the range.

    Args:
        setting: the environment's.
        equilibrium: of its game and grid; in a game with noise its mean controls are looked at.
    """
    game, matter = setting.game, equilibrium.quotes_matter
    found = []
    for agent in game.agents:
        low, high = setting.scale.reach(agent)
        played = agent_controls(game, equilibrium.controls, agent)
        names = ("trades at rates",) if len(low) == 1 else ("asks", "bids")
        counts = np.ones((len(played), 1), dtype=bool) if len(low) == 1 else matter
        for i, name in enumerate(names):
            values = played[counts[:, i], i]
            slack = _ROUNDING * (high[i] - low[i])
            if values.size and (values.min() < low[i] - slack or values.max() > high[i] + slack):
                here = f"[{values.min():.4g}, {values.max():.4g}]"
                found.append(f"{agent} {name} in {here}, the range is [{low[i]:.4g}, {high[i]:.4g}]")
    if not found:
        return None
    return f"the equilibrium is outside of the action range: {'; '.join(found)}; rate_range and quote_range change it"


def warn_where_out_of_reach(setting: Setting, equilibrium: Equilibrium) -> None:
    """Warn the user where the equilibrium cannot be played; see :func:`out_of_reach`."""
    message = out_of_reach(setting, equilibrium)
    if message is not None:
        warnings.warn(message, UserWarning, stacklevel=3)

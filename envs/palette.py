"""Agents in pictures: colours, markers, and what legends say of them. Needs no library that draws."""

from __future__ import annotations

from collections.abc import Sequence

from .game import Game

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#000000", "#999999", "#882255", "#44AA99", "#DDCC77", "#332288"),
)
"""Okabe and Ito's palette, told apart by colour-blind readers, and six more of Tol's"""
COLORS_ON_DARK = (
    *("#5B9BFF", "#FF8A3D", "#2CC79A", "#E29CC4", "#F0B429", "#7FD4FF"),
    *("#F2F2F2", "#A8A8A8", "#D4679E", "#5CC4B3", "#E5D68A", "#9A8CF0"),
)
"""the same on a dark ground, in the same order"""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "h", "*")
"""in matplotlib's names; they tell agents apart where there is no colour"""
NAMED = 12
"""agents up to which a legend names them"""


def color(index: int) -> str:
    """A colour by its number."""
    return COLORS[index % len(COLORS)]


def groups(game: Game) -> dict[str, Sequence[int]]:
    """Positions of the agents that share a colour, by what a legend says of them: every agent by its name; or, where
    they are many, the traders and the makers."""
    count, everyone = len(game.agents), range(len(game.agents))
    if count <= NAMED:
        return {agent: [i] for i, agent in enumerate(game.agents)}
    roles = {"trader": everyone[: game.traders], "maker": everyone[game.traders :]}
    return {f"{len(who)} {role}{'s' * (len(who) > 1)}": who for role, who in roles.items() if who}


def colors(game: Game) -> list[str]:
    """Every agent's colour: that of its entry in :func:`legend`."""
    found = {i: color(g) for g, who in enumerate(groups(game).values()) for i in who}
    return [found[i] for i in range(len(game.agents))]


def markers(game: Game) -> list[str]:
    """Every agent's marker; those of many agents have none, ``""``."""
    count = len(game.agents)
    return [MARKERS[i % len(MARKERS)] if count <= NAMED else "" for i in range(count)]


def legend(game: Game) -> dict[str, str]:
    """Colours of the agents by name or, where they are many, of traders and makers."""
    return {name: color(g) for g, name in enumerate(groups(game))}


def width(game: Game) -> float:
    """Of a line, in points."""
    return 1.5 if len(game.agents) <= NAMED else 0.7

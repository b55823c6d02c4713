"""One condition of the paper, and by how much a game satisfies it."""

from __future__ import annotations

from typing import NamedTuple


class Condition(NamedTuple):
    """One condition.

    Where a game has functions of the user's own, a condition on them is looked at at points, which can refute but not
    prove it; ``note`` then says so.

    Examples:
        >>> from makertaker.baselines import check
        >>> first = check("acas")[0]
        >>> first.holds, first.reference
        (True, 'Definition 3.4')
    """

    name: str
    holds: bool
    margin: float
    """by how much it holds (positive) or fails (negative), in the unit that ``note`` names"""
    reference: str
    """its place in the paper, or the observation that it comes from"""
    note: str


class Margin(NamedTuple):
    """The least margin that was found."""

    value: float
    where: str = ""
    """in words"""
    points: int = 0
    """number of points at which it was looked for, besides the search around the worst; 0 where it is known"""

    def said(self, holds: bool) -> str:
        """What is known of a condition, to be appended to its note."""
        if holds:
            return f"; not violated at {self.points:,} points" if self.points else ""
        return f"; violated at {self.where}" if self.where else ""


def smallest_of(*margins: Margin) -> Margin:
    """The smallest of some margins; what is only looked at makes it so for all of them."""
    least = min(margins, key=lambda each: each.value)
    return least._replace(points=max(each.points for each in margins))


def if_positive(name: str, margin: float | Margin, reference: str, note: str) -> Condition:
    """A condition that holds exactly if its margin is positive."""
    found = margin if isinstance(margin, Margin) else Margin(margin)
    return stated(name, found.value > 0, found, reference, note)


def if_not_negative(name: str, margin: float | Margin, reference: str, note: str) -> Condition:
    """A condition that holds exactly if its margin is not negative."""
    found = margin if isinstance(margin, Margin) else Margin(margin)
    return stated(name, found.value >= 0, found, reference, note)


def stated(name: str, holds: bool, margin: Margin, reference: str, note: str) -> Condition:
    """A condition, and whether it is known or was only looked at."""
    return Condition(name, bool(holds), float(margin.value) + 0.0, reference, note + margin.said(bool(holds)))

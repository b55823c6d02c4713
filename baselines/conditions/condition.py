"""One condition of the paper, and by how much a game satisfies it."""

from __future__ import annotations

from typing import NamedTuple


class Condition(NamedTuple):
    """One condition."""

    name: str
    holds: bool
    margin: float
    """by how much it holds (positive) or fails (negative), in the unit that ``note`` names"""
    reference: str
    """its place in the paper, or the observation that it comes from"""
    note: str


def if_positive(name: str, margin: float, reference: str, note: str) -> Condition:
    """A condition that holds exactly if its margin is positive."""
    return Condition(name, bool(margin > 0), float(margin), reference, note)


def if_not_negative(name: str, margin: float, reference: str, note: str) -> Condition:
    """A condition that holds exactly if its margin is not negative."""
    return Condition(name, bool(margin >= 0), float(margin), reference, note)

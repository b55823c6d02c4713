"""One condition of the paper, and whether a game satisfies it."""

from __future__ import annotations

from typing import NamedTuple


class Condition(NamedTuple):
    """One condition."""

    name: str
    holds: bool
    margin: float
    """by how much it holds (positive) or fails (negative), in the unit that ``note`` names"""
    reference: str
    """where it comes from"""
    note: str

"""Penalties for inventory, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

from ..envs.arrays import Array


@dataclass
class Penalties:
    """Penalties for inventory, on a grid."""

    dt: float
    """length of a step"""
    running: Array
    """(..., K, n) ``phi``"""
    terminal: Array
    """(..., n) ``A``"""

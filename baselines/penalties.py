"""Penalties for inventory, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    multiplier: Array | float = field(default=0.0, kw_only=True)
    """(..., n) added to ``-2 A Q_K``, where an agent must end with ``Q_K = 0``"""

"""An estimate of memory, before it is taken."""

from __future__ import annotations

import os

_GIGABYTE = 1e9


def physical_memory() -> float:
    """Bytes of memory that the machine has; infinite where the operating system does not say (Windows)."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names):
        return float("inf")
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")


def require_memory(steps: int, numbers: float, what: str) -> None:
    """Raises ValueError where a grid takes more memory than the machine has.

    Args:
        steps: K.
        numbers: double precision numbers, for each step.
        what: needs them.
    """
    needed, there = 8.0 * steps * numbers, physical_memory()
    if needed > there:
        raise ValueError(
            f"steps: {steps:,} steps of {what} take about {needed / _GIGABYTE:,.0f} GB of memory, "
            f"this machine has {there / _GIGABYTE:,.0f} GB"
        )

"""Ties of quotes, at which payoffs have kinks: values should not be fitted across them."""

from __future__ import annotations

import numpy as np

from ...envs import Controls


def tied(places: tuple[int, int], controls: Controls) -> bool:
    """True if the makers whose places matter to payoffs are not the same at all states.

    Args:
        places: :attr:`.StepSystem.places`.
        controls: (B, N), (B, M), (B, M).
    """
    return any(
        count > 0 and bool((order != order[:1]).any())
        for count, quotes in zip(places, (controls.ask, controls.bid), strict=True)
        for order in [np.argsort(quotes, axis=-1, kind="stable")[..., :count]]
    )

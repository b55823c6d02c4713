"""Profiles of controls: drawn, taken apart, compared."""

import numpy as np

from makertaker.envs import Controls


def assert_same_controls(controls, expected, atol=1e-9):
    """Rates and quotes of two profiles to an absolute tolerance."""
    for found, wanted in zip(controls, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def draw_controls(rng, batch=(), traders=(-1.0, 1.0), makers=3, steps=6):
    """Random controls of traders with the signs of these inventories; ties between quotes are possible."""
    rate = -np.sign(traders) * rng.uniform(0, 4, (*batch, steps, len(traders)))
    ask, bid = np.round(rng.uniform(-0.5, 2, (2, *batch, steps, makers)), 1)
    return Controls(rate, ask, bid)


def at_step(controls, k):
    """The controls of step ``k``."""
    return Controls(*(each[k] for each in controls))

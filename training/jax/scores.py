"""The score inside a compiled program: gains from best responses to schedules, on the host, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import numpy as np

from ...baselines import exploitability_many, solve
from ...baselines.gains import payoff_size
from ...envs.described import Described, describe_game
from ...envs.game import Controls

Array: TypeAlias = jax.Array


class Scores(NamedTuple):
    """What deviations from profiles of schedules gain; opponents do not react."""

    gains: Array
    """(..., n) of each agent's best response, in currency"""
    nash_conv: Array
    """(...) their sum"""
    relative: Array
    """(...) the same over the sum of the equilibrium payoffs' sizes"""


def scorer(game: Described, steps: int | None = None) -> Callable[[Controls], Scores]:
    """A function that scores schedules, to be called from jitted, vmapped and scanned code: a learner's own loop.

    The numbers are those of :func:`~makertaker.baselines.exploitability`; whatever is vmapped is found together. It is
    a callback to the host, so that best responses are computed by the solver that also finds the equilibrium.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        steps: of an episode; None: the scenario's, 20 for a game.

    Raises:
        ValueError: the game is random, so that agents have processes in place of schedules.
        EquilibriumNotFound: the game was not solved.

    Examples:
        >>> import jax
        >>> from makertaker.baselines import solve
        >>> from makertaker.training.jax.scores import scorer
        >>> score = scorer("acas")
        >>> nash = solve("acas")
        >>> bool(jax.jit(score)(nash.controls).relative < 1e-6)
        True
    """
    found, options, *_ = describe_game(game, None, {} if steps is None else {"steps": steps})
    if found.random:
        raise ValueError("game: expected one without noise and factor, whose agents have schedules")
    size, agents = payoff_size(solve(found, options.steps).payoffs), len(found.agents)

    def host(*controls: np.ndarray) -> np.ndarray:
        rate, *quotes = (np.asarray(each, dtype=float) for each in controls)
        batch = rate.shape[:-2]
        flat = [each.reshape(math.prod(batch), *each.shape[-2:]) for each in (rate, *quotes)]
        profiles = [Controls(*each) for each in zip(*flat, strict=True)]
        gains = exploitability_many([found] * len(profiles), profiles, options.steps)
        return np.array([each.gains for each in gains]).reshape(*batch, agents).astype(controls[0].dtype)

    def score(controls: Controls) -> Scores:
        rate, ask, bid = (jax.numpy.asarray(each) for each in controls)
        expected = tuple((options.steps, count) for count in (found.traders, found.makers, found.makers))
        given = rate.shape[-2:], ask.shape[-2:], bid.shape[-2:]
        if given != expected:
            raise ValueError(f"controls: expected schedules of shapes {expected}, got {given}")
        shape = jax.eval_shape(lambda: jax.numpy.zeros((*rate.shape[:-2], agents), rate.dtype))
        gains = jax.pure_callback(host, shape, rate, ask, bid, vmap_method="broadcast_all")
        total = gains.sum(axis=-1)
        return Scores(gains, total, total / size)

    return score

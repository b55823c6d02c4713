"""Actors: what learners see of their observations, what they remember of it, and their mean actions.

An actor is a perceptron of a prefix of the observation; or of the prefixes of the last k observations, zeros before the
first; or of the memory of a gated recurrent unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..common.actor import Gru
from .networks import ACTIVATIONS, Network, output

Array: TypeAlias = jax.Array


class Recurrent(NamedTuple):
    """A perceptron of a memory."""

    gru: Gru
    layers: Network


Weights: TypeAlias = Network | Recurrent
"""an actor's numbers; with a leading axis those of several"""


class Actors:
    """How the actors of all learners look at observations.

    Args:
        visible: number of leading entries of an observation that they see.
        activation: function between layers, of :data:`~.networks.ACTIVATIONS`.
        steps: of an episode.
        history: number of observations that they see.
        recurrent: width of the recurrent unit's memory; None: they have none.
    """

    def __init__(self, visible: int, activation: str, steps: int, history: int, recurrent: int | None) -> None:
        self.visible, self.steps, self.history, self.recurrent = visible, steps, history, recurrent
        self.activation: Callable[[Array], Array] = ACTIVATIONS[activation]

    @property
    def inputs(self) -> int:
        """Number of entries of what they see."""
        return self.history * self.visible

    def start(self, learners: int, markets: int) -> Array:
        """What they remember before the first step of an episode, (L, B, ...) zeros."""
        width = self.inputs if self.recurrent is None else self.recurrent
        return jnp.zeros((learners, markets, width), jnp.float32)

    def act(self, trained: Weights, memory: Array, observed: Array) -> tuple[Array, Array]:
        """What they remember (L, B, ...) and their mean actions (L, B, m), from observations (L, B, d)."""
        seen = observed[..., : self.visible]
        if self.recurrent is not None:
            return jax.vmap(self._recall)(trained, memory, seen)
        memory = jnp.concatenate([memory[..., self.visible :], seen], axis=-1)
        return memory, jax.vmap(self._perceive)(trained, memory)

    def last(self, observed: Array) -> Array:
        """(L, K, B, history x d) the last observations, the newest last, in an episode with observations (L, K, B, d);
        see :mod:`~makertaker.training.common.memory`."""
        if self.history == 1:
            return observed
        ages = reversed(range(self.history))
        shifted = [jnp.pad(observed, [(0, 0), (age, 0), (0, 0), (0, 0)])[:, : self.steps] for age in ages]
        return jnp.concatenate(shifted, axis=-1)

    def means(self, trained: Weights, seen: Array) -> Array:
        """One learner's mean actions (S, m) from what it sees (S, i); with a recurrent unit, of whole episodes, whose
        markets are the faster index of S."""
        if self.recurrent is None:
            return self._perceive(trained, seen)
        episodes = seen.reshape(self.steps, -1, self.inputs)
        start = jnp.zeros((episodes.shape[1], self.recurrent), seen.dtype)
        _, found = jax.lax.scan(lambda memory, now: self._recall(trained, memory, now), start, episodes)
        return found.reshape(len(seen), -1)

    def _perceive(self, trained: Weights, seen: Array) -> Array:
        assert not isinstance(trained, Recurrent)
        return output(trained, seen, self.activation)

    def _recall(self, trained: Weights, memory: Array, seen: Array) -> tuple[Array, Array]:
        assert isinstance(trained, Recurrent)
        hidden, memory = trained.gru(seen, memory)
        return memory, output(trained.layers, hidden, self.activation)


def gru(rng: np.random.Generator, inputs: int, width: int) -> Gru:
    """A gated recurrent unit at its start: numbers uniform in +-1 / sqrt(width), as PyTorch's ``GRUCell``."""
    reach = width**-0.5
    shapes = ((3 * width, inputs), (3 * width, width), (3 * width,), (3 * width,))
    return Gru(*(rng.uniform(-reach, reach, shape).astype(np.float32) for shape in shapes))

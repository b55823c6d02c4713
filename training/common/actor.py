"""Actors as numbers: what a learner does without exploration, in NumPy, whatever library trained it.

Layers are computed in double precision from the weights' single precision, and actions rounded to it: they are the same
bits whatever way a library of linear algebra adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...envs.arrays import Array, namespace

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "silu": lambda x: x * _sigmoid(x),
}
"""functions between layers by name, those of :data:`.ranges.ACTIVATIONS`"""


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + namespace(x).tanh(0.5 * x))


class Layer(NamedTuple):
    """``x -> weight x + bias``."""

    weight: Array
    """(outputs, inputs)"""
    bias: Array
    """(outputs,)"""


class Gru(NamedTuple):
    """A gated recurrent unit with h entries of memory; equations and order of gates as of PyTorch's ``GRUCell``. Its
    numbers are arrays of NumPy or JAX."""

    weight_ih: Array
    """(3 h, inputs): reset, update and new"""
    weight_hh: Array
    """(3 h, h)"""
    bias_ih: Array
    """(3 h,)"""
    bias_hh: Array
    """(3 h,)"""

    def __call__(self, x: Array, memory: Array) -> Array:
        """The next memory (..., h) from inputs (..., inputs) and the memory (..., h)."""
        h = memory.shape[-1]
        given = x @ self.weight_ih.T + self.bias_ih
        kept = memory @ self.weight_hh.T + self.bias_hh
        gates = _sigmoid(given[..., : 2 * h] + kept[..., : 2 * h])
        reset, update = gates[..., :h], gates[..., h:]
        new = namespace(x).tanh(given[..., 2 * h :] + reset * kept[..., 2 * h :])
        return (1.0 - update) * new + update * memory


@dataclass(frozen=True, eq=False)
class Actor:
    """A multilayer perceptron of a prefix of the observation, behind a memory if it has one.

    Args:
        observations: number of entries of an observation.
        visible: number of leading entries that it sees; see :mod:`~makertaker.training.common.information`.
        activation: function between its layers, of :data:`ACTIVATIONS`.
        squashed: True: outputs pass through tanh, and [-1, 1] is the range of actions; False: outputs are actions,
            truncated at the range.
        low: lower end of the range of actions, (m,) in the market's units.
        high: its upper end, (m,).
        layers: from the inputs to the m outputs.
        gru: what the layers see in place of the prefix; None: there is no memory.
    """

    observations: int
    visible: int
    activation: str
    squashed: bool
    low: Array
    high: Array
    layers: tuple[Layer, ...]
    gru: Gru | None = None

    def act(self, seen: Array) -> Array:
        """Actions (..., m) from observations (..., d). Raises ValueError for an actor with a memory."""
        if self.gru is not None:
            raise ValueError("expected an actor without memory, got one with a GRU: it acts by `step`")
        return self._output(self._inputs(seen))

    def start(self, *batch: int) -> Array:
        """The memory at the beginning of an episode, (*batch, h) zeros; h is 0 without one."""
        return np.zeros((*batch, 0 if self.gru is None else self.gru.weight_hh.shape[1]))

    def step(self, seen: Array, memory: Array) -> tuple[Array, Array]:
        """Actions (..., m), and the next memory (..., h), from observations (..., d) and the memory (..., h)."""
        inputs = self._inputs(seen)
        if self.gru is not None:
            inputs = memory = self.gru(inputs, memory)
        return self._output(inputs), memory

    def arrays(self) -> dict[str, Array]:
        """Its numbers by name, in single precision, as files have them."""
        named = {"low": self.low, "high": self.high}
        for i, layer in enumerate(self.layers):
            named |= {f"layers.{i}.{name}": value for name, value in layer._asdict().items()}
        if self.gru is not None:
            named |= {f"gru.{name}": value for name, value in self.gru._asdict().items()}
        return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in named.items()}

    def _inputs(self, seen: Array) -> Array:
        return np.asarray(seen, dtype=np.float32)[..., : self.visible].astype(float)

    def _output(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](x @ layer.weight.T + layer.bias)
        x = x @ self.layers[-1].weight.T + self.layers[-1].bias
        if self.squashed:
            x = self.low + 0.5 * (np.tanh(x) + 1.0) * (self.high - self.low)
        return np.asarray(np.clip(x, self.low, self.high), dtype=np.float32)

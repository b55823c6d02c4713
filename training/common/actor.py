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
from .memory import pushed

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": lambda x: namespace(x).tanh(x),
    "relu": lambda x: namespace(x).maximum(x, 0.0),
    "elu": lambda x: namespace(x).where(x > 0, x, namespace(x).expm1(namespace(x).minimum(x, 0.0))),
    "leaky_relu": lambda x: namespace(x).where(x > 0, x, 0.01 * x),
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

    @property
    def size(self) -> int:
        """Number of entries of its memory."""
        return int(self.weight_hh.shape[-1])

    def __call__(self, x: Array, memory: Array) -> tuple[Array, Array]:
        """What the layers see, (..., h), and the next memory, which is the same, from inputs (..., inputs) and the
        memory (..., h)."""
        h = self.size
        given = x @ self.weight_ih.T + self.bias_ih
        kept = memory @ self.weight_hh.T + self.bias_hh
        gates = _sigmoid(given[..., : 2 * h] + kept[..., : 2 * h])
        reset, update = gates[..., :h], gates[..., h:]
        new = namespace(x).tanh(given[..., 2 * h :] + reset * kept[..., 2 * h :])
        hidden = (1.0 - update) * new + update * memory
        return hidden, hidden


class Lstm(NamedTuple):
    """Long short-term memory with h hidden entries; equations and order of gates as of PyTorch's ``LSTMCell``."""

    weight_ih: Array
    """(4 h, inputs): input, forget, cell and output"""
    weight_hh: Array
    """(4 h, h)"""
    bias_ih: Array
    """(4 h,)"""
    bias_hh: Array
    """(4 h,)"""

    @property
    def size(self) -> int:
        """Number of entries of its memory: the hidden ones, and those of the cell."""
        return 2 * int(self.weight_hh.shape[-1])

    def __call__(self, x: Array, memory: Array) -> tuple[Array, Array]:
        """What the layers see, (..., h), and the next memory (..., 2 h), from inputs (..., inputs) and the memory."""
        hidden, cell = np.split(memory, 2, axis=-1)
        gates = x @ self.weight_ih.T + self.bias_ih + hidden @ self.weight_hh.T + self.bias_hh
        entering, kept, new, leaving = np.split(gates, 4, axis=-1)
        cell = _sigmoid(kept) * cell + _sigmoid(entering) * np.tanh(new)
        hidden = _sigmoid(leaving) * np.tanh(cell)
        return hidden, np.concatenate([hidden, cell], axis=-1)


UNITS: Mapping[str, type[Gru | Lstm]] = {"gru": Gru, "lstm": Lstm}
"""recurrent units by name, those of :data:`.memory.MEMORIES`"""
GATES: Mapping[str, int] = {"gru": 3, "lstm": 4}
"""rows of their weights, in hidden entries"""


@dataclass(frozen=True, eq=False)
class Actor:
    """A multilayer perceptron of a prefix of the observation, or of each of the last few, behind a recurrent unit if it
    has one.

    What it remembers is one array: the earlier observations of its history, and what its unit remembers; see
    :mod:`.memory`.

    Args:
        observations: number of entries of an observation.
        visible: number of leading entries that it sees; see :mod:`~makertaker.training.common.information`.
        activation: function between its layers, of :data:`ACTIVATIONS`.
        squashed: True: outputs pass through tanh, and [-1, 1] is the range of actions; False: outputs are actions,
            truncated at the range.
        low: lower end of the range of actions, (m,) in the market's units.
        high: its upper end, (m,).
        layers: from the inputs to the m outputs.
        gru: what the layers see in place of the prefix; None: there is none.
        lstm: the same in place of ``gru``.
        history: number of observations that it sees a prefix of, the newest last.

    Raises:
        ValueError: there are two recurrent units.
    """

    observations: int
    visible: int
    activation: str
    squashed: bool
    low: Array
    high: Array
    layers: tuple[Layer, ...]
    gru: Gru | None = None
    lstm: Lstm | None = None
    history: int = 1

    def __post_init__(self) -> None:
        if self.gru is not None and self.lstm is not None:
            raise ValueError("expected one recurrent unit at most, got a GRU and an LSTM")

    @property
    def unit(self) -> Gru | Lstm | None:
        """The recurrent unit before the layers; None where there is none."""
        return self.gru if self.lstm is None else self.lstm

    @property
    def remembers(self) -> bool:
        """True where it acts on more than one observation."""
        return self.history > 1 or self.unit is not None

    @property
    def acting(self) -> Callable[[Array], Array] | Actor:
        """What a policy is made of: itself where it remembers, otherwise its actions."""
        return self if self.remembers else self.act

    def act(self, seen: Array) -> Array:
        """Actions (..., m) from observations (..., d). Raises ValueError for an actor with a memory."""
        self._without_memory()
        return self._output(self._inputs(seen))

    def smooth(self, seen: Array) -> Array:
        """The same without rounding to single precision, from an array of any library, which can differentiate it.
        Raises ValueError for an actor with a memory."""
        self._without_memory()
        return self._actions(seen[..., : self.visible])

    def start(self, *batch: int) -> Array:
        """The memory at the beginning of an episode, (*batch, size) zeros; its size is 0 without one."""
        size = 0 if self.unit is None else self.unit.size
        return np.zeros((*batch, (self.history - 1) * self.visible + size))

    def step(self, seen: Array, memory: Array) -> tuple[Array, Array]:
        """Actions (..., m), and the next memory (..., size), from observations (..., d) and the memory."""
        inputs, unit = self._inputs(seen), self.unit
        at = (self.history - 1) * self.visible
        inputs, earlier = pushed(memory[..., :at], inputs)
        if unit is None:
            return self._output(inputs), earlier
        outputs, kept = unit(inputs, memory[..., at:])
        return self._output(outputs), np.concatenate([earlier, kept], axis=-1)

    def arrays(self) -> dict[str, Array]:
        """Its numbers by name, in single precision, as files have them."""
        named = {"low": self.low, "high": self.high}
        for i, layer in enumerate(self.layers):
            named |= {f"layers.{i}.{name}": value for name, value in layer._asdict().items()}
        for kind in UNITS:
            unit: Gru | Lstm | None = getattr(self, kind)
            if unit is not None:
                named |= {f"{kind}.{name}": value for name, value in unit._asdict().items()}
        return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in named.items()}

    def _inputs(self, seen: Array) -> Array:
        return np.asarray(seen, dtype=np.float32)[..., : self.visible].astype(float)

    def _without_memory(self) -> None:
        if self.remembers:
            what = "a history" if self.unit is None else "a GRU" if self.lstm is None else "an LSTM"
            raise ValueError(f"expected an actor without memory, got one with {what}: it acts by `step`")

    def _output(self, x: Array) -> Array:
        return np.asarray(self._actions(x), dtype=np.float32)

    def _actions(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](x @ layer.weight.T + layer.bias)
        x = x @ self.layers[-1].weight.T + self.layers[-1].bias
        if self.squashed:
            x = self.low + 0.5 * (namespace(x).tanh(x) + 1.0) * (self.high - self.low)
        return namespace(x).clip(x, self.low, self.high)

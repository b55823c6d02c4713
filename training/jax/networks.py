"""Multilayer perceptrons as tuples of layers, and their optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

Array: TypeAlias = jax.Array
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "silu": jax.nn.silu,
}
"""functions between layers by name, those of :data:`~.ranges.ACTIVATIONS`"""
_GAIN = 2**0.5
"""of orthogonal weights of hidden layers, that of stable-baselines3"""
_EPSILON = 1e-5
"""of Adam, that of stable-baselines3's PPO"""


class Layer(NamedTuple):
    """``x -> x weight + bias``; single precision."""

    weight: Array | np.ndarray
    """(inputs, outputs); NumPy's until a device has them"""
    bias: Array | np.ndarray
    """(outputs,)"""


Network: TypeAlias = tuple[Layer, ...]


def network(rng: np.random.Generator, widths: Sequence[int], last: float, padded: int) -> Network:
    """A network with orthogonal weights and biases of 0, in NumPy: decompositions take seconds to compile, and in JAX
    those of batches may wait for each other forever.

    Args:
        rng: draws the weights.
        widths: of the inputs, the hidden layers and the outputs.
        last: gain of the last layer.
        padded: number of outputs; those beyond the last of ``widths`` are 0.
    """
    pairs = list(pairwise(widths))
    gains = [_GAIN] * (len(pairs) - 1) + [last]
    weights = [gain * _orthogonal(rng, *pair) for pair, gain in zip(pairs, gains, strict=True)]
    weights[-1] = np.pad(weights[-1], ((0, 0), (0, padded - widths[-1])))
    return tuple(Layer(each.astype(np.float32), np.zeros(each.shape[1], np.float32)) for each in weights)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) with orthonormal rows or columns, whichever are fewer; uniformly distributed."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return np.asarray(q if rows >= columns else q.T)


def output(layers: Network, x: Array, activation: Callable[[Array], Array]) -> Array:
    """Outputs (..., outputs) of inputs (..., inputs)."""
    for weight, bias in layers[:-1]:
        x = activation(x @ weight + bias)
    return x @ layers[-1].weight + layers[-1].bias


def optimiser(max_grad_norm: float) -> optax.GradientTransformation:
    """Adam's direction, to be scaled by the learning rate, of gradients clipped at a norm. All of a tree's numbers
    are one vector in it, which is faster than an operation for each layer."""
    return optax.flatten(
        optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(eps=_EPSILON), optax.scale(-1.0))
    )

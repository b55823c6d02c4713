"""Multilayer perceptrons as tuples of layers, and the optimiser of one agent's two networks."""

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
_GAIN, _LAST_ACTOR, _LAST_CRITIC = 2**0.5, 0.01, 1.0
"""of orthogonal weights: of hidden layers and of the last ones, those of stable-baselines3"""
_EPSILON = 1e-5
"""of Adam, that of stable-baselines3's PPO"""


class Layer(NamedTuple):
    """``x -> x weight + bias``; single precision."""

    weight: Array
    """(inputs, outputs)"""
    bias: Array
    """(outputs,)"""


Network: TypeAlias = tuple[Layer, ...]


class Networks(NamedTuple):
    """One agent's; with a leading axis those of several."""

    actor: Network
    """from the prefix of the observation to the mean action"""
    critic: Network
    """from the observation to its value"""


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
    return tuple(Layer(jnp.asarray(each, jnp.float32), jnp.zeros(each.shape[1], jnp.float32)) for each in weights)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) with orthonormal rows or columns, whichever are fewer; uniformly distributed."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return np.asarray(q if rows >= columns else q.T)


def networks(
    rng: np.random.Generator, visible: int, size: int, hidden: Sequence[int], actions: int, padded: int
) -> Networks:
    """One agent's networks at the start.

    Args:
        rng: draws the weights.
        visible: number of entries that the actor sees.
        size: of the observation.
        hidden: widths of the hidden layers.
        actions: number of entries of the agent's action.
        padded: that of all agents; outputs beyond the agent's own are 0.
    """
    actor = network(rng, (visible, *hidden, actions), _LAST_ACTOR, padded)
    return Networks(actor, network(rng, (size, *hidden, 1), _LAST_CRITIC, 1))


def output(layers: Network, x: Array, activation: Callable[[Array], Array]) -> Array:
    """Outputs (..., outputs) of inputs (..., inputs)."""
    for weight, bias in layers[:-1]:
        x = activation(x @ weight + bias)
    return x @ layers[-1].weight + layers[-1].bias


def optimiser(max_grad_norm: float) -> optax.GradientTransformation:
    """Adam's direction, to be scaled by the learning rate, of gradients clipped at a norm. All of an agent's numbers
    are one vector in it, which is faster than an operation for each layer."""
    return optax.flatten(
        optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(eps=_EPSILON), optax.scale(-1.0))
    )

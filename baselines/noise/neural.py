"""Neural regressors for decoupling fields in many state dimensions: a linear function plus a small network.

The linear part is fitted by least squares; a network with one hidden layer of ``tanh`` units fits the rest. It is
trained in PyTorch by L-BFGS, starting from the weights of the node after. Expectations over noise are cubatures with
nodes on the axes, exact for polynomials of degree 3. Networks are evaluated in NumPy, with analytic derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...envs.arrays import Array
from ...envs.text import how_to_install
from .field import Regressor, as_state
from .polynomials import Box

HIDDEN = 32
_ITERATIONS = 80
_RIDGE = 1e-8
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Network:
    """``values = offset + linear x + outer tanh(inner x + bias)``, ``x`` the coordinates of a box."""

    box: Box
    offset: Array
    """(m,)"""
    linear: Array
    """(D, m)"""
    inner: Array
    """(D, H)"""
    bias: Array
    """(H,)"""
    outer: Array
    """(H, m)"""

    def __call__(self, states: Array) -> Array:
        """(..., m) at states (..., D)."""
        x = self.box.normal(states)
        return np.asarray(self.offset + x @ self.linear + np.tanh(x @ self.inner + self.bias) @ self.outer)

    def slope(self, states: Array) -> Array:
        """(..., m, D)"""
        x = self.box.normal(states)
        bent = 1 - np.tanh(x @ self.inner + self.bias) ** 2
        return np.asarray((self.linear.T + (bent[..., None, :] * self.outer.T) @ self.inner.T) / self.box.half)

    def expected(self, factors: Array, weights: Array, noise: Array) -> ExpectedNetwork:
        """See :meth:`~makertaker.baselines.noise.polynomials.Polynomial.expected`."""
        return ExpectedNetwork(self, factors, weights, noise)

    def first(self, count: int) -> Network:
        """Of the first values alone."""
        return Network(
            self.box, self.offset[:count], self.linear[:, :count], self.inner, self.bias, self.outer[:, :count]
        )


@dataclass(frozen=True)
class ExpectedNetwork:
    """The expectation over noise, as a function of the inventories' mean."""

    network: Network
    factors: Array
    """(B, J, d)"""
    weights: Array
    """(J,)"""
    noise: Array
    """(n,)"""

    def _nodes(self, mean: Array) -> tuple[Array, Array]:
        """States (B, J, S, D) and weights (J, S): ``2n`` nodes ``sqrt(n)`` standard deviations along the axes."""
        n = mean.shape[-1]
        steps = np.zeros((1, n))
        if self.noise.any():
            steps = np.sqrt(n) * np.concatenate([np.diag(self.noise), -np.diag(self.noise)])
        states = as_state(mean[:, None, None, :] + steps, self.factors[:, :, None, :])
        return states, np.repeat(self.weights[:, None] / len(steps), len(steps), axis=1)

    def __call__(self, mean: Array) -> Array:
        """(B, m) at mean inventories (B, n)."""
        states, weights = self._nodes(mean)
        return np.einsum("bjsm,js->bm", self.network(states), weights)

    def slope(self, mean: Array) -> Array:
        """(B, m, n) derivatives in the mean inventories."""
        states, weights = self._nodes(mean)
        slopes = self.network.slope(states)[..., -mean.shape[-1] :]
        return np.einsum("bjsmn,js->bmn", slopes, weights)

    def first(self, count: int) -> ExpectedNetwork:
        """Of the first values alone."""
        return ExpectedNetwork(self.network.first(count), self.factors, self.weights, self.noise)

    def at(self, members: Array) -> ExpectedNetwork:
        """The same for some of the points."""
        return ExpectedNetwork(self.network, self.factors[members], self.weights, self.noise)


def neural_regressor(seed: int, units: Array, hidden: int = HIDDEN, iterations: int = _ITERATIONS) -> Regressor:
    """A regressor to be called from the last node to the first.

    Args:
        seed: of the first node's weights.
        units: (m,) characteristic sizes of the values: what the linear part leaves is not blown up below rounding.
        hidden: number of units.
        iterations: of L-BFGS at every node.

    Raises:
        ImportError: PyTorch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(f"a neural regressor needs PyTorch: {how_to_install('train')}") from error
    latest: list[torch.Tensor] = []

    def regress(box: Box, states: Array, values: Array, sizes: Array) -> Network:
        x = box.normal(states)
        design = np.concatenate([np.ones((len(x), 1)), x], axis=1)
        plain = np.linalg.lstsq(design * sizes[:, None], values * sizes[:, None], rcond=None)[0]
        left = values - design @ plain
        floor = _ROUNDING * (units[: values.shape[1]] + np.abs(values).max(axis=0))
        size = np.maximum(np.sqrt((left**2).mean(axis=0)), floor)
        d, m = x.shape[1], values.shape[1]
        if not latest or latest[2].shape != (hidden, m):
            generator = torch.Generator().manual_seed(seed)
            inner = torch.randn(d, hidden, generator=generator, dtype=torch.float64) / d**0.5
            bias = torch.randn(hidden, generator=generator, dtype=torch.float64)
            latest[:] = [inner, bias, torch.zeros(hidden, m, dtype=torch.float64)]
        weights = [each.clone().requires_grad_() for each in latest]
        inputs, target, heavy = (torch.from_numpy(each) for each in (x, left / size, sizes[:, None] / sizes.mean()))
        optimizer = torch.optim.LBFGS(weights, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            inner, bias, outer = weights
            misfit = (torch.tanh(inputs @ inner + bias) @ outer - target) * heavy
            error = (misfit**2).mean() + _RIDGE * (outer**2).mean()
            error.backward()  # type: ignore[no-untyped-call]
            return error

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        latest[:] = [each.detach() for each in weights]
        hidden_layer, shift, outer_layer = (each.numpy() for each in latest)
        return Network(box, plain[0], plain[1:], hidden_layer, shift, outer_layer * size)

    return regress

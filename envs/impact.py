"""Temporary price impact (Definition 3.2): what a trader pays beyond the quote for trading fast."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array
from .flow import FloatArray, PerAgent, agent_step_means, require


@dataclass(frozen=True)
class QuadraticImpact:
    """``lambda(v) = beta v^2``, the individual impact of Almgren and Chriss.

    Args:
        beta: currency times time per share squared; a positive number, a callable of time, or one for each trader.

    Raises:
        ValueError: (from the game that uses it) ``beta`` is not positive and finite on the horizon.
    """

    beta: PerAgent = 0.5

    def validate(self, horizon: float, traders: int) -> None:
        """Definition 3.2 asks for strong convexity: ``beta`` bounded away from zero."""
        require(self.beta, "impact.beta", horizon, strict=True, count=traders)

    def step_means(self, times: FloatArray, traders: int) -> FloatArray:
        """Mean of ``beta`` over each step, (K, N)."""
        return agent_step_means(self.beta, times, traders, "impact.beta")

    def price(self, beta: Array, rate: Array) -> Array:
        """``lambda(v) / v``, what the impact adds to the price of a share, in the shape of ``rate`` (..., N)."""
        return beta * rate

    def optimal_rate(self, beta: Array, marginal_cost: Array) -> Array:
        """The rate whose marginal cost ``2 beta v`` is the given one, ``y - s`` in (17), before truncation."""
        return marginal_cost / (2 * beta)

    def optimal_rate_slope(self, beta: Array) -> Array:
        """Derivative of :meth:`optimal_rate` in the marginal cost."""
        return 1 / (2 * beta)

"""How the makers' quotes on one side of the market divide the flow that arrives there.

Everything here is about one side. The bid side is the ask side with the adjoint's sign turned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .arrays import Array, namespace
from .intensity import Exponential

_TIE = 1e-10
"""quotes this close count as tied in derivatives; solved quotes of identical makers differ by rounding"""


class Fill(NamedTuple):
    """What a side's quotes (..., M) lead to."""

    best: Array
    """(...,) the quote that traders trade at."""
    share: Array
    """(..., M) the fraction of the side's volume that each maker receives."""


def best_of_others(quotes: Array) -> Array:
    """``min_{k != i} quotes^k`` for every maker ``i``: the minimum, or the runner-up for the only one who holds it.

    Args:
        quotes: (..., M), ``M >= 2``.
    """
    xp = namespace(quotes)
    if quotes.shape[-1] == 2:
        return quotes[..., ::-1] if xp is np else xp.flip(quotes, axis=-1)
    best = xp.min(quotes, axis=-1, keepdims=True)
    holds = quotes == best
    runner_up = xp.min(xp.where(holds, xp.inf, quotes), axis=-1, keepdims=True)
    alone = xp.sum(xp.astype(holds, quotes.dtype), axis=-1, keepdims=True) == 1
    return xp.where(holds & alone, runner_up, best)


def best_quote(quotes: Array) -> Array:
    """``min_k quotes^k``, (...,), of quotes (..., M)."""
    xp = namespace(quotes)
    if quotes.shape[-1] == 2:
        return xp.minimum(quotes[..., 0], quotes[..., 1])
    return xp.min(quotes, axis=-1)


@dataclass(frozen=True)
class BestQuote:
    """Each maker competes with the best quote of the others: ``share_i = Lambda(delta^i - min_{k != i} delta^k)``.

    The competition of Sections 3 and 4. Shares need not sum to one, so the market does not clear: the makers together
    may sell more, or less, than the traders buy.

    Args:
        intensity: a function of Definition 3.4.
    """

    intensity: Exponential = field(default_factory=Exponential)

    def __post_init__(self) -> None:
        if not isinstance(self.intensity, Exponential):
            raise ValueError(f"intensity: expected an Exponential, got {self.intensity!r}")

    @property
    def margin(self) -> float:
        """What an optimal quote earns per share above the marginal value of inventory, in currency."""
        return self.intensity.markup

    def validate(self, makers: int) -> None:
        """Raises ValueError for fewer than two makers: there is nobody to compete with."""
        if makers < 2:
            raise ValueError(f"maker_inventory: best-quote competition needs at least 2 makers, got {makers}")

    def fill(self, quotes: Array) -> Fill:
        """Best quote and shares for quotes (..., M), in currency from the reference price."""
        return Fill(best_quote(quotes), self.share(quotes, best_of_others(quotes)))

    def share(self, quote: Array, others: Array) -> Array:
        """Share of a maker who quotes ``quote`` against the others' best quote ``others``."""
        return self.intensity(quote - others)

    def share_slope(self, quote: Array, others: Array) -> Array:
        """Derivative of :meth:`share` in the maker's own quote."""
        return self.intensity.derivative(quote - others)

    def optimal_quote(self, adjoint: Array, limit: float) -> Array:
        """The maker's best quote ``1/gamma + y`` of (17), truncated at ``+-limit``; shape of ``adjoint``.

        The profit ``(delta - y) Lambda(delta - other)`` has one peak, so the truncated peak is the constrained optimum.
        """
        return namespace(adjoint).clip(self.margin + adjoint, -limit, limit)

    def share_jacobian(self, quotes: Array) -> Array:
        """``d share_i / d quote_j``, (..., M, M). At tied best quotes the first of the tied makers is the best one."""
        makers = quotes.shape[-1]
        slope = self.share_slope(quotes, best_of_others(quotes))
        index = np.arange(makers)
        first = _first_best(quotes)[..., None]
        second = _first_best(np.where(index == first, np.inf, quotes))[..., None]
        rival = np.where(index == first, second, first)
        return slope[..., None] * (np.eye(makers) - (rival[..., None] == index))

    def best_jacobian(self, quotes: Array) -> Array:
        """``d min(quotes) / d quote_j``, (..., M), with the same choice at ties."""
        return (_first_best(quotes)[..., None] == np.arange(quotes.shape[-1])).astype(float)


def _first_best(quotes: Array) -> Array:
    """Index (...,) of the first maker whose quote (..., M) is the best but for rounding."""
    best = quotes.min(axis=-1, keepdims=True)
    return np.argmax(quotes <= best + _TIE * (1 + np.abs(best)), axis=-1)

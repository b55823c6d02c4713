"""Competition of makers: the division of the flow that arrives on one side of the market among their quotes.

Everything here is about one side. The bid side is the ask side with the adjoint's sign turned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from .arrays import Array, as_like, namespace
from .fixed_point import fixed_point, rising_root, target_jacobian

_TIE = 1e-10
"""quotes this close, in markups, count as tied in derivatives; solved quotes of identical makers differ by rounding"""
_TIE_DIGITS = 1e-13
"""the same in parts of the quotes themselves, which matters where they are many markups from the reference price"""

_ASKS = "competition: expected shares of Definition 5.1, whose first-order conditions rise and meet (38)"


class Fill(NamedTuple):
    """Result of a side's quotes (..., M)."""

    best: Array
    """(...,) the quote that traders trade at."""
    share: Array
    """(..., M) the fraction of the side's volume that each maker receives."""


def best_of_others(quotes: Array) -> Array:
    """``min_{k != i} quotes^k`` for every maker ``i``: the minimum, or for the first who holds it that of the others.

    Args:
        quotes: (..., M), ``M >= 2``.
    """
    xp = namespace(quotes)
    if quotes.shape[-1] == 2:
        return quotes[..., ::-1] if xp is np else xp.flip(quotes, axis=-1)
    best = xp.min(quotes, axis=-1, keepdims=True)
    # by its place, not by its value: compiled code may round a quote and the minimum it is compared with differently
    first = as_like(np.arange(quotes.shape[-1]), quotes) == xp.argmin(quotes, axis=-1, keepdims=True)
    runner_up = xp.min(xp.where(first, xp.inf, quotes), axis=-1, keepdims=True)
    return xp.where(first, runner_up, best)


def best_quote(quotes: Array) -> Array:
    """``min_k quotes^k``, (...,), of quotes (..., M)."""
    xp = namespace(quotes)
    if quotes.shape[-1] == 2:
        return xp.minimum(quotes[..., 0], quotes[..., 1])
    return xp.min(quotes, axis=-1)


class Competition(ABC):
    """The division of one side's flow among its quotes, and the optimal answer to it.

    A maker's profit rate is ``(delta - y) share``; its derivative (42) vanishes at ``delta = y + markup``,
    ``markup = -share / (d share / d delta)``, a global maximum in the classes of Definitions 3.4 and 5.1.

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import BestQuote, Competition, SoftmaxShare
        >>> isinstance(BestQuote(), Competition) and isinstance(SoftmaxShare(2.0), Competition)
        True
        >>> SoftmaxShare(2.0).fill(np.array([1.0, 1.5])).share.round(3).tolist()
        [0.731, 0.269]
    """

    needs: ClassVar[str]
    """beginning of a message about the number of makers"""

    @property
    def proven(self) -> bool:
        """True where the conditions of Definition 3.4 or 5.1 hold by the formula; otherwise they are at best probed."""
        return False

    def places(self, makers: int) -> int:
        """How many of the lowest quotes have places that matter to shares, which are kinked where makers change
        theirs; 0 where shares are smooth."""
        return 0

    @abstractmethod
    def margin(self, makers: int) -> float:
        """Characteristic gain of an optimal quote per share above the marginal value of inventory, in currency."""

    def validate(self, makers: int) -> None:
        """Raises ValueError for a number of makers that does not fit: a single one has nobody to compete with."""
        if makers < 2:
            raise ValueError(f"maker_inventory: {self.needs} at least 2 makers, got {makers}")

    def fill(self, quotes: Array) -> Fill:
        """Best quote and shares for quotes (..., M), in currency from the reference price."""
        return Fill(best_quote(quotes), self.own_share(quotes, quotes))

    @abstractmethod
    def own_share(self, own: Array, quotes: Array) -> Array:
        """Share (..., M) of each maker at its own quote ``own``, the others being at ``quotes``."""

    @abstractmethod
    def own_share_slope(self, own: Array, quotes: Array) -> Array:
        """Derivative of :meth:`own_share` in the own quote."""

    @abstractmethod
    def own_markup(self, own: Array, quotes: Array) -> Array:
        """``-share / slope`` in the same way."""

    @abstractmethod
    def own_markup_slope(self, own: Array, quotes: Array) -> Array:
        """Derivative of :meth:`own_markup` in the own quote; below 1."""

    @abstractmethod
    def markup_jacobian(self, quotes: Array) -> Array:
        """``d markup_i / d quote_j``, (..., M, M), all at ``quotes``."""

    @abstractmethod
    def share_jacobian(self, quotes: Array) -> Array:
        """``d share_i / d quote_j``, (..., M, M)."""

    def best_jacobian(self, quotes: Array) -> Array:
        """``d min(quotes) / d quote_j``, (..., M). At tied best quotes the first of the tied makers is the best one."""
        first = first_best(quotes, self._unit(quotes))
        return (first[..., None] == np.arange(quotes.shape[-1])).astype(float)

    def _unit(self, quotes: Array) -> Array:
        """(..., 1) the size by which quotes differ, a markup."""
        return np.asarray(self.own_markup(quotes, quotes).min(axis=-1, keepdims=True))

    def own_quote(self, adjoint: Array, quotes: Array, limit: float) -> Array:
        """Each maker's best quote (..., M) at marginal values ``adjoint``, the others being at ``quotes``, truncated.

        The solution of (43) in the own quote. The profit has one peak, so the truncated peak is the constrained
        optimum.

        Raises:
            ValueError: the first-order condition does not rise through zero.
        """

        known = np.isfinite(adjoint) & np.isfinite(quotes).all(axis=-1, keepdims=True)
        adjoint, quotes = np.where(known, adjoint, 0.0), np.where(known, quotes, 0.0)

        def condition(own: Array) -> tuple[Array, Array, Array]:
            slope, size = 1 - self.own_markup_slope(own, quotes), np.abs(own) + np.abs(adjoint)
            return own - adjoint - self.own_markup(own, quotes), slope, size

        # markups are positive
        unit = self.margin(quotes.shape[-1])
        peak = rising_root(condition, adjoint, adjoint, np.inf, _ASKS, unit)
        return np.where(known, np.clip(peak, -limit, limit), np.nan)

    def optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        """``psi``: the quotes (..., M) that are optimal against each other at marginal values (..., M), truncated: the
        solution of (44).

        Raises:
            ValueError: best responses do not settle, or are none.
        """

        def markup(quotes: Array) -> Array:
            return self.own_markup(quotes, quotes)

        def answer(quotes: Array) -> Array:
            return self.own_quote(adjoint, quotes, limit)

        # from below: makers who quote far too much undercut each other in small steps
        return fixed_point(markup, self.markup_jacobian, adjoint, -limit, limit, answer, _ASKS, adjoint)

    def optimal_jacobian(self, quotes: Array, limit: float) -> Array:
        """``d psi / d adjoint``, (..., M, M), by the implicit function theorem; one-sided at ties and truncations."""
        return target_jacobian(self.markup_jacobian(quotes), 1.0 * (np.abs(quotes) < limit))


def ties(quotes: Array, unit: float) -> Array:
    """(...,) True where two of the quotes (..., M) are the best but for rounding; ``unit`` is their size, a margin."""
    return _tied(quotes, np.asarray(unit)).sum(axis=-1) > 1


def first_best(quotes: Array, unit: Array) -> Array:
    """Index (...,) of the first maker whose quote (..., M) is the best but for rounding."""
    return np.argmax(_tied(quotes, unit), axis=-1)


def _tied(quotes: Array, unit: Array) -> Array:
    best = best_quote(quotes)[..., None]
    return quotes <= best + (_TIE * unit + _TIE_DIGITS * np.abs(best))

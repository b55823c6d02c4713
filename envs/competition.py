"""Competition of makers: the division of the flow that arrives on one side of the market among their quotes.

Everything here is about one side. The bid side is the ask side with the adjoint's sign turned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp, wrightomega

from . import aggregative, rivals
from .arrays import Array, as_like, namespace
from .fixed_point import fixed_point, rising_root, target_jacobian
from .intensity import Exponential, Intensity
from .parameters import as_number, as_numbers, assign, check_number

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


class Competition(ABC):
    """The division of one side's flow among its quotes, and the optimal answer to it.

    A maker's profit rate is ``(delta - y) share``; its derivative (42) vanishes at ``delta = y + markup``,
    ``markup = -share / (d share / d delta)``, a global maximum in the classes of Definitions 3.4 and 5.1.
    """

    needs: ClassVar[str]
    """beginning of a message about the number of makers"""

    @property
    def proven(self) -> bool:
        """True where the conditions of Definition 3.4 or 5.1 hold by the formula; otherwise they are at best probed."""
        return False

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
        first = _first_best(quotes, self._unit(quotes))
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


@dataclass(frozen=True)
class _IntensityBased(Competition):
    """A competition with a function of Definition 3.4."""

    intensity: Intensity = field(default_factory=Exponential)

    def __post_init__(self) -> None:
        if not isinstance(self.intensity, Intensity):
            raise ValueError(f"intensity: expected an Intensity such as Exponential(1.0), got {self.intensity!r}")

    @property
    def proven(self) -> bool:
        """That of the intensity."""
        return self.intensity.proven

    def margin(self, makers: int) -> float:
        """The markup at 0: of makers who quote alike, or at the reference price."""
        return float(self.intensity.markup(np.zeros(())))

    def _unit(self, quotes: Array) -> Array:
        """See :meth:`Competition._unit`."""
        markup = self.intensity.constant_markup
        return super()._unit(quotes) if markup is None else np.asarray(markup)

    @abstractmethod
    def rival(self, quotes: Array) -> Array:
        """(..., M) what the intensity measures a maker's quote from, in currency."""

    def own_quote(self, adjoint: Array, quotes: Array, limit: float) -> Array:
        """See :meth:`Competition.own_quote`; a constant markup needs no search, whatever the others do (17)."""
        markup = self.intensity.constant_markup
        if markup is None:
            return rivals.answer(self.intensity, adjoint, self.rival(quotes), limit)
        return np.clip(adjoint + markup, -limit, limit)

    def optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        """See :meth:`Competition.optimal_quotes`; in the same way."""
        markup = self.intensity.constant_markup
        if markup is None:
            return self._optimal_quotes(adjoint, limit)
        return np.clip(adjoint + markup, -limit, limit)

    def optimal_jacobian(self, quotes: Array, limit: float) -> Array:
        """See :meth:`Competition.optimal_jacobian`; quotes with a constant markup follow their own values alone."""
        if self.intensity.constant_markup is None:
            return super().optimal_jacobian(quotes, limit)
        return (np.abs(quotes) < limit)[..., None] * np.eye(quotes.shape[-1])

    @abstractmethod
    def _optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        """The same for a markup that varies."""


@dataclass(frozen=True)
class BestQuote(_IntensityBased):
    """Each maker competes with the best quote of the others: ``share_i = Lambda(delta^i - min_{k != i} delta^k)``.

    The competition of Sections 3 and 4. Shares need not sum to one, so the market does not clear: the makers together
    may sell more, or less, than the traders buy.

    Args:
        intensity: a function of Definition 3.4.
    """

    needs: ClassVar[str] = "best-quote competition needs"

    def rival(self, quotes: Array) -> Array:
        """The best of the others."""
        return best_of_others(quotes)

    def _optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        return rivals.optimal_quotes(self.intensity, adjoint, limit)

    def optimal_jacobian(self, quotes: Array, limit: float) -> Array:
        """See :meth:`Competition.optimal_jacobian`; without a linear system, whose differences would lose digits where
        markups are steep.

        A quote that is not truncated moves with the own value by ``1 / (1 + a)``, and with its rival's quote by
        ``a / (1 + a)``, ``-a`` the slope of the markup.
        """
        if self.intensity.constant_markup is not None:
            return super().optimal_jacobian(quotes, limit)
        first, second = _two_best(quotes, self._unit(quotes))
        steep, free = -self.own_markup_slope(quotes, quotes), 1.0 * (np.abs(quotes) < limit)
        own, along = free / (1 + steep), free * steep / (1 + steep)
        left = own + (1 - free)  # 1 - along, without its cancellation
        best_own, best_along, best_left = (np.take_along_axis(each, first, axis=-1) for each in (own, along, left))
        next_own, next_left = (np.take_along_axis(each, second, axis=-1) for each in (own, left))
        whole = best_left + best_along * next_left  # 1 - best_along * next_along
        index = np.arange(quotes.shape[-1])
        lead, runner_up = index == first, index == second
        best = (best_own * lead + best_along * next_own * runner_up) / whole
        others = own[..., None] * np.eye(len(index)) + along[..., None] * best[..., None, :]
        return np.where(lead[..., None], best[..., None, :], others)

    def own_share(self, own: Array, quotes: Array) -> Array:
        """``Lambda(own - best of the others)``."""
        return self.intensity(own - best_of_others(quotes))

    def own_share_slope(self, own: Array, quotes: Array) -> Array:
        """``Lambda'``."""
        return self.intensity.derivative(own - best_of_others(quotes))

    def own_markup(self, own: Array, quotes: Array) -> Array:
        """``-Lambda / Lambda'``; ``1 / gamma`` in (17)."""
        return self.intensity.markup(own - best_of_others(quotes))

    def own_markup_slope(self, own: Array, quotes: Array) -> Array:
        """``Lambda Lambda'' / Lambda'^2 - 1``, at most 0."""
        return self.intensity.markup_slope(own - best_of_others(quotes))

    def markup_jacobian(self, quotes: Array) -> Array:
        """``d markup_i / d quote_j``; of tied best quotes the first counts as the best."""
        return self.own_markup_slope(quotes, quotes)[..., None] * _against_rival(quotes, self._unit(quotes))

    def share_jacobian(self, quotes: Array) -> Array:
        """``d share_i / d quote_j``; of tied best quotes the first counts as the best."""
        return self.own_share_slope(quotes, quotes)[..., None] * _against_rival(quotes, self._unit(quotes))


@dataclass(frozen=True)
class SoftmaxShare(Competition):
    """``share_i = exp(-rate delta^i + offset_i) / sum_k exp(-rate delta^k + offset_k)``: shares sum to one.

    The first example of Definition 5.1. Traders pay the lowest quote, as under best-quote competition.

    With an outside option the sum below has the term ``exp(outside)`` as well: part of the flow goes elsewhere, the
    more the higher all quotes are, and shares sum to less than one. It is a maker whose quote does not move, so that
    the conditions of Definition 5.1 hold as they do without, (38) with a gap of more than 1.

    Args:
        rate: 1 / currency, positive.
        offsets: one number for each maker, its standing with traders at equal quotes; none: all equal.
        outside: ``o_0``, the standing of what is not a maker, in the units of the offsets; None: there is nothing else,
            and at least two makers.

    Raises:
        ValueError: a parameter is out of its range.
    """

    rate: float = 1.0
    offsets: Sequence[float] | None = None
    outside: float | None = None
    needs: ClassVar[str] = "softmax competition needs"

    def __post_init__(self) -> None:
        assign(self, rate=as_number("competition.rate", self.rate, "a positive finite number"))
        if self.offsets is not None:
            assign(self, offsets=as_numbers(self.offsets, "competition.offsets"))
        if self.outside is not None:
            check_number("competition.outside", self.outside, minimum=-np.inf)
            assign(self, outside=float(self.outside))

    @property
    def proven(self) -> bool:
        """True: the gap of (38) is 1."""
        return True

    def margin(self, makers: int) -> float:
        """The markup of equal makers who quote alike, ``1 / (rate (1 - 1 / M))``; with an outside option the quote of
        those who do not care for inventory, their offsets being equal and as large together as they are."""
        if self.outside is None:
            return makers / (self.rate * (makers - 1))
        none = np.zeros(makers)
        level = 0.0 if self.offsets is None else float(logsumexp(self.offsets)) - np.log(makers)
        return float(aggregative.optimal_quotes(self.rate, none, none, np.inf, self.outside - level)[0])

    def validate(self, makers: int) -> None:
        """Raises ValueError for no maker, a single one who would have all the flow at any quote, or a wrong number of
        offsets."""
        if self.outside is None:
            super().validate(makers)
        elif makers < 1:
            raise ValueError("maker_inventory: expected at least one maker, got none")
        if self.offsets is not None and len(self.offsets) != makers:
            raise ValueError(f"competition.offsets: expected {makers}, one for each maker, got {len(self.offsets)}")

    def _score(self, quotes: Array) -> Array:
        score = -self.rate * quotes
        return score if self.offsets is None else score + as_like(self.offsets, quotes)

    def fill(self, quotes: Array) -> Fill:
        """Best quote and shares for quotes (..., M), in currency from the reference price."""
        xp = namespace(quotes)
        score = self._score(quotes)
        top = xp.max(score, axis=-1, keepdims=True)
        if self.outside is None:
            weight = xp.exp(score - top)
            return Fill(best_quote(quotes), weight / xp.sum(weight, axis=-1, keepdims=True))
        outside = as_like(self.outside, quotes)
        top = xp.maximum(top, outside)
        weight = xp.exp(score - top)
        total = xp.sum(weight, axis=-1, keepdims=True) + xp.exp(outside - top)
        return Fill(best_quote(quotes), weight / total)

    def optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        """``psi``: the quotes (..., M) that are optimal against each other, by the aggregative form; see
        :mod:`~makertaker.envs.aggregative`."""
        offsets = np.zeros(adjoint.shape[-1]) if self.offsets is None else np.asarray(self.offsets)
        return aggregative.optimal_quotes(self.rate, offsets, adjoint, limit, self.outside)

    def own_quote(self, adjoint: Array, quotes: Array, limit: float) -> Array:
        """Each maker's best quote (..., M), the others being at ``quotes``, truncated.

        With ``c = offset - rate y - 1 - log sum of the others' weights``, that of the outside option among them, the
        odds ``w`` of the share at the best quote solve ``w + log w = c``: Wright's omega function.
        """
        others = self._odds(adjoint, quotes)  # at the adjoint in place of the own quote
        return np.clip(adjoint + (1 + wrightomega(others - 1)) / self.rate, -limit, limit)

    def _rivals(self, score: Array) -> Array:
        """Logarithm (..., M) of the others' weights together, that of the outside option among them."""
        makers = score.shape[-1]
        if makers == 1:
            return np.broadcast_to(np.asarray(self.outside), score.shape)
        if makers == 2:
            rivals = score[..., ::-1]
        else:
            others = np.where(np.eye(makers, dtype=bool), -np.inf, score[..., None, :])
            top = others.max(axis=-1)
            rivals = top + np.log(np.exp(others - top[..., None]).sum(axis=-1))
        return rivals if self.outside is None else np.logaddexp(rivals, self.outside)

    def _odds(self, own: Array, quotes: Array) -> Array:
        """``log(share / (1 - share))`` of each maker at its own quote, the others being at theirs."""
        return self._score(own) - self._rivals(self._score(quotes))

    def own_share(self, own: Array, quotes: Array) -> Array:
        """Logistic in the own quote."""
        return np.exp(-np.logaddexp(0.0, -self._odds(own, quotes)))

    def own_share_slope(self, own: Array, quotes: Array) -> Array:
        """``-rate share (1 - share)``."""
        odds = self._odds(own, quotes)
        return -self.rate * np.exp(-np.logaddexp(0.0, -odds) - np.logaddexp(0.0, odds))

    def own_markup(self, own: Array, quotes: Array) -> Array:
        """``1 / (rate (1 - share)) = (1 + exp(odds)) / rate``."""
        return (1 + np.exp(np.minimum(self._odds(own, quotes), 700.0))) / self.rate

    def own_markup_slope(self, own: Array, quotes: Array) -> Array:
        """``-share / (1 - share)``."""
        return -np.exp(np.minimum(self._odds(own, quotes), 700.0))

    def markup_jacobian(self, quotes: Array) -> Array:
        """``share_i share_j / (1 - share_i)^2``, and ``-share_i / (1 - share_i)`` on the diagonal: the gap of
        (38) is 1, and with an outside option that plus ``share_i share_0 / (1 - share_i)^2``."""
        score = self._score(quotes)
        rivals = self._rivals(score)
        own = np.exp(np.minimum(score - rivals, 700.0))  # share / (1 - share)
        makers = quotes.shape[-1]
        if makers == 2 and self.outside is None:
            return own[..., None] * np.array([[-1.0, 1.0], [1.0, -1.0]])
        eye = np.eye(makers, dtype=bool)
        # the others' shares of what is left to them
        parts = np.exp(np.where(eye, -np.inf, score[..., None, :] - rivals[..., None]))
        return np.where(eye, -own[..., None], own[..., None] * parts)

    def share_jacobian(self, quotes: Array) -> Array:
        """``rate share_i (share_j - [i = j])``."""
        share = self.fill(quotes).share
        result = (self.rate * share)[..., None] * share[..., None, :]
        diagonal = self.own_share_slope(quotes, quotes)
        return np.where(np.eye(share.shape[-1], dtype=bool), diagonal[..., None], result)


@dataclass(frozen=True)
class ProductShare(_IntensityBased):
    """``share_i = Lambda(delta^i) G(delta^{-i})``, the second example of Definition 5.1.

    ``G`` is the mean over the others of ``floor + (1 - floor) / (1 + exp(-rate delta^k))``: a maker gains flow when
    others quote worse, between ``floor`` and 1 times its own intensity. Shares need not sum to one.

    Args:
        intensity: ``Lambda``, a function of Definition 3.4.
        rate: speed of the response of ``G``, 1 / currency, positive.
        floor: in (0, 1).

    Raises:
        ValueError: a parameter is out of its range.
    """

    rate: float = 1.0
    floor: float = 0.5
    needs: ClassVar[str] = "product shares need"

    def rival(self, quotes: Array) -> Array:
        """The reference price: what others do has no part in it."""
        return np.zeros_like(quotes)

    def _optimal_quotes(self, adjoint: Array, limit: float) -> Array:
        return rivals.answer(self.intensity, adjoint, 0.0, limit)

    def optimal_jacobian(self, quotes: Array, limit: float) -> Array:
        """Diagonal: each answers for itself."""
        own = (np.abs(quotes) < limit) / (1 - self.intensity.markup_slope(quotes))
        return own[..., None] * np.eye(quotes.shape[-1])

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = as_number("competition.rate", self.rate, "a number in (0, inf)")
        assign(self, rate=rate, floor=as_number("competition.floor", self.floor, "a number in (0, 1)", limit=1.0))

    def _pull(self, quotes: Array) -> Array:
        """``G`` of each maker, (..., M)."""
        xp = namespace(quotes)
        each = self.floor + (1 - self.floor) * xp.exp(-xp.logaddexp(0 * quotes, -self.rate * quotes))
        return (xp.sum(each, axis=-1, keepdims=True) - each) / (quotes.shape[-1] - 1)

    def own_share(self, own: Array, quotes: Array) -> Array:
        """``Lambda(own) G(others)``."""
        return self.intensity(own) * self._pull(quotes)

    def own_share_slope(self, own: Array, quotes: Array) -> Array:
        """``Lambda'(own) G(others)``."""
        return self.intensity.derivative(own) * self._pull(quotes)

    def own_markup(self, own: Array, quotes: Array) -> Array:
        """``-Lambda / Lambda'`` at the own quote: the others do not matter."""
        return self.intensity.markup(own)

    def own_markup_slope(self, own: Array, quotes: Array) -> Array:
        """Its derivative."""
        return self.intensity.markup_slope(own)

    def markup_jacobian(self, quotes: Array) -> Array:
        """Diagonal."""
        return self.intensity.markup_slope(quotes)[..., None] * np.eye(quotes.shape[-1])

    def share_jacobian(self, quotes: Array) -> Array:
        """``Lambda'_i G_i`` on the diagonal, ``Lambda_i dG_i / d delta^k`` off it."""
        makers = quotes.shape[-1]
        logistic = np.exp(-np.logaddexp(0.0, -self.rate * quotes))
        pull = (1 - self.floor) * self.rate * logistic * (1 - logistic) / (makers - 1)
        cross = self.intensity(quotes)[..., None] * pull[..., None, :]
        own = self.own_share_slope(quotes, quotes)
        return np.where(np.eye(makers, dtype=bool), own[..., None], cross)


def _against_rival(quotes: Array, unit: Array) -> Array:
    """(..., M, M): 1 on the diagonal, -1 at the best of the others; of tied best quotes the first is the best."""
    makers = quotes.shape[-1]
    index = np.arange(makers)
    first, second = _two_best(quotes, unit)
    rival: Array = np.where(index == first, second, first)
    return np.asarray(np.eye(makers) - (rival[..., None] == index))


def _two_best(quotes: Array, unit: Array) -> tuple[Array, Array]:
    """Indices (..., 1) of the best and the next best quote; of tied ones the first comes first."""
    first = _first_best(quotes, unit)[..., None]
    if quotes.shape[-1] == 2:
        return first, 1 - first
    rest = np.where(np.arange(quotes.shape[-1]) == first, np.inf, quotes)
    return first, _first_best(rest, unit)[..., None]


def ties(quotes: Array, unit: float) -> Array:
    """(...,) True where two of the quotes (..., M) are the best but for rounding; ``unit`` is their size, a margin."""
    return _tied(quotes, np.asarray(unit)).sum(axis=-1) > 1


def _first_best(quotes: Array, unit: Array) -> Array:
    """Index (...,) of the first maker whose quote (..., M) is the best but for rounding."""
    return np.argmax(_tied(quotes, unit), axis=-1)


def _tied(quotes: Array, unit: Array) -> Array:
    best = best_quote(quotes)[..., None]
    return quotes <= best + (_TIE * unit + _TIE_DIGITS * np.abs(best))

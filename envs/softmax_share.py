"""Softmax shares: flow goes to makers, and elsewhere, by a multinomial logit of their quotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp, wrightomega

from . import aggregative
from .arrays import Array, as_like, namespace
from .competition import Competition, Fill, best_quote
from .parameters import as_number, as_numbers, assign, check_number


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

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import SoftmaxShare
        >>> SoftmaxShare(1.0).fill(np.array([1.0, 1.0])).share.tolist()
        [0.5, 0.5]
        >>> SoftmaxShare(1.0, outside=-2.0).fill(np.array([1.0, 1.0])).share.round(3).tolist()  # the rest elsewhere
        [0.422, 0.422]
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

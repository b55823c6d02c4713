"""Shares by an intensity of Definition 3.4: of the distance to the best of the others, or of the own quote."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from . import rivals
from .arrays import Array, namespace
from .competition import Competition, best_of_others, first_best
from .intensity import Exponential, Intensity
from .parameters import as_number, assign


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

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import BestQuote, Exponential
        >>> market = BestQuote(Exponential(gamma=1.0))
        >>> market.fill(np.array([1.0, 1.5])).share.round(3).tolist()  # exp(0.5) and exp(-0.5)
        [1.649, 0.607]
        >>> market.fill(np.array([1.0, 1.0])).share.tolist()  # who quote alike each receive the whole flow
        [1.0, 1.0]
    """

    needs: ClassVar[str] = "best-quote competition needs"

    def places(self, makers: int) -> int:
        """The best quote's, which others are measured from, and the runner-up's, from which it is measured itself."""
        return 2 if makers > 2 else 0

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

    Examples:
        >>> import numpy as np
        >>> from makertaker.envs import Exponential, ProductShare
        >>> ProductShare(Exponential(gamma=1.0)).fill(np.array([0.5, 0.5])).share.round(3).tolist()
        [0.492, 0.492]
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
    first = first_best(quotes, unit)[..., None]
    if quotes.shape[-1] == 2:
        return first, 1 - first
    rest = np.where(np.arange(quotes.shape[-1]) == first, np.inf, quotes)
    return first, first_best(rest, unit)[..., None]

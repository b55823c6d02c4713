"""The coalition of makers without traders, whose flow may go to an outside option: a concave problem, solved as one.

With ``w_i = e^{o_i - s y_i}`` for marginal values ``y_i``, the makers' total income is largest where all quotes have
one markup, ``delta^i = y_i + x / s`` with ``x = 1 / z_0``; then ``z_i = e^{-o_0} w_i e^{-x} / x``, and as all
shares sum to one ``x = 1 + omega``, ``omega + log omega = log sum_i w_i - o_0 - 1``: Wright's omega function. Income
is concave in the shares and inventories are affine in them, so that what meets the conditions is the maximum.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, wrightomega

from ...envs.arrays import Array
from ...envs.game import Controls
from ...envs.maker_taker_game import MakerTakerCoefficients, MakerTakerGame
from ...envs.softmax_share import SoftmaxShare
from ..fbsde import System


class MakersTogether(System):
    """The coalition's optimum as a forward-backward system in the makers' inventories.

    Args:
        game: without traders, with softmax shares and an outside option.
        c: its coefficients.
        dt: length of a step.
    """

    def __init__(self, game: MakerTakerGame, c: MakerTakerCoefficients, dt: float) -> None:
        super().__init__(dt, c.running_penalty, c.terminal_penalty, game.start, unit=game.margin)
        competition = game.competition
        if not isinstance(competition, SoftmaxShare) or competition.outside is None or game.traders:
            raise ValueError(f"game: expected makers alone, softmax shares and an outside option, got {game!r}")
        self.rate, self.outside, self.c = competition.rate, competition.outside, c
        self.offsets = np.zeros(game.makers) if competition.offsets is None else np.asarray(competition.offsets)

    def _side(self, values: Array) -> tuple[Array, Array, Array]:
        """Parts (..., M) of the flow that stays, ``omega`` (..., 1), and quotes (..., M), at marginal values."""
        score = self.offsets - self.rate * values
        whole = logsumexp(score, axis=-1, keepdims=True)
        omega = wrightomega(whole - self.outside - 1)
        return np.exp(score - whole), omega, values + (1 + omega) / self.rate

    def controls(self, adjoints: Array) -> Controls:
        """The optimal quotes at adjoints (..., K, M)."""
        return Controls(adjoints[..., :0], self._side(adjoints)[2], self._side(-adjoints)[2])

    def rates(self, adjoints: Array) -> Array:
        sold, bought = (part * omega / (1 + omega) for part, omega, _ in map(self._side, (adjoints, -adjoints)))
        return np.asarray(self.c.sell_flow[..., None] * bought - self.c.buy_flow[..., None] * sold)

    def jacobian(self, adjoints: Array) -> Array:
        sold, bought = (self._slope(*self._side(values)[:2]) for values in (adjoints, -adjoints))
        flows = self.c.sell_flow[..., None, None], self.c.buy_flow[..., None, None]
        return np.asarray(-flows[0] * bought - flows[1] * sold)

    def _slope(self, part: Array, omega: Array) -> Array:
        """(..., M, M) derivatives of shares in marginal values."""
        both, omega = part[..., :, None] * part[..., None, :], omega[..., None]
        among = part[..., None] * np.eye(part.shape[-1]) - both
        return np.asarray(-self.rate * omega / (1 + omega) * (among + both / (1 + omega) ** 2))

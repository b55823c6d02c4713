"""Pictures of a market so far: inventories, and beside them quotes, or prices where nobody quotes. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .arrays import Array
from .game import Game
from .market import Market

if TYPE_CHECKING:  # matplotlib may be missing
    from matplotlib.axes import Axes

_NAMED = 12
"""agents up to which a legend names them"""


class _Frame(NamedTuple):
    k: int
    inventories: Array
    price: float
    paid: Array
    quotes: np.ndarray


class Renderer:
    """Draws a single market, one frame a call.

    Args:
        game: the game.
        times: (K+1,) of the grid.
        mode: ``"human"`` shows a window, ``"rgb_array"`` returns the picture.

    Raises:
        ImportError: matplotlib is not installed.
    """

    def __init__(self, game: Game, times: np.ndarray, mode: str) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("rendering needs matplotlib: pip install 'makertaker[plots]'") from error
        self.game, self.times = game, times
        if mode == "human":
            from matplotlib import pyplot

            self._pyplot, self._figure = pyplot, pyplot.figure(figsize=(9, 3.6), layout="constrained")
        else:
            self._figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
        self._canvas = None if mode == "human" else FigureCanvasAgg(self._figure)
        self.clear()

    def clear(self) -> None:
        """Forget the episode so far."""
        self._frames: list[_Frame] = []

    def draw(self, market: Market) -> np.ndarray | None:
        """Add the market's current state and draw everything so far."""
        if not self._frames or self._frames[-1].k < market.k:
            frame = _Frame(market.k, market.inventories, float(market.price), market.paid, market.quotes)
            self._frames.append(frame)
        self._paint()
        if self._canvas is None:
            self._pyplot.pause(0.001)
            return None
        self._canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _paint(self) -> None:
        figure, game = self._figure, self.game
        figure.clear()
        left, right = figure.subplots(1, 2)
        times = self.times[[frame.k for frame in self._frames]]
        colors = [f"C{i % 10}" for i in range(len(game.agents))]
        for i, agent in enumerate(game.agents):
            path = [frame.inventories[i] for frame in self._frames]
            left.plot(times, path, color=colors[i], marker="o", markersize=2, label=agent)
        left.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        left.set(xlabel="time", ylabel="inventory (shares)", title="Inventories")
        if len(game.agents) <= _NAMED:
            left.legend(fontsize="small")
        played = [frame for frame in self._frames if frame.k]
        if game.makers:
            self._paint_quotes(right, colors, played)
        else:
            right.plot(times, [frame.price for frame in self._frames], color="0.2", label="market price")
            self._paint_trades(right, colors, played)
        for axes in (left, right):
            axes.set_xlim(self.times[0], self.times[-1])

    def _paint_quotes(self, axes: Axes, colors: list[str], played: list[_Frame]) -> None:
        if played:
            quotes = np.stack([frame.quotes for frame in [*played, played[-1]]])  # a quote holds until its step's end
            at = self.times[[*(frame.k - 1 for frame in played), played[-1].k]]
            for j, color in enumerate(colors[self.game.traders :]):
                axes.step(at, quotes[:, 0, j], color=color, where="post", label=f"maker_{j} ask")
                axes.step(at, -quotes[:, 1, j], color=color, where="post", linestyle="--", label=f"maker_{j} bid")
            axes.legend(fontsize="small")
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xlabel="time", ylabel="quote - reference price (currency)", title="Quotes")

    def _paint_trades(self, axes: Axes, colors: list[str], played: list[_Frame]) -> None:
        middle = [(self.times[frame.k - 1] + self.times[frame.k]) / 2 for frame in played]
        for i, agent in enumerate(self.game.agents[:_NAMED] if played else ()):
            paid = [frame.paid[i] for frame in played]
            axes.plot(middle, paid, color=colors[i], marker=".", linestyle="none", label=f"{agent} trades at")
        axes.legend(fontsize="small")
        axes.set(xlabel="time", ylabel="price (currency per share)", title="Prices")

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._canvas is None:
            self._pyplot.close(self._figure)

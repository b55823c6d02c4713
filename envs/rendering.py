"""Pictures of a market so far: inventories, and beside them quotes, or prices where nobody quotes. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .game import Game

if TYPE_CHECKING:
    from .market import Market

_NAMED = 12
"""agents up to which a legend names them"""


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
        self.game, self.times, self.mode = game, times, mode
        if mode == "human":
            from matplotlib import pyplot

            self._figure: Any = pyplot.figure(figsize=(9, 3.6), layout="constrained")
        else:
            self._figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
            FigureCanvasAgg(self._figure)
        self.clear()

    def clear(self) -> None:
        """Forget the episode so far."""
        self._inventories: list[np.ndarray] = []
        self._quotes: list[tuple[int, np.ndarray]] = []
        self._mids: list[float] = []
        self._paid: list[np.ndarray] = []
        self._steps: list[int] = []

    def draw(self, market: Market) -> np.ndarray | None:
        """Add the market's current state and draw everything so far."""
        if self._steps and self._steps[-1] > market.k:
            self.clear()
        if not self._steps or self._steps[-1] < market.k:
            self._steps.append(market.k)
            self._inventories.append(market.inventories.copy())
            self._mids.append(float(market.price))
            if market.paid is not None:
                self._paid.append(market.paid.copy())
            if market.quotes is not None:
                self._quotes.append((market.k - 1, market.quotes.copy()))
        self._paint()
        if self.mode == "human":
            from matplotlib import pyplot

            pyplot.pause(0.001)
            return None
        self._figure.canvas.draw()
        return np.asarray(self._figure.canvas.buffer_rgba())[..., :3].copy()

    def _paint(self) -> None:
        figure, game = self._figure, self.game
        figure.clear()
        left, right = figure.subplots(1, 2)
        times = self.times[self._steps]
        colors = [f"C{i % 10}" for i in range(len(game.agents))]
        for i, agent in enumerate(game.agents):
            path = [each[i] for each in self._inventories]
            left.plot(times, path, color=colors[i], marker="o", markersize=2, label=agent)
        left.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        left.set(xlabel="time", ylabel="inventory (shares)", title="Inventories")
        if len(game.agents) <= _NAMED:
            left.legend(fontsize="small")
        if game.makers:
            self._paint_quotes(right, colors)
        else:
            self._paint_prices(right, colors)
        for axes in (left, right):
            axes.set_xlim(self.times[0], self.times[-1])

    def _paint_quotes(self, axes: Any, colors: list[str]) -> None:
        game = self.game
        if self._quotes:
            quotes = np.stack([each for _, each in self._quotes])
            at = self.times[[k for k, _ in self._quotes] + [self._quotes[-1][0] + 1]]
            quotes = np.concatenate([quotes, quotes[-1:]])  # a quote holds until the end of its step
            for j in range(game.makers):
                color = colors[game.traders + j]
                axes.step(at, quotes[:, 0, j], color=color, where="post", label=f"maker_{j} ask")
                axes.step(at, -quotes[:, 1, j], color=color, where="post", linestyle="--", label=f"maker_{j} bid")
            axes.legend(fontsize="small")
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xlabel="time", ylabel="quote - reference price (currency)", title="Quotes")

    def _paint_prices(self, axes: Any, colors: list[str]) -> None:
        axes.plot(self.times[self._steps], self._mids, color="0.2", label="market price")
        if self._paid:
            paid = np.stack(self._paid)
            ends = self._steps[-len(paid) :]
            middle = (self.times[ends] + self.times[[k - 1 for k in ends]]) / 2
            for i, agent in enumerate(self.game.agents[:_NAMED]):
                axes.plot(middle, paid[:, i], color=colors[i], marker=".", linestyle="none", label=f"{agent} trades at")
        axes.legend(fontsize="small")
        axes.set(xlabel="time", ylabel="price (currency per share)", title="Prices")

    def close(self) -> None:
        """Close the window, if there is one."""
        if self.mode == "human":
            from matplotlib import pyplot

            pyplot.close(self._figure)

"""Pictures of an episode so far: inventories, and beside them quotes, or prices where nobody quotes. Needs
matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .arrays import Array
from .game import Game
from .market import Market
from .text import how_to_install

if TYPE_CHECKING:  # matplotlib may be missing
    from matplotlib.axes import Axes

NAMED = 12
"""agents up to which a legend names them"""
_COLUMNS = 7
"""entries of a legend in a row"""


class Frame(NamedTuple):
    """A market at one time."""

    k: int
    inventories: Array
    price: float
    paid: Array | None
    quotes: np.ndarray


def frame(market: Market) -> Frame:
    """A single market as it stands."""
    return Frame(market.k, market.inventories, float(market.price), market.paid, market.quotes)


def groups(game: Game) -> dict[str, Sequence[int]]:
    """Positions of the agents that share a colour, by what a legend says of them: every agent by its name; or, where
    they are many, the traders and the makers."""
    count, everyone = len(game.agents), range(len(game.agents))
    if count <= NAMED:
        return {agent: [i] for i, agent in enumerate(game.agents)}
    roles = {"trader": everyone[: game.traders], "maker": everyone[game.traders :]}
    return {f"{len(who)} {role}{'s' * (len(who) > 1)}": who for role, who in roles.items() if who}


class Renderer:
    """Draws the frames of a single market.

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
            raise ImportError(f"rendering needs matplotlib: {how_to_install('plots')}") from error
        self.game, self.times = game, times
        if mode == "human":
            from matplotlib import pyplot

            self._pyplot, self._figure = pyplot, pyplot.figure(figsize=(9, 4), layout="constrained")
        else:
            self._figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
        self._canvas = None if mode == "human" else FigureCanvasAgg(self._figure)
        self._groups = groups(game)
        shown = {i: f"C{g % 10}" for g, who in enumerate(self._groups.values()) for i in who}
        self._colors = [shown[i] for i in range(len(game.agents))]
        self._width = 1.5 if len(game.agents) <= NAMED else 0.8

    def draw(self, frames: Sequence[Frame]) -> np.ndarray | None:
        """Draw an episode's frames, of which the first is its beginning."""
        self._paint(frames)
        if self._canvas is None:
            self._pyplot.pause(0.001)
            return None
        self._canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _paint(self, frames: Sequence[Frame]) -> None:
        figure, game = self._figure, self.game
        figure.clear()
        left, right = figure.subplots(1, 2)
        times = self.times[[frame.k for frame in frames]]
        for i, color in enumerate(self._colors):
            path = [frame.inventories[i] for frame in frames]
            left.plot(times, path, color=color, linewidth=self._width, marker="o", markersize=2)
        left.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        left.set(xlabel="time", ylabel="inventory (shares)", title="Inventories")
        played = [frame for frame in frames if frame.k]
        if game.makers:
            self._paint_quotes(right, played)
        else:
            right.plot(times, [frame.price for frame in frames], color="0.2")
            self._paint_trades(right, played)
        for axes in (left, right):
            axes.set_xlim(self.times[0], self.times[-1])
        self._legend()

    def _legend(self) -> None:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=self._colors[who[0]], label=name) for name, who in self._groups.items()]
        if self.game.makers:
            handles += [Line2D([], [], color="0.3", label="ask"), Line2D([], [], color="0.3", ls="--", label="bid")]
        else:
            handles += [Line2D([], [], color="0.2", label="market price")]
            handles += [Line2D([], [], color="0.5", ls="none", marker=".", label="price of a trade")]
        columns = min(len(handles), _COLUMNS)
        self._figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)

    def _paint_quotes(self, axes: Axes, played: Sequence[Frame]) -> None:
        if played:
            quotes = np.stack([frame.quotes for frame in [*played, played[-1]]])  # a quote holds until its step's end
            at = self.times[[*(frame.k - 1 for frame in played), played[-1].k]]
            for j, color in enumerate(self._colors[self.game.traders :]):
                for side, style in ((quotes[:, 0, j], "-"), (-quotes[:, 1, j], "--")):
                    axes.step(at, side, color=color, where="post", linestyle=style, linewidth=self._width)
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xlabel="time", ylabel="quote - reference price (currency)", title="Quotes")

    def _paint_trades(self, axes: Axes, played: Sequence[Frame]) -> None:
        middle = [(self.times[frame.k - 1] + self.times[frame.k]) / 2 for frame in played]
        for i, color in enumerate(self._colors if played else ()):
            paid = [frame.paid[i] for frame in played if frame.paid is not None]
            axes.plot(middle, paid, color=color, marker=".", linestyle="none")
        axes.set(xlabel="time", ylabel="price (currency per share)", title="Prices")

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._canvas is None:
            self._pyplot.close(self._figure)

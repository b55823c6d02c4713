"""Pictures of an episode so far. Above inventories and payoffs, below quotes and the ladder of the last step; or,
where nobody quotes, rates and prices. Needs matplotlib.

Axes, layout and size are the same for all frames of an episode (:mod:`.limits`), and a first frame is complete.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .arrays import Array
from .game import Game
from .limits import Ghost, Limits
from .market import Market
from .palette import colors, groups, legend, markers, width
from .text import how_to_install

if TYPE_CHECKING:
    from matplotlib.artist import Artist

_SIZE, _DPI = (10.0, 5.8), 100
"""of a picture, in inches and dots per inch: whole and even numbers of dots, which video formats want"""
_COLUMNS = 8
"""entries of a legend in a row"""
_NO_DISPLAY = (
    "render_mode: 'human' shows a window, and matplotlib has none here (backend {}): render_mode='rgb_array' returns "
    "pictures, and 'makertaker render' writes a GIF"
)


class Frame(NamedTuple):
    """A market at one time."""

    k: int
    inventories: np.ndarray
    """(n,)"""
    payoffs: np.ndarray
    """(n,) sum of the rewards so far, in currency, with the terminal penalty of the inventories as they are"""
    price: float
    quotes: np.ndarray
    """(2, M) asks and bids of the last step"""
    fills: np.ndarray
    """(2, M) shares that makers sold and bought in the last step"""
    volumes: np.ndarray
    """(2,) shares bought and sold in the last step"""
    rates: np.ndarray | None
    """(N,) of the last step; None before the first, as what follows"""
    paid: np.ndarray | None
    """(N,) price per share"""
    best: tuple[float, float] | None
    """best ask and bid; None where nobody quotes"""


class Recording:
    """The frames of a single market's episode.

    Args:
        market: at the beginning of its episode.
    """

    def __init__(self, market: Market) -> None:
        self._market, self._earned = market, np.zeros(len(market.game.agents))
        self.frames = [self._frame()]

    def add(self, rewards: Array) -> None:
        """The market as it stands after a step with these rewards (n,), in the units of its options."""
        units = self._market.reward_units
        self._earned = self._earned + (rewards if units is None else rewards * units)
        self.frames.append(self._frame())

    def _frame(self) -> Frame:
        market, activity = self._market, self._market.activity
        charged = market.done if market.reward_units is None else market.k > 0
        payoffs = self._earned if charged else self._earned + market.terminal
        rates, best = None, None
        if activity is not None:
            rates = activity.inventory_rate[: market.game.traders]
            if activity.best_ask is not None and activity.best_bid is not None:
                best = float(activity.best_ask), float(activity.best_bid)
        played = market.quotes, market.fills, market.volumes
        return Frame(market.k, market.inventories, payoffs, float(market.price), *played, rates, market.paid, best)


def has_display() -> bool:
    """True where matplotlib has a display to show windows on; a warning where it has none. Raises ImportError without
    matplotlib."""
    try:
        from matplotlib import pyplot
        from matplotlib.backends.registry import BackendFilter, backend_registry
    except ImportError as error:
        raise ImportError(f"rendering needs matplotlib: {how_to_install('plots')}") from error
    backend = str(pyplot.get_backend())
    if backend.lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):  # type: ignore[no-untyped-call]
        warnings.warn(_NO_DISPLAY.format(backend), stacklevel=3)
        return False
    if not pyplot.get_fignums():  # windows that there are show that there is a display
        try:
            pyplot.switch_backend(backend)
        except ImportError:  # a backend that was asked for, and finds no display
            warnings.warn(_NO_DISPLAY.format(backend), stacklevel=3)
            return False
    return True


class Renderer:
    """Draws the frames of a single market.

    Args:
        game: the game.
        times: (K+1,) of the grid.
        shown: True: a window shows the frames; False: pictures are returned.
        title: above the picture.
        pause: seconds that a window shows a frame for, at least.

    Raises:
        ImportError: matplotlib is not installed.
    """

    def __init__(self, game: Game, times: np.ndarray, shown: bool, title: str, pause: float = 0.1) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(f"rendering needs matplotlib: {how_to_install('plots')}") from error
        self.game, self.times, self._pause = game, times, pause
        if shown:
            from matplotlib import pyplot

            self._pyplot, self._figure = pyplot, pyplot.figure(figsize=_SIZE, dpi=_DPI)
        else:
            self._figure = Figure(figsize=_SIZE, dpi=_DPI)
        self._canvas = None if shown else FigureCanvasAgg(self._figure)
        self._begun: tuple[Limits, Ghost | None] | None = None
        self._title = title
        self._build()

    def _build(self) -> None:
        """The panels, without anything of an episode."""
        from .pictures import Bars, Ladder, Look, Paths, Prices

        game, figure = self.game, self._figure
        grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1.0))
        held, earned = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        below = figure.add_subplot(grid[1, 0], sharex=held)
        looks = [Look(*each, width(game)) for each in zip(game.agents, colors(game), markers(game), strict=True)]
        traders, makers = looks[: game.traders], looks[game.traders :]
        self._held, self._earned = Paths(held, looks), Bars(earned, looks, groups(game))
        self._ladder: Ladder | None = None
        self._prices: Prices | None = None
        held.set(title="Inventories", ylabel="shares")
        held.tick_params(labelbottom=False)
        earned.set(title="Payoffs, were the episode to end now", xlabel="currency")
        if game.makers:
            beside = figure.add_subplot(grid[1, 1], sharey=below)
            self._played, self._ladder = Paths(below, makers, ("ask", "bid"), held=True), Ladder(beside, makers)
            below.set(title="Quotes", xlabel="time", ylabel="less reference price\n(currency)")
            beside.set(title="Ladder of the last step", xlabel="shares in the step")
            beside.tick_params(labelleft=False)
        else:
            beside = figure.add_subplot(grid[1, 1])
            self._played, self._prices = Paths(below, traders, held=True), Prices(beside, traders)
            below.set(title="Trading rates", xlabel="time", ylabel="shares / time")
            beside.set(title="Prices", xlabel="time", ylabel="currency per share")
        for axes in figure.axes:
            axes.title.set_fontsize(10)
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set_fontsize(9)
                axis.offsetText.set_fontsize(8)
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
        self._above = figure.suptitle(self._title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        self._clock = figure.text(0.99, 1.0, "", ha="right", va="top", fontsize=11, in_layout=False)

    def begin(self, bounds: Limits, ghost: Ghost | None) -> None:
        """Set the limits, the ghost, the legend, and with them the layout of an episode's frames; nothing is changed
        where they are those of the episode before."""
        if self._begun is not None and self._begun[0] == bounds and self._begun[1] is ghost:
            return
        self._begun = bounds, ghost
        controls = None if ghost is None else ghost.controls
        self._held.begin(self.times, bounds.inventory, None if ghost is None else ghost.inventories)
        self._earned.begin(bounds.payoff, None if ghost is None else ghost.payoffs)
        if self._prices is not None:
            self._played.begin(self.times, bounds.control, None if controls is None else controls.rate)
            self._prices.begin(self.times, bounds.price, None if ghost is None else ghost.prices[:, None])
        else:
            both = None if controls is None else np.concatenate([controls.ask, -controls.bid], axis=1)
            self._played.begin(self.times, bounds.control, both)
        if self._ladder is not None:
            self._ladder.limit(bounds.volume)
        self._legend(ghost)
        self._figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
        self._figure.draw_without_rendering()
        self._figure.set_layout_engine("none")  # panels keep their places
        dots = np.tile(_DPI * np.array(_SIZE), 2)
        for axes in self._figure.axes:  # whole dots, whatever the layout was before
            axes.set_position(tuple(np.round(axes.get_position().bounds * dots) / dots))
        self._clock.set_y(self._above.get_position()[1])

    def draw(self, frames: Sequence[Frame]) -> np.ndarray | None:
        """Draw an episode's frames, of which the first is its beginning."""
        self._paint(frames)
        if self._canvas is None:
            self._pyplot.pause(self._pause)
            return None
        self._canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _paint(self, frames: Sequence[Frame]) -> None:
        game, last, played = self.game, frames[-1], [frame for frame in frames if frame.k]
        now, end, at = self.times[last.k], self.times[-1], self.times[[frame.k for frame in frames]]
        self._clock.set_text(f"step {last.k} of {len(self.times) - 1}, time {now:.3g} of {end:.3g}")
        self._held.show(at, np.stack([frame.inventories for frame in frames]), now)
        self._earned.show(last.payoffs)
        if self._ladder is not None:
            quotes = [np.concatenate([frame.quotes[0], -frame.quotes[1]]) for frame in played]
            self._played.show(at, _stacked(quotes, 2 * game.makers), now)
            best = None if last.best is None else (last.best[0], -last.best[1])
            self._ladder.show(last.quotes * np.array([[1.0], [-1.0]]), last.fills, last.volumes, best)
        if self._prices is not None:
            self._played.show(at, _stacked([frame.rates for frame in played], game.traders), now)
            paid = _stacked([frame.paid for frame in played], game.traders)
            self._prices.show_trades(at, np.array([frame.price for frame in frames]), paid)

    def _legend(self, ghost: Ghost | None) -> None:
        from matplotlib.lines import Line2D

        from .pictures import DASHES

        for each in self._figure.legends:
            each.remove()
        shapes, members = markers(self.game), groups(self.game)
        handles: list[Artist] = [
            Line2D([], [], color=shade, marker=shapes[members[name][0]], markersize=4.5, label=name)
            for name, shade in legend(self.game).items()
        ]
        few, grey = bool(shapes[0]), "0.35"
        lines: dict[str, dict[str, Any]] = {
            "market price": {},
            "price of a trade": {"linestyle": "none", "marker": "."},
        }
        if self.game.makers:
            lines = {"ask": {"marker": "o"}, "bid": {"marker": "o", "markerfacecolor": "white"}}
            lines = lines if few else {"ask": {}, "bid": {"linestyle": ":"}}
        if ghost is not None:
            lines[ghost.label] = {"linestyle": DASHES, "linewidth": 0.9}
        handles += [Line2D([], [], color=grey, markersize=4.5, label=name, **each) for name, each in lines.items()]
        handles += [] if self._ladder is None else self._ladder.handles
        rows = -(-len(handles) // _COLUMNS)
        columns = -(-len(handles) // rows)
        self._figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._canvas is None:
            self._pyplot.close(self._figure)


def _stacked(rows: Sequence[np.ndarray | None], count: int) -> np.ndarray:
    """(m, count) of rows (count,)."""
    return np.stack([each for each in rows if each is not None]) if rows else np.zeros((0, count))

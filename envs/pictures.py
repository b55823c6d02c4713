"""The panels of an episode's picture. Their limits are set once for an episode; what goes beyond is drawn at the edge,
with a triangle that points out. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .arrays import Array
from .limits import Range
from .palette import NAMED

_DARK, _GREY, _PALE = "0.2", "0.5", "0.85"
DASHES = (0, (4, 2))
"""of a ghost's lines, which are thin besides"""
_TURNS, _MARKED = 4, 20
"""agents that take turns with their markers, and places on the horizon at which there are some"""
_THICK = 0.08
"""part of the ladder's height that a side's volume takes"""
_OUT: dict[str, Any] = {"linestyle": "none", "color": _DARK, "markersize": 6, "clip_on": False, "zorder": 5}


class Look(NamedTuple):
    """How an agent is drawn."""

    name: str
    color: str
    marker: str
    """"" for one of many"""
    width: float


class _Panel:
    """Axes with marks for what is beyond their limits.

    Args:
        axes: to draw in.
        across: True if values lie along the horizontal axis.
    """

    def __init__(self, axes: Axes, *, across: bool = False) -> None:
        self.axes, self._across = axes, across
        self._marks = [Line2D([], [], marker=each, **_OUT) for each in ("<>" if across else "v^")]
        for each in self._marks:
            axes.add_line(each)
            each.set_in_layout(False)

    def limit(self, values: Range) -> None:
        """Set the limits of the values."""
        (self.axes.set_xlim if self._across else self.axes.set_ylim)(values)

    def _clipped(self, values: Array) -> Array:
        low, high = self.axes.get_xlim() if self._across else self.axes.get_ylim()
        return np.clip(values, low, high)

    def _mark(self, places: Array, values: Array) -> None:
        """Mark the values (m,) that are beyond the limits at their places (m,) on the other axis."""
        ends = self.axes.get_xlim() if self._across else self.axes.get_ylim()
        for mark, end, beyond in zip(self._marks, ends, (values < ends[0], values > ends[1]), strict=True):
            at, edge = places[beyond], np.full(np.count_nonzero(beyond), end)
            mark.set_data(*((edge, at) if self._across else (at, edge)))


class Paths(_Panel):
    """Lines over time.

    Args:
        axes: to draw in.
        looks: of the agents.
        sides: names of the lines that every agent has, asks and then bids; markers of the second are hollow.
        held: True if a value holds for a step.
    """

    def __init__(self, axes: Axes, looks: Sequence[Look], sides: Sequence[str] = (), *, held: bool = False) -> None:
        super().__init__(axes)
        self._held, self._agents, self._apart = held, len(looks), 1
        style = "steps-post" if held else "default"
        if sides:
            looks = [look._replace(name=f"{look.name}, {side}") for side in sides for look in looks]
        self.lines = [_line(axes, each, i >= self._agents, style) for i, each in enumerate(looks)]
        self.ghosts = [_ghost(axes, each, style) for each in looks]
        self._now = axes.axvline(0.0, color=_GREY, linewidth=0.8, zorder=1)
        axes.axhline(0, color=_PALE, linewidth=0.8, zorder=0)

    def begin(self, times: Array, values: Range, ghosts: Array | None) -> None:
        """Set limits, and ghosts (K+1, lines) or, where values hold for a step, (K, lines)."""
        self.axes.set_xlim(times[0], times[-1])
        self._apart = -(-(len(times) - 1) // _MARKED)
        self.limit(values)
        for i, line in enumerate(self.ghosts):
            line.set_data(*(([], []) if ghosts is None else (times, self._until(ghosts[:, i]))))

    def show(self, times: Array, values: Array, now: float) -> None:
        """Draw values (m, lines) at times (m,), or (m + 1,) where they hold for a step."""
        every, turns = range(len(values)), min(self._agents, _TURNS)
        for i, line in enumerate(self.lines):
            path = self._until(values[:, i])
            line.set_data(times[: len(path)], self._clipped(path))
            marked = every[i % self._agents % turns * self._apart :: turns * self._apart]  # lines on lines show so
            line.set_markevery([*marked, *every[-1:]])
        self._now.set_xdata([now, now])
        self._mark(*_flat(times[: len(values)], values))

    def _until(self, values: Array) -> Array:
        """Values at all times: one that holds for a step stays until its end."""
        return np.append(values, values[-1:]) if self._held and len(values) else values


def _line(axes: Axes, look: Look, hollow: bool, drawstyle: str) -> Line2D:
    face = "white" if hollow else look.color
    marker: dict[str, Any] = {"marker": look.marker, "markersize": 4.5, "markerfacecolor": face, "markeredgewidth": 0.9}
    style = ":" if hollow and not look.marker else "-"
    (line,) = axes.plot([], [], style, color=look.color, linewidth=look.width, drawstyle=drawstyle, **marker)
    line.set(label=look.name, zorder=2)
    return line


def _ghost(axes: Axes, look: Look, drawstyle: str) -> Line2D:
    thin: dict[str, Any] = {"linewidth": 0.9, "alpha": 0.75} if look.marker else {"linewidth": 0.5, "alpha": 0.4}
    (line,) = axes.plot([], [], color=look.color, drawstyle=drawstyle, linestyle=DASHES, **thin)
    line.set(label=f"_{look.name}, ghost", zorder=1.5)  # an underscore keeps it out of legends
    return line


class Prices(Paths):
    """The market price over time, and the price of every trade in the middle of its step.

    Args:
        axes: to draw in.
        looks: of the traders.
    """

    def __init__(self, axes: Axes, looks: Sequence[Look]) -> None:
        super().__init__(axes, [Look("market price", _DARK, ".", 1.5)])
        self.trades = []
        for each in looks:
            style: dict[str, Any] = {"marker": each.marker or ".", "markersize": 3.5, "linestyle": "none"}
            self.trades.append(axes.plot([], [], color=each.color, label=each.name, **style)[0])

    def show_trades(self, times: Array, prices: Array, paid: Array) -> None:
        """Draw market prices (m + 1,) at times (m + 1,), and what traders paid (m, N) in the steps between."""
        self.show(times, prices[:, None], times[-1])
        self.lines[0].set_markevery([len(times) - 1])
        middle = (times[1:] + times[:-1]) / 2
        for i, line in enumerate(self.trades):
            line.set_data(middle, self._clipped(paid[:, i]))
        both = zip(_flat(times, prices[:, None]), _flat(middle, paid), strict=True)
        self._mark(*(np.concatenate(each) for each in both))


def _flat(times: Array, values: Array) -> tuple[Array, Array]:
    """Times and values of every point of lines (m, lines) at times (m,)."""
    return np.repeat(times, values.shape[1]), values.ravel()


class Ladder(_Panel):
    """Quotes at the last step, with the shares that were traded at them, and the best of them.

    Args:
        axes: quotes upwards, shares to the right.
        looks: of the makers.
    """

    def __init__(self, axes: Axes, looks: Sequence[Look]) -> None:
        super().__init__(axes, across=True)
        self._volumes = axes.barh([0.0, 0.0], [0.0, 0.0], height=0.0, color=_PALE, zorder=0.5)
        self._best = [axes.axhline(0.0, color=_DARK, linewidth=1.1, zorder=1, visible=False) for _ in range(2)]
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
        ends = zip((0.98, 0.02), ("top", "bottom"), strict=True)
        style: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "fontsize": 8, "bbox": box, "zorder": 6}
        self._texts = [axes.text(0.98, y, "", va=side, **style) for y, side in ends]
        self.lines = [[_line(axes, look, side == 1, "default") for look in looks] for side in range(2)]
        for each in self.lines[0] + self.lines[1]:
            each.set(linewidth=2 * each.get_linewidth(), markevery=[-1])
        self.handles = [
            Line2D([], [], color=_DARK, linewidth=1.1, label="best quote"),
            Patch(color=_PALE, label="all trades"),
        ]
        """what a legend has of it"""
        self._waiting = axes.text(
            0.5, 0.5, "no quotes yet", transform=axes.transAxes, ha="center", va="center", color=_GREY, fontsize=9
        )

    def show(self, quotes: Array, fills: Array, volumes: Array, best: tuple[float, float] | None) -> None:
        """Draw quotes (2, M) less the reference price, shares (2, M) filled at them, and (2,) bought and sold."""
        self._waiting.set_visible(best is None)
        low, high = self.axes.get_ylim()
        for side, lines in enumerate(self.lines):
            for j, line in enumerate(lines):
                at = np.clip(quotes[side, j], low, high)
                line.set_data(*(([], []) if best is None else ([0.0, self._clipped(fills[side, j])], [at, at])))
        names = ("best ask {:#.3g}, {:#.3g} bought", "best bid {:#.3g}, {:#.3g} sold")
        for side, (line, text, bar) in enumerate(zip(self._best, self._texts, self._volumes, strict=True)):
            line.set_visible(best is not None)
            text.set_visible(best is not None)
            bar.set_visible(best is not None)
            if best is not None:
                at, thick = float(np.clip(best[side], low, high)), _THICK * (high - low)
                line.set_ydata([at, at])
                text.set_text(names[side].format(best[side], volumes[side]))
                bar.set(y=at - thick / 2, height=thick, width=self._clipped(volumes[side]))
        places = np.concatenate([quotes.ravel(), volumes if best is None else np.array(best)])
        self._mark(np.clip(places, low, high), np.concatenate([fills.ravel(), volumes]))


class Bars(_Panel):
    """A bar for every agent, the first at the top.

    Args:
        axes: to draw in.
        looks: of the agents.
        groups: names for positions that have one.
    """

    def __init__(self, axes: Axes, looks: Sequence[Look], groups: dict[str, Sequence[int]]) -> None:
        super().__init__(axes, across=True)
        count = len(looks)
        self._places = np.arange(count, dtype=float)
        shades = [each.color for each in looks]
        self.bars = axes.barh(self._places, np.zeros(count), height=0.7, color=shades, zorder=2)
        axes.axvline(0, color=_GREY, linewidth=0.8, zorder=1)
        axes.set_ylim(count - 0.4, -0.6)
        axes.set_yticks([float(np.mean(who)) for who in groups.values()], list(groups))
        axes.tick_params(axis="y", length=0, pad=8)
        self._ghosts = axes.vlines([], [], [], color="black", zorder=3, linewidth=1.2, linestyles=(0, (2, 1)))
        few = count <= NAMED
        place = axes.get_yaxis_transform()
        self._values = [
            axes.text(1.02, i, "", transform=place, va="center", fontsize=8, in_layout=False)
            for i in range(count * few)
        ]
        self._room = axes.text(1.02, 0, "", transform=place, va="center", fontsize=8, alpha=0.0)  # for them

    def begin(self, values: Range, ghosts: Array | None) -> None:
        """Set limits, and marks at values (n,)."""
        self.limit(values)
        if self._values:
            self._room.set_text(max((*map(_number, values), _number(-0.1)), key=len))
        ends = () if ghosts is None else zip(self._places, self._clipped(ghosts), strict=True)
        self._ghosts.set_segments([[(value, i - 0.48), (value, i + 0.48)] for i, value in ends])

    def show(self, values: Array) -> None:
        """Draw values (n,)."""
        for bar, value in zip(self.bars, self._clipped(values), strict=True):
            bar.set_width(value)
        for text, value in zip(self._values, values, strict=False):
            text.set_text(_number(value))
        self._mark(self._places, values)


def _number(value: float) -> str:
    return f"{value:#.4g}"

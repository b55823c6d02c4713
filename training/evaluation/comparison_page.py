"""One self-contained HTML page for trainings beside each other: tables, their numbers as CSV, and figures (plotly)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ...envs.arrays import Array
from .html_report import draw, layout, table
from .page import COMPARISON
from .panels import COLORS, color
from .spread import Spread
from .tables import Table, percent

_LEAST = 1e-12
"""what smaller values are drawn as, on a logarithmic axis"""
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_ROW = 56
"""height of a group's row, in pixels"""


class Trained(NamedTuple):
    """A group of trainings that differ in their seeds alone."""

    name: str
    histories: Sequence[Array]
    """of each: joint market steps, NashConv and relative NashConv over training, (rows, 3)"""
    final: Sequence[float]
    """of each: relative NashConv at its end"""
    middle: Spread
    """of ``final``"""


def page(
    name: str,
    groups: Sequence[Trained],
    compared: Table,
    settings: Table,
    downloads: Mapping[str, str],
    remarks: Sequence[str],
) -> str:
    """The page as text.

    Args:
        name: its title.
        groups: in the order of the tables.
        compared: a row for each group.
        settings: what differs in their configurations; it may have no rows.
        downloads: contents of CSV files by name.
        remarks: lines above the first table.
    """
    same = "<p>Nothing but the seed.</p>" if len(groups) == 1 else "<p>Nothing.</p>"
    return COMPARISON.substitute(
        plotly=get_plotlyjs(),
        name=html.escape(name),
        remarks="".join(f"<p>{html.escape(each)}</p>" for each in remarks),
        groups=table(compared),
        downloads=" &nbsp; ".join(_download(each, content) for each, content in downloads.items()),
        final=draw(final(groups)),
        legend=legend(groups),
        learning=draw(learning(groups)),
        settings=f'<div class="scroll">{table(settings)}</div>' if settings.rows else same,
    )


def _download(name: str, content: str) -> str:
    """A link to a CSV file that the page holds."""
    data = f"data:text/csv;charset=utf-8,{quote(content)}"
    return f'<a download="{html.escape(name)}.csv" href="{data}">{html.escape(name)}.csv</a>'


def legend(groups: Sequence[Trained]) -> str:
    """The legend of :func:`learning`."""
    shown = [
        f'<span style="color:{color(i)}">{"&#9472;" if i < len(COLORS) else "- -"}</span> {html.escape(each.name)}'
        for i, each in enumerate(groups)
    ]
    return " &nbsp; ".join(f"<span>{each}</span>" for each in shown)


def over_seeds(histories: Sequence[Array]) -> tuple[Array, Array]:
    """Relative NashConv of several trainings, interpolated between evaluations where these are at other steps.

    Args:
        histories: (rows, 3) each; NaN where there was no best response.

    Returns:
        joint market steps of all evaluations, (K,); and quartiles over those that were trained that far, (3, K).
    """
    known = [each[np.isfinite(each[:, 2])] for each in histories]
    known = [each for each in known if len(each)]
    if not known:
        return np.zeros(0), np.zeros((3, 0))
    steps = np.unique(np.concatenate([each[:, 0] for each in known]))
    outside = {"left": np.nan, "right": np.nan}
    values = np.array([np.interp(steps, each[:, 0], each[:, 2], **outside) for each in known])
    return steps, np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)


def learning(groups: Sequence[Trained]) -> go.Figure:
    """Relative NashConv over joint market steps: a line at the median over seeds, a band for the middle half."""
    figure = go.Figure()
    for i, each in enumerate(groups):
        steps, (low, median, high) = over_seeds(each.histories)
        line = {"color": color(i), "dash": _DASHES[i // len(COLORS) % len(_DASHES)]}
        if len(each.histories) > 1:
            around = {
                "x": np.concatenate([steps, steps[::-1]]),
                "y": np.maximum(np.concatenate([low, high[::-1]]), _LEAST),
            }
            figure.add_scatter(
                **around, mode="none", fill="toself", fillcolor=color(i), opacity=0.18, hoverinfo="skip", name=each.name
            )
        mode = "lines+markers" if len(steps) == 1 else "lines"
        figure.add_scatter(x=steps, y=np.maximum(median, _LEAST), mode=mode, line=line, name=each.name)
    shown = [value for each in figure.data for value in each.y if np.isfinite(value)]
    figure.update_yaxes(_axis(shown))
    figure.update_xaxes(title_text="joint market steps")
    return layout(figure, 420).update_layout(showlegend=False)


def final(groups: Sequence[Trained]) -> go.Figure:
    """Relative NashConv at the end of training: a dot a seed; the median with its interval; names above the dots."""
    figure = go.Figure()
    for i, each in enumerate(groups):
        shade = color(i)
        dots = np.maximum(each.final, _LEAST)
        look = {"color": shade, "opacity": 0.55, "size": 8}
        said = [percent(value) for value in each.final]
        figure.add_scatter(
            x=dots, y=[i] * len(dots), mode="markers", marker=look, name=each.name, hovertext=said, hoverinfo="text"
        )
        if each.middle.low is not None and each.middle.high is not None:
            ends = np.maximum([each.middle.low, each.middle.high], _LEAST)
            figure.add_scatter(
                x=ends, y=[i, i], mode="lines", line={"color": shade, "width": 3}, name=each.name, hoverinfo="skip"
            )
        figure.add_scatter(
            x=[max(each.middle.median, _LEAST)],
            y=[i],
            mode="markers",
            marker={"color": "#fff", "line": {"color": shade, "width": 2.5}, "size": 12, "symbol": "diamond"},
            name=each.name,
            hovertext=f"median {percent(each.middle.median)}",
            hoverinfo="text",
        )
        figure.add_annotation(
            text=html.escape(each.name),
            x=0,
            xref="paper",
            xanchor="left",
            y=i,
            yshift=0.32 * _ROW,
            showarrow=False,
            font={"color": shade},
        )
    figure.update_xaxes(_axis([max(value, _LEAST) for each in groups for value in each.final]))
    figure.update_yaxes(showticklabels=False, range=[len(groups) - 0.5, -0.7], zeroline=False, showgrid=False)
    height = 75 + _ROW * len(groups)
    return layout(figure, height).update_layout(showlegend=False, margin={"l": 10})


def _axis(values: Sequence[float]) -> dict[str, object]:
    """Of relative NashConv, logarithmic, with few ticks: powers of ten, or 1, 2 and 5 times these."""
    wide = max(values) / min(values) if values else 1.0
    ticks = {"dtick": 1} if wide > 30 else {"dtick": "D2"} if wide > 4 else {"nticks": 5}
    return {"type": "log", "title_text": "relative NashConv", "tickformat": "~%", **ticks}

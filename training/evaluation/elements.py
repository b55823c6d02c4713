"""What the pages of reports are made of: tables and figures that can be saved, legends that hide lines."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

import plotly.graph_objects as go

from ..common.files import csv_text
from .page import INK, ON_DARK, WEAK
from .tables import Shown, Table

DASHES = {"solid": "", "dash": "6 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "9 3"}
"""plotly's, as SVG has them"""
DIAMOND = "diamond"
"""of an entry, in place of dashes: a mark"""
POINTED = {"hovermode": "closest", "hoverdistance": 20}
"""layout of a figure in which the pointer is on what it asks for"""
_INKED = '<path d="{}" stroke="var(--ink)" fill="none"/>'
_PATTERNS = {
    "": "",
    "/": _INKED.format("M0 7L7 0M0 14L14 0M7 14L18 3"),
    "\\": _INKED.format("M11 0L18 7M4 0L18 14M0 3L11 14"),
    "x": _INKED.format("M0 7L7 0M0 14L14 0M7 14L18 3M11 0L18 7M4 0L18 14M0 3L11 14"),
    ".": _INKED.format("M3 4h1M9 4h1M15 4h1M3 10h1M9 10h1M15 10h1"),
}
"""pieces of plotly's patterns"""
_TOLD = 9
"""lines up to which a figure's description has the ends of each"""
_TOGETHER = 14
"""lines up to which a hover label has them all"""


class Entry(NamedTuple):
    """Of a legend: a button that hides lines."""

    key: str
    """of the lines' ``meta``"""
    value: str
    color: str = INK
    dash: str = "solid"
    label: str = ""
    """otherwise ``value``"""
    pattern: str | None = None
    """of a bar, in plotly's names; None for a line"""


def slug(name: str) -> str:
    """A name as that of a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "table"


def download(name: str, content: str, kind: str = "csv", label: str = "") -> str:
    """A link to a file that the page holds; ``name`` has no suffix."""
    mime = {"csv": "text/csv", "json": "application/json"}[kind]
    data = f"data:{mime};charset=utf-8,{quote(content)}"
    shown = html.escape(label or f"{name}.{kind}")
    return f'<a download="{html.escape(name)}.{kind}" href="{data}">{shown}</a>'


def table(content: Table, caption: str, *, name: str = "", kind: str = "", saved: bool = True) -> str:
    """A table with a caption, and its numbers in full as CSV, unless they are saved otherwise."""
    kinds = [' class="words"' if each else "" for each in content.words()]
    head = "".join(
        f'<th scope="col"{each}>{html.escape(name)}</th>' for name, each in zip(content.header, kinds, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td{each}>{html.escape(cell)}</td>" for cell, each in zip(rest, kinds[1:], strict=True))
        + "</tr>"
        for first, *rest in content.rows
    )
    about = html.escape(caption)
    shown = f"<table><caption><span>{about}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    link = f'<p class="tools">{download(name or slug(caption), csv_text(_in_full(content)))}</p>' if saved else ""
    return (
        f'<div class="table {kind}"><div class="scroll" tabindex="0" role="region" aria-label="{about}">{shown}</div>'
        f"{link}</div>"
    )


def _in_full(content: Table) -> list[list[object]]:
    """Cells as numbers where they show one; a standard error has a column of its own."""
    columns = [[name, *cells] for name, *cells in zip(content.header, *content.rows, strict=True)]
    found: list[list[object]] = []
    for name, *cells in columns:
        values = [_values(cell) for cell in cells]
        found.append([name, *(value for value, _ in values)])
        if any(error is not None for _, error in values):
            found.append([f"{name}, standard error", *(error for _, error in values)])
    return [list(row) for row in zip(*found, strict=True)]


def _values(cell: str) -> tuple[object, float | None]:
    return (cell.value, cell.error) if isinstance(cell, Shown) else (str(cell), None)


def figure(
    chart: go.Figure,
    title: str,
    *,
    legend: str = "",
    unit: str = "value",
    x: str = "x",
    level: int = 3,
    across: bool = False,
) -> str:
    """A figure with a title, a description for those who do not see it, and buttons that save it.

    Args:
        chart: its lines have names, and in ``meta`` what entries of a legend hide them by.
        title: above it.
        legend: name of the :func:`legend` that hides its lines.
        unit: of values, for the file's header.
        x: name of the horizontal axis there.
        level: of the heading.
        across: True where values lie along the horizontal axis, and lines have no direction.
    """
    document = json.loads(str(chart.to_json()))
    document["layout"].pop("template", None)
    shown = json.dumps({"data": document["data"], "layout": document["layout"]}).replace("<", "\\u003c")
    name, about = slug(title), html.escape(title)
    series: list[list[object]] = [["line", x, unit], *_series(document["data"])]
    saves = "".join(
        f'<button type="button" data-save="{each}" aria-label="Save {about} as {each.upper()}">{each.upper()}</button>'
        for each in ("svg", "png")
    )
    return (
        f'<figure data-name="{name}" data-title="{about}" data-legend="{legend}"><h{level}>{about}</h{level}>'
        f'<div class="chart" role="img" aria-label="{html.escape(_described(title, document["data"], across))}"'
        f' style="min-height:{document["layout"]["height"]}px"></div>'
        f'<script type="application/json">{shown}</script>'
        f'<div class="tools">{download(name, csv_text(series), label="CSV")}{saves}</div></figure>'
    )


def _series(lines: Iterable[Mapping[str, object]]) -> list[list[object]]:
    """Name, place and value of every point of every line; a band is two lines."""
    rows: list[list[object]] = []
    for line in lines:
        across, up = line.get("x"), line.get("y")
        if isinstance(across, list) and isinstance(up, list):
            rows += [[line.get("name", ""), *point] for point in zip(across, up, strict=True)]
    return rows


def _described(title: str, lines: Sequence[Mapping[str, object]], across: bool) -> str:
    """The figure in words: where each of few lines begins and ends; of values across the least and the greatest."""
    told = [each for each in lines if each.get("hoverinfo") != "skip"]
    if len(told) > _TOLD:
        return f"{title}: a chart with {len(told)} lines; its numbers are in the CSV file"
    said = []
    for each in told:
        up = each.get("x") if across or each.get("orientation") == "h" else each.get("y")
        known = [value for value in up if isinstance(value, int | float)] if isinstance(up, list) else []
        if known:
            known = sorted(known) if across else known
            said.append(f"{each.get('name', '')} from {known[0]:.4g} to {known[-1]:.4g}")
    return f"{title}: a chart. {'; '.join(said)}"


def legend(name: str, entries: Sequence[Entry]) -> str:
    """Buttons that hide lines of the figures with this legend."""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-key="{html.escape(each.key)}" '
        f'data-value="{html.escape(each.value)}">{_sample(each)}{html.escape(each.label or each.value)}</button>'
        for each in entries
    )
    return f'<div class="legend" role="group" aria-label="Lines that are shown" data-legend="{name}">{buttons}</div>'


def _sample(entry: Entry) -> str:
    """A piece of a line, or of a bar."""
    colors = f"--light:{entry.color};--dark:{ON_DARK.get(entry.color, entry.color)}"
    if entry.pattern is not None:
        return (
            f'<svg class="swatch" style="{colors}" width="18" height="14" aria-hidden="true">'
            f'<rect width="18" height="14" fill="currentColor"/>{_PATTERNS[entry.pattern]}</svg>'
        )
    if entry.dash == DIAMOND:
        mark = '<path d="M7 1L13 7L7 13L1 7Z" fill="var(--paper)" stroke="currentColor" stroke-width="2"/>'
        return f'<svg class="swatch" style="{colors}" width="14" height="14" aria-hidden="true">{mark}</svg>'
    return (
        f'<svg class="swatch" style="{colors}" width="26" height="10" aria-hidden="true">'
        '<line x1="1" y1="5" x2="25" y2="5" stroke="currentColor" stroke-width="3" '
        f'stroke-dasharray="{DASHES[entry.dash]}"/></svg>'
    )


def layout(chart: go.Figure, height: int, *, time: str = "") -> go.Figure:
    """The look that all figures share; lines that are few have one hover label together, headed by ``time``, which of
    many each says itself."""
    told = [each for each in chart.data if each.hoverinfo != "skip"]
    together = len(told) <= _TOGETHER
    chart.update_layout(
        height=height,
        margin={"l": 60, "r": 10, "t": 10, "b": 45},
        showlegend=False,
        hovermode="x unified" if together else "closest",
        hoverdistance=-1 if together else 40,  # of points that are few the nearest
    )
    chart.update_xaxes(automargin=True, hoverformat=".4~g", zeroline=False)
    chart.update_yaxes(automargin=True, gridcolor=WEAK)
    if time:
        chart.update_xaxes(unifiedhovertitle={"text": f"{time} %{{x}}"})
        for each in () if together else told:
            each.hovertemplate = f"{time} %{{x}}<br>{each.hovertemplate}"
    return chart

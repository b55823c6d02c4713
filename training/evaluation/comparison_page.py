"""One self-contained HTML page for trainings beside each other: tables, their numbers as CSV, and figures (plotly)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from ...baselines import Equilibrium
from ...envs import Controls, Game, PayoffParts, Trajectory
from ...envs.arrays import Array
from . import panels
from .elements import DASHES, POINTED, Entry, download, figure, layout, table
from .elements import legend as entries
from .html_report import gain_curves, path_figures, path_legend, payoff_parts, settings_tables
from .page import COMPARISON, INK, filled, tint
from .panels import COLORS, DASHED, color
from .spread import Spread
from .tables import Table

_LEAST = 1e-12
"""what smaller values are drawn as, on a logarithmic axis"""
_LINES = tuple(DASHES)
_ROW = 56
"""height of a group's row, in pixels"""
_CROWD = 100
"""rows of agents that a page shows at most"""
_SECTIONS = {"groups": "Groups", "agents": "Agents", "final": "Final NashConv", "training": "NashConv over training"}
_PLAYED = {"parts": "Payoffs in parts", "paths": "Learned against equilibrium"}
_LAST = {"differences": "What differs in configuration", "settings": "Settings and versions"}


class Trained(NamedTuple):
    """A group of trainings that differ in their seeds alone."""

    name: str
    histories: Sequence[Array]
    """of each: joint market steps, NashConv and relative NashConv over training, (rows, 3)"""
    final: Sequence[float]
    """of each: relative NashConv at its end"""
    middle: Spread
    """of ``final``"""


class Settings(NamedTuple):
    """Of what trainings depend on."""

    differing: Table
    """entries of their configurations that are not the same in all groups, a column for each; it may have no rows"""
    shared: Mapping[str, str]
    """entries that are the same, by names with dots"""
    ran: Mapping[str, str]
    """versions, machine and time of all runs"""
    configurations: Mapping[str, object]
    """by group"""


class Paths(NamedTuple):
    """What the trainings of one market have learned, beside its equilibrium."""

    equilibrium: Equilibrium
    size: float
    """sum of the equilibrium payoffs' sizes"""
    learned: Sequence[Trajectory]
    """of each training; means where anything is random"""
    responses: Sequence[Controls | None]
    """of each: everyone's best response to what the others have learned; None where one was not found"""
    parts: Mapping[str, PayoffParts]
    """of everyone's payoffs, ``"learned"`` and ``"equilibrium"``; means over the trainings"""
    histories: Sequence[Array]
    """as of :class:`Trained`"""
    gains: Sequence[Array | None]
    """(rows, n) of each: every agent's gain over training, in currency; None where it was not recorded"""


def page(
    name: str,
    groups: Sequence[Trained],
    compared: Table,
    agents: Table,
    settings: Settings,
    downloads: Mapping[str, str],
    remarks: Sequence[str],
    *,
    shared: Mapping[str, str],
    paths: Paths | None = None,
) -> str:
    """The page as text.

    Args:
        name: its title.
        groups: in the order of the tables.
        compared: a row for each group, without what is the same for all.
        agents: a row for each group and agent.
        settings: what they depend on.
        downloads: contents of CSV files by name.
        remarks: lines above the first table.
        shared: what is the same for all groups, by name.
        paths: of the trainings, where they are of one market.
    """
    same = "<p>Nothing but the seed.</p>" if len(groups) == 1 else "<p>Nothing.</p>"
    contents = {**_SECTIONS, **({} if paths is None else _PLAYED), **_LAST}
    differing = "Entries of the configurations that are not the same in all groups."
    return filled(
        COMPARISON,
        html.escape(name),
        html.escape(name),
        contents,
        remarks="".join(f"<p>{html.escape(each)}</p>" for each in remarks),
        groups=_compared(compared, shared),
        agents=_agents(agents, len(groups)),
        downloads=" ".join(download(each, content) for each, content in downloads.items()),
        final=figure(final(groups), "Relative NashConv at the end", x="relative NashConv", unit="row", across=True),
        legend=legend(groups),
        learning=figure(
            learning(groups),
            "Relative NashConv",
            legend="groups",
            x="joint market steps",
            unit="relative NashConv",
        ),
        seeds="" if paths is None else _seeds(paths),
        differences=table(settings.differing, differing, kind="settings", saved=False)
        if settings.differing.rows
        else same,
        about=_about_settings(len(groups)),
        settings=settings_tables(settings.shared, settings.ran, {"configurations": settings.configurations}),
    )


def _compared(compared: Table, shared: Mapping[str, str]) -> str:
    """The table of groups, of one group upright; and what is the same for all."""
    if len(compared.rows) == 1:
        (row,) = compared.rows
        upright = Table(["number", "value"], [list(each) for each in zip(compared.header, row, strict=True)])
        return table(upright, "The trainings together.", kind="settings", saved=False)
    content = table(compared, "Groups of trainings, the least median first.", saved=False)
    same = Table(["setting", "value"], [list(each) for each in shared.items()])
    return content + (table(same, "The same for all groups.", kind="settings", saved=False) if shared else "")


def _about_settings(groups: int) -> str:
    """What the last tables are of."""
    of = "Of all seeds" if groups == 1 else "Settings that all groups share, and with what all their runs ran"
    return f"{of}; where runs differ, values are listed, of many the first and the last."


def _agents(agents: Table, groups: int) -> str:
    """The table of agents; without the group where there is one, and not of a crowd."""
    if len(agents.rows) > _CROWD:
        return f"<p>There are {len(agents.rows)} rows, which the file agents has.</p>"
    shown = agents if groups > 1 else Table(agents.header[1:], [row[1:] for row in agents.rows])
    said = (
        "Gains by best responses, relative over the sum of the equilibrium payoffs' sizes, and in currency as payoffs "
        "are. Medians over seeds, whose sum need not be the median of NashConv."
    )
    return table(shown, said, saved=False)


def _seeds(paths: Paths) -> str:
    """What was learned: gains over training, payoffs in parts, and controls and inventories as bands over seeds."""
    game, found = paths.equilibrium.game, panels.over_seeds(paths.equilibrium, paths.learned, paths.responses)
    known = sum(each is not None for each in paths.responses)
    said = "Lines are medians over seeds; bands go from the least seed to the greatest."
    if known:
        of = "" if known == len(paths.responses) else f", of {known} seeds"
        said += (
            f" Best response: what the agent would do best while the others keep to what they have learned{of}, as "
            "opponents who do not react."
        )
    shown = path_legend(game, DASHED if known else [*DASHED][:2])
    return (
        f'{_gains(game, paths)}<h2 id="parts">{_PLAYED["parts"]}</h2>'
        f"{payoff_parts(paths.parts, game, 'What was learned: means over seeds.')}"
        f'<h2 id="paths">{_PLAYED["paths"]}</h2><p class="muted">{said}</p>'
        f'{shown}<div class="panels">{path_figures(paths, found)}</div>'
    )


def _gains(game: Game, paths: Paths) -> str:
    """Every agent's gain over training, where all recorded it at the same steps."""
    steps = paths.histories[0][:, 0]
    known = [each for each in paths.gains if each is not None]
    together = len(known) == len(paths.gains) and all(np.array_equal(steps, each[:, 0]) for each in paths.histories)
    if not together:
        return "<p>Gains of the agents over training were not recorded by all of these runs at the same steps.</p>"
    chart = gain_curves(game, steps, np.stack(known), paths.size)
    shown = [Entry("agent", name, shade) for name, shade in panels.legend(game).items()]
    title = "Gain of each agent over training"
    content = figure(chart, title, legend="gains", unit="relative gain", x="joint market steps")
    return entries("gains", shown) + content


def shade(index: int, groups: Sequence[Trained]) -> str:
    """A group's colour; one alone has none, so that colours are the agents'."""
    return color(index) if len(groups) > 1 else INK


def legend(groups: Sequence[Trained]) -> str:
    """The legend of :func:`learning`."""
    return entries("groups", [Entry("group", each.name, shade(i, groups), _dash(i)) for i, each in enumerate(groups)])


def _dash(index: int) -> str:
    return _LINES[index // len(COLORS) % len(_LINES)]


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
    chart = go.Figure()
    for i, each in enumerate(groups):
        steps, quartiles = over_seeds(each.histories)
        low, median, high = np.maximum(quartiles, _LEAST).tolist()
        several = len(each.histories) > 1
        shared = {"x": steps.tolist(), "meta": {"group": each.name}}
        if several:
            for end, values, fill in (("lower quartile", low, "none"), ("upper quartile", high, "tonexty")):
                band = {"fill": fill, "fillcolor": tint(shade(i, groups)), "showlegend": False, "hoverinfo": "skip"}
                chart.add_scatter(
                    **shared, **band, y=values, name=f"{each.name}, {end}", mode="lines", line={"width": 0}
                )
        chart.add_scatter(
            **shared,
            y=median,
            mode="lines+markers" if len(steps) == 1 else "lines",
            line={"color": shade(i, groups), "dash": _dash(i)},
            name=each.name,
            customdata=[f" ({a:.3%} to {b:.3%})" for a, b in zip(low, high, strict=True)] if several else None,
            hovertemplate=f"%{{y:.3%}}{'%{customdata}' if several else ''}<extra>{html.escape(each.name)}</extra>",
        )
    shown = [value for each in chart.data for value in each.y if np.isfinite(value)]
    chart.update_yaxes(_axis(shown))
    chart.update_xaxes(title_text="joint market steps")
    return layout(chart, 420, time="joint market steps")


def final(groups: Sequence[Trained]) -> go.Figure:
    """Relative NashConv at the end of training: a dot a seed; the median with its interval; names above the dots."""
    chart = go.Figure()
    for i, each in enumerate(groups):
        hue, name = shade(i, groups), html.escape(each.name)
        dots = np.maximum(each.final, _LEAST).tolist()
        if each.middle.low is not None and each.middle.high is not None:
            ends = np.maximum([each.middle.low, each.middle.high], _LEAST).tolist()
            name_of = f"{each.name}, 95% interval"
            chart.add_scatter(
                x=ends, y=[i, i], mode="lines", line={"color": hue, "width": 3}, name=name_of, hoverinfo="skip"
            )
        chart.add_scatter(
            x=[max(each.middle.median, _LEAST)],
            y=[i],
            mode="markers",
            marker={"color": "#ffffff", "line": {"color": hue, "width": 2.5}, "size": 12, "symbol": "diamond"},
            name=f"{each.name}, median",
            hovertemplate=f"%{{x:.3%}}<extra>{name}, median</extra>",
        )
        chart.add_scatter(
            x=dots,
            y=[i] * len(dots),
            mode="markers",
            marker={"color": hue, "opacity": 0.55, "size": 8},
            name=f"{each.name}, seeds",
            hovertemplate=f"%{{x:.3%}}<extra>{name}, a seed</extra>",
        )
        chart.add_annotation(
            text=name,
            x=0,
            xref="paper",
            xanchor="left",
            y=i,
            yshift=0.32 * _ROW,
            showarrow=False,
        )
    layout(chart, 75 + _ROW * len(groups)).update_layout(margin={"l": 10}, **POINTED)
    chart.update_xaxes(_axis([max(value, _LEAST) for each in groups for value in each.final]))
    chart.update_yaxes(showticklabels=False, range=[len(groups) - 0.5, -0.7], zeroline=False, showgrid=False)
    return chart


def _axis(values: Sequence[float]) -> dict[str, object]:
    """Of relative NashConv, logarithmic, with few ticks: powers of ten, or 1, 2 and 5 times these."""
    wide = max(values) / min(values) if values else 1.0
    ticks = {"dtick": 1} if wide > 30 else {"dtick": "D2"} if wide > 4 else {"nticks": 5}
    return {"type": "log", "title_text": "relative NashConv", "tickformat": "~%", **ticks}

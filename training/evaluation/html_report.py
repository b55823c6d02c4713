"""One self-contained HTML page for a run, ``report.html``: tables and interactive figures (plotly)."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...baselines.reference_points import FEEDBACK
from ...envs import Controls, Game, PayoffParts, read_scenario, scenario_names
from ...envs.arrays import Array
from ...envs.palette import MARKERS, NAMED
from ..common.files import flat
from ..common.memory import NONE
from . import panels, tables
from .elements import DIAMOND, POINTED, Entry, download, figure, layout, legend, table
from .metrics import Metrics
from .page import INK, MIDDLE, PAGE, STRONG, WEAK, filled, tint
from .panels import DASHED, LEARNED, Panel
from .scoring import Evaluation
from .tables import Table, percent

_SYMBOLS = dict(
    zip(
        MARKERS,
        (
            *("circle", "square", "triangle-up", "diamond", "triangle-down", "cross"),
            *("x", "triangle-left", "pentagon", "triangle-right", "hexagon", "star"),
        ),
        strict=True,
    )
)
"""plotly's names of the agents' markers"""
_LEAST = 1e-12
"""what smaller values are drawn as, on a logarithmic axis"""
_DASHES = ("dot", "dash", "dashdot", "longdash", "longdashdot")
_FILLS = {
    "spread": (STRONG, ""),
    "temporary_impact": (WEAK, "/"),
    "permanent_impact": (WEAK, "x"),
    "running_penalty": (MIDDLE, "."),
    "terminal_penalty": (MIDDLE, "\\"),
}
"""shade and pattern of a payoff's parts: colours are the agents'"""
_SECTIONS = {
    "agents": "Agents",
    "parts": "Payoffs in parts",
    "profiles": "Beside other profiles",
    "paths": "Learned against equilibrium",
    "training": "Exploitability over training",
    "settings": "Settings and versions",
}


def page(
    name: str,
    result: Evaluation,
    history: Array,
    gains: Array | None,
    config: Mapping[str, Any],
    run: Mapping[str, Any],
    responses: Controls | None = None,
) -> str:
    """The page as text.

    Args:
        name: of the run.
        result: its evaluation.
        history: timesteps, NashConv and relative NashConv over training, (rows, 3).
        gains: every agent's gain over training, (rows, n), in currency; None where they were not recorded.
        config: of the run, as its file has it; the result is a function of it.
        run: its circumstances.
        responses: everyone's best response to what the others have learned; see :func:`.panels.panels`.
    """
    metrics, game = result.metrics, result.equilibrium.game
    size = tables.payoff_size(metrics)
    text = {
        **{key: config[key] for key in ("scenario", "seed")},
        "algorithm": _algorithm(config["algorithm"]),
        "information": f"{config['information']}{_remembered(config)}",
        "description": _described(config["scenario"], config["values"]),
        "timesteps": f"{run['joint_market_steps']:,}",
        "nash_conv": percent(metrics["relative_nash_conv"]),
        "nash_conv_currency": f"{metrics['nash_conv']:.3g}",
        "size": f"{size:.4g}",
        "against": metrics["exploitability_against"],
        "distance": percent(metrics["control_distance"]),
    }
    caption = f"Payoffs and gains in currency; relative: over {size:.4g}, the sum of the equilibrium payoffs' sizes."
    whole = "NashConv and payoffs in currency; relative NashConv against open-loop opponents."
    parts = {
        "agents": table(tables.agent_gains(metrics), caption, name="agents"),
        "parts": payoff_parts(result.parts, game),
        "profiles": table(tables.profiles(metrics), whole, name="profiles")
        + table(tables.profile_payoffs(metrics), "Everyone's payoff in each profile, in currency.", name="payoffs"),
        "starts": "".join(
            [table(each, "Means over random starts, in currency.") for each in tables.random_starts(metrics)]
            + [f"<p>{html.escape(each)}</p>" for each in tables.random_start_remarks(metrics)]
        ),
        "notes": "".join(f'<p class="muted">{html.escape(each)}</p>' for each in notes(metrics)),
        "feedback": _feedback(metrics),
        "remarks": "".join(
            f"<p>{html.escape(each)}</p>"
            for each in (
                *_unfinished(config, run),
                *tables.market_remarks(metrics),
                *tables.remarks(result.equilibrium.notes),
            )
        ),
        "responses": f'<p class="muted">{html.escape(_about_responses(game, responses))}</p>',
        "legend": path_legend(game, DASHED if responses is not None else [*DASHED][:2]),
        "panels": path_figures(result, panels.panels(result, responses)),
        "learning": figure(learning(history, metrics), "NashConv", unit="relative NashConv", x="joint market steps")
        + _gains(game, history, gains, size),
        "settings": settings(config, run),
    }
    title = f"{html.escape(str(config['scenario']))}: learned policies beside the Nash equilibrium"
    escaped = {key: html.escape(str(value)) for key, value in text.items()}
    return filled(PAGE, html.escape(name), title, _SECTIONS, **parts, **escaped)


def _unfinished(config: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """How far a training came that was interrupted."""
    done, asked = run["joint_market_steps"], config["timesteps"]
    return [f"stopped after {done:,} of {asked:,} joint market steps"] if done < asked else []


def _described(scenario: str, values: Mapping[str, Any]) -> str:
    """A market in words: its scenario's, and what is changed of it, of which those words do not know."""
    said = str(values.get("description", ""))
    changed: list[str] = []
    if scenario in scenario_names() and (own := read_scenario(scenario).values).get("description") == said:
        known = dict(flat(own))
        changed = [f"{name} = {value}" for name, value in flat(values) if known.get(name) != value]
    return _sentence(said) + (f" Changed: {', '.join(changed)}." if changed else "")


def _sentence(given: str) -> str:
    """A text with its end; nothing of nothing."""
    return given if not given or given[-1] in ".?!" else f"{given}."


def _algorithm(given: str | Mapping[str, str]) -> str:
    return given if isinstance(given, str) else ", ".join(f"{agent}: {name}" for agent, name in given.items())


def _remembered(config: Mapping[str, Any]) -> str:
    """What actors remember, behind what they see; nothing where they remember nothing."""
    history, memory = config.get("history", 1), config.get("memory", NONE)
    if memory != NONE:
        return f", with a memory ({memory})"
    return "" if history == 1 else f", the last {history} observations"


def _about_responses(game: Game, responses: Controls | None) -> str:
    if len(game.agents) > NAMED:
        return f"Best responses are drawn of up to {NAMED} agents."
    if responses is None:
        return "An agent's best response was not found: none is drawn."
    return (
        "Best response: what the agent would do best while the others keep to what they have learned, as opponents who "
        "do not react."
    )


def _feedback(metrics: Metrics) -> str:
    """The section on players who react; empty where actors do not."""
    said = tables.feedback_remarks(metrics)
    if not said:
        return ""
    captions = {True: "Payoffs beside both equilibria, in currency.", False: "Reactions to inventories."}
    content = "".join(table(each, captions[each.header[0] == "agent"]) for each in tables.feedback(metrics))
    lines = "".join(f'<p class="muted">{html.escape(f"{each[0].upper()}{each[1:]}.")}</p>' for each in said)
    return f"<h2>Beside players who react</h2>{content}{lines}"


def notes(metrics: Metrics) -> list[str]:
    """Reasons for missing reference profiles, and the meaning of the collusion index."""
    said = []
    if any("learned_se" in each for each in metrics["agents"].values()):
        said.append("±: standard error over simulated paths.")
    for name, each in metrics["baselines"].items():
        if name == FEEDBACK and "feedback" in metrics:
            continue  # it is said beside players who react
        if note := each["note"]:
            said.append(f"{note[0].upper()}{note[1:]}." if name in note else f"{name}: {note}.")
    if metrics["collusion_index"] is not None:
        said.append(
            "Collusion index: the place of the total payoff, of the makers' where there are makers, between the "
            "open-loop Nash equilibrium (0) and the optimum of those who collude (1)."
        )
    return said


def payoff_parts(found: Mapping[str, PayoffParts], game: Game, over: str = "") -> str:
    """The table of payoffs in parts and, of few agents, a figure; ``over`` says what they are means of."""
    said = "In currency: what is earned is positive, what is paid negative; parts add up to the payoff."
    said += f" {over}" if over else ""
    if game.random:
        said += " Means over simulated paths, the payoff as well."
    content = table(tables.parts(found, game.agents), said, name="payoff-parts")
    if len(game.agents) > NAMED:
        return content
    shown = legend("parts", _part_entries(found))
    return (
        content
        + shown
        + figure(
            part_bars(found, game.agents),
            "Payoffs in parts, in currency",
            legend="parts",
            x="currency",
            unit="agent",
        )
    )


def _used(found: Mapping[str, PayoffParts]) -> list[str]:
    return [name for name in PayoffParts._fields if any(getattr(each, name).any() for each in found.values())]


def _part_entries(found: Mapping[str, PayoffParts]) -> list[Entry]:
    fills = [Entry("part", name.replace("_", " "), _FILLS[name][0], pattern=_FILLS[name][1]) for name in _used(found)]
    return [*fills, Entry("part", "payoff", dash=DIAMOND, label="payoff, the sum of all parts")]


def part_bars(found: Mapping[str, PayoffParts], agents: Sequence[str]) -> go.Figure:
    """A bar for each agent, learned and in equilibrium, from its parts; a diamond at their sum."""
    chart = go.Figure()
    rows = [f"{agent}, {profile}" for agent in agents for profile in found]
    places = [(each, i) for i in range(len(agents)) for each in found.values()]
    for name in _used(found):
        shade, shape = _FILLS[name]
        label = name.replace("_", " ")
        chart.add_bar(
            x=[float(getattr(each, name)[i]) for each, i in places],
            y=rows,
            orientation="h",
            name=label,
            meta={"part": label},
            marker={
                "color": shade,
                "line": {"color": INK, "width": 0.6},
                "pattern": {"shape": shape, "fgcolor": INK, "size": 6, "fillmode": "overlay"},
            },
            hovertemplate=f"%{{y}}<br>{label}: %{{x:.4f}}<extra></extra>",
        )
    chart.add_scatter(
        x=[float(each.total[i]) for each, i in places],
        y=rows,
        mode="markers",
        name="payoff",
        meta={"part": "payoff"},
        marker={"symbol": "diamond", "size": 11, "color": "#ffffff", "line": {"color": INK, "width": 2}},
        hovertemplate="%{y}<br>payoff: %{x:.4f}<extra></extra>",
    )
    layout(chart, 90 + 34 * len(rows)).update_layout(barmode="relative", bargap=0.25, **POINTED)
    chart.update_yaxes(autorange="reversed")
    return chart.update_xaxes(title_text="currency", zeroline=True)


def path_legend(game: Game, kinds: Iterable[str]) -> str:
    """The legend that the panels of :func:`comparison` share: agents, and kinds of lines."""
    agents = [Entry("agent", name, color) for name, color in panels.legend(game).items()]
    return legend("paths", [*agents, *(Entry("kind", each, STRONG, DASHED[each]) for each in kinds)])


def path_figures(result: Evaluation | Any, shown: Sequence[Panel]) -> str:
    """The panels as figures."""
    exact = result.equilibrium
    return "".join(
        figure(
            comparison(exact.game, exact.times, each),
            f"{each.title} ({each.unit})",
            legend="paths",
            x="time",
            unit=each.unit,
        )
        for each in shown
    )


def comparison(game: Game, times: Array, panel: Panel) -> go.Figure:
    """A panel as a figure: learned solid, equilibrium dashed, best responses dotted; several seeds as a band."""
    shades, marks, thick, chart = panels.colors(game), panels.markers(game), panels.width(game), go.Figure()
    groups = {i: name for name, who in panels.groups(game).items() for i in who}
    shape, at = "hv" if panel.held else "linear", [float(f"{each:.12g}") for each in times]  # as people write them
    ranges = {}
    for agent, low, high in panel.bands():
        ranges[agent] = [f" ({a:.4g} to {b:.4g})" for a, b in zip(low, high, strict=True)]
        for end, values, fill in (("least", low, "none"), ("greatest", high, "tonexty")):
            chart.add_scatter(
                x=at,
                y=values.tolist(),
                name=f"{game.agents[agent]}, {end} of seeds",
                meta={"agent": groups[agent], "kind": LEARNED},
                mode="lines",
                line={"width": 0, "shape": shape, "color": shades[agent]},
                fill=fill,
                fillcolor=tint(shades[agent]),
                hoverinfo="skip",
                showlegend=False,
            )
    for agent, kind, values in panel.lines():
        mark = {"symbol": _SYMBOLS[marks[agent]], "size": 6, "maxdisplayed": 6} if marks[agent] else None
        over = ranges.get(agent) if kind == LEARNED else None
        chart.add_scatter(
            x=at,
            y=values.tolist(),
            mode="lines+markers" if mark and kind == LEARNED else "lines",
            marker=mark,
            line={"color": shades[agent], "dash": DASHED[kind], "shape": shape, "width": thick + 0.5},
            name=f"{game.agents[agent]}, {kind}",
            meta={"agent": groups[agent], "kind": kind},
            customdata=over,
            hovertemplate=f"%{{y:.4f}}{'%{customdata}' if over else ''}<extra>{game.agents[agent]}, {kind}</extra>",
        )
    chart.update_xaxes(title_text="time", range=[at[0], at[-1]])
    return layout(chart, 340, time="time")


def learning(history: Array, metrics: Metrics) -> go.Figure:
    """Relative NashConv over joint market steps, beside the rules of thumb; none of them is an agent's colour."""
    chart, steps = go.Figure(), history[:, 0].tolist()
    chart.add_scatter(
        x=steps,
        y=history[:, 2].tolist(),
        customdata=history[:, 1].tolist(),
        mode="lines+markers",
        name="learned",
        marker={"size": 5},
        line={"color": INK},
        hovertemplate="%{y:.3%}, %{customdata:.3g} in currency<extra>learned</extra>",
    )
    for i, (name, level) in enumerate(panels.levels(metrics).items()):
        dash = _DASHES[i % len(_DASHES)]
        chart.add_scatter(
            x=steps,
            y=[level] * len(steps),
            mode="lines",
            name=name,
            line={"color": MIDDLE, "dash": dash, "width": 1.5},
            hovertemplate=f"%{{y:.3%}}<extra>{html.escape(name)}</extra>",
        )
        right, above = beside(history[:, 2], level)
        chart.add_annotation(
            **{"text": html.escape(name), "x": int(right), "xref": "paper", "xanchor": "right" if right else "left"},
            **{"y": float(np.log10(level)), "yanchor": "bottom" if above else "top", "showarrow": False},
            font={"size": 12, "color": STRONG},
            bgcolor="#ffffff",
        )
    chart.update_xaxes(title_text="joint market steps")
    chart.update_yaxes(logarithmic("relative NashConv"))
    return layout(chart, 400, time="joint market steps")


def beside(curve: Array, level: float) -> tuple[bool, bool]:
    """Where the name of a level line stands: True at the right end, and True above the line, away from a curve."""
    known = np.log10(np.maximum(curve[np.isfinite(curve)], _LEAST)) - np.log10(level)
    if not len(known):
        return True, True
    third = -(-len(known) // 3)
    ends = known[:third], known[-third:]
    first, last = (each[np.argmin(np.abs(each))] for each in ends)
    right = bool(abs(last) >= abs(first))
    return right, bool((last if right else first) <= 0)


def logarithmic(title: str) -> dict[str, object]:
    """An axis of percent over powers of ten."""
    return {"type": "log", "title_text": title, "tickformat": "~%", "dtick": 1}


def _gains(game: Game, history: Array, gains: Array | None, size: float) -> str:
    """The figure of every agent's gain over training, with its legend."""
    if gains is None:
        return "<p>This run is of an earlier version, whose history does not have every agent's gain.</p>"
    entries = [Entry("agent", name, color) for name, color in panels.legend(game).items()]
    chart = gain_curves(game, history[:, 0], gains[None], size)
    content = figure(chart, "Gain of each agent", legend="gains", unit="relative gain", x="joint market steps")
    return f"<div>{content}{legend('gains', entries)}</div>"


def gain_curves(game: Game, steps: Array, gains: Array, size: float) -> go.Figure:
    """Every agent's gain by a best response over training, relative to the sum of the equilibrium payoffs' sizes.

    Args:
        game: the game.
        steps: (rows,) joint market steps.
        gains: (seeds, rows, n) in currency, of one or several trainings: medians, and a band for the middle half.
        size: the unit.
    """
    chart, shades, marks = go.Figure(), panels.colors(game), panels.markers(game)
    groups = {i: name for name, who in panels.groups(game).items() for i in who}
    quartiles = np.maximum(np.nanquantile(gains / size, [0.25, 0.5, 0.75], axis=0), _LEAST)
    at = steps.tolist()
    for i, agent in enumerate(game.agents):
        low, middle, high = quartiles[..., i].tolist()
        shared = {"x": at, "meta": {"agent": groups[i]}}
        if len(gains) > 1:
            for end, values, fill in (("lower quartile", low, "none"), ("upper quartile", high, "tonexty")):
                band = {
                    "fill": fill,
                    "fillcolor": tint(shades[i]),
                    "showlegend": False,
                    "hoverinfo": "skip",
                    "mode": "lines",
                }
                chart.add_scatter(**shared, y=values, name=f"{agent}, {end}", line={"width": 0}, **band)
        mark = {"symbol": _SYMBOLS[marks[i]], "size": 6, "maxdisplayed": 10} if marks[i] else None
        chart.add_scatter(
            **shared,
            y=middle,
            customdata=[value * size for value in middle],
            mode="lines+markers" if mark else "lines",
            marker=mark,
            line={"color": shades[i], "width": panels.width(game) + 0.5},
            name=agent,
            hovertemplate=f"%{{y:.3%}}, %{{customdata:.3g}} in currency<extra>{agent}</extra>",
        )
    chart.update_xaxes(title_text="joint market steps")
    chart.update_yaxes(logarithmic("gain, relative"))
    return layout(chart, 400, time="joint market steps")


def settings(config: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Tables of what a training depends on, and of what it ran with; and the files."""
    return settings_tables(dict(flat(config)), dict(flat(run)), {"config": config, "run": run})


def settings_tables(entries: Mapping[str, str], ran: Mapping[str, str], documents: Mapping[str, object]) -> str:
    """Tables of settings, and what can be saved.

    Args:
        entries: of a configuration, those of tables in it by names with dots.
        ran: with what trainings ran, in the same way.
        documents: to be saved as JSON, by name.
    """
    parts: dict[str, dict[str, str]] = {"Hyperparameters": {}, "Training": {}, "Market": {}}
    where = {"hyperparameters": "Hyperparameters", "values": "Market"}
    for name, value in entries.items():
        first, _, rest = name.partition(".")
        parts[where.get(first, "Training")][rest if first in where else name] = value
    content = "".join(
        table(Table(["name", "value"], [list(each) for each in own.items()]), name, kind="settings")
        for name, own in {**parts, "Versions and machine": ran}.items()
        if own
    )
    links = "".join(download(name, json.dumps(each, indent=2), "json") for name, each in documents.items())
    return f'<div class="tables">{content}</div><p class="tools">{links}</p>'

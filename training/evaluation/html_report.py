"""One self-contained HTML page for a run, ``report.html``: tables and interactive figures (plotly)."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ...baselines.reference_points import FEEDBACK
from ...envs import Game
from ...envs.arrays import Array
from ..common.memory import NONE
from . import tables
from .metrics import Metrics
from .page import PAGE
from .panels import color, colors, levels, panels, width
from .panels import legend as entries
from .scoring import Evaluation
from .tables import percent


def page(
    name: str,
    description: str,
    result: Evaluation,
    history: Array,
    config: Mapping[str, object],
    run: Mapping[str, object],
) -> str:
    """The page as text.

    Args:
        name: of the run.
        description: of the scenario.
        result: its evaluation.
        history: timesteps, NashConv and relative NashConv over training, (rows, 3).
        config: of the run; the result is a function of it.
        run: its circumstances.
    """
    metrics = result.metrics
    text = {
        **{key: config[key] for key in ("scenario", "algorithm", "seed")},
        "information": f"{config['information']}{_remembered(config)}",
        "name": name,
        "description": description,
        "timesteps": f"{run['joint_market_steps']:,}",
        "nash_conv": percent(metrics["relative_nash_conv"]),
        "against": metrics["exploitability_against"],
        "distance": percent(metrics["control_distance"]),
        "config": json.dumps(config, indent=2, ensure_ascii=False),
        "run": json.dumps(run, indent=2, ensure_ascii=False),
    }
    parts = {
        "plotly": get_plotlyjs(),
        "agents": table(tables.agents(metrics)),
        "profiles": table(tables.profiles(metrics)),
        "starts": "".join(
            [f'<div class="scroll">{table(each)}</div>' for each in tables.random_starts(metrics)]
            + [f"<p>{html.escape(each)}</p>" for each in tables.random_start_remarks(metrics)]
        ),
        "notes": "".join(f'<p class="muted">{html.escape(each)}</p>' for each in notes(metrics)),
        "feedback": _feedback(metrics),
        "remarks": "".join(f"<p>{html.escape(each)}</p>" for each in tables.remarks(result.equilibrium.notes)),
        "legend": legend(result.equilibrium.game),
        "panels": "".join(
            f"<section><h3>{html.escape(title)}</h3>{draw(figure)}</section>"
            for title, figure in comparison(result).items()
        ),
        "learning": draw(learning(history, result)),
    }
    return PAGE.substitute(parts, **{key: html.escape(str(value)) for key, value in text.items()})


def _remembered(config: Mapping[str, object]) -> str:
    """What actors remember, behind what they see; nothing where they remember nothing."""
    history, memory = config["history"], config["memory"]
    if memory != NONE:
        return f", with a memory ({memory})"
    return "" if history == 1 else f", the last {history} observations"


def draw(figure: go.Figure) -> str:
    """A figure as a part of the page."""
    options = {"responsive": True, "displayModeBar": False}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=options))


def table(content: tables.Table) -> str:
    """An HTML table."""
    head = "".join(f"<th>{html.escape(each)}</th>" for each in content.header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in row) + "</tr>" for row in content.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _feedback(metrics: Metrics) -> str:
    """The section on players who react; empty where actors do not."""
    said = tables.feedback_remarks(metrics)
    if not said:
        return ""
    content = "".join(f'<div class="scroll">{table(each)}</div>' for each in tables.feedback(metrics))
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


def comparison(result: Evaluation) -> dict[str, go.Figure]:
    """A figure for each panel, by title; learned solid, equilibrium dashed."""
    game, times = result.equilibrium.game, result.equilibrium.times
    shade, thick, figures = colors(game), width(game), {}
    for panel in panels(result):
        figure = figures[f"{panel.title} ({panel.unit})"] = go.Figure()
        shape = "hv" if panel.held else "linear"
        for agent, learned, values in panel.lines():
            kind, dash = ("learned", "solid") if learned else ("equilibrium", "dash")
            line = {"color": shade[agent], "dash": dash, "shape": shape, "width": thick}
            name = f"{game.agents[agent]}, {kind}"
            figure.add_scatter(x=times, y=values, mode="lines", line=line, name=name)
        figure.update_xaxes(title_text="time", range=[times[0], times[-1]])
        layout(figure, 320).update_layout(showlegend=False)
    return figures


def legend(game: Game) -> str:
    """The legend that the panels of :func:`comparison` share."""
    shown = [f'<span style="color:{each}">&#9632;</span> {html.escape(name)}' for name, each in entries(game).items()]
    shown += ["&#9472;&#9472; learned", "- - equilibrium"]
    return " &nbsp; ".join(f'<span style="white-space:nowrap">{each}</span>' for each in shown)


def learning(history: Array, result: Evaluation) -> go.Figure:
    """Relative NashConv over joint market steps, beside the rules of thumb."""
    figure = go.Figure()
    figure.add_scatter(x=history[:, 0], y=history[:, 2], mode="lines+markers", name="learned", line={"color": color(0)})
    ends = [history[0, 0], history[-1, 0]]
    for i, (name, level) in enumerate(levels(result.metrics).items()):
        figure.add_scatter(x=ends, y=[level] * 2, mode="lines", name=name, line={"color": color(i + 1), "dash": "dot"})
    title = "relative NashConv (open-loop opponents)"
    figure.update_yaxes(type="log", title_text=title, exponentformat="power", dtick=1)
    figure.update_xaxes(title_text="joint market steps")
    return layout(figure, 420).update_layout(legend={"orientation": "h", "y": -0.2})


def layout(figure: go.Figure, height: int) -> go.Figure:
    """The look that all figures share."""
    margin = {"l": 60, "r": 10, "t": 10, "b": 45}
    return figure.update_layout(template="plotly_white", height=height, margin=margin)

"""One self-contained HTML page for a run: tables and interactive figures (plotly)."""

from __future__ import annotations

import html
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ...envs.arrays import Array
from ..runs import Circumstances, RunEvaluation, evaluate_run, load_circumstances, load_config, load_history
from .metrics import ProfileMetrics, RunMetrics
from .plots import NAMED, color
from .scoring import Evaluation

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.lead { font-size: 1.05rem; } .muted { color: #555; }
.scroll { overflow-x: auto; }
.panels { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem 1.5rem; }
@media (max-width: 45rem) { .panels { grid-template-columns: minmax(0, 1fr); } }
.panels section { min-width: 0; } h3 { font-size: 1rem; margin: .75rem 0 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def write_report(run: Path) -> Path:
    """Evaluate a run and write ``report.html`` into its directory; returns the path.

    Raises:
        ValueError: the directory is not a run, or a file in it is missing or corrupt.
    """
    result = evaluate_run(run)
    history = load_history(run)
    path = run / "report.html"
    path.write_text(page(run.name, result, history, asdict(load_config(run)), load_circumstances(run)))
    return path


def page(name: str, result: RunEvaluation, history: Array, config: dict[str, Any], run: Circumstances) -> str:
    """The page as text."""
    metrics = result.metrics
    text = {key: html.escape(str(config[key])) for key in ("scenario", "algorithm", "information", "seed")}
    description = html.escape(str(config["values"].get("description", "")))
    panels = "".join(
        f"<section><h3>{html.escape(title)}</h3>{draw(figure)}</section>"
        for title, figure in comparison(result).items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>makertaker: {html.escape(name)}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>
<body><main>
<h1>{text["scenario"]}: what was learned, beside the Nash equilibrium</h1>
<p class="muted">{description}. Algorithm {text["algorithm"]}, {metrics["timesteps_done"]:,} joint market steps,
seed {text["seed"]}, information of the actors: {text["information"]}.</p>
<p class="lead">Relative NashConv <strong>{percent(metrics["relative_nash_conv"])}</strong>: what all agents together
could gain by best responses against {html.escape(metrics["exploitability_against"])}, over the sum of the equilibrium
payoffs' sizes. Relative distance of the controls to the equilibrium's:
<strong>{percent(metrics["control_distance"])}</strong>.</p>
<h2>Agents</h2><div class="scroll">{agent_table(metrics)}</div>
<h2>Beside other profiles</h2>
<p class="muted">Whole profiles: where an agent fares better than in equilibrium, others fare worse or would gain by
deviating.</p>
<div class="scroll">{baseline_table(metrics)}</div>{notes(metrics)}
<h2>Learned against equilibrium</h2><p>{legend(result.equilibrium.game.agents)}</p><div class="panels">{panels}</div>
<h2>Exploitability over training</h2>{draw(learning(history, result))}
<h2>Configuration</h2><div class="scroll"><pre>{html.escape(json.dumps(config, indent=2))}</pre></div>
<h2>Run</h2><div class="scroll"><pre>{html.escape(json.dumps(run, indent=2))}</pre></div>
</main></body></html>
"""


def draw(figure: go.Figure) -> str:
    """A figure as a part of the page."""
    options = {"responsive": True, "displayModeBar": False}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=options))


def percent(value: float | None) -> str:
    """A fraction in percent; a dash for None."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{100 * value:.3f}%" if value < 0.1 else f"{100 * value:,.0f}%"


def number(value: float | None) -> str:
    """Three decimals; a dash for None."""
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def with_error(value: str, error: float | None) -> str:
    """A value with its standard error behind it, where it has one."""
    return value if error is None else f"{value} ± {error:.1g}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """An HTML table."""
    head = "".join(f"<th>{html.escape(each)}</th>" for each in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def agent_table(metrics: RunMetrics) -> str:
    """Payoffs, exploitability and distances of every agent."""
    header = ["agent", "learned", "equilibrium", "gap", "exploitability", "controls' distance", "inventory's distance"]
    rows = [
        [
            agent,
            with_error(f"{each['learned']:.4f}", each.get("learned_se")),
            f"{each['equilibrium']:.4f}",
            f"{each['gap']:+.4f}",
            with_error(f"{each['exploitability']:.2e}", each.get("exploitability_se")),
            percent(each["control_distance"]),
            percent(each["inventory_distance"]),
        ]
        for agent, each in metrics["agents"].items()
    ]
    return table(header, rows)


def baseline_table(metrics: RunMetrics) -> str:
    """The learned profile among reference profiles; payoffs of every agent where they are few."""
    agents = list(metrics["agents"]) if len(metrics["agents"]) <= NAMED else []
    indexed = metrics["collusion_index"] is not None
    header = ["profile", "relative NashConv", "distance", *(["collusion index"] if indexed else []), "total payoff"]
    header += [f"payoff {agent}" for agent in agents]
    learned = {agent: each["learned"] for agent, each in metrics["agents"].items()}
    exact = {agent: each["equilibrium"] for agent, each in metrics["agents"].items()}
    profiles: dict[str, ProfileMetrics] = {
        "equilibrium": {
            "payoffs": exact,
            "relative_nash_conv": 0.0,
            "control_distance": 0.0,
            "collusion_index": 0.0,
            "note": "",
        },
        "learned": {
            "payoffs": learned,
            "relative_nash_conv": metrics["open_loop_relative_nash_conv"],
            "control_distance": metrics["control_distance"],
            "collusion_index": metrics["collusion_index"],
            "note": "",
        },
        **metrics["baselines"],
    }
    rows = []
    for name, each in profiles.items():
        payoffs = each["payoffs"]
        if payoffs is None:  # it does not exist: a note says why
            continue
        row = [name, percent(each["relative_nash_conv"]), percent(each["control_distance"])]
        row += [number(each["collusion_index"])] if indexed else []
        row += [number(sum(payoffs.values()))]
        rows.append(row + [number(payoffs[agent]) for agent in agents])
    return table(header, rows)


def notes(metrics: RunMetrics) -> str:
    """Why a reference profile is missing, and what the collusion index is."""
    said = []
    if any("learned_se" in each for each in metrics["agents"].values()):
        said.append("±: standard error over simulated paths.")
    said += [_named(name, each["note"]) for name, each in metrics["baselines"].items() if each.get("note")]
    if metrics["collusion_index"] is not None:
        said.append(
            "Collusion index: the place of the total payoff, of the makers' where there are makers, between the "
            "open-loop Nash equilibrium (0) and the optimum of those who collude (1)."
        )
    return "".join(f'<p class="muted">{html.escape(each)}</p>' for each in said)


def _named(name: str, note: str) -> str:
    """A note that says what it is about."""
    return f"{note[0].upper()}{note[1:]}." if name in note else f"{name}: {note}."


def comparison(result: Evaluation) -> dict[str, go.Figure]:
    """Inventories, rates, asks and bids by title; learned solid, equilibrium dashed."""
    exact, learned = result.equilibrium, result.learned
    game, times = exact.game, exact.times
    traders, makers = game.agents[: game.traders], game.agents[game.traders :]
    panels = {
        "Inventories (shares)": (game.agents, learned.inventories, exact.inventories),
        "Trading rates (shares / time)": (traders, learned.controls.rate, exact.controls.rate),
        "Asks above the reference price (currency)": (makers, learned.controls.ask, exact.controls.ask),
        "Bids below the reference price (currency)": (makers, learned.controls.bid, exact.controls.bid),
    }
    figures = {}
    if not makers:
        panels = dict(list(panels.items())[:2])
    if game.random:
        panels = {f"Mean {title[0].lower()}{title[1:]}": each for title, each in panels.items()}
    for title, (agents, values, reference) in panels.items():
        figure = figures[title] = go.Figure()
        for column, agent in enumerate(agents):
            for kind, series, dash in (("learned", values, "solid"), ("equilibrium", reference, "dash")):
                path = series[:, column]
                stepped = len(path) < len(times)  # a control holds until the end of its step
                figure.add_scatter(
                    x=times,
                    y=np.append(path, path[-1]) if stepped else path,
                    mode="lines",
                    line={
                        "color": color(game.agents.index(agent)),
                        "dash": dash,
                        "shape": "hv" if stepped else "linear",
                    },
                    name=f"{agent}, {kind}",
                )
        figure.update_xaxes(title_text="time", range=[times[0], times[-1]])
        _layout(figure, 320, showlegend=False)
    return figures


def legend(agents: tuple[str, ...]) -> str:
    """The legend that the panels of :func:`comparison` share."""
    named = agents if len(agents) <= NAMED else ()
    parts = [f'<span style="color:{color(i)}">&#9632;</span> {html.escape(agent)}' for i, agent in enumerate(named)]
    entries = [*parts, "&#9472;&#9472; learned", "- - equilibrium"]
    return " &nbsp; ".join(f'<span style="white-space:nowrap">{each}</span>' for each in entries)


def _layout(figure: go.Figure, height: int, **options: Any) -> None:
    margin = {"l": 60, "r": 10, "t": 10, "b": 45}
    figure.update_layout(template="plotly_white", height=height, margin=margin, **options)


def learning(history: Array, result: Evaluation) -> go.Figure:
    """Relative NashConv over joint market steps, beside the rules of thumb."""
    figure = go.Figure()
    figure.add_scatter(x=history[:, 0], y=history[:, 2], mode="lines+markers", name="learned", line={"color": color(0)})
    ends = [history[0, 0], history[-1, 0]]
    for i, (name, values) in enumerate(result.metrics["baselines"].items()):
        if values["relative_nash_conv"]:
            level = [values["relative_nash_conv"]] * 2
            figure.add_scatter(x=ends, y=level, mode="lines", name=name, line={"color": color(i + 1), "dash": "dot"})
    figure.update_yaxes(
        type="log", title_text="relative NashConv (open-loop opponents)", exponentformat="power", dtick=1
    )
    figure.update_xaxes(title_text="joint market steps")
    _layout(figure, 420, legend={"orientation": "h", "y": -0.2})
    return figure

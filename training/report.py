"""One self-contained HTML page for a run: tables and interactive figures (plotly)."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from ..envs.arrays import Array
from .evaluate import Evaluation
from .plots import color
from .runs import evaluate_run, load_config, load_history

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.lead { font-size: 1.05rem; } .muted { color: #555; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def write_report(run: Path) -> Path:
    """Evaluate a run and write ``report.html`` into its directory; returns the path.

    Raises:
        ValueError: the directory is not a finished run.
    """
    result = evaluate_run(run)
    history = load_history(run)
    path = run / "report.html"
    path.write_text(
        page(run.name, result, history, load_config(run).__dict__, json.loads((run / "run.json").read_text()))
    )
    return path


def page(name: str, result: Evaluation, history: Array, config: dict[str, Any], run: dict[str, Any]) -> str:
    """The page as text."""
    metrics = result.metrics
    text = {key: html.escape(str(config[key])) for key in ("scenario", "algorithm", "information", "seed")}
    description = html.escape(str(config["values"].get("description", "")))
    options = {"responsive": True, "displaylogo": False}
    figures = "".join(
        f"<h2>{title}</h2>{figure.to_html(full_html=False, include_plotlyjs=False, config=options)}"
        for title, figure in (
            ("Inventories, rates and quotes", comparison(result)),
            ("Exploitability over training", learning(history, result)),
        )
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>makertaker: {html.escape(name)}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>
<body><main>
<h1>{text["scenario"]}: what was learned, beside the Nash equilibrium</h1>
<p class="muted">{description}. Algorithm {text["algorithm"]}, {config["timesteps"]:,} joint market steps,
seed {text["seed"]}, information of the actors: {text["information"]}.</p>
<p class="lead">Relative NashConv <strong>{percent(metrics["relative_nash_conv"])}</strong>: what all agents together
could gain by best responses against {html.escape(metrics["exploitability_against"])}, over the sum of the equilibrium
payoffs' sizes. Relative distance of the controls to the equilibrium's:
<strong>{percent(metrics["control_distance"])}</strong>.</p>
<h2>Agents</h2><div class="scroll">{agent_table(metrics)}</div>
<h2>Beside rules of thumb</h2><div class="scroll">{baseline_table(metrics)}</div>
{figures}
<h2>Configuration</h2><div class="scroll"><pre>{html.escape(json.dumps(config, indent=2))}</pre></div>
<h2>Run</h2><div class="scroll"><pre>{html.escape(json.dumps(run, indent=2))}</pre></div>
</main></body></html>
"""


def percent(value: float | None) -> str:
    """A fraction in percent, three digits; a dash for None."""
    return "–" if value is None else f"{100 * value:.3g}%"  # noqa: RUF001


def table(header: list[str], rows: list[list[str]]) -> str:
    """An HTML table."""
    head = "".join(f"<th>{html.escape(each)}</th>" for each in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def agent_table(metrics: dict[str, Any]) -> str:
    """Payoffs, exploitability and distances of every agent."""
    header = ["agent", "learned", "equilibrium", "gap", "exploitability", "controls' distance", "inventory's distance"]
    rows = [
        [
            agent,
            f"{each['learned']:.4f}",
            f"{each['equilibrium']:.4f}",
            f"{each['gap']:+.4f}",
            f"{each['exploitability']:.2e}",
            percent(each["control_distance"]),
            percent(each["inventory_distance"]),
        ]
        for agent, each in metrics["agents"].items()
    ]
    return table(header, rows)


def baseline_table(metrics: dict[str, Any]) -> str:
    """The learned profile among rules of thumb."""
    agents = list(metrics["agents"])
    header = ["profile", *(f"payoff of {agent}" for agent in agents), "relative NashConv", "controls' distance"]
    profiles = {
        "equilibrium": ([each["equilibrium"] for each in metrics["agents"].values()], 0.0, 0.0),
        "learned": (
            [each["learned"] for each in metrics["agents"].values()],
            metrics["open_loop_relative_nash_conv"],
            metrics["control_distance"],
        ),
    }
    for name, each in metrics["baselines"].items():
        profiles[name] = (list(each["payoffs"].values()), each["relative_nash_conv"], each["control_distance"])
    rows = [
        [name, *(f"{value:.3f}" for value in payoffs), percent(relative), percent(distance)]
        for name, (payoffs, relative, distance) in profiles.items()
    ]
    return table(header, rows)


def comparison(result: Evaluation) -> go.Figure:
    """Inventories, rates, asks and bids; learned solid, equilibrium dashed."""
    exact, learned = result.equilibrium, result.learned
    game, times = exact.game, exact.times
    titles = ("Inventories (shares)", "Trading rates (shares / time)", "Asks (currency)", "Bids (currency)")
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, vertical_spacing=0.14, horizontal_spacing=0.09)
    panels: list[tuple[int, int, Array, Array, str]] = []
    for i, agent in enumerate(game.agents):
        panels.append((1, 1, learned.inventories[:, i], exact.inventories[:, i], agent))
    for i in range(game.traders):
        panels.append((1, 2, learned.controls.rate[:, i], exact.controls.rate[:, i], game.agents[i]))
    for j in range(game.makers):
        agent = game.agents[game.traders + j]
        panels.append((2, 1, learned.controls.ask[:, j], exact.controls.ask[:, j], agent))
        panels.append((2, 2, learned.controls.bid[:, j], exact.controls.bid[:, j], agent))
    for row, column, values, reference, agent in panels:
        shade = color(game.agents.index(agent))
        for kind, series, dash in (("learned", values, "solid"), ("equilibrium", reference, "dash")):
            stepped = len(series) < len(times)
            figure.add_scatter(
                x=times,
                y=np.append(series, series[-1]) if stepped else series,
                mode="lines",
                line={"color": shade, "dash": dash, "shape": "hv" if stepped else "linear", "width": 2},
                name=f"{agent}, {kind}",
                legendgroup=f"{agent}, {kind}",
                showlegend=(row, column) == (1, 1),
                row=row,
                col=column,
            )
    figure.update_xaxes(title_text="time", row=2)
    figure.update_layout(
        template="plotly_white",
        height=680,
        margin={"l": 50, "r": 10, "t": 40, "b": 40},
        legend={"orientation": "h", "y": -0.1},
    )
    return figure


def learning(history: Array, result: Evaluation) -> go.Figure:
    """Relative NashConv over joint market steps, beside the rules of thumb."""
    figure = go.Figure()
    figure.add_scatter(x=history[:, 0], y=history[:, 2], mode="lines+markers", name="learned", line={"color": color(0)})
    ends = [history[0, 0], history[-1, 0]]
    for i, (name, values) in enumerate(result.metrics["baselines"].items()):
        if values["relative_nash_conv"] is not None:
            level = [values["relative_nash_conv"]] * 2
            figure.add_scatter(x=ends, y=level, mode="lines", name=name, line={"color": color(i + 1), "dash": "dot"})
    figure.update_yaxes(type="log", title_text="relative NashConv (open-loop opponents)", exponentformat="power")
    figure.update_xaxes(title_text="joint market steps")
    figure.update_layout(
        template="plotly_white",
        height=420,
        margin={"l": 60, "r": 10, "t": 20, "b": 40},
        legend={"orientation": "h", "y": -0.2},
    )
    return figure

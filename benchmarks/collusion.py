"""Do independent learners collude? Two equal traders, placed between Nash equilibrium and cooperative optimum.

    python benchmarks/collusion.py [--learners ppo sac ppo-full] [--seeds 5] [--out runs/collusion] [--figure PATH]

``ppo-full``: the actor sees both inventories as well as the time. Runs that are finished are not repeated. The question
is that of Lillo and Macri, arXiv 2408.11773.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from timing import machine

from makertaker.baselines import Reference, references
from makertaker.baselines.reference_points import COOPERATIVE, FEEDBACK, OPEN_LOOP
from makertaker.envs import Scenario, read_scenario
from makertaker.training import runs
from makertaker.training.evaluation.panels import color

_WINDOW = 1.2
NAMES = {"ppo": "PPO", "sac": "SAC", "td3": "TD3", "a2c": "A2C"}


def result(scenario: Scenario, learner: str, seed: int, out: Path) -> dict[str, Any]:
    """Metrics of one run, from its directory if it is there."""
    algorithm, _, information = learner.partition("-")
    folder = out / f"{learner}-{seed}"
    config = runs.RunConfig(
        scenario=scenario.name,
        values=dict(scenario.values),
        algorithm=algorithm,
        steps=scenario.steps,
        information="full" if information == "full" else "open_loop",
        seed=seed,
    )
    if not (folder / "metrics.json").is_file() or runs.load_config(folder) != config:
        runs.train(config, folder, overwrite=folder.exists(), console=Console(stderr=True))
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def label(learner: str) -> str:
    """A learner's name in tables and figures."""
    algorithm, _, information = learner.partition("-")
    return NAMES.get(algorithm, algorithm) + (", sees inventories" if information == "full" else "")


def _payoffs(point: Reference) -> Any:
    assert point.payoffs is not None  # the open-loop equilibrium exists, or there is nothing to draw
    return point.payoffs


def draw(found: dict[str, list[dict[str, Any]]], points: dict[str, Reference], path: Path) -> None:
    """Collusion index by learner, and both traders' payoffs."""
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    lines = {OPEN_LOOP: ("0.25", "-"), FEEDBACK: ("0.25", ":"), COOPERATIVE: ("0.25", "--")}
    for name, (shade, dash) in lines.items():
        left.axvline(points[name].collusion_index, color=shade, linestyle=dash, linewidth=1.2, label=name)
    for row, (learner, results) in enumerate(found.items()):
        shade = color(row)
        indices = [each["collusion_index"] for each in results]
        left.scatter(indices, [row] * len(indices), color=shade, s=30, zorder=3, alpha=0.8)
        payoffs = [[each["learned"] for each in result["agents"].values()] for result in results]
        right.scatter(*zip(*payoffs, strict=True), color=shade, s=30, zorder=3, alpha=0.8, label=label(learner))
    left.set_yticks(range(len(found)), [label(learner) for learner in found])
    left.set(
        xlabel="collusion index (linear within 1 of 0, logarithmic beyond)",
        ylim=(len(found) - 0.5, -0.5),
        title="One point a seed",
    )
    left.set_xscale("symlog", linthresh=1.0)  # learners that did not converge are far away
    left.set_xticks([-5, -1, -0.5, 0, 0.5, 1], ["-5", "-1", "-0.5", "0", "0.5", "1"])
    left.minorticks_off()
    left.grid(axis="x", alpha=0.25)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False, fontsize="small")
    markers = {OPEN_LOOP: "*", FEEDBACK: "P", COOPERATIVE: "D"}
    for name, marker in markers.items():
        payoffs = points[name].payoffs
        if payoffs is not None:
            right.scatter(*payoffs, marker=marker, s=60, color="white", edgecolor="0.15", zorder=4, label=name)
    right.set(xlabel="payoff of trader_0 (currency)", ylabel="payoff of trader_1 (currency)", title="Payoffs")
    middle = [float(each) for each in _payoffs(points[OPEN_LOOP])]
    low, high = ([each + shift for each in middle] for shift in (-_WINDOW, _WINDOW))
    right.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    outside = sum(
        not all(a <= each["learned"] <= b for each, a, b in zip(result["agents"].values(), low, high, strict=True))
        for results in found.values()
        for result in results
    )
    if outside:
        right.text(0.02, 0.03, f"{outside} runs outside", transform=right.transAxes, fontsize="small", color="0.4")
    right.grid(alpha=0.25)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train what is missing, print the table, draw the figure."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", default="execution-2")
    parser.add_argument("--learners", nargs="+", default=["ppo", "sac", "ppo-full"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/collusion"))
    parser.add_argument("--figure", type=Path, default=Path("runs/collusion/collusion.png"))
    arguments = parser.parse_args()
    scenario = read_scenario(arguments.scenario)
    points = references(scenario.game, scenario.steps)
    if scenario.game.traders != 2 or points[COOPERATIVE].collusion_index is None:
        raise SystemExit(f"{scenario.name}: expected two traders and a cooperative optimum")
    found = {
        learner: [result(scenario, learner, seed, arguments.out) for seed in range(arguments.seeds)]
        for learner in arguments.learners
    }
    console = Console(width=120)
    table = Table("profile", "collusion index", "relative NashConv, open loop", "controls' distance")
    for name, each in points.items():
        index = "-" if each.collusion_index is None else f"{each.collusion_index:.3f}"
        table.add_row(name, index, "", "")
    for learner, results in found.items():
        table.add_row(
            f"{label(learner)}, seeds 0-{arguments.seeds - 1}",
            ", ".join(f"{each['collusion_index']:.3f}" for each in results),
            ", ".join(f"{100 * each['open_loop_relative_nash_conv']:.2f}%" for each in results),
            ", ".join(f"{100 * each['control_distance']:.0f}%" for each in results),
        )
    console.print(table)
    console.print(machine())
    draw(found, points, arguments.figure)


if __name__ == "__main__":
    main()

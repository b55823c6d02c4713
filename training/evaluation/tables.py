"""The tables of an evaluation, however they are shown: headers and cells of text."""

from __future__ import annotations

from typing import NamedTuple

from .metrics import Metrics, ProfileMetrics
from .panels import named

MISSING = "–"  # noqa: RUF001


class Table(NamedTuple):
    """Cells of text, the first of each row a name."""

    header: list[str]
    rows: list[list[str]]

    def first(self, columns: int) -> Table:
        """The table without its last columns."""
        return Table(self.header[:columns], [row[:columns] for row in self.rows])


def percent(value: float | None) -> str:
    """A fraction in percent; a dash for None."""
    if value is None:
        return MISSING
    return f"{100 * value:.3f}%" if value < 0.1 else f"{100 * value:,.0f}%"


def number(value: float | None) -> str:
    """Three decimals; a dash for None."""
    return MISSING if value is None else f"{value:.3f}"


def with_error(value: str, error: float | None) -> str:
    """A value with its standard error behind it, where it has one."""
    return value if error is None else f"{value} ± {error:.1g}"


def agents(metrics: Metrics) -> Table:
    """Payoffs, exploitability and distances of every agent."""
    header = ["agent", "learned", "equilibrium", "gap", "exploitability", "distance", "inventory's distance"]
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
    return Table(header, rows)


def profiles(metrics: Metrics) -> Table:
    """The equilibrium, the learned profile and reference profiles; payoffs of every agent where they are few."""
    everyone = list(metrics["agents"])
    indexed = metrics["collusion_index"] is not None
    header = ["profile", "relative NashConv", "distance", *["collusion index"][: int(indexed)], "total payoff"]
    header += [f"payoff {agent}" for agent in named(everyone)]
    shown: dict[str, ProfileMetrics] = {
        "equilibrium": {
            "payoffs": {agent: each["equilibrium"] for agent, each in metrics["agents"].items()},
            "relative_nash_conv": 0.0,
            "control_distance": 0.0,
            "collusion_index": 0.0,
            "note": "",
        },
        "learned": {
            "payoffs": {agent: each["learned"] for agent, each in metrics["agents"].items()},
            "relative_nash_conv": metrics["open_loop_relative_nash_conv"],
            "control_distance": metrics["control_distance"],
            "collusion_index": metrics["collusion_index"],
            "note": "",
        },
        **metrics["baselines"],
    }
    rows = []
    for name, each in shown.items():
        payoffs = each["payoffs"]
        if payoffs is None:  # it does not exist: its note gives the reason
            continue
        row = [name, percent(each["relative_nash_conv"]), percent(each["control_distance"])]
        row += [number(each["collusion_index"])] if indexed else []
        rows.append([*row, number(sum(payoffs.values())), *(number(payoffs[agent]) for agent in named(everyone))])
    return Table(header, rows)

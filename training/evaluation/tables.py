"""The tables of an evaluation, however they are shown: headers and cells of text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import rich.table

from ...envs import PayoffParts
from .metrics import Metrics

MISSING = "–"  # noqa: RUF001
_LARGE = 1e7
"""numbers of this size are shown in general format"""


class Shown(str):
    """A number as text, with its value.

    Args:
        text: the text.
        value: in full; None where there is none.
        error: its standard error, where it has one.
    """

    value: float | None
    error: float | None

    def __new__(cls, text: str, value: float | None, error: float | None = None) -> Shown:
        made = super().__new__(cls, text)
        made.value, made.error = value, error
        return made


class Table(NamedTuple):
    """Cells of text, the first of each row a name."""

    header: list[str]
    rows: list[list[str]]

    def words(self) -> list[bool]:
        """Of every column, True where its cells are words: they stand to the left, numbers to the right."""
        return [all(row[i][:1].isalpha() for row in self.rows) for i in range(len(self.header))]

    def first(self, columns: int) -> Table:
        """The table without its last columns."""
        return Table(self.header[:columns], [row[:columns] for row in self.rows])

    def without(self, names: Collection[str]) -> Table:
        """The table without some columns."""
        kept = [i for i, name in enumerate(self.header) if name not in names]
        return Table([self.header[i] for i in kept], [[row[i] for i in kept] for row in self.rows])

    def without_constant(self, names: Collection[str]) -> tuple[dict[str, str], Table]:
        """Values that are the same in all of several rows, of some columns, by name; and the table without these."""
        if len(self.rows) < 2:
            return {}, self
        columns = dict(zip(self.header, zip(*self.rows, strict=True), strict=True))
        same = {name: each[0] for name, each in columns.items() if name in names and len(set(each)) == 1}
        return same, self.without(same)


def percent(value: float | None) -> Shown:
    """A fraction in percent; a dash for None."""
    if value is None:
        return Shown(MISSING, None)
    if value < 0.1:
        return Shown(f"{100 * value:.3f}%", value)
    return Shown(f"{100 * value:,.0f}%" if value < _LARGE else f"{100 * value:.4g}%", value)


def number(value: float | None) -> Shown:
    """Three decimals; a dash for None."""
    return Shown(MISSING, None) if value is None else fixed(value, 3)


def fixed(value: float, digits: int, sign: str = "") -> Shown:
    """A number with so many decimals; in general format where it is large.

    Args:
        value: the number.
        digits: after the point.
        sign: ``"+"`` if positive numbers have one.
    """
    kind = f".{digits}f" if abs(value) < _LARGE else f".{digits + 4}g"
    return Shown(f"{value:{sign}{kind}}", value)


def significant(value: float) -> Shown:
    """Three digits, zeros at the end too, so that numbers of a column are as exact as each other."""
    return Shown(f"{value:#.3g}".rstrip(".") if value else "0", value)


def scientific(value: float, digits: int) -> Shown:
    """A number in powers of ten, with so many decimals."""
    return Shown(f"{value:.{digits}e}" if value else "0", value)


def with_error(value: Shown, error: float | None, bias: float | None = None) -> Shown:
    """A value with its standard error behind it, and the estimate of its bias, where it has them."""
    parts = [value, *([] if error is None else [f"± {error:.1g}"]), *([] if bias is None else [f"± {bias:.1g} bias"])]
    return Shown(" ".join(parts), value.value, error)


def agents(metrics: Metrics) -> Table:
    """Payoffs, exploitability and distances of every agent."""
    header = ["agent", "learned", "equilibrium", "gap", "exploitability", "distance", "inventory's distance"]
    rows = [
        [
            agent,
            with_error(fixed(each["learned"], 4), each.get("learned_se")),
            fixed(each["equilibrium"], 4),
            fixed(each["gap"], 4, "+"),
            with_error(scientific(each["exploitability"], 2), each.get("exploitability_se")),
            percent(each["control_distance"]),
            percent(each["inventory_distance"]),
        ]
        for agent, each in metrics["agents"].items()
    ]
    return Table(header, rows)


def profiles(metrics: Metrics) -> Table:
    """The equilibrium, the learned profile and reference profiles; payoffs of every agent where they are few."""
    agents, index = metrics["agents"], metrics["collusion_index"]
    exact = {agent: each["equilibrium"] for agent, each in agents.items()}
    learned = {agent: each["learned"] for agent, each in agents.items()}
    compared = [
        (name, each["payoffs"], each["relative_nash_conv"], each["control_distance"], each["collusion_index"])
        for name, each in metrics["baselines"].items()
        if each["payoffs"] is not None  # otherwise it does not exist: its note gives the reason
    ]
    shown = [
        ("equilibrium", exact, 0.0, 0.0, 0.0),
        ("learned", learned, metrics["open_loop_relative_nash_conv"], metrics["control_distance"], index),
        *compared,
    ]
    header = ["profile", "relative NashConv", "distance", "collusion index", "NashConv", "total payoff"]
    size = payoff_size(metrics)
    rows: list[list[str]] = [
        [
            *(name, percent(gain), percent(distance), number(place)),
            Shown(MISSING, None) if gain is None else significant(gain * size),
            number(sum(payoffs.values())),
        ]
        for name, payoffs, gain, distance, place in shown
    ]
    if index is None:
        for row in (header, *rows):
            del row[3]
    return Table(header, rows)


def payoff_size(metrics: Metrics) -> float:
    """Sum of the equilibrium payoffs' sizes, in currency: the unit of what is relative."""
    return sum(abs(each["equilibrium"]) for each in metrics["agents"].values())


def profile_payoffs(metrics: Metrics) -> Table:
    """Everyone's payoffs in the equilibrium, the learned profile and reference profiles; a row for each agent."""
    agents = metrics["agents"]
    others = {name: each["payoffs"] for name, each in metrics["baselines"].items() if each["payoffs"] is not None}
    rows: list[list[str]] = [
        [agent, *map(number, (each["equilibrium"], each["learned"], *(one[agent] for one in others.values())))]
        for agent, each in agents.items()
    ]
    return Table(["agent", "equilibrium", "learned", *others], rows)


def agent_gains(metrics: Metrics) -> Table:
    """Payoffs, gains by best responses in currency and relative, and distances of every agent; and of all together."""
    size = payoff_size(metrics)
    header = ["agent", "payoff, learned", "payoff, equilibrium", "gap", "gain by a best response", "the same, relative"]
    rows: list[list[str]] = [
        [
            agent,
            with_error(fixed(each["learned"], 4), each.get("learned_se")),
            fixed(each["equilibrium"], 4),
            fixed(each["gap"], 4, "+"),
            with_error(significant(each["exploitability"]), each.get("exploitability_se")),
            percent(each["exploitability"] / size),
            percent(each["control_distance"]),
            percent(each["inventory_distance"]),
        ]
        for agent, each in metrics["agents"].items()
    ]
    agents = metrics["agents"].values()
    learned, exact = sum(each["learned"] for each in agents), sum(each["equilibrium"] for each in agents)
    total = [fixed(learned, 4), fixed(exact, 4), fixed(learned - exact, 4, "+")]
    conv = [significant(metrics["nash_conv"]), percent(metrics["relative_nash_conv"])]
    distances = [percent(metrics["control_distance"]), percent(metrics["inventory_distance"])]
    rows.append(["all (gains: NashConv)", *total, *conv, *distances])
    return Table([*header, "distance of controls", "distance of inventories"], rows)


def parts(found: Mapping[str, PayoffParts], agents: Sequence[str]) -> Table:
    """Payoffs in parts, learned beside equilibrium; a part that nobody has is left out."""
    kept = [name for name in PayoffParts._fields if any(getattr(each, name).any() for each in found.values())]
    rows: list[list[str]] = []
    for i, agent in enumerate(agents):
        for profile, each in found.items():
            values = [*(getattr(each, name)[i] for name in kept), each.total[i]]
            rows.append([f"{agent}, {profile}", *(fixed(float(value) + 0.0, 4) for value in values)])
    return Table(["agent", *(name.replace("_", " ") for name in kept), "payoff"], rows)


def feedback(metrics: Metrics) -> list[Table]:
    """Actors who react beside the feedback equilibrium: payoffs, and reactions to inventories; no table where actors do
    not react."""
    found = metrics.get("feedback")
    if found is None:
        return []
    payoffs, result = found["payoffs"], []
    if payoffs is not None:
        header = ["agent", "learned", "feedback Nash", "gap", "open-loop Nash", "gap"]
        rows = [
            [
                agent,
                fixed(each["learned"], 4),
                fixed(payoffs[agent], 4),
                fixed(each["learned"] - payoffs[agent], 4, "+"),
                fixed(each["equilibrium"], 4),
                fixed(each["gap"], 4, "+"),
            ]
            for agent, each in metrics["agents"].items()
        ]
        result.append(Table(header, rows))
    header = ["reaction per share of", "to its own inventory", "feedback Nash", "to the others'", "feedback Nash"]
    rows = [
        [
            f"{agent}, {control}",
            *(number(each["own"]), number(each["feedback_own"])),
            *(number(each["others"]), number(each["feedback_others"])),
        ]
        for agent, controls in found["reactions"].items()
        for control, each in controls.items()
    ]
    return [*result, Table(header, rows)] if rows else result


def feedback_remarks(metrics: Metrics) -> list[str]:
    """Lines beside the tables of :func:`feedback`."""
    found = metrics.get("feedback")
    if found is None:
        return []
    said = [
        "actors see all inventories: compared with the feedback equilibrium, the open-loop one beside it"
        if found["compared"]
        else "actors react: neither equilibrium is theirs, unless all inventories are seen"
        if found["payoffs"] is not None
        else "actors react, and there is no feedback equilibrium to compare with"
    ]
    if found["control_distance"] is not None:
        said[0] += f"; distance {percent(found['control_distance'])}"
        said[0] += "" if found["reaction_distance"] is None else f", of reactions {percent(found['reaction_distance'])}"
    if found["collusion_index"] is not None:
        said.append(f"collusion index with its zero at the feedback equilibrium: {number(found['collusion_index'])}")
    if found["note"]:
        said.append(found["note"])
    if "memory" in metrics:
        said.append(metrics["memory"])
    if "deviator" in metrics:
        said.append(f"a deviator may look at {metrics['deviator']}")
    return said


def random_starts(metrics: Metrics) -> list[Table]:
    """Means over random starts, for agents trained with some; no table of a run that always started alike."""
    found = metrics.get("random_starts")
    if found is None:
        return []
    header = ["over random starts", "learned", "exploitability", "less feedback Nash"]
    rows = [
        [
            agent,
            with_error(fixed(each["learned"], 4), each["learned_se"]),
            MISSING
            if each["exploitability"] is None
            else with_error(scientific(each["exploitability"], 2), each["exploitability_se"]),
            MISSING
            if each["over_feedback"] is None
            else with_error(fixed(each["over_feedback"], 4, "+"), each["over_feedback_se"]),
        ]
        for agent, each in found["agents"].items()
    ]
    return [Table(header, rows)]


def random_start_remarks(metrics: Metrics) -> list[str]:
    """Lines beside the table of :func:`random_starts`."""
    found = metrics.get("random_starts")
    if found is None:
        return []
    pairs, compared = found["pairs"], found["feedback_pairs"]
    said = [
        f"over {2 * pairs} random starts, standard deviation {found['inventory_spread']:g} shares: relative NashConv "
        f"{percent(found['relative_nash_conv'])}"
        + ("" if found["relative_nash_conv_se"] is None else f" ± {percent(found['relative_nash_conv_se'])}")
        + f" against {found['exploitability_against']}",
        f"the deviator knows {found['deviator']}",
    ]
    if compared and compared < pairs:
        said.append(f"compared with the feedback equilibrium from {2 * compared} starts, those in its tube")
    return [*said, found["note"]] if found["note"] else said


def market_remarks(metrics: Metrics) -> list[str]:
    """What numbers of random markets are means of; nothing of one game."""
    if "drawn_markets" not in metrics:
        return []
    share, error = percent(metrics["relative_nash_conv"]), percent(metrics["relative_nash_conv_se"])
    return [
        f"means over {metrics['drawn_markets']} drawn markets, with standard errors: relative NashConv {share} ± "
        f"{error}; paths, and parts of payoffs, are those of the first"
    ]


def remarks(notes: Iterable[str]) -> list[str]:
    """Lines that stand beside NashConv: what to know of the equilibrium, its notes; none where it is an ordinary
    one."""
    return [f"equilibrium: {each}" for each in notes]


def aligned(content: Table) -> rich.table.Table:
    """A table of text, numbers to the right and in one piece, as are words of names, to the left; a standard error
    stands below its value."""
    table = rich.table.Table(*content.header)
    rows = [[cell.replace(" ±", "\n±") for cell in row] for row in content.rows]
    names = [word for row in (content.header, *rows) for word in row[0].split()]
    table.columns[0].min_width = max(map(len, names), default=1)
    for index, (column, words) in enumerate(zip(table.columns, content.words(), strict=True)):
        if not index:
            continue
        column.justify = "left" if words else "right"
        parts = [*content.header[index].split(), *(line for row in rows for line in row[index].splitlines())]
        column.min_width = max(map(len, parts), default=1)
    for row in rows:
        table.add_row(*row)
    return table

"""Trainings beside each other: those that differ in their seeds alone are one group, and groups are compared.

Only finished runs are compared, by what their ``metrics.json`` and ``history.csv`` say: nothing is evaluated again.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..baselines.kind import QUICK_PATHS
from ..envs import draw_noise, rollout, text
from .common import files
from .common.extras import needed
from .evaluation.distances import along
from .evaluation.scoring import mean_path, parts_of
from .evaluation.spread import Spread, between, spread
from .evaluation.tables import MISSING, Table, number, payoff_size, percent, remarks, significant
from .finished_runs import FinishedRun, read_finished
from .run_config import RunConfig, alike
from .run_evaluation import joint_responses
from .runs import algorithm_text, load_policies

if TYPE_CHECKING:  # plotly may be missing
    from .evaluation.comparison_page import Paths

_TOLD = "values.description"
"""of the entries of a configuration the one that is no setting"""
_NAMED = 3
"""labels that the name of a group has at most"""
_TIMES = ("finished", "seconds")
"""of the circumstances of runs, those of which there are the first and the last"""
_SAID = 5
"""reasons that are said one by one, where runs are left out"""


@dataclass(frozen=True)
class Group:
    """Trainings that differ in their seeds alone, by seed."""

    name: str
    runs: Sequence[FinishedRun]

    @property
    def config(self) -> RunConfig:
        """Of the first: the others have other seeds."""
        return self.runs[0].config

    @cached_property
    def nash_conv(self) -> Spread:
        """Relative NashConv over seeds."""
        return spread(each.metrics["relative_nash_conv"] for each in self.runs)

    @property
    def against(self) -> str:
        """The opponents against which best responses were found."""
        return "; ".join(dict.fromkeys(each.metrics["exploitability_against"] for each in self.runs))

    @property
    def markets(self) -> int | None:
        """Number of drawn markets over which numbers are means; None of one game."""
        return self.runs[0].metrics.get("drawn_markets")

    @property
    def remarks(self) -> list[str]:
        """What to know of the equilibrium when reading NashConv."""
        notes = (note for each in self.runs for note in each.metrics["equilibrium"].get("notes", ()))
        return remarks(dict.fromkeys(notes))

    def median(self, of: Callable[[FinishedRun], float | None]) -> float | None:
        """Over the seeds that have such a number; None where none has."""
        found = [value for each in self.runs if (value := of(each)) is not None]
        return float(np.median(found)) if found else None

    def agents(self) -> dict[str, dict[str, float]]:
        """Medians over seeds by agent: the gain of its best response, over the sum of the equilibrium payoffs' sizes
        and in currency, its payoff and that of the equilibrium, in currency, and its relative distance."""
        found: dict[str, dict[str, float]] = {}
        for agent in self.runs[0].metrics["agents"]:
            each = [(run.metrics["agents"][agent], payoff_size(run.metrics)) for run in self.runs]
            numbers = {
                "relative_gain": [own["exploitability"] / size for own, size in each],
                "gain": [own["exploitability"] for own, _ in each],
                "learned": [own["learned"] for own, _ in each],
                "equilibrium": [own["equilibrium"] for own, _ in each],
                "control_distance": [own["control_distance"] for own, _ in each],
            }
            found[agent] = {name: float(np.median(values)) for name, values in numbers.items()}
        return found

    @property
    def played(self) -> int:
        """Joint market steps, which an algorithm may round up to whole rollouts; the most of the seeds."""
        return max(each.metrics["timesteps_done"] for each in self.runs)

    def numbers(self) -> dict[str, float | None]:
        """Medians over seeds of what is compared beside NashConv; None where it is not defined."""
        return {name: self.median(of) for name, of in _NUMBERS.items()}

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        config = self.config
        return {
            "name": self.name,
            **{"scenario": config.scenario, "algorithm": algorithm_text(config), "engine": config.engine},
            **{"information": config.information, "timesteps": self.played},
            "relative_nash_conv": self.nash_conv.document(),
            "exploitability_against": self.against,
            **self.numbers(),
            "agents": self.agents(),
            "seeds": {str(each.config.seed): each.metrics["relative_nash_conv"] for each in self.runs},
            "runs": [text.shown(each.folder) for each in self.runs],
            "remarks": self.remarks,
        }


def _feedback_index(run: FinishedRun) -> float | None:
    found = run.metrics.get("feedback")
    return None if found is None else found["collusion_index"]


def _over_starts(run: FinishedRun) -> float | None:
    found = run.metrics.get("random_starts")
    return None if found is None else found["relative_nash_conv"]


_NUMBERS: dict[str, Callable[[FinishedRun], float | None]] = {
    "nash_conv": lambda run: run.metrics["nash_conv"],
    "open_loop_relative_nash_conv": lambda run: run.metrics["open_loop_relative_nash_conv"],
    "random_starts_relative_nash_conv": _over_starts,
    "control_distance": lambda run: run.metrics["control_distance"],
    "collusion_index": lambda run: run.metrics["collusion_index"],
    "feedback_collusion_index": _feedback_index,
    "seconds": lambda run: run.circumstances["seconds"],
}


@dataclass(frozen=True)
class Comparison:
    """Groups of finished trainings, the least median of relative NashConv first."""

    groups: Sequence[Group]
    left_out: Mapping[str, str]
    """runs of folders that are not compared, with reasons"""

    def left_out_lines(self) -> list[str]:
        """Why runs are left out, for people; of many the first, and how many others."""
        said = [f"left out: {reason}" for reason in self.left_out.values()]
        return said if len(said) <= _SAID else [*said[:_SAID], f"and {len(said) - _SAID} others"]

    @cached_property
    def differences(self) -> dict[str, list[str | None]]:
        """Entries of the configurations that are not the same in all groups, with every group's value as text; None for
        one that does not have the entry. Those that all have come first."""
        found = [dict(files.flat(each.config.document())) for each in self.groups]
        names = dict.fromkeys(name for each in found for name in each if name not in ("seed", _TOLD))
        values = {name: [each.get(name) for each in found] for name in names}
        other = {name: each for name, each in values.items() if len(set(each)) > 1}
        return dict(sorted(other.items(), key=lambda entry: None in entry[1]))

    @cached_property
    def shared(self) -> dict[str, str]:
        """Entries of the configurations that are the same in all groups, but the seed, as texts."""
        first = dict(files.flat(self.groups[0].config.document()))
        return {name: each for name, each in first.items() if name not in self.differences and name != "seed"}

    def configurations(self) -> dict[str, object]:
        """Of every group, that of its first seed."""
        return {each.name: each.config.document() for each in self.groups}

    def circumstances(self) -> dict[str, str]:
        """With what all runs ran: versions, machine, time; where they differ, what there is."""
        found = [dict(files.flat(run.circumstances)) for each in self.groups for run in each.runs]
        names = dict.fromkeys(name for each in found for name in each)
        return {name: _all_of([each.get(name, MISSING) for each in found], name in _TIMES) for name in names}

    @property
    def scenarios(self) -> list[str]:
        """Names of the scenarios."""
        return list(dict.fromkeys(each.config.scenario for each in self.groups))

    def remarks(self) -> list[str]:
        """What to know when reading the table."""
        said = [f"{each.config.scenario}, {line}" for each in self.groups for line in each.remarks]
        random = {each.config.scenario: count for each in self.groups if (count := each.markets) is not None}
        said += [f"{name}: means over {n} drawn markets; paths are those of the first" for name, n in random.items()]
        if len(self.scenarios) > 1:
            said.append("scenarios differ: relative NashConv alone compares them")
        elif any(name.startswith("values.") or name == "steps" for name in self.differences):
            said.append("markets differ: relative NashConv alone compares them")
        if len({each.against for each in self.groups}) > 1:
            said.append(f"NashConv is against different opponents, the column {_OPEN_LOOP!r} against the same for all")
        return list(dict.fromkeys(said))

    def against(self) -> list[str]:
        """Lines that say against which opponents NashConv is."""
        names: dict[str, list[str]] = {}
        for each in self.groups:
            names.setdefault(each.against, []).append(each.name)
        if len(names) == 1:
            return [f"relative NashConv is against {opponents}" for opponents in names]
        return [f"NashConv of {', '.join(listed)} is against {opponents}" for opponents, listed in names.items()]

    def table(self) -> Table:
        """A row for each group; columns that none of them has are left out."""
        columns = {name: [cells(each) for each in self.groups] for name, cells in _COLUMNS.items()}
        shown = {name: each for name, each in columns.items() if set(each) != {MISSING}}
        if len({each.against for each in self.groups}) == 1 and "open-loop" in self.groups[0].against:
            del shown[_OPEN_LOOP]
        return Table(list(shown), [list(row) for row in zip(*shown.values(), strict=True)])

    def agent_table(self) -> Table:
        """A row for each group and agent; see :meth:`Group.agents`."""
        shown: dict[str, Callable[[float], str]] = {
            **{"relative_gain": percent, "gain": significant, "learned": number, "equilibrium": number},
            "control_distance": percent,
        }
        rows = [
            [group.name, agent, *(told(own[name]) for name, told in shown.items())]
            for group in self.groups
            for agent, own in group.agents().items()
        ]
        header = ["group", "agent", "gain, relative", "gain", "payoff", "equilibrium payoff", "control distance"]
        return Table(header, rows)

    def agent_rows(self) -> list[list[object]]:
        """The same with numbers in full, a header first."""
        found = [(group.name, group.agents()) for group in self.groups]
        rows = [[name, agent, *own.values()] for name, agents in found for agent, own in agents.items()]
        return [["group", "agent", *next(iter(found[0][1].values()))], *rows]

    def difference_table(self) -> Table:
        """A row for each entry of :attr:`differences`."""
        rows = [[name, *(each or MISSING for each in values)] for name, values in self.differences.items()]
        return Table(["setting", *(each.name for each in self.groups)], rows)

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        names = [each.name for each in self.groups]
        differences = {key: dict(zip(names, each, strict=True)) for key, each in self.differences.items()}
        return {
            "groups": [each.document() for each in self.groups],
            "differences": differences,
            "remarks": self.remarks(),
            "left_out": dict(self.left_out),
        }

    def group_rows(self) -> list[list[object]]:
        """The table with numbers in full, its header first."""
        documents = [{**each.document(), "seeds": len(each.runs), **each.nash_conv.document()} for each in self.groups]
        header = [name for name in documents[0] if name not in ("relative_nash_conv", "agents", "runs", "remarks")]
        return [[*header], *([each[name] for name in header] for each in documents)]

    def run_rows(self) -> list[list[object]]:
        """Every run's numbers in full, a header first."""
        header: list[object] = ["group", "run", "seed", "relative_nash_conv", *_NUMBERS]
        rows: list[list[object]] = [
            [group.name, text.shown(each.folder), each.config.seed, each.metrics["relative_nash_conv"]]
            + [of(each) for of in _NUMBERS.values()]
            for group in self.groups
            for each in group.runs
        ]
        return [header, *rows]


_OPEN_LOOP = "against open-loop opponents"
CURRENCY = "NashConv, currency"
SETTINGS = ("scenario", "algorithm", "engine", "information", "seeds", "joint market steps")
"""columns of :meth:`Comparison.table` that may be the same in all rows"""
_COLUMNS: dict[str, Callable[[Group], str]] = {
    "group": lambda group: group.name,
    "relative NashConv, median": lambda group: percent(group.nash_conv.median),
    "95% interval": lambda group: between(group.nash_conv.low, group.nash_conv.high) or MISSING,
    "interquartile mean": lambda group: percent(group.nash_conv.interquartile_mean),
    CURRENCY: lambda group: significant(float(np.median([each.metrics["nash_conv"] for each in group.runs]))),
    "scenario": lambda group: group.config.scenario,
    "algorithm": lambda group: algorithm_text(group.config),
    "engine": lambda group: group.config.engine,
    "information": lambda group: group.config.information,
    "seeds": lambda group: str(len(group.runs)),
    "joint market steps": lambda group: f"{group.played:,}",
    "against": lambda group: group.against,
    _OPEN_LOOP: lambda group: percent(group.numbers()["open_loop_relative_nash_conv"]),
    "over random starts": lambda group: percent(group.numbers()["random_starts_relative_nash_conv"]),
    "control distance": lambda group: percent(group.numbers()["control_distance"]),
    "collusion index": lambda group: number(group.numbers()["collusion_index"]),
    "collusion index, feedback Nash at 0": lambda group: number(group.numbers()["feedback_collusion_index"]),
    "seconds": lambda group: f"{np.median([each.circumstances['seconds'] for each in group.runs]):,.0f}",
}


def compare(paths: Iterable[str | Path]) -> Comparison:
    """Compare run directories, folders of seeds and folders of sweeps.

    Runs of a folder that are not finished are left out; so is one that is there twice.

    Args:
        paths: of the directories.

    Raises:
        ValueError: a path is none of these, a run that was named is not finished, or a folder has no finished run.
    """
    read, left_out = dict[Path, FinishedRun](), dict[str, str]()
    for path in map(Path, paths):
        members, refused = read_finished(path)
        left_out |= refused
        read |= {each.folder.resolve(): each for each in members}
    if not read:
        raise ValueError("run: expected at least one to compare, got none")
    return Comparison(_grouped(read.values(), left_out), left_out)


def write_page(found: Comparison, title: str, to: str | Path, *, paths: bool = False, trust: bool = False) -> Path:
    """Write a comparison as one HTML page; returns its path.

    Args:
        found: the comparison.
        title: of the page.
        to: the file.
        paths: True: where all are one group, what they have learned is played, and shown as bands over seeds.
        trust: see :func:`.runs.load_policies`.

    Raises:
        ImportError: plotly is missing.
        ValueError: a model is missing or corrupt, or needs trust.
        OSError: it cannot be written.
    """
    module = needed("evaluation.comparison_page", "train")
    shown = [
        module.Trained(
            each.name,
            [run.history for run in each.runs],
            [run.metrics["relative_nash_conv"] for run in each.runs],
            each.nash_conv,
        )
        for each in found.groups
    ]
    said = [*found.remarks(), *found.left_out_lines()]
    differing = found.difference_table()
    settings = module.Settings(differing, found.shared, found.circumstances(), found.configurations())
    downloads = {
        "groups": files.csv_text(found.group_rows()),
        "agents": files.csv_text(found.agent_rows()),
        "runs": files.csv_text(found.run_rows()),
        "settings": files.csv_text([differing.header, *differing.rows]),
    }
    path, played = Path(to), _paths(found.groups[0], trust) if paths and len(found.groups) == 1 else None
    same, compared = found.table().without_constant(SETTINGS)
    agents = found.agent_table()
    content = module.page(title, shown, compared, agents, settings, downloads, said, shared=same, paths=played)
    text.write(path, content)
    return path


def _paths(group: Group, trust: bool) -> Paths:
    """What a group has learned: everyone's policies along the same paths of the noise, of random markets in the first
    that is drawn; see :class:`Paths`."""
    whole = group.config.task
    task = whole.markets[0]
    noise = draw_noise(task.game, task.steps, QUICK_PATHS, seed=0)
    policies = [whole.players(load_policies(each.folder, trust=trust))[0] for each in group.runs]
    played = [rollout(task.game, each, task.steps, noise) for each in policies]
    means = [mean_path(each) for each in played]
    kind = needed("evaluation.comparison_page", "train").Paths
    found: Paths = kind(
        task.equilibrium,
        task.payoff_size,
        means,
        [joint_responses(task.game, task.steps, own, each) for own, each in zip(policies, means, strict=True)],
        parts_of(played, along(task.equilibrium, noise), noise),
        [each.history for each in group.runs],
        [each.gains for each in group.runs],
    )
    return found


def _grouped(runs: Iterable[FinishedRun], left_out: dict[str, str]) -> list[Group]:
    """Groups by all of the configuration but the seed; a training that was done twice is left out once."""
    members: dict[str, dict[int, FinishedRun]] = {}
    for each in runs:
        same = members.setdefault(alike(each.config), {})
        if each.config.seed in same:
            other = text.shown(same[each.config.seed].folder)
            left_out[text.shown(each.folder)] = f"{text.shown(each.folder)!r} is the same training as {other!r}"
        else:
            same[each.config.seed] = each
    groups = [Group("", [found[seed] for seed in sorted(found)]) for found in members.values()]
    named = [Group(name, each.runs) for name, each in zip(_names(groups), groups, strict=True)]
    return sorted(named, key=lambda each: each.nash_conv.median)


def _names(groups: Sequence[Group]) -> list[str]:
    """A name for each group, all different: labels of its runs, where they are not enough their folders."""
    found = [_joined(each.label for each in group.runs) for group in groups]
    for further in (_joined(_parent(each) for each in group.runs) for group in groups), map(str, itertools.count(1)):
        counts = Counter(found)
        found = [f"{name} ({more})" if counts[name] > 1 else name for name, more in zip(found, further, strict=False)]
    return found


def _joined(labels: Iterable[str]) -> str:
    listed = list(dict.fromkeys(labels))
    return ", ".join(listed[:_NAMED]) + (f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else "")


def _all_of(values: Sequence[str], ends: bool) -> str:
    """Different texts as one; the first and the last alone, where ``ends`` asks for it or they are many, by their order
    as numbers where they are some."""
    first, *others = sorted(dict.fromkeys(values), key=_in_order)
    if others and (ends or len(others) >= _NAMED):
        return f"{first} to {others[-1]}"
    return "; ".join([first, *others])


def _in_order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return math.inf, value


def _parent(run: FinishedRun) -> str:
    """Where a run stands."""
    return text.shown(run.folder.parent)

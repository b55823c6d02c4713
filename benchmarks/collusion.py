"""Do two equal buyers, or two dealers, collude when they learn?

    makertaker benchmark --suite collusion --out results
    python benchmarks/collusion.py --results results [--out runs/collusion] [--figure PATH]

The suite `collusion`, and the tests that tell collusion from something else. Two equal buyers (`execution-2`; the
question is that of Lillo and Macri, arXiv 2408.11773), and two dealers with an outside option (`dealers`; that of Cont
and Xiong). Payoffs of learners are placed between the Nash equilibrium in schedules, 0, and the joint optimum, 1. Then
every agent meets partners of other seeds, and one agent is made to deviate in one step; the others' answer stands
beside that of the feedback equilibrium to the same deviation. Nothing is trained here.

Measured: no: buyers who see each other compete harder than in either equilibrium, dealers quote as in both; partners of
other seeds change nothing, and a deviation is not punished ([do learners collude?](docs/concepts/collusion.md))
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap
from timing import machine

from makertaker.baselines import markov_nash, references
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.reference_points import OPEN_LOOP, place
from makertaker.envs import Game, MakerTakerGame, Policy
from makertaker.envs.palette import MARKERS, color
from makertaker.training import runs
from makertaker.training.benchmark.summary import read_results
from makertaker.training.evaluation.matches import Answer, forced_deviation, rematched

AT = 5
"""the step of the deviation, of twenty"""
SIZES: dict[str, float | Sequence[float]] = {"execution-2": 2.0, "dealers": (-0.1, -0.1)}
"""a buyer buys faster by two shares a unit of time (0.1 shares in all), a dealer is better by 0.1 on both sides"""


@dataclass(frozen=True)
class Market:
    """A game and what learners are compared with."""

    name: str
    game: Game
    steps: int
    nash: np.ndarray
    best: np.ndarray
    feedback: np.ndarray
    answer: Answer
    """of the feedback equilibrium"""

    def index(self, payoffs: np.ndarray) -> float:
        """The collusion index."""
        found = place(kind_of(self.game, self.steps), payoffs, self.nash, self.best)
        assert found is not None
        return found


@dataclass(frozen=True)
class Found:
    """What the tests say of one learner in one market; a number a seed."""

    market: str
    learner: str
    nash_conv: np.ndarray
    index: np.ndarray
    rematched: np.ndarray
    """mean index with partners of all other seeds"""
    answers: Sequence[Answer]


def market(name: str, game: Game, steps: int) -> Market:
    """What a market's learners are compared with."""
    table, equilibrium = references(game, steps), markov_nash(game, steps)
    nash, best = (table[each].payoffs for each in (OPEN_LOOP, kind_of(game, steps).capabilities.optimum))
    assert nash is not None
    assert best is not None
    answer = forced_deviation(game, equilibrium.feedback(), steps, game.agents[0], AT, SIZES[name])
    return Market(name, game, steps, nash, best, equilibrium.payoffs, answer)


def tested(place: Market, learner: str, nash_conv: Sequence[float], profiles: Sequence[dict[str, Policy]]) -> Found:
    """The tests of one learner's seeds."""
    payoffs = rematched(place.game, profiles, place.steps)
    index = np.array([[place.index(each) for each in row] for row in payoffs])
    others = (index.sum(axis=1) - index.diagonal()) / (len(index) - 1)
    agent, size = place.game.agents[0], SIZES[place.name]
    answers = [forced_deviation(place.game, each, place.steps, agent, AT, size) for each in profiles]
    return Found(place.name, learner, np.array(nash_conv), index.diagonal(), others, answers)


def moved(answer: Answer, game: Game) -> np.ndarray:
    """How the other moves after a deviation, (K,): a buyer's rate, in shares a unit of time; the mean of a dealer's ask
    and bid, in currency."""
    if isinstance(game, MakerTakerGame):
        return (answer.controls["ask"][:, 1] + answer.controls["bid"][:, 1]) / 2
    return answer.controls["rate"][:, 1]


def middle(values: np.ndarray) -> str:
    """Median and its 95% bootstrap interval."""
    found = bootstrap((values,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return f"{np.median(values):.3g} [{found.low:.3g}, {found.high:.3g}]"


COLUMNS = ("market", "learner", "seeds", "relative NashConv, %", "index", "index, partners of other seeds",
           "the other's answer", "the deviator's payoff", "the other's payoff")  # fmt: skip


def rows(places: dict[str, Market], found: Sequence[Found]) -> list[list[str]]:
    """A row for each learner, and those of the equilibria."""
    written = []
    for name, each in places.items():
        answer, game = each.answer, each.game
        nash = [name, "Nash, open loop", "", "0", "0", "0", "0", "", ""]
        told = [f"{moved(answer, game)[AT + 1]:.3g}", *(f"{value:.3g}" for value in answer.payoffs)]
        written += [nash, [name, "Nash, feedback", "", "0", f"{each.index(each.feedback):.3g}", "", *told]]
        for one in (one for one in found if one.market == name):
            after = np.array([moved(answer, game)[AT + 1] for answer in one.answers])
            payoffs = np.array([answer.payoffs for answer in one.answers])
            numbers = [100 * one.nash_conv, one.index, one.rematched, after, payoffs[:, 0], payoffs[:, 1]]
            written.append([name, one.learner, str(len(one.index)), *map(middle, numbers)])
    return written


def draw(places: dict[str, Market], found: Sequence[Found], path: Path) -> None:
    """Left: indices of those trained together, and of partners of other seeds. Right: how the other answers."""
    figure = Figure(figsize=(11, 3.9 * len(places)), layout="constrained")
    FigureCanvasAgg(figure)
    for (name, each), (left, right) in zip(places.items(), figure.subplots(len(places), 2, squeeze=False), strict=True):
        own = [one for one in found if one.market == name]
        for row, one in enumerate(own):
            mark: dict[str, Any] = {"marker": MARKERS[row], "s": 28, "color": color(row)}
            left.scatter(one.index, np.full(len(one.index), row - 0.14), alpha=0.7, **mark)
            left.scatter(one.rematched, np.full(len(one.index), row + 0.14), alpha=0.7, **mark, facecolors="none")
            paths = np.array([moved(answer, each.game) for answer in one.answers])
            steps = np.arange(paths.shape[1])
            right.plot(
                steps, np.median(paths, axis=0), color=color(row), marker=MARKERS[row], ms=3.5, label=one.learner
            )
            low, high = np.quantile(paths, [0.1, 0.9], axis=0)
            right.fill_between(steps, low, high, color=color(row), alpha=0.15, linewidth=0)
        left.axvline(0, color="0.3", linewidth=1)
        left.axvline(each.index(each.feedback), color="0.3", linestyle=":", linewidth=1.4)
        left.axvline(1, color="0.3", linestyle="--", linewidth=1)
        left.set_yticks(range(len(own)), [one.learner for one in own])
        left.set(ylim=(len(own) - 0.4, -0.6), xlabel=(
            "collusion index: Nash 0 (solid), feedback Nash (dotted), joint optimum 1 (dashed)"))  # fmt: skip
        left.set_title(f"{name}: one point a seed", fontsize="medium")
        right.plot(moved(each.answer, each.game), color="0.1", linestyle="--", label="Nash, feedback")
        right.axvline(AT, color="0.6", linestyle=":", linewidth=1)
        unit = "mean quote, currency" if isinstance(each.game, MakerTakerGame) else "rate, shares / time"
        right.set_title(f"{name}: how the other answers a deviation in step {AT}", fontsize="medium")
        right.set(xlabel="step", xticks=range(0, each.steps, 5), ylabel=f"change of {unit}")
        right.grid(alpha=0.25)
        right.legend(fontsize="small", frameon=False)
    told = "left: filled, trained together; open, mean over partners of all other seeds. "
    told += "Right: medians, with bands from the tenth to the ninetieth percentile of the seeds"
    figure.supxlabel(told, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Test what was trained, print the table, draw the figure."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of 'makertaker benchmark'")
    parser.add_argument("--out", type=Path, default=Path("runs/collusion"))
    parser.add_argument("--figure", type=Path, default=Path("runs/collusion/collusion.png"))
    arguments = parser.parse_args()
    results = read_results(arguments.results / "collusion")
    places, found = dict[str, Market](), list[Found]()
    for (name, learner, _), cell in results.cells.items():
        folders = [arguments.results / "runs" / run for run in cell["run"]]
        if name not in places:
            config = runs.load_config(folders[0])
            places[name] = market(name, config.task.game, config.steps)
        profiles = [runs.load_policies(folder) for folder in folders]
        found.append(tested(places[name], learner, list(cell["relative_nash_conv"]), profiles))
    table, console = Table(*COLUMNS), Console(width=170)
    for row in rows(places, found):
        table.add_row(*row)
    console.print(table)
    console.print(f"median and 95% bootstrap interval; {machine()}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "collusion.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows(places, found)])
    draw(places, found, arguments.figure)


if __name__ == "__main__":
    main()

"""Do learners collude in the market of Lillo and Macri, and among dealers?

    python benchmarks/published.py conventions
    python benchmarks/published.py learners [--seeds 20] [--out runs/published]
    python benchmarks/published.py figures [--folder docs/figures]
    python benchmarks/published.py noise

Two published questions: two sellers in ten periods (`almgren-chriss-2`), and dealers alone (`dealers`). ``conventions``
solves the sellers' market under five readings of what a share costs within its period, each in three ways: this
package's solver, the ratio that the first-order conditions have, and best responses by a general optimiser that follow
one another from TWAP. ``learners`` trains with JAX what is missing in ``--out``, with all defaults; ``figures`` draws
what is there; ``noise`` is the equilibrium spread of dealers who explore.

Measured: sellers end at the open-loop equilibrium, or between it and the feedback one, dealers near the Nash spread
([two published questions](docs/concepts/published.md))
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq, minimize
from timing import machine

from makertaker.baselines import Reference, exploitability, feedback_nash, references, solve
from makertaker.baselines.reference_points import COALITION, FEEDBACK, OPEN_LOOP, TWAP
from makertaker.envs import Controls, ExecutionGame, read_scenario, rollout
from makertaker.training import runs
from makertaker.training.evaluation.panels import color
from makertaker.training.evaluation.spread import spread

PERMANENT, OWN, STEPS, SHARES = 0.001, 0.002, 10, 100.0
SAMPLED = np.exp(-PERMANENT / (3 * OWN))
"""ratio of the sales of two periods, of inventories ``e^{-kt/12} sinh(k (10 - t)/12) / sinh(10 k/12)`` per permanent
impact ``k`` over temporary impact ``1/2``: the equilibrium in continuous time where both pay both's temporary impact"""
SCENARIOS = ("almgren-chriss-2", "dealers")
ALGORITHMS = ("ppo", "reinforce")
KINDS = ("time", "own", "market", "full")
TOLERANCE = 1e-9


class Convention(NamedTuple):
    """What a share costs within its period, beside the price at its start."""

    name: str
    own: float
    """currency per share that oneself sells in the period"""
    others: float
    """the same of the other's sales"""

    @property
    def game(self) -> ExecutionGame:
        """On the grid the price moves linearly within a step, by half of the permanent impact on average."""
        temporary = 2 * self.own - PERMANENT
        crowding = (2 * self.others - PERMANENT) / temporary
        return ExecutionGame((SHARES,) * 2, STEPS, 2 * PERMANENT, temporary, crowding, terminal_penalty=np.inf)

    @property
    def ratio(self) -> float:
        """Of an equilibrium's sales in two periods: first-order conditions of neighbours differ by
        ``(m - k) v' = (m - 2 k) v``, ``m = 2 own + others``, ``k`` the permanent impact."""
        margin = 2 * self.own + self.others
        return (margin - 2 * PERMANENT) / (margin - PERMANENT)

    def shortfall(self, sold: np.ndarray, agent: int = 0) -> float:
        """Of one seller, schedules (STEPS, 2), by the market's own recursion."""
        total, price = 0.0, 0.0
        for now in sold:
            total += now[agent] * (self.own * now[agent] + self.others * now[1 - agent] - price)
            price -= PERMANENT * now.sum()
        return total

    def best_response(self, sold: np.ndarray, agent: int) -> np.ndarray:
        """Schedules (STEPS, 2) with one seller's replaced, by a general optimiser over all periods but the last."""

        def played(free: np.ndarray) -> np.ndarray:
            changed = sold.copy()
            changed[:, agent] = np.append(free, SHARES - free.sum())
            return changed

        found = minimize(
            lambda free: self.shortfall(played(free), agent),
            sold[:-1, agent],
            method="BFGS",
            options={"gtol": TOLERANCE},
        )
        return played(found.x)

    def iterated(self, rounds: int = 120) -> np.ndarray:
        """Schedules (STEPS, 2): best responses that follow one another from TWAP, half-way each."""
        sold = geometric(1.0)
        for _ in range(rounds):
            answers = [self.best_response(sold, agent)[:, agent] for agent in (0, 1)]
            sold = (sold + np.stack(answers, axis=1)) / 2
        return sold


CONVENTIONS = (
    Convention("own temporary impact, price at the start", OWN, 0.0),
    Convention("the same, a coin decides who sells first", OWN, PERMANENT / 2),
    Convention("the same, price half-way", OWN + PERMANENT / 2, PERMANENT / 2),
    Convention("the same, price at the end", OWN + PERMANENT, PERMANENT),
    Convention("both's temporary impact, price half-way", OWN + PERMANENT / 2, OWN + PERMANENT / 2),
)


def geometric(ratio: float) -> np.ndarray:
    """Schedules (STEPS, 2) that fall by a ratio from one period to the next."""
    falling = ratio ** np.arange(STEPS)
    return np.repeat(SHARES * falling[:, None] / falling.sum(), 2, axis=1)


def conventions(console: Console) -> None:
    """Shortfalls of each seller, and what a deviation from the sampled schedule gains."""
    titles = ("convention", "impact, temporary", "crowding", "ratio", "TWAP", "Nash: solver", "conditions", "iterated")
    table = Table(*titles, "Nash, feedback", "sampled", "gain")
    for each in CONVENTIONS:
        game, sampled = each.game, geometric(SAMPLED)
        found = (
            -solve(game, STEPS).payoffs[0],
            each.shortfall(geometric(each.ratio)),
            each.shortfall(each.iterated()),
            -feedback_nash(game, STEPS).play().payoffs[0],
            each.shortfall(sampled),
        )
        gain = exploitability(game, Controls(-sampled), STEPS).gains[0]
        searched = each.shortfall(sampled) - each.shortfall(each.best_response(sampled, 0))
        if abs(gain - searched) > 1e-6:
            raise RuntimeError(f"{each.name}: two best responses gain {gain} and {searched}")
        table.add_row(
            each.name,
            f"{game.temporary_impact:.4f}",
            f"{game.crowding:.4f}",
            f"{each.ratio:.4f}",
            f"{each.shortfall(geometric(1.0)):.4f}",
            *(f"{value:.4f}" for value in found),
            f"{gain:.2g}",
        )
    console.print(table)


@dataclass(frozen=True)
class Learned:
    """Trainings that differ in their seeds."""

    scenario: str
    algorithm: str
    information: str
    out: Path

    @property
    def folder(self) -> Path:
        """Of them all."""
        return self.out / f"{self.scenario}-{self.algorithm}-{self.information}"

    @property
    def command(self) -> list[str]:
        """What trains them, without the number of seeds."""
        options = ["--algorithm", self.algorithm, "--information", self.information, "--engine", "jax"]
        return ["train", self.scenario, *options, "--out", str(self.folder)]

    def train(self, seeds: int) -> None:
        """Where they are not there; seconds are kept."""
        if (self.folder / "seeds.csv").is_file():
            return
        started = time.perf_counter()
        program = [sys.executable, "-m", "makertaker.training.cli", *self.command, "--seeds", str(seeds)]
        subprocess.run(program, check=True)
        (self.out / f"{self.folder.name}.seconds").write_text(f"{(time.perf_counter() - started) / seeds:.1f}\n")

    @property
    def seconds(self) -> str:
        """Of a training, its evaluation and its part of what all share, two at a time; as text."""
        path = self.out / f"{self.folder.name}.seconds"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else "?"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Of each seed; none where nothing was trained."""
        paths = sorted(self.folder.glob("seed-*/metrics.json"), key=lambda path: int(path.parent.name[5:]))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    @property
    def spreads(self) -> list[float]:
        """Mean quoted spread, ask plus bid, of each seed's dealers over an episode without noise."""
        scenario, found = read_scenario(self.scenario), []
        for path in sorted(self.folder.glob("seed-*/models")):
            played = rollout(scenario.game, runs.load_policies(path.parent), scenario.steps).controls
            found.append(float((played.ask + played.bid).mean()))
        return found


def interval(values: Sequence[float], digits: int) -> str:
    """Median and its 95% bootstrap interval."""
    middle = spread(values)
    ends = "" if middle.low is None else f" ({middle.low:.{digits}f} to {middle.high:.{digits}f})"
    return f"{middle.median:.{digits}f}{ends}"


def groups(scenario: str, out: Path) -> list[Learned]:
    """All trainings of a scenario, in the order of the table."""
    return [Learned(scenario, algorithm, kind, out) for algorithm in ALGORITHMS for kind in KINDS]


def learners(console: Console, scenario: str, seeds: int, out: Path) -> None:
    """Train what is missing, and print the table."""
    table = Table("algorithm", "information", "runs", "relative NashConv, %", "to schedules alone, %", title=scenario)
    dealers = not read_scenario(scenario).game.traders
    table.add_column("mean spread" if dealers else "mean shortfall")
    for title in ("collusion index", "controls to open loop, %", "to feedback, %", "seconds each"):
        table.add_column(title)
    for each in groups(scenario, out):
        each.train(seeds)
        found = each.metrics
        paid = each.spreads if dealers else [-np.mean([a["learned"] for a in m["agents"].values()]) for m in found]
        feedback = [m["feedback"]["control_distance"] for m in found if "feedback" in m]
        known = [100 * value for value in feedback if value is not None]
        table.add_row(
            each.algorithm,
            each.information,
            str(len(found)),
            interval([100 * m["relative_nash_conv"] for m in found], 3),
            interval([100 * m["open_loop_relative_nash_conv"] for m in found], 3),
            interval(paid, 3),
            interval([m["collusion_index"] for m in found], 3),
            interval([100 * m["control_distance"] for m in found], 1),
            interval(known, 1) if known else "-",
            each.seconds,
        )
    console.print(table)


def draw_indices(axes: Axes, scenario: str, out: Path, measure: Callable[[Learned], list[float]]) -> None:
    """One point a seed."""
    for row, algorithm in enumerate(ALGORITHMS):
        for place, kind in enumerate(KINDS):
            values = measure(Learned(scenario, algorithm, kind, out))
            across = place + 0.3 * (row - 0.5) + np.linspace(-0.09, 0.09, len(values))
            label = algorithm if place == 0 else None
            axes.scatter(across, values, s=14, color=color(row), marker="os"[row], alpha=0.75, label=label, zorder=3)
    axes.set_xticks(range(len(KINDS)), KINDS)
    axes.set_xlabel("information of actors")


def rule(axes: Axes, value: float, name: str, style: str, shade: str = "0.25") -> None:
    """A reference point's line."""
    axes.axhline(value, color=shade, linestyle=style, linewidth=1.4, label=name)


def finish(figure: Figure, axes: Sequence[Axes], path: Path) -> None:
    """Grids, legends below, the file."""
    for each in axes:
        each.grid(alpha=0.25)
        each.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def noisy_spread(deviation: float) -> float:
    """Equilibrium spread of two dealers of `dealers` who explore in one step and have no inventory: the mean quote that
    maximises ``E[quote share]`` where both quotes have normal noise, twice."""
    competition: Any = read_scenario("dealers").game.competition
    points, weights = np.polynomial.hermite_e.hermegauss(41)
    both = np.multiply.outer(weights, weights) / weights.sum() ** 2

    def slope(quote: float) -> float:
        own, other = quote + deviation * points[:, None], quote + deviation * points[None, :]
        weight = np.exp(-competition.rate * own)
        share = weight / (np.exp(competition.outside) + weight + np.exp(-competition.rate * other))
        return float((both * share * (1 - competition.rate * own * (1 - share))).sum())

    return 2 * float(brentq(slope, 0.3, 2.0))


def panels() -> tuple[Figure, Axes, Axes]:
    """Two, side by side."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    return figure, left, right


def draw_sellers(out: Path, path: Path) -> None:
    """Schedules, and shortfalls that were learned."""
    figure, left, right = panels()
    scenario = read_scenario("almgren-chriss-2")
    feedback = feedback_nash(scenario.game, STEPS).play()
    published = CONVENTIONS[0]
    shown = (
        (TWAP + ", the optimum of both", geometric(1.0)[:, 0], "s", "--"),
        ("sampled, $e^{-t/6}$", geometric(SAMPLED)[:, 0], "v", "-."),
        (OPEN_LOOP, geometric(published.ratio)[:, 0], "o", "-"),
        (FEEDBACK, -feedback.controls.rate[:, 0], "^", ":"),
    )
    for row, (name, sold, marker, style) in enumerate(shown):
        left.plot(np.arange(1, STEPS + 1), sold, style, marker=marker, markersize=4, color=color(row + 2), label=name)
    left.set(xlabel="period", ylabel="shares sold by each", title="Schedules", xticks=range(1, STEPS + 1))

    def paid(each: Learned) -> list[float]:
        return [-float(np.mean([a["learned"] for a in m["agents"].values()])) for m in each.metrics]

    draw_indices(right, "almgren-chriss-2", out, paid)
    for row, (name, sold, _, style) in enumerate(shown):
        rule(right, published.shortfall(np.stack([sold, sold], axis=1)), name, style, color(row + 2))
    right.set(ylabel="mean shortfall of the two (currency)", title="What PPO and REINFORCE reach, one point a seed")
    finish(figure, (left, right), path)


def quoted(point: Reference) -> np.ndarray:
    """(K,) mean ask plus bid of the dealers."""
    profile = point.profile
    assert isinstance(profile, Controls)
    return np.asarray((profile.ask + profile.bid).mean(axis=-1))


def draw_dealers(out: Path, path: Path) -> None:
    """Spreads over time, and spreads that were learned."""
    figure, left, right = panels()
    scenario = read_scenario("dealers")
    points = references(scenario.game, scenario.steps)
    for name, style in ((COALITION, "--"), (OPEN_LOOP, "-")):
        left.plot(np.arange(scenario.steps) + 0.5, quoted(points[name]), style, color="0.25", label=name)
        rule(right, float(quoted(points[name]).mean()), name, style)
    for row, kind in enumerate(("time", "full")):
        for path_ in sorted((Learned("dealers", "ppo", kind, out).folder).glob("seed-*/models")):
            played = rollout(scenario.game, runs.load_policies(path_.parent), scenario.steps).controls
            label = f"ppo, {kind}" if path_.parent.name == "seed-0" else None
            curve = (played.ask + played.bid).mean(axis=-1)
            left.plot(np.arange(scenario.steps) + 0.5, curve, color=color(row), alpha=0.35, linewidth=0.8, label=label)
    left.set(xlabel="step", ylabel="mean spread of the two (currency)", title="Spreads over an episode")
    draw_indices(right, "dealers", out, lambda each: each.spreads)
    right.set(ylabel="mean spread (currency)", title="What PPO and REINFORCE reach, one point a seed")
    finish(figure, (left, right), path)


def main() -> None:
    """Print a table, or draw the figures."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["conventions", "learners", "figures", "noise"])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/published"))
    parser.add_argument("--folder", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    console = Console(width=180)
    if arguments.part == "conventions":
        conventions(console)
    elif arguments.part == "learners":
        for scenario in arguments.scenarios:
            learners(console, scenario, arguments.seeds, arguments.out)
        console.print(f"median and 95% bootstrap interval; {machine()}")
    elif arguments.part == "noise":
        for deviation in (0.0, 0.04, 0.1, 0.25, 0.5):
            console.print(f"exploration of {deviation:g}: spread {noisy_spread(deviation):.4f}")
    else:
        draw_sellers(arguments.out, arguments.folder / "almgren_chriss_2.png")
        draw_dealers(arguments.out, arguments.folder / "dealers.png")


if __name__ == "__main__":
    main()

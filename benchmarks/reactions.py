"""Which equilibrium do learners reach who see all inventories?

    python benchmarks/reactions.py [--seeds 10] [--spreads 0 0.5 1 3] [--information full] [--out runs/reactions]

Always from the same start, and from random ones. Independent PPO, or another ``--algorithm``, in three markets: two
equal buyers, makers alone, and a buyer with two makers who start far apart. Each training is scored from the game's
start and over random ones, and its reactions are compared with those of the feedback equilibrium. Runs that are
finished are not repeated. The figure's curve is exact: Nash equilibria of two buyers who answer each other's inventory
by ``kappa`` shares per unit of time and share.

Measured: from a start that they know one of many, from random starts one closer to the feedback equilibrium ([one path,
many equilibria](docs/concepts/reacting.md#one-path-many-equilibria))
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.stats import bootstrap
from timing import machine

from makertaker.baselines import LinearFeedback, best_response_to_feedback, feedback_nash, references
from makertaker.baselines.execution.dynamic_programming import values
from makertaker.baselines.gains import payoff_size
from makertaker.baselines.kinds import kind_of
from makertaker.baselines.reference_points import COOPERATIVE, OPEN_LOOP, place
from makertaker.baselines.remembered import remembered_feedback
from makertaker.envs import ExecutionGame, read_scenario
from makertaker.training import runs
from makertaker.training.evaluation.panels import color
from makertaker.training.evaluation.starts import random_starts

MARKETS: dict[str, tuple[str, Sequence[str]]] = {
    "execution-2": ("execution-2", ()),
    "makers-only": ("makers-only", ()),
    "softmax, makers at 6 and 0": ("softmax-1x2", ("maker_inventory=[6.0, 0.0]",)),
}
SCORED = 1.0
"""spread of the random starts that all trainings are scored over, in shares"""
KAPPAS = np.linspace(-1.0, 2.5, 29)


@dataclass(frozen=True)
class Result:
    """What became of one training."""

    market: str
    spread: float
    seed: int
    nash_conv: float
    """relative, against reacting opponents, from the game's start"""
    over_starts: float | None
    """relative, over random starts"""
    index: float | None
    """collusion index, 0 at the open-loop equilibrium"""
    index_feedback: float | None
    """and 0 at the feedback equilibrium"""
    reactions: float | None
    """relative distance of reaction coefficients from the feedback equilibrium's"""
    open_loop: float
    """relative distance of controls from the open-loop equilibrium's"""
    feedback: float | None
    to_others: float
    """mean reaction of the first agent's first control to the others' inventories"""


def result(
    market: str, spread: float, seed: int, information: str, engine: str, algorithm: str, timesteps: int, out: Path
) -> Result:
    """One training's numbers, from its directory if they are there."""
    warnings.filterwarnings("ignore")
    folder = out / f"{market.split(',')[0]}-{spread:g}-{seed}"
    name, overrides = MARKETS[market]
    scenario = read_scenario(name, overrides)
    config = runs.RunConfig.of(
        scenario,
        algorithm,
        None,
        engine,
        information=information,
        seed=seed,
        timesteps=timesteps,
        inventory_spread=spread,
    )
    done = folder / "reactions.json"
    if done.is_file():
        return Result(**json.loads(done.read_text(encoding="utf-8")))
    if not (folder / "metrics.json").is_file():
        runs.train(config, folder, overwrite=folder.exists())
    metrics: Any = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    kind, policies = kind_of(scenario.game, config.steps), runs.load_policies(folder)
    size, reference = payoff_size(config.task.equilibrium.payoffs), remembered_feedback(scenario.game, config.steps)
    starts = random_starts(kind, policies, SCORED, size, reference, reacting=True)
    first = next(iter(metrics["feedback"]["reactions"][scenario.game.agents[0]].values()))
    found = Result(
        market,
        spread,
        seed,
        metrics["relative_nash_conv"],
        starts["relative_nash_conv"],
        metrics["collusion_index"],
        metrics["feedback"]["collusion_index"],
        metrics["feedback"]["reaction_distance"],
        metrics["control_distance"],
        metrics["feedback"]["control_distance"],
        first["others"],
    )
    done.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def nash_path(game: ExecutionGame, steps: int, kappa: float) -> LinearFeedback:
    """The rule ``v_i = path_i + kappa (Q_j - path_j)`` whose path is a Nash path: everyone's best response to it is to
    stay on it. A best response's path is affine in the path, so the fixed point is that of a linear system."""
    dt, zero = game.horizon / steps, np.zeros((steps, 2))

    def rule(rates: np.ndarray) -> LinearFeedback:
        inventories = game.start + dt * (np.cumsum(rates, axis=0) - rates)
        gain = np.broadcast_to(kappa * (1 - np.eye(2)), (steps, 2, 2))
        return LinearFeedback(game, gain, rates - kappa * inventories[:, ::-1], np.zeros((steps, 2, 0)))

    def answer(rates: np.ndarray) -> np.ndarray:
        own = [best_response_to_feedback(rule(rates), agent).rule.play().controls.rate for agent in game.agents]
        return np.stack([each[:, i] for i, each in enumerate(own)], axis=1).ravel()

    base = answer(zero)
    matrix = np.stack([answer(unit.reshape(steps, 2)) - base for unit in np.eye(2 * steps)], axis=1)
    return rule(np.linalg.solve(np.eye(2 * steps) - matrix, base).reshape(steps, 2))


def interval(values: Sequence[float | None]) -> str:
    """Median and its 95% bootstrap interval."""
    known = np.array([each for each in values if each is not None])
    if len(known) < 2:
        return "-"
    found = bootstrap((known,), np.median, rng=np.random.default_rng(0)).confidence_interval
    return f"{np.median(known):.3g} [{found.low:.3g}, {found.high:.3g}]"


def draw(found: Sequence[Result], path: Path) -> None:
    """Two buyers beside the exact curve; and what random starts do to gains and reactions in all markets."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    scenario = read_scenario("execution-2")
    game, steps = scenario.game, scenario.steps or 20
    assert isinstance(game, ExecutionGame)
    table, kind = references(game, steps), kind_of(game, steps)
    nash, best = (table[name].payoffs for name in (OPEN_LOOP, COOPERATIVE))
    assert nash is not None

    def index(rule: LinearFeedback) -> float | None:
        return place(kind, values(rule), nash, best)

    left.plot(
        KAPPAS, [index(nash_path(game, steps, kappa)) for kappa in KAPPAS], color="0.4", label="exact: Nash paths"
    )
    rule = feedback_nash(game, steps)
    left.scatter(0, 0, marker="o", s=60, color="white", edgecolor="0.1", zorder=4, label="Nash, open loop")
    left.scatter(
        rule.gain[:, 0, 1].mean(), index(rule), marker="*", s=120, color="white", edgecolor="0.1", zorder=4,
        label="Nash, feedback",
    )  # fmt: skip
    spreads = sorted({each.spread for each in found})
    for row, spread in enumerate(spreads):
        own = [each for each in found if each.market == "execution-2" and each.spread == spread]
        left.scatter(
            [each.to_others for each in own], [each.index for each in own], s=22, color=color(row), alpha=0.8,
            marker="os^D"[row % 4], label=f"learned, spread {spread:g}", zorder=3,
        )  # fmt: skip
    left.set(xlabel="mean reaction to the other's inventory (1 / time)", ylabel="collusion index", title="Two buyers")
    measures: list[tuple[Any, str, Callable[[Result], float | None]]] = [
        (
            middle,
            "relative NashConv over random starts, %",
            lambda each: None if (x := each.over_starts) is None else 100 * x,
        ),
        (right, "reactions: distance to feedback, %", lambda each: None if (x := each.reactions) is None else 100 * x),
    ]
    for axes, title, measure in measures:
        markets = [each for each in MARKETS if any(one.market == each for one in found)]
        for row, market in enumerate(markets):
            for place_, spread in enumerate(spreads):
                own = [measure(each) for each in found if each.market == market and each.spread == spread]
                known = [each for each in own if each is not None]
                where = place_ + 0.22 * (row - (len(markets) - 1) / 2)
                axes.scatter([where] * len(known), known, s=14, color=color(row + 4), alpha=0.7, marker="os^"[row],
                             label=market if place_ == 0 else None)  # fmt: skip
        axes.set_xticks(range(len(spreads)), [f"{each:g}" for each in spreads])
        axes.set(xlabel="spread of starts in training (shares)", yscale="log")
        axes.set_title(title, fontsize="medium")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
    left.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    right.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train what is missing, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.0, 0.5, 1.0, 3.0])
    parser.add_argument("--markets", nargs="+", default=list(MARKETS), choices=list(MARKETS))
    parser.add_argument("--information", default="full")
    parser.add_argument("--engine", default="sb3", help="sb3, or jax, which is faster")
    parser.add_argument("--algorithm", default="ppo")
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("runs/reactions"))
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    wanted = [
        (
            market,
            spread,
            seed,
            *(getattr(arguments, name) for name in ("information", "engine", "algorithm", "timesteps", "out")),
        )
        for market in arguments.markets
        for seed in range(arguments.seeds)
        for spread in arguments.spreads
    ]
    found = []
    with ProcessPoolExecutor(arguments.jobs) as pool, Progress(console=Console(stderr=True)) as bar:
        for each in bar.track(as_completed([pool.submit(result, *each) for each in wanted]), total=len(wanted)):
            found.append(each.result())
    console = Console(width=150)
    table = Table(
        "market", "spread", "runs", "relative NashConv, %", f"over starts ({SCORED:g} share), %", "index",
        "from feedback", "reactions' distance", "controls to open loop", "to feedback",
    )  # fmt: skip
    for market in arguments.markets:
        for spread in arguments.spreads:
            own = [each for each in found if each.market == market and each.spread == spread]
            gains = [[None if value is None else 100 * value for value in column] for column in zip(
                *((each.nash_conv, each.over_starts) for each in own), strict=True
            )]  # fmt: skip
            columns = [*gains, *([getattr(each, name) for each in own] for name in (
                "index", "index_feedback", "reactions", "open_loop", "feedback"
            ))]  # fmt: skip
            table.add_row(market, f"{spread:g}", str(len(own)), *map(interval, columns))
    console.print(table)
    console.print(f"median and 95% bootstrap interval; {arguments.timesteps:,} joint market steps; {machine()}")
    draw(found, arguments.figure or arguments.out / "reactions.png")


if __name__ == "__main__":
    main()

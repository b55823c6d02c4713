"""Does `solve` work on markets of every kind, in any units?

    python benchmarks/wide_markets.py [--markets 1000] [--seed 0]

Drawn far and wide, in three sizes of units: how many are solved, how fast, and what is not; and on large ones, timed. A
market counts as solved if nobody gains more than 1e-10 of its payoff unit, or than rounding of its payoff, by its best
response. Seconds are of ``solve`` alone.

Measured: on almost all; the others have no equilibrium that was found without bounds on quotes ([markets of every
kind](docs/results.md#markets-of-every-kind))
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import machine

from makertaker.baselines import EquilibriumNotFound, exploitability, solve
from makertaker.envs import (
    BestQuote,
    Competition,
    CrowdedImpact,
    Exponential,
    Impact,
    MakerTakerGame,
    ProductShare,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
)

STEPS = 30
SOLVED, _ROUNDING = 1e-10, 1e-15
UNITS = {
    "shares, currency, days": (1.0, 1.0, 1.0),
    "1e6 shares, 1e-4 of the currency, seconds": (1e6, 1e-4, 23_400.0),
    "1e-6 coins, 1e5 of the currency, years": (1e-6, 1e5, 1 / 252),
}
COMPETITIONS = ("best quote", "best quote, softplus", "softmax", "product")


@dataclass(frozen=True)
class Outcome:
    """What became of one market."""

    kind: str
    unit: str
    seconds: float
    gain: float
    """largest, in payoff units"""
    problem: str


def draw_market(rng: np.random.Generator, kind: str, unit: tuple[float, float, float]) -> MakerTakerGame:
    """One to four traders on both sides, two to five makers; parameters over three to six powers of ten.

    Args:
        rng: draws.
        kind: of competition.
        unit: sizes of a share, of the currency and of time.
    """
    shares, prices, days = unit

    def wide(low: float, high: float, size: int | None = None) -> np.ndarray:
        return np.exp(rng.uniform(np.log(low), np.log(high), size))

    traders, makers = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    gamma = float(wide(0.1, 10)) / prices
    competition = {
        "best quote": lambda: BestQuote(Exponential(gamma)),
        "best quote, softplus": lambda: BestQuote(Softplus(gamma)),
        "softmax": lambda: SoftmaxShare(gamma),
        "product": lambda: ProductShare(Exponential(gamma), rate=gamma),
    }[kind]()
    flow, penalty = shares / days, prices / shares
    beta = tuple(penalty * days * wide(0.01, 10, traders))
    impacts: tuple[Impact, ...] = (
        QuadraticImpact(beta),
        CrowdedImpact(beta, float(rng.uniform(0, 1.9))),
        QuarticImpact(beta, prices * days**3 / shares**3 * float(wide(1e-3, 1))),
    )
    return MakerTakerGame(
        trader_inventory=tuple(shares * rng.choice([-1.0, 1.0], traders) * wide(0.5, 20, traders)),
        maker_inventory=tuple(shares * rng.uniform(-5, 5, makers)),
        horizon=days * float(wide(0.05, 20)),
        competition=competition,
        impact=impacts[rng.integers(len(impacts))],
        trader_running_penalty=tuple(penalty / days * wide(1e-3, 1e3, traders)),
        maker_running_penalty=tuple(penalty / days * wide(1e-3, 1e3, makers)),
        trader_terminal_penalty=tuple(penalty * wide(1e-3, 1e3, traders)),
        maker_terminal_penalty=tuple(penalty * wide(1e-3, 1e3, makers)),
        buy_flow=flow * float(wide(0.01, 100)),
        sell_flow=flow * float(wide(0.01, 100)),
    )


def outcome(game: MakerTakerGame, kind: str, unit: str) -> Outcome:
    """One market solved, and its equilibrium exploited."""
    started, gain, problem = time.perf_counter(), np.inf, ""
    try:
        found = solve(game, STEPS)
        seconds = time.perf_counter() - started
        sizes = np.array([game.payoff_unit(agent) for agent in game.agents])
        sizes = np.maximum(sizes, _ROUNDING / SOLVED * np.abs(found.payoffs))
        gain = float((exploitability(game, found.controls, STEPS).gains / sizes).max())
    except EquilibriumNotFound as error:
        seconds, problem = time.perf_counter() - started, str(error)
    return Outcome(kind, unit, seconds, gain, problem)


def table(outcomes: list[Outcome]) -> Table:
    """A row for each kind of competition, for each size of units, and for all."""
    result = Table("markets", "number", "solved", "median s", "slowest s", "largest gain, payoff units")

    def row(name: str, members: list[Outcome]) -> None:
        seconds, solved = [each.seconds for each in members], [each for each in members if each.gain <= SOLVED]
        result.add_row(
            name,
            str(len(members)),
            f"{100 * len(solved) / len(members):.1f}%",
            f"{np.median(seconds):.3f}",
            f"{max(seconds):.2f}",
            f"{max((each.gain for each in solved), default=np.nan):.1e}",
        )

    for kind in COMPETITIONS:
        row(kind, [each for each in outcomes if each.kind == kind])
    result.add_section()
    for unit in UNITS:
        row(unit, [each for each in outcomes if each.unit == unit])
    result.add_section()
    row("all", outcomes)
    return result


def large(traders: int, makers: int, competition: Competition, impact: Impact) -> MakerTakerGame:
    """Many traders, on both sides, and many makers."""
    rng = np.random.default_rng(0)
    return MakerTakerGame(
        trader_inventory=rng.choice([-1.0, 1.0], traders) * rng.uniform(1, 10, traders),
        maker_inventory=rng.normal(0, 2, makers),
        competition=competition,
        impact=impact,
        trader_running_penalty=rng.uniform(0.01, 0.3, traders),
        maker_running_penalty=0.05,
        trader_terminal_penalty=rng.uniform(0.1, 1, traders),
        maker_terminal_penalty=0.1,
        flow_from="mean",
    )


def large_table() -> Table:
    """Times of large markets. Costs that depend on the others' rates leave the linear algebra dense."""
    result = Table("market", "impact", "competition", "K", "solve, s", "residual", "peak memory, GB")
    for traders, makers, steps, impact in (
        (20, 20, 100, CrowdedImpact(0.5, 1.0)),
        (100, 100, 100, CrowdedImpact(0.5, 1.0)),
        (1000, 5, 20, QuadraticImpact(0.5)),
        (10_000, 5, 20, QuadraticImpact(0.5)),
    ):
        for competition in (BestQuote(Exponential(1.0)), SoftmaxShare(1.0)):
            game = large(traders, makers, competition, impact)
            started = time.perf_counter()
            found = solve(game, steps)
            seconds = time.perf_counter() - started
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            names = type(impact).__name__, type(competition).__name__
            row = f"{seconds:.2f}", f"{found.residual:.0e}", f"{memory:.2f}"
            result.add_row(f"{traders:,} x {makers}", *names, str(steps), *row)
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcomes, console = [], Console(width=120)
    for i in track(range(arguments.markets), "markets", console=Console(stderr=True)):
        kind, unit = COMPETITIONS[i % len(COMPETITIONS)], list(UNITS)[i // len(COMPETITIONS) % len(UNITS)]
        rng = np.random.default_rng((arguments.seed, i))
        outcomes.append(outcome(draw_market(rng, kind, UNITS[unit]), kind, unit))
        if outcomes[-1].gain > SOLVED:
            console.print(f"market {i} ({kind}): gain {outcomes[-1].gain:.2g}; {outcomes[-1].problem}", markup=False)
    console.print(table(outcomes))
    console.print(large_table())
    console.print(machine())


if __name__ == "__main__":
    main()

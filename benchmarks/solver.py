"""Is `solve` faster than `scipy.integrate.solve_bvp`?

    python benchmarks/solver.py

On the continuous system (18)-(19), at equal accuracy; and `solve_many` beside `solve`, one game after the other. The
first two are compared with a far more accurate solution; the error is the largest of any inventory at the common grid.
The games of the second table are drawn.

Measured: no, for the smooth continuous limit; it solves the environment's own game ([solver](docs/results.md#solver))
"""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_bvp
from throughput import RANDOM
from timing import best, machine

from makertaker.baselines import solve, solve_many
from makertaker.envs import LogUniform, MakerTakerGame, RandomMarkets, SoftmaxShare, Uniform, load_scenario

NODES = np.linspace(0.0, 1.0, 11)


def continuous(game: MakerTakerGame, tolerance: float, mesh: int) -> np.ndarray:
    """Inventories (trader, makers) at the common nodes, from the equations of the paper; one buyer, two makers."""
    phi, gamma, beta = game.maker_running_penalty, game.competition.intensity.gamma, game.impact.beta
    penalties = np.array([game.trader_terminal_penalty, game.maker_terminal_penalty, game.maker_terminal_penalty])
    buys, sells = game.buy_flow, game.sell_flow

    def right(_: np.ndarray, state: np.ndarray) -> np.ndarray:
        inventory, adjoint = state[:3], state[3:]
        rate = np.maximum((adjoint[0] - np.minimum(adjoint[1], adjoint[2]) - 1 / gamma) / (2 * beta), 0.0)
        apart = np.exp(-gamma * (adjoint[1] - adjoint[2]))
        maker = -(buys + rate) * apart + sells / apart, -(buys + rate) / apart + sells * apart
        return np.vstack([rate, *maker, 2 * phi * inventory])

    def ends(left: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([left[:3] - game.initial_inventory, last[3:] + 2 * penalties * last[:3]])

    times = np.linspace(0.0, game.horizon, mesh)
    guess = np.zeros((6, mesh))
    guess[:3] = game.initial_inventory[:, None]
    guess[3] = 2.0
    result = solve_bvp(right, ends, times, guess, tol=tolerance, max_nodes=200_000)
    if not result.success:
        raise RuntimeError(result.message)
    return np.asarray(result.sol(NODES)[:3].T)


SOFTMAX = {
    "trader_inventory": Uniform([-8.0, 2.0, -6.0], [-2.0, 8.0, -1.0]),
    "maker_inventory": Uniform([-1.0] * 3, [1.0] * 3),
    "maker_terminal_penalty": Uniform(0.1, 1.0),
    "competition.rate": LogUniform(0.5, 2.0),
}


def together(count: int = 1000, steps: int = 20, sample: int = 50) -> Table:
    """``solve_many`` on drawn games, and ``solve`` on some of them."""
    three = MakerTakerGame((-5.0, 4.0, -3.0), (1.0, 0.0, -1.0), competition=SoftmaxShare(1.0))
    table = Table(
        f"{count} games, K = {steps}", "solve_many, s", "games/s", "times as fast as solve", "largest difference"
    )
    for name, game, random in (
        ("ACAS, one trader, two makers", RANDOM.game, RANDOM.distributions),
        ("softmax, 3 x 3", three, SOFTMAX),
    ):
        games = RandomMarkets(game, random).games(count)
        found = solve_many(games, steps)
        apart = [np.abs(found[i].adjoints - solve(games[i], steps).adjoints).max() for i in range(sample)]
        seconds = best(lambda games=games: solve_many(games, steps), 3)
        alone = best(lambda games=games: [solve(each, steps) for each in games[:sample]], 3) / sample
        cells = f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{alone * count / seconds:.0f}", f"{max(apart):.0e}"
        table.add_row(name, *cells)
    return table


def main() -> None:
    """Print two tables."""
    game = load_scenario("acas")
    exact = continuous(game, 1e-10, 1001)
    console = Console(width=110)
    console.print(machine())
    table = Table("solver", "error", "ms", "times solve() at a similar error")
    rows = []
    for steps in (10, 20, 50, 100, 1000):
        inventories = solve(game, steps).inventories[:: steps // 10]
        rows.append((f"solve, K = {steps}", np.abs(inventories - exact).max(), best(lambda s=steps: solve(game, s))))
    own = list(rows)
    for tolerance in (1e-2, 1e-4, 1e-6, 1e-8):
        error = np.abs(continuous(game, tolerance, 11) - exact).max()
        rows.append((f"solve_bvp, tol = {tolerance:g}", error, best(lambda t=tolerance: continuous(game, t, 11))))
    for name, error, seconds in rows:
        similar = [each for each in own if each[1] <= error]
        ratio = f"{seconds / min(each[2] for each in similar):.1f}" if name.startswith("solve_bvp") and similar else ""
        table.add_row(name, f"{error:.1e}", f"{1e3 * seconds:.2f}", ratio)
    console.print(table)
    console.print(together())


if __name__ == "__main__":
    main()
